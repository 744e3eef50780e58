#!/usr/bin/env python3
"""The files of interpreters: removed or replaced while they run (upgrades do that), stripped, without a build-id, without
section headers, loaded by a loader of their own."""
import os
import re
import shutil
import subprocess

import cases
import harness
import interpreters
import places
from cases import PRELUDE, Result, case, sound, write
from harness import Session, Skipped, Target, check

PROGRAM = PRELUDE + '''
def f(): return 1
def gen():
    yield f()
    yield f()
gate('ready')
for i in range(1000):
    f(); list(gen())
gate('done')
'''
RIGHT = {'f': 3000, 'gen': 1000}


def start(folder, copy, command=None):
    path = write(folder, 'target.py', PROGRAM)
    target = Target((command or [copy.exe]) + [path], cwd=folder, env=copy.env)
    target.expect('ready')
    check(copy.interpreter in open('/proc/%d/maps' % target.pid).read(), 'the target does not run the copy')
    return target, path


def count(folder, target, path):
    at = places.session(folder, ['-p', str(target.pid), '**']).watching()
    target.go()
    target.expect('done')
    profile = at.stop()
    target.go()
    target.finish()
    sound(profile)
    Result(profile, path, target.pid).expect(RIGHT)
    return at, profile


def another_build(python):
    """The file of another interpreter of the same kind, if there is one."""
    exe, library, _ = places.files(python)
    for other in interpreters.find():
        if getattr(other, 'root', '/') != '/':
            continue
        other_exe, other_library, _ = places.files(other)
        if other.version != python.version and bool(library) == bool(other_library):
            return other_library or other_exe
    return None


@case
def removed(folder, python):
    copy = places.Copy(python, folder)
    target, path = start(folder, copy)
    os.unlink(copy.exe)
    if copy.library:
        os.unlink(copy.library)
    return places.check_proved(*count(folder, target, path))


@case
def replaced(folder, python):
    """By another build, as an upgrade does: by renaming."""
    copy = places.Copy(python, folder)
    target, path = start(folder, copy)
    # Another version at best; else any other program.
    new = os.path.join(folder, 'new')
    shutil.copy(another_build(python) or '/bin/sleep', new)
    os.rename(new, copy.interpreter)
    return places.check_proved(*count(folder, target, path))


def removed_in_a_root(folder, python, change=None, proc=False):
    """A target in a root and a process namespace of its own, whose libpython is no more. What check_... takes."""
    if not places.files(python)[1]:
        raise Skipped('%s has no libpython' % python.path)
    places.need_namespaces('--mount', '--pid', '--fork')
    copy = places.Copy(python, folder)
    write(folder, 'target.py', PROGRAM)
    root, script, _ = places.make_root(folder, python, proc)
    if change:
        script = script.replace('exec "$@"', change % root + '\nexec "$@"')
    # What is copied is in /work; the library of the original is not found there.
    inside = ['/usr/bin/env', 'LD_LIBRARY_PATH=/work/copy/lib', '/work/copy/bin/' + os.path.basename(copy.exe)]
    os.unlink(copy.stdlib)
    os.symlink('/opt/py/lib/' + os.path.basename(places.files(python)[2]), copy.stdlib)
    target = Target(['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', 'chroot', root] + inside
                    + ['/work/target.py'], cwd=folder)
    target.expect('ready')
    os.unlink(copy.library)
    pid = places.python_below(target.pid)
    with open('/proc/%d/mountinfo' % pid) as f:
        mounts = f.read()
    at = places.session(folder, ['-p', str(pid), '**']).watching()
    with open('/proc/%d/mountinfo' % pid) as f:
        check(f.read() == mounts, 'the mounts of the target have changed')
    target.go()
    target.expect('done')
    profile = at.stop()
    target.go()
    target.finish()
    sound(profile)
    Result(profile, '/work/target.py', pid).expect(RIGHT)
    return at, profile


