#!/usr/bin/env python3
"""Bringing a library into processes that were never prepared for it: busy ones, ones that sleep in each kind of system call, with many
threads, in other roots, of other users; with us killed at each step on the way. Afterwards the process works out what it always
did. And those that must be left alone, each with its reason.

The truth: /proc/PID/maps, which shows the library, and tests/targets/attached.py, which checks itself."""
import ctypes
import glob
import os
import re
import signal
import subprocess
import time

import harness
from harness import Failed, Suite, Target, check

TIMES = 30
PROGRAM = os.path.join(harness.TARGETS, 'attached.py')
# Where the thread must have stood. A call has other names in other versions of Python and of glibc.
BUSY = 'in the interpreter'
MODES = {
    'busy': BUSY,
    'sleep': 'in (select|pselect|clock_nanosleep)',
    'poll': 'in p?poll',
    'poll_limit': 'in p?poll',
    'epoll': 'in epoll_p?wait',
    'read': 'in read',
    'accept': 'in accept4?',
    'wait': 'in wait4',
    'threads': 'in (select|pselect|clock_nanosleep)',
}
STEPS = {1: 'seized', 2: 'stopped', 3: 'frame written', 4: 'registers set', 5: 'let go'}
SENT_FROM = 4
REST = ('poll', 'epoll', 'read', 'accept', 'wait')
FEW = ('busy', 'poll', 'threads')


def start(python, mode, *arguments, **more):
    target = Target(more.pop('command', python.command) + [PROGRAM, mode] + list(arguments), **more)
    target.expect('ready')
    return target


def inject(target, times=1, step=0, seconds=60, *more):
    command = [harness.tool('inject_lib'), str(target.pid), harness.tool('injected.so'), str(times), str(step), str(seconds)]
    return subprocess.run(command + list(more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=harness.PATIENCE)


def done(target):
    """Lets the target come to its end, and gives what it counted."""
    target.go()
    count = int(target.expect('done'))
    target.finish()
    return count


def loaded(target):
    with open('/proc/%d/maps' % target.pid) as f:
        return len({line.split(None, 5)[5] for line in f if '/libpylu_agent-' in line})


def asleep(target):
    """The main thread has come to rest in a system call."""
    deadline = time.monotonic() + harness.PATIENCE
    while time.monotonic() < deadline:
        with open('/proc/%d/syscall' % target.pid) as f:
            if not f.read().startswith('running'):
                return
        time.sleep(0.001)
    raise Failed('target %d does not come to rest' % target.pid)


def brought_in(folder, python, mode, *arguments):
    target = start(python, mode, *arguments)
    if mode in REST:
        asleep(target)
    result = inject(target, TIMES)
    check(result.returncode == 0, 'inject_lib ended with %d: %s' % (result.returncode, result.stderr))
    lines = [line.split(None, 4) for line in result.stdout.splitlines()]
    check(len(lines) == TIMES, 'sent %d times, not %d' % (len(lines), TIMES))
    check(loaded(target) == TIMES, 'it has loaded %d libraries, not %d' % (loaded(target), TIMES))
    stood = [line[4] for line in lines if line[4] != BUSY]
    for where in stood:
        check(re.fullmatch(MODES.get(mode, '.*'), where), 'the thread stood %s' % where)
    # It may be on its way there the first time; after that it is where it sleeps.
    check(mode not in REST or len(stood) >= TIMES - 1, 'the thread was asleep %d times of %d' % (len(stood), TIMES))
    done(target)


def signals(folder, python):
    """Signals that come all the time, also while the thread is on its way: none is slept over."""
    target = start(python, 'signals')
    asleep(target)
    command = [harness.tool('inject_lib'), str(target.pid), harness.tool('injected.so'), str(TIMES)]
    injecting = subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=harness.die_with_parent)
    harness.running.append(injecting)
    sent = 0
    while injecting.poll() is None or not sent:
        os.kill(target.pid, signal.SIGUSR1)
        sent += 1
        check(target.expect('signal') == str(sent), 'a signal was lost')
    check(injecting.returncode == 0 and loaded(target) == TIMES, 'it has loaded %d libraries' % loaded(target))
    check(done(target) == sent, 'signals were lost')
    return '%d signals' % sent


