#!/usr/bin/env python3
"""Random programs under pylu-bpf on every interpreter found: counts, callers and call trees exactly as the twin saw them.

Each batch runs its programs in one target under one session. Beside the plain batches one runs under a fast timer signal, one
with the JIT compiler switched on where there is one, and one while sys.monitoring (3.12 on), sys.setprofile and sys.settrace are switched on and off.

Foreign interpreters and other builds of the same versions run fewer programs, in one batch that runs in each of these ways.
"""
import concurrent.futures
import json
import os
import re
import subprocess
import tempfile

import cases
import compare
import gen_program
import harness
from harness import Failed, Session, Suite, Target, check

RUNNER = os.path.join(harness.TARGETS, 'run_programs.py')


def write_programs(folder, seeds):
    paths = []
    for seed in seeds:
        paths.append(os.path.join(folder, 'seed_%d.py' % seed))
        with open(paths[-1], 'w') as f:
            f.write(gen_program.program(seed))
    return paths


def twin(python, folder, programs):
    path = os.path.join(folder, 'truth.json')
    done = subprocess.run(python.command + [RUNNER, '--truth', path] + programs, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=harness.die_with_parent)
    check(done.returncode == 0, 'the twin ended with %d: %s' % (done.returncode, done.stdout.decode()[-2000:]))
    with open(path) as f:
        return compare.Truth(json.load(f))


def batch(folder, python, mode, programs, truth):
    counters = os.path.join(folder, 'counters.json')
    target = Target(python.command + [RUNNER, '--mode', 'plain' if mode == 'jit' else mode, '--counters', counters] + programs,
                    env=cases.jit_on() if mode == 'jit' else None)
    target.expect('ready')
    session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    profile = session.stop()
    target.go()
    target.finish()
    with open(counters) as f:
        own = json.load(f)
    nodes = compare.flatten(profile, target.pid)
    found = compare.invariants(profile, finished=True) + compare.compare(
        nodes, truth, own, disturbed=mode == 'toggle', whole_tree=mode == 'plain')
    if mode == 'jit' and not all(process['jit'] for process in profile['processes']):
        found.append('the profile does not say that the JIT is on')
    if found:
        seeds = sorted(set(int(seed) for seed in re.findall(r'seed_(\d+)', '\n'.join(found))))
        raise Failed('%d differences, seeds %s\n    %s\n    rerun: %s --python %s --mode %s --seed %d --count 1' % (
            len(found), seeds[:20], '\n    '.join(compare.shorten(found)), os.path.abspath(__file__), python.path, mode,
            seeds[0] if seeds else -1))
    mine = [call['hits'] for _, key, call in nodes if key in truth.wanted]
    return '%d programs, %d calls in %d places compared%s' % (
        len(programs), sum(mine), len(mine), ', %d signals' % own['ticks'] if own['ticks'] else '')


def modes_of(python, wanted, i, count):
    """The modes in which batch `i` of `count` runs: all of them plain, the first two disturbed as well; of other builds of a
    version that is there anyway, not by every means."""
    if wanted != 'all':
        return [wanted]
    modes = ['plain'] + [mode for at, mode in ((0, 'timer'), (min(1, count - 1), 'toggle')) if at == i]
    if python.variant:
        return [mode for mode in modes if mode != 'timer']
    if i == 0 and harness.backend != 'usdt' and cases.has_jit(python):
        modes.append('jit')
    return modes


def batches_for(python, programs, asked):
    """The batches of `programs` that an interpreter runs, each the whole batch or the first of it."""
    if asked or not python.foreign and not python.variant:
        return programs
    return [programs[0][:len(programs[0]) // 2 if python.variant else None]]


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('--seed', type=int, default=0, help='the first seed')
    suite.parser.add_argument('--count', type=int, help='programs per interpreter (default: 100, and 50 or 25 for foreign ones)')
    suite.parser.add_argument('--batch', type=int, default=50, help='programs per target')
    suite.parser.add_argument('--mode', choices=['all', 'plain', 'jit', 'timer', 'toggle'], default='all')
    options = suite.start()
    seeds = range(options.seed, options.seed + (options.count or 100))
    batches = [seeds[i:i + options.batch] for i in range(0, len(seeds), options.batch)]
    with tempfile.TemporaryDirectory(prefix='pylu-e2e-') as folder, concurrent.futures.ThreadPoolExecutor(1) as pool:
        programs = [write_programs(folder, chosen) for chosen in batches]
        work = []
        for python in suite.interpreters(variants=True):
            mine = batches_for(python, programs, options.count)
            for i, paths in enumerate(mine):
                place = os.path.join(folder, '%d-%d' % (len(work), i))
                os.mkdir(place)
                modes = modes_of(python, options.mode, i, len(mine))
                work.append((python, modes, batches[i][:len(paths)], paths, pool.submit(twin, python, place, paths)))
        for python, modes, chosen, paths, future in work:
            for mode in modes:
                suite.run('%s %s, seeds %d to %d' % (python.name, mode, chosen[0], chosen[-1]),
                          lambda place: batch(place, python, mode, paths, future.result()), python=python)
    suite.finish()


if __name__ == '__main__':
    main()
