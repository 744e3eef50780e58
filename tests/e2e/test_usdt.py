#!/usr/bin/env python3
"""The backend usdt: what the kernel writes into the target and takes back, and what is refused. That its counts are exact
is for the other suites to show: they take --backend usdt."""
import os
import re
import signal
import struct
import subprocess
import time

import cases
import harness
from cases import Result, case, jit_flag_offset, jit_on, sound, start
from harness import Session, Skipped, check

USDT = ['--backend', 'usdt']

def readelf(option, file):
    done = subprocess.run(['readelf', '-W', option, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, env=dict(os.environ, LC_ALL='C'))
    return done.stdout


class Counters:
    """The two counters in the memory of processes that run one interpreter."""

    def __init__(self, pid):
        """Finds the file of the interpreter in a process, and where in it the counters are."""
        for path, (start_address, file) in mapped(pid).items():
            notes = re.findall(r'Provider: python\s+Name: (function__\w+)\s+Location: \w+, Base: \w+, Semaphore: (\w+)',
                               readelf('-n', file))
            if notes:
                self.path = path
                self.addresses = [int(address, 16) for name, address in sorted(notes)]
                loads = re.findall(r'^\s*LOAD\s+(\w+)\s+(\w+)', readelf('-l', file), re.M)
                self.base = min(int(address, 16) - int(offset, 16) for offset, address in loads)
                return
        raise Skipped('the interpreter was not built with static probes')

    def of(self, pid):
        bias = mapped(pid)[self.path][0] - self.base
        with open('/proc/%d/mem' % pid, 'rb') as mem:
            out = []
            for address in self.addresses:
                mem.seek(address + bias)
                out += struct.unpack('<H', mem.read(2))
            return out

    def wait_for(self, pid, wanted):
        """The kernel takes them back in its own time."""
        deadline = time.monotonic() + harness.PATIENCE
        while self.of(pid) != wanted:
            check(time.monotonic() < deadline, 'the counters of %d are %s, not %s' % (pid, self.of(pid), wanted))
            time.sleep(0.02)


def mapped(pid):
    """The files that process `pid` has mapped from their beginning: {path: (address, a name that opens that very file)}."""
    out = {}
    with open('/proc/%d/maps' % pid) as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith('/') and int(fields[2], 16) == 0:
                path = fields[5].strip()
                low, high = (int(x, 16) for x in fields[0].split('-'))
                out.setdefault(path, (low, '/proc/%d/map_files/%x-%x' % (pid, low, high)))
    return out


def elsewhere(session):
    """Whether the probes are in other processes of that interpreter too: older kernels cannot limit them."""
    return any('in every process' in text for process in session['processes'] for text in process['warnings'])


TARGET = '''
def f(): return 1
def gen():
    yield f()
    yield f()
gate('ready')
while True:
    for i in range(1000): f()
    for i in range(100): list(gen())
    gate('again')
'''
ONE_TURN = {'f': 1200, 'gen': 100}


def turn(target):
    target.go()
    target.expect('again')


def begin(folder, python, text=TARGET, name='target.py', **more):
    target, path = start(folder, python, text, name, **more)
    target.expect('ready')
    return target, path


def session(folder, target, name='profile.json', arguments=('**',)):
    return Session(['-p', str(target.pid)] + USDT + list(arguments), os.path.join(folder, name)).watching()


def expect_turns(profile, path, turns, pid=None):
    sound(profile, False)
    result = Result(profile, path, pid)
    result.expect({name: count * turns for name, count in ONE_TURN.items()})
    result.expect({name: count * turns for name, count in ONE_TURN.items()}, 'complete')
    check({process['backend'] for process in profile['processes']} == {'usdt'}, 'another backend')


@case
def counters_are_taken_back(folder, python):
    target, path = begin(folder, python)
    other, _ = begin(folder, python)
    counters = Counters(target.pid)
    for turns in 1, 2:
        check(counters.of(target.pid) == [0, 0], 'before: %s' % counters.of(target.pid))
        watching = session(folder, target)
        check(counters.of(target.pid) == [1, 1], 'while it is watched: %s' % counters.of(target.pid))
        bystander = counters.of(other.pid)
        for i in range(turns):
            turn(target)
        turn(other)
        profile = watching.stop()
        counters.wait_for(target.pid, [0, 0])
        counters.wait_for(other.pid, [0, 0])
        harness.wait_unprobed(target.pid)
        check(elsewhere(profile) or bystander == [0, 0], 'of a process that is not watched: %s' % bystander)
        expect_turns(profile, path, turns)
        turn(target)
    check('the kernel writes' in profile['processes'][0]['why'], 'why: %r' % profile['processes'][0]['why'])
    check(len(profile['processes']) == 1, '%d processes' % len(profile['processes']))


@case
def counters_are_taken_back_when_we_are_killed(folder, python):
    target, path = begin(folder, python)
    counters = Counters(target.pid)
    watching = session(folder, target, 'killed.json')
    turn(target)
    check(counters.of(target.pid) == [1, 1], 'while it is watched: %s' % counters.of(target.pid))
    watching.process.send_signal(signal.SIGKILL)
    watching.status()
    counters.wait_for(target.pid, [0, 0])
    harness.wait_unprobed(target.pid)
    turn(target)


@case
def two_sessions_at_once(folder, python):
    target, path = begin(folder, python)
    counters = Counters(target.pid)
    first = session(folder, target, 'first.json')
    turn(target)
    second = session(folder, target, 'second.json')
    turn(target)
    expect_turns(first.stop(), path, 2)
    check(0 not in counters.of(target.pid), 'the counters went with the first session')
    turn(target)
    expect_turns(second.stop(), path, 2)
    counters.wait_for(target.pid, [0, 0])


FORKS = '''
import signal
def f(): return 1
def gen():
    yield f()
    yield f()
def turn():
    for i in range(1000): f()
    for i in range(100): list(gen())
gate('ready')
turn()
r, w = os.pipe()
pid = os.fork()
if not pid:
    turn()
    os.write(w, b'.')
    signal.pause()
os.read(r, 1)
gate('forked', pid)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
gate('done')
'''


def forks(folder, python, tree):
    target, path = begin(folder, python, FORKS)
    counters = Counters(target.pid)
    watching = Session(['--tree' if tree else '-p', str(target.pid)] + USDT + ['**'],
                       os.path.join(folder, 'profile.json')).watching()
    target.go()
    child = int(target.expect('forked'))
    profile = watching.stop()
    for pid in target.pid, child:
        counters.wait_for(pid, [0, 0])
        harness.wait_unprobed(pid)
    expect_turns(profile, path, 1, target.pid)
    if tree:
        expect_turns(profile, path, 2)
    target.go()
    target.expect('done')
    target.go()
    target.finish()
    check(len(profile['processes']) == 1 + tree, '%d processes' % len(profile['processes']))


@case
def a_forked_child(folder, python):
    forks(folder, python, False)


@case
def a_forked_child_that_is_watched(folder, python):
    forks(folder, python, True)


HOT = '''
def leaf(x): return x + 1
def main():
    t = 0
    for i in range(20000): t += leaf(i)
    return t
'''


def expect_refusal(watching, folder):
    status, said = watching.status(), watching.stderr.text()
    check(status == 3 and 'the JIT compiler is on' in said and 'Without --backend' in said, 'exit status %d: %s' % (status, said))
    check(not os.path.exists(os.path.join(folder, 'profile.json')), 'a profile was written all the same')


@case
def the_jit_is_refused(folder, python):
    cases.needs_jit(python)
    target, _ = begin(folder, python, HOT + 'main()\ngate("ready")\nmain()\ngate("done")\n', env=jit_on())
    watching = Session(['-p', str(target.pid)] + USDT + ['**'], os.path.join(folder, 'profile.json'))
    expect_refusal(watching, folder)
    target.go()
    target.expect('done')
    target.go()
    target.finish()


@case
def the_jit_of_a_command_is_refused(folder, python):
    """It is switched on while the interpreter starts, after its first calls."""
    cases.needs_jit(python)
    path = cases.write(folder, 'command.py', HOT + 'main()\n')
    watching = cases.run_command(folder, python, USDT + ['**'], path, env=jit_on())
    expect_refusal(watching, folder)


@case
def a_jit_that_comes_later_is_refused(folder, python):
    """Before the result, if it does not come to it sooner."""
    cases.needs_jit(python)
    target, _ = begin(folder, python, HOT + '''
import ctypes
ctypes.pythonapi.PyInterpreterState_Get.restype = ctypes.c_void_p
flag = ctypes.c_ubyte.from_address(ctypes.pythonapi.PyInterpreterState_Get() + %d)
assert flag.value == 0, flag.value
gate('ready')
main()
flag.value = 1
exec('def new(): pass\\nnew()')
flag.value = 0
gate('done')
''' % jit_flag_offset(python))
    watching = session(folder, target)
    target.go()
    target.expect('done')
    watching.interrupt()
    expect_refusal(watching, folder)
    target.go()
    target.finish()


# The interpreter's file, with a slot of each opcode table that no opcode has changed: the interpreter never looks at it, and
# the table is no longer told from others.
WITHOUT_TABLE = '''
import opcode, struct
from _opcode_metadata import _specialized_opmap
if len(sys.argv) == 1:
    with open(sys.executable, 'rb') as f:
        file = bytearray(f.read())
    used = {n for n in list(opcode.opmap.values()) + list(_specialized_opmap.values()) if n < 256}
    unused = [n for n in range(256) if n not in used]
    if struct.unpack_from('<H', file, 16)[0] != 2:
        gate('made', 0)
        sys.exit()
    first, last, spoilt = unused[0], unused[-1], 0
    at, = struct.unpack_from('<Q', file, 32)
    for header in range(struct.unpack_from('<H', file, 56)[0]):
        kind, flags, offset, _, _, size = struct.unpack_from('<IIQQQQ', file, at + 56 * header)
        if kind != 1 or flags & 1:  # loaded, and no code
            continue
        words = memoryview(file)[offset:offset + size // 8 * 8].cast('Q')
        for at_word in range(len(words) - 255):
            shared = words[at_word + first]
            if shared and shared == words[at_word + last] and all(words[at_word + n] == shared for n in unused) and \\
                    len(set(words[at_word:at_word + 256])) > 90:
                words[at_word + last] = words[at_word + min(used)]
                spoilt += 1
        words.release()
    assert spoilt
    copy = os.path.join(os.path.dirname(sys.argv[0]), 'python3')
    with open(copy, 'wb') as f:
        f.write(file)
    os.chmod(copy, 0o755)
    os.environ['PYTHONHOME'] = sys.prefix
    gate('made', spoilt)
    os.execv(copy, [copy, sys.argv[0], 'copy'])
'''


@case
def without_a_dispatch_table(folder, python):
    target, path = start(folder, python, WITHOUT_TABLE + TARGET)
    made = target.expect('made')
    target.go()
    if made == '0':
        target.finish()
        raise Skipped('the table of %s is made of relocations' % python.path)
    target.expect('ready')
    watching = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json')).watching()
    turn(target)
    profile = watching.stop()
    expect_turns(profile, path, 1)
    why = profile['processes'][0]['why']
    check('opcode handlers of this build were not found' in why and 'the kernel writes' in why, 'why: %r' % why)
    refused = Session(['-p', str(target.pid), '--backend', 'opcode', '**'], os.path.join(folder, 'opcode.json'))
    status = refused.status()
    check(status == 3 and 'opcode dispatch table' in refused.stderr.text(), 'exit status %d: %s'
          % (status, refused.stderr.text()))


@case
def refused_before_3_15(folder, python):
    """Most builds have no such probes; Debian's 3.11 has some that do not fire at every call."""
    target, _ = start(folder, python, 'def f(): pass\ngate("ready")\nf()\n')
    target.expect('ready')
    watching = Session(['-p', str(target.pid)] + USDT + ['**'], os.path.join(folder, 'profile.json'))
    status, said = watching.status(), watching.stderr.text()
    check(status == 3 and re.search(r'has no static probes of calls|serve from Python 3\.15 on only', said),
          'exit status %d: %s' % (status, said))
    target.go()
    target.finish()
    return said.splitlines()[0].partition('build ')[2].partition(' ')[2]


if __name__ == '__main__':
    cases.main(__doc__, suits=lambda function, python: (function is refused_before_3_15) == (python.version < (3, 15)))
