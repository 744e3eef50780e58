"""compiled_cases: what compiled.py puts to the compiler: an original, what it gives, a patch, and what the original gives then."""


def add_cases(case):
    case('plain', 'def f(a, b=2): return a + b', {'f(1)': 3}, 'app.f',
         '"of the file"\ndef f(a, b=5):\n    "new"\n    return a * b', {'f(2)': 10, 'f.__doc__': 'new', 'f.__name__': 'f',
                                                                  'f.__code__.co_name': 'f', 'f.__code__.co_firstlineno': 2})
    case('helpers', 'def f(a): return a', {'f(1)': 1}, 'app.f',
         'import math\nfrom os import path as p\nFACTOR = 3\ndef twice(x): return math.floor(x) * 2 + (0 if x else twice(1))\n'
         'def f(a):\n    return twice(a) * FACTOR + len(p.join("a", "b"))', {'f(1.5)': 9, 'f(0)': 9})
    case('a recursive function', 'def f(n): return 0', {'f(3)': 0}, 'app.f',
         'def f(n): return n * f(n - 1) if n else 1', {'f(5)': 120})
    case('a renamed recursive function', 'def f(n): return 0', {'f(3)': 0}, 'app.f',
         'def other(n): return n * g(n)\ndef new(n): return other(n) if n else 1\ndef g(n): return new(n - 1)', {'f(5)': 120},
         new='new')
    case('a helper that calls the target', 'class A:\n def close(self): return 1\ndef close(): return 7', {'A().close()': 1}, 'app.A.close',
         'def twice(a): return close(a, False) * 2\ndef close(self, again=True): return twice(self) if again else 4',
         {'A().close()': 8, 'close()': 7})
    case('a method named as a global', 'class A:\n def close(self): return 1\ndef close(n): return n', {'A().close()': 1}, 'app.A.close',
         'def close(self): return close(7)', {'A().close()': 7})
    closure = 'def make(z, a=10, m=5):\n def f(x, k=1): return x + z + a\n def put(v):\n  nonlocal z\n  z = v\n return f, put\nf, put = make(1)'
    case('a closure', closure, {'f(1)': 12}, 'app.f', 'def f(x, k=1): return x * z * a', {'f(2)': 20, 'put(3)': None, 'f(1)': 30})
    case('a closure, less used', closure, {'f(1)': 12}, 'app.f', 'def f(x, k=1):\n    return x * z', {'f(2)': 2, 'put(3)': None, 'f(1)': 3,
         'f.__code__.co_freevars': ('a', 'z')})
    case('a closure, none used', closure, {'f(1)': 12}, 'app.f', 'def f(x, k=1):\n    "doc"', {'f(2)': None, 'f.__doc__': 'doc'})
    case('a closure used inside', closure, {'f(1)': 12}, 'app.f',
         'def h(x): return x + 1\ndef f(x, k=1):\n    return [(lambda y: h(y) + z)(i) for i in range(a) if h(i) > 9]',
         {'f(2)': [11], 'put(5)': None, 'f(2) ': [15]})
    case('a free variable as a local', closure, {'f(1)': 12}, 'app.f', 'def f(x, k=1):\n    z = 4\n    return x + z + a', {'f(1)': 15},
         trampoline=True, note="'z' of the original is now an ordinary variable")
    case('a free variable as a parameter', closure, {'f(1)': 12}, 'app.f', 'def f(z, k=1):\n    return z + a', {'f(1)': 11},
         trampoline=True, force=True)
    case('a free variable that the file has too', closure, {'f(1)': 12}, 'app.f', 'z = 100\ndef f(x, k=1): return x + z + a', {'f(1)': 12},
         note="'z' is the original's own variable")
    case('a default of a free variable', closure, {'f(1)': 12}, 'app.f', 'def f(x, k=z): return x + z + a', {},
         refused="uses 'z', a variable of the function")
    classes = ('class B:\n def g(self): return "B"\n @classmethod\n def c(cls): return "Bc"\nclass _A(B):\n'
               ' LIMIT = 7\n def __init__(self): self.__p = 3\n def g(self): return super().g() + str(self.__p)\n def h(self): return "h"\n'
               ' def __q(self): return 1\n def q(self): return self.__q()\n'
               ' @property\n def v(self): return 1\n @staticmethod\n def s(x): return x\n @classmethod\n def c(cls): return "c"\nA = _A')
    case('super() and mangling', classes, {'A().g()': 'B3'}, 'app._A.g',
         'def g(self): return "n" + super().g() + str(self.__p + len([__x for __x in (1, 2)]))', {'A().g()': 'nB5'})
    case('super() no longer', classes, {'A().g()': 'B3'}, 'app._A.g', 'def g(self): return str(self.__p)', {'A().g()': '3'})
    case('super() gained', classes, {'A().h()': 'h'}, 'app._A.h', 'def h(self): return "n" + super().g() + __class__.__name__',
         {'A().h()': 'nB_A'}, trampoline=True, note="the original has no variable '__class__'")
    case('super() gained by an inherited name', classes + '\nclass D(_A): pass', {'D().h()': 'h'}, 'app._A.h',
         'def h(self): return super().g() + __class__.__name__', {'D().h()': 'B_A'}, trampoline=True)
    case('super() outside a class', 'class C: pass\ndef f(c): return 1', {}, 'app.f', 'def f(c): return super(C, c).__hash__() == c.__hash__()', {'f(C())': True})
    case('a class in a function', 'def make():\n class C:\n  def h(self): return 1\n return C\nC = make()\nh = C.h', {}, 'app.h',
         'def h(self): return __class__', {}, refused='its class is not to be found')
    case('a private method', classes, {'A().q()': 1}, 'app._A.__q', 'def __q(self): return 2', {'A().q()': 2, '_A._A__q.__name__': '__q'})
    case('a property', classes, {'A().v': 1}, 'app._A.v', 'def v(self): return self.LIMIT', {'A().v': 7})
    case('a static method', classes, {'A.s(4)': 4}, 'app._A.s', '@staticmethod\ndef s(x): return -x', {'A.s(4)': -4},
         note='decorators of the new function are left out, those of the original stay (line 1)')
    case('a class method', classes, {'A.c()': 'c'}, 'app._A.c', '@classmethod\ndef c(cls): return super().c() + cls.__name__',
         {'A.c()': 'Bc_A'}, trampoline=True)
    case('a default from the class', classes, {'A().h()': 'h'}, 'app._A.h', 'def h(self, n=LIMIT) -> LIMIT: return n',
         {'A().h()': 7, '_A.h.__annotations__["return"]': 7}, note="new parameter 'n' with default")
    case('in a class of the file', classes, {'A().h()': 'h'}, 'app._A.h',
         'class _A:\n    def other(self): pass\n    def h(self): return _A.LIMIT, isinstance(self, _A)', {'A().h()': (7, True)},
         note="the class '_A' around it is left out")
    case('in a class, and called by a helper', 'class A:\n def f(self): return 1\ndef f(): return 2', {}, 'app.A.f',
         'def h(): return f()\nclass A:\n    def f(self): return h()', {'A().f()': 2})
    case('__init_subclass__', 'class B:\n def __init_subclass__(cls): cls.x = 1', {}, 'app.B.__init_subclass__',
         'def __init_subclass__(cls):\n    super().__init_subclass__()\n    cls.x = 2', {'type("C", (B,), {}).x': 2}, trampoline=True)
    case('defaults and annotations', 'def f(a, b=1, *, c=2): return a, b, c', {'f(0)': (0, 1, 2)}, 'app.f',
         'T = int\ndef make(): return [5]\ndef f(a: T, b: "str"=make(), *, c=T("7")) -> T: return a, b, c',
         {'f(0)': (0, [5], 7), 'f.__annotations__': {'a': int, 'b': 'str', 'return': int}})
    case('annotations as texts', 'def f(a): return a', {}, 'app.f',
         'from __future__ import annotations\nT = int\ndef f(a: Nowhere[T]):\n    def g(x: T): return T\n    return g.__annotations__, g(1)',
         {'f(1)': ({'x': 'T'}, int), 'f.__annotations__': {'a': 'Nowhere[T]'}})
    # Constants that the compiler would fold.
    folding = {'if:': 'def f():\n    if H: return 1\n    return 2', 'not': 'def f():\n    return 2 if not H else 1',
               'while': 'def f():\n    while H: return 1\n    return 2', 'and': 'def f():\n    return 1 if (H and 1) else 2',
               'or': 'def f():\n    return (H or 2)', 'product': 'def f():\n    return H * 2 + 2', 'index': 'def f():\n    return [2][H]',
               'tuple': 'def f():\n    return 2 + (H, 1)[0]', 'in': 'def f():\n    return 2 if 0 in (H, 5) else 0',
               'set': 'def f():\n    return 2 if 0 in {H, 5} else 0', 'text': 'def f():\n    return 2 if "%s" % (H,) == "0" else H',
               'fstring': 'def f():\n    return 2 if f"{H}{H!r:>2}" == "0 0" else H', 'assert': 'def f():\n    assert H == 0, H\n    return 2',
               'percent': 'def f():\n    return 2 if H % (3,)[0] == 0 else 1', 'statement': 'def f():\n    H\n    return 2 if f.__doc__ is None else 1',
               'lambda': 'def f():\n    return (lambda: 1 if H else 2)()', 'class': 'def f():\n    class C:\n        a = 1 if H else 2\n    return C.a',
               'comparison': 'def f():\n    return 2 if H < 1 < 2 else 1', 'unary': 'def f():\n    return 2 + -H', 'finally':
               'def f():\n    try:\n        return 2 + len([H]) - 1\n    finally:\n        str(H)', 'list': 'def f():\n    return [H, 1, 2, 3][0] + 2',
               'for': 'def f():\n    for x in (H, H): return 2 + x', 'unpack': 'def f():\n    a, b = H, H\n    return 2 + a + b',
               'dict': 'def f():\n    return {H: 2, "a": H}[0]', 'slice': 'def f():\n    return [2, 3][H:][H]',
               'elif': 'def f():\n    return 1 if (x := H) else 2', 'nested': 'def f():\n    return 1 if (H if f else 1) else 2',
               'filter': 'def f():\n    return 2 + len([1 for i in [1] if H])', 'none': 'def f():\n    return 1 if H is None else 2',
               'is': 'def f():\n    if H is not None: return 2', 'and or': 'def f():\n    return (f and H) or 2',
               'attribute': 'def f():\n    return 2 + H.real', 'default': 'def f(x=H):\n    return 2 + x + H'}
    for what, patch in folding.items():
        asks = what in ('if:', 'not', 'while', 'and', 'or', 'lambda', 'class', 'elif', 'nested', 'filter', 'and or')
        case('folding: ' + what, 'def f(): return 0', {'f()': 0}, 'app.f', 'H = 0\n' + patch, {'f()': 2}, trampoline=False if asks else None)
    for what, patch in {'comprehension': 'def f(x):\n    return [h(h0) for h0 in x] + [h for h in x]',
                        'local class': 'def f(x):\n    class C:\n        h = 4\n        def m(self): return h(self.h)\n    return [C().m()]',
                        'inner parameter': 'def f(x):\n    return [(lambda h: h)(1), h(1)]'}.items():
        case('a helper that is a local name: ' + what, 'def f(x): return x', {}, 'app.f', 'def h(x): return x + 1\n' + patch,
             {'f([1])': {'comprehension': [2, 1], 'local class': [5], 'inner parameter': [1, 2]}[what]}, trampoline=True)
    case('a local named as a helper', 'def f(x): return x', {}, 'app.f', 'import os\nfor i in (): pass\ndef f(x):\n    i = os = x\n    return i + os',
         {'f(1)': 2})
    case('walrus and scopes', 'def f(x): return x', {}, 'app.f',
         'def h(x): return x + 1\ndef f(x):\n    if (y := h(x)) > 1: return y, [z := h(i) for i in range(2)], z, {h(k): v for k, v in [(1, 2)]}\n',
         {'f(1)': (2, [1, 2], 2, {2: 2})})
    case('match', 'def f(x): return x', {}, 'app.f',
         'import enum\nclass C(enum.Enum):\n    RED = 1\nclass P:\n    __match_args__ = ("x",)\n    def __init__(self, x): self.x = x\n'
         'def f(x):\n    match x:\n        case C.RED: return "red"\n        case {"a": C.RED, **rest}: return rest\n        case [first, *others]: return others\n'
         '        case int(): return P(3).x\n', {'f(1)': 3, 'f([1, 2])': [2], 'f(place)': None}, since=(3, 10))
    case('match a class', 'def f(x): return x', {}, 'app.f', 'class P:\n    x = 5\ndef f(x):\n    match P():\n        case P(x=5): return x\n',
         {'f(1)': 1}, since=(3, 10), trampoline=True)
    case('star-expressions', 'def f(*a, **k): return a, k', {}, 'app.f', 'H = (1, 2)\nD = {"q": 3}\ndef g(*a, **k): return a, k\n'
         'def f(*a, **k): return g(*H, *a, **D, **k)', {'f(5, z=4)': ((1, 2, 5), {'q': 3, 'z': 4})})
    case('a lambda', 'f = lambda x: x + 1', {'f(1)': 2}, 'app.f', 'h = 5\nf = lambda x: x + h', {'f(1)': 6, 'f.__name__': '<lambda>'})
    case('a class inside', 'def f(): return 1', {}, 'app.f',
         'class Base: x = 2\ndef f():\n    class C(Base):\n        __y = 3\n        def m(self): return self.__y, super().x\n    return C.__qualname__, C().m(), C.m.__qualname__',
         {'f()': ('f.<locals>.C', (3, 2), 'f.<locals>.C.m')})
    case('qualified names', 'class A:\n def m(self): return 1', {}, 'app.A.m',
         'class H:\n    def x(self): pass\ndef m(self):\n    def inner(): pass\n    return inner.__qualname__, (lambda: 0).__qualname__, H.x.__qualname__, H.__qualname__',
         {'A().m()': ('A.m.<locals>.inner', 'A.m.<locals>.<lambda>', 'H.x', 'H')})
    case('mangling in a class inside', 'def f(): return 1', {}, 'app.f',
         '_C__g = 5\n__g = 6\ndef f():\n    class C:\n        def m(self): return __g\n    return C().m(), __g', {'f()': (5, 6)})
    case('a generator that can be awaited', 'import types\n@types.coroutine\ndef f(x):\n yield from ()\n return x\nasync def g(x): return await f(x)',
         {'run(g(1))': 1}, 'app.f', 'def f(x):\n    yield from ()\n    return x + 1', {'run(g(1))': 2})
    case('a coroutine', 'async def f(x): return x', {'run(f(1))': 1}, 'app.f', 'import asyncio\nasync def h(x): return x + 1\n'
         'async def f(x):\n    await asyncio.sleep(0)\n    return await h(x) + sum([await h(i) for i in range(2)])', {'run(f(1))': 5})
    case('a generator', 'def f(x): yield x', {'list(f(1))': [1]}, 'app.f', 'N = 2\ndef f(x):\n    y = yield x\n    yield from range(N)\n    return y', {'list(f(7))': [7, 0, 1]})
    case('an asynchronous generator', 'async def f(x): yield x', {'run(as_list(f(1)))': [1]}, 'app.f',
         'N = 2\nasync def f(x):\n    yield x\n    async for y in g(): yield y\nasync def g():\n    yield N', {'run(as_list(f(1)))': [1, 2]})
    case('a coroutine through a trampoline', 'async def f(x, *, k=1): return x', {'run(f(1))': 1}, 'app.f', 'h = 1\nasync def f(x, *, k=2): return [h for h in (x, k)] + [h]',
         {'run(f(1))': [1, 2, 1], 'run(f(1, k=0))': [1, 0, 1], '__import__("inspect").iscoroutinefunction(f)': True}, trampoline=True)
    case('a generator through a trampoline', 'def f(x): yield x', {'list(f(3))': [3], 'sum(sum(f(1)) for i in range(5000))': 5000}, 'app.f',
         'h = 1\ndef f(x):\n    got = yield [h for h in x] + [h]\n    yield got', {'list(f([3]))': [[3, 1], None], '(lambda g: (next(g), g.send(4)))(f([]))': ([1], 4),
                                                                           '__import__("inspect").isgeneratorfunction(f)': True}, trampoline=True)
    case('an asynchronous generator through a trampoline', 'async def f(x): yield x', {'run(as_list(f(2)))': [2]}, 'app.f', 'h = 1\nasync def f(x): yield [h for h in [x]] + [h]',
         {'run(as_list(f(3)))': [[3, 1]], '__import__("inspect").isasyncgenfunction(f)': True}, since=(3, 11), trampoline=True)
    case('all kinds of parameters through a trampoline', 'class A:\n def f(self, a, __p, /, b, c=3, *r, __k, d=4, **kw): pass', {}, 'app.A.f',
         'h = 1\ndef f(self, a, __p, /, b, c=3, *r, __k, d=4, **kw): return a, __p, b, c, r, __k, d, kw, [h for h in ()], h',
         {'A().f(1, 2, 3, _A__k=5, e=6)': (1, 2, 3, 3, (), 5, 4, {'e': 6}, [], 1),
          'A().f(1, 2, 3, 4, 5, 6, _A__k=7, d=8)': (1, 2, 3, 4, (5, 6), 7, 8, {}, [], 1)}, trampoline=True)
    case('type parameters', 'def f(x): return x', {}, 'app.f', 'def h(x): return x\ndef f[T: int](x: T): return h(x), len(f.__type_params__)\n', {},
         since=(3, 12), note='')
    case('a type parameter in the body', 'def f(x): return x', {}, 'app.f', 'def f[T](x: T): return T.__name__, [T for i in x]', {'f([])': ('T', [])},
         since=(3, 12), trampoline=True)
    case('a warning', 'def f(x): return x', {}, 'app.f', 'def f(x): return 1 is x\n', {'f(2)': False}, note='Python warns of /patch/new.py: "is" with')
    case('a nested function', 'def f(x, y=1): return x', {}, 'app.f', 'def f(x, y=2): return [x]', {'f(1)': [1]}, kind='nested')
    case('a nested function, defaults', 'def f(x, y=1): return x', {}, 'app.f', 'def f(x, y): return [x]', {}, kind='nested',
         refused="the defaults of 'f' are made by the function around it")
    case('a nested function, cells', closure, {}, 'app.f', 'h = 1\ndef f(x, k=1): return [h for h in ()] + [z, h]', {}, kind='nested',
         refused='makes another one')
    case('lines of a traceback', 'def f(x): return x', {}, 'app.f',
         'def h(x):\n    raise ValueError(x)\n\n\ndef f(x):\n    "doc"\n\n    def inner():\n        return h(\n            x)\n    try:\n        return inner()\n    finally:\n        x = 0\n',
         {'place(lambda: f(1))[1:]': [(12, 'f'), (9, 'inner'), (2, 'h')]}, raises=True)
    case('lines of an error in a generator', 'def f(x): yield x', {}, 'app.f', 'def f(x):\n    yield 1\n    raise KeyError(x)',
         {'place(lambda: list(f(1)))[1:]': [(3, 'f')]}, raises=True)
    case('an error of the body itself, and its context', 'def f(x): return x', {}, 'app.f',
         'def f(x):\n    try:\n        1 / x\n    except ZeroDivisionError as e:\n        return type(e.__context__).__name__\n    raise KeyError(x)',
         {'f(0)': 'NoneType', 'place(lambda: f(1))[1:]': [(6, 'f')]}, raises=True)
    case('a dead use of a helper', 'def f(): return 0', {}, 'app.f', 'def h(): return 1\ndef f():\n    return 2\n    return h()', {'f()': 2}, trampoline=None)
    case('builtins taken over', 'def f(): return 0', {}, 'app.f',
         'try:\n    unicode\nexcept NameError:\n    unicode = str\nlen = lambda x, old=len: old(x) + 1\nsum = sum\ndef f(): return len([]), sum([1]), unicode(3)',
         {'f()': (1, 1, '3')})
    case('not the main program', 'def f(): return 0', {}, 'app.f', 'if __name__ == "__main__":\n    raise SystemExit\nelse:\n    x = 3\ndef f(): return x, __name__',
         {'f()': (3, 'app')}, note='is left out')
    case('the last definition', 'def f(): return 0', {}, 'app.f', 'def f(): return 1\ndef f(): return 2', {'f()': 2})
    case('encoding', 'def f(): return 0', {}, 'app.f', '# -*- coding: latin-1 -*-\ndef f(): return "\xe9"'.encode('latin-1'), {'f()': '\xe9'})
    case('names beyond ASCII', 'def f(\xe9=1): return \xe9', {}, 'app.f', 'gr\xf6\xdfe = "\U0001f40d"\ndef f(\xe9=2): return gr\xf6\xdfe, \xe9', {'f()': ('\U0001f40d', 2)})
    case('line ends', 'def f(): return 0', {}, 'app.f', b'\xef\xbb\xbfdef f():\r\n  return """a\r\nb"""\r', {'f()': 'a\nb'})
    add_refusals(case)
    add_patch_files(case)


