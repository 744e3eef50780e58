#!/usr/bin/env python3
"""pylu-bpf doctor: what it says under every way of being without a right is compared with what profile then does, and
what it says of a process with that process."""
import ctypes
import os
import re
import shutil
import struct
import subprocess
import sys

import cases
import harness
from cases import PRELUDE, case, write
from harness import Session, Skipped, Target, check

NOBODY = 65534
CAPS = {'cap_dac_read_search': 2, 'cap_sys_ptrace': 19, 'cap_sys_admin': 21, 'cap_perfmon': 38, 'cap_bpf': 39,
        'cap_checkpoint_restore': 40}
CALLS = {'process_vm_readv': 310, 'perf_event_open': 298, 'bpf': 321}   # x86-64
REGISTERS = set('rax rbx rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15'.split())
libc = ctypes.CDLL(None, use_errno=True)


class Doctor:
    """One run with -f json. `before` is called in the child before pylu-bpf starts."""

    def __init__(self, folder, *arguments, before=None, program=None, lead=(), env=None):
        def prepare():
            harness.die_with_parent()
            if before:
                before()

        path = os.path.join(folder, 'profile.json')   # what cases.main holds against the schema
        command = list(lead) + [program or harness.pylu_bpf(), 'doctor', '-f', 'json'] + list(arguments)
        with open(path, 'wb') as out:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, env=env,
                                  preexec_fn=prepare, timeout=harness.PATIENCE)
        self.errors = done.stderr.decode()
        self.status = done.returncode
        check(not self.errors, 'doctor said on stderr: %s' % self.errors)
        self.found = harness.load_json(path)
        self.host = {c['name']: c for c in self.found['host']['checks']}
        self.targets = [{c['name']: c for c in t['checks']} for t in self.found['targets']]
        check(len(self.host) >= 28, 'only %d checks of the host: %s' % (len(self.host), sorted(self.host)))
        check((self.status == 0) == self.found['works'], 'exit status %d, works %s' % (self.status, self.found['works']))
        for name, found in self.host.items():
            check(found['status'] != 'no' or not self.found['host']['works'], '%s is "no" and the host works' % name)

    def expect(self, name, status, *words, checks=None):
        found = (self.host if checks is None else checks)[name]
        check(found['status'] == status, '%s: %s, right is %s' % (name, found, status))
        for word in words:
            check(word in found['text'] or word in (found['remedy'] or ''), '%s: no %r in %s' % (name, word, found))

    def same_as_profile(self, pid, before=None, program=None):
        """Profiling must do what doctor said."""
        session = Session(['profile', '-p', str(pid), '-d', '0.1', '-f', 'folded', '**'],
                          preexec_fn=lambda: (harness.die_with_parent(), before and before()),
                          executable=program or harness.pylu_bpf())
        status = session.status()
        check(status == self.status, 'doctor ends with %d (%s), profile with %d: %s'
              % (self.status, self.found['summary'], status, session.stderr.text()))
        if status == 4:
            check('pylu-bpf doctor' in session.stderr.text(), 'profile does not point to doctor: %s' % session.stderr.text())


def reachable(folder):
    """A copy of pylu-bpf that any user may run."""
    os.chmod(folder, 0o755)
    program = os.path.join(folder, 'pylu-bpf')
    shutil.copyfile(harness.pylu_bpf(), program)
    os.chmod(program, 0o755)
    return program


def become_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def dropping(*names):
    """Root of a session that lacks these."""
    def drop():
        for name in names:
            if libc.prctl(24, CAPS[name], 0, 0, 0):    # PR_CAPBSET_DROP: gone at the next exec
                os._exit(99)
    return drop


def filtering(action, *calls):
    """A seccomp filter that answers these calls with EPERM, or kills who makes them."""
    numbers = [CALLS[call] for call in calls]
    insns = [(0x20, 0, 0, 0)]                                              # load the call's number
    insns += [(0x15, len(numbers) - i, 0, number) for i, number in enumerate(numbers)]
    insns += [(0x06, 0, 0, 0x7fff0000), (0x06, 0, 0, {'refuse': 0x50001, 'kill': 0x80000000}[action])]
    code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *insn) for insn in insns))
    program = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', len(insns), ctypes.addressof(code)))

    def install():
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program):        # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
            os._exit(99)
        return code
    return install


def idle(folder, command, **more):
    target = Target(command + [write(folder, 'target.py', PRELUDE + "def f(): return 1\ngate('ready')\n")], **more)
    target.expect('ready')
    return target


