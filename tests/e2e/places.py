"""places: targets in unusual places (copies of an interpreter, other users, other namespaces and roots) and whether their
build was proved. Knows how such a place is made and left; what is counted there is the tests' business.
"""
import json
import os
import shutil
import subprocess

import harness
from harness import Failed, Session, Skipped, check

NOBODY = 65534
ASK = '''
import json, os, sys
with open('/proc/self/maps') as maps:
    library = [line.split()[-1] for line in maps if '/libpython' in line]
print(json.dumps([os.path.realpath(sys.executable), library[0] if library else None, os.path.dirname(os.__file__)]))
'''


def files(python):
    """The executable, the libpython (or None) and the standard library of an interpreter of this root."""
    if python.root != '/':
        raise Skipped('%s has a root of its own' % python.path)
    done = subprocess.run([python.path, '-I', '-c', ASK], stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    if found[0] != os.path.realpath(python.path):
        raise Skipped('%s only starts another file' % python.path)
    return found


class Copy:
    """A copy of an interpreter, its libpython too, in a folder that all users may enter. It uses the original's library."""

    def __init__(self, python, folder):
        exe, library, stdlib = files(python)
        self.prefix = os.path.join(folder, 'copy')
        self.exe = os.path.join(self.prefix, 'bin', os.path.basename(exe))
        self.library = library and os.path.join(self.prefix, 'lib', os.path.basename(library))
        self.stdlib = os.path.join(self.prefix, 'lib', 'python%d.%d' % python.version[:2])
        os.makedirs(os.path.dirname(self.exe))
        os.makedirs(os.path.dirname(self.stdlib))
        shutil.copy(exe, self.exe)
        if library:
            shutil.copy(library, self.library)
        os.symlink(stdlib, self.stdlib)
        open_to_all(folder)
        self.env = dict(os.environ, PYTHONDONTWRITEBYTECODE='1')
        if library:
            self.env['LD_LIBRARY_PATH'] = os.path.dirname(self.library)

    @property
    def interpreter(self):
        """The file that holds the interpreter."""
        return self.library or self.exe


# What a standard library may do when the child of a proof, and no other, loads its first module.
IN_CHILD = '''
import posix as _posix
_fd = _posix.open('/proc/self/cmdline', 0)
if b'pylu_trial' in _posix.read(_fd, 1 << 20):
%s
_posix.close(_fd)
'''
TELL = '''
    _said = _posix.read(_posix.open('/proc/self/status', 0), 1 << 16)
    for _name in 'net', 'pid', 'ipc':
        _said += b'ns_' + _name.encode() + b':\\t' + _posix.readlink('/proc/self/ns/' + _name).encode() + b'\\n'
    try:
        _posix.write(_posix.open(%r, _posix.O_WRONLY | _posix.O_CREAT), b'x')
        _said += b'wrote:\\tyes\\n'
    except OSError:
        _said += b'wrote:\\tno\\n'
    _posix.write(_posix.open(%r, 1), _said)
'''


def library_for_child(path, stdlib, text):
    """A standard library that is as another, but runs `text` (indented) in children of proofs."""
    os.mkdir(path)
    for name in os.listdir(stdlib):
        if name != 'encodings':
            os.symlink(os.path.join(stdlib, name), os.path.join(path, name))
    encodings = os.path.join(path, 'encodings')
    os.mkdir(encodings)
    for name in os.listdir(os.path.join(stdlib, 'encodings')):
        if name.endswith('.py'):
            shutil.copy(os.path.join(stdlib, 'encodings', name), encodings)
    with open(os.path.join(encodings, '__init__.py'), 'a') as f:
        f.write(IN_CHILD % text)


class TellingLibrary:
    """A standard library in which the child of a proof tells about itself as soon as it starts."""

    def __init__(self, folder, stdlib):
        self.path = os.path.join(folder, 'telling')
        self.written = os.path.join(folder, 'written')
        pipe = os.path.join(folder, 'pipe')
        os.mkfifo(pipe)
        os.chmod(pipe, 0o666)
        self.reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        library_for_child(self.path, stdlib, TELL % (self.written, pipe))

    def said(self):
        """What it told: the fields of /proc/self/status and some."""
        try:
            return dict(line.split(':\t', 1) for line in os.read(self.reader, 1 << 16).decode().splitlines())
        except BlockingIOError:
            raise Failed('the child did not come to its library')
        finally:
            os.close(self.reader)


def open_to_all(folder):
    os.chmod(folder, 0o755)


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]


