"""inspecting: sessions of `pylu-bpf line`, `debug` and `var`, and what they should say: the truth of tests/targets/inspect_run.py.
The tests say what is compared."""
import ast
import json
import os
import re
import subprocess

import harness
from harness import Failed, Session, Target, check

RUNNER = os.path.join(harness.TARGETS, 'inspect_run.py')
LIMITS = ['--depth', '4', '--items', '50', '--rate', '0']


class Inspection(Session):
    """One session with json output. `status` other than 0 is checked by who expects it."""

    def __init__(self, command, pid, *arguments, **more):
        super().__init__([command, '-p', str(pid), '-f', 'json'] + list(arguments), **more)
        self.lines = command == 'line'

    def watching(self):
        ready = (self.stderr.wait_for('pylu-bpf: watching') if self.lines else
                 self.stdout.wait_for('{"record":"header"'))
        if ready is None:
            raise Failed('pylu-bpf %s ended with %d before it watched: %s'
                         % (' '.join(self.command[1:]), self.status(), self.stderr.text()))
        return self

    def result(self):
        """What it wrote: the header, the events and the summary, or for `line` the one object."""
        status = self.status()
        check(status == 0, 'pylu-bpf %s ended with %d: %s' % (' '.join(self.command[1:]), status, self.stderr.text()))
        text = self.stdout.text()
        if self.lines:
            return json.loads(text)
        records = [json.loads(line) for line in text.splitlines()]
        check(records and records[-1]['record'] == 'summary', 'there is no summary')
        return Events(records)

    def refused(self, status, *words):
        """It must end so, and say these words."""
        got = self.status()
        said = self.stderr.text()
        check(got == status, 'pylu-bpf %s ended with %d, not %d: %s' % (' '.join(self.command[1:]), got, status, said))
        for word in words:
            check(re.search(word, said), '%r is not said, but: %s' % (word, said))
        return said


class Events:
    def __init__(self, records):
        self.header, self.events, self.summary = records[0], records[1:-1], records[-1]

    def whole(self):
        """Nothing is missing that could be. Strays may be: what is traced, or closed, is also read without being executed."""
        for what in 'lost', 'suppressed', 'unsure':
            check(not self.summary[what], '%s: %d' % (what, self.summary[what]))
        check(self.summary['events'] == len(self.events), 'the summary tells of %d events, there are %d'
              % (self.summary['events'], len(self.events)))
        return self.events


class Runner(Target):
    """A target of inspect_run that was started and waits."""

    def __init__(self, python, path, name, *how, **more):
        super().__init__(python.command + ['-B', RUNNER, path, name] + list(how), **more)
        self.expect('ready')

    def round(self):
        self.go()
        self.expect('done')


class Function:
    """A function of the source: its name, and of its lines what is said behind '#:'."""

    def __init__(self, qualname, first, last):
        self.name = qualname.split('.')[-1]
        self.qualname = qualname
        self.first = first  # as co_firstlineno: that of the first decorator
        self.last = last
        self.lines = {}  # line: (uses, defines)


def functions(path):
    """{co_firstlineno: Function} of all functions with a `def` in a source file."""
    with open(path) as f:
        source = f.read()
    found = {}

    def visit(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([child.lineno] + [d.lineno for d in child.decorator_list])
                found[first] = Function(prefix + child.name, first, child.end_lineno)
                visit(child, prefix + child.name + '.<locals>.')
            else:
                visit(child, prefix + child.name + '.' if isinstance(child, ast.ClassDef) else prefix)

    visit(ast.parse(source), '')
    for number, text in enumerate(source.splitlines(), 1):
        match = re.search(r'#: ?(.*?) ?-> ?(.*)$', text)
        if match:
            owner = max((f for f in found.values() if f.first <= number <= f.last), key=lambda f: f.first)
            owner.lines[number] = match.group(1).split(), match.group(2).split()
    return found


class Happened:
    """A line was entered or left."""

    def __init__(self, record):
        self.what, self.name, self.line, self.first, self.variables = record


def truth(python, path, name):
    """{(co_firstlineno, co_name): [Happened]}, in order."""
    done = subprocess.run(python.command + ['-B', RUNNER, path, name, '--truth'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
    check(done.returncode == 0, 'the twin ended with %d: %s' % (done.returncode, done.stderr.decode()[-2000:]))
    found = {}
    for line in done.stdout.splitlines():
        happened = Happened(json.loads(line))
        found.setdefault((happened.first, happened.name), []).append(happened)
    return found


def variable(variables, name):
    """What a dotted name stands for, in the form of json; None: the twin does not tell."""
    first, *attrs = name.split('.')
    value = variables.get(first, {'unbound': True})
    for attr in attrs:
        if not isinstance(value, dict) or 'attrs' not in value:
            return None
        value = value['attrs'].get(attr, value['class'].get(attr))
    return value


def same(ours, right):
    """Whether a value of the output is the one of the twin. Of what has no simple form the type is compared."""
    if isinstance(right, dict) and 'type' in right:
        if not isinstance(ours, dict) or ours.get('type') != right['type']:
            return False
        if 'repr' in right:
            return ours.get('repr') == right['repr']
        if 'attrs' in right:
            return all(same(ours.get('attrs', {}).get(k), v) for k, v in right['attrs'].items())
        if 'items' not in right:
            return True
        if right['type'] in ('set', 'frozenset'):
            return sorted(map(repr, ours['items'])) == sorted(map(repr, right['items']))
        return ours['total'] == right['total'] and same(ours['items'], right['items'])
    if isinstance(right, list):
        return isinstance(ours, list) and len(ours) == len(right) and all(map(same, ours, right))
    return type(ours) is type(right) and ours == right
