#!/usr/bin/env python3
"""The standard library's own modules at work under pylu-bpf, on every interpreter found: json, ast, difflib, text modules and an
asyncio server. Starts, callers and exceptions of every function in the library's own files, exactly.

What runs alike each time is compared with a twin. The server is compared with what its own interpreter recorded in the very
run that was watched; the others run in that way too, which from 3.12 on runs the monitored forms of the opcodes.
"""
import os
import subprocess

import compare
import harness
from harness import Failed, Session, Suite, Target, check

RUNNER = os.path.join(harness.TARGETS, 'run_stdlib.py')
WORKS = ['json', 'ast', 'difflib', 'text', 'asyncio']


def one(folder, python, work, same_run):
    truth_path = os.path.join(folder, 'truth.json')
    environment = dict(os.environ, PYTHONHASHSEED='0')
    if not same_run:
        done = subprocess.run(python.command + [RUNNER, work, '--twin', truth_path], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=harness.die_with_parent)
        check(done.returncode == 0, 'the twin ended with %d: %s' % (done.returncode, done.stdout.decode()[-2000:]))
    target = Target(python.command + [RUNNER, work] + (['--truth', truth_path] if same_run else []), env=environment)
    target.expect('ready')
    session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    profile = session.stop()
    target.go()
    target.finish()
    truth = compare.Truth(harness.load_json(truth_path))
    nodes = compare.flatten(profile, target.pid)
    found = compare.invariants(profile, finished=True) + compare.compare(nodes, truth, watched=same_run)
    if found:
        raise Failed('%d differences\n    %s' % (len(found), '\n    '.join(compare.shorten(found))))
    starts = truth.starts()
    return '%d functions, %d calls' % (sum(1 for n in starts.values() if n), sum(starts.values()))


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('works', nargs='*', metavar='WORK', help='%s (default: all)' % ', '.join(WORKS))
    options = suite.start()
    for python in suite.interpreters():
        for work in options.works or WORKS:
            for same_run in (True,) if work == 'asyncio' else (False, True):
                suite.run('%s %s%s' % (python.name, work, ' (recorded in the same run)' if same_run else ''), one, python, work,
                          same_run, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
