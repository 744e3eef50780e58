"""What an agent does in the life of a process, held to be right by the process itself: agent_life.py CASE. Raises where something
is not as it should be. sys.path[0] has pylu_agent; the cases named after a way in say how they are started.
"""
import os
import signal
import sys
import time

MEMFD = 'pylu-agent'


def read(path):
    with open(path) as f:
        return f.read()


def agents():
    """Statuses of the agent's threads in this process."""
    found = []
    for task in os.listdir('/proc/self/task'):
        try:
            if read('/proc/self/task/%s/comm' % task).strip() == 'pylu-agent':
                found.append(dict(line.split(':\t', 1) for line in read('/proc/self/task/%s/status' % task).splitlines()))
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended meanwhile
    return found


def rings():
    """Inodes of the shared memories that are open."""
    found = []
    for fd in os.listdir('/proc/self/fd'):
        try:
            if os.readlink('/proc/self/fd/' + fd).startswith('/memfd:' + MEMFD):
                found.append(os.stat('/proc/self/fd/' + fd).st_ino)
        except FileNotFoundError:
            pass
    return found


def settle(count):
    """Waits until there are so many threads of agents: a new one needs a moment to take its name."""
    limit = time.monotonic() + 60
    while len(agents()) != count or len(rings()) != count:
        assert time.monotonic() < limit, (count, len(agents()), rings(), agents())
        time.sleep(0.001)


def asleep(agent):
    return int(agent['voluntary_ctxt_switches']), int(agent['nonvoluntary_ctxt_switches'])


def idle():
    settle(1)
    before, = agents()
    while before['State'][0] != 'S':
        before, = agents()
    time.sleep(0.3)
    after, = agents()
    assert asleep(before) == asleep(after), (before, after)
    blocked = int(after['SigBlk'], 16)
    unblockable = 1 << signal.SIGKILL - 1 | 1 << signal.SIGSTOP - 1 | 3 << 31  # and two that the C library keeps
    assert blocked | unblockable == (1 << 64) - 1, hex(blocked)


def child(function, *args):
    """Runs it in a forked child, which ends as a program does."""
    pid = os.fork()
    if not pid:
        try:
            function(*args)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        sys.exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return pid


def of_my_own(ring):
    settle(1)
    assert rings() != ring, 'the child has its parent\'s ring'


def grandchild(ring):
    of_my_own(ring)
    try:
        child(of_my_own, rings())
    except SystemExit:
        os._exit(0)


def storm():
    for start in range(0, 200, 20):
        pids = []
        for i in range(20):
            pid = os.fork()
            if not pid:
                sys.exit(0 if i % 2 else settle(1))
            pids.append(pid)
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0


def pooled(n):
    settle(1)
    return n + 1


def multiprocessed():
    import multiprocessing
    with multiprocessing.get_context('fork').Pool(3) as pool:
        assert pool.map(pooled, range(20)) == list(range(1, 21))


def children():
    """Programs that are started get nothing, also when nothing is closed for them."""
    import subprocess
    script = 'import sys; sys.path[:0] = [%r]; import agent_life; agent_life.settle(0)' % os.path.dirname(os.path.abspath(__file__))
    subprocess.run([sys.executable, '-c', script], close_fds=False, check=True)
    subprocess.run([sys.executable, '-c', script], preexec_fn=lambda: None, check=True)


def closed():
    """A program that closes what it does not know, and opens files of its own under the same numbers."""
    import pylu_agent
    os.closerange(3, 1000)
    assert not rings()
    files = [os.open('/dev/null', os.O_RDONLY) for _ in range(100)]
    child(settle, 1)
    for fd in files:
        os.fstat(fd)
    pylu_agent.stop()
    for fd in files:
        os.fstat(fd)
        os.close(fd)
    settle(0)


def subinterpreter():
    try:
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
    except ImportError:
        return
    script = '''
import sys
sys.path[:0] = %r
try:
    import pylu_agent
    pylu_agent.start()
except (ImportError, RuntimeError) as error:
    assert 'subinterpreter' in str(error), error
else:
    raise AssertionError('started')
''' % sys.path[:2]
    new = interpreters.create()
    failed = interpreters.run_string(new, script)
    interpreters.destroy(new)
    assert failed is None, failed


def imported():
    import pylu_agent
    assert not pylu_agent.running()
    settle(0)
    pylu_agent.stop()
    pylu_agent.start()
    pylu_agent.start()
    assert pylu_agent.running()
    idle()
    child(of_my_own, rings())
    child(grandchild, rings())
    multiprocessed()
    storm()
    settle(1)
    children()
    subinterpreter()
    assert pylu_agent.running()
    pylu_agent.stop()
    pylu_agent.stop()
    assert not pylu_agent.running()
    settle(0)
    child(settle, 0)
    pylu_agent.start(log='agent.log')
    settle(1)
    closed()
    try:
        pylu_agent.start(log=3.5)
    except TypeError:
        pass
    else:
        raise AssertionError('a number is no path')
    pylu_agent.start()  # and the program ends with it
    settle(1)


def preloaded():
    idle()
    child(of_my_own, rings())


def signals():
    """Started by import. Whoever waits for a signal gets it, and nothing else does."""
    import pylu_agent
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    pylu_agent.start()
    settle(1)
    os.write(1, b'ready\n')
    assert signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1


def replaced():
    """exec takes the agent away."""
    import pylu_agent
    pylu_agent.start()
    settle(1)
    os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), 'without'])


def without():
    settle(0)


def ends():
    """Preloaded programs that end before or while the agent starts, or with it."""
    import subprocess
    for i in range(50):
        command = 'pass' if i % 2 else 'import time; time.sleep(%g)' % (i / 2000)
        done = subprocess.run([sys.executable, '-I', '-S', '-c', command], stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 0 and not done.stderr, (i, done)


def refused():
    """A build that gets no agent: started with the library preloaded."""
    limit = time.monotonic() + 60
    while not rings():
        assert time.monotonic() < limit
        time.sleep(0.001)
    try:
        import pylu_agent
    except ImportError as error:
        assert 'free-threaded' in str(error), error
    else:
        raise AssertionError('it is imported')
    while agents():
        assert time.monotonic() < limit
        time.sleep(0.001)


if __name__ == '__main__':
    globals()[sys.argv[1]]()
