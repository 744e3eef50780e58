"""inspected: what lines and variables can be, for test_inspect, which runs it by inspect_run.py. drive() does the same each
time. Behind '#:' stands what a line uses and what it defines; the test holds that against what is shown. Nothing yields None (see inspect_run).
"""
import contextlib

LIMIT = 3
total = 0
seen = []


class Box:
    scale = 2

    def __init__(self, x):
        self.x = x  #: x -> self.x
        self.items = [x, x + 1]

    def grow(self, by):
        self.x += by  #: self.x by -> self.x
        n = self.x * self.scale  #: self.x self.scale -> n
        for item in self.items:
            n += item  #: n item -> n
        return n  #: n ->


class Twice:
    __slots__ = ('value',)

    def __init__(self, value):
        self.value = value

    def get(self):
        doubled = self.value * 2  #: self.value -> doubled
        return doubled


def straight(a, b):
    c = a + b  #: a b -> c
    d = c * 2; e = d - a  #: c d a -> d e
    return (c, d, e)  #: c d e ->


def loops(n):
    t = 0  #: -> t
    for i in range(n):  #: n -> i
        t += i  #: t i -> t
    while t > 2:  #: t ->
        t -= 2  #: t -> t
        if t == 4:
            continue
    else:
        t = -t  #: t -> t
    for i in range(n): t += 1  #: n t -> i t
    return t


def early(n):
    for k in range(5):
        if k == n:  #: k n ->
            return k  #: k ->
        for m in (1, 2):
            if m > n:
                break
    else:
        k = 'none'  #: -> k
    return k


def fails(n):
    w = n * 2  #: n -> w
    if n % 2:
        raise ValueError(n, w)  #: n w ->
    w = w + 1  #: w -> w
    return 10 // (n - 2)  #: n ->


def tries(n):
    how = []  #: -> how
    try:
        r = fails(n)  #: n -> r
    except ValueError as error:
        r = error.args[0]  #: error.args -> r error
    except ZeroDivisionError:
        r = 'zero'  #: -> r
    else:
        r = -r  #: r -> r
    finally:
        how.append(r)  #: how r ->
    return how, r


@contextlib.contextmanager
def within(name):
    seen.append(name)  #: seen name ->
    yield name + '!'  #: name ->
    seen.pop()


def withs(a):
    with within(a) as b, within(b) as c:
        d = b + c  #: b c -> d
    with contextlib.suppress(KeyError):
        {}[d]
    return d  #: d ->


def multi(a, b):
    c = sum((a,
             b,
             a * b))
    d = (a
         if a > b
         else b)
    return dict(
        c=c,  #: c ->
        d=d)


def binds(*args, **kwargs):
    first, *rest = args  #: args -> first rest
    if (n := len(rest)) > 1:  #: rest -> n
        first, n = n, first  #: n first -> first n
    del rest  #: -> rest
    return first, n, kwargs  #: first n kwargs ->


def makes(n):
    a = [v * n for v in range(n)]  #: n -> a
    b = {v: n for v in a if v}
    c = sum(v for v in a)  #: a -> c
    d = {n, c}  #: n c -> d
    return a, b, c, d


def counts(n):
    global total
    total += n  #: total n -> total
    if n > LIMIT:  #: n LIMIT ->
        total = 0  #: -> total
    return total


def outer(n):
    held = n  #: n -> held

    def inner(k):
        nonlocal held
        held += k  #: held k -> held
        return held  #: held ->
    got = inner(1) + inner(2)
    return got, held  #: got held ->


def deep(n):
    here = n  #: n -> here
    below = deep(n - 1) if n else 0  #: n -> below
    return here + below  #: here below ->


def gives(n):
    for i in range(n):
        got = yield i  #: i -> got
        if got:
            n = got  #: got -> n
    rest = yield from (x for x in (7, 8))  #: -> rest
    return n


class Turn:
    def __await__(self):
        back = yield 'turn'
        return back


async def waits(n):
    a = await Turn()  #: -> a
    async with Held(a) as b:
        c = b + 1  #: b -> c
    d = [v async for v in gives_async(n)]
    return a, c, d  #: a c d ->


class Held:
    def __init__(self, value):
        self.value = value

    async def __aenter__(self):
        await Turn()
        return self.value

    async def __aexit__(self, *what):
        self.value = None  #: -> self.value


async def gives_async(n):
    for i in range(n):
        await Turn()
        yield i  #: i ->


def send_all(made, values):
    out = []
    try:
        out.append(made.send(None))
        for value in values:
            out.append(made.send(value))  #: out made value ->
    except StopIteration as stop:
        out.append(stop.value)
    return out


def drive():
    """The same each time."""
    global total
    total = 0
    out = [straight(a, b) for a, b in ((1, 2), (2.5, -1), (1 << 70, True))]
    out += [loops(n) for n in range(5)]
    out += [early(n) for n in (0, 3, 9)]
    out += [tries(n) for n in range(5)]
    out += [withs(a) for a in ('x', 'yy')]
    out += [multi(1, 2), multi(5, 4)]
    out += [binds(1), binds(1, 2, 3, k=4), binds('x', None)]
    out += [makes(n) for n in range(3)]
    out += [counts(n) for n in range(6)]
    out += [outer(1), outer(5), deep(3), deep(0)]
    out.append(send_all(gives(2), [None, 3, None, None, None, None]))
    dropped = gives(5)
    next(dropped)
    dropped.close()
    left = gives(4)
    try:
        next(left)
        left.throw(ValueError('thrown'))
    except ValueError:
        pass
    first, second = gives(1), gives(2)
    out.append([next(first), next(second), list(first), list(second)])
    out.append(send_all(waits(2), [5, 6, 7, 8, 9]))
    box = Box(1)
    out += [box.grow(2), Box(5).grow(0), Twice(4).get(), Twice('ab').get()]
    for n in (1, 2):
        try:
            fails(n)
        except (ValueError, ZeroDivisionError):
            pass
    return out