def add_refusals(case):
    f = 'def f(a, b=1, *r, c, d=2): return a'
    for what, new, reason in (
            ('gone', 'def f(a, *r, c, d=2): pass', "parameter 'b' is gone"), ('renamed', 'def f(x, b=1, *r, c, d=2): pass', "parameter 'a' is now 'x'"),
            ('required', 'def f(a, b, *r, c, d=2): pass', "parameter 'b' has no longer a default"),
            ('new', 'def f(a, b=1, *r, c, d=2, e): pass', "new keyword parameter 'e' without default"),
            ('new positional', 'def f(a, b, x, *r, c, d=2): pass', "new parameter 'x' without default"),
            ('stars', 'def f(a, b=1, *, c, d=2): pass', "parameter '*r' is gone"),
            ('positional only', 'def f(a, /, b=1, *r, c, d=2): pass', "parameter 'a' can no longer be given by its name"),
            ('keyword default', 'def f(a, b=1, *r, c, d): pass', "keyword parameter 'd' has no longer a default"),
            ('kind', 'async def f(a, b=1, *r, c, d=2): pass', 'it was a plain function and is a coroutine'),
            ('generator', 'def f(a, b=1, *r, c, d=2): yield', 'it was a plain function and is a generator')):
        case('signature: ' + what, f, {}, 'app.f', new, {}, refused=reason)
        case('signature, forced: ' + what, f, {}, 'app.f', new, {'f.__code__.co_name': 'f'}, force=True, note=reason, uncalled=True)
    case('signature: wider', f, {}, 'app.f', 'def f(a=0, b=1, *r, c=3, d=2, e=4, **k): return a', {'f()': 0}, note="new keyword parameter 'e' with default")
    for what, source, reason in (
            ('empty', '', 'is empty'), ('blank', ' \n', 'is empty'), ('null', 'x = 1\ndef f(): "\0"', 'line 2 has a null byte'),
            ('syntax', 'def f():\n    return (1 +\n', 'has a syntax error in line'), ('indentation', 'def f():\nreturn 1', 'has a syntax error in line 2'),
            ('late syntax', 'def f():\n    nonlocal x', 'has a syntax error in line 2'), ('return', 'return 1', 'has a syntax error'),
            ('encoding', b'def f():\n    "\xff"', 'is not UTF-8: line 2'), ('declared encoding', b'# coding: klingon\n', "encoding 'klingon'"),
            ('declared wrongly', b'# coding: ascii\n# \xe9', 'is not ASCII: line 2'), ('absent', 'def g(): pass\nclass C:\n    def m(self): pass', "'g', 'C.m'"),
            ('none', 'x = 1', 'there is none at all'), ('class', 'class f: pass\ndef g(): pass', 'is a class'), ('star', 'from os import *\ndef f(a, b=1, *r, c, d=2): pass', "'from os import *' cannot be"),
            ('global', 'n = 0\ndef f(a, b=1, *r, c, d=2):\n    global n\n    n += 1', "'global n' would mean the target module's"),
            ('class name', 'def h(): pass\ndef f(a, b=1, *r, c, d=2):\n    class C:\n        h = h()', "'h' is first the one of"),
            ('large', '#' * (4 << 20) + '\n', 'is too large'), ('nested', 'x = ' + '(' * 3000 + ')' * 3000 + '\ndef f(): pass', '')):
        case('bad source: ' + what, f, {}, 'app.f', source, {}, refused=reason)


