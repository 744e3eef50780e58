#!/usr/bin/env python3
"""test_inspect: `debug`, `var` and `line` on real hardware watchpoints, against sys.settrace in a twin of the target.

tests/targets/inspected.py does the same in each round. In the twin each line that is entered and left is recorded, with the frame's
variables; in the target pylu-bpf watches some lines for a round, and what it tells must be just that, in that order, with those
values. There are more lines than time: each interpreter gets another choice of them, --all tries all.
"""
import collections
import os
import random
import re
import subprocess
import zlib

import harness
import inspecting
from harness import check
from inspecting import LIMITS, Inspection, Runner, same, variable

MODULE = os.path.join(harness.TARGETS, 'inspected.py')
WORDS = {'enter': 'usevalues', 'leave': 'defvalues'}


def wanted(happened, lines, told):
    """What should be shown: what happened to these lines, where pylu-bpf has anything to tell of it."""
    return [h for h in happened if h.line in lines and (WORDS[h.what], h.line) in told]


def describe(event):
    return '%s of line %s%s' % (event['event'], event['line'], ''.join(
        ' %s=%s' % (v['name'], v['value']) for v in event['values']))


def is_absent(value):
    return value in ({'unbound': True}, {'missing': True})


def compare_values(event, happened, where):
    for shown in event['values']:
        ours, right = shown['value'], variable(happened.variables, shown['name'])
        if right == {'unbound': True}:  # for the twin: it may be a builtin
            check(is_absent(ours) or isinstance(ours, dict) and 'type' in ours and event['event'] == 'usevalues',
                  '%s: %s is %r, and has no value' % (where, shown['name'], ours))
        elif right is not None:
            check(same(ours, right), '%s: %s is %r, right is %r' % (where, shown['name'], ours, right))


def compare_names(event, function, where, wanted=None):
    """The variables are those that the source says, in any order; or the one that was asked for."""
    annotated = function.lines.get(event['line'])
    if wanted:
        check([v['name'] for v in event['values']] == [wanted], '%s: more than %s' % (where, wanted))
    elif annotated:
        names = sorted({v['name'] for v in event['values']})
        right = sorted(set(annotated[event['event'] == 'defvalues']))
        check(names == right, '%s: %s are shown, right is %s' % (where, names, right))


def compare(events, happened, function, lines, said, name=None):
    """The events of a session with these lines of a function, or one variable in them, against all that happened in it."""
    told = {(e['event'], e['line']) for e in events}
    for line in lines:
        annotated = function.lines.get(line)
        for what, names in zip(('usevalues', 'defvalues'), annotated or ()):
            if (name in names if name else names) and any(WORDS[h.what] == what and h.line == line for h in happened):
                check((what, line) in told, '%s: no %s of line %d are told, although it ran' % (said, what, line))
    right = wanted(happened, lines, told)
    for i, (event, h) in enumerate(zip(events, right)):
        where = '%s, event %d (%s)' % (said, i, describe(event))
        check((event['event'], event['line']) == (WORDS[h.what], h.line), '%s: right is %s of line %d; before it %s'
              % (where, WORDS[h.what], h.line, [describe(e) for e in events[max(i - 3, 0):i]]))
        compare_names(event, function, where, name)
        compare_values(event, h, where)
    check(len(events) == len(right), '%s: %d events, right are %d; they differ behind %s' % (
        said, len(events), len(right), describe(events[len(right) - 1]) if 0 < len(right) < len(events) else 'the last'))
    return len(events)


