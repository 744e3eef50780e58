#!/usr/bin/env python3
"""gen_program: a random Python program for each seed, for the comparison of call counts.

    gen_program.py SEED [-o FILE]

The same seed gives the same text, in the syntax of 3.8 to 3.15. A program runs in well under 0.3 s, makes a few thousand
calls, and calls the same functions equally often in every run: nothing in it depends on time, addresses, hash order or on
which thread runs first. tests/targets/run_programs.py runs it and provides `_deep` and `_path`.

How it is bounded: `e` is the environment of one line of execution, [fuel, state of a random generator]. Every generated
function takes (n, e), spends fuel and returns at once when there is none left or n is used up. What runs where `e` is not
at hand (finalisers, sort keys) calls only functions that call nothing.

Each body counts itself in its first statement: the second witness beside sys.setprofile. No generator yields None, so that
a 'return' event with None at a yield is known to be an exception (see tests/targets/truth.py).
"""
import argparse
import random
import sys

HEADER = '''import asyncio, functools, threading
_keep = []
class Oops(Exception):
    pass
class Worse(Oops):
    pass
class Base(BaseException):
    pass
def rnd(e, k):
    %(count_rnd)s
    e[1] = (e[1] * 1103515245 + 12345) & 0x7fffffff
    return (e[1] >> 8) %% k
class Tick:
    def __init__(self, v):
        self.v = v
    def __await__(self):
        %(count_await)s
        got = yield self.v
        return got or 1
class Turn:
    def __await__(self):
        %(count_turn)s
        loop = asyncio.get_running_loop()
        f = loop.create_future()
        loop.call_soon(f.set_result, 2)
        return (yield from f)
'''

ERRORS = ['Oops', 'Worse', 'ValueError', 'KeyError', 'Base', 'ZeroDivisionError']
CATCHES = ['Oops', 'Worse', '(ValueError, KeyError)', 'Exception', 'BaseException', '(Worse, Base)', 'ArithmeticError',
           'LookupError']


