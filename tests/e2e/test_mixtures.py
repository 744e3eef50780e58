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


if __name__ == '__main__':
    cases.main(__doc__)
