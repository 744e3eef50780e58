#!/usr/bin/env python3
"""Who is inside a function, as the agent sees it: threads, suspended functions, tasks, greenlets, caches. The program that is
looked at (tests/targets/agent_running.py) knows the truth, and compares."""
import json
import os
import shutil
import subprocess

import harness
from harness import Suite, check

TARGET = os.path.join(harness.TARGETS, 'agent_running.py')


def asked(folder, python, probe, said):
    shutil.copy(probe, folder)  # a foreign root has this folder, and no other of ours but the targets'
    done = subprocess.run(python.command + ['-B', '-W', 'ignore', TARGET, folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    check(done.returncode == 0, 'ended with %d: %s' % (done.returncode, done.stderr.decode('utf-8', 'replace')[-3000:]))
    for line in done.stdout.decode().splitlines():
        name, _, wrong = line.partition(' ')
        said[name] = json.loads(wrong)
    check('audit_hook' in said, 'not all cases were run: %s' % sorted(said))


def right(folder, said, name):
    if said[name] is None:
        raise harness.Skipped('there is no greenlet module for it')
    check(not said[name], '; '.join(said[name] or []))


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    try:
        probe = harness.built('PYLU_RUNNING_PROBE', 'tests', 'e2e', 'running_probe.abi3.so')
    except harness.Skipped as missing:
        suite.note_skip(str(missing))
        suite.finish()
    for python in suite.interpreters():
        said = {}
        suite.run('%s: asked' % python.name, asked, python, probe, said, python=python)
        for name in said:
            suite.run('%s: %s' % (python.name, name), right, said, name, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
