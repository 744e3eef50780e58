#!/usr/bin/env python3
"""test_agent_compile: what the compiler of pylu-cli makes of a patch, in every interpreter: by itself (tests/targets/compiled.py), and in
a child of a running process as pylu-cli does it (tests/tools/ask_compile)."""
import ast
import errno
import json
import os
import shutil
import signal
import subprocess
import time

import harness
from harness import check

COMPILER = os.path.join(harness.ROOT, 'agent', 'python', 'compiler.py')
LIMIT = 4  # functions of each module of the library


def by_itself(folder, python):
    """In the interpreter itself: all cases, and the library's functions redefined with their own text."""
    shutil.copy(COMPILER, folder)  # a foreign root has nothing else of ours
    done = subprocess.run(python.command + [os.path.join(harness.TARGETS, 'compiled.py'), os.path.join(folder, 'compiler.py'), str(LIMIT)],
                          capture_output=True, encoding='utf-8', timeout=harness.PATIENCE, preexec_fn=harness.die_with_parent)
    check(done.returncode == 0, 'it ended with %d: %s' % (done.returncode, done.stderr[-2000:]))
    words = done.stdout.splitlines()[-1].split()
    check(words[0] == 'done' and words[3] == '0', done.stdout)
    check(int(words[1]) > 100 and int(words[2]) > 150, 'hardly anything was compared: %s' % words)
    return '%s cases, %s functions' % (words[1], words[2])


class Live:
    """A process, and what is asked for it."""

    def __init__(self, folder, python, *arguments, programs=harness.TARGETS, **more):
        os.chmod(folder, 0o755)
        self.folder = folder
        self.target = harness.Target(python.command + [os.path.join(programs, 'compiled_live.py'), folder] + list(arguments), **more)
        self.target.expect('ready')

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, source, *options):
        with open(self.path('new.py'), 'wb') as f:
            f.write(source if isinstance(source, bytes) else source.encode())
        return [harness.tool('ask_compile'), str(self.target.pid), self.path('new.py'), self.path('answers'), self.path('blob')] + list(options)

    def compile(self, source, *options):
        """(code, text, errors)"""
        done = subprocess.run(self.command(source, *options), capture_output=True, encoding='utf-8', timeout=harness.PATIENCE)
        code, _, text = done.stdout.partition(' ')
        check(code, 'ask_compile ended with %d: %s' % (done.returncode, done.stderr))
        return int(code), text, done.stderr

    def apply(self):
        self.target.go()
        return ast.literal_eval(self.target.expect('applied'))


REDEFINE = 'import math\ndef price(n):\n    return math.floor(n) * RATE + 1\n'
PATCH = ('from pylu import redefine, add\n@redefine("__main__.price")\ndef price(n): return n * RATE + 2\n'
         '@redefine("__main__.Shop.total")\ndef total(self, n=5): return price(n)\nadd("__main__", NEW="\U0001f40d\u2028")\n')


def in_a_child(folder, python):
    live = Live(folder, python)
    original = 'def price(n):\n    # As it was.\n    return n * RATE\n'
    code, text, errors = live.compile(REDEFINE, 'redefine', '__main__.price')
    check(code == 0, errors)
    summary = json.loads(text)
    check(summary['changes'][0]['signature'] == {'old': '(n)', 'new': '(n)'}, summary)
    got = live.apply()
    check(got == [7, 2, None, [original]], 'after redefine: %r' % got)
    with open(live.path('answers')) as f:
        answers = json.load(f)
    check(answers['__main__.price']['line'] > 1, answers)
    code, text, errors = live.compile(PATCH)
    check(code == 0, errors)
    got = live.apply()
    check(got == [8, 17, '\U0001f40d\u2028', [original, '    def total(self, n=2):\n        return n\n', None]], 'after patch: %r' % got)
    refusals(live)
    live.target.finish()


def refusals(live):
    code, text, errors = live.compile('def price(n):\n    return (n\n', 'redefine', '__main__.price')
    check(code != 0 and 'has a syntax error in line' in errors and 'SyntaxError' in text and '    return (n' in text, (code, text, errors))
    code, text, errors = live.compile('def price(m): pass', 'redefine', '__main__.price')
    check(code != 0 and "parameter 'n' is now 'm'" in errors, (code, text, errors))
    code, text, errors = live.compile('def price(m): pass', 'redefine', '__main__.price', 'force')
    check(code == 0 and "parameter 'n' is now 'm'" in text, (code, text, errors))
    code, text, errors = live.compile(b'#' * (4 << 20) + b'\n', 'redefine', '__main__.price')
    check(code != 0 and 'is too large' in errors, (code, text, errors))
    code, text, errors = live.compile('def nothing(n): pass', 'redefine', '__main__.nothing')
    check(code != 0 and 'there is no __main__.nothing' in errors, (code, text, errors))


