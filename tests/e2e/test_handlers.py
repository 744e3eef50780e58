#!/usr/bin/env python3
"""Code units seen at the handlers of their opcodes: each execution once, of every opcode that tests/targets/units.py has in it,
in all the forms that it takes at run time. The truth is what that program counts itself."""
import collections
import json
import os
import random
import subprocess

import harness
from harness import Failed, Skipped, Target, check

UNITS = os.path.join(harness.TARGETS, 'units.py')
PLACES = 128  # WIRE_MAX_PLACES
BUSY = 'changing', 'local', 'textwrap._wrap_chunks', 'json.py_scanstring', 'shlex.read_token'  # as in units.py
MODES = ['settrace', 'count', 'monitor', 'twice']  # the first also for other builds, the last on request
BYTES_HEAD = 32  # what stands in front of a bytes object's bytes, to 3.10: of co_code


def tool():
    path = os.environ.get('PYLU_UNIT_COUNTS') or os.path.join(harness.ROOT, 'build', 'tests', 'e2e', 'unit_counts')
    if not os.access(path, os.X_OK):
        raise Skipped('%s is not there; set PYLU_UNIT_COUNTS' % path)
    return path


def environment():
    return dict(os.environ, PYTHONHASHSEED='0')


def ask(python):
    """The units, and how often each runs."""
    done = subprocess.run(python.command + [UNITS, 'list'], stdout=subprocess.PIPE, env=environment(), check=True)
    return json.loads(done.stdout)


def choose(listed, truth, n, rng):
    """Some of the units that are executed: of each opcode, then of each pair of opcodes one that runs often, then any."""
    listed = [unit for unit in listed if truth[unit[0]].get(str(unit[1]))]
    rng.shuffle(listed)
    chosen, kinds = [], set()
    for key in (lambda unit: unit[2]), (lambda unit: tuple(unit[2:4])), (lambda unit: tuple(unit[:2])):
        for unit in listed:
            if len(chosen) < n and key(unit) not in kinds and unit not in chosen:
                kinds.add(key(unit))
                chosen.append(unit)
    return chosen


class Counts:
    """unit_counts at work."""

    def __init__(self, pid, lines):
        self.process = subprocess.Popen([tool(), str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
        harness.running.append(self.process)
        self.stdout, self.stderr = harness.Reader(self.process.stdout), harness.Reader(self.process.stderr)
        self.write(''.join(line + '\n' for line in lines) + '\n')
        if self.stdout.wait_for('watching') is None:
            raise Failed('unit_counts ended: %s' % self.stderr.text())

    def write(self, text):
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def result(self):
        self.write('\n')
        if harness.ended(self.process, 'unit_counts'):
            raise Failed('unit_counts failed: %s' % self.stderr.text())
        lines = self.stdout.text().split('\n')
        said = dict(line.split(' ', 1) for line in lines if line[:1].isalpha() and ' ' in line)
        counts = [None if 'hidden' in line else int(line) for line in lines if line[:1].isdigit()]
        return counts, int(said['strays']), said['cost']


def counts(folder, python, mode, chosen, truth):
    target = Target(python.command + [UNITS, 'run', mode], env=environment())
    codes = json.loads(target.expect('ready'))
    lines = []
    for name, offset, _, _, number, before in chosen:
        code, code_bytes = codes[name]
        lines.append('%d %d %d %d %d' % (code_bytes and code_bytes + BYTES_HEAD, code, offset, number, before))
    at = Counts(target.pid, lines)
    target.go()
    own = json.loads(target.expect('done'))
    found, strays, cost = at.result()
    target.go()
    target.finish()
    if mode == 'count':
        truth = own
        check(all(unit[0] in truth for unit in chosen), 'not all were counted')
    right = [truth[unit[0]].get(str(unit[1]), 0) * (1 if mode == 'count' else 2) for unit in chosen]
    wrong = ['%s+%d %s after %s: %d, right is %d' % (*unit[:4], f, r)
             for unit, f, r in zip(chosen, found, right) if f not in (None, r)]
    check(len(found) == len(chosen), '%d units, %d counts' % (len(chosen), len(found)))
    check(not wrong, '%d of %d units are wrong: %s' % (len(wrong), len(chosen), '; '.join(wrong[:40])))
    check(not strays, '%d hits were not in the frame that ran' % strays)
    return '%d units of %d opcodes (%d hidden), %d executions; sites: %s' % (
        len(chosen), len({unit[2] for unit in chosen}), found.count(None), sum(right), cost)


def main():
    suite = harness.Suite(__doc__)
    suite.parser.add_argument('--seed', type=int, default=1)
    suite.parser.add_argument('--mode', choices=MODES, action='append')
    arguments = suite.start()
    for python in suite.interpreters(variants=True):
        rng = random.Random(arguments.seed)
        listed, truth = ask(python)
        for mode in arguments.mode or (MODES[:1] if python.variant else MODES[:3]):
            if mode == 'monitor' and python.version < (3, 12):
                continue
            some = [unit for unit in listed if mode != 'count' or unit[0] not in BUSY]
            chosen = choose(some, truth, PLACES, rng)
            suite.run('%s, %s' % (python.name, mode), counts, python, mode, chosen, truth, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
