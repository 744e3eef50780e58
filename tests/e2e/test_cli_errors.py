#!/usr/bin/python3
"""What pylu-cli says of bad input and of processes that cannot be changed: a sentence each, its exit status, the target as before.
With the oldest and the newest interpreter."""
import os
import shutil
import signal
import subprocess

from agents import Work, cli, cli_json, pylu_cli, write
from harness import Skipped, Suite, check, die_with_parent, running

GOOD = 'def total(items, discount=0):\n    return "new"\n'

# What is in the source, what is given besides, what the error has to say, whether a traceback belongs to it.
SOURCES = [
    ('syntax error', 'def total(items:\n    return 1\n', [], 'syntax error in line', True),
    ('no such function', 'def totals():\n    return 1\n\ndef sums():\n    return 1\n', [], "no function 'total'", False),
    ('empty', '', [], 'is empty', False),
    ('null byte', 'def total(): pass\n\0', [], 'null byte', False),
    ('not UTF-8', b'def total():\n    return "\xff"\n', [], 'UTF-8', False),
    ('other signature', 'def total(things):\n    return 1\n', [], "--force", False),
    ('other kind', 'def total(items, discount=0):\n    yield 1\n', [], 'it was a plain function and is a generator', False),
    ('import error', 'import no_such_module\n' + GOOD, [], 'no_such_module', True),
    ('raises', 'VALUE = 1 / 0\n' + GOOD, [], 'ZeroDivisionError', True),
]
TARGETS = [
    ('cli_shop.nothing', 'nothing'),
    ('cli_shop.Order.nothing', 'nothing'),
    ('no_such_module.total', 'no_such_module'),
    ('cli_shop.RATE', 'RATE'),
    ('cli_shop.Order', 'Order'),
    ('cli_shop', 'cli_shop'),
    ('', ''),
    ('cli_shop..total', 'cli_shop'),
    ('cli_shop.total@7', '7'),
]


def unchanged(work):
    work.expect_value('shop.total([1, 2]), shop.total.__doc__, shop.RATE', (3, 'What they cost.', 2))
    (process,) = cli_json('ls', '-p', work.pid)['processes']
    check(not [p for p in process.get('patches', []) if p['state'] in ('applied', 'leased')], 'patches: %r' % process)


def refused(work, arguments, says, traceback=False, status=1):
    document = cli_json(*arguments, status=status)
    error = document['error'] or document['processes'][0]['error']
    check(says in error['text'], 'it says %r, not %r' % (error['text'], says))
    check('\n' not in error['text'], 'more than a line: %r' % error['text'])
    check(bool(error['traceback']) == traceback, 'traceback: %r' % error['traceback'])
    done = cli(*arguments, status=status)
    check(error['text'] in done.errors and done.errors.startswith('pylu-cli: '), 'as text it says %r' % done.errors)
    if traceback:
        check('    ' + error['traceback'].strip().split('\n')[-1] in done.errors, 'no traceback in %r' % done.errors)
    unchanged(work)


def sources(folder, python):
    work = Work(folder, python)
    for name, text, options, says, traceback in SOURCES:
        path = write(folder, 'source.py', text, 'wb' if isinstance(text, bytes) else 'w')
        try:
            refused(work, ['redefine', '-p', work.pid, 'cli_shop.total', path] + options, says, traceback)
        except Exception as error:
            error.args = ('%s: %s' % (name, error),)
            raise
    work.finish()


def a_loop(folder, python):
    """Takes the ten seconds that a patch's own code may take."""
    work = Work(folder, python)
    path = write(folder, 'source.py', 'while True:\n    pass\n' + GOOD)
    error = cli_json('redefine', '-p', work.pid, 'cli_shop.total', path, status=1)['processes'][0]['error']
    check('took more than 10 s' in error['text'], error)
    unchanged(work)
    work.finish()


def files(folder, python):
    work = Work(folder, python)
    missing = os.path.join(folder, 'missing.py')
    for path, says in (missing, 'No such file'), (folder, 'directory'):
        done = cli('redefine', '-p', work.pid, 'cli_shop.total', path, status=1)
        check(says in done.errors, done.errors)
    with open(os.path.join(folder, 'large.py'), 'wb') as f:
        f.truncate(50 << 20)
    done = cli('redefine', '-p', work.pid, 'cli_shop.total', f.name, status=1)
    check('too large' in done.errors, done.errors)
    unchanged(work)
    work.finish()


def targets(folder, python):
    work = Work(folder, python)
    path = write(folder, 'fix.py', GOOD + 'def nothing():\n    pass\n')
    for target, says in TARGETS:
        try:
            refused(work, ['redefine', '-p', work.pid, target, path + ':total'], says)
        except Exception as error:
            error.args = ('%r: %s' % (target, error),)
            raise
    refused(work, ['revert', '-p', work.pid, '7'], '7')
    refused(work, ['show', '-p', work.pid, '7'], '7')
    refused(work, ['revert', '-p', work.pid, '0123456789ab'], 'no such patch')
    work.finish()


def half_way(folder, python):
    """The second of two changes fails: the first is not there either."""
    work = Work(folder, python)
    path = write(folder, 'patch.py', 'from pylu import redefine, set_value\n\nset_value("cli_shop", RATE=9)\n\n'
                 '@redefine("cli_shop.total")\ndef total(items, discount=0):\n    return 1\n\n'
                 '@redefine("cli_shop.nothing")\ndef nothing():\n    pass\n')
    refused(work, ['patch', '-p', work.pid, path], 'nothing')
    work.finish()


