"""What cli_work.py works with, and tests redefine: a module of its own, as an application's is."""
import functools
import threading

RATE = 2
entered = threading.Event()
leave = threading.Event()


def total(items, discount=0):
    """What they cost."""
    return sum(items) - discount


def traced(function):
    @functools.wraps(function)
    def wrapper(*args):
        return 'traced', function(*args)
    return wrapper


@traced
def priced(n):
    return n * RATE


class Order:
    def __init__(self, items):
        self.items = items

    def total(self):
        return total(self.items)

    @property
    def size(self):
        return len(self.items)


def linger():
    """Is on a stack until it is let go."""
    entered.set()
    leave.wait()
    return 'old'


def count():
    n = 0
    while True:
        yield n
        n += 1
