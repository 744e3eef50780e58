#!/usr/bin/env python3
"""test_watch: what hardware watchpoints on bytecode must do for `line` and `debug`, whatever happens to the process meanwhile:
exact counts with threads that come and go, no forked child, the function or the process that ends, debug registers that others
hold, floods, readers that do not read; and that nothing is written to the target.
"""
import ctypes
import json
import os
import re
import signal
import struct
import subprocess
import sys

import cases
import harness
import inspecting
from harness import Skipped, Suite, check
from inspecting import Inspection

TARGET = os.path.join(harness.TARGETS, 'watched.py')
EVERY, ONCE = [], []  # with every interpreter; with the oldest, one in between and the newest


def every(function):
    EVERY.append(function)
    return function


def once(function):
    ONCE.append(function)
    return function


with open(TARGET) as f:
    SOURCE = f.read().splitlines()


def line_of(text, behind='def '):
    """The number of the line that reads so, the first below `behind`."""
    at = next(i for i, line in enumerate(SOURCE) if behind in line)
    return next(i + 1 for i in range(at, len(SOURCE)) if SOURCE[i].strip() == text)


class Watched(harness.Target):
    def __init__(self, python, **more):
        super().__init__(python.command + ['-B', TARGET], **more)
        self.expect('ready')

    def tell(self, *words):
        self.process.stdin.write((' '.join(map(str, words)) + '\n').encode())
        self.process.stdin.flush()

    def do(self, *words):
        self.tell(*words)
        return self.expect('done')


def count(target, function, lines, *commands, names='__main__'):
    """What `line` counts while the target does something: {line: hits}, the whole result."""
    session = Inspection('line', target.pid, '%s.%s' % (names, function), ','.join(map(str, lines))).watching()
    for command in commands:
        target.do(*command)
    session.interrupt()
    result = session.result()
    check(not result['lost'], '%d hits are lost' % result['lost'])
    for line in result['lines']:
        check(line['watched'] == 1 and line['timed'] <= line['hits'], 'line %r' % line)
    return {line['line']: line['hits'] for line in result['lines']}, result


def equal(got, right, what='hits'):
    check(got == right, '%s: pylu-bpf %s, right is %s' % (what, got, right))


ODD, EVEN, LAST = (line_of(text, 'def work') for text in ("b = n + 2.5", "b = n * 3", "return b, kind"))
FIRST = line_of('a = n & 1', 'def work')
KIND = line_of("kind = 'odd'", 'def work')


@every
def places_told_apart(folder, python):
    """Lines side by side with different counts, cold and then specialised; the first one is the function's entry."""
    target = Watched(python)
    got, result = count(target, 'work', [FIRST], ('call', 7), ('call', 2000))
    equal(got, {FIRST: 2007})
    equal(result['lines'][0]['timed'], 2007, 'timed')
    got, _ = count(target, 'work', [ODD], ('call', 1001), ('peek', 20))
    equal(got, {ODD: 500})
    got, _ = count(target, 'work', [EVEN], ('call', 1001))
    equal(got, {EVEN: 501})
    got, _ = count(target, 'work', [LAST], ('call', 501))
    equal(got, {LAST: 501})
    got, _ = count(target, 'work', [ODD, KIND], ('call', 501))
    equal(got, {ODD: 250, KIND: 250})
    target.finish()


@every
def tracing_that_comes_and_goes(folder, python):
    """To instrument code it is read through, in the frame that is about to run it."""
    target = Watched(python)
    for line, share in (FIRST, 10), (LAST, 10), (ODD, 4):
        got, _ = count(target, 'work', [line], ('toggle', 5))
        equal(got, {line: 5 * share})
    target.finish()


@every
def threads(folder, python):
    """Those that are there, and those that are started while it is watched."""
    target = Watched(python)
    target.do('start', 5)
    got, _ = count(target, 'work', [FIRST], ('release',), ('call', 40, 6), ('call', 3), ('start', 3), ('release',))
    equal(got, {FIRST: 5 * 50 + 6 * 40 + 3 + 8 * 50})
    target.finish()


