#!/usr/bin/python3
"""pylu-cli from end to end, on every interpreter: a function is redefined, looked at, and taken back; what is said of it is so."""
import os
import time

from agents import Work, cli, cli_json, write
from harness import PATIENCE, Suite, check

NEW_TOTAL = '''\
import math
OFF = 100

def helper(items):
    return math.fsum(items)

def total(items, discount=0):
    """What they cost, and more."""
    return helper(items) + OFF - discount
'''


def until(what, test):
    deadline = time.monotonic() + PATIENCE
    while not test():
        check(time.monotonic() < deadline, '%s did not come' % what)
        time.sleep(0.01)


def redefine_and_back(folder, python):
    work = Work(folder, python)
    fix = write(folder, 'fix.py', NEW_TOTAL)
    work.expect_value('shop.total([1, 2])', 3)
    work.ask('sys.modules.setdefault("kept", shop.total) and None')
    before = work.ask('sorted(vars(shop))')

    done = cli_json('redefine', '-p', work.pid, '--dry-run', 'cli_shop.total', fix)
    (process,) = done['processes']
    diff = process['changes'][0]['diff']
    check(process['outcome'] == 'prepared' and done['dry_run'], 'a dry run: %r' % process)
    check('-    return sum(items) - discount\n' in diff and '+    return helper(items) + OFF - discount\n' in diff
          and '-    """What they cost."""\n' in diff, 'the diff is %s' % diff)
    check('+++ %s' % os.path.realpath(fix) in diff and '@@ -1,3 +7,3 @@' in diff, 'the diff begins %s' % diff)
    work.expect_value('shop.total([1, 2])', 3)
    check(cli_json('ls', '-p', work.pid)['processes'][0].get('patches', []) == [], 'a dry run left a patch')

    done = cli('redefine', '-p', work.pid, 'cli_shop.total', fix)
    check('redefined cli_shop.total' in done.out and 'pylu-cli revert -p %d 1\n' % work.pid in done.out, done.out)
    check('held the GIL for' in done.out, done.out)
    work.expect_value('shop.total([1, 2])', 103.0)
    work.expect_value('shop.total([1, 2], discount=1)', 102.0)
    work.expect_value('shop.Order([4]).total()', 104.0)
    work.expect_value('sys.modules["kept"]([0]), sys.modules["kept"] is shop.total', (100.0, True))
    work.expect_value('shop.total.__doc__', 'What they cost, and more.')
    check(work.ask('sorted(vars(shop))') == before, 'the module has other names')

    (patch,) = cli_json('ls', '-p', work.pid)['processes'][0]['patches']
    check(patch['id'] == 1 and patch['state'] == 'applied' and patch['changes'][0]['target'] == 'cli_shop.total', patch)
    check('uid %d' % os.geteuid() in patch['who'] and 'redefine' in patch['command'], patch)
    check(cli('ls', '-p', work.pid).out.split('\n')[1].split()[:2] == ['1', 'applied'], 'ls')
    shown = cli_json('show', '-p', work.pid, 1)['processes'][0]
    check(shown['changes'][0]['diff'] == diff, 'show has the diff %s' % shown['changes'][0]['diff'])
    check('+    return helper(items) + OFF - discount' in cli('show', '-p', work.pid, patch['token'][:8]).out, 'show by token')
    check(any('redefine' in entry for entry in cli_json('log', '-p', work.pid)['processes'][0]['entries']), 'log')

    done = cli('revert', '-p', work.pid, 1)
    check('took back patch 1: cli_shop.total' in done.out, done.out)
    work.expect_value('shop.total([1, 2]), shop.total.__doc__', (3, 'What they cost.'))
    check(cli_json('revert', '-p', work.pid, 1, status=1)['processes'][0]['error']['text'], 'reverted twice')
    work.finish()


