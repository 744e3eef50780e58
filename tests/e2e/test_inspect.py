#!/usr/bin/env python3
"""test_inspect: `debug`, `var` and `line` on real hardware watchpoints, against sys.settrace in a twin of the target.

tests/targets/inspected.py does the same in each round. In the twin each line that is entered and left is recorded, with the frame's
variables; in the target pylu-bpf watches some lines for a round, and what it tells must be just that, in that order, with those
values. There are more lines than time: each interpreter gets another choice of them, --all tries all.
"""
import os
import random
import re

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


def compare_names(event, function, where):
    """The variables are those that the source says, in any order."""
    annotated = function.lines.get(event['line'])
    if annotated:
        names = sorted({v['name'] for v in event['values']})
        right = sorted(set(annotated[event['event'] == 'defvalues']))
        check(names == right, '%s: %s are shown, right is %s' % (where, names, right))


def compare(events, happened, function, lines, said):
    """The events of a session with these lines of a function, against all that happened in it."""
    told = {(e['event'], e['line']) for e in events}
    for line in lines:
        annotated = function.lines.get(line)
        for what, names in zip(('usevalues', 'defvalues'), annotated or ()):
            if names and any(WORDS[h.what] == what and h.line == line for h in happened):
                check((what, line) in told, '%s: no %s of line %d are told, although it ran' % (said, what, line))
    right = wanted(happened, lines, told)
    for i, (event, h) in enumerate(zip(events, right)):
        where = '%s, event %d (%s)' % (said, i, describe(event))
        check((event['event'], event['line']) == (WORDS[h.what], h.line), '%s: right is %s of line %d; before it %s'
              % (where, WORDS[h.what], h.line, [describe(e) for e in events[max(i - 3, 0):i]]))
        compare_names(event, function, where)
        compare_values(event, h, where)
    check(len(events) == len(right), '%s: %d events, right are %d; they differ behind %s' % (
        said, len(events), len(right), describe(events[len(right) - 1]) if 0 < len(right) < len(events) else 'the last'))
    return len(events)


class Round:
    def __init__(self, python, path, name):
        self.python, self.name = python, name
        self.functions = inspecting.functions(path)
        self.truth = inspecting.truth(python, path, name)
        self.target = Runner(python, path, name)
        self.events = self.sessions = 0

    def ran(self, first):
        return sorted({h.line for h in self.truth.get(first, ())})

    def debug(self, first, lines, backend='watch'):
        function = self.functions[first]
        named = '%s.%s:%d' % (self.name, function.qualname, first)
        session = Inspection('debug', self.target.pid, *LIMITS, '--backend', backend, named, ','.join(map(str, lines)))
        try:
            session.watching()
        except harness.Failed:
            if re.search('needs more than the four places|may run together', session.stderr.text()):
                return None
            raise
        self.target.round()
        session.interrupt()
        result = session.result()
        if backend == 'opcode' and result.summary['unsure']:  # to 3.9 a handler may be come to by ways that nothing tells apart
            return None
        events = result.whole()
        if result.summary['share'] < 1:  # by turns
            return None
        self.sessions += 1
        done = compare(events, self.truth[first], function, lines, '%s %s' % (named, lines))
        self.events += done
        return done


def debug(folder, python, everything):
    at = Round(python, MODULE, 'inspected')
    rng = random.Random(python.name)
    jobs = [(first, line) for first in at.functions for line in at.ran(first)]
    if not everything:
        jobs = rng.sample(jobs, 14)
    wrong, left = [], 0
    for first, line in sorted(jobs):
        try:
            left += at.debug(first, [line]) is None
        except harness.Failed as error:
            if not everything:
                raise
            wrong.append(str(error))
    at.target.finish()
    check(not wrong, '%d of %d are wrong:\n%s' % (len(wrong), len(jobs), '\n'.join(wrong)))
    return '%d events of %d sessions compared%s' % (at.events, at.sessions,
                                                   ', %d lines need too many places' % left if left else '')


def handlers(folder, python, everything):
    """Whole functions at once, by probes on opcode handlers."""
    at = Round(python, MODULE, 'inspected')
    firsts = sorted(first for first in at.functions if len(at.ran(first)) > 2)
    left = 0
    for first in firsts if everything else random.Random(python.name).sample(firsts, 3):
        left += at.debug(first, at.ran(first), 'opcode') is None
    at.target.finish()
    return '%d events of %d functions compared%s' % (at.events, at.sessions,
                                                    ', %d cannot be seen as a whole' % left if left else '')


def main():
    suite = harness.Suite(__doc__)
    suite.parser.add_argument('--all', action='store_true', help='try all lines')
    arguments = suite.start()
    for python in suite.interpreters():
        suite.run('%s debug' % python.name, debug, python, arguments.all, python=python)
        suite.run('%s handlers' % python.name, handlers, python, arguments.all, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