def add_patch_files(case):
    head = 'from pylu import redefine, add, set_value\n'
    app = 'RATE = 2\nclass Shop:\n tax = 1\n def total(self): return 5\ndef price(x): return x * RATE'
    case('a patch file', app, {'price(2)': 4, 'Shop().total()': 5}, None, head +
         'import math\ndef h(x): return math.floor(x) + later(x)\n'
         '@redefine("app.price")\ndef price(x): return h(x) * RATE + far2(1)\n'
         '@add("app")\ndef later(x): return LATER + (later(0) if x else 0)\n'
         '@redefine("app.Shop.total")\ndef total(self): return price(1) + self.extra + self.__hidden() + self.more\n'
         '@add("app.Shop")\n@property\ndef more(self): return type(self).tax, h, __class__.tax\n'
         '@add("app.Shop")\ndef __hidden(self): return self.__class__.__name__, super().__str__()[:5]\n'
         '@add("app")\nclass Extra(Exception):\n    def __init__(self): super().__init__(h(0))\n'
         '@add("app.Shop")\nclass Inner:\n    def who(self): return __class__.__qualname__, Inner2\n'
         'Inner2 = 8\ndef far2(x): return fars(x)\n'
         '@redefine("app.sub.far")\ndef fars(x): return x + h(0) + value\n'
         '@add("app.sub")\ndef new(): return fars(1), __name__\n'
         'add("app", LATER=h.__name__ and 10, OTHER=[h])\nset_value("app.Shop", tax=9)\nset_value("app", RATE=3)\n',
         {'price(2)': (2 + 20) * 3 + 1 + 10 + 1, 'later(1)': 20, 'LATER': 10, 'len(OTHER)': 1, 'Shop.tax': 9, 'RATE': 3, 'Shop().more[0::2]': (9, 9),
          'Shop()._Shop__hidden()': ('Shop', '<app.'), 'Extra().args': (20 - 10,), 'Extra.__module__, Extra.__qualname__': ('app', 'Extra'),
          'Shop.Inner().who()': ('Shop.Inner', 8), 'Shop.Inner.__qualname__': 'Shop.Inner', 'later.__qualname__': 'later',
          'Shop.more.fget.__qualname__': 'Shop.more', '__import__("sys").modules["app.sub"].new()': (1 + 10 + 1, 'app.sub')})
    case('__set_name__', app, {}, None, head + 'import functools\nadd("app.Shop", cached=functools.cached_property(lambda self: 4))', {'Shop().cached': 4})
    for what, text, reason in (
            ('nothing', 'x = 1', 'changes nothing'), ('target', '@redefine(name)\ndef f(): pass', 'takes one name in quotes'),
            ('two', '@redefine("app.price")\n@add("app")\ndef f(): pass', 'one decorator of redefine or add'),
            ('inside', '@redefine("app.price")\ndef f(x): pass\nif 1:\n    @add("app")\n    def g(): pass', 'at the top level'),
            ('class', '@redefine("app.Shop")\nclass Shop: pass', 'is a class'), ('twice', 'add("app", x=1, y=2)\nadd("app", x=1)', 'is changed twice'),
            ('there', 'add("app", RATE=1)', 'is there already'), ('not there', 'set_value("app", RAT=1)', 'is not there'),
            ('no values', 'add("app")', 'takes the values as NAME=value'), ('call', 'redefine("app.price")', 'as its decorator'),
            ('value', '@redefine("app.RATE")\ndef f(): pass', 'is no function: it is a value')):
        case('bad patch file: ' + what, app, {}, None, head + text, {}, refused=reason)
    case('bad patch file: verb', app, {}, None, 'from pylu import undo', {}, refused="no 'undo'")