@every
def forked_children(folder, python):
    target = Watched(python)
    got, _ = count(target, 'work', [FIRST], ('call', 10), ('fork', 100), ('call', 10), ('fork', 1))
    equal(got, {FIRST: 121})
    target.finish()


@every
def nothing_is_written(folder, python):
    """Neither to the interpreter's text nor to the code object: while nothing runs, not one byte of it differs."""
    target = Watched(python)
    target.do('call', 3000)  # as warm as it gets
    address, size = map(int, target.do('code').split())

    def memory():
        with open('/proc/%d/mem' % target.pid, 'rb') as mem:
            mem.seek(address)
            # The count of references, at its start, is the target's own.
            return mem.read(size)[16:]

    def alter(data, known):
        return [i + 16 for i in range(len(data)) if data[i] != known[i]]

    before = memory()
    session = Inspection('line', target.pid, '__main__.work', str(FIRST)).watching()
    check(not alter(memory(), before), 'bytes of the code object differ while it is watched: %s' % alter(memory(), before))
    check(not harness.text_differs(target.pid), 'the text differs while it is watched')
    target.do('call', 200)
    check(not harness.text_differs(target.pid), 'the text differs after hits')
    during = memory()
    session.interrupt()
    session.result()
    check(not alter(memory(), during), 'bytes of the code object differ behind it: %s' % alter(memory(), during))
    check(not harness.text_differs(target.pid), 'the text differs behind it')
    target.finish()


@every
def times(folder, python):
    """A line that sleeps takes about as long as that; a generator that stands still takes none. Not a measure of speed."""
    target = Watched(python)
    line = line_of('time.sleep(seconds)', 'def sleeps')
    _, result = count(target, 'sleeps', [line], ('sleep', 3))
    spent = result['lines'][0]
    check(spent['timed'] == 3 and 0.15e9 <= spent['total_ns'] < 3e9 and 0.05e9 <= spent['min_ns'] <= spent['max_ns'],
          'three times 0.05 s are told as %r' % spent)
    line = line_of('got = [(yield 1), time.sleep(seconds)]', 'def gives')
    _, result = count(target, 'gives', [line], ('suspend', 3))
    spent = result['lines'][0]
    check(spent['timed'] == 3 and 0.06e9 <= spent['total_ns'] < 0.3e9,
          'three times 0.02 s, and 0.1 s in which it stood still, are told as %r' % spent)
    target.finish()


@once
def thread_storm(folder, python):
    """Threads are started all the time, also while it is attached."""
    target = Watched(python)
    target.do('storm')
    for _ in range(4):
        got, _ = count(target, 'work', [FIRST], ('call', 20, 10))
        equal(got, {FIRST: 200})
    got, _ = count(target, 'brief', [line_of('stormed[0] += 1')], ('call', 200000), names='__main__.storm.<locals>')
    check(min(got.values()) > 0, 'no thread of the storm was seen')
    target.do('calm')
    target.finish()


@once
def many_threads(folder, python):
    target = Watched(python)
    target.do('start', 64)
    got, _ = count(target, 'work', [FIRST], ('release',))
    equal(got, {FIRST: 64 * 50})
    target.finish()


def ended(session, status, *words):
    """It ends by itself, well, with a whole result."""
    got = session.status()
    said = session.stderr.text()
    check(got == status, 'pylu-bpf ended with %d, not %d: %s' % (got, status, said))
    result = session.result() if not status else None
    summary = result.summary if isinstance(result, inspecting.Events) else result
    for word in words:
        check(re.search(word, summary['ended'] if summary else said), '%r is not said, but: %r' % (word, summary or said))
    return result


@once
def exec_in_between(folder, python):
    target = Watched(python)
    session = Inspection('debug', target.pid, '--rate', '0', '__main__.work', str(FIRST)).watching()
    target.do('call', 30)
    target.do('execute')
    events = ended(session, 0, 'process|replaced').whole()
    equal(len(events), 60, 'events')
    target.finish()


