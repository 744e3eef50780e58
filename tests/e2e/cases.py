"""cases: the frame around small programs with known counts. Test files import it and register
functions (folder, python) with @case; the text of a case's target follows PRELUDE. What a target counts itself it says after the word 'done'.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

import compare
import harness
from harness import Session, Skipped, Suite, Target, check

PRELUDE = '''import os, sys
def gate(word, *said):
    os.write(1, ' '.join([word] + [str(x) for x in said]).encode() + b'\\n')
    if not os.read(0, 1):
        os._exit(3)
'''
CASES = []
SCHEMA_LIMIT = 1 << 20  # bytes: a profile of ten thousand levels takes minutes to validate


def case(function):
    CASES.append(function)
    return function


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


class Result:
    """A profile with the calls of one file at hand."""

    def __init__(self, profile, file=None, pid=None):
        self.profile = profile
        self.nodes = compare.flatten(profile, pid)
        self.file = file

    def calls(self, name, file=None):
        return [call for _, key, call in self.nodes if key[2] == name and key[0] == (file or self.file)]

    def sum(self, name, field='hits', file=None):
        return sum(call[field] for call in self.calls(name, file))

    def expect(self, hits, field='hits', file=None):
        got = {name: self.sum(name, field, file) for name in hits}
        check(got == hits, '%s: pylu-bpf %s, right is %s' % (field, got, hits))

    def expect_callers(self, wanted):
        """{(caller's name, name): hits} with None for the top of a thread."""
        got = {}
        for parent, key, call in self.nodes:
            edge = self.nodes[parent][1][2] if parent >= 0 else None, key[2]
            got[edge] = got.get(edge, 0) + call['hits']
        got = {edge: got.get(edge, 0) for edge in wanted}
        check(got == wanted, 'hits by caller: pylu-bpf %s, right is %s' % (got, wanted))


def command(python, *arguments):
    """The command line that runs an interpreter."""
    return python.command + list(arguments)


def run_command(folder, python, patterns, *arguments, **more):
    """A session of pylu-bpf with a command, `python` with these arguments. It starts commands in its own root, so it runs
    in that of the interpreter: it is one static file."""
    program = [harness.pylu_bpf()]
    if python.root != '/':
        program = python.command[:-1] + [shutil.copy(program[0], folder)]
    return Session(list(patterns) + ['--', python.command[-1]] + list(arguments), os.path.join(folder, 'profile.json'),
                   program=program, **more)


def output(python, text):
    """What a line of Python prints."""
    return subprocess.run(command(python, '-c', text), stdout=subprocess.PIPE, universal_newlines=True, check=True).stdout


def has_jit(python):
    return output(python, 'import sys; print(int(hasattr(sys, "_jit") and sys._jit.is_available()))').strip() == '1'


def needs_jit(python):
    if not has_jit(python):
        raise Skipped('%s has no JIT compiler' % python.name)


def jit_on():
    """An environment in which it is switched on."""
    return dict(os.environ, PYTHON_JIT='1')


def jit_flag_offset(python):
    """Of the byte in an interpreter's state that tells whether traces are compiled."""
    with open(os.path.join(harness.ROOT, 'userspace', 'layout_table.c')) as table:
        rows = re.findall(r'\.major = 3, \.minor = %d, \.debug = %d,(.*?)\n\t\}' % (
            python.version[1], int(output(python, 'import sys; print(int(hasattr(sys, "gettotalrefcount")))'))),
            table.read(), re.S)
    return int(re.search(r'\.interp_jit = (\d+)', rows[0]).group(1))


def start(folder, python, text, name='target.py', **more):
    path = write(folder, name, PRELUDE + text)
    return Target(command(python, path), cwd=folder, **more), path


def sound(profile, finished=True):
    found = compare.invariants(profile, finished)
    check(not found, '\n    '.join(compare.shorten(found)))


def watch(folder, python, text, patterns=('**',), finished=True):
    """The usual course: a target that says 'ready' and 'done', watched in between. (Result, what it said after 'done')."""
    target, path = start(folder, python, text)
    target.expect('ready')
    session = Session(['-p', str(target.pid)] + list(patterns), os.path.join(folder, 'profile.json')).watching()
    target.go()
    said = target.expect('done')
    profile = session.stop()
    target.go()
    target.finish()
    sound(profile, finished)
    return Result(profile, path, target.pid), said.split()


def main(description, once=(), suits=lambda function, python: True):
    """Runs the cases of the module that calls; those in `once` with one interpreter only, all only where they suit it."""
    suite = Suite(description)
    suite.parser.add_argument('cases', nargs='*', help='names of cases (default: all)')
    options = suite.start()
    wanted = [c for c in CASES if not options.cases or c.__name__ in options.cases]
    unknown = set(options.cases) - {c.__name__ for c in CASES}
    if unknown:
        suite.parser.error('no such case: %s' % ', '.join(sorted(unknown)))
    with tempfile.TemporaryDirectory(prefix='pylu-e2e-') as collected:
        found = suite.interpreters()
        newest = ([p for p in found if p.root == '/'] or found or [None])[-1]
        # Validating takes longer than measuring, and the form does not depend on the version: the two ends stand for all.
        kept = {found[i].path for i in (0, -1)} if found else ()
        for python in found:
            for function in wanted:
                if suits(function, python) and (function not in once or python is newest):
                    suite.run('%s %s' % (python.name, function.__name__), collecting, function, python,
                              collected if python.path in kept or python is newest else None, python=python)
        suite.run('profiles follow the schema', schema, collected)
    suite.finish()


def collecting(folder, function, python, collected):
    said = function(folder, python)
    profile = os.path.join(folder, 'profile.json')
    if collected and os.path.exists(profile) and os.path.getsize(profile) < SCHEMA_LIMIT:
        shutil.copy(profile, os.path.join(collected, '%s-%s.json' % (python.name.replace('/', '-'), function.__name__)))
    return said


def schema(folder, collected):
    files = [os.path.join(collected, name) for name in sorted(os.listdir(collected))]
    if not files:
        raise Skipped('no profile was written')
    done = subprocess.run([sys.executable, os.path.join(harness.HERE, 'check_schema.py')] + files, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode == harness.SKIP:
        raise Skipped('the module jsonschema is not installed for %s' % sys.executable)
    check(done.returncode == 0, done.stderr.decode()[-3000:])
    return '%d profiles' % len(files)
