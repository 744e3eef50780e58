"""funcs: functions of all kinds, and other objects, with what this process itself says of them.

Prints one line for each thing it knows, fields divided by tabs, then 'ready', and waits for its stdin to close:
  func CODE GLOBALS MODULE LINE FILE NAME...  a function that the process holds; NAMEs: what its qualified name can be
  str ADDR TEXT                       attr ADDR NAME TEXT     noattr ADDR NAME
  dict ADDR ENTRIES KEY...            up to ten of its keys that are str   notdict ADDR
  thread TID NAME
"""
import ast
import asyncio
import dataclasses
import enum
import functools
import gc
import sys
import threading
import types
from collections import OrderedDict, namedtuple

import funcs_lib
from funcs_lib import Memo, Meta, Registry, Slotted, traced, unwrapped, with_arguments

registry = Registry()


def plain(a, b=2, *c, d=4, **e):
    return a


def nested():
    def inner():
        def innermost():
            return [x for x in range(3)], {y: y for y in range(3)}, {z for z in range(3)}, (g for g in range(3))
        return innermost
    return inner


def makes_class():
    class Local:
        def method(self):
            class Deeper:
                def at_the_bottom(self):
                    return None
            return Deeper

        attribute = lambda self: 2  # noqa: E731
    return Local


def declares_global():
    global global_function

    def global_function():
        return 1


declares_global()
one_line, two_on_one = (lambda: 1), (lambda x: (lambda: x))
sort_key = functools.partial(lambda x: -x)
table = {'one': lambda: 1, 'more': [lambda: 2, (lambda: 3,)]}
slotted = Slotted(lambda: 'slot')
LocalClass = makes_class()
instance_of_made = funcs_lib.make_class()()


@traced
def decorated(a):
    return a


@unwrapped
def hidden(a):
    return a


@with_arguments(2)
@traced
def twice_decorated():
    def inside_decorated():
        return 1
    return inside_decorated


@Memo
def memoized():
    return 1


@functools.lru_cache(maxsize=None)
def cached():
    return 1


@registry.add('x')
def registered():
    return 1


@functools.singledispatch
def dispatched(a):
    return a


@dispatched.register(int)
def _of_int(a):
    return a


@traced
def wrapper():
    """Named like the wrapper of its decorator, which takes this function's qualified name."""


class Base(metaclass=Meta):
    def method(self):
        return 1

    @staticmethod
    def static():
        return 1

    @classmethod
    def of_class(cls):
        return 1

    @property
    def value(self):
        return 1

    @value.setter
    def value(self, new):
        pass

    @value.deleter
    def value(self):
        pass

    @functools.lru_cache()
    def cached_method(self):
        return 1

    @staticmethod
    @traced
    def static_and_traced():
        return 1

    class Inner:
        def method(self):
            return lambda: 1

        class Innermost:
            @classmethod
            def method(cls):
                return 1

    if sys.version_info >= (3, 8):
        @functools.cached_property
        def cached_value(self):
            return 1


class Derived(Base):
    def method(self):
        return super().method()


Derived.added_later = lambda self: 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0

    def norm(self):
        return self.x + self.y


class Colour(enum.Enum):
    RED = 1

    def describe(self):
        return self.name


Pair = namedtuple('Pair', 'left right')


def generator():
    yield 1


async def coroutine():
    async def inner():
        await asyncio.sleep(0)
    await inner()


async def async_generator():
    yield 1


def größe():
    def μέσα():
        return '日本'
    return μέσα


exec(compile('def made_by_exec():\n    return lambda: 1\n', '<made>', 'exec'))


# -- what there is to know --

class Namer(ast.NodeVisitor):
    """Qualified names by line and code name, as the compiler gives them (to 3.10 no code object tells)."""

    def __init__(self):
        self.names, self.stack, self.globals = {}, [], [set()]

    def qualname(self, name):
        if name in self.globals[-1]:
            return name
        return ''.join(n + glue for n, glue in self.stack) + name

    def enter(self, node, name, lines, function, body, outside):
        for child in outside:
            self.visit(child)
        qualname = self.qualname(name)
        if function:
            for line in lines:
                self.names.setdefault((line, name), set()).add(qualname)
        saved, self.stack = self.stack, [(qualname, '.<locals>.' if function else '.')]
        self.globals.append({n for s in body for n in self.declared(s)})
        for child in body:
            self.visit(child)
        self.globals.pop()
        self.stack = saved

    def declared(self, node):
        if isinstance(node, ast.Global):
            return set(node.names)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            return set()
        return {n for child in ast.iter_child_nodes(node) for n in self.declared(child)}

    def visit_FunctionDef(self, node):
        args = node.args
        outside = node.decorator_list + args.defaults + [d for d in args.kw_defaults if d]
        lines = [d.lineno for d in node.decorator_list[:1]] or [node.lineno]
        self.enter(node, node.name, lines, True, node.body, outside)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        self.enter(node, node.name, [], False, node.body, node.decorator_list + node.bases + [k.value for k in node.keywords])

    def visit_Lambda(self, node):
        args = node.args
        self.enter(node, '<lambda>', [node.lineno], True, [node.body], args.defaults + [d for d in args.kw_defaults if d])

    def comprehension(self, node, name):
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        first, others = node.generators[0], node.generators[1:]
        self.enter(node, name, [node.lineno], True, [first.target] + first.ifs + others + parts, [first.iter])

    def visit_ListComp(self, node):
        self.comprehension(node, '<listcomp>')

    def visit_SetComp(self, node):
        self.comprehension(node, '<setcomp>')

    def visit_DictComp(self, node):
        self.comprehension(node, '<dictcomp>')

    def visit_GeneratorExp(self, node):
        self.comprehension(node, '<genexpr>')


