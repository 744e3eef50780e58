#!/usr/bin/env python3
"""`trace` on every interpreter found: each call of a program that makes calls of every kind, event by event as a twin run under
sys.setprofile had them: arguments and results as repr() writes them, exceptions, what generators yield, callers and their
lines, and which events belong to one call. Then its limits, on the oldest and the newest interpreter."""
import json
import os
import subprocess
import sys
import tempfile
import time

import harness
from harness import Failed, Session, Skipped, Suite, Target, check

TARGET = os.path.join(harness.TARGETS, 'calls.py')
WORK = 'calls_work.**'


def options(output, *more):
    chosen = ['--backend', harness.backend] if harness.backend else []
    return ['trace', '-f', 'json', '-o', output] + chosen + list(more)


def load(path):
    """(header, events, summary)"""
    with open(path, encoding='utf-8') as f:
        lines = [json.loads(line) for line in f]
    check(len(lines) > 1 and lines[0]['record'] == 'header' and lines[-1]['record'] == 'summary', 'no header or summary')
    harness.backends.add(lines[0]['backend'])
    return lines[0], lines[1:-1], lines[-1]


def events_in(path):
    with open(path, encoding='utf-8') as f:
        return f.read().count('"record":"event"')


def ended(session, path):
    status = session.status()
    check(status == 0, 'pylu-bpf ended with %d: %s' % (status, session.stderr.text()))
    return load(path)


def traced(folder, python, arguments, *target_arguments):
    """A session from before the first call to behind the last."""
    path = os.path.join(folder, 'events.json')
    target = Target(python.command + [TARGET] + list(target_arguments))
    target.expect('ready')
    session = Session(options(path, '-p', str(target.pid), *arguments)).watching()
    target.go()
    target.expect('done')
    session.interrupt()
    found = ended(session, path)
    target.go()
    target.finish()
    return target, found


def show(value):
    """A value of the json output as calls.py's show() has it."""
    if not isinstance(value, dict):
        return repr(value)
    kind = value.get('type')
    if value.get('cut'):
        return '<cut %s>' % kind
    if kind == 'list':
        return '[%s]' % ', '.join(map(show, value['items']))
    if kind == 'tuple':
        return '(%s%s)' % (', '.join(map(show, value['items'])), ',' if len(value['items']) == 1 else '')
    if kind == 'dict':
        return '{%s}' % ', '.join('%s: %s' % (show(k), show(v)) for k, v in value['items'])
    if kind in ('int', 'float'):
        return value['repr']
    if 'args' in value:
        return '%s(%s)' % (kind.split('.')[-1], ', '.join(map(show, value['args'])))
    return '<%s>' % kind.split('.')[-1] if kind else json.dumps(value)


def by_thread(events, key):
    threads = {}
    for event in events:
        threads.setdefault(key(event), []).append(event)
    return threads


UNREADABLE = '{"unreadable": true}'


def is_unknown(event):
    return event['event'] == 'yields' and show(event['values'][0]['value']) == UNREADABLE


def passed_on_is_unknown(python, events):
    """To 3.10 what a frame that delegates yields is in a register, which is known where _Py_CheckFunctionResult is called and
    not where that was inlined at link time. Then it is shown as unreadable, always: `waits` does nothing but delegate."""
    return python.version < (3, 11) and all(is_unknown(e) for e in events if (e['qualname'], e['event']) == ('waits', 'yields'))


def may_be_unknown(event):
    """Whether it is of one that delegates, and some of whose values it may not have."""
    return is_unknown(event) and event['qualname'].split('.')[-1] in (
        'delegates', 'waits', 'waits_twice', 'adds_up', 'ticks', '<listcomp>')


def number_calls(events, call_of):
    """The events' calls, numbered in the order in which they begin."""
    numbers = {}
    return [numbers.setdefault(call_of(event), len(numbers)) for event in events]


