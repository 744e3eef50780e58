#!/usr/bin/env python3
"""test_pycode: bytecode as it is read from outside, against what each interpreter's own dis module says of it.

The truth comes from tests/targets/codes.py: instructions with offset, base opcode, argument, line and where they jump, names,
exception table, of many functions of the standard library: as they were loaded, specialised after they ran, and
monitored; and, where there is one, with the JIT compiler at work.
"""
import os
import subprocess

import harness
from harness import check

TARGET = os.path.join(harness.TARGETS, 'codes.py')


def start(python, how, **more):
    """A target, and the lines of each code object."""
    target = harness.Target(python.command + [TARGET] + ([how] if how else []), **more)
    blocks = []
    while True:
        line = target.process.stdout.readline().decode('utf-8', 'surrogatepass').rstrip('\n')
        check(line, 'target %d ended before it was ready: %s' % (target.pid, target.error_text()))
        if line == 'ready':
            return target, blocks
        if line.startswith('code '):
            blocks.append([])
        blocks[-1].append(line)


def read(pid, addresses):
    done = subprocess.run([harness.tool('ask_pycode'), str(pid)], input='\n'.join(addresses) + '\n', capture_output=True,
                          encoding='utf-8', errors='surrogatepass', timeout=harness.PATIENCE)
    check(done.returncode == 0, 'ask_pycode ended with %d: %s' % (done.returncode, done.stderr))
    blocks = []
    for line in done.stdout.splitlines():
        if line.startswith('code '):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def compare(folder, python, how, **more):
    target, known = start(python, how, **more)
    found = read(target.pid, [block[0].split()[1] for block in known])
    check(len(found) == len(known) > 500, '%d code objects, of %d' % (len(found), len(known)))
    lines = 0
    for right, ours in zip(known, found):
        lines += len(right)
        for a, b in zip(right + [''], ours + ['']):
            check(a == b, '%s: %r is read as %r' % (' '.join(right[1:4]), a, b))
        check(len(right) == len(ours), '%s has %d lines more' % (right[1], len(ours) - len(right)))
    target.finish()
    return '%d functions, %d lines' % (len(known), lines)


def main():
    suite = harness.Suite(__doc__)
    suite.start()
    for python in suite.interpreters():
        cases = ['', 'warm'] if python.version >= (3, 11) else ['']
        cases += ['monitored'] if python.version >= (3, 12) else []
        for how in cases:
            suite.run('%s %s' % (python.name, how or 'as loaded'), compare, python, how, python=python)
        if python.version >= (3, 14) and python.foreign:
            suite.run('%s warm, JIT on' % python.name, compare, python, 'warm', env=dict(os.environ, PYTHON_JIT='1'),
                      python=python)
    suite.finish()


if __name__ == '__main__':
    main()