@once
def killed_in_between(folder, python):
    for command in 'debug', 'line':
        target = Watched(python)
        session = Inspection(command, target.pid, '__main__.work', str(FIRST)).watching()
        target.do('call', 30)
        target.process.kill()
        ended(session, 0, 'process ended')


@once
def freed_function(folder, python):
    """Its code object is freed, and others get its memory: no event may be of what is there then."""
    for what in ('redefine',), ('swap',):
        target = Watched(python)
        session = Inspection('debug', target.pid, '--rate', '0', '__main__.changes', '2').watching()
        target.do('change', 10)
        target.do(*what)
        target.do('change', 50)
        equal(len(ended(session, 0, 'freed or replaced').events), 20, 'events')
        target.finish()


PERF_TYPE_BREAKPOINT, BREAKPOINT_RW = 5, 3


def hold_register(tid, address):
    """A watchpoint of another tool."""
    attr = struct.pack('<IIQQQQQIIQQ', PERF_TYPE_BREAKPOINT, 112, 0, 1, 0, 0, 1 << 5 | 1 << 6, 0, BREAKPOINT_RW, address, 1)
    attr = attr.ljust(112, b'\0')
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(298, ctypes.create_string_buffer(attr), tid, -1, -1, 8)
    if fd < 0:
        raise Skipped('no watchpoint can be set: %s' % os.strerror(ctypes.get_errno()))
    return fd


@once
def others_hold_registers(folder, python):
    target = Watched(python)
    target.do('start', 2)
    tid = max(int(name) for name in os.listdir('/proc/%d/task' % target.pid))
    address = int(target.do('code').split()[0])
    held = []
    try:
        for n in range(1, 5):
            held.append(hold_register(tid, address + 8 * n))
            session = Inspection('line', target.pid, '__main__.work', str(FIRST))
            if n < 3:
                session.watching()  # it needs two
                target.do('release')
                session.interrupt()
                equal([line['hits'] for line in session.result()['lines']], [100])
            else:
                session.refused(1, '1 of the four debug registers, no more' if n == 3 else
                                'none of the four debug registers was free', 'thread %d' % tid, 'another tool')
    finally:
        for fd in held:
            os.close(fd)
    got, _ = count(target, 'work', [FIRST], ('release',))
    equal(got, {FIRST: 100})
    target.finish()


@every
def jit(folder, python):
    cases.needs_jit(python)
    target = Watched(python, env=cases.jit_on())
    Inspection('line', target.pid, '__main__.work', str(FIRST)).refused(3, 'PYTHON_JIT', 'would miss')
    target.finish()


@every
def subinterpreters(folder, python):
    """One that runs a function of the same file has a code object of its own: not this one."""
    target = Watched(python)
    session = Inspection('line', target.pid, '__main__.work', str(FIRST)).watching()
    made = target.do('interpreters', 30)
    session.interrupt()
    equal(session.result()['lines'][0]['hits'], 30)
    target.finish()
    if made == 'none':
        raise Skipped('this Python cannot make interpreters')


