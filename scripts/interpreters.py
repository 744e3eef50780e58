"""Finds the CPython interpreters of this machine, for the generators and the tests: those of this system, pyenv's, and what
tests/interpreters provides."""
import collections
import glob
import json
import os
import re
import shutil
import subprocess

TESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'tests')

SYSTEM, PYENV = 'this system', 'pyenv'


class Interpreter(collections.namedtuple('Interpreter', 'path command root version text include free_threaded origin build '
                             'support why')):
    """
    path            the executable as this host sees it
    command         how it is started: a list, to which its arguments are added
    root            the root file system that it needs: '/' or a folder
    version, text   as three numbers, and as it says it
    include         its headers as this host sees them, or None
    free_threaded   whether it is
    origin, build   where it comes from and how it was built, in words
    support         'yes'; 'refused', pylu-bpf must refuse it; 'either', refuse it or count exactly
    why             a regular expression for the reason that it gives, or ''
    """

    @property
    def name(self):
        """What tells it from the others."""
        return '%s (%s)' % (self.text, self.path)

    @property
    def foreign(self):
        """Whether neither this system nor pyenv brought it."""
        return self.origin not in (SYSTEM, PYENV)

    @property
    def variant(self):
        """Whether it is another build of a version that is there anyway."""
        return self.build != 'as shipped' if self.foreign else self.build.startswith('debug')


# What tests/interpreters could not provide.
Absent = collections.namedtuple('Absent', 'text origin build reason')

ASK = ('import sys, sysconfig, json; v = sysconfig.get_config_var; print(json.dumps(dict('
       'version=sys.version_info[:3], text=sys.version.split()[0], include=sysconfig.get_paths()["include"], '
       'free_threaded=bool(v("Py_GIL_DISABLED")), debug=bool(v("Py_DEBUG")), '
       'name=sys.implementation.name)))')


def pyenv_root():
    if os.environ.get('PYENV_ROOT'):
        return os.environ['PYENV_ROOT']
    if shutil.which('pyenv'):
        done = subprocess.run(['pyenv', 'root'], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return os.path.expanduser('~/.pyenv')


def own():
    """Paths of this system's and pyenv's."""
    for folder in ['/usr/bin', '/usr/local/bin'] + sorted(glob.glob(os.path.join(pyenv_root(), 'versions', '*', 'bin'))):
        for path in sorted(glob.glob(os.path.join(folder, 'python3.*'))):
            if re.fullmatch(r'python3\.\d+t?(-dbg)?', os.path.basename(path)):
                yield path


def provided():
    """(Interpreter without what only it can tell, or Absent) for each line of tests/interpreters --list."""
    done = subprocess.run([os.path.join(TESTS, 'interpreters'), '--list'], stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        path, root, inside, text, origin, build, support = line.split('\t')
        word, _, why = support.partition(':')
        if word == 'absent':
            yield Absent(text, origin, build, why)
            continue
        command = [path] if root == '/' else [os.path.join(TESTS, 'in-root'), root, inside]
        yield Interpreter(path, command, root, None, None, None, None, origin, build, word, why)


def absent():
    return [p for p in provided() if isinstance(p, Absent)]


def describe(path, answer):
    """How an interpreter of this system was built."""
    said = subprocess.run(['readelf', '-hdW', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=dict(os.environ, LC_ALL='C')).stdout
    where = ('in libpython' if re.search(r'NEEDED.*\[libpython', said) else
             'position-independent' if re.search(r'Type: +DYN', said) else 'at fixed addresses')
    return ', '.join([word for word in ('debug', 'free_threaded') if answer[word]] + [where]).replace('_', '-')


def ask(p):
    """The interpreter with what it says of itself, or None."""
    done = subprocess.run(p.command + ['-I', '-c', ASK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode:
        return None
    answer = json.loads(done.stdout)
    version = tuple(answer['version'])
    if answer['name'] != 'cpython' or version < (3, 8):
        return None
    include = p.root.rstrip('/') + answer['include']
    return p._replace(version=version, text=answer['text'], include=include if os.path.isdir(include) else None,
                      free_threaded=answer['free_threaded'], build=p.build or describe(p.path, answer))


def find(paths=None):
    """Every CPython 3.8 or later of this machine, or of `paths`: each file once, by version."""
    known = {p.path: p for p in provided() if isinstance(p, Interpreter)}
    seen, out = set(), []
    for path in paths or list(own()) + list(known):
        real = os.path.realpath(path)
        if real in seen or not os.access(real, os.X_OK):
            continue
        seen.add(real)
        origin = PYENV if real.startswith(os.path.realpath(pyenv_root()) + os.sep) else SYSTEM
        found = ask(known.get(path) or Interpreter(path, [path], '/', None, None, None, None, origin, None, 'yes', ''))
        if found:
            out.append(found)
    return sorted(out, key=lambda p: (p.version, p.path))
