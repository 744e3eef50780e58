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


class Plain(list):
    """A counter that needs no call, for functions that have no room for one; one thread only: counter[0] += 1."""

    def __repr__(self):
        return 'count(%d)' % self[0]


def plain_counter(name, of=starts):
    if name not in of:
        of[name] = Plain([0])
    return of[name]


def value(count):
    return int(repr(count)[len('count('):-1])


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
