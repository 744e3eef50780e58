#!/usr/bin/env python3
"""The agent in the life of a process, in every interpreter: idle it does nothing; it starts by import and preloaded, in every forked
child, and in nothing else; it ends with the program, and takes nothing of it along. What is right is asked in the target
(tests/targets/agent_life.py).
"""
import os
import re
import shutil
import signal
import subprocess

import harness
from harness import Skipped, Suite, Target, check

SCRIPT = os.path.join(harness.TARGETS, 'agent_life.py')
OLDEST_LIBC = (2, 17)
OWN_NEEDS = {'libc.so.6', 'libdl.so.2', 'libpthread.so.0'}


def library(folder):
    """Copies the agent to where every root has it, under both names."""
    path = os.environ.get('PYLU_AGENT') or os.path.join(harness.ROOT, 'build', 'agent', 'libpylu_agent.so')
    if not os.access(path, os.R_OK):
        raise Skipped('%s is not there; set PYLU_AGENT' % path)
    copy = os.path.join(folder, 'libpylu_agent.so')
    shutil.copyfile(path, copy)
    os.symlink('libpylu_agent.so', os.path.join(folder, 'pylu_agent.so'))
    return copy


def start(folder, python, case, options=(), preload=False):
    copy = library(folder)
    environment = dict(os.environ, PYTHONPATH=folder)
    command = python.command + list(options) + [SCRIPT, case]
    if preload:
        # Through env, so that the program that enters the root is not one of those that get it.
        command = python.command[:-1] + ['/usr/bin/env', 'LD_PRELOAD=' + copy] + python.command[-1:] + list(options) + [SCRIPT, case]
    return Target(command, cwd=folder, env=environment)


def imported(folder, python):
    start(folder, python, 'imported', ['-W', 'error::DeprecationWarning:__main__']).finish()


def preloaded(folder, python):
    start(folder, python, 'preloaded', ['-I', '-S'], preload=True).finish()


def ends(folder, python):
    start(folder, python, 'ends', preload=True).finish()


def refused(folder, python):
    start(folder, python, 'refused', preload=True).finish()


def replaced(folder, python):
    start(folder, python, 'replaced').finish()


def signals(folder, python):
    target = start(folder, python, 'signals')
    target.expect('ready')
    os.kill(target.pid, signal.SIGUSR1)
    target.finish()


def harmless(folder):
    """Programs that are no Python are as without it, and have one thread."""
    copy = library(folder)
    for command in ['ls', '/'], ['sh', '-c', 'echo $((6 * 7))'], ['git', '--version'], ['cat', '/proc/self/status']:
        if not shutil.which(command[0]):
            continue
        outputs = [subprocess.run(command, env=dict(os.environ, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                   for more in ({}, {'LD_PRELOAD': copy})]
        check(outputs[0].returncode == outputs[1].returncode == 0, '%s: %s' % (command, outputs[1]))
        if command[0] == 'cat':
            check(b'\nThreads:\t1\n' in outputs[1].stdout, 'cat has threads: %s' % outputs[1].stdout)
        else:
            check(outputs[0].stdout == outputs[1].stdout, '%s: %s' % (command, outputs))


def symbols(folder):
    """It needs nothing that an old C library lacks, and nothing of Python by name."""
    copy = library(folder)
    said = subprocess.run(['objdump', '-T', copy], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    for name, version in re.findall(r'\*UND\*.*?\(?([A-Z]+_[0-9.]+)\)?\s+(\S+)$', said, re.M):
        numbers = tuple(int(n) for n in name.split('_')[1].split('.'))
        check(name.startswith('GLIBC_') and numbers <= OLDEST_LIBC, '%s needs %s' % (version, name))
    undefined = re.findall(r'\*UND\*.*\s(\S+)$', said, re.M)
    check(len(undefined) > 20 and not [name for name in undefined if re.match('_?Py', name)], 'it needs %s' % undefined)
    exported = re.findall(r'^\S+ g\s.*\.text.*\s(\S+)$', said, re.M)
    check(sorted(exported) == ['PyInit_pylu_agent', 'pylu_agent_start_again'], 'it exports %s' % exported)
    said = subprocess.run(['objdump', '-p', copy], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    needed = set(re.findall(r'NEEDED\s+(\S+)', said))
    check(needed == OWN_NEEDS, 'it needs %s' % needed)


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    suite.run('programs that are no Python', harmless)
    suite.run('symbols', symbols)
    for python in suite.interpreters():
        for case in imported, preloaded, ends, replaced, signals:
            suite.run('%s: %s' % (python.name, case.__name__), case, python, python=python)
    for python in suite.interpreters(free_threaded=True):
        suite.run('%s: refused' % python.name, refused, python, python=python, unwatched='refused')
    suite.finish()


if __name__ == '__main__':
    main()
