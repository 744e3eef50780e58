#!/usr/bin/env python3
"""What is proved and what is remembered of it; and that a process in which things are not as they must be gives no result,
also when its build was proved before."""
import os
import re

import cases
import places
from cases import PRELUDE, Result, case, sound, start, write
from harness import Session, Skipped, Target, check

PROGRAM = '''
def f(): return 1
gate('ready')
for i in range(100): f()
gate('done')
'''


def count(folder, target, path, name='cache'):
    """One session. Whether a trial was made in it."""
    at = places.session(folder, ['-p', str(target.pid), '**'], name).watching()
    target.go()
    target.expect('done')
    profile = at.stop()
    sound(profile)
    Result(profile, path, target.pid).expect({'f': 100})
    check(not [text for text in places.warnings(profile) if 'no trial child' in text], 'it was not proved')
    return 'the trial of a child took' in at.stderr.text()


def once(folder, python, name='cache'):
    target, path = start(folder, python, PROGRAM)
    target.expect('ready')
    tried = count(folder, target, path, name)
    target.go()
    target.finish()
    return tried


@case
def is_remembered(folder, python):
    remembered = os.path.join(folder, 'cache', 'pylu', 'proved')
    check(once(folder, python), 'no trial the first time')
    with open(remembered) as f:
        lines = f.readlines()
    check(len(lines) == 1, '%s holds %s' % (remembered, lines))
    check(not once(folder, python), 'a trial the second time')
    os.unlink(remembered)
    check(once(folder, python), 'no trial though it was forgotten')
    for damage in (lambda f: f.write(os.urandom(300)), lambda f: f.truncate(len(lines[0]) - 2), lambda f: f.truncate(1 << 30)):
        with open(remembered, 'r+b') as f:
            damage(f)
        check(once(folder, python), 'no trial though what was remembered is damaged')
        check(not once(folder, python), 'it was not remembered anew')
    with open(remembered) as f:
        check(f.readlines()[-1:] == lines, '%s was not mended' % remembered)


@case
def cannot_be_remembered(folder, python):
    for name in '/proc/no/such', '/dev/null':
        nowhere = dict(os.environ, XDG_CACHE_HOME=name, PYLU_DEBUG='1')
        target, path = start(folder, python, PROGRAM)
        target.expect('ready')
        at = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json'), env=nowhere).watching()
        target.go()
        target.expect('done')
        profile = at.stop()
        target.go()
        target.finish()
        sound(profile)
        Result(profile, path).expect({'f': 100})
        places.check_proved(at, profile)


@case
def two_at_once(folder, python):
    """Both prove, neither disturbs the other."""
    targets = [start(folder, python, PROGRAM, '%d.py' % i) for i in range(2)]
    for target, _ in targets:
        target.expect('ready')
    sessions = [Session(['-p', str(target.pid), '**'], os.path.join(folder, '%d.json' % i), env=places.fresh(folder))
                for i, (target, _) in enumerate(targets)]
    for at in sessions:
        at.watching()
    for target, _ in targets:
        target.go()
        target.expect('done')
    for at, (target, path) in zip(sessions, targets):
        profile = at.stop()
        sound(profile)
        Result(profile, path, target.pid).expect({'f': 100})
        check(not [text for text in places.warnings(profile) if 'no trial child' in text], 'it was not proved')
        target.go()
        target.finish()
    check(not once(folder, python), 'it was not remembered')


@case
def counted_otherwise(folder, python):
    """A library that makes the trial's script do something else stands for sites that count wrong."""
    copy = places.Copy(python, folder)
    library = os.path.join(folder, 'library')
    places.library_for_child(library, os.readlink(copy.stdlib),
                             '    import builtins\n    builtins.map = lambda *a: [] if a[1] == (1, 2) else None\n')
    os.unlink(copy.stdlib)
    os.symlink(library, copy.stdlib)
    path = write(folder, 'target.py', PRELUDE + PROGRAM)
    target = Target([copy.exe, path], cwd=folder, env=copy.env)
    target.expect('ready')
    refuse(folder, target, r'__main__\.called was counted 210 times \(0 raised\), but ran 350 times \(0 raised\)', False)
    check(not os.path.exists(os.path.join(folder, 'cache', 'pylu', 'proved')), 'it is remembered as proved')


