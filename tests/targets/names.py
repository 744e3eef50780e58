"""names: functions whose lines say which variables they use and which they define, for test_names.

A comment `#: uses; defs` holds for its line, in the order of names. Prints 'code ADDRESS NAME' for each code object, then
'ready', and waits for its stdin to close.
"""
import sys

total = 0
class Box: pass  # noqa: E701


def plain(a, b, *rest, **more):
    c = a + b                               #: a b; c
    c += 1                                  #: c; c
    c, d = b, a                             #: a b; c d
    (e, f), *g = (a, b), c                  #: a b c; e f g
    c = d = 5                               #: ; c d
    print(a, b)                             #: a b;
    print(len(rest), **more)                #: more rest;
    x = len                                 #: len; x
    x(a)                                    #: a x;
    del c                                   #: ; c
    return a, e, f, g                       #: a e f g;


def attributes(self, other):
    self.x = other.y                        #: other.y; self.x
    self.x += 1                             #: self.x; self.x
    self.a.b = self.x                       #: self.x; self.a.b
    self.a.b.c.d.e                          #: self.a.b.c;
    self.x.append(1)                        #: self.x;
    self.run(other)                         #: other self;
    self.run(key=other)                     #: other self;
    self.x[other.z] = 2                     #: other.z self.x;
    del self.x                              #: ; self.x
    self.p, other.q = other.q, self.p       #: other.q self.p; other.q self.p
    return self.run().y                     #: self;


def scopes(n):
    global total
    total += n                              #: n total; total
    m = n                                   #: n; m
    def inner(k):                           #: ; inner
        nonlocal m
        m += k                              #: k m; m
        return m + n                        #: m n;
    return inner(m)                         #: inner m;


def blocks(a, b):
    for i in a:                             #: a; i
        pass
    for i, (j, k) in b:                     #: b; i j k
        a = j                               #: j; a
    while a:                                #: a;
        a -= 1                              #: a; a
    with a as x, b as y:                    #: a b; x y
        pass
    try:
        raise a                             #: a;
    except KeyError:                        #: KeyError;
        pass
    if (n := len(b)) > 2:                   #: b; n
        return n                            #: n;
    assert a, b                             #: a b;
    import os                               #: ; os
    from sys import path as p, argv         #: ; argv p
    return os.sep, p, argv                  #: argv os.sep p;


def expressions(a, b, c):
    d = a if b else c                       #: a b c; d
    d = a and b or not c                    #: a b c; d
    d = a < b < c                           #: a b c; d
    d = f'{a} {b!r:>{c}}'                   #: a b c; d
    d = a[b:c], a[b]                        #: a b c; d
    d = {a: b, **c}                         #: a b c; d
    d = [a, *b]                             #: a b; d
    d = max(a, min(b, c))                   #: a b c; d
    d = lambda: a + 1                       #: ; d
    return (a,                              #: a;
            b,                              #: b;
            c)                              #: c;


def made_inside(rows, z):
    flat = [c for row in rows for c in row]         #: rows; flat
    z = {k: v for k, v in rows}                     #: rows; z
    z = [z for z in rows if z]                      #: rows; z
    return [len(r) for r in rows]                   #: rows;


def yields(a):
    b = yield a                             #: a; b
    yield from b                            #: b;


async def waits(a):
    b = await a                             #: a; b
    async with b as c:                      #: b; c
        pass
    async for d in c:                       #: c; d
        print(d)                            #: d;


class Derived(Box):
    def method(self):
        super().method()                    #: ;
        super().a                           #: ;
        return Box, self                    #: Box self;


def main():
    for f in (plain, attributes, scopes, blocks, expressions, made_inside, yields, waits, Derived.method):
        codes = [f.__code__] + [c for c in f.__code__.co_consts if hasattr(c, 'co_code') and c.co_name == 'inner']
        for code in codes:
            print('code', id(code), code.co_name)
    print('ready', flush=True)
    sys.stdin.read()


main()