def once(folder, python):
    """What does not depend on the interpreter: files that are not the target's to read, and a child that hangs or dies."""
    secret = os.path.join(folder, 'secret.py')
    live = Live(folder, python, secret)
    with open(live.path('answers')) as f:
        line = json.load(f)['__main__.price']['line']
    with open(secret, 'w') as f:
        f.write('\n' * (line - 1) + 'def price(secret): pass\n')
    os.chmod(secret, 0o644)
    check(live.compile(REDEFINE, 'redefine', '__main__.price')[0] == 0, 'it does not compile')
    check(live.apply()[3] == ['def price(secret): pass\n'], 'the original is not read from the file that is named')
    os.unlink(secret)
    os.mkfifo(secret)  # nobody writes to it
    check(live.compile(REDEFINE, 'redefine', '__main__.price')[0] == 0, 'it does not compile')
    check(live.apply()[3] == [None], 'a pipe was read')
    code, _, errors = live.compile(BIG, 'redefine', '__main__.price', 'limit', '1')
    check(code == -errno.ETIMEDOUT and 'was not done after 1 ms' in errors, (code, errors))
    stopped(live)
    live.target.finish()


NOBODY = 65534
BIG = ''.join('def f%d(x): return [x for x in (x, %d) if x]\n' % (n, n) for n in range(20000)) + 'def price(n): pass\n'  # takes a while


def embedded(folder, python):
    """A program that is more than Python: no child of it is started."""
    program = os.path.join(folder, 'program')
    shutil.copy(python.path, program)
    environment = dict(os.environ, PYTHONHOME=subprocess.check_output([python.path, '-c', 'import sys; print(sys.prefix)'], encoding='utf-8').strip())
    live = Live(folder, python._replace(command=[program]), env=environment)
    code, _, errors = live.compile(REDEFINE, 'redefine', '__main__.price')
    check(code != 0 and 'no child could be started to compile the patch: the interpreter is part of a program' in errors, (code, errors))
    code, _, errors = live.compile(REDEFINE, 'redefine', '__main__.price', 'serve')
    check(code == -errno.ECANCELED and 'bytes for the target' in errors, (code, errors))
    live.target.finish()


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]


def of_another_user(folder, python):
    """pylu-cli as root reads nothing into a process that the process could not read itself."""
    def drop():
        harness.die_with_parent()
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.chown(folder, NOBODY, NOBODY)
    for name in ('compiled.py', 'compiled_live.py'):
        shutil.copy(os.path.join(harness.TARGETS, name), folder)
    secret = os.path.join(folder, 'secret.py')
    live = Live(folder, python, secret, programs=folder, preexec_fn=drop)
    with open(live.path('answers')) as f:
        line = json.load(f)['__main__.price']['line']
    with open(secret, 'w') as f:
        f.write('\n' * (line - 1) + 'def price(secret): pass\n')
    for mode, original in ((0o600, None), (0o644, 'def price(secret): pass\n')):
        os.chmod(secret, mode)
        code, _, errors = live.compile(REDEFINE, 'redefine', '__main__.price')
        check(code == 0, errors)
        os.chmod(live.path('blob'), 0o644)
        got = live.apply()[3]
        check(got == [original], 'of a file of mode %o: %r' % (mode, got))
    live.target.finish()


def stopped(live):
    """The child is killed while it works."""
    process = subprocess.Popen(live.command(BIG, 'redefine', '__main__.price'), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               encoding='utf-8', preexec_fn=harness.die_with_parent)
    harness.running.append(process)
    end = time.monotonic() + harness.PATIENCE
    while not children(process.pid):
        check(process.poll() is None and time.monotonic() < end, 'no child was started')
        time.sleep(0.001)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    out, errors = process.communicate(timeout=harness.PATIENCE)
    check(process.returncode == 1 and 'the compiler ended without an answer' in errors, (process.returncode, out, errors))


def main():
    suite = harness.Suite(__doc__)
    suite.start()
    pythons = suite.interpreters()
    for python in pythons:
        suite.run(python.name, by_itself, python, python=python)
        suite.run('%s, in a child' % python.name, in_a_child, python, python=python)
    if pythons:
        suite.run('files and ends', once, pythons[0], python=pythons[0])
    for python in [p for p in pythons if p.origin == 'this system'][:1]:
        suite.run('%s, in a program' % python.name, embedded, python, python=python)
        suite.run('%s, of another user' % python.name, of_another_user, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