def finish(target):
    target.go()
    target.finish()


# --- the host ---

@case
def as_root(folder, python):
    doctor = Doctor(folder)
    check(doctor.status == 0, 'exit status %d: %s' % (doctor.status, doctor.found['summary']))
    for name in 'programs', 'uprobes', 'btf', 'cap_bpf', 'cap_perfmon', 'cap_sys_ptrace', 'user_namespace', 'pid_namespace':
        doctor.expect(name, 'ok')
    cost = doctor.found['host']['cost']
    check(0 < cost['ns_per_dropped_hit'] <= cost['ns_per_hit'] < cost['ns_per_stepped_hit'] < 1e6, 'cost: %s' % cost)
    check(doctor.host['kernel']['value'] == os.uname().release, 'kernel: %s' % doctor.host['kernel'])
    check(doctor.found['host']['name'] == os.uname().nodename, 'host: %s' % doctor.found['host']['name'])
    check(doctor.found['targets'] == [], 'targets: %s' % doctor.found['targets'])


@case
def as_text(folder, python):
    target = idle(folder, python.command)
    done = subprocess.run([harness.pylu_bpf(), 'doctor', '-p', str(target.pid)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    text = done.stdout.decode()
    check(done.returncode == 0 and not done.stderr, 'exit status %d: %s%s' % (done.returncode, text, done.stderr))
    check('\033' not in text, 'colours outside of a terminal')
    check(re.search(r'^process %d: .*target\.py$' % target.pid, text, re.M), 'the process is missing: %s' % text)
    check(re.search(r'^  ok       kernel  +Linux %s$' % re.escape(os.uname().release), text, re.M), 'the kernel: %s' % text)
    check(re.search(r'^  (ok|limited) +cost +a hit takes \d+\.\d\d us', text, re.M), 'the cost: %s' % text)
    check(re.search(r'^Profiling works here(, with limits: .*)?\.$', text.splitlines()[-1]), 'the end: %s' % text)
    finish(target)


@case
def without_privileges(folder, python):
    target = idle(folder, python.command)
    program = reachable(folder)
    for before, nnp in (become_nobody, False), (lambda: (libc.prctl(38, 1, 0, 0, 0), become_nobody()), True):
        doctor = Doctor(folder, '-p', str(target.pid), before=before, program=program)
        check(doctor.status == 4, 'exit status %d: %s' % (doctor.status, doctor.found['summary']))
        check(doctor.found['host']['cost'] is None, 'a cost was measured')
        for name in 'cap_bpf', 'cap_perfmon':
            doctor.expect(name, 'no', 'missing', 'run as root')
        doctor.expect('programs', 'no', 'not permitted')
        doctor.expect('uprobes', 'unknown')
        doctor.expect('no_new_privs', 'limited' if nnp else 'ok')
        doctor.expect('process', 'no', 'CAP_SYS_PTRACE', checks=doctor.targets[0])
        check('cap_bpf' in doctor.found['summary'], 'summary: %s' % doctor.found['summary'])
        doctor.same_as_profile(target.pid, before, program)
    check(not harness.text_differs(target.pid), 'the target has breakpoints')
    finish(target)


@case
def the_remedy_helps(folder, python):
    """What doctor tells a user to give to pylu-bpf is enough to profile a process of root's."""
    target = idle(folder, python.command)
    program = reachable(folder)
    remedy = Doctor(folder, before=become_nobody, program=program).host['cap_bpf']['remedy']
    found = re.search(r'setcap ([a-z_,]+)\+ep (\S+)$', remedy)
    check(found and found.group(2) == program, 'the remedy: %s' % remedy)
    bits = sum(1 << CAPS[name] for name in found.group(1).split(','))
    # What setcap writes, linux/capability.h: revision 2, effective, permitted and inheritable in two halves.
    os.setxattr(program, 'security.capability',
                struct.pack('<IIIII', 0x02000001, bits & 0xffffffff, 0, bits >> 32, 0))
    doctor = Doctor(folder, '-p', str(target.pid), before=become_nobody, program=program)
    if doctor.host['cap_bpf']['status'] == 'no' and os.statvfs(folder).f_flag & os.ST_NOSUID:
        raise Skipped('%s is mounted nosuid' % folder)
    check(doctor.status == 0, 'exit status %d: %s' % (doctor.status, doctor.found['summary']))
    doctor.same_as_profile(target.pid, become_nobody, program)
    finish(target)


@case
def one_capability_less(folder, python):
    target = idle(folder, python.command)
    effects = {'cap_bpf': ('no', 4), 'cap_perfmon': ('no', 4), 'cap_sys_ptrace': ('limited', 4),
               'cap_dac_read_search': ('limited', 0), 'cap_checkpoint_restore': ('limited', 0)}
    for name, (status, code) in effects.items():
        before = dropping(name, 'cap_sys_admin')    # which stands for some of them
        doctor = Doctor(folder, '-p', str(target.pid), before=before)
        doctor.expect(name, status, 'missing', '--cap-add')
        for other in effects:
            check(other == name or doctor.host[other]['status'] == 'ok', '%s without %s: %s' % (other, name, doctor.host[other]))
        check(doctor.status == code, 'without %s: exit status %d: %s' % (name, doctor.status, doctor.found['summary']))
        doctor.same_as_profile(target.pid, before)
    doctor = Doctor(folder, '-p', str(target.pid), before=dropping('cap_bpf', 'cap_perfmon', 'cap_checkpoint_restore'))
    doctor.expect('cap_bpf', 'ok', 'CAP_SYS_ADMIN')
    check(doctor.status == 0, 'with CAP_SYS_ADMIN: %s' % doctor.found['summary'])
    finish(target)


@case
def seccomp_filters(folder, python):
    target = idle(folder, python.command)
    for action, word in ('refuse', 'Operation not permitted'), ('kill', 'kills'):
        for call in CALLS:
            before = filtering(action, call)
            doctor = Doctor(folder, '-p', str(target.pid), before=before)
            check(doctor.host['seccomp']['value'] == 'filter', 'seccomp: %s' % doctor.host['seccomp'])
            needed = call != 'perf_event_open' or not doctor.host['uprobe_multi']['value']
            doctor.expect('call_' + call, 'no' if needed else 'limited', word, 'seccomp=unconfined')
            for other in CALLS:
                check(other == call or doctor.host['call_' + other]['status'] == 'ok', '%s with %s filtered: %s'
                      % (other, call, doctor.host['call_' + other]))
            check(doctor.status == (4 if needed else 0), '%s of %s: exit status %d: %s'
                  % (action, call, doctor.status, doctor.found['summary']))
            if action == 'refuse':
                doctor.same_as_profile(target.pid, before)
    finish(target)


@case
def namespaces_of_ours(folder, python):
    target = idle(folder, python.command)
    for lead, name in (['unshare', '-p', '-f', '--mount-proc'], 'pid_namespace'), (['unshare', '-U', '-r'], 'user_namespace'):
        if subprocess.run(lead + ['true'], stderr=subprocess.DEVNULL).returncode:
            print('SKIP: %s is not permitted here' % ' '.join(lead), flush=True)
            continue
        doctor = Doctor(folder, lead=lead)
        doctor.expect(name, 'no', 'one of its own', "host's")
        check(doctor.status in (3, 4) and name in doctor.found['summary'], '%s: exit status %d: %s'
              % (name, doctor.status, doctor.found['summary']))
        done = subprocess.run(lead + [harness.pylu_bpf(), 'profile', '**', '--', '/usr/bin/python3', '-c', ''],
                              stderr=subprocess.PIPE, timeout=harness.PATIENCE)
        check(done.returncode == doctor.status and b'pylu-bpf doctor' in done.stderr, '%s: profile ends with %d: %s'
              % (name, done.returncode, done.stderr))
    finish(target)


@case
def debug_registers(folder, python):
    """Breakpoints that somebody holds on all processors are missing from the count."""
    free = Doctor(folder).host['debug_registers']['value']
    if not free:
        raise Skipped('no hardware breakpoint can be set here')
    place = ctypes.c_uint64()
    # struct perf_event_attr up to bp_len: type 5 is a breakpoint, bp_type 2 a write; disabled.
    attr = struct.pack('IIQQQQQIIQQ', 5, 128, 0, 0, 0, 0, 1, 0, 2, ctypes.addressof(place), 8).ljust(128, b'\0')
    held = []
    try:
        for cpu in range(os.cpu_count()):
            fd = libc.syscall(CALLS['perf_event_open'], attr, -1, cpu, -1, 8)
            if fd < 0:
                raise Skipped('no breakpoint for all processes can be set here: %s' % os.strerror(ctypes.get_errno()))
            held.append(fd)
        doctor = Doctor(folder)
        doctor.expect('debug_registers', 'limited' if free <= 4 else 'ok')
        check(doctor.host['debug_registers']['value'] == free - 1, 'one of %d is held: %s'
              % (free, doctor.host['debug_registers']))
        check(doctor.status == 0, 'exit status %d' % doctor.status)
    finally:
        for fd in held:
            os.close(fd)


@case
def usage(folder, python):
    for arguments in (['-f', 'gif'], ['-f'], ['-p', 'x'], ['-p', '0'], ['--nonsense'], ['operand']):
        done = subprocess.run([harness.pylu_bpf(), 'doctor'] + arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=harness.PATIENCE)
        check(done.returncode == 2 and done.stderr and not done.stdout, '%s: exit status %d' % (arguments, done.returncode))
    for arguments in ['help'], ['doctor', '--help']:
        done = subprocess.run([harness.pylu_bpf()] + arguments, stdout=subprocess.PIPE, timeout=harness.PATIENCE)
        check(done.returncode == 0 and b'doctor' in done.stdout, '%s does not name doctor' % arguments)
    with open('/dev/full', 'wb') as full:
        done = subprocess.run([harness.pylu_bpf(), 'doctor'], stdout=full, stderr=subprocess.PIPE, timeout=harness.PATIENCE)
    check(done.returncode == 1 and b'No space left' in done.stderr, 'full: %d, %s' % (done.returncode, done.stderr))


# --- processes ---

@case
def a_process(folder, python):
    """What is said of an interpreter is so in the process, and saying it changes nothing."""
    target = idle(folder, python.command)
    cache = os.path.join(folder, 'cache')
    env = dict(os.environ, XDG_CACHE_HOME=cache)
    os.mkdir(cache)
    harness.wait_unprobed(target.pid)
    doctor = Doctor(folder, '-p', str(target.pid), env=env)
    check(doctor.status == 0, 'exit status %d: %s' % (doctor.status, doctor.found['summary']))
    check(os.listdir(cache) == [], 'doctor wrote %s' % os.listdir(cache))
    check(not harness.text_differs(target.pid), 'the target has breakpoints')
    found, checks = doctor.found['targets'][0], doctor.targets[0]
    check(found['python'] == python.text and found['pid'] == target.pid, 'it is %s' % found['python'])
    check(found['command'].endswith('target.py'), 'command: %s' % found['command'])
    new = python.version >= (3, 11)
    chosen = [b['name'] for b in found['backends'] if b['chosen'] and b['works']]
    check(chosen == ['opcode' if new else 'frame'] and len(found['backends']) == 3, 'backends: %s' % found['backends'])
    usdt = python.version >= (3, 15) and 'Name: function__entry\n' in readelf(found['build'], target.pid)
    works = {b['name']: b['works'] for b in found['backends']}
    check(works == {'opcode': new, 'frame': not new, 'usdt': usdt}, 'backends that work: %s' % works)
    check(isinstance(checks['dispatch_table']['value'], int) == new, 'table: %s' % checks['dispatch_table'])
    doctor.expect('layout', 'ok', '%d.%d' % python.version[:2], checks=checks)
    for name, ours in ('mount_namespace', python.root == '/'), ('pid_namespace', True), ('user_namespace', True):
        check(checks[name]['value'] is ours, '%s: %s' % (name, checks[name]))
    build_is_so(found['build'], target.pid)
    sites_are_so(found, target.pid)
    proof_is_so(folder, doctor, target, env, cache)
    finish(target)


def seen_from_here(path, pid):
    return '/proc/%d/root%s' % (pid, path)


def readelf(build, pid):
    return subprocess.run(['readelf', '-nSW', seen_from_here(build['path'], pid)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()


def build_is_so(build, pid):
    path = seen_from_here(build['path'], pid)
    with open(path, 'rb') as f:
        head = f.read(18)
    check(build['position_independent'] == (head[16] == 3), 'position_independent: %s' % build)
    said = readelf(build, pid)
    check('Build ID: %s' % build['build_id'] in said, 'the build-id is not %s' % build['build_id'])
    check(build['stripped'] == (' .symtab ' not in said), 'stripped: %s' % build)
    check(not build['deleted'], 'deleted: %s' % build)


def sites_are_so(found, pid):
    """The bytes at the sites' addresses in the process are those at their places in the file; emulated is what the
    kernel's list says; registers have names."""
    check(found['sites'], 'no sites')
    with open('/proc/%d/mem' % pid, 'rb') as mem, open(seen_from_here(found['build']['path'], pid), 'rb') as file:
        for site in found['sites']:
            mem.seek(site['runtime_address'])
            file.seek(site['file_offset'])
            here, there = mem.read(16), file.read(16)
            check(here == there, '%s: %s in the process, %s in the file' % (site, here.hex(), there.hex()))
            check(site['register'] in REGISTERS and site['thread_state_register'] in REGISTERS | {None}, 'registers: %s' % site)
            # nop, push, direct jmp, jcc and call, arch/x86/kernel/uprobes.c
            push = here[1:] if here[0] == 0x41 else here
            emulated = (here[0] in (0x90, 0xe8, 0xe9, 0xeb) or 0x70 <= here[0] < 0x80 or 0x50 <= push[0] < 0x58
                        or here[0] == 0x0f and 0x80 <= here[1] < 0x90)
            check(site['emulated'] == emulated, '%s at %s' % (site, here.hex()))


def proof_is_so(folder, doctor, target, env, cache):
    checks = doctor.targets[0]
    check(checks['proof']['value'] is False and 'throw-away child' in checks['proof']['text'], 'proof: %s' % checks['proof'])
    session = Session(['profile', '-p', str(target.pid), '-d', '0.1', '-f', 'folded', '**'], env=env)
    check(session.status() == 0, 'profile: %s' % session.stderr.text())
    proved = os.path.join(cache, 'pylu', 'proved')
    before = os.stat(proved), open(proved).read()
    doctor = Doctor(folder, '-p', str(target.pid), env=env)
    check(doctor.targets[0]['proof']['value'] is True, 'proof: %s' % doctor.targets[0]['proof'])
    check((os.stat(proved), open(proved).read())[1] == before[1] and os.stat(proved).st_mtime_ns == before[0].st_mtime_ns,
          'doctor wrote to the verdicts')
    harness.wait_unprobed(target.pid)


@case
def several_interpreters(folder, python):
    target = Target(python.command + ['-c', PRELUDE + """
try:
    import _interpreters as sub
except ImportError:
    import _xxsubinterpreters as sub
first, second = sub.create(), sub.create()
gate('ready')
sub.destroy(first)
gate('one')
"""])
    target.expect('ready')
    for n in 3, 2:
        checks = Doctor(folder, '-p', str(target.pid)).targets[0]
        check(checks['interpreters']['value'] == n, '%d interpreters: %s' % (n, checks['interpreters']))
        target.go()
        if n == 3:
            target.expect('one')
    target.finish()


@case
def in_other_namespaces(folder, python):
    lead = ['unshare', '-m', '-p', '-f', '--kill-child']
    if subprocess.run(lead + ['true'], stderr=subprocess.DEVNULL).returncode:
        raise Skipped('%s is not permitted here' % ' '.join(lead))
    target = idle(folder, lead + python.command)
    with open('/proc/%d/task/%d/children' % (target.pid, target.pid)) as f:
        pid = f.read().split()[0]
    doctor = Doctor(folder, '-p', pid)
    for name, ours in ('mount_namespace', False), ('pid_namespace', False), ('user_namespace', True):
        check(doctor.targets[0][name]['value'] is ours, '%s: %s' % (name, doctor.targets[0][name]))
    check(doctor.status == 0, 'exit status %d: %s' % (doctor.status, doctor.found['summary']))
    finish(target)


def make_root(folder, python):
    """A folder with a python and what it needs to start, to be its root."""
    said = subprocess.run(['ldd', python], stdout=subprocess.PIPE).stdout.decode()
    ask = 'import sys, os; print(os.path.dirname(os.__file__))'
    library = subprocess.run([python, '-I', '-c', ask], stdout=subprocess.PIPE).stdout.decode().strip()
    for path in [python] + re.findall(r'(/\S+) \(0x', said):
        os.makedirs(folder + os.path.dirname(path), exist_ok=True)
        shutil.copy(path, folder + path)
    os.makedirs(folder + library)
    for name in os.listdir(library):
        if name.endswith('.py'):
            shutil.copy(os.path.join(library, name), folder + library)
    for name in 'encodings', 'collections':
        shutil.copytree(os.path.join(library, name), os.path.join(folder + library, name))


@case
def in_another_root(folder, python):
    """A chroot that shares our mounts: the kernel shows its paths with the folder in front, and the proof's child has to
    be started without."""
    exe = os.path.realpath('/usr/bin/python3')
    root = os.path.join(folder, 'root')
    make_root(root, exe)
    os.chmod(folder, 0o755)
    target = Target(['chroot', root, exe, '-I', '-S', '-c', PRELUDE + "def f(): return 1\ngate('ready')\n"])
    target.expect('ready')
    env = dict(os.environ, XDG_CACHE_HOME=folder)
    doctor = Doctor(folder, '-p', str(target.pid), env=env)
    doctor.expect('proof', 'ok', exe + ' in its root folder', checks=doctor.targets[0])
    doctor.expect('mount_namespace', 'ok', 'ours', checks=doctor.targets[0])
    session = Session(['profile', '-p', str(target.pid), '-d', '0.1', '-f', 'folded', '**'], env=env)
    check(session.status() == 0, 'profile: %s' % session.stderr.text())
    doctor = Doctor(folder, '-p', str(target.pid), env=env)
    check(doctor.targets[0]['proof']['value'] is True, 'proof: %s' % doctor.targets[0]['proof'])
    finish(target)


@case
def of_another_user(folder, python):
    os.chmod(folder, 0o755)
    path = write(folder, 'target.py', PRELUDE + "gate('ready')\n")
    target = Target(['/usr/bin/python3', path], user=NOBODY, group=NOBODY) if sys.version_info >= (3, 9) else None
    if not target:
        raise Skipped('starting it takes Python 3.9')
    target.expect('ready')
    doctor = Doctor(folder, '-p', str(target.pid))
    doctor.expect('user', 'ok', 'another', str(NOBODY), checks=doctor.targets[0])
    finish(target)


@case
def whose_file_is_gone(folder, python):
    copy = os.path.join(folder, 'python3')
    shutil.copy(os.path.realpath('/usr/bin/python3'), copy)
    target = idle(folder, [copy])
    os.unlink(copy)
    doctor = Doctor(folder, '-p', str(target.pid))
    found = doctor.found['targets'][0]
    if found['build'] and found['build']['path'] != copy:
        raise Skipped("Debian's python3 here has its interpreter in another file")
    check(doctor.status == 0 and found['build']['deleted'], 'exit status %d: %s' % (doctor.status, found['build']))
    check(doctor.targets[0]['build']['text'].startswith(copy + ' (deleted'), 'build: %s' % doctor.targets[0]['build'])
    check(found['sites'] and doctor.targets[0]['proof']['status'] in ('ok', 'limited'), 'proof: %s' % doctor.targets[0]['proof'])
    finish(target)


@case
def that_cannot_be_profiled(folder, python):
    gone = subprocess.Popen(['true'])
    gone.wait()
    sleeper = Target(['sleep', '600'])
    target = idle(folder, python.command)
    for pids, status, word in (([gone.pid], 1, 'no process'), ([sleeper.pid], 3, 'no CPython interpreter'), ([2], 3, ' 2 '),
                               ([gone.pid, sleeper.pid, target.pid], 3, '1 of the 3 processes')):
        doctor = Doctor(folder, '-p', ','.join(map(str, pids)))
        check(doctor.status == status and word in doctor.found['summary'], '%s: exit status %d: %s'
              % (pids, doctor.status, doctor.found['summary']))
        check(doctor.found['host']['works'] and [t['pid'] for t in doctor.found['targets']] == pids, 'the list: %s' % pids)
        check(doctor.found['targets'][-1]['works'] == (pids[-1] == target.pid), '%s works' % pids[-1])
    finish(target)


@case
def unsupported_versions(folder, python):
    root = os.path.join(harness.interpreters.pyenv_root(), 'versions')
    old = [(name, os.path.join(root, name, 'bin', 'python')) for name in (os.listdir(root) if os.path.isdir(root) else [])
           if re.match(r'2\.7|3\.[0-7]\.', name)]
    old = [(name, path) for name, path in old if os.access(path, os.X_OK)]
    if not old:
        raise Skipped('no interpreter older than 3.8 found')
    for name, path in old:
        target = Target([path, '-c', PRELUDE + "gate('ready')\n"])
        target.expect('ready')
        doctor = Doctor(folder, '-p', str(target.pid))
        version = '.'.join(name.split('.')[:2])
        check(doctor.status == 3 and version in doctor.found['summary'], '%s: exit status %d: %s'
              % (name, doctor.status, doctor.found['summary']))
        refused = [c for c in doctor.targets[0].values() if c['status'] == 'no']
        check(len(refused) == 1 and 'Supported' in refused[0]['remedy'], '%s: %s' % (name, refused))
        finish(target)


if __name__ == '__main__':
    # The others do not depend on the version.
    cases.main(__doc__, once=set(cases.CASES) - {a_process, several_interpreters})