def usage(folder):
    path = write(folder, 'fix.py', GOOD)
    for arguments in ([], ['redefine'], ['redefine', '-p', '1', 'a.b'], ['redefine', 'a.b', path],
                      ['redefine', '-p', '1', '--all', 'a.b', path], ['redefine', '-p', '1', '--ttl', '0', 'a.b', path],
                      ['redefine', '-p', '1', '--when', 'later', 'a.b', path], ['patch', '-p', '1'], ['nothing'],
                      ['redefine', '-p', '1', '--except', 'ValueError', 'a.b', path],
                      ['revert', '-p', '1'], ['revert', '-p', '1', 'x'], ['revert', '-p', '1,2', '3'], ['ls', '-p', 'x']):
        done = cli(*arguments, status=2)
        check(done.errors, '%r: nothing is said' % arguments)


def no_agent(folder, python):
    """A process without one, one that has ended, one that is no Python."""
    path = write(folder, 'fix.py', GOOD)
    plain = subprocess.Popen(python.command + ['-c', 'print(1, flush=True); input()'], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    running.append(plain)
    plain.stdout.readline()
    other = subprocess.Popen(['sleep', '1000'], preexec_fn=die_with_parent)
    running.append(other)
    gone = subprocess.Popen(['true'])
    gone.wait()
    for pid, says, status in (plain.pid, 'no agent', 1), (other.pid, 'no agent', 1), (gone.pid, 'no process', 1):
        document = cli_json('redefine', '-p', pid, 'a.b', path, status=status)
        check(says in document['processes'][0]['error']['text'], document)
    checks = cli_json('doctor', '-p', plain.pid)['processes'][0]['checks']
    check([c['status'] for c in checks] == ['ok', 'ok', 'limited', 'ok'], checks)
    check(cli_json('doctor', '-p', other.pid, status=3)['processes'][0]['checks'][-1]['name'] == 'python', 'doctor of sleep')
    rows = {p['pid']: p for p in cli_json('ps')['processes']}
    check(plain.pid in rows and rows[plain.pid]['agent'] is None and rows[plain.pid]['attachable'], rows.get(plain.pid))
    check(other.pid not in rows, 'ps lists sleep')


def stopped(folder, python):
    """A stopped process does not answer; once it goes on it is as it was."""
    work = Work(folder, python)
    path = write(folder, 'fix.py', GOOD)
    os.kill(work.pid, signal.SIGSTOP)
    document = cli_json('redefine', '-p', work.pid, '--timeout', '0.5', 'cli_shop.total', path, status=1)
    check(str(work.pid) in document['processes'][0]['error']['text'], document)
    os.kill(work.pid, signal.SIGCONT)
    unchanged(work)
    cli('redefine', '-p', work.pid, 'cli_shop.total', path)
    work.expect_value('shop.total([1])', 'new')
    work.finish()


def users(folder, python):
    """The owner may, root may, another user may not; and where the process is not dumpable, only root may."""
    if os.geteuid() != 0 or not shutil.which('setpriv'):
        raise Skipped('three users need root and setpriv')
    if python.foreign:
        raise Skipped('only root can start it in its root file system')
    owner, other = 64123, 64124
    path = write(folder, 'fix.py', GOOD)
    os.chmod(path, 0o644)
    copy = os.path.join(folder, 'pylu-cli')
    shutil.copyfile(pylu_cli(), copy)
    os.chmod(copy, 0o755)

    def become_owner():
        os.setgroups([])
        os.setresgid(owner, owner, owner)
        os.setresuid(owner, owner, owner)
        die_with_parent()  # a change of user takes it back

    def run(uid, *arguments, status):
        command = ['setpriv', '--reuid=%d' % uid, '--regid=%d' % uid, '--clear-groups', copy] + [str(a) for a in arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        check(done.returncode == status, 'uid %d: %s ended with %d, not %d: %s%s'
              % (uid, arguments, done.returncode, status, done.stdout, done.stderr))
        return done.stdout + done.stderr

    work = Work(folder, python, preexec_fn=become_owner)
    work.expect_value('os.geteuid()', owner)
    said = run(other, 'redefine', '-p', work.pid, 'cli_shop.total', path, status=4)
    check('belongs to user %d: only that user and root' % owner in said, said)
    run(other, 'ls', '-p', work.pid, status=4)
    said = run(other, 'doctor', '-p', work.pid, status=4)
    check('another user may not' in said, said)
    work.expect_value('shop.total([1])', 1)
    run(owner, 'redefine', '-p', work.pid, 'cli_shop.total', path, status=0)
    work.expect_value('shop.total([1])', 'new')
    check('uid %d' % owner in run(owner, 'ls', '-p', work.pid, status=0), 'who')
    cli('revert', '-p', work.pid, 1)
    work.expect_value('shop.total([1])', 1)
    work.expect_value('__import__("ctypes").CDLL(None).prctl(4, 0)', 0)  # PR_SET_DUMPABLE
    said = run(owner, 'redefine', '-p', work.pid, 'cli_shop.total', path, status=4)
    check('only root may reach its agent' in said, said)
    said = run(owner, 'doctor', '-p', work.pid, status=4)
    check('only root may reach it' in said, said)
    work.expect_value('shop.total([1])', 1)
    cli('redefine', '-p', work.pid, 'cli_shop.total', path)
    work.expect_value('shop.total([1])', 'new')
    work.finish()


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    found = suite.interpreters()
    suite.run('usage', usage)
    for python in found[:1] + found[1:][-1:]:
        for case in sources, files, targets, half_way, no_agent, stopped:
            suite.run('%s: %s' % (python.text, case.__name__), case, python, python=python)
    for python in found[-1:]:
        suite.run('%s: a_loop' % python.text, a_loop, python, python=python)
    own = [python for python in found if python.path.startswith('/usr/')]
    for python in own[:1]:
        suite.run('%s: users' % python.text, users, python, python=python)
    if not own:
        suite.note_skip('users: no interpreter that all users can run')
    suite.finish()


main()
