"""mixture: what the mixtures share: the list of them, and counters that a target keeps of its own calls."""
import functools
import importlib
import itertools
import json
import os
import sys

MIXTURES = {}
starts, raised = {}, {}  # name -> itertools.count: its next() is one step in C, which no thread or signal can split
children = {}  # name -> calls in children that have ended
state = {}  # of mixtures that replace the process


class Absent(Exception):
    pass


def mixture(function):
    MIXTURES[function.__name__] = function
    return function


def counter(name, of=starts):
    """A function that counts one more each time it is called, without a Python frame."""
    if name not in of:
        of[name] = itertools.count()
    return functools.partial(next, of[name])


def plain_counter(name, of=starts):
    """A list with the count in it, for functions at the recursion limit, which have no room for a call; one thread only. Not of a
    class of our own: to 3.11 an item of that is got by a call.
    """
    if name not in of:
        of[name] = [0]
    return of[name]


def value(count):
    return count[0] if type(count) is list else int(repr(count)[len('count('):-1])


def counts():
    return {'own': {name: value(c) for name, c in starts.items()}, 'raised': {name: value(c) for name, c in raised.items()},
            'children': children}


def need(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Absent('the module %s is not installed for Python %s (%s)' % (name, sys.version.split()[0], error))


def same(got, want):
    if got != want:
        raise AssertionError('%r, right is %r' % (got, want))
