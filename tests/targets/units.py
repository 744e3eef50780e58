"""A program that is told which of its code units to have counted: functions of the standard library and some of its own, run a
few times each: cold, specialised, with operands of changing types.

    units.py list              what there is and how often it runs: JSON, a list of [function, offset, opcode, opcode before or null,
                               the numbers of these], and {function: {offset: count}}, counted by itself
    units.py run MODE          says where the functions are, waits, runs them, waits. With MODE 'count' it counts most at the
                               same time and says what; 'monitor' has callbacks of sys.monitoring the second time, 'settrace' a
                               trace function the second time, 'twice' neither
"""
import asyncio
import collections
import contextlib
import copy
import difflib
import dis
import fnmatch
import heapq
import json
import json.decoder
import json.scanner
import shlex
import string
import sys
import textwrap

FUNCTIONS = {}


def own(function):
    FUNCTIONS[function.__name__] = function
    return function


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def moved(self, by):
        return Point(self.x + by, self.y - by)

    @property
    def sum(self):
        return self.x + self.y


class Slotted:
    __slots__ = ('x', 'y')

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def moved(self, by):
        return self

    sum = 3


class Sub(Point):
    def moved(self, by):
        return super().moved(by)


@own
def changing(n):
    """Attributes, calls and operators of changing types: specialised, missed, specialised again."""
    things = [Point(1, 2), Slotted(3, 4), Sub(5, 6), Point(1.5, 2)]
    total = 0
    text = ''
    for i in range(n):
        thing = things[i // 150 % 4 if i % 7 else i % 4]
        total += thing.x
        thing.y = i
        total = total + thing.moved(i).x + thing.sum
        pair = (i, text) if i % 90 < 60 else [i, text]
        a, b = pair
        text = text + 'x'
        if a == i and len(b) > 20:
            text = str(i)[:3]
        table = {i: a} if i % 100 < 50 else [a]
        total += table[i if i % 100 < 50 else 0] if isinstance(table, dict) else table[0]
        table[0] = a
        if not total:
            break
    return total, text


@own
def local(n):
    """Pairs of loads and stores, and variables in all places."""
    a = 1
    b = 2
    c = d = a
    for i in range(n):
        e = a
        f = b
        a, b = b, a
        c = e
        d = f
        del e
        e = 5
        b = e
        if c is d:
            continue
        f = a and b or c
    x = y = z = None
    return a, b, c, d, f, x, y, z


@own
def closures(n):
    """Cells, defaults, keywords, star arguments."""
    count = 0

    def inner(a, b=2, *rest, key=None, **more):
        nonlocal count
        count += a + b + len(rest) + (key or 0) + len(more)
        return count
    for i in range(n):
        inner(i)
        inner(i, 3, 4, key=5)
        inner(*[i, 2], **{'key': 1, 'z': 2})
    return [inner(k) for k in range(3)], {k: inner(k) for k in range(3)}, {inner(k) for k in range(2)}


@own
def raising(n):
    """Exceptions, with and try in loops."""
    seen = []
    for i in range(n):
        try:
            with contextlib.suppress(KeyError):
                if i % 3 == 0:
                    raise KeyError(i)
                seen.append(i)
                if i % 5 == 0:
                    [][i]
        except IndexError as error:
            seen.append(str(error))
        finally:
            seen.append('f')
        while True:
            if len(seen) > 5:
                seen.pop()
            else:
                break
        assert seen, 'never'
    return seen


@own
def generating(n):
    """Generators, delegation, and what runs them."""
    def numbers(k):
        for i in range(k):
            got = yield i
            if got:
                yield got

    def delegating(k):
        result = yield from numbers(k)
        return result
    total = 0
    for i in delegating(n):
        total += i
    g = numbers(5)
    next(g)
    g.send('x')
    g.close()
    return total, sum(x * 2 for x in numbers(n))


async def leaf(i):
    if i % 2:
        await asyncio.sleep(0)
    return i


class Context:
    async def __aenter__(self):
        return await leaf(1)

    async def __aexit__(self, *what):
        return False


async def counting(n):
    for i in range(n):
        yield await leaf(i)


async def main(n):
    total = 0
    async for i in counting(n):
        total += i
    for i in range(n):
        async with Context() as c:
            total += c
    return total + sum([x async for x in counting(3)])


@own
def waiting(n):
    """Coroutines, asynchronous generators and contexts."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main(n))
    finally:
        loop.close()


@own
def formatting(n):
    """Strings, slices, sets, comparisons, classes, imports, globals."""
    global made
    out = []
    for i in range(n):
        out.append(f'{i!r:>4}{i}' + '%d-%s' % (i, out[-1:]) if i < 3 else f'{i:x}')
        out[1:2] = ['s']
        made = i
        if i in (1, 2, 3) or not (0 <= i < 9 < n) and -i != ~i:
            out += ['in']
        i **= 2
        i //= 3
        i <<= 1
        i ^= 5
        del out[4:]
    import os.path as where

    class Made(dict):
        kind: int = n

        def get(self, key):
            return super(Made, self).get(key, self.kind)
    return out, made, where.join('a', 'b'), Made().get('x'), [*out, *'ab'], {**{'k': 1}}, made is None


if sys.version_info >= (3, 10):
    exec('''
@own
def matching(n):
    """match statements."""
    found = []
    for thing in [1, 'a', [1, 2, 3], {'k': 1, 'l': 2}, Point(1, 2), (1,), None] * n:
        match thing:
            case 1 | 2: found.append('int')
            case [a, *b] if b: found.append(b)
            case {'k': k, **rest}: found.append(rest)
            case Point(x=1, y=why): found.append(why)
            case str(): found.append('str')
            case _: found.append('other')
        del found[:-3]
    return found
''')
if sys.version_info >= (3, 11):
    exec('''
@own
def grouping(n):
    """except*"""
    seen = 0
    for i in range(n):
        try:
            raise ExceptionGroup('g', [ValueError(i), TypeError(i)])
        except* ValueError as group:
            seen += len(group.exceptions)
        except* TypeError:
            seen += 1
    return seen
''')


BUSY = 'changing', 'local', 'textwrap._wrap_chunks', 'json.py_scanstring', 'shlex.read_token'  # slow to count
TEXT = 'The quick brown fox-trot "jumps over" the lazy dog, $again and ${again}; thrice\n' * 2
FUNCTIONS.update({
    'textwrap._wrap_chunks': textwrap.TextWrapper._wrap_chunks,
    'textwrap._split': textwrap.TextWrapper._split,
    'difflib.find_longest_match': difflib.SequenceMatcher.find_longest_match,
    'difflib.__chain_b': difflib.SequenceMatcher._SequenceMatcher__chain_b,
    'difflib._fancy_replace': difflib.Differ._fancy_replace,
    'json.py_scanstring': json.decoder.py_scanstring,
    'json.JSONArray': json.decoder.JSONArray,
    'shlex.read_token': shlex.shlex.read_token,
    'string.substitute': string.Template.substitute,
    'copy.deepcopy': copy.deepcopy,
    'heapq.merge': heapq.merge,
    'fnmatch.translate': fnmatch.translate,
    'collections.namedtuple': collections.namedtuple,
    'collections.update': collections.Counter.update,
    'textwrap.dedent': textwrap.dedent,
})


def work():
    """All of it; the same in every process."""
    changing(900)
    local(60)
    for again in range(4):
        closures(12)
        raising(10)
        generating(12)
        waiting(4)
        formatting(8)
        if 'matching' in FUNCTIONS:
            FUNCTIONS['matching'](5)
        if 'grouping' in FUNCTIONS:
            FUNCTIONS['grouping'](4)
    for width in (20, 30):
        textwrap.wrap(TEXT, width)
    textwrap.dedent('  a\n   b\n')
    list(difflib.Differ().compare(['one', 'two', 'tree'], ['ore', 'tree', 'emu']))
    decoder = json.decoder.JSONDecoder()
    decoder.parse_string = json.decoder.py_scanstring
    scan = json.scanner.py_make_scanner(decoder)
    scan('["a\\n\\u00e9", [1, 2.5, null, ["x"]], "b"]', 0)
    shlex.split(TEXT)
    string.Template(TEXT).substitute(again='twice')
    copy.deepcopy([{'a': [1, (2, 3)]}, Point(1, 2)])
    list(heapq.merge([1, 4, 9], [2, 3, 5]))
    fnmatch.translate('a[!b]*?.[c-d]')
    collections.namedtuple('Pair', 'a b')
    collections.Counter('abca').update('xyz')


def codes():
    """{name: code object}, those inside others too."""
    found = {}

    def add(name, code):
        found.setdefault(name, code)
        for const in code.co_consts:
            if hasattr(const, 'co_code'):
                add('%s.%s' % (name, const.co_name), const)
    for name, function in FUNCTIONS.items():
        add(name, function.__code__)
    for name in 'leaf', 'main', 'counting':
        add(name, globals()[name].__code__)
    return found


def units(code):
    """(offset, opcode, opcode before or None, their numbers) of what a trace function is told of: from 3.11 on nothing in front of
    RESUME."""
    listed = list(dis.get_instructions(code))
    seen = sys.version_info < (3, 11)
    before, before_number = None, 0
    for at in listed:
        if at.opname == 'CACHE':
            continue
        if seen and at.opname != 'RESUME':
            yield at.offset, at.opname, before, at.opcode, before_number
        seen = seen or at.opname == 'RESUME'
        before, before_number = at.opname, at.opcode


def counted(but=()):
    """Counts by itself, all functions but some: by a trace function, or from 3.12 on, where that misses what a frame does first, by the monitor that it is
    made of."""
    # Made of nothing that is counted.
    counts = {code: collections.defaultdict(int) for name, code in codes().items() if name not in but}

    def traced(frame, event, arg):
        if frame.f_code not in counts:
            return None
        frame.f_trace_opcodes = True
        if event == 'opcode':
            counts[frame.f_code][frame.f_lasti] += 1
        return traced

    def executed(code, offset):
        counts[code][offset] += 1
    if hasattr(sys, 'monitoring'):
        sys.monitoring.use_tool_id(4, 'counted')
        sys.monitoring.register_callback(4, sys.monitoring.events.INSTRUCTION, executed)
        for code in counts:
            sys.monitoring.set_local_events(4, code, sys.monitoring.events.INSTRUCTION)
        work()
        sys.monitoring.free_tool_id(4)
    else:
        sys.settrace(traced)
        work()
        sys.settrace(None)
    return {name: counts[code] for name, code in codes().items() if code in counts}


def monitored():
    events = sys.monitoring.events
    sys.monitoring.use_tool_id(3, 'units')
    wanted = (events.LINE, events.CALL, events.BRANCH, events.PY_START, events.PY_RETURN, events.JUMP, events.PY_YIELD,
              events.PY_RESUME)
    for event in wanted:
        sys.monitoring.register_callback(3, event, lambda *what: None)
    work()
    sys.monitoring.set_events(3, sum(wanted))
    work()
    sys.monitoring.set_events(3, 0)
    sys.monitoring.free_tool_id(3)


def traced_again():
    def nothing(frame, event, arg):
        return nothing
    work()
    sys.settrace(nothing)
    work()
    sys.settrace(None)


def twice():
    work()
    work()


def gate(word, *more):
    print(word, *more, flush=True)
    sys.stdin.read(1)


def main_program(what, mode='twice'):
    if what == 'list':
        print(json.dumps([[[name, *unit] for name, code in codes().items() for unit in units(code)], counted()]))
    else:
        kept = codes()
        # To 3.10 the units lie in a bytes object, else behind the code object.
        gate('ready', json.dumps({name: [id(code), id(code.co_code) if sys.version_info < (3, 11) else 0]
                                  for name, code in kept.items()}).replace(' ', ''))
        result = {'twice': twice, 'count': lambda: counted(BUSY), 'monitor': monitored, 'settrace': traced_again}[mode]()
        gate('done', json.dumps(result).replace(' ', ''))


if __name__ == '__main__':
    main_program(*sys.argv[1:])