def killed(folder, python, mode):
    """Killed at each step: before the registers are set nothing comes of it, after that the library comes."""
    target = start(python, mode)
    want = 0
    for step in STEPS:
        for _ in range(3):
            if mode == 'poll':
                asleep(target)
            result = inject(target, 1, step)
            check(result.returncode == -signal.SIGKILL, 'inject_lib was not killed when %s: %s' % (STEPS[step], result.stderr))
            want += step >= SENT_FROM
            deadline = time.monotonic() + harness.PATIENCE
            while loaded(target) < want and time.monotonic() < deadline:
                time.sleep(0.001)
            check(loaded(target) == want, '%s: it has loaded %d libraries, not %d' % (STEPS[step], loaded(target), want))
    done(target)
    for left in glob.glob(os.path.join('/tmp', 'libpylu_agent-*')):
        if os.stat(left).st_size == os.stat(harness.tool('injected.so')).st_size:
            os.unlink(left)


def left_alone(folder, python, mode, reason, act=None, **more):
    """Not a byte of it is changed."""
    target = start(python, mode, **more)
    asleep(target)
    if act:
        act(target)
    result = inject(target, 1, 0, 0.1)
    check(result.returncode == 1 and reason in result.stderr, 'status %d: %r' % (result.returncode, result.stderr))
    check(not loaded(target), 'the library was loaded')
    return target


def all_locked(folder, python):
    target = left_alone(folder, python, 'locked', 'it waits in a lock (futex)')
    os.kill(target.pid, signal.SIGTERM)
    target.expect('done')
    target.finish()


def sigwait(folder, python):
    target = left_alone(folder, python, 'sigwait', 'it waits in sigtimedwait')
    os.kill(target.pid, signal.SIGUSR1)
    target.expect('done')
    target.finish()


def blocks_signal(folder, python):
    done(left_alone(folder, python, 'blocked', 'it blocks a signal for which there is a handler'))


def stopped(folder, python):
    def stop(target):
        os.kill(target.pid, signal.SIGSTOP)
        while open('/proc/%d/stat' % target.pid).read().rsplit(')', 1)[1].split()[0] != 'T':
            time.sleep(0.001)
    target = left_alone(folder, python, 'poll', 'it is stopped', stop)
    os.kill(target.pid, signal.SIGCONT)
    done(target)


def traced(folder, python):
    """By us, from here."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def trace(target):
        check(libc.ptrace(0x4206, target.pid, None, None) == 0, 'PTRACE_SEIZE: %s' % os.strerror(ctypes.get_errno()))
    target = left_alone(folder, python, 'poll', 'is traced by process %d already' % os.getpid(), trace)
    libc.ptrace(0x4207, target.pid, None, None)  # PTRACE_INTERRUPT: only what stands can be let go
    os.waitpid(target.pid, 0x40000000)
    libc.ptrace(17, target.pid, None, None)
    done(target)


def filter_calls(*instructions):
    """For a child before its exec: a seccomp filter, of struct sock_filter as numbers."""
    def install():
        harness.die_with_parent()
        libc = ctypes.CDLL(None, use_errno=True)
        code = (ctypes.c_uint64 * len(instructions))(*(c | jt << 16 | jf << 24 | k << 32 for c, jt, jf, k in instructions))
        program = (ctypes.c_uint64 * 2)(len(instructions), ctypes.addressof(code))
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):
            os._exit(99)
    return install


ALLOW, KILL = (0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, 0x80000000)
NUMBER = (0x20, 0, 0, 0)  # A = the system call's number
MEMFD_CREATE = 319


def filtered(folder, python):
    """Under a seccomp filter that does not mind, as in a container."""
    target = start(python, 'poll', preexec_fn=filter_calls(NUMBER, (0x15, 0, 1, 200), KILL, ALLOW))
    result = inject(target)
    check(result.returncode == 0 and loaded(target) == 1, result.stderr)
    done(target)


def forbidden(folder, python):
    """Under one that ends the process for something that the agent does, and the library here does not."""
    target = left_alone(folder, python, 'poll', 'its seccomp filter would end it for the system call memfd_create',
                        preexec_fn=filter_calls(NUMBER, (0x15, 0, 1, MEMFD_CREATE), KILL, ALLOW))
    result = inject(target, 1, 0, 60, 'force')
    check(result.returncode == 0 and loaded(target) == 1, result.stderr)
    done(target)


def may_run(python):
    """Whether user 65534 may run it: not what lies below somebody's home."""
    command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] + python.command + ['-S', '-c', '']
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def other_user(folder, python):
    def drop():
        harness.die_with_parent()
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        harness.die_with_parent()
    target = start(python, 'poll', preexec_fn=drop)
    result = inject(target, 3)
    check(result.returncode == 0 and loaded(target) == 3, result.stderr)
    done(target)