@case
def removed_in_a_container(folder, python):
    """A libpython that has no path any more is named through /proc; but in that of another process namespace the child of a
    proof does not see itself."""
    return places.check_proved(*removed_in_a_root(folder, python, proc=True))


@case
def removed_where_proc_is_not_mounted(folder, python):
    return places.check_proved(*removed_in_a_root(folder, python))


@case
def removed_where_there_is_no_proc(folder, python):
    return places.check_unproved(*removed_in_a_root(folder, python, 'rmdir %s/proc'), words='does not start by itself')


@case
def stripped(folder, python):
    places.need('strip')
    copy = places.Copy(python, folder)
    places.run(['strip', '--strip-all', copy.interpreter])
    target, path = start(folder, copy)
    return places.check_proved(*count(folder, target, path))


@case
def two_copies_of_one_build(folder, python):
    """Probes sit in files: a process that runs another copy of the same build is to be counted as well, and once."""
    copies = []
    for name in 'one', 'two':
        os.mkdir(os.path.join(folder, name))
        copies.append(places.Copy(python, os.path.join(folder, name)))
    other = copies[1]
    places.run(['strip', '--strip-all', other.interpreter])
    path = write(folder, 'target.py', PROGRAM)
    parent = write(folder, 'parent.py', PROGRAM.replace("gate('ready')", """import subprocess
other = subprocess.Popen([%r, %r], env=%r, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
other.stdout.readline()
gate('ready', other.pid)""" % (other.exe, path, other.env)).replace("gate('done')", """other.stdin.write(b'.'); other.stdin.flush()
other.stdout.readline()
gate('done')
other.stdin.write(b'.'); other.stdin.flush()
sys.exit(other.wait())"""))
    for arguments in ['--tree', '{0}'], ['-p', '{0},{1}']:
        target = Target([copies[0].exe, parent], cwd=folder, env=copies[0].env)
        pids = [target.pid, int(target.expect('ready'))]
        at = places.session(folder, [a.format(*pids) for a in arguments] + ['__main__']).watching()
        target.go()
        target.expect('done')
        profile = at.stop()
        target.go()
        target.finish()
        sound(profile, False)
        for pid, file in zip(pids, (parent, path)):
            Result(profile, file, pid).expect(RIGHT)


@case
def without_a_build_id(folder, python):
    """Nothing is remembered of such a build, because nothing tells it from others."""
    places.need('objcopy')
    copy = places.Copy(python, folder)
    places.run(['objcopy', '--remove-section', '.note.gnu.build-id', copy.interpreter])
    # Its segment may be left, with the note in it.
    with open(copy.interpreter, 'r+b') as f:
        data = f.read()
        for match in re.finditer(rb'\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0', data):
            f.seek(match.start())
            f.write(bytes(36))
    target, path = start(folder, copy)
    at, profile = count(folder, target, path)
    check(profile['processes'][0]['build_id'] == '', 'it has a build-id: %s' % profile['processes'][0]['build_id'])
    remembered = os.path.join(folder, 'cache', 'pylu', 'proved')
    check(not os.path.exists(remembered), 'it is remembered: %s' % remembered)
    return places.check_proved(at, profile)


@case
def without_section_headers(folder, python):
    """Python itself runs without them. Refused, by what is missing."""
    copy = places.Copy(python, folder)
    with open(copy.interpreter, 'r+b') as f:
        f.seek(0x28)                        # e_shoff
        f.write(bytes(8))
        f.seek(0x3a)                        # e_shentsize, e_shnum, e_shstrndx
        f.write(bytes(6))
    target, path = start(folder, copy)
    at = Session(['profile', '-p', str(target.pid), '**'])
    status, text = at.status(), at.stderr.text()
    check(status == 3 and 'no section headers' in text and copy.interpreter in text, 'exit status %d: %s' % (status, text))
    check('watching' not in text, 'it measured first')
    target.go()
    target.expect('done')
    target.go()
    target.finish()