def compare_thread(python, name, got, truth):
    """Differences between the events of a thread and those of the twin."""
    found = []
    unknown = passed_on_is_unknown(python, got)
    calls = number_calls(got, lambda e: e['call']), number_calls(truth, lambda e: e[1])
    for i, (event, right) in enumerate(zip(got, truth)):
        _, _, kind, function, line, values, caller, caller_line = right
        mine = [event['event'], event['qualname'] if python.version >= (3, 11) else event['qualname'].split('.')[-1],
                event['line'], calls[0][i]]
        if mine != [kind, function, line, calls[1][i]]:
            found.append('%s event %d is %s, right is %s' % (name, i, mine, [kind, function, line, calls[1][i]]))
            break
        shown = [[v['name'], show(v['value'])] for v in event['values']]
        if values is not None and shown != values and not (unknown and may_be_unknown(event)):
            found.append('%s event %d: %s of %s are %s, right is %s' % (name, i, kind, function, shown, values))
        if kind == 'parameters' and caller:
            stack = [(frame['qualname'].split('.')[-1], frame['line']) for frame in event['stack']]
            if stack != [(caller, caller_line)]:
                found.append('%s event %d: %s is called from %s, right is %s' % (
                    name, i, function, stack, (caller, caller_line)))
    if len(got) != len(truth) and not found:
        found.append('%s has %d events, right is %d' % (name, len(got), len(truth)))
    return found


def durations(events):
    """Ends tell how long their call took: less than passed between its first event and its last."""
    found, begun = [], {}
    for event in events:
        if event['event'] == 'parameters':
            begun[event['call']] = event['time_ns']
        wanted = event['event'] in ('returnvalues', 'raised')
        if wanted != (event['duration_ns'] is not None):
            found.append('%s of %s: duration is %s' % (event['event'], event['qualname'], event['duration_ns']))
        elif wanted and not 0 <= event['duration_ns'] <= event['time_ns'] - begun[event['call']]:
            found.append('%s took %d ns within %d ns' % (event['qualname'], event['duration_ns'],
                                                         event['time_ns'] - begun[event['call']]))
    return found


