"""Finds the CPython interpreters of this machine, for the generators and the tests."""
import collections
import glob
import json
import os
import re
import shutil
import subprocess

Interpreter = collections.namedtuple('Interpreter', 'path version text include free_threaded')

ASK = ('import sys, sysconfig, json; print(json.dumps([list(sys.version_info[:3]), sys.version.split()[0], '
       'sysconfig.get_paths()["include"], bool(sysconfig.get_config_var("Py_GIL_DISABLED")), '
       'sys.implementation.name, sys.executable]))')


def pyenv_root():
    if os.environ.get('PYENV_ROOT'):
        return os.environ['PYENV_ROOT']
    if shutil.which('pyenv'):
        done = subprocess.run(['pyenv', 'root'], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip()
    return os.path.expanduser('~/.pyenv')


def candidates():
    for folder in ['/usr/bin', '/usr/local/bin'] + sorted(glob.glob(os.path.join(pyenv_root(), 'versions', '*', 'bin'))):
        for path in sorted(glob.glob(os.path.join(folder, 'python3.*'))):
            if re.fullmatch(r'python3\.\d+t?', os.path.basename(path)):
                yield path


def find(paths=None):
    """Every CPython 3.8 or later of this machine, or of `paths`: each file once, by version."""
    seen, out = set(), []
    for path in paths or candidates():
        real = os.path.realpath(path)
        if real in seen or not os.access(real, os.X_OK):
            continue
        seen.add(real)
        done = subprocess.run([path, '-I', '-c', ASK], capture_output=True, text=True)
        if done.returncode:
            continue
        version, text, include, free_threaded, name, _ = json.loads(done.stdout)
        if name != 'cpython' or tuple(version) < (3, 8):
            continue
        out.append(Interpreter(path, tuple(version), text, include if os.path.isdir(include) else None, free_threaded))
    return sorted(out, key=lambda p: (p.version, p.path))
