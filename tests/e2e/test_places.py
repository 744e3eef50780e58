#!/usr/bin/env python3
"""Targets under other users, in other namespaces and other roots: counted exactly, and proved where their interpreter can be
started there."""
import os
import subprocess

import cases
import places
from cases import PRELUDE, Result, case, sound, write
from harness import Skipped, Target, check

PROGRAM = PRELUDE + '''
def f(): return 1
def gen():
    yield f()
    yield f()
gate('ready', os.getpid())
for i in range(1000):
    f(); list(gen())
gate('done')
'''
RIGHT = {'f': 3000, 'gen': 1000}


def program(folder):
    path = write(folder, 'target.py', PROGRAM)
    places.open_to_all(folder)
    return path


def profile(folder, target, pid, path, outside=None):
    """Counts a target that has said 'ready'. The session and the profile."""
    at = places.session(folder, ['-p', str(pid), '**']).watching()
    target.go()
    target.expect('done')
    found = at.stop()
    sound(found)
    Result(found, path, pid).expect(RIGHT)
    return at, found


def end(target):
    target.go()
    target.finish()


def library_is_open(python):
    """Whether another user may read what this interpreter needs. In a root of Debian's making all may."""
    if python.root != '/':
        return True
    places.files(python)
    try:
        return subprocess.run([python.path, '-I', '-S', '-c', ''], preexec_fn=places.become(places.NOBODY),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except PermissionError:
        return False


@case
def another_user(folder, python):
    if python.root != '/':
        raise Skipped('another user cannot set up the root of %s' % python.path)
    if not library_is_open(python):
        raise Skipped('%s is not for other users' % python.path)
    path = program(folder)
    target = Target([python.path, path], cwd=folder, preexec_fn=places.become(places.NOBODY))
    target.expect('ready')
    check(os.stat('/proc/%d' % target.pid).st_uid == places.NOBODY, 'the target has not changed its user')
    said = places.check_proved(*profile(folder, target, target.pid, path))
    end(target)
    return said


@case
def a_user_that_was_changed(folder, python):
    """A server that was started as root: its user may be unable to start the interpreter again."""
    able = library_is_open(python)
    path = write(folder, 'target.py', PRELUDE + 'os.setgid(%d); os.setuid(%d)\n' % (places.NOBODY, places.NOBODY)
                 + PROGRAM[len(PRELUDE):])
    target = Target(python.command + [path], cwd=folder)
    target.expect('ready')
    at, found = profile(folder, target, target.pid, path)
    end(target)
    if able:
        return places.check_proved(at, found)
    return places.check_unproved(at, found, 'does not start by itself')


@case
def a_mount_of_its_own(folder, python):
    """The same root, but the interpreter's path leads to it in the target's mount namespace only."""
    places.need_namespaces('--mount')
    exe, library, stdlib = places.files(python)
    path = program(folder)
    telling = places.TellingLibrary(folder, stdlib)
    hidden = os.path.join(folder, 'hidden')
    os.mkdir(hidden)
    lines = ['set -e', 'mount --make-rprivate /', 'mount -t tmpfs none %s' % hidden, 'chmod 755 %s' % hidden,
             'mkdir %s/bin %s/lib' % (hidden, hidden), 'cp %s %s/bin/' % (exe, hidden),
             'ln -s %s %s/lib/%s' % (telling.path, hidden, os.path.basename(stdlib))]
    if library:
        lines += ['cp %s %s/lib/' % (library, hidden), 'export LD_LIBRARY_PATH=%s/lib' % hidden]
    lines.append('exec %s/bin/%s %s' % (hidden, os.path.basename(exe), path))
    target = Target(['unshare', '--mount', 'sh', '-c', '\n'.join(lines)], cwd=folder)
    target.expect('ready')
    check(not os.path.exists(os.path.join(hidden, 'bin', os.path.basename(exe))), 'the mount is seen from outside')
    said = places.check_proved(*profile(folder, target, target.pid, path))
    end(target)
    telling.said()  # its library is to be found in that mount only
    return said


def in_root(folder, python, user, proc=True):
    """A target in another root, mount, process and user namespace. (Target, its pid, its file as it names it)."""
    places.need_namespaces('--mount', '--pid', '--fork', '--user', '--map-root-user')
    places.need('setpriv')
    program(folder)
    root, script, inside = places.make_root(folder, python, proc)
    command = ['unshare', '--mount', 'sh', '-c', script, 'sh', 'setpriv', '--reuid', str(user), '--regid', str(user),
               '--clear-groups', 'unshare', '--user', '--map-root-user', '--pid', '--fork', '--kill-child', '--root', root]
    target = Target(command + inside + ['/work/target.py'], cwd=folder)
    target.expect('ready')
    pid = places.python_below(target.pid)
    check(os.readlink('/proc/%d/root' % pid) == root, 'the target has another root: %s' % os.readlink('/proc/%d/root' % pid))
    check(os.stat('/proc/%d' % pid).st_uid == user, 'the target has another user')
    return target, pid, '/work/target.py'


@case
def another_root_and_namespaces(folder, python):
    target, pid, path = in_root(folder, python, places.NOBODY)
    said = places.check_proved(*profile(folder, target, pid, path))
    end(target)
    return said


@case
def another_root_of_root(folder, python):
    """As in a container without a user namespace; with no /proc inside."""
    target, pid, path = in_root(folder, python, 0, proc=False)
    said = places.check_proved(*profile(folder, target, pid, path))
    end(target)
    return said


@case
def a_root_that_was_left(folder, python):
    """A daemon that changed its root to an empty folder: its interpreter lies outside."""
    empty = os.path.join(folder, 'empty')
    os.mkdir(empty)
    path = write(folder, 'target.py', PRELUDE + 'os.chroot(%r); os.chdir("/")\n' % empty + PROGRAM[len(PRELUDE):])
    target = Target(python.command + [path], cwd=folder)
    target.expect('ready')
    at, found = profile(folder, target, target.pid, path)
    end(target)
    # In a mount namespace that is not ours nothing leads to it any more.
    return (places.check_proved(at, found) if python.root == '/' else
            places.check_unproved(at, found, 'lies outside the process\'s root'))


@case
def what_the_child_may_do(folder, python):
    """Its standard library is the target's, and might do anything: it must be able to do nothing."""
    copy = places.Copy(python, folder)
    if not library_is_open(python):
        raise Skipped('%s is not for other users' % python.path)
    library = places.TellingLibrary(folder, os.readlink(copy.stdlib))
    os.unlink(copy.stdlib)
    os.symlink(library.path, copy.stdlib)
    os.chmod(folder, 0o777)
    path = write(folder, 'target.py', PROGRAM)
    target = Target([copy.exe, path], cwd=folder, env=copy.env, preexec_fn=places.become(places.NOBODY))
    target.expect('ready')
    at, found = profile(folder, target, target.pid, path)
    end(target)
    said = library.said()
    for name in 'Uid', 'Gid':
        check(set(said[name].split()) == {str(places.NOBODY)}, '%s: %s' % (name, said[name]))
    check(not said['Groups'].split(), 'groups: %s' % said['Groups'])
    for name in 'CapInh', 'CapPrm', 'CapEff', 'CapAmb':
        check(int(said[name], 16) == 0, '%s: %s' % (name, said[name]))
    check(said['NoNewPrivs'] == '1', 'no_new_privs: %s' % said['NoNewPrivs'])
    for name in 'net', 'pid', 'ipc':
        check(said['ns_' + name] != os.readlink('/proc/self/ns/' + name), 'it shares our %s namespace' % name)
    check(said['wrote'] == 'no' and not os.path.getsize(library.written), 'it wrote to a file')
    return places.check_proved(at, found)


if __name__ == '__main__':
    cases.main(__doc__)