EMBEDDING = '''
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
	int (*run)(int, char **) = library ? (int (*)(int, char **))dlsym(library, "Py_BytesMain") : 0;

	if (!run)
		return fprintf(stderr, "%s\\n", dlerror()), 1;
	argv[1] = argv[0];
	return run(argc - 1, argv + 1);
}
'''


def build(folder, text, *flags):
    places.need('gcc')
    source, program = write(folder, 'program.c', text), os.path.join(folder, 'program')
    places.run(['gcc', '-o', program, source] + list(flags))
    return program


@case
def loaded_by_another_program(folder, python):
    """With dlopen, as plug-ins load it, from a path that the loader's variables cannot hold."""
    copy = places.Copy(python, folder)
    if not copy.library:
        raise Skipped('%s has no libpython' % python.path)
    program = build(folder, EMBEDDING, '-ldl')
    odd = os.path.join(folder, 'copy', 'lib', 'a b')
    os.mkdir(odd)
    os.rename(copy.library, os.path.join(odd, os.path.basename(copy.library)))
    copy.library = os.path.join(odd, os.path.basename(copy.library))
    copy.env['PYTHONHOME'] = copy.prefix
    target, path = start(folder, copy, [program, copy.library])
    return places.check_proved(*count(folder, target, path))


@case
def loaded_by_a_loader_of_its_own(folder, python):
    """In a root that has no other: there the child's must be the target's too."""
    if not places.files(python)[1]:
        raise Skipped('%s has no libpython' % python.path)
    places.need_namespaces('--mount')
    loader = os.path.realpath('/lib64/ld-linux-x86-64.so.2')
    shutil.copy(loader, os.path.join(folder, 'loader'))
    build(folder, EMBEDDING, '-ldl', '-Wl,--dynamic-linker=/work/loader')
    write(folder, 'target.py', PROGRAM)
    root, script, _ = places.make_root(folder, python)
    script = script.replace('exec "$@"', 'rm %s/lib64\nexec "$@"' % root)
    library = '/opt/py/libpython/' + os.path.basename(places.files(python)[1])
    target = Target(['unshare', '--mount', 'sh', '-c', script, 'sh', 'chroot', root, '/work/program', library,
                     '/work/target.py'], cwd=folder,
                    env=dict(os.environ, PYTHONHOME='/opt/py', LD_LIBRARY_PATH='/lib/x86_64-linux-gnu'))
    target.expect('ready')
    return places.check_proved(*count(folder, target, '/work/target.py'))


@case
def linked_into_another_program(folder, python):
    """What such a program would do with a trial's script cannot be known: it is not started."""
    places.files(python)
    config = subprocess.run([python.path, '-c', 'import sysconfig; v = sysconfig.get_config_var; print(v("LIBPL"), v("LDVERSION"), '
                             'v("LIBS"), v("SYSLIBS"))'], stdout=subprocess.PIPE, check=True).stdout.decode().split()
    archive = os.path.join(config[0], 'libpython%s.a' % config[1])
    if not os.path.exists(archive):
        raise Skipped('%s is not there' % archive)
    text = 'int Py_BytesMain(int, char **);\nint main(int argc, char **argv) { return Py_BytesMain(argc, argv); }\n'
    program = build(folder, text, '-no-pie', '-rdynamic', '-Wl,--whole-archive', archive, '-Wl,--no-whole-archive', '-lexpat',
                    '-lz', *[word for word in config[2:] if word.startswith('-l')])
    path = write(folder, 'target.py', PROGRAM)
    target = Target([program, path], cwd=folder)
    target.expect('ready')
    check('libpython' not in open('/proc/%d/maps' % target.pid).read(), 'it uses a libpython')
    return places.check_unproved(*count(folder, target, path), words='more than Python')


if __name__ == '__main__':
    # They work on copies of an interpreter's files, in places of ours.
    cases.main(__doc__, suits=lambda function, python: python.root == '/')