def twin(python, folder):
    path = os.path.join(folder, 'truth.json')
    done = subprocess.run(python.command + [TARGET, '--truth', path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, preexec_fn=harness.die_with_parent)
    check(done.returncode == 0, 'the twin ended with %d: %s' % (done.returncode, done.stdout.decode()[-2000:]))
    with open(path) as f:
        return json.load(f)


def every_event(folder, python, collected):
    target, (header, events, summary) = traced(
        folder, python, ['--rate', '0', '--depth', '6', '--items', '40', '--no-redact', WORK])
    unreadable = sum(map(may_be_unknown, events)) if passed_on_is_unknown(python, events) else 0
    check(not summary['lost'] and not summary['suppressed'], 'the summary is %s' % summary)
    check(summary['events'] == len(events), '%d events, but the summary says %d' % (len(events), summary['events']))
    truth = by_thread(twin(python, folder), lambda e: e[0])
    # A thread is told by the first call in it; its Python name may be known later only.
    got = {'MainThread': [e for e in events if e['tid'] == target.pid]}
    for tid, thread in by_thread(events, lambda e: e['tid']).items():
        if tid != target.pid:
            got[thread[0]['values'][0]['value']] = thread
    found = durations(events)
    check(set(got) == set(truth), 'threads are %s, right is %s' % (sorted(got), sorted(truth)))
    for name, right in truth.items():
        found += compare_thread(python, name, got[name], right)
    if summary['unreadable'] != unreadable:
        found.append('%d values were unreadable, not %d' % (summary['unreadable'], unreadable))
    if found:
        raise Failed('%d differences\n    %s' % (len(found), '\n    '.join(found[:12])))
    os.rename(os.path.join(folder, 'events.json'), os.path.join(collected, '%s.json' % python.name.replace('/', '-')))
    unknown = passed_on_is_unknown(python, events)
    return '%d events%s' % (len(events), ', what is delegated is not readable in this build' if unknown else '')


def a_count(folder, python):
    """-n ends the session by itself, when that many calls and their ends were shown."""
    path = os.path.join(folder, 'events.json')
    target = Target(python.command + [TARGET, '--spin', '500'])
    target.expect('ready')
    session = Session(options(path, '-p', str(target.pid), '-n', '5', 'calls_work.spin', 'calls_work.fib')).watching()
    target.go()
    _, events, summary = ended(session, path)
    target.expect('done')
    target.go()
    target.finish()
    kinds = [event['event'] for event in events]
    check(kinds.count('parameters') == 5 and kinds.count('returnvalues') == 5 and len(kinds) == 10, 'events: %s' % kinds)
    check(summary['ended'] == 'the count was reached', 'it ended by %s' % summary['ended'])


def a_condition(folder, python):
    for when, right in ('n >= 490 or n == 3', [3] + list(range(490, 500))), ('nothing_of_this_name > 1', []):
        _, (header, events, summary) = traced(folder, python, ['--when', when, 'calls_work.spin'], '--spin', '500')
        got = [event['values'][0]['value'] for event in events if event['event'] == 'parameters']
        check(got == right and len(events) == 2 * len(right), '%s: %s, right is %s' % (when, got, right))
        check(summary['unmatched'] == 500 - len(right), '%s: the summary is %s' % (when, summary))
        check(header['condition'] == when, 'the header says %s' % header['condition'])


def a_rate(folder, python):
    _, (_, events, summary) = traced(folder, python, ['--rate', '20', 'calls_work.spin'], '--spin', '3000')
    calls = [event for event in events if event['event'] == 'parameters']
    check(20 <= len(calls) < 3000 and len(events) == 2 * len(calls), '%d events of %d calls' % (len(events), len(calls)))
    check(len(calls) + summary['suppressed'] == 3000 and not summary['lost'], 'the summary is %s' % summary)


def secrets(folder, python):
    for arguments, masked in ((), True), (('--no-redact',), False):
        _, (header, events, _) = traced(folder, python, list(arguments) + ['calls_work.secret'])
        shown = {v['name']: v['value'] for v in events[0]['values']}
        right = {'password': {'masked': True}, 'user': 'bob', 'token': {'masked': True}} if masked else {
            'password': 'hunter2', 'user': 'bob', 'token': 't0ken'}
        check(shown == right and header['redacted'] == masked, 'shown: %s' % shown)


def all_callers(folder, python):
    _, (_, events, _) = traced(folder, python, ['--stack', 'calls_work.raises'])
    deepest = max((event['stack'] for event in events if event['event'] == 'parameters'), key=len)
    names = [frame['qualname'].split('.')[-1] for frame in deepest]
    check(names[:5] == ['raises_through'] * 4 + ['everything'] and names[-1] in ('_bootstrap', '<module>'), 'callers: %s' % names)


def forks(folder, python):
    """With --tree a child's calls are told as well, each with its process; without, the parent's alone."""
    text = ('import os, sys\ndef f(n): return n\nos.write(1, b"ready\\n"); os.read(0, 1)\nf(1)\nchild = os.fork()\n'
            'f(2)\nif not child:\n    f(3); os.read(0, 1); os._exit(0)\nos.write(1, b"done\\n"); os.read(0, 1); os.waitpid(child, 0)\n')
    for how, right in ('--tree', {1: 1, 2: 2, 3: 1}), ('-p', {1: 1, 2: 1}):
        path = os.path.join(folder, how + '.json')
        target = Target(python.command + ['-c', text])
        target.expect('ready')
        session = Session(options(path, how, str(target.pid), '__main__.f')).watching()
        target.go()
        target.expect('done')
        deadline = time.monotonic() + harness.PATIENCE
        while sum(right.values()) * 2 > events_in(path) and time.monotonic() < deadline:
            time.sleep(0.01)
        session.interrupt()
        header, events, _ = ended(session, path)
        target.go()
        target.go()
        target.finish()
        calls = [(e['values'][0]['value'], e['pid']) for e in events if e['event'] == 'parameters']
        check({n: [v for v, _ in calls].count(n) for n in {v for v, _ in calls}} == right, '%s: calls are %s' % (how, calls))
        check(len({pid for _, pid in calls}) == len(right) - 1 and (header['pid'] is None) == (how == '--tree'),
              '%s: %s, the header has process %s' % (how, calls, header['pid']))


def nothing_of_that_name(folder, python):
    path = os.path.join(folder, 'events.json')
    target = Target(python.command + [TARGET])
    target.expect('ready')
    session = Session(options(path, '-p', str(target.pid), 'calls_work.fibb')).watching()
    target.go()
    target.expect('done')
    session.interrupt()
    _, events, _ = ended(session, path)
    said = session.stderr.text()
    check(not events and 'no function that matches was called' in said and 'calls_work.fib' in said, said)
    target.go()
    target.finish()


def from_the_start(folder, python):
    """What a command calls first is told, though nothing of it was known."""
    if python.root != '/':
        raise Skipped('a command is started in our own root')
    path = os.path.join(folder, 'events.json')
    program = os.path.join(folder, 'program.py')
    with open(program, 'w') as f:
        f.write('import time\ndef f(n): return -n\nfor i in range(300): f(i)\ntime.sleep(0.5)\n')
    session = Session(options(path, '--rate', '0', '__main__.f', '--', python.command[-1], program))
    _, events, summary = ended(session, path)
    got = [event['values'][0]['value'] for event in events]
    check(got == [x for i in range(300) for x in (i, -i)] and not summary['lost'], '%d events: %s' % (len(got), got[:5]))


def a_stuck_reader(folder, python):
    """Nobody reads: the target runs to its end all the same, and what had no room is counted."""
    target = Target(python.command + [TARGET, '--spin', '55000'])
    target.expect('ready')
    command = [harness.pylu_bpf(), 'trace', '-f', 'json', '-o', '/dev/stdout', '--rate', '0'] + (
        ['--backend', harness.backend] if harness.backend else []) + ['-p', str(target.pid), 'calls_work.spin']
    session = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               preexec_fn=harness.die_with_parent)
    harness.running.append(session)
    stderr = harness.Reader(session.stderr)
    if stderr.wait_for('pylu-bpf: watching') is None:
        raise Failed('pylu-bpf ended before it watched: %s' % stderr.text())
    target.go()
    target.expect('done')
    target.go()
    target.finish()  # with its end the session ends too, once it can write
    lines = [json.loads(line) for line in session.stdout]
    check(harness.ended(session, 'pylu-bpf') == 0, 'pylu-bpf failed')
    numbers = [e['values'][0]['value'] for e in lines if e.get('event') == 'parameters']
    check(lines[-1]['record'] == 'summary' and lines[-1]['lost'] > 0, 'the last line is %s' % lines[-1])
    check(numbers[0] == 0 and numbers == sorted(set(numbers)) and len(numbers) < 55000, '%d calls' % len(numbers))
    return '%d of 55000 calls shown, %d events lost' % (len(numbers), lines[-1]['lost'])


LIMITS = (forks, a_count, a_condition, a_rate, secrets, all_callers, nothing_of_that_name, from_the_start, a_stuck_reader)


def schema(folder, collected):
    files = [os.path.join(collected, name) for name in sorted(os.listdir(collected))]
    if not files:
        raise Skipped('no events were written')
    done = subprocess.run([sys.executable, os.path.join(harness.HERE, 'check_schema.py'), files[0], files[-1]],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode == harness.SKIP:
        raise Skipped('the module jsonschema is not installed for %s' % sys.executable)
    check(done.returncode == 0, done.stderr.decode()[-3000:])


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('cases', nargs='*', help='names of cases (default: all)')
    wanted = suite.start().cases
    found = suite.interpreters()
    with tempfile.TemporaryDirectory(prefix='pylu-e2e-') as collected:
        for python in found:
            cases = [every_event] + list(LIMITS if python in (found[0], found[-1]) else ())
            for case in cases:
                if not wanted or case.__name__ in wanted:
                    more = (collected,) if case is every_event else ()
                    suite.run('%s %s' % (python.name, case.__name__), case, python, *more, python=python)
        suite.run('events follow the schema', schema, collected)
    suite.finish()


if __name__ == '__main__':
    main()