def python_below(pid):
    """The process that has Python's standard input, at the end of a chain of starters."""
    while children(pid):
        pid = children(pid)[0]
    return pid


def become(uid):
    def drop():
        harness.die_with_parent()
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        harness.die_with_parent()  # is forgotten when the user changes
    return drop


def fresh(folder, name='cache'):
    """An environment for pylu-bpf in which nothing was proved before, and in which it says what it tries."""
    path = os.path.join(folder, name)
    os.makedirs(path, exist_ok=True)
    return dict(os.environ, XDG_CACHE_HOME=path, PYLU_DEBUG='1')


def session(folder, arguments, name='cache'):
    return Session(arguments, os.path.join(folder, 'profile.json'), env=fresh(folder, name))


def warnings(profile):
    return [text for process in profile['processes'] for text in process['warnings']]


def check_proved(at, profile):
    """The build was proved on a child, in this session."""
    found = [text for text in warnings(profile) if 'no trial child' in text]
    check(not found, 'it was not proved: %s' % found)
    check('the trial of a child took' in at.stderr.text(), 'no trial was made: %s' % at.stderr.text())
    took = [line.split()[-2] for line in at.stderr.lines if 'the trial of a child took' in line]
    return 'proved in %s ms' % took[0]


def check_unproved(at, profile, words):
    """It was not, and the result says so and why."""
    found = [text for text in warnings(profile) if 'no trial child' in text]
    check(found, 'nothing is said of a proof that cannot have been made: %s' % warnings(profile))
    check(words in found[0], 'not %r but: %s' % (words, found[0]))
    return 'unproved: ' + words


def run(command, **more):
    """Runs a program that prepares something. Its output."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=harness.PATIENCE, **more)
    if done.returncode:
        raise Failed('%s ended with %d: %s' % (' '.join(command), done.returncode, done.stdout.decode('utf-8', 'replace')))
    return done.stdout.decode('utf-8', 'replace')


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skipped('%s is not installed' % program)


def need_namespaces(*flags):
    need('unshare')
    done = subprocess.run(['unshare'] + list(flags) + ['true'], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    if done.returncode:
        raise Skipped('no namespaces here: %s' % done.stderr.decode().strip())


def make_root(folder, python, proc=True):
    """A script that turns folder/root into a root file system with a system's /usr and the interpreter's files in other
    places than here, in a mount namespace of its own, and goes on with its arguments. Its text and the interpreter's
    command inside."""
    exe, library, stdlib = files(python)
    root = os.path.join(folder, 'root')
    os.mkdir(root)
    open_to_all(folder)
    binds = [('/usr', 'usr'), (os.path.dirname(exe), 'opt/py/bin'), (stdlib, 'opt/py/lib/%s' % os.path.basename(stdlib)),
             (folder, 'work')]
    lines = ['set -e', 'mount --make-rprivate /', 'mount -t tmpfs none %s' % root, 'chmod 755 %s' % root]
    inside = ['/opt/py/bin/%s' % os.path.basename(exe)]
    lines += ['for name in bin lib lib64; do ln -s usr/$name %s/$name; done' % root]
    if library:
        # Its own folder: in the original's the standard library lies.
        binds.append((os.path.dirname(library), 'opt/py/libpython'))
        inside = ['/usr/bin/env', 'LD_LIBRARY_PATH=/opt/py/libpython'] + inside
    for source, target in binds:
        lines.append('mkdir -p %s/%s; mount --bind %s %s/%s' % (root, target, source, root, target))
    lines.append('mkdir -p %s/tmp %s/proc %s/dev' % (root, root, root))
    if proc:
        lines.append('mount -t proc proc %s/proc' % root)
    lines.append('exec "$@"')
    return root, '\n'.join(lines), inside


