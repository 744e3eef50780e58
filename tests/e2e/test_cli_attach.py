#!/usr/bin/python3
"""pylu-cli attach, run and detach: the agent comes into processes that were not prepared for it, once and again, and goes; what pylu-cli
says when it cannot; that it may be killed at any moment. How threads are sent off is tried in test_agent_inject.py."""
import os
import random
import re
import shutil
import signal
import subprocess
import time

import harness
from agents import Work, cli, cli_json, library, pylu_cli, write
from harness import PATIENCE, Skipped, Suite, Target, check, die_with_parent, running

PROGRAM = os.path.join(harness.TARGETS, 'attached.py')
WITHOUT_AGENT = 1  # exit status
REPORTED = r'process %d: the agent reported in \(agent \S+, Python %s\); thread \d+, in .*, stood still for [\d.]+ ms'


def start(python, mode, **more):
    target = Target(more.pop('prefix', []) + python.command + [PROGRAM, mode], **more)
    target.expect('ready')
    return target


def done(target):
    target.go()
    target.expect('done')
    target.finish()


def libraries(pid):
    with open('/proc/%d/maps' % pid) as f:
        return {line.split(None, 5)[5] for line in f if '/libpylu_agent' in line}


def left_over(folders=('/tmp', '/var/tmp', '/dev/shm', '/run')):
    return {os.path.join(f, name) for f in folders for name in os.listdir(f) if name.startswith('libpylu_agent-')}


def is_static(program):
    return 'INTERP' not in subprocess.run(['readelf', '-lW', program], stdout=subprocess.PIPE, text=True).stdout


def has_ring(pid):
    for number in os.listdir('/proc/%d/fd' % pid):
        try:
            if os.readlink('/proc/%d/fd/%s' % (pid, number)).startswith('/memfd:pylu-agent'):
                return True
        except FileNotFoundError:  # it was closed meanwhile
            pass
    return False


def reported(python, target, said):
    check(re.match(REPORTED % (target.pid, re.escape(python.text)), said), 'it says %r' % said)


def and_again(folder, python, mode):
    before = left_over()
    target = start(python, mode)
    reported(python, target, cli('attach', '-p', target.pid).out)
    check(left_over() <= before, 'the copy of the library is left: %r' % left_over())
    check('there is an agent in it already' in cli('attach', '-p', target.pid).out, 'it was brought in twice')
    check(cli_json('ls', '-p', target.pid)['processes'][0].get('patches', []) == [], 'there are patches')
    for _ in range(5):
        check(cli('detach', '-p', target.pid).out == 'process %d: the agent has ended\n' % target.pid, 'detach')
        cli('ls', '-p', target.pid, status=WITHOUT_AGENT)
        reported(python, target, cli('attach', '-p', target.pid).out)
    check(len(libraries(target.pid)) == 1, 'more than one library: %r' % libraries(target.pid))
    done(target)


def with_patches(folder, python):
    """detach refuses to leave a patched process alone. The library is there already, since the program imported it."""
    work = Work(folder, python)
    fix = write(folder, 'fix.py', 'def total(items, discount=0):\n    return "new"\n')
    cli('redefine', '-p', work.pid, 'cli_shop.total', fix)
    cli('detach', '-p', work.pid, status=1)
    work.expect_value('shop.total([1, 2])', 'new')
    cli('detach', '-p', work.pid, '--revert')
    work.expect_value('shop.total([1, 2])', 3)
    reported(python, work, cli('attach', '-p', work.pid).out)
    check(not libraries(work.pid), 'it was brought in, and was there')
    cli('redefine', '-p', work.pid, 'cli_shop.total', fix)
    work.expect_value('shop.total([1, 2])', 'new')