class Program:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.seed = seed
        self.lines = []
        self.counters = []  # (file suffix, line, name)
        self.names = 0
        self.threads = self.rng.random() < 0.3
        self.plain, self.gens, self.coros, self.agens, self.classes = [], [], [], [], []
        self.leaves, self.aio = [], []
        self.may_return = True

    # --- text ---

    def out(self, depth, text):
        self.lines.append('    ' * depth + text)

    def name(self, stem):
        self.names += 1
        return '%s%d' % (stem, self.names)

    def bump(self, number):
        return 'next(_c[%d])' % number if self.threads else '_h[%d] += 1' % number

    def counter(self, name, line, suffix=''):
        self.counters.append((suffix, line, name))
        return len(self.counters) - 1

    def define(self, depth, name, params, kind='def', decorators=(), at_limit=False):
        """Opens a function whose first statement counts it."""
        line = len(self.lines) + 1  # a decorated function begins at its first decorator
        for decorator in decorators:
            self.out(depth, '@' + decorator)
        self.out(depth, '%s %s(%s):' % (kind, name, params))
        number = self.counter(name, line)
        # At the recursion limit a call of `next` may be the one too many: the body has begun and is not counted.
        self.out(depth + 1, '_h[%d] += 1' % number if at_limit else self.bump(number))

    def guard(self, depth, kind='def'):
        self.out(depth, 'if n <= 0 or e[0] <= 0:')
        if kind == 'gen':
            self.out(depth + 1, 'yield n')
        self.out(depth + 1, 'return' if kind in ('gen', 'agen') else 'return 1')
        self.out(depth, 'e[0] -= 1')

    # --- what a body consists of: each takes the depth and gives statements that work on n, e and x ---

    def callee(self):
        """An expression that calls some plain function, method or lambda."""
        rng = self.rng
        kinds = ['plain'] * 6 + (['method', 'method'] if self.classes else [])
        if rng.choice(kinds) == 'method':
            return self.method_call(rng.choice(self.classes))
        return '%s(n - %d, e)' % (rng.choice(self.plain), rng.randint(1, 2))

    def method_call(self, cls):
        return self.rng.choice([
            '%s(e).meth(n - 1)', '%s.stat(n - 1, e)', '%s.clsm(n - 1, e)', '%s(e).prop', '%s(e).missing', '%s(e)(n - 1)',
            'len(list(%s(e)))', 'sum(%s(e))', '(%s(e) + %s(e))', 'max(%s(e), %s(e)).v', '(3 in %s(e))', '%s(e)[n]',
            'len({%s(e): 1 for _ in range(2)})', 'len(str(%s(e)))', 'len(%s(e))',
        ]).replace('%s', cls)

    def stmt_call(self, d):
        self.out(d, 'x += %s' % self.callee())

    def stmt_raise(self, d):
        rng = self.rng
        self.out(d, 'if rnd(e, %d) == 0:' % rng.randint(2, 7))
        if rng.random() < 0.3:
            self.out(d + 1, rng.choice(['x = 1 // 0', 'x = {}[n]', 'int("z")', '[].pop()']))
        else:
            self.out(d + 1, 'raise %s(n)' % rng.choice(ERRORS))

    def stmt_try(self, d):
        rng = self.rng
        self.out(d, 'try:')
        self.body(d + 1, rng.randint(1, 2))
        form = rng.random()
        if form < 0.8:
            self.out(d, 'except %s%s:' % (rng.choice(CATCHES), rng.choice(['', ' as ex'])))
            self.body(d + 1, rng.randint(0, 1))
            if rng.random() < 0.25:
                self.out(d + 1, rng.choice(['raise', 'raise Worse(n)', 'raise Oops(x) from None']))
            if rng.random() < 0.3:
                self.out(d, 'else:')
                self.body(d + 1, 1)
        if form > 0.6:
            self.out(d, 'finally:')
            self.out(d + 1, 'x += %s(x)' % rng.choice(self.leaves))
            if rng.random() < 0.1 and self.may_return:
                self.out(d + 1, 'return x')

    def stmt_loop(self, d):
        self.out(d, 'for i in range(%d):' % self.rng.randint(1, 4))
        self.body(d + 1, self.rng.randint(1, 2))
        if self.rng.random() < 0.3:
            self.out(d + 1, 'if rnd(e, 3) == 0:')
            self.out(d + 2, self.rng.choice(['break', 'continue']))

    def stmt_comprehension(self, d):
        rng = self.rng
        self.out(d, rng.choice([
            'x += sum([%s for _ in range(%d)])', 'x += len({i: %s for i in range(%d)})',
            'x += len({%s for _ in range(%d)})', 'x += sum(%s for _ in range(%d))',
            'x += any(%s < 0 for _ in range(%d))', 'x += sum([%s for a in range(%d) for b in range(a)])',
            'x += next(iter([%s for _ in range(1 + %d)]))',
        ]) % (self.callee(), rng.randint(1, 4)))

    def stmt_from_c(self, d):
        rng = self.rng
        leaf, f = rng.choice(self.leaves), rng.choice(self.plain)
        k = rng.randint(2, 5)
        kind = rng.randrange(8)
        if kind == 0:
            self.out(d, 'x += sum(map(%s, range(%d)))' % (leaf, k))
        elif kind == 1:
            self.out(d, 'x += sorted(range(%d), key=%s)[0]' % (k, leaf))
        elif kind == 2:
            self.out(d, 'x += functools.reduce(lambda a, b: (a + b + %s(b)) & 0xffff, range(%d))' % (leaf, k))
        elif kind == 3:
            self.out(d, 'x += functools.partial(%s, e=e)(n - 1)' % f)
        elif kind == 4:
            number = self.counter('<lambda>', len(self.lines) + 1)
            bump = 'next(_c[%d])' % number if self.threads else '_bump(%d)' % number
            self.out(d, 'x += max(map(lambda v: (%s, %s(n - 1, e) + v)[1], range(%d)))' % (bump, f, k))
        elif kind == 5:
            self.out(d, 'x += len(list(filter(%s, range(%d))))' % (leaf, k))
        elif kind == 6:
            self.out(d, 'x += sorted([3, 1, 2], key=functools.cmp_to_key(lambda a, b: %s(a) - %s(b)))[0]' % (leaf, leaf))
        else:
            self.out(d, 'x += sum(map(functools.partial(%s, e=e), [n - 1] * %d))' % (f, k))

    def stmt_object(self, d):
        if not self.classes:
            return self.stmt_call(d)
        rng = self.rng
        cls = rng.choice(self.classes)
        form = rng.randrange(5)
        if form == 0:
            self.out(d, 'with %s(e) as c:' % cls)
            self.body(d + 1, rng.randint(1, 2))
        elif form == 1:
            self.out(d, 'o = %s(e)' % cls)
            self.out(d, 'x += o.v')
            self.out(d, 'o.prop = n')
            self.out(d, 'del o')
        elif form == 2:
            self.out(d, 'x += sorted([%s(e) for _ in range(3)])[0].v' % cls)
        elif form == 3:
            self.out(d, 'x += %s(e).missing + getattr(%s(e), "absent", 1)' % (cls, cls))
        else:
            self.out(d, 'with %s(e), %s(e) as c:' % (cls, rng.choice(self.classes)))
            self.body(d + 1, 1)

    def stmt_closure(self, d):
        rng = self.rng
        name = self.name('inner')
        self.out(d, 'fs = []')
        self.out(d, 'for i in range(%d):' % rng.randint(1, 3))
        self.define(d + 1, name, 'v, i=i', decorators=['deco'] if rng.random() < 0.3 else [])
        self.out(d + 2, 'nonlocal x')
        self.out(d + 2, 'x += i')
        self.out(d + 2, 'return v + i + %s(v)' % rng.choice(self.leaves))
        self.out(d + 1, 'fs.append(%s)' % name)
        self.out(d, 'x += sum(f(n) for f in fs)')

    def stmt_class(self, d):
        name = self.name('Local')
        line = len(self.lines) + 1
        self.out(d, 'class %s:' % name)
        self.out(d + 1, self.bump(self.counter(name, line)))
        self.out(d + 1, 'w = [%s(v) for v in range(2)]' % self.rng.choice(self.leaves))
        self.define(d + 1, 'get', 'self')
        self.out(d + 2, 'return self.w[0]')
        self.out(d, 'x += %s().get()' % name)

    def stmt_exec(self, d):
        """Code compiled at run time, from a file name of its own."""
        rng = self.rng
        name, suffix = self.name('made'), '!exec%d' % len(self.lines)
        number = self.counter(name, 1, suffix)
        bump = self.bump(number)
        text = 'def %s(v):\n    %s\n    return v + 1\nr = %s(%s(2))\n' % (name, bump, name, name)
        self.out(d, 'if e[0] > 0:')
        self.out(d + 1, 'e[0] -= 20')
        self.out(d + 1, 'ns = {"__name__": __name__, "_h": _h, "_c": _c}')
        self.out(d + 1, 'exec(compile(%r, _path + %r, "exec"), ns)' % (text, suffix))
        if rng.random() < 0.5:
            self.out(d + 1, 'x += ns[%r](3)' % name)
        if rng.random() < 0.2:
            self.out(d + 1, '_keep.append(ns)')

    def stmt_generator(self, d):
        if not self.gens:
            return self.stmt_call(d)
        rng = self.rng
        make = '%s(n - 1, e)' % rng.choice(self.gens)
        form = rng.randrange(12)
        if form == 0:
            self.out(d, 'for v in %s:' % make)
            self.out(d + 1, 'x += v')
            if rng.random() < 0.5:
                self.out(d + 1, 'if rnd(e, 3) == 0: break')
            return
        if form == 1:
            self.out(d, 'x += sum(%s)' % make)
            return
        self.out(d, 'g = %s' % make)
        if form == 2:  # never started
            self.out(d, rng.choice(['g.close()', 'g = None', 'del g', 'pass']))
        elif form == 3:  # thrown into before it starts
            self.swallow(d, 'g.throw(%s(n))' % rng.choice(ERRORS))
            self.out(d, 'x += sum(g)')
        elif form == 4:  # left unfinished
            self.out(d, 'x += next(g, 0)')
            self.out(d, rng.choice(['del g', 'g = 1', 'pass', '_keep.append(g)', 'g.close()']))
        elif form == 5:  # thrown into at a yield
            self.out(d, 'x += next(g, 0)')
            self.swallow(d, 'x += g.throw(%s(n))' % rng.choice(ERRORS))
            if rng.random() < 0.5:
                self.out(d, 'x += next(g, 0)')
        elif form == 6:  # send
            self.out(d, 'x += next(g, 0)')
            self.swallow(d, 'x += g.send(%d)' % rng.randint(1, 9), 'StopIteration')
        elif form == 7:
            self.out(d, 'x += sum(zip(g, %s).__next__() if rnd(e, 2) else (1, 2))' % make)
            # StopIteration of an exhausted generator goes up through this function
        elif form == 8:  # resumed by somebody else
            self.out(d, 'x += next(g, 0) + %s(g)' % 'pull')
        elif form == 9:
            self.swallow(d, 'x += next(g) + next(g)', 'StopIteration')
            self.out(d, 'x += len(list(g))')
        elif form == 10:  # a generator expression over it, left unfinished
            self.out(d, 'h = (v + 1 for v in g)')
            self.out(d, 'x += next(h, 0)')
        else:
            self.out(d, 'a, *b = [0, *g]')
            self.out(d, 'x += len(b)')

    def swallow(self, d, text, what='BaseException'):
        self.out(d, 'try:')
        self.out(d + 1, text)
        self.out(d, 'except %s:' % what)
        self.out(d + 1, 'x += 1')

    def stmt_coroutine(self, d):
        if not self.coros:
            return self.stmt_call(d)
        rng = self.rng
        form = rng.randrange(7)
        if self.agens and rng.random() < 0.4:
            return self.stmt_async_generator(d)
        self.out(d, 'k = %s(n - 1, e)' % rng.choice(self.coros))
        if form < 3:
            self.out(d, 'x += drive(k, %d)' % rng.choice([0, 0, 1, 2, 3]))
        elif form == 3:
            self.out(d, 'k.close()')
        elif form == 4:
            self.swallow(d, 'k.throw(%s(n))' % rng.choice(ERRORS))
        elif form == 5:
            self.swallow(d, 'x += k.send(None)')
            self.out(d, rng.choice(['k.close()', 'del k', 'pass', '_keep.append(k)']))
        else:
            self.swallow(d, 'x += k.send(None)')
            self.swallow(d, 'x += k.throw(%s(n))' % rng.choice(ERRORS))

    def stmt_async_generator(self, d):
        rng = self.rng
        self.out(d, 'a = %s(n - 1, e)' % rng.choice(self.agens))
        for _ in range(rng.randint(1, 3)):
            self.out(d, 'x += drive(%s, 0)' % rng.choice(
                ['a.__anext__()', 'a.__anext__()', 'a.asend(None)', 'a.athrow(Oops(n))', 'a.aclose()']))
        self.out(d, rng.choice(['del a', 'pass', 'x += drive(a.aclose(), 0)']))

    STATEMENTS = ['call'] * 6 + ['raise'] * 2 + ['try'] * 5 + ['loop'] * 2 + ['comprehension'] * 3 + ['from_c'] * 3 + [
        'object'] * 4 + ['closure', 'class', 'exec'] + ['generator'] * 5 + ['coroutine'] * 3

    def body(self, d, count):
        if count == 0 or d > 6:
            self.out(d, 'x += 1')
            return
        for _ in range(count):
            getattr(self, 'stmt_' + self.rng.choice(self.STATEMENTS))(d)

    # --- definitions ---

    def def_leaf(self, name):
        self.define(0, name, 'v')
        self.out(1, self.rng.choice(['return v + 1', 'return v * 2 & 255', 'return 1', 'return (v ^ 5) & 63']))

    def def_plain(self, name):
        decorators = self.rng.choice([[], [], [], ['deco'], ['deco', 'deco'], ['deco_with(2)']])
        self.define(0, name, 'n, e', decorators=decorators)
        self.guard(1)
        self.out(1, 'x = n')
        self.body(1, self.rng.randint(1, 4))
        self.out(1, 'return x & 0xffff')

    def def_generator(self, name):
        rng = self.rng
        self.define(0, name, 'n, e')
        self.guard(1, 'gen')
        self.out(1, 'x = n')
        for _ in range(rng.randint(1, 3)):
            form = rng.randrange(7)
            if form == 0:
                self.out(1, 'x += (yield x & 255) or 1')
            elif form == 1:
                self.out(1, 'yield from %s(n - 1, e)' % rng.choice(self.gens))
            elif form == 2:
                self.out(1, 'try:')
                self.out(2, 'yield x & 255')
                self.out(1, 'except %s:' % rng.choice(['Oops', 'ValueError', 'Exception', '(Oops, KeyError)']))
                self.out(2, 'x += %s(1)' % rng.choice(self.leaves))
                self.out(2, 'yield x & 127')
            elif form == 3:
                self.out(1, 'try:')
                self.out(2, 'yield x & 255')
                self.out(2, 'x += %s' % self.callee())
                self.out(1, 'finally:')
                self.out(2, 'x += %s(1)' % rng.choice(self.leaves))
            elif form == 4:
                self.out(1, 'for i in range(%d):' % rng.randint(1, 5))
                self.out(2, 'yield i')
            elif form == 5:
                self.body(1, 1)
                self.out(1, 'yield x & 255')
            else:
                self.out(1, 'x += (yield from iter([1, 2])) or 1')
        if rng.random() < 0.3:
            self.out(1, 'return x')

    def def_coroutine(self, name, asyncio_too=False):
        rng = self.rng
        self.define(0, name, 'n, e', 'async def')
        self.guard(1)
        self.out(1, 'x = n')
        for _ in range(rng.randint(1, 3)):
            form = rng.randrange(6)
            if form <= 1:
                self.out(1, 'x += await %s' % ('Turn()' if asyncio_too else 'Tick(n)'))
            elif form == 2:
                self.out(1, 'x += await %s(n - 1, e)' % rng.choice(self.aio if asyncio_too else self.coros))
            elif form == 3:
                self.out(1, 'try:')
                self.out(2, 'x += await %s' % ('Turn()' if asyncio_too else 'Tick(2)'))
                self.stmt_raise(2)
                self.out(1, rng.choice(['except Oops:', 'except Exception:', 'finally:']))
                self.out(2, 'x += %s(1)' % rng.choice(self.leaves))
            elif form == 4 and self.agens and not asyncio_too:
                self.out(1, 'async for v in %s(n - 1, e):' % rng.choice(self.agens))
                self.out(2, 'x += v')
                if rng.random() < 0.4:
                    self.out(2, 'if rnd(e, 3) == 0: break')
            else:
                self.body(1, 1)
        if asyncio_too and rng.random() < 0.5:
            self.out(1, 'r = await asyncio.gather(*[%s(n - 2, e) for _ in range(2)], return_exceptions=True)'
                     % rng.choice(self.aio))
            self.out(1, 'x += len(r)')
        self.out(1, 'return x & 0xffff')

    def def_async_generator(self, name):
        rng = self.rng
        self.define(0, name, 'n, e', 'async def')
        self.guard(1, 'agen')
        self.may_return = False  # a syntax error in an async generator
        self.out(1, 'x = n')
        for _ in range(rng.randint(1, 3)):
            form = rng.randrange(4)
            if form == 0:
                self.out(1, 'x += await Tick(x & 7)')
            elif form == 1:
                self.out(1, 'try:')
                self.out(2, 'yield x & 255')
                self.out(1, rng.choice(['except Oops:', 'finally:']))
                self.out(2, 'x += %s(1)' % rng.choice(self.leaves))
            elif form == 2:
                self.body(1, 1)
        self.may_return = True
        self.out(1, 'yield x & 255')

    def def_class(self, name):
        rng = self.rng
        line = len(self.lines) + 1
        base = rng.choice(self.classes) if self.classes and rng.random() < 0.4 else None
        self.out(0, 'class %s%s:' % (name, '(%s)' % base if base else ''))
        self.out(1, self.bump(self.counter(name, line)))
        methods = [
            ('__init__', 'self, e', [], ['self.e = e', 'self.v = n = e[0] % 7', 'self.i = 0']),
            ('meth', 'self, n', [], ['e = self.e', 'x = n', 'BODY', 'return x & 255']),
            ('stat', 'n, e', ['staticmethod'], ['x = n', 'BODY', 'return x & 255']),
            ('clsm', 'cls, n, e', ['classmethod'], ['x = n', 'BODY', 'return x & 255']),
            ('prop', 'self', ['property'], ['return self.v + 1']),
            ('prop', 'self, v', ['prop.setter'], ['self.v = v & 255']),
            ('__getattr__', 'self, name', [], ['if name == "absent": raise AttributeError(name)', 'return 3']),
            ('__iter__', 'self', [], ['self.i = 0', 'return self']),
            ('__next__', 'self', [], ['self.i += 1', 'if self.i > 3: raise StopIteration', 'return self.i']),
            ('__call__', 'self, n', [], ['e = self.e', 'x = n', 'BODY', 'return x & 255']),
            ('__add__', 'self, other', [], ['return self.v + other.v']),
            ('__lt__', 'self, other', [], ['return self.v < other.v']),
            ('__eq__', 'self, other', [], ['return self.v == other.v']),
            ('__hash__', 'self', [], ['return self.v']),
            ('__contains__', 'self, v', [], ['return v == self.v']),
            ('__getitem__', 'self, i', [], ['return i + self.v']),
            ('__len__', 'self', [], ['return self.v']),
            ('__str__', 'self', [], ['return "s" * %s(self.v)' % rng.choice(self.leaves)]),
            ('__enter__', 'self', [], ['return self']),
            ('__exit__', 'self, kind, value, tb', [], ['return %s' % rng.choice([
                'False', 'True', 'kind is not None and issubclass(kind, Oops)'])]),
        ]
        if rng.random() < 0.5:
            methods.append(('__del__', 'self', [], ['%s(1)' % rng.choice(self.leaves)] + (
                ['raise Oops(1)'] if rng.random() < 0.3 else [])))
        for method, params, decorators, text in methods:
            if base and rng.random() < 0.6 and not decorators and method != '__hash__' and method != '__eq__':
                continue
            self.define(1, method, params, decorators=decorators)
            for statement in text:
                if statement == 'BODY':
                    self.out(2, 'if n <= 0 or e[0] <= 0: return 1')
                    self.out(2, 'e[0] -= 1')
                    self.body(2, rng.randint(1, 2))
                else:
                    self.out(2, statement)

    def def_recursions(self):
        """Shapes that the random calls seldom make."""
        rng = self.rng
        self.define(0, 'ackermann', 'm, n, e')
        self.out(1, 'e[0] -= 1')
        self.out(1, 'if e[0] <= 0: return 1')
        self.out(1, 'if m == 0: return n + 1')
        self.out(1, 'if n == 0: return ackermann(m - 1, 1, e)')
        self.out(1, 'return ackermann(m - 1, ackermann(m, n - 1, e), e)')
        a, b, c = self.name('even'), self.name('odd'), self.name('thrice')
        for name, other in ((a, b), (b, c), (c, a)):
            self.define(0, name, 'n')
            self.out(1, 'if n == 0:')
            self.out(2, rng.choice(['return 1', 'return %s(2)' % rng.choice(self.leaves), 'raise Oops(n)']))
            self.out(1, 'return %s(n - 1) + 1' % other)
        name = self.name('tower')  # an exception through many frames
        self.define(0, name, 'n, e')
        self.out(1, 'if n == 0: raise Worse(1)')
        form = rng.randrange(4)
        if form == 0:
            self.out(1, 'return %s(n - 1, e)' % name)
        elif form == 1:
            self.out(1, 'return sum(map(lambda v: %s(n - 1, e), [1]))' % name)
        elif form == 2:
            self.out(1, 'with %s(e):' % rng.choice(self.classes))
            self.out(2, 'return %s(n - 1, e)' % name)
        else:
            self.out(1, 'try:')
            self.out(2, 'return %s(n - 1, e)' % name)
            self.out(1, 'finally:')
            self.out(2, '%s(n)' % rng.choice(self.leaves))
        return ['ackermann(2, %d, e)' % rng.randint(1, 3), '%s(%d)' % (a, rng.randint(3, 60)),
                '%s(%d, e)' % (name, rng.randint(2, 40))]

    def def_limits(self):
        """Recursion to the limit: [expression for _deep]."""
        rng = self.rng
        made = []
        for _ in range(rng.randint(0, 2)):
            name = self.name('limit')
            number = len(self.counters)
            self.define(0, name, 'n', at_limit=True)
            form = rng.randrange(4)
            if form == 0:
                self.out(1, 'return %s(n + 1) + 1' % name)
            elif form == 1:  # caught near the bottom of the stack
                self.out(1, 'if n %% %d: return %s(n + 1)' % (rng.randint(400, 500), name))
                self.out(1, 'try:')
                self.out(2, 'return %s(n + 1)' % name)
                self.out(1, 'except RecursionError:')
                self.out(2, 'if n > 450: return n')
                self.out(2, 'raise')
            elif form == 2:  # through C
                self.out(1, 'return max(map(%s, [n + 1]))' % name)
            else:
                self.out(1, 'try:')
                self.out(2, 'return %s(n + 1)' % name)
                self.out(1, 'finally:')
                self.out(2, 'n += 1')
            made.append('_deep(%d, %s, 1)' % (number, name))
        return made

    def def_helpers(self):
        # The number of resumptions is bounded: a coroutine that catches what is thrown into it may go on for long.
        self.define(0, 'drive', 'k, throw')
        for text in ('x = 0', 'try:', '    for i in range(9):', '        if throw and i == throw:',
                     '            x += k.throw(Oops(i))', '        else:', '            x += k.send(None)',
                     'except StopIteration as ex:', '    return x + (ex.value or 0)', 'except Exception:',
                     '    return x', 'finally:', '    k.close()', 'return x'):
            self.out(1, text)
        self.define(0, 'pull', 'g')
        self.out(1, 'return next(g, 0)')
        self.define(0, 'deco', 'f')
        line = len(self.lines) + 1
        number = self.counter('wrap', line)
        self.out(1, '@functools.wraps(f)')
        self.out(1, 'def wrap(*a, **k):')
        self.out(2, self.bump(number))
        self.out(2, 'return f(*a, **k)')
        self.out(1, 'return wrap')
        self.define(0, 'deco_with', 'times')
        self.out(1, 'return deco')
        if not self.threads:
            self.out(0, 'def _bump(i):')
            self.out(1, '_h[i] += 1')
            self.out(1, 'return True')

    def call(self, text):
        self.out(1, 'try:')
        self.out(2, text)
        self.out(1, 'except (Exception, Base): pass')

    def generate(self):
        rng = self.rng
        # The counters' table needs their number: its line is filled in at the end.
        self.out(0, '')
        numbers = {what: self.counter(name, 0) for what, name in
                   (('count_rnd', 'rnd'), ('count_await', '__await__'), ('count_turn', '__await__'))}
        header = HEADER % {what: self.bump(number) for what, number in numbers.items()}
        defs = []
        for text in header.splitlines():
            self.out(0, text)
            if text.lstrip().startswith(('def rnd', 'def __await__')):
                defs.append(len(self.lines))
        for number, line in zip(numbers.values(), defs):
            self.counters[number] = ('', line, self.counters[number][2])

        kinds = ['leaf'] * 2 + ['plain'] * rng.randint(4, 9) + ['generator'] * rng.randint(2, 4) + [
            'coroutine'] * rng.randint(1, 3) + ['async_generator'] * rng.randint(1, 2) + ['class'] * rng.randint(1, 3)
        names = {}
        for kind in sorted(set(kinds)):
            names[kind] = [self.name({'leaf': 'leaf', 'plain': 'f', 'generator': 'gen', 'coroutine': 'co',
                                      'async_generator': 'agen', 'class': 'C'}[kind]) for _ in range(kinds.count(kind))]
        self.leaves, self.plain, self.gens = names['leaf'], names['plain'], names['generator']
        self.coros, self.agens, self.classes = names['coroutine'], names['async_generator'], []
        for name in self.leaves:
            self.def_leaf(name)
        self.def_helpers()
        for name in names['class']:
            known = self.classes
            self.def_class(name)
            self.classes = known + [name]
        order = [(kind, name) for kind in sorted(names) if kind not in ('leaf', 'class') for name in names[kind]]
        rng.shuffle(order)
        for kind, name in order:
            getattr(self, 'def_' + kind)(name)
        self.aio = [self.name('aio') for _ in range(rng.randint(1, 2))] if rng.random() < 0.4 else []
        for name in self.aio:
            self.def_coroutine(name, True)
        # repr() is the one way to look at an itertools.count that changes nothing
        self.out(0, 'def _count(i):')
        self.out(1, 'return _h[i] + (int(repr(_c[i])[6:-1]) if _c else 0)')
        shapes, limits = self.def_recursions(), self.def_limits()
        self.main(shapes, limits)
        self.finish()
        return '\n'.join(self.lines) + '\n'

    def main(self, shapes, limits):
        rng = self.rng
        self.define(0, 'work', 'e, n')
        self.out(1, 'x = 1')
        self.out(1, 'try:')
        self.body(2, 3)
        self.out(1, 'except (Exception, Base): pass')
        for _ in range(rng.randint(4, 8)):
            self.call('%s(n, e)' % rng.choice(self.plain))
            if rng.random() < 0.5:
                self.call('x += sum(%s(n, e))' % rng.choice(self.gens))
            if rng.random() < 0.5:
                self.call('x += drive(%s(n, e), %d)' % (rng.choice(self.coros), rng.choice([0, 0, 1, 2])))
        for text in shapes:
            self.call(text)
        fuel = rng.randint(300, 1200)
        if self.threads:
            self.out(0, '_ts = [threading.Thread(target=work, args=([%d + i, i], %d)) for i in range(%d)]'
                     % (fuel // 2, rng.randint(3, 6), rng.randint(1, 4)))
            together = rng.random() < 0.7
            self.out(0, 'for _t in _ts:')
            self.out(1, '_t.start()')
            self.out(1, 'pass' if together else '_t.join()')
        self.out(0, 'work([%d, %d], %d)' % (fuel, rng.randint(1, 9999), rng.randint(4, 8)))
        for name in self.aio:
            self.out(0, 'try:')
            self.out(1, 'asyncio.run(%s(%d, [%d, 7]))' % (name, rng.randint(3, 6), fuel // 2))
            self.out(0, 'except (Exception, Base): pass')
        for text in limits:
            self.out(0, 'try:')
            self.out(1, text)
            self.out(0, 'except RecursionError: pass')
        if self.threads:
            self.out(0, 'for _t in _ts: _t.join()')
        self.out(0, '_drop = %r' % (rng.random() < 0.7))

    def finish(self):
        self.lines[0] = '_h = [0] * %d; _c = None' % len(self.counters)
        if self.threads:  # `+=` of two threads may lose one
            self.lines[0] = 'import itertools; _h = [0] * %d; _c = [itertools.count() for _ in _h]' % len(self.counters)
        self.out(0, '_counters = {')
        for i, (suffix, line, name) in enumerate(self.counters):
            self.out(1, '%d: (_path + %r, %d, %r),' % (i, suffix, line, name))
        self.out(0, '}')


def program(seed):
    return Program(seed).generate()


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Writes the random program of a seed.')
    parser.add_argument('seed', type=int)
    parser.add_argument('-o', default='-')
    arguments = parser.parse_args()
    if arguments.o == '-':
        sys.stdout.write(program(arguments.seed))
    else:
        with open(arguments.o, 'w') as f:
            f.write(program(arguments.seed))
