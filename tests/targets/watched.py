"""watched: functions whose lines run a known number of times, and threads, forks and other things that happen to a process
while they are watched; for test_watch.

Reads commands from its stdin, one a line: a name below and its arguments. Says 'ready' first and 'done' and what it has to tell after each.
"""
import gc
import os
import sys
import threading
import time


def work(n):
    a = n & 1
    if a:
        b = n + 2.5
        kind = 'odd'
    else:
        b = n * 3
        kind = 'even'
    return b, kind


def hot(n):
    t = 0
    for i in range(n):
        t += i
    return t


def sleeps(seconds):
    time.sleep(seconds)
    return seconds


def gives(seconds):
    got = [(yield 1), time.sleep(seconds)]
    return got


def secret(user, password, plain):
    token = password + plain
    both = {'user': user, 'password': password, 'other': token}
    seen = user, both
    return seen


def many():
    got = (yield 1), (yield 2), (yield 3), (yield 4)
    return got


class One:
    def twin(self):
        return 1


class Two:
    def twin(self):
        return 2


# So that nothing else holds its code object.
exec(compile("""def changes(n):
    a = n
    return a
""", __file__, 'exec'))


def decide(value):
    kept = value
    return kept


# --- what it can be told to do

def call(count, threads=0):
    """work() so many times, in this thread or in each of some new ones."""
    def run():
        for i in range(count):
            work(i)
    made = [threading.Thread(target=run) for _ in range(threads)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    if not threads:
        run()


pool, turns = [], []


def start(count):
    """Threads that wait for release()."""
    for _ in range(count):
        turns.append(threading.Semaphore(0))
        done = threading.Semaphore(0)

        def run(turn=turns[-1], done=done):
            while True:
                turn.acquire()
                for i in range(CALLS):
                    work(i)
                done.release()
        pool.append((threading.Thread(target=run, daemon=True), done))
        pool[-1][0].start()


CALLS = 50


def release():
    for turn in turns:
        turn.release()
    for _, done in pool:
        done.acquire()


storm_ends = threading.Event()
stormed = [0]


def storm():
    """Threads that live shortly, until calm()."""
    def brief():
        stormed[0] += 1

    def run():
        while not storm_ends.is_set():
            made = [threading.Thread(target=brief) for _ in range(4)]
            for thread in made:
                thread.start()
            for thread in made:
                thread.join()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    pool.append(thread)


def calm():
    storm_ends.set()
    pool.pop().join()


def fork(count):
    """A child works more than the parent."""
    child = os.fork()
    call(3 * count if not child else count)
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def loop(count):
    return hot(count)


def sleep(count):
    for _ in range(count):
        sleeps(0.05)


def suspend(count):
    for _ in range(count):
        made = gives(0.02)
        next(made)
        time.sleep(0.1)
        try:
            next(made)
        except StopIteration:
            pass


def secrets():
    return secret('eve', 'hunter2', 'plain')


def values():
    for value in (1, 20, 20.0, 'x', None, True, [1], 'x' * 100, 1 << 80, (20,), b'x'):
        decide(value)


def redefine():
    """Another changes(), and the old one is freed; then much is made where it was."""
    global changes
    text = 'def changes(n):\n    b = n + 1\n    c = b\n    return c\n'
    namespace = {}
    exec(text, namespace)
    changes = namespace['changes']
    gc.collect()
    kept = []
    for i in range(200):
        exec(text.replace('1', str(i)), namespace)
        kept.append(namespace['changes'])
    return len(kept)


def swap():
    """The same function with other code."""
    namespace = {}
    exec('def other(n):\n    b = n + 1\n    return b\n', namespace)
    changes.__code__ = namespace['other'].__code__
    gc.collect()


def change(count):
    for i in range(count):
        changes(i)


def execute():
    os.execv(sys.executable, [sys.executable, '-c', 'import os; os.write(1, b"done\\n"); os.read(0, 1)'])


def peek(count):
    """Reads all of a code object's bytes, as a debugger would."""
    import ctypes  # does not support being loaded in subinterpreters
    address, size = id(work.__code__), type(work.__code__).__basicsize__ + 2 * len(work.__code__.co_code)
    for _ in range(count):
        ctypes.string_at(address, size)


def toggle(count):
    """Traced and monitored, and not, by turns."""
    def local(frame, event, arg):
        return local
    for _ in range(count):
        sys.settrace(local)
        call(3)
        sys.settrace(None)
        call(4)
        if hasattr(sys, 'monitoring'):
            events = sys.monitoring.events
            sys.monitoring.use_tool_id(4, 'watched')
            sys.monitoring.set_events(4, events.INSTRUCTION)
            call(2)
            sys.monitoring.set_local_events(4, work.__code__, events.LINE)
            sys.monitoring.set_events(4, events.PY_START)
            call(1)
            sys.monitoring.free_tool_id(4)
        else:
            call(3)


def code():
    """Where the code object lies."""
    return '%d %d' % (id(work.__code__), sys.getsizeof(work.__code__))


def interpreters(count):
    """work() in a subinterpreter, more often than here."""
    try:
        import _interpreters as it
    except ImportError:
        try:
            import _xxsubinterpreters as it
        except ImportError:
            return 'none'
    text = ('import importlib.util, sys\nspec = importlib.util.spec_from_file_location("watched", %r)\nm = importlib.util.module_from_spec(spec)\n'
            'spec.loader.exec_module(m)\nm.call(%d)\n' % (os.path.abspath(__file__), 2 * count))
    other = it.create()
    (getattr(it, 'run_string'))(other, text)
    it.destroy(other)
    call(count)
    return 'some'


def main():
    os.write(1, b'ready\n')
    for line in sys.stdin:
        name, *arguments = line.split()
        said = globals()[name](*map(int, arguments))
        os.write(1, ('done %s\n' % (said,)).encode())


if __name__ == '__main__':
    main()
