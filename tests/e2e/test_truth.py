#!/usr/bin/env python3
"""The truth itself, without pylu-bpf: on every interpreter the twin's starts are the programs' own counters, two twins see the
same call tree, a target that runs alone, under signals or with monitoring switched on and off counts the same, and compare.py
notices a profile that is wrong by one call.
"""
import copy
import json
import os
import subprocess

import compare
import harness
from harness import Failed, Suite, check
from test_random import RUNNER, write_programs


def run(python, folder, programs, *arguments):
    path = os.path.join(folder, 'out.json')
    done = subprocess.run(python.command + [RUNNER, *[path if a == 'OUT' else a for a in arguments]] + programs, input=b'..',
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=harness.die_with_parent)
    check(done.returncode == 0, '%s ended with %d: %s' % (arguments, done.returncode, done.stdout.decode()[-2000:]))
    with open(path) as f:
        return json.load(f)


def tree(truth):
    return compare.paths([(parent, key, values if key in truth.wanted else (0, 0))
                          for parent, key, values in truth.rows], 2)


def as_profile(truth, counters):
    """The profile that pylu-bpf ought to make of a truth."""
    root = {'children': []}
    calls = []
    for parent, key, (starts, raised) in truth.rows:
        qualname, module, flags = truth.about.get(key, [(None, None, 0)])[0]
        call = {'function': '%s.%s' % (module, qualname or key[2]), 'file': key[0], 'line': key[1], 'hits': starts,
                'generator': bool(flags & compare.GENERATOR), 'complete': starts, 'untimed': 0, 'raised': min(raised, starts),
                'running_at_start': 0, 'running_at_end': 0, 'suspended_at_end': 0, 'total_ns': starts, 'complete_ns': starts,
                'self_ns': 0, 'elapsed_ns': 0, 'min_ns': 1 if starts else 0, 'max_ns': 1 if starts else 0,
                'log2_ns': [starts] if starts else [], 'children': []}
        calls.append(call)
        (calls[parent] if parent >= 0 else root)['children'].append(call)
    hidden_calls(truth, counters, calls)
    return {'processes': [{'pid': 1, 'raw': False, 'lost': {'events': 0}, 'threads': [{'tid': 1, 'calls': root['children']}]}]}


def hidden_calls(truth, counters, calls):
    """Adds the recursions that the twin could not see."""
    numbers = {(file.partition('!')[0], number): ((file, line, name), count)
               for file, line, name, count, number in counters['counters']}
    deep = next(call for call in calls if call['function'].endswith('.deep'))
    seen = {}
    for path, number, _ in counters['deep']:
        key, count = numbers[path, number]
        seen[key] = seen.get(key, 0) + 1
        for parent, hits in (deep, 1), (None, count - 1):
            if seen[key] == 1 or parent is deep:
                call = dict(deep, function='%s.%s' % (key[0], key[2]), file=key[0], line=key[1], hits=hits, complete=hits,
                            raised=0, running_at_start=0, log2_ns=[hits] if hits else [], total_ns=hits, complete_ns=hits,
                            min_ns=1 if hits else 0, max_ns=1 if hits else 0, children=[])
                (parent or last)['children'].append(call)
                last = call


def spoil(profile, truth):
    """Copies of the profile that are wrong in one place each: (what, copy)."""
    nodes = compare.flatten(profile)
    own = [i for i, (_, key, call) in enumerate(nodes) if key in truth.wanted - truth.hidden and call['hits'] > 1]
    for i in own[::max(1, len(own) // 8)]:
        for field, step in (('hits', 1), ('hits', -1), ('raised', 1)):
            wrong = copy.deepcopy(profile)
            compare.flatten(wrong)[i][2][field] += step
            yield '%s of %s by %d' % (field, compare.name_of(nodes[i][1]), step), wrong
    moved = copy.deepcopy(profile)
    nodes = compare.flatten(moved)
    i = next(i for i in own if nodes[i][0] in own)
    above = nodes[i][0]
    nodes[above][2]['children'].remove(nodes[i][2])
    nodes[nodes[above][0]][2]['children'].append(nodes[i][2])
    yield 'a call moved to its caller\'s caller', moved


def one(folder, python, seeds):
    programs = write_programs(folder, seeds)
    first = compare.Truth(run(python, folder, programs, '--truth', 'OUT'))
    again = compare.Truth(run(python, folder, programs, '--truth', 'OUT'))
    check(first.starts() == again.starts() and tree(first) == tree(again), 'two twins differ')
    for mode in 'plain', 'timer', 'toggle':
        own = run(python, folder, programs, '--mode', mode, '--counters', 'OUT')
        found = compare.counter_witness(first, own)
        check(not found, '%s: %s' % (mode, found[:10]))
    own = run(python, folder, programs, '--counters', 'OUT')
    profile = as_profile(first, own)
    found = compare.compare(compare.flatten(profile), first, own, watched=True)
    check(not found, 'compare.py finds fault with the truth: %s' % found[:10])
    wrong = 0
    for what, profile in spoil(profile, first):
        wrong += 1
        if not compare.invariants(profile) + compare.compare(compare.flatten(profile), first, own, watched=True):
            raise Failed('compare.py does not notice %s' % what)
    return '%d programs, %d starts, %d counters, %d wrong profiles noticed' % (
        len(programs), sum(first.starts().values()), len(own['counters']), wrong)


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('--seed', type=int, default=0)
    suite.parser.add_argument('--count', type=int, help='programs per interpreter (default: 8, and 5 for a foreign one)')
    options = suite.start(needs_root=False)
    for python in suite.interpreters():
        seeds = range(options.seed, options.seed + (options.count or (5 if python.foreign else 8)))
        suite.run(python.name, one, python, seeds, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
