#!/usr/bin/env python3
"""Threads, processes and sessions, what users do wrong and what can go wrong around them, on every interpreter found."""
import os
import re
import subprocess
import time

import cases
import harness
from cases import PRELUDE, Result, case, sound, start, watch, write
from harness import Session, Skipped, Target, check


# --- threads and processes ---

@case
def threads_come_and_go(folder, python):
    result, _ = watch(folder, python, '''
import threading
def f(): return 1
def work(n):
    for i in range(n): f()
def gen():
    for i in range(20): yield f()
def consume():
    for v in gen(): pass
gate('ready')
for i in range(200):
    t = threading.Thread(target=work, args=(10,)); t.start(); t.join()
ts = [threading.Thread(target=work, args=(3000,)) for i in range(8)] + [threading.Thread(target=consume) for i in range(8)]
for t in ts: t.start()
for t in ts: t.join()
gate('done')
''')
    result.expect({'f': 2000 + 24000 + 160, 'work': 208, 'gen': 8, 'consume': 8})
    result.expect_callers({('work', 'f'): 26000, ('gen', 'f'): 160, ('consume', 'gen'): 8, ('run', 'work'): 208})
    threads = result.profile['processes'][0]['threads']
    main = [t for t in threads if t['tid'] == result.profile['processes'][0]['pid']]
    check(main and main[0]['name'] == 'MainThread', 'the main thread: %s' % [(t['tid'], t['name']) for t in threads[:5]])


FORKS = '''
def f(): return 1
def child():
    for i in range(70): f()
def parent():
    for i in range(100): f()
gate('ready')
for n in range(3):
    pid = os.fork()
    if not pid:
        child()
        os._exit(0)
    os.waitpid(pid, 0)
pid = os.fork()
if not pid:
    if not os.fork():
        child()
        os._exit(0)
    os.wait()
    os._exit(0)
os.waitpid(pid, 0)
parent()
gate('done')
'''


@case
def fork_without_tree(folder, python):
    result, _ = watch(folder, python, FORKS)
    result.expect({'f': 100, 'parent': 1, 'child': 0})
    check(len(result.profile['processes']) == 1, '%d processes' % len(result.profile['processes']))


