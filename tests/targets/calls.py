"""calls: the target of the tests of `trace`. Calls what is in calls_work, in the main thread and in two more.

    calls.py [--spin N] [--seed N]   says 'ready' on stdout and reads one byte from stdin, calls, says 'done' and reads one more
    calls.py --truth FILE            the twin: does not wait, and writes what happened, as sys.setprofile sees it

The truth is a list of events: [thread, call, kind, name, line, values, caller, caller's line], the values as repr() writes them
where that is the same in every run. Of what runs in the work only.
"""
import argparse
import json
import opcode
import os
import sys
import threading

import calls_work

SIMPLE = (type(None), bool, int, float, str, range)


def show(value):
    """repr(), but what has an address, or no end, is its class alone."""
    if type(value) in SIMPLE:
        return repr(value)
    if type(value) in (list, tuple):
        inner = ', '.join(map(show, value))
        return '[%s]' % inner if type(value) is list else '(%s%s)' % (inner, ',' if len(value) == 1 else '')
    if type(value) is dict:
        return '{%s}' % ', '.join('%s: %s' % (show(k), show(v)) for k, v in value.items())
    if isinstance(value, BaseException):
        return '%s(%s)' % (type(value).__name__, ', '.join(map(show, value.args)))
    return '<%s>' % type(value).__name__


class Twin:
    """Records events by the profile function."""

    def __init__(self):
        self.events = []
        self.calls = {}  # frame -> number of its call; frames are kept, so that none takes another's place
        self.raised = {}  # thread -> the last events, as long as they are raised ones: whose exception note() will tell

    def __call__(self, frame, event, arg):
        code = frame.f_code
        if event not in ('call', 'return') or code.co_filename != calls_work.__file__:
            return
        thread = threading.current_thread().name
        kind, values = self.start(frame) if event == 'call' else self.end(frame, arg)
        if not kind:
            return
        raised = self.raised.pop(thread, []) if kind != 'raised' else []
        if code.co_name == 'note' and event == 'call':
            for one in raised:
                one[5] = [[None, show(frame.f_locals['error'])]]
        caller = frame.f_back
        self.events.append([thread, self.calls[frame], kind, getattr(code, 'co_qualname', code.co_name), code.co_firstlineno,
                            values, caller and caller.f_code.co_name, caller and caller.f_lineno])
        if kind == 'raised':
            self.raised.setdefault(thread, []).append(self.events[-1])

    def start(self, frame):
        if frame in self.calls:
            return 'resumes', []
        self.calls[frame] = len(self.calls) + 1
        code = frame.f_code
        n = code.co_argcount + code.co_kwonlyargcount
        names = list(code.co_varnames[:n])
        for flag, star in ((4, '*'), (8, '**')):
            if code.co_flags & flag:
                names.append(star + code.co_varnames[n])
                n += 1
        return 'parameters', [[name, show(frame.f_locals[name.lstrip('*')])] for name in names]

    def end(self, frame, arg):
        if frame not in self.calls:  # 3.11 on: a call that makes a generator
            return None, None
        code, at = frame.f_code.co_code, frame.f_lasti
        name = opcode.opname[code[at]]
        if name.startswith('RETURN'):
            return 'returnvalues', [[None, show(arg)]]
        # To 3.10 a frame that delegates stands before its YIELD_FROM; from 3.13 on any stands behind its YIELD_VALUE.
        follows = opcode.opname[code[at + 2]] if len(code) > at + 2 else None
        if type(arg).__name__ == 'async_generator_wrapped_value':
            arg = frame.f_locals['i']  # as the one function that does so says in the work; nothing leads into the object
        if name in ('YIELD_VALUE', 'RESUME') or follows == 'YIELD_FROM':
            return 'yields', [[None, show(arg)]]
        return 'raised', None


def gate(word):
    os.write(1, word.encode() + b'\n')
    if os.read(0, 1) == b'':
        os._exit(3)


def work(seed, spin):
    calls_work.everything(seed)
    threads = [threading.Thread(target=calls_work.thread, args=('T%d' % i, seed + i), name='T%d' % i) for i in (1, 2)]
    for thread in threads:
        thread.start()
        thread.join()
    calls_work.secret('hunter2', 'bob', token='t0ken')
    for i in range(spin):
        calls_work.spin(i)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--truth')
    parser.add_argument('--spin', type=int, default=0)
    parser.add_argument('--seed', type=int, default=7)
    arguments = parser.parse_args()
    if not arguments.truth:
        gate('ready')
        work(arguments.seed, arguments.spin)
        gate('done')
        return
    twin = Twin()
    threading.setprofile(twin)
    sys.setprofile(twin)
    work(arguments.seed, arguments.spin)
    sys.setprofile(None)
    with open(arguments.truth, 'w') as f:
        json.dump(twin.events, f)


main()
