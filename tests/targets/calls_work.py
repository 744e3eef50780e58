"""calls_work: what calls.py calls: functions of every kind, whose arguments, results and exceptions a trace has to show.

Nothing but functions stands here, so that a pattern on this module means exactly what is compared.
"""
import functools


class Problem(Exception):
    pass


class Box:
    def __init__(self, content, *, label='box'):
        self.content = content
        self.label = label

    def __call__(self, by):
        return self.content * by

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        note(value)
        return kind is Problem

    @property
    def double(self):
        return self.content * 2

    @classmethod
    def made(cls, content):
        return cls(content).content

    @staticmethod
    def plain(a, b=2):
        return (a, b)

    def chain(self, depth):
        return depth if not depth else self.chain(depth - 1) + self.content


class Waits:
    def __init__(self, what):
        self.what = what

    def __await__(self):
        got = yield self.what
        return got


def add(a, b):
    return a + b


def nothing(x):
    pass


def constant():
    return 'constant'


def defaults(a, b=2, *, c=3, d=None):
    return [a, b, c, d]


def stars(a, *args, key='k', **more):
    return (a, args, key, more)


def texts(word, number, ratio, flag):
    return {'word': word, 'number': number, 'ratio': ratio, 'flag': flag, 'none': None}


def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)


def cells(a, b, *rest):
    def inner(c):
        return a + b + c + len(rest)
    return inner(b)


def counter(start):
    def step(by):
        nonlocal start
        start += by
        return start
    return [step(1), step(2)]


def out_of_loops(rows, wanted):
    for row in rows:
        for item in row:
            with Box(item):
                try:
                    if item == wanted:
                        return item
                finally:
                    item += 1
    return None


def swallowed(x):
    with Box(x):
        raise Problem(x)
    return 'swallowed'


def raises(kind, *args):
    raise kind(*args)


def raises_through(depth, kind, *args):
    return raises_through(depth - 1, kind, *args) if depth else raises(kind, *args)


def raises_class(kind):
    raise kind


def raises_from(x):
    try:
        missing({}, x)
    except KeyError as error:
        note(error)
        raise Problem('from', x) from error


def raises_at_last(x):
    try:
        return 1 // x
    finally:
        nothing(x)


def missing(box, key):
    return box[key]


def divides(a, b):
    return a / b


def indexes(row, i):
    return row[i]


def no_attribute(x):
    return x.no_such_attribute


def wrong_type(x):
    return x + 'text'


def unbound(x):
    if x:
        y = x
    return y


def caught(x):
    try:
        return missing({1: 2}, x)
    except KeyError as error:
        note(error)
        return -1


def numbers(n, step):
    for i in range(n):
        if i % step == 0:
            yield i
    return 'end'


def nested_loops(rows):
    for row in rows:
        for item in row:
            with Box(item):
                try:
                    got = yield (item, [item])
                finally:
                    nothing(item)
                if got:
                    yield got


def delegates(n):
    got = yield from numbers(n, 1)
    yield got


def fails_later(n):
    yield n
    raise Problem('later', n)


async def waits(n):
    total = 0
    for i in range(n):
        total += await Waits(i)
    return total


async def waits_twice(n):
    return await waits(n) + await waits(n + 1)


async def ticks(n):
    for i in range(n):
        yield i
        await Waits(-i)


async def adds_up(n):
    return [item async for item in ticks(n)]


def comprehensions(n):
    return ([i * n for i in range(2)], {i: n for i in range(2)}, sum(i + n for i in range(2)))


def called_from_c(rows):
    return (sorted(rows, key=lambda item: -item), list(map(add, rows, rows)), functools.reduce(add, rows))


# More constants than one byte counts: 3.12 and 3.13 return one of them by an instruction of its own.
exec(compile('def many_constants(which):\n'
             + ''.join('    if which == %d: return "constant %d"\n' % (i, i) for i in range(1000, 1400)), __file__, 'exec'))


def secret(password, user, token=None):
    return user


def spin(n):
    return n


def thread(tag, seed):
    return everything(seed)


def everything(seed):
    add(seed, 2), nothing([seed]), constant(), defaults(1), defaults(1, 5, c=seed, d='d')
    stars(1), stars(1, 2, 3, key=seed, more=(4,)), texts('\u00fcber', 10 ** 25, 0.5, True), texts('', -seed, -0.25, False)
    fib(4), cells(1, seed), cells(1, 2, 3), counter(seed)
    out_of_loops([[1, 2], [3, seed]], seed), out_of_loops([[1]], 2), swallowed(seed)
    Box(seed)(2), Box(seed, label='x').double, Box.made(seed), Box.plain(seed), Box(1).chain(3)
    for call in ((raises, Problem), (raises, Problem, 1, 'two'), (raises_through, 3, ValueError, seed),
                 (raises_class, Problem), (raises_class, StopAsyncIteration), (raises_from, seed), (raises_at_last, 0),
                 (missing, {}, seed), (missing, {}, (1, 2)), (divides, seed, 0), (indexes, [1], 5), (no_attribute, seed),
                 (wrong_type, seed), (unbound, 0), (raises, OSError, 2, 'gone'), (raises, KeyError)):
        try:
            call[0](*call[1:])
        except Exception as error:
            note(error)
    raises_at_last(1), caught(seed), caught(1), list(numbers(5, 2))
    nest = nested_loops([[seed, 2], [3]])
    next(nest), nest.send('sent'), next(nest), list(nest)
    list(delegates(3))
    late = fails_later(seed)
    next(late)
    try:
        next(late)
    except Problem as error:
        note(error)
    asynchronous(seed % 3)
    comprehensions(seed), called_from_c([3, 1, seed]), many_constants(1002), many_constants(1390)
    return seed


def note(error):
    """The twin learns here which exception has come out of the calls before."""


def run_coroutine(coroutine):
    sent = None
    try:
        while True:
            sent = coroutine.send(sent)
    except StopIteration as end:
        return end.value


def asynchronous(seed):
    return (run_coroutine(waits(3)), run_coroutine(waits_twice(seed)), run_coroutine(adds_up(2)))
