#!/usr/bin/env python3
"""Functions change while threads call them as fast as they can: each call sees the old or the new function whole. And who changes
them is killed, and who is changed forks and ends, at any moment."""
import json
import os
import random
import subprocess

import agents
import harness
from harness import Suite, Target, check, ended

TARGET = os.path.join(harness.TARGETS, 'agent_stress.py')
PATCH = '''
from pylu import redefine

@redefine('__main__.work')
def work(a='new', *, k='new'):
    """new"""
    return 'new', a, k

@redefine('__main__.first')
def first(a='new'):
    return 'new', a

@redefine('__main__.second')
def second(a='new'):
    return 'new', a

@redefine('__main__.Shop.price')
def price(self, a='new', *, k='new'):
    return 'new', a, k
'''


class Stressed:
    """A target of agent_stress.py with its agent, and the patch for it in a file."""

    def __init__(self, folder, python, *how):
        self.patch = os.path.join(folder, 'patch.py')
        with open(self.patch, 'w') as f:
            f.write(PATCH)
        environment = dict(os.environ, PYTHONPATH=agents.library(folder), PYTHONDONTWRITEBYTECODE='1')
        self.target = Target(python.command + [TARGET] + list(how), env=environment)
        self.pid = str(self.target.pid)
        self.target.expect('ready')

    def cycle(self, count):
        """Applies the patch and takes it back, so many times."""
        done = subprocess.run([harness.tool('agent_cycle'), self.pid, self.patch, str(count)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=harness.PATIENCE + count)
        check(done.returncode == 0, 'agent_cycle ended with %d: %s' % (done.returncode, done.stderr.decode('utf-8', 'replace')))
        return json.loads(done.stdout)

    def command(self, *arguments):
        return [agents.pylu_cli(), arguments[0], '-p', self.pid] + list(arguments[1:])

    def run(self, *arguments):
        done = subprocess.run(self.command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=harness.PATIENCE)
        return done.returncode, done.stderr.decode('utf-8', 'replace')

    def told(self):
        """Ends its work, and says what it counted."""
        self.target.go()
        said = json.loads(self.target.expect('done'))
        self.target.finish()
        return said


def whole(said):
    check(not said['errors'], 'calls raised %s' % said['errors'])
    check(not said['neither'], 'neither old nor new: %s' % said['neither'])
    check(not said['idle'], '%d threads never called' % said['idle'])


def called(folder, python, how, count):
    stressed = Stressed(folder, python, *how)
    stressed.cycle(count)
    said = stressed.told()
    whole(said)
    check(said['old'] and said['new'], 'one of the two was never seen: %s' % said)
    return '%d calls while it changed %d times, %d saw the new' % (said['old'] + said['new'], 2 * count, said['new'])


def forks(folder, python, count):
    """The agent of a child starts while the parent's is at work."""
    stressed = Stressed(folder, python, 'forks')
    stressed.cycle(count)
    said = stressed.told()
    check(not said['bad'] and said['forks'], 'of %d children some ended with %s' % (said['forks'], said['bad']))
    return '%d forks' % said['forks']


def exits(folder, python, rounds):
    """Wherever the change is when the program ends, that is a good end, and pylu-cli has an answer."""
    chance = random.Random(1)
    for _ in range(rounds):
        stressed = Stressed(folder, python, 'exits')
        client = subprocess.Popen([harness.tool('agent_cycle'), stressed.pid, stressed.patch, '100000'], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
        harness.running.append(client)
        try:
            client.wait(chance.uniform(0, 0.2))
        except subprocess.TimeoutExpired:
            pass
        stressed.target.go()
        stressed.target.finish()
        said = client.communicate(timeout=harness.PATIENCE)[1].decode('utf-8', 'replace')
        check(client.returncode == 1 and said.strip(), 'the client ended with %d and said %r' % (client.returncode, said))


def killed(folder, python, rounds):
    """What a client that is killed has changed is changed as a whole, and is taken back by the lease or by hand."""
    chance = random.Random(2)
    stressed = Stressed(folder, python, 'mixed')
    cut = 0
    for _ in range(rounds):
        client = subprocess.Popen(stressed.command('patch', stressed.patch), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        harness.running.append(client)
        try:
            client.wait(chance.uniform(0, 0.3))
        except subprocess.TimeoutExpired:
            cut += 1
        client.kill()
        ended(client, 'pylu-cli')
        status, said = stressed.run('revert', 'all')
        check(status in (0, 1), 'revert after that ended with %d: %s' % (status, said))
    status, said = stressed.run('patch', stressed.patch)
    check(status == 0, 'patch after that ended with %d: %s' % (status, said))
    whole(stressed.told())
    return '%d of %d were killed before their end' % (cut, rounds)


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('--cycles', type=int, default=60, help='how often each is applied and taken back (default 60)')
    suite.parser.add_argument('--rounds', type=int, default=5, help='programs that end, and clients that are killed (default 5)')
    arguments = suite.start(needs_root=False)
    for python in suite.interpreters():
        for how in (['mixed'], ['mixed', 'hook'], ['pairs'], ['pairs', 'hook']):
            suite.run('%s: %s' % (python.name, ' '.join(how)), called, python, how, arguments.cycles, python=python)
        suite.run('%s: forks' % python.name, forks, python, arguments.cycles, python=python)
        suite.run('%s: exits' % python.name, exits, python, arguments.rounds, python=python)
        suite.run('%s: killed clients' % python.name, killed, python, arguments.rounds, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
