"""lines: random programs that are full of what lines can be, traced by sys.settrace, for test_lines.

    lines.py SEED COUNT

Prints for each code object 'code ADDRESS NAME', and for each of its frames a line of JSON: when it began and ended, and its events in
order: an instruction's offset, or a line's number negated. 'program' with the source is before it. Then 'ready', and waits for its
stdin to close.
"""
import asyncio
import json
import random
import sys

import lines_gen

V = sys.version_info[:2]


class Coin:
    """Says the same each time a program runs."""

    def __init__(self):
        self.state = 1

    def __call__(self, sides=2):
        self.state = (self.state * 1103515245 + 12345) & 0x7fffffff
        return (self.state >> 16) % sides


coin = Coin()


def boom(value=None, sides=6):
    """Fails now and then."""
    if not coin(sides):
        raise (ValueError, KeyError, ZeroDivisionError)[coin(3)]('boom')
    return value


class Context:
    def __init__(self, swallows=False):
        self.swallows = swallows

    def __enter__(self):
        boom(sides=20)
        return self

    def __exit__(self, *what):
        boom(sides=20)
        return self.swallows

    async def __aenter__(self):
        await Pause(coin(3))
        return self

    async def __aexit__(self, *what):
        await Pause(coin(3))
        return self.swallows


class Pause:
    """An awaitable that yields some times."""

    def __init__(self, times):
        self.times = times

    def __await__(self):
        for i in range(self.times):
            yield i
        return boom(self.times, 20)


class Things:
    """To be iterated over asynchronously, and to have attributes."""

    def __init__(self, n=2):
        self.n = n

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.n -= 1
        await Pause(coin(2))
        if self.n < 0:
            raise StopAsyncIteration
        return self.n


class Recorder:
    def __init__(self, opcodes):
        self.opcodes = opcodes
        self.clock = 0
        self.frames = []  # [code, began, ended, events]

    def call(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith('<lines'):
            return None
        if frame.f_trace is not None:
            return frame.f_trace
        frame.f_trace_opcodes = self.opcodes
        self.clock += 1
        record = [frame.f_code, self.clock, self.clock, []]
        self.frames.append(record)

        def local(frame, event, arg):
            self.clock += 1
            record[2] = self.clock
            if event == 'opcode':
                record[3].append(frame.f_lasti)
            elif event == 'line':
                record[3].append(-frame.f_lineno)
            return local
        return local


def drive(namespace):
    """Runs all functions of a program, in all ways that there are."""
    for name, kind in namespace['ALL']:
        function = namespace[name]
        for times in range(6):
            try:
                if kind == 'plain':
                    function(times, [1, 2, times])
                elif kind == 'generator':
                    made = function(times, [3, times])
                    for step in range(times * 2):
                        if times == 3 and step == 2:
                            made.throw(ValueError('thrown'))
                        next(made)
                    if times % 2:
                        made.close()
                    else:
                        list(made)
                else:
                    made = function(times, [times, 2])
                    while True:
                        made.send(None)
            except Exception:
                pass


def run(code, opcodes):
    coin.state = 1
    recorder = Recorder(opcodes)
    namespace = {'coin': coin, 'boom': boom, 'Context': Context, 'Pause': Pause, 'Things': Things, '__name__': 'lines'}
    exec(code, namespace)
    # From 3.12 on a code object's instructions are told of from its second frame on.
    for _ in range(2):
        coin.state = 7
        recorder.frames.clear()
        sys.settrace(recorder.call)
        try:
            drive(namespace)
        finally:
            sys.settrace(None)
    return recorder.frames, namespace


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    kept = []
    for n in range(seed, seed + count):
        source = lines_gen.program(random.Random(n), V)
        code = compile(source, '<lines %d>' % n, 'exec')
        frames, namespace = run(code, True)
        plain = run(compile(source, '<lines %d>' % n, 'exec'), False)[0]
        print('program %s' % json.dumps([n, source]))
        # The same lines whether instructions are told of or not: else they would be no truth.
        same = [(f[0].co_name, f[0].co_firstlineno, [e for e in f[3] if e < 0]) for f in frames] == \
            [(f[0].co_name, f[0].co_firstlineno, f[3]) for f in plain]
        print('same %d' % same)
        for frame in frames:
            print('frame %s' % json.dumps([id(frame[0]), frame[0].co_name] + frame[1:]))
        kept.append((code, frames, namespace))
    print('ready', flush=True)
    sys.stdin.read()


if __name__ == '__main__':
    main()