class Round:
    def __init__(self, python, path, name, *how):
        self.python, self.name = python, name
        self.functions = inspecting.functions(path)
        self.truth = inspecting.truth(python, path, name)
        self.target = Runner(python, path, name, *how)
        self.events = self.sessions = 0

    def happened(self, first):
        return self.truth.get((first, self.functions[first].name), [])

    def ran(self, first):
        return sorted({h.line for h in self.happened(first)})

    def named(self, first):
        return '%s.%s:%d' % (self.name, self.functions[first].qualname, first)

    def session(self, command, *arguments):
        """What it told of a round; None: these lines cannot be watched at a time."""
        session = Inspection(command, self.target.pid, *arguments)
        try:
            session.watching()
        except harness.Failed:
            if re.search('needs more than the four places|may run together', session.stderr.text()):
                return None
            raise
        self.target.round()
        session.interrupt()
        return session.result()

    def debug(self, first, lines, backend='watch'):
        result = self.session('debug', *LIMITS, '--backend', backend, self.named(first), ','.join(map(str, lines)))
        if result is None:
            return None
        if backend == 'opcode' and result.summary['unsure']:  # to 3.9 a handler may be come to by ways that nothing tells apart
            return None
        if result.summary['share'] < 1:
            self.by_turns(first, result)
            return None
        return self.compare(first, lines, result)

    def compare(self, first, lines, result, name=None):
        self.sessions += 1
        done = compare(result.whole(), self.happened(first), self.functions[first], lines, '%s %s' % (self.named(first), name or lines), name)
        self.events += done
        return done

    def by_turns(self, first, result):
        """What is missing cannot be known, but nothing may be told that did not happen."""
        left = collections.Counter((WORDS[h.what], h.line) for h in self.happened(first))
        left.subtract((e['event'], e['line']) for e in result.events)
        check(min(left.values()) >= 0, '%s by turns: more is told than happened: %s' % (self.named(first), left))

    def var(self, first, name):
        result = self.session('var', *LIMITS, self.named(first), name)
        if result is None or result.summary['share'] < 1:
            return None
        lines = {e['line'] for e in result.events} | {
            line for line, names in self.functions[first].lines.items() if name in names[0] + names[1]}
        return self.compare(first, lines, result, name)

    def line(self, first, lines):
        result = self.session('line', self.named(first), ','.join(map(str, lines)))
        if result is None or result['lines'][0]['watched'] < 1:
            return None
        check(not result['lost'] and not result['unsure'], 'lost %d, unsure %d' % (result['lost'], result['unsure']))
        for line in result['lines']:
            if line['watched'] == 1:
                right = tuple(sum(h.line == line['line'] and h.what == what for h in self.happened(first)) for what in ('enter', 'leave'))
                check((line['hits'], line['timed']) == right, '%s, line %d: %r hits and times, right is %r' % (
                    self.named(first), line['line'], (line['hits'], line['timed']), right))
                self.events += sum(right)
        self.sessions += 1
        return True


def lines_of(at, rng, count):
    """Choices of lines that follow upon each other in a function: [(co_firstlineno, lines)]."""
    jobs = [(first, [line]) for first in at.functions for line in at.ran(first)]
    if count is None:
        return jobs
    jobs = rng.sample(jobs, count)
    return [(first, [n for n in at.ran(first) if line <= n < line + rng.randint(1, 3)]) for first, (line,) in sorted(jobs)]


def tell(at, left):
    at.target.finish()
    return '%d events of %d sessions compared%s' % (at.events, at.sessions, ', %d lines need too many places' % left if left else '')


def debug(folder, python, everything):
    at = Round(python, MODULE, 'inspected')
    rng = random.Random(python.name)
    wrong, left = [], 0
    for first, lines in lines_of(at, rng, None if everything else 5):
        try:
            left += at.debug(first, lines) is None
        except harness.Failed as error:
            wrong.append(str(error))
    check(not wrong, '%d are wrong:\n%s' % (len(wrong), '\n'.join(wrong)))
    return tell(at, left)


VARIABLES = [('Box.grow', 'self.x'), ('Twice.get', 'self.value'), ('counts', 'total'), ('deep', 'here'), ('deep', 'below'),
             ('outer', 'got'), ('outer.<locals>.inner', 'held'), ('straight', 'c'), ('fails', 'w'), ('withs', 'd'), ('within', 'name'),
             ('gives', 'got'), ('binds', 'args'), ('waits', 'c')]


