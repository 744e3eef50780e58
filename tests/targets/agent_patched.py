"""Functions of every kind, for test_agent_patch.py to change and to change back: all say 'old'."""
import asyncio
import dataclasses
import functools
import linecache
import math
import sys
import threading
import traceback

from agent_patched_lib import imported, plain_decorator  # noqa: F401

VALUE = ['old']
sqrt = math.sqrt


def plain(a=1):
    return 'old', a


def wrapping(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 'wrapped', function(*args)
    return wrapper


def unnamed(function):
    def inner(*args):
        return 'unnamed', function(*args)
    return inner


class Updating:
    def __init__(self, function):
        functools.update_wrapper(self, function)

    def __call__(self, *args):
        return 'updated', self.__wrapped__(*args)


@wrapping
def wrapped(a=1):
    return 'old', a


@unnamed
@plain_decorator
def twice(a=1):
    return 'old', a


@Updating
def updated(a=1):
    return 'old', a


@functools.lru_cache(None)
def cached(a=1):
    return 'old', a


def base(a, b=1):
    return 'old', a, b


part = functools.partial(base, 1)
lam = lambda a=1: ('old', a)  # noqa: E731


def helper_user():
    def helper():
        return 'helper'

    def uses():
        return 'old', helper()
    return uses


no_decorator = helper_user()  # its closure has a function, which is no layer


def outer(x):
    y = x + 1

    def inner(a=1):
        return 'old', a, x, y

    def other():
        return 'other'
    return inner if x < 10 else other


def ambiguous(x):
    if x:
        def inner():
            return 1
    else:
        def inner():
            return 2
    return inner


def generator(a=1):
    yield 'old'
    yield a


async def coroutine(a=1):
    return 'old', a


async def agenerator(a=1):
    yield 'old'
    yield a


class Parent:
    def inherited(self):
        return 'old'


class Thing(Parent):
    def __init__(self):
        self.kept = 'old'

    def method(self, a=1):
        return 'old', a

    @staticmethod
    def static(a=1):
        return 'old', a

    @classmethod
    def klass(cls, a=1):
        return 'old', cls.__name__, a

    @property
    def prop(self):
        return 'old', self.kept

    @prop.setter
    def prop(self, value):
        self.kept = 'old', value

    @prop.deleter
    def prop(self):
        self.kept = 'old', 'deleted'

    @functools.cached_property
    def slow(self):
        return 'old'

    pm = functools.partialmethod(method, 5)

    def __secret(self):
        return 'old'

    def tell(self):
        return self.__secret()

    def maker(self):
        def made():
            return 'old', self.kept
        return made


@dataclasses.dataclass
class Data:
    a: int = 1

    def total(self):
        return 'old', self.a


class Slotted:
    __slots__ = ('a',)

    def total(self):
        return 'old'


thing = Thing()
bound, alias, partial, callbacks = thing.method, plain, functools.partial(plain, 7), [plain]
first_inner = outer(1)


def deleted():
    thing = Thing()
    del thing.prop
    return thing.kept


def assigned(value):
    thing = Thing()
    thing.prop = value
    return thing.kept


async def collected():
    return [x async for x in agenerator()]


def run(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


# Expression -> what it is; the tests change 'old' to 'new' in it.
OF_ALL = {
    'plain()': ('old', 1), 'alias(2)': ('old', 2), 'partial()': ('old', 7), 'callbacks[0]()': ('old', 1),
    'bound()': ('old', 1), 'wrapped()': ('wrapped', ('old', 1)), 'twice(3)': ('unnamed', ('seen', ('old', 3))),
    'updated(4)': ('updated', ('old', 4)), 'cached(5)': ('old', 5), 'part()': ('old', 1, 1), 'lam()': ('old', 1),
    'no_decorator()': ('old', 'helper'), 'outer(1)()': ('old', 1, 1, 2), 'outer(11)()': 'other',
    'list(generator())': ['old', 1], 'run(coroutine())': ('old', 1), 'run(collected())': ['old', 1],
    'Thing().method()': ('old', 1), 'Thing.static()': ('old', 1), 'Thing.klass()': ('old', 'Thing', 1),
    'Thing().prop': ('old', 'old'), 'assigned(1)': ('old', 1), 'deleted()': ('old', 'deleted'), 'Thing().slow': 'old',
    'Thing().pm()': ('old', 5), 'Thing().tell()': 'old', 'Thing().maker()()': ('old', 'old'), 'Data(3).total()': ('old', 3),
    'Slotted().total()': 'old', 'imported()': ('old', 1),
}


def values():
    cached.cache_clear()
    return {expression: eval(expression, globals()) for expression in OF_ALL}


# One function whose every attribute changes, and what it was made of.

def whole(a: int = 1, *, k: str = 'old') -> list:
    """old"""
    return ['old', a, k]


NAMES = ['__code__', '__defaults__', '__kwdefaults__', '__annotations__', '__doc__', '__type_params__', '__name__',
         '__qualname__', '__module__', '__dict__', '__closure__', '__globals__']
if sys.version_info >= (3, 14):
    NAMES.append('__annotate__')
whole.mark = 'mark'


def explicit(a=1):
    return 'old'


explicit.__annotations__ = {'a': 'explicit'}
kept = {}


def keep():
    for function in whole, explicit:
        kept[function] = {name: getattr(function, name) for name in NAMES if hasattr(function, name)}


def differing():
    """The attributes that are no longer the very objects. From 3.14 on annotations are made again when they are asked for."""
    return [(function.__name__, name) for function in (whole, explicit) for name, value in kept[function].items()
            if getattr(function, name) is not value
            and not (name == '__annotations__' and sys.version_info >= (3, 14) and getattr(function, name) == value)]


def of_code():
    code = whole.__code__
    return code.co_name, getattr(code, 'co_qualname', 'whole'), '@' in code.co_filename


# An audit hook that says no once, at the nth time that an attribute of a function is set; or lets the main thread fork then.

class Fuse:
    left = 0
    asked = done = None


def fuse(n, fork=False):
    if not hasattr(Fuse, 'set'):
        Fuse.set = True
        sys.addaudithook(blow)
    Fuse.asked, Fuse.done = (threading.Event(), threading.Event()) if fork else (None, None)
    Fuse.left = n


def blow(event, args):
    if event == 'object.__setattr__' and Fuse.left:
        Fuse.left -= 1
        if not Fuse.left and Fuse.asked:
            Fuse.asked.set()
            Fuse.done.wait()
        elif not Fuse.left:
            raise PermissionError('the fuse blew')


def fork_half_way():
    Fuse.asked.wait()
    pid = sys.modules['__main__'].fork()
    Fuse.done.set()
    return pid


def first(a='old', *, k='old'):
    return 'old', a, k


def second(a='old', *, k='old'):
    return 'old', a, k


def third(a='old', *, k='old'):
    return 'old', a, k


def of_three():
    return [f(*a) for f in (first, second, third) for a in ((), ('given',))], [f.__code__.co_filename == __file__ for f in (
        first, second, third)], VALUE, sorted(n for n in globals() if n.startswith('added'))


def failing(kind):
    raise kind('on purpose')


class Special(ValueError):
    pass


def stops(a=1):
    yield 1


def last_line():
    """What a traceback through failing shows, and what linecache has of such files."""
    try:
        failing(KeyError)
    except Exception as error:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
    return lines[-2].split('\n')[1].strip(), len([n for n in linecache.cache if '.py@' in n])


class Numbered:
    """Whoever frees it while functions change would see them half changed."""
    made = freed = 0
    bad = []

    def __init__(self):
        Numbered.made += 1

    def __del__(self):
        Numbered.freed += 1
        if len(set(f()[0] for f in (first, second, third))) > 1:
            Numbered.bad.append('a mixture was seen')


def raised(expression):
    try:
        return eval(expression, globals())
    except Exception as error:
        return type(error).__name__
