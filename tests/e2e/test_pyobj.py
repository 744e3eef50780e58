#!/usr/bin/env python3
"""test_pyobj: `pylu-bpf funcs` against what processes say of their own functions, on every interpreter that is found.

The truth comes from tests/targets/funcs.py: the garbage collector's list of all functions and the code objects in their
constants; names from co_qualname, up to 3.10 from the source. For its own two modules both sets are equal; of the standard
library's nothing may be wrong, and next to nothing may be missing.
"""
import os
import re
import subprocess

import harness
from harness import check

OWN = ('__main__', 'funcs_lib')


def unescape(field):
    return re.sub(r'\\(.)', lambda m: {'t': '\t', 'n': '\n'}.get(m.group(1), m.group(1)), field)


def start(python):
    """A target, and its lines up to 'ready', split and unescaped."""
    target = harness.Target(python.command + [os.path.join(harness.TARGETS, 'funcs.py')])
    rows = []
    while not rows or rows[-1] != ['ready']:
        line = target.process.stdout.readline()
        check(line, 'target %d ended before it was ready: %s' % (target.pid, target.error_text()))
        rows.append([unescape(f) for f in line.decode('utf-8', 'surrogatepass').rstrip('\n').split('\t')])
    return target, rows


def funcs(*arguments):
    done = subprocess.run([harness.pylu_bpf(), 'funcs'] + list(arguments), capture_output=True, encoding='utf-8',
                          timeout=harness.PATIENCE)
    return done.returncode, done.stdout, done.stderr


def listed(output):
    """{(name, file, line)} of the output's rows."""
    rows = [re.fullmatch(r'(\S+) +(.*):(\d+)', line) for line in output.splitlines()]
    check(all(rows), 'a row that cannot be read')
    return {(m.group(1), m.group(2), int(m.group(3))) for m in rows}


def truth(rows):
    """[(module, names that are right, file, line)]; an empty name stands for any."""
    return [(f[3], f[6:], f[5], int(f[4])) for f in rows if f[0] == 'func']


def differences(known, ours, modules):
    """Functions that only the target knows, and only we do; of these modules, or of all but those that have none."""
    right = {(m + '.' + name, file, line) for m, names, file, line in known for name in names if name}
    places = {(m, file, line) for m, names, file, line in known if '' in names}
    missing = [k for k in known if k[0] in modules
               and not any((k[0] + '.' + n, k[2], k[3]) in ours for n in k[1] if n) and '' not in k[1]]
    wrong = [o for o in ours - right if o[0].partition('.')[0] in {m.partition('.')[0] for m in modules}
             and not any(o[0].startswith(m + '.') and o[1:] == (file, line) for m, file, line in places)]
    return missing, wrong


def compare(folder, python):
    target, rows = start(python)
    status, out, err = funcs('-p', str(target.pid))
    check(status == 0, 'funcs ended with %d: %s' % (status, err))
    known, ours = truth(rows), listed(out)
    missing, wrong = differences(known, ours, OWN)
    check(not missing and not wrong, 'missing %r, wrong %r' % (missing, wrong))
    own = sum(k[0] in OWN for k in known)
    check(own > 80, 'the target knows only %d functions of its own' % own)
    # Those of namedtuple's making have globals that are no module's.
    modules = {k[0] for k in known if not k[0].startswith('namedtuple_')}
    missing, wrong = differences(known, ours, modules)
    check(not wrong, 'wrong: %r' % wrong[:10])
    check(len(missing) * 1000 < len(known), '%d of %d missing: %r' % (len(missing), len(known), missing[:10]))
    target.finish()
    return '%d functions, %d of the library missing' % (len(known), len(missing))


def patterns(folder, python):
    target, rows = start(python)
    pid = str(target.pid)
    for pattern, expected in (('__main__.plain', ['__main__.plain']),
                              ('__main__.Point.norm', ['__main__.Point.norm']),
                              ('funcs_lib.make_class.Made.Inner.deep',
                               ['funcs_lib.make_class.<locals>.Made.Inner.deep']),
                              ('__main__.größe.μέσα', ['__main__.größe.<locals>.μέσα'])):
        status, out, err = funcs('-p', pid, pattern)
        check(status == 0, 'funcs %s ended with %d: %s' % (pattern, status, err))
        names = sorted({row[0] for row in listed(out)})
        check(names == expected, '%s lists %r' % (pattern, names))
    status, out, err = funcs('-p', pid, '__main__.plian')
    check(status == 1 and not out and '__main__.plain' in err, 'no hint at the nearest name: %d, %r, %r' % (status, out, err))
    status, out, err = funcs('-p', pid, '__main__..x')
    check(status == 2 and err, 'a bad pattern is a usage error, not %d' % status)
    target.finish()
    status, out, err = funcs('-p', pid)
    check(status == 1 and not out and pid in err, 'a process that ended: %d, %r' % (status, err))


def main():
    suite = harness.Suite(__doc__)
    suite.start()
    for python in suite.interpreters(variants=True):
        suite.run('%s funcs' % python.name, compare, python, python=python)
        suite.run('%s patterns' % python.name, patterns, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
