#!/usr/bin/python3
"""pylu-cli on a master and its forked workers: all of them or none, also when one refuses, forks meanwhile, or when pylu-cli is killed.
With the oldest and the newest interpreter."""
import json
import os
import subprocess
import time

from agents import Work, cli, cli_json, pylu_cli, validate, write
from harness import PATIENCE, Suite, check, die_with_parent, ended, running

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


def in_between(work, fix, output):
    """A pylu-cli that has changed the master, and waits for the one worker."""
    work.ask('background(shop.linger)', 1)
    work.expect_value('shop.entered.wait()', True, 1)
    work.expect_value('shop.leave.set()', None)
    work.expect_value('shop.linger()', 'old')
    client = subprocess.Popen([pylu_cli(), 'redefine', '-f', 'json', '--tree', str(work.pid), '--when', 'quiescent:3',
                               'cli_shop.linger', fix], stdin=subprocess.DEVNULL, stdout=output, preexec_fn=die_with_parent)
    running.append(client)
    deadline = time.monotonic() + PATIENCE
    while work.ask('shop.linger()') != 'new':
        check(time.monotonic() < deadline and client.poll() is None, 'the master was not changed')
    return client


def one_is_busy(folder, python):
    """The master is changed when it turns out that the worker cannot be: then the master is taken back at once, not by its lease."""
    work = Work(folder, python, '--fork', 1)
    fix = write(folder, 'fix.py', 'def linger():\n    return "new"\n')
    work.ask('background(shop.linger)', 1)
    work.expect_value('shop.entered.wait()', True, 1)
    work.expect_value('shop.leave.set()', None)
    document = cli_json('redefine', '--tree', work.pid, '--when', 'quiescent:1', 'cli_shop.linger', fix, status=1)
    check([(p['outcome'], bool(p['error'])) for p in document['processes']] == [('unchanged', False), ('unchanged', True)], document)
    check(document['processes'][1]['running'][0]['target'] == 'cli_shop.linger', document)
    check('take_back' not in document, document)
    work.expect_value('shop.linger()', 'old')
    work.expect_value('shop.leave.set()', None, 1)
    work.expect_value('shop.linger()', 'old', 1)
    work.finish()


def forked_meanwhile(folder, python):
    """One child of the master, which has the patch, and one of the worker, which has not."""
    work = Work(folder, python, '--fork', 1)
    fix = write(folder, 'fix.py', 'def linger():\n    return "new"\n')
    with open(os.path.join(folder, 'out'), 'w+b') as out:
        client = in_between(work, fix, out)
        of_master = work.ask('fork()')
        of_worker = work.ask('fork()', 1)
        work.expect_value('shop.leave.set()', None, 1)
        check(ended(client, 'pylu-cli') == 0, 'pylu-cli failed')
        out.seek(0)
        document = json.loads(out.read().decode())
    validate(document)
    got = {p['pid']: (p['outcome'], p.get('inherited', False)) for p in document['processes']}
    check(got == {work.pid: ('changed', False), work.workers[0]: ('changed', False), of_master: ('changed', True),
                  of_worker: ('changed', False)}, got)
    states = [p['state'] for process in cli_json('ls', '--tree', work.pid)['processes'] for p in process.get('patches', [])]
    check(states == ['applied'] * 4, states)
    work.expect_value('shop.linger()', 'new', 2)
    check("'new'" in work.ask('workers[-1].ask("shop.linger()\\n")', 1), 'the child of the worker was not changed')
    work.finish()


def killed(folder, python):
    """pylu-cli dies between commit and confirm: what it did takes itself back."""
    work = Work(folder, python, '--fork', 1)
    fix = write(folder, 'fix.py', 'def linger():\n    return "new"\n')
    client = in_between(work, fix, subprocess.DEVNULL)
    client.kill()
    client.wait()
    work.expect_value('shop.linger()', 'new')
    deadline = time.monotonic() + PATIENCE
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
        for case in all_of_them, one_refuses, not_loaded, one_is_busy, forked_meanwhile:
            suite.run('%s: %s' % (python.text, case.__name__), case, python, python=python)
    for python in found[-1:]:  # a lease takes its time
        suite.run('%s: killed' % python.text, killed, python, python=python)
    suite.finish()


main()
