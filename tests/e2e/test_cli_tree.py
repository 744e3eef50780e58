#!/usr/bin/python3
"""pylu-cli on a master and its forked workers: all of them or none, also when one refuses, forks meanwhile, or when pylu-cli is killed.
With the oldest and the newest interpreter."""
import subprocess
import time

from agents import Work, cli, cli_json, pylu_cli, write
from harness import PATIENCE, Suite, check, die_with_parent, running

GOOD = 'def total(items, discount=0):\n    return "new"\n'


def everywhere(work, value):
    for worker in range(len(work.workers) + 1):
        work.expect_value('shop.total([1])', value, worker)


def all_of_them(folder, python):
    work = Work(folder, python, '--fork', 2)
    fix = write(folder, 'fix.py', GOOD)
    document = cli_json('redefine', '--tree', work.pid, 'cli_shop.total', fix)
    pids = [process['pid'] for process in document['processes']]
    check(pids[0] == work.pid and sorted(pids[1:]) == sorted(work.workers), 'it changed %r of %r' % (pids, work.workers))
    check({process['outcome'] for process in document['processes']} == {'changed'}, document)
    everywhere(work, 'new')
    token = document['token']
    listed = cli_json('ls', '--tree', work.pid)['processes']
    check([p['patches'][0]['token'] for p in listed] == [token] * 3, listed)
    check([p['patches'][0]['state'] for p in listed] == ['applied'] * 3, listed)

    work.workers.append(work.ask('fork()'))
    everywhere(work, 'new')  # a worker that is forked later has it too
    check(document['take_back'] == 'pylu-cli revert --tree %d %s' % (work.pid, token[:8]), document['take_back'])
    said = cli(*document['take_back'].split()[1:])
    check(said.out.count('took back') == 4, said.out)
    everywhere(work, 1)
    said = cli('redefine', '--tree', work.pid, 'cli_shop.total', fix).out
    check(said.count('redefined cli_shop.total') == 4 and said.count('Take it back with') == 1, said)
    cli('revert', '--tree', work.pid, 'all')
    everywhere(work, 1)
    work.finish()


def one_refuses(folder, python):
    work = Work(folder, python, '--fork', 2)
    fix = write(folder, 'fix.py', GOOD)
    work.ask('delattr(shop, "total")', 2)
    document = cli_json('redefine', '--tree', work.pid, 'cli_shop.total', fix, status=1)
    outcomes = {process['pid']: (process['outcome'], bool(process['error'])) for process in document['processes']}
    check(outcomes == {work.pid: ('unchanged', False), work.workers[0]: ('unchanged', False),
                       work.workers[1]: ('unchanged', True)}, outcomes)
    for worker in 0, 1:
        work.expect_value('shop.total([1])', 1, worker)
    check(not any(p['state'] in ('applied', 'leased') for process in cli_json('ls', '--tree', work.pid)['processes']
                  for p in process.get('patches', [])), 'something was left')
    document = cli_json('redefine', '--tree', work.pid, '--partial', 'cli_shop.total', fix, status=1)
    check([process['outcome'] for process in document['processes']].count('changed') == 2, document)
    for worker in 0, 1:
        work.expect_value('shop.total([1])', 'new', worker)
    work.finish()


def not_loaded(folder, python):
    """A process of a tree that has not loaded the module has no part in it."""
    work = Work(folder, python, '--fork', 1)
    fix = write(folder, 'fix.py', GOOD)
    work.ask('sys.modules.pop("cli_shop") and None')
    document = cli_json('redefine', '--tree', work.pid, 'cli_shop.total', fix)
    check([process['outcome'] for process in document['processes']] == ['skipped', 'changed'], document)
    check('cli_shop' in document['processes'][0]['skipped'], document)
    work.expect_value('shop.total([1])', 'new', 1)
    work.finish()


def killed(folder, python):
    """pylu-cli dies between commit and confirm: what it did takes itself back."""
    work = Work(folder, python, '--fork', 1)
    fix = write(folder, 'fix.py', 'def linger():\n    return "new"\n')
    work.ask('background(shop.linger)', 1)  # so that the worker is waited for, when the master is changed
    work.expect_value('shop.entered.wait()', True, 1)
    work.expect_value('shop.leave.set()', None)
    work.expect_value('shop.linger()', 'old')
    client = subprocess.Popen([pylu_cli(), 'redefine', '--tree', str(work.pid), '--when', 'quiescent:3', 'cli_shop.linger', fix],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              preexec_fn=die_with_parent)
    running.append(client)
    deadline = time.monotonic() + PATIENCE
    while work.ask('shop.linger()') != 'new':
        check(time.monotonic() < deadline and client.poll() is None, 'the master was not changed')
    client.kill()
    client.wait()
    work.expect_value('shop.linger()', 'new')
    while work.ask('shop.linger()') != 'old':
        check(time.monotonic() < deadline, 'it was not taken back')
        time.sleep(0.05)
    work.expect_value('shop.leave.set()', None, 1)
    work.expect_value('shop.linger()', 'old', 1)
    states = [p['state'] for process in cli_json('ls', '--tree', work.pid)['processes'] for p in process.get('patches', [])]
    check(states and not {'applied', 'leased'} & set(states), states)
    work.finish()


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    found = suite.interpreters()
    for python in found[:1] + found[1:][-1:]:
        for case in all_of_them, one_refuses, not_loaded:
            suite.run('%s: %s' % (python.text, case.__name__), case, python, python=python)
    for python in found[-1:]:  # a lease takes its time
        suite.run('%s: killed' % python.text, killed, python, python=python)
    suite.finish()


main()