@once
def another_user(folder, python):
    import places
    try:
        able = not subprocess.run(python.command + ['-I', '-c', ''], preexec_fn=places.become(places.NOBODY),
                                  stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode
    except PermissionError:
        able = False
    if not able:
        raise Skipped('%s is not for other users' % python.path)
    path = os.path.join(folder, 'watched.py')
    with open(path, 'w') as f:
        f.write('\n'.join(SOURCE))
    places.open_to_all(folder)
    target = harness.Target(python.command + ['-B', path], preexec_fn=places.become(places.NOBODY))
    target.expect('ready')
    session = Inspection('line', target.pid, '__main__.work', str(FIRST)).watching()
    target.process.stdin.write(b'call 30\n')
    target.process.stdin.flush()
    target.expect('done')
    session.interrupt()
    equal(session.result()['lines'][0]['hits'], 30)
    target.finish()


HOT = line_of('t += i', 'def hot')


@once
def flood(folder, python):
    """A line in a loop: no more events than the rate allows, and all others counted."""
    target = Watched(python)
    session = Inspection('debug', target.pid, '--rate', '50', '__main__.hot', str(HOT)).watching()
    target.do('loop', 30000)
    session.interrupt()
    result = session.result()
    kinds = len({e['event'] for e in result.events})
    summary = result.summary
    check(0 < len(result.events) <= 50 * (summary['seconds'] + 2), '%d events in %g s' % (len(result.events), summary['seconds']))
    equal(summary['events'] + summary['suppressed'] + summary['lost'], 30000 * kinds, 'events and suppressed ones')
    target.finish()


@once
def stuck_reader(folder, python):
    """Nobody reads what it writes: the target goes on to its end, and what has no room is counted as lost."""
    target = Watched(python)
    reading, writing = os.pipe()
    process = subprocess.Popen([harness.pylu_bpf(), 'debug', '-p', str(target.pid), '-f', 'json', '--rate', '0', '__main__.hot', str(HOT)],
                               stdin=subprocess.DEVNULL, stdout=writing, stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
    harness.running.append(process)
    os.close(writing)
    said = b''
    while b'\n' not in said:
        said += os.read(reading, 1)
    target.do('loop', 60000)  # it would not come back
    process.send_signal(signal.SIGINT)
    with os.fdopen(reading) as f:
        rest = f.read()
    status = harness.ended(process, 'pylu-bpf')
    check(status == 0, 'pylu-bpf ended with %d: %s' % (status, process.stderr.read()))
    records = [json.loads(line) for line in rest.splitlines()]
    summary = records[-1]
    kinds = len({r['event'] for r in records[:-1]})
    check(summary['lost'] > 0, 'nothing is lost: the pipe held it all')
    equal(summary['events'] + summary['lost'], 60000 * kinds, 'events and lost ones')
    equal(summary['events'], len(records) - 1, 'events')
    target.finish()


@once
def stops(folder, python):
    """-n and -d."""
    target = Watched(python)
    session = Inspection('debug', target.pid, '-n', '7', '__main__.work', str(FIRST)).watching()
    target.do('call', 100)
    equal(len(ended(session, 0, 'count').events), 7, 'events')
    session = Inspection('debug', target.pid, '-d', '0.2', '__main__.work', str(FIRST)).watching()
    ended(session, 0, 'time')
    target.finish()


@once
def conditions(folder, python):
    target = Watched(python)
    line = str(line_of('kept = value', 'def decide'))
    for condition, right in (('value > 10', [20, 20.0, 1 << 80]), ("value == 'x'", ['x']), ('value is None', [None]),
                             ('not value', [None]), ('value and value != 20', None)):
        session = Inspection('debug', target.pid, '--when', condition, '__main__.decide', line).watching()
        target.do('values')
        session.interrupt()
        result = session.result()
        equal(result.header['condition'], condition)
        sure = [e for e in result.events if not e['undecided']]
        equal(result.summary['unmatched'] + len(result.events), 22, 'events and unmatched ones of %r' % condition)
        shown = [e['values'][0]['value'] for e in sure if e['event'] == 'usevalues']
        if right is not None:
            equal([v for v in shown if not isinstance(v, dict)], [v for v in right if abs(v or 0) < 1 << 53] if condition == 'value > 10' else right,
                  'events of %r' % condition)
    Inspection('debug', target.pid, '--when', 'value >', '__main__.decide', line).refused(2, 'condition|expected|value')
    target.finish()


@once
def secrets(folder, python):
    target = Watched(python)
    lines = ','.join(str(line_of(text, 'def secret')) for text in ('token = password + plain', 'seen = user, both'))
    more = os.path.join(folder, 'more')
    with open(more, 'w') as f:
        f.write('user\n')

    def watch(*options):
        session = Inspection('debug', target.pid, *options, '__main__.secret', lines).watching()
        target.do('secrets')
        session.interrupt()
        return session.result(), session.stdout.text()

    result, text = watch()
    check(result.header['redacted'] is True, 'the header does not say that secrets are masked')
    check('hunter2' not in text.replace('hunter2plain', ''), 'a secret is shown: %s' % text)
    values = {v['name']: v['value'] for e in result.events for v in e['values']}
    equal(values['password'], {'masked': True})
    equal(values['user'], 'eve')
    result, text = watch('--redact-file', more)
    values = {v['name']: v['value'] for e in result.events for v in e['values']}
    equal(values['user'], {'masked': True})
    result, text = watch('--no-redact')
    check(result.header['redacted'] is False, 'the header does not tell of --no-redact')
    values = {v['name']: v['value'] for e in result.events for v in e['values']}
    equal(values['password'], 'hunter2')
    target.finish()


@once
def stacks(folder, python):
    target = Watched(python)
    session = Inspection('debug', target.pid, '--stack', '__main__.work', str(FIRST)).watching()
    target.do('call', 1)
    session.interrupt()
    event = session.result().events[0]
    equal([(f['qualname'] or '').split('.')[-1] for f in event['stack']][:3], ['run', 'call', 'main'])
    equal(event['stack'][1]['line'], line_of('run()', 'def call'), 'line')
    session = Inspection('debug', target.pid, '__main__.work', str(FIRST)).watching()
    target.do('call', 1)
    session.interrupt()
    equal(len(session.result().events[0]['stack']), 0, 'frames')
    target.finish()


@once
def written_as_the_schema_says(folder, python):
    target = Watched(python)
    files = []
    for command in ['debug', '__main__.secret'], ['var', '__main__.decide', 'value'], ['line', '__main__.work'], [
            'debug', '--when', 'n > 1', '--stack', '--no-redact', '__main__.work', str(FIRST)]:
        session = Inspection(command[0], target.pid, *command[1:]).watching()
        for what in ('secrets',), ('values',), ('call', 5):
            target.do(*what)
        session.interrupt()
        session.result()
        files.append(cases.write(folder, '%d.json' % len(files), session.stdout.text() + '\n'))
    target.finish()
    done = subprocess.run([sys.executable, os.path.join(harness.HERE, 'check_schema.py')] + files, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode == harness.SKIP:
        raise Skipped('the module jsonschema is not installed for %s' % sys.executable)
    check(done.returncode == 0, done.stderr.decode()[-3000:])


@once
def mistakes(folder, python):
    target = Watched(python)
    first = line_of('def work(n):')

    def refuse(status, words, *arguments, command='debug'):
        Inspection(command, target.pid, *arguments).refused(status, *words)

    refuse(2, ['work', str(FIRST)], '__main__.work', str(first - 1))
    refuse(2, ['1x'], '__main__.work', '1x')
    refuse(2, ['lines'], '__main__.work', '%d' % FIRST, '13')
    refuse(2, ['which function'])
    refuse(2, ['which variables'], '__main__.work', command='var')
    refuse(2, ['nothere', 'kind'], '__main__.work', 'nothere', command='var')
    refuse(1, ['no function', 'near it: .*__main__.work'], '__main__.wrok')
    refuse(1, ['no function.*starts at line 3'], '__main__.work:3')
    refuse(2, ['2 functions', r'One\.twin:%d' % line_of('def twin(self):', 'class One'),
               r'Two\.twin:%d' % line_of('def twin(self):', 'class Two')], '__main__.*.twin')
    many = line_of('got = (yield 1), (yield 2), (yield 3), (yield 4)')
    refuse(1, ['more than the four places', '--all'], '__main__.many', str(many), command='line')
    target.finish()


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('cases', nargs='*', help='names of cases (default: all)')
    options = suite.start()
    found = suite.interpreters()
    few = {found[i].path for i in (0, len(found) // 2, -1)} if found else ()
    for python in found:
        for function in EVERY + (ONCE if python.path in few else []):
            if not options.cases or function.__name__ in options.cases:
                suite.run('%s %s' % (python.name, function.__name__), function, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