def layers_and_kinds(folder, python):
    work = Work(folder, python)
    fix = write(folder, 'fix.py', 'def priced(n):\n    return n * RATE + 1\n\n'
                'class Order:\n    def total(self):\n        return -len(self.items)\n\n'
                '    @property\n    def size(self):\n        return 7\n\ndef other(n):\n    return "other"\n')
    done = cli_json('redefine', '-p', work.pid, 'cli_shop.priced', fix)
    work.expect_value('shop.priced(3)', ('traced', 7))
    check(done['processes'][0]['changes'][0]['target'], done)
    cli('redefine', '-p', work.pid, 'cli_shop.priced@0', fix + ':other', status=1)
    cli('redefine', '-p', work.pid, 'cli_shop.Order.total', fix)
    work.expect_value('shop.Order([4, 5]).total()', -2)
    cli('redefine', '-p', work.pid, 'cli_shop.Order.size', fix)
    work.expect_value('shop.Order([4, 5]).size', 7)
    cli('redefine', '-p', work.pid, 'cli_shop.priced', fix + ':other')
    work.expect_value('shop.priced(3)', ('traced', 'other'))
    cli('revert', '-p', work.pid, 'all')
    work.expect_value('shop.priced(3), shop.Order([4, 5]).total(), shop.Order([4]).size', (('traced', 6), 9, 1))
    work.finish()


def a_set(folder, python):
    work = Work(folder, python)
    patch = write(folder, 'patch.py', '''\
from pylu import add, redefine, set_value

set_value('cli_shop', RATE=5)
add('cli_shop', EXTRA={'a': 1})

@add('cli_shop')
def more(n):
    return n + RATE

@redefine('cli_shop.total')
def total(items, discount=0):
    return more(len(items))
''')
    cli('patch', '-p', work.pid, patch)
    work.expect_value('shop.total([1, 1]), shop.RATE, shop.EXTRA, shop.more(1)', (7, 5, {'a': 1}, 6))
    cli('revert', '-p', work.pid, 1)
    work.expect_value('shop.total([1, 1]), shop.RATE, hasattr(shop, "more"), hasattr(shop, "EXTRA")', (2, 2, False, False))
    work.finish()


def who_is_inside(folder, python):
    work = Work(folder, python)
    fix = write(folder, 'fix.py', 'def linger():\n    return "new"\n\ndef count():\n    yield "new"\n')
    thread = work.ask('background(shop.linger)')
    work.expect_value('shop.entered.wait()', True)
    error = cli_json('redefine', '-p', work.pid, '--when', 'quiescent:1', 'cli_shop.linger', fix, status=1)
    (process,) = error['processes']
    check(process['outcome'] == 'unchanged' and thread in str(process), 'busy: %r' % process)
    done = cli_json('redefine', '-p', work.pid, 'cli_shop.linger', fix)
    (inside,) = done['processes'][0]['running']
    check(inside['kind'] == 'thread' and inside['name'] == thread and inside['target'] == 'cli_shop.linger', inside)
    work.expect_value('shop.linger()', 'new')
    work.expect_value('shop.leave.set()', None)
    work.ask('sys.modules.setdefault("kept", shop.count()) and next(sys.modules["kept"])')
    done = cli_json('redefine', '-p', work.pid, '--scan', '--when', 'quiescent', 'cli_shop.count', fix)
    check([r['kind'] for r in done['processes'][0]['running']] == ['generator'], done)
    work.expect_value('next(shop.count()), next(sys.modules["kept"])', ('new', 1))
    work.finish()


def by_itself(folder, python):
    work = Work(folder, python)
    fix = write(folder, 'fix.py', 'def total(items, discount=0):\n    return 1 // items\n')

    def state(number):
        return cli_json('ls', '-p', work.pid)['processes'][0]['patches'][number - 1]

    cli('redefine', '-p', work.pid, '--ttl', '1s', 'cli_shop.total', fix)
    work.expect_value('shop.total(1)', 1)
    until('the end of the time', lambda: state(1)['state'] == 'expired')
    work.expect_value('shop.total([1])', 1)
    cli('redefine', '-p', work.pid, '--revert-on-errors', 2, '--except', 'TypeError', 'cli_shop.total', fix)
    for items in 1, 'None', 0, 'None':
        work.ask('shop.total(%s)' % items)
    check((state(2)['calls'], state(2)['errors'], state(2)['state']) == (4, 1, 'applied'), state(2))
    check(work.ask('shop.total(0)').startswith('ZeroDivisionError'), 'no error')
    until('the end by errors', lambda: state(2)['state'] in ('reverted', 'expired', 'failed'))
    work.expect_value('shop.total([1])', 1)
    work.finish()


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    for python in suite.interpreters():
        for case in redefine_and_back, layers_and_kinds, a_set, who_is_inside, by_itself:
            suite.run('%s: %s' % (python.text, case.__name__), case, python, python=python)
    suite.finish()


main()
