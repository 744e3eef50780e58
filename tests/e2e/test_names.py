#!/usr/bin/env python3
"""test_names: which variables the lines of a function use and define, as tests/targets/names.py says itself at each line."""
import os
import re
import subprocess

import harness
from harness import check

TARGET = os.path.join(harness.TARGETS, 'names.py')


def expected():
    """{line: (uses, defs)}"""
    with open(TARGET) as f:
        found = [(n, re.search(r'#: (.*?);(.*)$', text)) for n, text in enumerate(f, 1)]
    return {n: (m.group(1).split(), m.group(2).split()) for n, m in found if m and 'uses; defs' not in m.group(0)}


def compare(folder, python):
    target = harness.Target(python.command + [TARGET])
    addresses = []
    while True:
        words = target.process.stdout.readline().decode().split()
        check(words, 'target %d ended before it was ready: %s' % (target.pid, target.error_text()))
        if words == ['ready']:
            break
        addresses.append(words[1])
    done = subprocess.run([harness.tool('ask_places'), str(target.pid)], input='\n'.join(addresses) + '\n', capture_output=True,
                          encoding='utf-8', timeout=harness.PATIENCE)
    check(done.returncode == 0, 'ask_places ended with %d: %s' % (done.returncode, done.stderr))
    target.finish()
    found, names = {}, set()
    for line in done.stdout.splitlines():
        words = line.split()
        if words[0] == 'line':
            found[int(words[1])] = ([], [])
        elif words[0] in ('use', 'def'):
            found[int(words[1])][words[0] == 'def'].append(words[2])
        elif words[0] == 'name':
            names.add(words[1])
    right = expected()
    wrong = ['line %d: %r, and is told %r' % (n, right[n], found.get(n)) for n in right
             if n not in found or tuple(sorted(v) for v in found[n]) != right[n]]
    check(not wrong, '%d of %d lines are wrong:\n%s' % (len(wrong), len(right), '\n'.join(wrong)))
    every = {name for uses, defs in right.values() for name in uses + defs}
    check(every <= names, 'not among all names: %s' % sorted(every - names))
    return '%d lines' % len(right)


def main():
    suite = harness.Suite(__doc__)
    suite.start()
    for python in suite.interpreters():
        suite.run(python.name, compare, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