def variables(folder, python, everything):
    """`var`: all lines that use or define one variable."""
    at = Round(python, MODULE, 'inspected')
    firsts = {function.qualname: first for first, function in at.functions.items()}
    left = 0
    for qualname, name in VARIABLES if everything else random.Random(python.name).sample(VARIABLES, 2):
        left += at.var(firsts[qualname], name) is None
    return tell(at, left)


def counts(folder, python, everything):
    """`line`: how often each was entered, and left again."""
    at = Round(python, MODULE, 'inspected')
    left = 0
    for first, lines in lines_of(at, random.Random(python.name + 'counts'), None if everything else 2):
        left += at.line(first, lines) is None
    return tell(at, left)


PLAIN = ('Box.grow', 'straight', 'loops', 'early', 'fails', 'tries', 'counts', 'deep')


def disturbed(folder, python, everything):
    """Others trace, profile and monitor the process."""
    said = []
    for how in ['settrace', 'opcodes', 'cprofile'] + (['monitoring'] if python.version >= (3, 12) else []):
        at = Round(python, MODULE, 'inspected', how)
        left = 0
        jobs = [(first, line) for first, function in at.functions.items() if function.qualname in PLAIN for line in at.ran(first)]
        for first, line in jobs if everything else random.Random(python.name + how).sample(jobs, 1):
            left += at.debug(first, [line]) is None
        said.append('%s: %s' % (how, tell(at, left)))
    return '; '.join(said)


GENERATE = 'import random, sys; sys.path.insert(0, %r); import lines_gen; print(lines_gen.program(random.Random(%d), sys.version_info[:2]))'
PRELUDE = '''import sys
sys.path.insert(0, %r)
import lines
from lines import Context, Pause, Things, boom, coin
'''
DRIVE = '''
def drive():
    coin.state = 7
    lines.drive(globals())
'''


def generated(folder, python, everything):
    """Random programs, made for this version of Python."""
    said = []
    for seed in range(3 if everything else 1):
        path = os.path.join(folder, 'generated%d.py' % seed)
        seed += zlib.crc32(python.text.encode())
        text = subprocess.run(python.command + ['-B', '-c', GENERATE % (harness.TARGETS, seed)], stdout=subprocess.PIPE, check=True,
                              universal_newlines=True).stdout
        with open(path, 'w') as f:
            f.write(PRELUDE % harness.TARGETS + text + DRIVE)
        at = Round(python, path, 'generated')
        left = 0
        for first, lines in lines_of(at, random.Random(seed), None if everything else 3):
            try:
                left += at.debug(first, lines) is None
            except harness.Failed as error:
                raise harness.Failed('program %d: %s' % (seed, error))
        said.append(tell(at, left))
    return '; '.join(said)


def handlers(folder, python, everything):
    """Whole functions at once, by probes on opcode handlers."""
    at = Round(python, MODULE, 'inspected')
    firsts = sorted(first for first in at.functions if len(at.ran(first)) > 2)
    left = 0
    for first in firsts if everything else random.Random(python.name).sample(firsts, 2):
        left += at.debug(first, at.ran(first), 'opcode') is None
    at.target.finish()
    return '%d events of %d functions compared%s' % (at.events, at.sessions,
                                                    ', %d cannot be seen as a whole' % left if left else '')


def main():
    suite = harness.Suite(__doc__)
    suite.parser.add_argument('--all', action='store_true', help='try all lines')
    suite.parser.add_argument('cases', nargs='*', help='names of cases (default: all)')
    arguments = suite.start()
    for python in suite.interpreters():
        for case in debug, variables, counts, disturbed, generated, handlers:
            if not arguments.cases or case.__name__ in arguments.cases:
                suite.run('%s %s' % (python.name, case.__name__), case, python, arguments.all, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