@functools.lru_cache(maxsize=None)
def names_of(path):
    namer = Namer()
    try:
        with open(path, encoding='utf-8') as f:
            namer.visit(ast.parse(f.read()))
    except (OSError, SyntaxError, ValueError):
        return None
    return namer.names


def names(code, function):
    if hasattr(code, 'co_qualname'):
        return [code.co_qualname]
    known = names_of(code.co_filename)
    if known is None:
        return [function.__qualname__ if function else '']
    return sorted(known.get((code.co_firstlineno, code.co_name), []))


def all_functions():
    """Every code object that a function here runs: {id: (code, globals, function or None)}."""
    found = {}

    def add(code, globals, function):
        if id(code) in found:
            return
        if code.co_flags & 3:  # not the body of a class or a module
            found[id(code)] = code, globals, function
        for const in code.co_consts:
            if isinstance(const, types.CodeType):
                add(const, globals, None)

    for o in gc.get_objects():
        if type(o) is types.FunctionType:
            add(o.__code__, o.__globals__, o)
    return found.values()


def say(*fields):
    text = '\t'.join(str(f).replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n') for f in fields)
    sys.stdout.buffer.write(text.encode('utf-8', 'surrogatepass') + b'\n')


class Plain:
    pass


class ManyAttributes:
    def __init__(self, n):
        for i in range(n):
            setattr(self, 'a%d' % i, 'value %d' % i)


class WithSlot:
    __slots__ = ('slot', '__dict__')


class Text(str):
    pass


class Items(tuple):
    pass


class Trouble(Exception):
    pass


class Mapping(dict):
    pass


def attributes():
    """(object, attributes that it has): every way in which a version stores them."""
    for make in (Plain, WithSlot, Text, lambda: Items((1, 2, 3)), Trouble, Mapping, lambda: types.ModuleType('m'),
                 lambda: lambda: 1):
        o = make()
        o.first, o.second = 'one', 'two'
        yield o
    for n in (1, 5, 29, 30, 31, 100):
        yield ManyAttributes(n)
    o = ManyAttributes(4)
    o.__dict__['more'] = 'through the dict'
    yield o
    o = ManyAttributes(3)
    del o.a1
    yield o
    o = ManyAttributes(3)
    o.__dict__ = {'other': 'replaced'}
    yield o
    yield Colour.RED


def texts():
    return ['', 'a', 'plain', 'caf\u00e9', '\u03bc\u03ad\u03c3\u03b1', '\U0001f600 \u65e5\u672c', 'x' * 5000, '\xff' * 2000,
            '\U0001f600' * 700, Text('of a subclass'), Text('\u65e5\u672c'), 'lone \udc80 surrogate', 'n\0l']


def dicts():
    full = {'k%d' % i: i for i in range(5000)}
    holes = dict(full)
    for i in range(0, 5000, 3):
        del holes['k%d' % i]
    holes['last'] = 1
    mixed = {1: 1, 'two': 2, (3,): 3, 'four': 4}
    return [{}, {'a': 1}, full, holes, mixed, {i: i for i in range(70000)}, OrderedDict(b=1, a=2), Mapping(x=1),
            globals(), ManyAttributes(3).__dict__]


def say_all(keep):
    for code, globals, function in all_functions():
        say('func', id(code), id(globals), globals.get('__name__'), code.co_firstlineno, code.co_filename,
            *names(code, function))
    for text in texts():
        keep.append(text)
        say('str', id(text), ''.join('\ufffd' if c == '\0' or 0xd800 <= ord(c) < 0xe000 else c for c in text))
    for o in attributes():
        keep.append(o)
        have = dict(o.__dict__) if type(o) in (WithSlot, Mapping, Colour) else None
        if have is None:  # to ask for __dict__ would make one
            have = {n: getattr(o, n) for n in ['first', 'second', 'more', 'other'] + ['a%d' % i for i in range(100)]
                    if hasattr(o, n)}
        for name, value in have.items():
            if isinstance(value, str) and value.isprintable() and name.isidentifier():
                say('attr', id(o), name, value)
        say('noattr', id(o), 'missing')
        say('noattr', id(o), '__class__')
    for d in dicts():
        keep.append(d)
        say('dict', id(d), len(d), *[k for k in d if isinstance(k, str)][-10:])
    say('notdict', id(keep))
    say('notdict', id('a string'))
    for thread in threading.enumerate():
        say('thread', thread.native_id, thread.name)


def main():
    stop, keep = threading.Event(), []
    for name in ('worker', 'größe', None):
        threading.Thread(target=stop.wait, name=name, daemon=True).start()
    say_all(keep)
    say('ready')
    sys.stdout.flush()
    sys.stdin.read()
    stop.set()


if __name__ == '__main__':
    main()