def killed(folder, python, mode):
    """At any moment: what it has begun comes to an end without it."""
    before = left_over()
    target = start(python, mode)
    chance = random.Random(1)
    for _ in range(12):
        command = subprocess.Popen([pylu_cli(), 'attach', '-p', str(target.pid)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
        time.sleep(chance.random() * 0.012)
        command.kill()
        command.wait()
    cli('attach', '-p', target.pid)
    cli('ls', '-p', target.pid)
    done(target)
    for path in left_over() - before:
        os.unlink(path)


def killed_at_once(folder, python):
    """When the thread has just been sent: the agent comes all the same, and takes its file away itself."""
    before = left_over()
    target = start(python, 'poll')
    agent = os.environ.get('PYLU_AGENT') or os.path.join(harness.ROOT, 'build', 'agent', 'libpylu_agent.so')
    done_with = subprocess.run([harness.tool('inject_lib'), str(target.pid), agent, '1', '4'], stderr=subprocess.PIPE)
    check(done_with.returncode == -signal.SIGKILL, done_with.stderr)
    deadline = time.monotonic() + PATIENCE
    while not has_ring(target.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    check('there is an agent in it already' in cli('attach', '-p', target.pid).out, 'it did not come')
    check(left_over() <= before, 'its file is left')
    done(target)


def other_user(folder, python):
    def drop():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        die_with_parent()
    target = start(python, 'poll', preexec_fn=drop)
    reported(python, target, cli('attach', '-p', target.pid).out)
    done(target)


def refused(folder, python):
    target = start(python, 'poll')
    os.kill(target.pid, signal.SIGSTOP)
    while open('/proc/%d/stat' % target.pid).read().rsplit(')', 1)[1].split()[0] != 'T':
        time.sleep(0.001)
    said = cli('attach', '-p', target.pid, '--wait', '0.1', status=1).errors
    check('nothing was done to it' in said and 'it is stopped' in said, said)
    os.kill(target.pid, signal.SIGCONT)
    prefix = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    if subprocess.run(prefix + [pylu_cli(), '--version'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        cli('attach', '-p', target.pid, prefix=prefix, status=4)
    check(not libraries(target.pid), 'it was brought in')
    done(target)
    sleeper = subprocess.Popen(['sleep', '1000'], preexec_fn=die_with_parent)
    running.append(sleeper)
    cli('attach', '-p', sleeper.pid, status=3)
    cli('attach', status=2)
    cli('attach', '-p', sleeper.pid, '--agent', folder + '/nothing', status=1)


def run_with(folder, python):
    """The program, started by a shell, and without site. What it needs is in a folder that is in every root."""
    if python.root != '/' and not is_static(pylu_cli()):
        raise Skipped('pylu-cli is linked dynamically, and may not start in another root')
    log = os.path.join(folder, 'log')
    shutil.copy(pylu_cli(), os.path.join(folder, 'pylu-cli'))
    agent = os.path.join(library(folder), 'libpylu_agent.so')
    os.rename(os.path.join(folder, 'pylu_agent.so'), agent)
    target = Target(python.command[:-1] + [os.path.join(folder, 'pylu-cli'), 'run', '--agent', agent, '--log', log, '--', 'sh', '-c',
                                           '"$@" && true', 'sh', python.command[-1], '-I', '-S', PROGRAM, 'poll'])
    target.expect('ready')
    with open('/proc/%d/task/%d/children' % (target.pid, target.pid)) as f:
        (child,) = f.read().split()
    check(not has_ring(target.pid), 'the shell has an agent')
    deadline = time.monotonic() + PATIENCE
    while subprocess.run([pylu_cli(), 'ls', '-p', child], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        check(time.monotonic() < deadline, 'no agent came')
        time.sleep(0.01)
    check(has_ring(int(child)), 'the program has no ring')
    cli('detach', '-p', child)
    with open(log) as f:
        check('detach' in f.read(), 'the log says nothing of it')
    done(target)


def run_without(folder, python):
    check('there is no command' in cli('run', '--', 'no-such-command', status=127).errors, 'no command')
    cli('run', status=2)
    odd = os.path.join(folder, 'a b')
    os.mkdir(odd)
    shutil.copy(os.path.join(library(folder), 'pylu_agent.so'), odd + '/libpylu_agent.so')
    check('blanks and colons' in cli('run', '--agent', odd + '/libpylu_agent.so', '--', 'true', status=1).errors, 'blank')
    suid = os.path.join(folder, 'suid')
    shutil.copy('/bin/true', suid)
    os.chown(suid, 65534, -1)
    os.chmod(suid, 0o4755)
    check("under another user's" in cli('run', '--', suid, status=3).errors, 'setuid')
    if is_static(pylu_cli()):
        check('is linked statically' in cli('run', '--', pylu_cli(), status=3).errors, 'static')
    script = write(folder, 'script', '#!%s\n' % suid)
    os.chmod(script, 0o755)
    check("under another user's" in cli('run', '--', script, status=3).errors, 'script')
    check(cli('run', '--', 'sh', '-c', 'echo $LD_PRELOAD; exit 7', status=7).out.strip().endswith('libpylu_agent.so'), 'preload')


def may_run(python):
    command = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] + python.command + ['-S', '-c', '']
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def main():
    suite = Suite(__doc__.splitlines()[0])
    suite.start()
    found = suite.interpreters()
    for python in found:
        for mode in 'busy', 'poll', 'threads':
            suite.run('%s: %s' % (python.name, mode), and_again, python, mode, python=python)
        suite.run('%s: run' % python.name, run_with, python, python=python)
    for python in (found[:1] + found[-1:] if len(found) > 1 else found):
        suite.run('%s: killed, busy' % python.name, killed, python, 'busy')
        suite.run('%s: killed, poll' % python.name, killed, python, 'poll')
        suite.run('%s: killed at once' % python.name, killed_at_once, python)
        suite.run('%s: detach with patches' % python.name, with_patches, python)
    for python in found[:1]:
        suite.run('%s: refused' % python.name, refused, python)
        suite.run('%s: run without' % python.name, run_without, python)
    public = [python for python in found if python.root == '/' and may_run(python)][:1]
    for python in public:
        suite.run('%s: another user' % python.name, other_user, python)
    if not public:
        suite.note_skip('no interpreter that another user may run')
    suite.finish()


if __name__ == '__main__':
    main()