@case
def a_script_is_run_once(folder, python):
    """A trial of what a script will run must not run the script."""
    exe, _, _ = places.files(python)
    script, log = os.path.join(folder, 'script'), os.path.join(folder, 'log')
    with open(script, 'w') as f:
        f.write('#!%s\nimport os, sys\ndef f(): return 1\nfor i in range(100): f()\n'
                'os.write(os.open(%r, os.O_WRONLY | os.O_APPEND | os.O_CREAT), b"ran %%r\\n" %% sys.argv[1:])\n' % (exe, log))
    os.chmod(script, 0o755)
    at = places.session(folder, ['**', '--', script, 'word'])
    profile = at.result()
    sound(profile, False)
    Result(profile, script).expect({'f': 100})
    with open(log) as f:
        said = f.read()
    check(said == "ran ['word']\n", 'it was run as: %r' % said)
    return places.check_proved(at, profile)


def refuse(folder, target, words, watches=True):
    """The session must end by itself, say `words`, and leave no result."""
    output = os.path.join(folder, 'refused.json')
    at = Session(['profile', '-p', str(target.pid), '-f', 'json', '-o', output, '**'], env=places.fresh(folder))
    if watches:
        check(at.stderr.wait_for('pylu-bpf: watching') is not None, 'it did not watch: %s' % at.stderr.lines[-5:])
    target.go()
    target.expect('done')
    status, text = at.status(), at.stderr.text()
    check(status == 3 and re.search(words, text), 'exit status %d, and no %r in: %s' % (status, words, text))
    check('Nothing was reported' in text, 'it does not say that there is no result: %s' % text)
    check(not os.path.exists(output), 'there is a result all the same')
    target.go()
    target.finish()


# Each changes a word of a code object, which most versions do not look at while they run the function, and at the end puts it
# back.
LIE = '''
import ctypes
def f(): return 1
def word(address): return ctypes.c_size_t.from_address(address)
def words(code):
    size = type(code).__basicsize__
    return [word(id(code) + at) for at in range(2 * tuple.__itemsize__, size, tuple.__itemsize__)]
%s
was = [w.value for w in changed]
def lie():
    for w in changed: w.value = id(wrong)
def unlie():
    for w, value in zip(changed, was): w.value = value
def run():
    try:
        for i in range(100): f()
        return True
    except TypeError:
        return False
lie()
ran = run()
unlie()
# A debug build would abort.
gate('ready', not hasattr(sys, 'gettotalrefcount') and ran)
lie()
run()
gate('done')        # looked at meanwhile
unlie()
'''
TYPE = 'changed, wrong = [word(id(f.__code__) + tuple.__itemsize__)], dict'
NAMES = '''name = getattr(f.__code__, 'co_qualname', f.__code__.co_name)
changed, wrong = [w for w in words(f.__code__) if w.value == id(name)][-1:], f'''
FILE = 'changed, wrong = [w for w in words(f.__code__) if w.value == id(f.__code__.co_filename)], 3'


def lie(folder, python, how, words):
    once(folder, python)    # from here on its build is remembered as proved
    target, _ = start(folder, python, LIE % how, 'lies.py')
    if target.expect('ready') != 'True':
        raise Skipped('Python %s itself looks at it' % python.text)
    refuse(folder, target, words)


@case
def a_frame_without_code(folder, python):
    lie(folder, python, TYPE, "of [0-9]+ probe hits the frame's code object was none")


@case
def code_without_a_name(folder, python):
    lie(folder, python, NAMES, 'the name of a code object .* is no string')


@case
def code_without_a_file(folder, python):
    lie(folder, python, FILE, 'the name of a code object .* is no string')


if __name__ == '__main__':
    cases.main(__doc__)