@case
def fork_with_tree(folder, python):
    target, path = start(folder, python, FORKS)
    target.expect('ready')
    session = Session(['--tree', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    profile = session.stop()
    target.go()
    target.finish()
    sound(profile, False)
    mine = Result(profile, path, target.pid)
    mine.expect({'f': 100, 'parent': 1, 'child': 0})
    everything = Result(profile, path)
    everything.expect({'f': 100 + 4 * 70, 'child': 4, 'parent': 1})
    counts = sorted(Result(profile, path, process['pid']).sum('f') for process in profile['processes'])
    check(counts in ([0, 70, 70, 70, 70, 100], [70, 70, 70, 70, 100]), 'calls of f by process: %s' % counts)


@case
def exec_in_mid_flight(folder, python):
    write(folder, 'second.py', PRELUDE + 'def f(): return 1\nfor i in range(1000): f()\ngate("second")\n')
    target, path = start(folder, python, '''
def f(): return 1
gate('ready')
for i in range(500): f()
os.execv(sys.executable, [sys.executable, 'second.py'])
''')
    target.expect('ready')
    session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('second')
    profile = session.stop()
    sound(profile, False)
    Result(profile, path, target.pid).expect({'f': 500})
    check(profile['processes'][0]['ended'], 'the process is not marked as ended')
    check(not harness.text_differs(target.pid), 'the new image has breakpoints')
    target.go()
    target.finish()


@case
def target_ends(folder, python):
    for how, status in (('', 0), ('os._exit(0)', 0), ('os.kill(os.getpid(), 9)', -9)):
        target, path = start(folder, python, '''
def f(): return 1
gate('ready')
for i in range(500): f()
%s
''' % how)
        target.expect('ready')
        session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
        target.go()
        got = harness.ended(target.process, 'the target')
        check(got == status, 'the target ended with %d: %s' % (got, target.error_text()))
        profile = session.result()      # ends by itself: there is nothing left to watch
        sound(profile, False)
        Result(profile, path, target.pid).expect({'f': 500})
        check(profile['processes'][0]['ended'], 'the process is not marked as ended')


@case
def several_targets(folder, python):
    text = '''
def f(): return 1
gate('ready')
for i in range(int(sys.argv[1])): f()
gate('done')
'''
    path = write(folder, 'target.py', PRELUDE + text)
    targets = [Target(python.command + [path, str(n)], cwd=folder) for n in (300, 500)]
    for target in targets:
        target.expect('ready')
    session = Session(['-p', ','.join(str(t.pid) for t in targets), '**'], os.path.join(folder, 'profile.json')).watching()
    for target in targets:
        target.go()
    for target in targets:
        target.expect('done')
    profile = session.stop()
    for target, n in zip(targets, (300, 500)):
        Result(profile, path, target.pid).expect({'f': n})
        target.go()
        target.finish()
    sound(profile)


@case
def a_command(folder, python):
    path = write(folder, 'target.py', 'def f(): return 1\nfor i in range(300): f()\nprint("said", flush=True)\n')
    session = cases.run_command(folder, python, ['**'], path)
    profile = session.result()
    sound(profile, False)
    Result(profile, path).expect({'f': 300})
    check('said' in session.stdout.text(), 'the command\'s output is missing')


@case
def other_processes_of_the_same_build(folder, python):
    """Probes sit in a file: who else runs it must not be counted, and must go on."""
    other, _ = start(folder, python, '''
def f(): return 1
gate('ready')
n = 0
import select
while not select.select([0], [], [], 0)[0]:
    for i in range(1000): f()
    n += 1
os.read(0, 1)
gate('done', n > 0)
''', 'other.py')
    other.expect('ready')
    other.go()
    result, _ = watch(folder, python, '''
def f(): return 1
gate('ready')
for i in range(20000): f()
gate('done')
''')
    result.expect({'f': 20000})
    check([process['pid'] for process in result.profile['processes']] == [result.profile['processes'][0]['pid']], 'processes')
    other.go()
    check(other.expect('done') == 'True', 'the other process did nothing')
    other.go()
    other.finish()


@case
def greenlets(folder, python):
    done = subprocess.run(python.command + ['-c', 'import greenlet'], stderr=subprocess.DEVNULL)
    if done.returncode:
        raise Skipped('the module greenlet is not installed for %s' % python.name)
    result, _ = watch(folder, python, '''
import greenlet
def f(): return 1
def a():
    for i in range(1000):
        f(); gb.switch()
def b():
    while True:
        f(); f(); ga.switch()
ga, gb = greenlet.greenlet(a), greenlet.greenlet(b)
gate('ready')
ga.switch()
gate('done')
''', finished=False)
    result.expect({'f': 3000, 'a': 1, 'b': 1})
    result.expect_callers({('a', 'f'): 1000, ('b', 'f'): 2000})


# --- sessions ---

@case
def two_sessions_on_one_target(folder, python):
    target, path = start(folder, python, '''
def f(): return 1
def g(): return f()
gate('ready')
for i in range(1000): f()
gate('one')
for i in range(2000): g()
gate('two')
for i in range(4000): f()
gate('done')
''')
    target.expect('ready')
    pid = str(target.pid)
    first = Session(['-p', pid, '**'], os.path.join(folder, 'first.json')).watching()
    target.go()
    target.expect('one')
    second = Session(['-p', pid, '**'], os.path.join(folder, 'second.json')).watching()
    target.go()
    target.expect('two')
    Result(first.stop(), path).expect({'f': 3000, 'g': 2000})
    target.go()
    target.expect('done')
    Result(second.stop(), path).expect({'f': 6000, 'g': 2000})
    harness.wait_unprobed(target.pid)
    target.go()
    target.finish()


@case
def killed_at_any_moment(folder, python):
    target, path = start(folder, python, '''
import select
count = [0, 0]
def f(): count[0] += 1
def gen():
    count[1] += 1
    yield 1
    yield 2
gate('ready')
n = 0
while not select.select([0], [], [], 0)[0]:
    for i in range(100):
        f(); list(gen())
    n += 100
os.read(0, 1)
gate('stopped', count == [n, n])
for i in range(1000): f()
gate('done')
''')
    target.expect('ready')
    target.go()
    for i in range(12):
        session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json'))
        if i % 4 == 3:
            session.watching()
            check(harness.text_differs(target.pid), 'pylu-bpf watches and the text is as in the file: this test sees nothing')
        else:
            time.sleep(0.02 * i)    # any moment of the start will do
        session.process.kill()
        harness.ended(session.process, 'pylu-bpf')
    harness.wait_unprobed(target.pid)
    target.go()
    check(target.expect('stopped') == 'True', 'the target counted wrong')
    session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    Result(session.stop(), path).expect({'f': 1000})
    harness.wait_unprobed(target.pid)
    target.go()
    target.finish()


@case
def ends_by_itself_after_d(folder, python):
    target, path = start(folder, python, 'def f(): return 1\ngate("ready")\nfor i in range(100): f()\ngate("done")\n')
    target.expect('ready')
    session = Session(['-p', str(target.pid), '-d', '1', '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    profile = session.result()
    check(profile['duration_s'] >= 1, 'duration_s %s' % profile['duration_s'])
    check(profile['format'] == 'pylu-profile' and profile['version'] == 1 and profile['patterns'] == ['**'], 'header')
    Result(profile, path).expect({'f': 100})
    target.go()
    target.finish()


# --- what users do wrong, and what can go wrong around them ---

def refuse(arguments, status, *words, output=None, **more):
    """pylu-bpf must end with `status` (one or a tuple) and say all `words` (regular expressions) on stderr."""
    before = set(os.listdir(more['cwd'])) if 'cwd' in more else None
    session = Session(arguments if output is None else ['profile', '-o', output] + arguments, **more)
    got = session.status()
    text = session.stderr.text()
    check(got in (status if isinstance(status, tuple) else (status,)), '%s: exit status %d, right is %s: %s'
          % (arguments, got, status, text))
    for word in words:
        check(re.search(word, text, re.I), '%s: no %r in: %s' % (arguments, word, text))
    check(text.strip() and len(text.splitlines()) <= 6, '%s: not one clear sentence: %r' % (arguments, text))
    check('watching' not in text or status == 1 and 'full' in ' '.join(arguments + [str(output)]),
          '%s: it measured first: %s' % (arguments, text))
    if before is not None:
        check(set(os.listdir(more['cwd'])) == before, '%s: left %s' % (arguments, set(os.listdir(more['cwd'])) - before))


def idle(folder, python):
    target, path = start(folder, python, '''
def compute(): return 1
class Shop:
    def basket(self): return 1
gate('ready')
compute(); Shop().basket()
gate('done')
''')
    target.expect('ready')
    return target, path


@case
def usage_errors(folder, python):
    target, _ = idle(folder, python)
    pid = str(target.pid)
    for arguments in (['profile'], ['profile', '**'], ['profile', '-p', pid], ['profile', '-p', 'abc', '**'],
                      ['profile', '-p', '-1', '**'], ['profile', '-p', pid + ',', '**'], ['profile', '-p', pid, '-f', 'gif', '**'],
                      ['profile', '-p', pid, '-d', 'long', '**'], ['profile', '-p', pid, '-d', '-1', '**'],
                      ['profile', '-p', pid, '--backend', 'magic', '**'], ['profile', '-p', pid, 'a..b'],
                      ['profile', '-p', pid, ''], ['profile', '-p', pid, '***'], ['profile', '--nonsense'], ['nonsense'],
                      ['profile', '-p', pid, '--tree', pid, '**'], ['profile', '-p', '99999999999999999999', '**'],
                      ['profile', '-p', pid, '**', '--']):
        refuse(arguments, 2, cwd=folder)
    check(not harness.text_differs(target.pid), 'the target has breakpoints')


@case
def wrong_targets(folder, python):
    target, _ = idle(folder, python)
    gone = subprocess.Popen(['true'])
    gone.wait()
    refuse(['profile', '-p', str(gone.pid), '**'], 1, str(gone.pid), 'no (such )?process', cwd=folder)
    refuse(['profile', '--tree', str(gone.pid), '**'], 1, str(gone.pid), 'no (such )?process', cwd=folder)
    sleeper = Target(['sleep', '600'])
    refuse(['profile', '-p', str(sleeper.pid), '**'], 3, str(sleeper.pid), 'python', 'pylu-bpf ps', cwd=folder)
    refuse(['profile', '-p', '2', '**'], (1, 3), r'\b2\b', cwd=folder)      # a thread of the kernel
    zombie = Target(['true'])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    refuse(['profile', '-p', str(zombie.pid), '**'], (1, 3), str(zombie.pid), cwd=folder)
    refuse(['profile', '**', '--', './no-such-program'], 1, 'no-such-program', cwd=folder)
    refuse(['profile', '**', '--', 'true'], 3, 'true', 'python', cwd=folder)
    check(not harness.text_differs(target.pid), 'the target has breakpoints')


@case
def unsupported_versions(folder, python):
    root = harness.interpreters.pyenv_root()
    old = [os.path.join(root, 'versions', name, 'bin', 'python3') for name in
           (os.listdir(os.path.join(root, 'versions')) if os.path.isdir(os.path.join(root, 'versions')) else [])
           if re.match(r'3\.[0-7]\.', name)]
    old = [path for path in old if os.access(path, os.X_OK)]
    if not old:
        raise Skipped('no interpreter older than 3.8 found')
    for path in old:
        target = Target([path, write(folder, 'old.py', PRELUDE + "gate('ready')\n")])
        target.expect('ready')
        refuse(['profile', '-p', str(target.pid), '**'], 3, r'3\.[0-7]\.', 'supported', cwd=folder)
        target.go()
        target.finish()


@case
def not_permitted(folder, python):
    target, _ = idle(folder, python)
    os.chmod(folder, 0o755)
    program = os.path.join(folder, 'pylu-bpf')
    with open(harness.pylu_bpf(), 'rb') as f, open(program, 'wb') as g:
        g.write(f.read())
    os.chmod(program, 0o755)

    def drop():
        harness.die_with_parent()
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    # A command is held back until the probes are live, and must end when they never are.
    for arguments in ['-p', str(target.pid), '**'], ['**', '--', '/usr/bin/python3', '-c', 'print("ran")']:
        session = Session(['profile'] + arguments, preexec_fn=drop, executable=program)
        status, text = session.status(), session.stderr.text()
        check(status == 4, '%s: exit status %d: %s' % (arguments, status, text))
        check('CAP_' in text and 'pylu-bpf doctor' in text, '%s: what to do is not said: %s' % (arguments, text))
        check('ran' not in session.stdout.text(), 'the command ran')


@case
def patterns_that_match_nothing(folder, python):
    target, _ = idle(folder, python)
    session = Session(['profile', '-p', str(target.pid), '-f', 'text', '__main__.compote'])
    line = session.stderr.wait_for('pylu-bpf: watching')
    if line is not None:
        target.go()
        target.expect('done')
        session.interrupt()
    status = session.status()
    text = session.stderr.text() + session.stdout.text()
    check(status in (0, 1), 'exit status %d: %s' % (status, text))
    check('__main__.compute' in text and '__main__.compote' in text, 'what is near is not said: %s' % text)


@case
def output_that_cannot_be_written(folder, python):
    target, _ = idle(folder, python)
    pid = str(target.pid)
    missing = os.path.join(folder, 'no', 'such', 'folder.json')
    refuse(['-p', pid, '**'], 1, re.escape(missing), 'no such file', output=missing, cwd=folder)
    refuse(['-p', pid, '**'], 1, re.escape(folder), 'directory', output=folder, cwd=folder)
    check(not harness.text_differs(target.pid), 'the target has breakpoints')
    for arguments, output in ((['profile', '-f', 'json', '-o', '/dev/full'], subprocess.PIPE),
                              (['profile', '-f', 'json'], open('/dev/full', 'wb'))):
        process = subprocess.Popen([harness.pylu_bpf()] + arguments + ['-p', pid, '-d', '0.2', '**'], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
        harness.running.append(process)
        errors = harness.Reader(process.stderr)
        status = harness.ended(process, 'pylu-bpf')
        check(status == 1 and re.search('no space left', errors.text(), re.I),
              '%s with a full disk: exit status %d: %s' % (arguments, status, errors.text()))
    harness.wait_unprobed(target.pid)
    target.go()
    target.expect('done')
    target.go()
    target.finish()


@case
def interrupted_in_every_format(folder, python):
    for name in 'text', 'json', 'folded', 'svg':
        target, _ = start(folder, python, 'def visible_name(): return 1\ngate("ready")\nfor i in range(100): visible_name()\n'
                          'gate("done")\n')
        target.expect('ready')
        session = Session(['profile', '-p', str(target.pid), '-f', name, '**']).watching()
        target.go()
        target.expect('done')
        session.interrupt()
        check(session.status() == 0, 'exit status %d: %s' % (session.status(), session.stderr.text()))
        check('visible_name' in session.stdout.text(), '-f %s: %s' % (name, session.stdout.text()[:500]))
        target.go()
        target.finish()


if __name__ == '__main__':
    # Nothing in these depends on the version.
    cases.main(__doc__, once={usage_errors, wrong_targets, unsupported_versions, not_permitted})