def as_other_user(folder, python):
    """Who may not trace it is told so."""
    target = start(python, 'poll')
    command = [harness.tool('inject_lib'), str(target.pid), harness.tool('injected.so')]
    result = subprocess.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] + command, stderr=subprocess.PIPE, text=True)
    check(result.returncode == 1 and 'not permitted' in result.stderr, '%d: %r' % (result.returncode, result.stderr))
    check(not loaded(target), 'the library was loaded')
    done(target)


def no_exec(folder, python, mounts, where):
    """Folders from which nothing may be executed, in a mount namespace of the target's own."""
    script = ''.join('mount -t tmpfs -o %s tmpfs %s && ' % (options, place) for place, options in mounts) + 'exec "$@"'
    target = start(python, 'poll', command=['unshare', '-m', 'sh', '-c', script, 'sh'] + python.command, cwd=folder)
    result = inject(target, 2)
    with open('/proc/%d/maps' % target.pid) as f:
        found = set(re.findall(r'(/\S*)/libpylu_agent-', f.read()))
    if where is None:
        check(result.returncode == 1 and 'no folder from which it could load' in result.stderr and not found, result.stderr)
    else:
        check(result.returncode == 0 and found == {where or folder}, '%s: %s' % (found, result.stderr))
    done(target)


def own_root(folder, python):
    """Its /tmp is not ours."""
    other = os.path.join(folder, 'tmp')
    os.mkdir(other)
    target = start(python, 'poll', env=dict(os.environ, TMPDIR=other))
    before = set(os.listdir('/tmp'))
    result = inject(target, 3)
    check(result.returncode == 0 and loaded(target) == 3, result.stderr)
    check(not [n for n in set(os.listdir('/tmp')) - before if n.startswith('libpylu_agent-')], 'something is left in our /tmp')
    done(target)


def extension(python):
    """A library that nobody has loaded yet."""
    ask = 'import _ctypes, sysconfig; print(sysconfig.get_path("platstdlib"))'
    said = subprocess.run(python.command + ['-c', ask], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    folder = os.path.join(said.stdout.strip(), 'lib-dynload')
    found = glob.glob(os.path.join(python.root.rstrip('/') + folder, '_lsprof.*.so')) if said.returncode == 0 else []
    return os.path.join(folder, os.path.basename(found[0])) if found else None


def main():
    suite = Suite(__doc__.splitlines()[0])
    suite.start()
    found = suite.interpreters(variants=True)
    for python in found:
        for mode in MODES if not python.variant else FEW:
            suite.run('%s: %s' % (python.name, mode), brought_in, python, mode, python=python)
        if python.variant:
            continue
        suite.run('%s: signals' % python.name, signals, python, python=python)
        library = extension(python)
        if library:
            suite.run('%s: loading' % python.name, brought_in, python, 'loading', library, python=python)
        else:
            suite.note_skip('%s has no _ctypes or no extension to load: nothing is in its dynamic linker' % python.name)
        for mode in 'busy', 'poll':
            suite.run('%s: killed, %s' % (python.name, mode), killed, python, mode, python=python)
        for act in all_locked, sigwait, blocks_signal:
            suite.run('%s: %s' % (python.name, act.__name__), act, python, python=python)
        if python.root != '/':
            suite.run('%s: in a root of its own' % python.name, own_root, python, python=python)
    own = [python for python in found if python.root == '/' and not python.variant][:1]
    for python in own:
        for act in stopped, traced, filtered, forbidden, as_other_user:
            suite.run('%s: %s' % (python.name, act.__name__), act, python)
        bad, good = 'noexec,mode=1777', 'mode=1777'
        for mounts, where in ((('/tmp', bad),), '/var/tmp'), ((('/tmp', bad), ('/var/tmp', bad), ('/dev/shm', good)), '/dev/shm'):
            suite.run('%s: %s is not the first' % (python.name, where), no_exec, python, mounts, where)
    public = [python for python in found if python.root == '/' and may_run(python)][:1]
    for python in public:
        suite.run('%s: other_user' % python.name, other_user, python)
    if not public:
        suite.note_skip('no interpreter that another user may run')
    suite.finish()


if __name__ == '__main__':
    main()
