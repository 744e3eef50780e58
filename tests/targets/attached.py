"""attached: what a library is brought into: a program that notices when anything in it is not as it should be.

    attached.py MODE [ARGUMENT]

It works out a checksum (floating point, errno, system calls), says 'ready', is busy or asleep as MODE says until a byte or
the end of its input comes, works the checksum out again, and says 'done' and what it counted. Exit status 1 when something
was wrong.
"""
import math
import os
import select
import signal
import socket
import sys
import threading
import time

FOREVER = 1000000


def powers(x):
    """pow() sets errno where it fails, and CPython looks at errno: a stray value makes an exception."""
    total = 0.0
    for i in range(1, 200):
        total += math.sin(x * i) * x ** (i % 7) + math.fmod(i * 1e10, 7.25) + math.ldexp(x, i % 30)
    return total


def checksum():
    total = 0.0
    vector = [1.0 / (i + 3) for i in range(400)]
    a, b = os.pipe()
    for i in range(20):
        total += powers(1 + i / 64.0) + sum(vector) + sum(v * w for v, w in zip(vector, vector[1:]))
        os.write(b, b'x%d' % i)
        total += len(os.read(a, 100)) + hash(str(i) * 3 == str(i)) + 3 ** 200 % (i + 7)
    os.close(a)
    os.close(b)
    return total.hex()


EXPECTED = checksum()


def verify():
    found = checksum()
    if found != EXPECTED:
        print('WRONG checksum %s, not %s' % (found, EXPECTED), file=sys.stderr, flush=True)
        os._exit(1)


def told(seconds=0):
    return bool(select.select([0], [], [], seconds)[0])


def busy():
    passes = 0
    while not told():
        verify()
        passes += 1
    return passes


def sleep():
    slept = 0
    while not told():
        begun = time.monotonic()
        time.sleep(0.02)
        if time.monotonic() - begun < 0.02:
            sys.exit('WRONG: a sleep was cut short')
        slept += 1
    return slept


def poll():
    p = select.poll()
    p.register(0, select.POLLIN)
    return len(p.poll())


def poll_limit():
    """With a time limit, which is not to end early nor to begin again."""
    p = select.poll()
    p.register(0, select.POLLIN)
    while True:
        begun = time.monotonic()
        if p.poll(50):
            return 1
        if time.monotonic() - begun < 0.05:
            sys.exit('WRONG: poll ended before its time')


def epoll():
    p = select.epoll()
    p.register(0, select.EPOLLIN)
    return len(p.poll())


def read():
    return len(os.read(0, 1))


def accept():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen(1)
        if not os.fork():
            told(FOREVER)
            socket.create_connection(s.getsockname()).close()
            os._exit(0)
        s.accept()
    os.wait()
    return 1


def wait():
    child = os.fork()
    if not child:
        told(FOREVER)
        os._exit(7)
    status = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(status)


def threads():
    """Busy ones, and ones that sleep; the main thread waits for them, which is a lock."""
    over = threading.Event()
    counts = [0] * 16

    def work(i):
        while not over.is_set():
            if i % 2:
                time.sleep(0.01)
            else:
                verify()
            counts[i] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for worker in workers:
        worker.start()
    told(FOREVER)
    over.set()
    for worker in workers:
        worker.join()
    return min(counts)


def loading():
    """A thread goes through the dynamic linker all the time."""
    import _ctypes
    over, count = threading.Event(), [0]

    def work():
        while not over.is_set():
            _ctypes.dlclose(_ctypes.dlopen(sys.argv[2], os.RTLD_NOW))
            count[0] += 1
    worker = threading.Thread(target=work)
    worker.start()
    while not told():
        verify()
    over.set()
    worker.join()
    return count[0]


def signals():
    """Each signal must be seen, also one that comes while something is brought in."""
    seen = [0]

    def handler(number, frame):
        seen[0] += 1
        print('signal %d' % seen[0], flush=True)
    signal.signal(signal.SIGUSR1, handler)
    poll()
    return seen[0]


def blocked():
    """Nothing that may be disturbed: signals that are caught are blocked, as in a handler."""
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    return poll()


def locked():
    """All that there is waits for a lock."""
    lock = threading.Lock()
    lock.acquire()
    signal.signal(signal.SIGTERM, lambda number, frame: lock.release())
    lock.acquire()
    return 1


def sigwait():
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    return signal.sigwait([signal.SIGUSR1])


if __name__ == '__main__':
    act = globals()[sys.argv[1]]
    print('ready', flush=True)
    count = act()
    verify()
    print('done %d' % count, flush=True)
