"""funcs_lib: decorators and bases for funcs.py, in a module of their own: their wrappers are not funcs.py's functions."""
import functools


def traced(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)
    return wrapper


def unwrapped(f):
    def inner(*args):
        return f(*args)
    return inner


def with_arguments(n):
    def decorator(f):
        @functools.wraps(f)
        def wrapper(*args):
            return [f(*args) for _ in range(n)]
        return wrapper
    return decorator


class Memo:
    """A decorator that is a class, and keeps the function in an attribute."""

    def __init__(self, f):
        self.f = f

    def __call__(self, *args):
        return self.f(*args)


class Slotted:
    """The same with a slot, of which only the object's bytes tell."""
    __slots__ = ('f',)

    def __init__(self, f):
        self.f = f


class Registry:
    def __init__(self):
        self.handlers = {}

    def add(self, name):
        def register(f):
            self.handlers[name] = f
            return None
        return register


class Meta(type):
    def __new__(mcs, name, bases, namespace):
        return super().__new__(mcs, name, bases, namespace)

    @property
    def of_class(cls):
        return cls.__name__


def make_class():
    class Made:
        def method(self):
            return lambda: self

        class Inner:
            def deep(self):
                return 1
    return Made
