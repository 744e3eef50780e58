#!/usr/bin/env python3
"""One unit of each mixture that the other tests have not, counted exactly, on every interpreter found. `make soak` runs all
of them for as long as one likes.
"""
import os

import cases
import harness
import mixing
from cases import case, sound
from harness import Session, Skipped, check

SMALL = 1 << 15  # bytes: larger profiles take long to hold against the schema, and show nothing that these do not


def run(folder, python, name, scale=1, tree=False, finished=True):
    """Watches a unit from standstill to standstill. The profile and what was called."""
    mixture = mixing.Mixture(folder, python, name, scale)
    output = os.path.join(folder, 'mixture.json')
    session = Session(['--tree' if tree else '-p', str(mixture.pid), '**'], output).watching()
    called = mixture.unit()
    profile = session.stop()
    harness.wait_unprobed(mixture.pid)
    mixture.end()
    check(mixing.compare_counts(profile, called, tree), 'nothing was called')
    sound(profile, finished and not tree)
    if os.path.getsize(output) < SMALL:
        os.rename(output, os.path.join(folder, 'profile.json'))
    return profile, called


@case
def greenlets_that_end_and_are_killed(folder, python):
    run(folder, python, 'greenlets', finished=False)


@case
def gevent(folder, python):
    run(folder, python, 'gevents', finished=False)


@case
def asyncio_with_thousands_of_tasks(folder, python):
    run(folder, python, 'asyncio_tasks')


@case
def sixty_four_threads_at_once(folder, python):
    run(folder, python, 'threads_at_once')


@case
def fork_storm(folder, python):
    profile, called = run(folder, python, 'forks', scale=2, tree=True)
    check(len(profile['processes']) == 61, '%d processes, right is 61' % len(profile['processes']))
    check(called['children']['x_child'] == 60, 'the target forked %d children' % called['children']['x_child'])


@case
def exceptions_by_the_hundred_thousand(folder, python):
    run(folder, python, 'exceptions', scale=8)


@case
def functions_that_are_redefined(folder, python):
    run(folder, python, 'redefined')


@case
def many_functions_called_for_the_first_time(folder, python):
    run(folder, python, 'many_functions', scale=2)


@case
def code_that_comes_and_goes_takes_no_room(folder, python):
    """What is compiled over and over is one function with one place in the call tree; to 3.10 whole modules and expressions only."""
    mixture = mixing.Mixture(folder, python, 'code_freed' if python.version >= (3, 11) else 'evals', scale=2)
    session = Session(['-p', str(mixture.pid), '**'], os.path.join(folder, 'mixture.json')).watching()
    sizes = [mixing.kernel_memory(session.process.pid)]
    called = {}
    for i in range(6):
        mixing.add(called, mixture.unit())
        sizes.append(mixing.kernel_memory(session.process.pid))
    mixing.compare_counts(session.stop(), called)
    mixture.end()
    if sizes[0] == sizes[1]:
        raise Skipped('this kernel does not tell how full a BPF map is')
    # At least 2,000 code objects in five units; a place in the call tree takes 424 bytes.
    check(sizes[6] - sizes[1] < 200 * 424, 'the BPF maps grew from %d to %d bytes' % (sizes[1], sizes[6]))


@case
def cprofile_in_the_target(folder, python):
    run(folder, python, 'cprofile')


@case
def coverage_in_the_target(folder, python):
    run(folder, python, 'coverages')


@case
def coverage_by_monitoring_in_the_target(folder, python):
    run(folder, python, 'coverages_by_monitoring')


@case
def debugger_in_the_target(folder, python):
    run(folder, python, 'debuggers')


# A process that forks, without an exec, a child whose id it chooses.
FORK_AS = '''
import ctypes, signal
class CloneArgs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ('flags', 'pidfd', 'child_tid', 'parent_tid', 'exit_signal', 'stack', 'stack_size',
                                                     'tls', 'set_tid', 'set_tid_size', 'cgroup')]
def f(): return 1
ids = (ctypes.c_int32 * 1)(int(sys.argv[1]))
args = CloneArgs(exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(ids), set_tid_size=1)
libc = ctypes.CDLL(None, use_errno=True)
got = libc.syscall(435, ctypes.byref(args), ctypes.c_size_t(ctypes.sizeof(args)))   # clone3
if got == 0:
    for i in range(500): f()
    os._exit(0)
gate('forked', *[got == ids[0] and os.waitpid(got, 0)[1], os.strerror(ctypes.get_errno())])
'''


@case
def another_process_gets_the_id_of_a_child_that_ended(folder, python):
    """With --tree the probes are in all processes of the interpreter: only ids tell whose calls are counted."""
    target, path = cases.start(folder, python, '''
def f(): return 1
gate('ready')
pid = os.fork()
if not pid:
    for i in range(70): f()
    os._exit(0)
os.waitpid(pid, 0)
gate('child', pid)
''')
    target.expect('ready')
    session = Session(['--tree', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    child = target.expect('child')
    foreign = cases.write(folder, 'foreign.py', cases.PRELUDE + FORK_AS)
    other = harness.Target(python.command + [foreign, child])
    status, _, reason = other.expect('forked').partition(' ')
    if status == 'False':
        raise Skipped('no process can be started with a chosen id here (%s)' % reason)
    check(status == '0', 'the other process ended with %s' % status)
    profile = session.stop()
    for each in target, other:
        each.go()
        each.finish()
    cases.Result(profile, path).expect({'f': 70})
    check(not cases.Result(profile, foreign).sum('f'), 'calls of another process were counted')


if __name__ == '__main__':
    cases.main(__doc__)
