#!/usr/bin/env python3
"""Builds that pylu-bpf cannot watch: it must refuse them by exit status 3, name the reason, and leave no breakpoint. In every
other way they are ordinary targets, of versions that are supported. Of some it is left open whether they can be watched: then
random programs must come out exactly.
"""
import os
import re

import harness
import test_random
from cases import PRELUDE, write
from harness import Session, Suite, Target, check

PROGRAMS = range(25)  # seeds


def exact(folder, python):
    programs = test_random.write_programs(folder, PROGRAMS)
    return test_random.batch(folder, python, 'plain', programs, test_random.twin(python, folder, programs))


def refused(folder, python):
    target = Target(python.command + [write(folder, 'target.py', PRELUDE + '''
def f(): return 1
gate('ready')
for i in range(100): f()
gate('done')
''')], cwd=folder)
    target.expect('ready')
    session = Session(['-p', str(target.pid), '**'], os.path.join(folder, 'profile.json'))
    if session.stderr.wait_for('pylu-bpf: watching') is not None:
        check(python.support == 'either', 'it is watched')
        session.stop()
        return exact(folder, python)
    status, said = session.status(), session.stderr.text()
    check(status == 3, 'exit status %d, right is 3: %s' % (status, said))
    check(re.search(python.why, said, re.I), 'the reason is not named (%s): %s' % (python.why, said))
    check(not os.path.exists(session.output), 'a profile was written')
    check(not harness.text_differs(target.pid), 'the target has breakpoints')
    listed = Session(['ps'])
    check(listed.status() == 0, 'pylu-bpf ps: %s' % listed.stderr.text())
    for line in listed.stdout.text().splitlines():
        check(not re.match(r'\s*%d\s' % target.pid, line) or ' no: ' in line, 'pylu-bpf ps promises what it refuses: %s' % line)
    target.go()
    target.expect('done')
    target.go()
    target.finish()
    return said.splitlines()[0]


def main():
    suite = Suite(__doc__)
    suite.start()
    found = suite.refused()
    for python in found:
        suite.run(python.name, refused, python, python=python, unwatched='refused')
    if not found:
        suite.note_skip('no interpreter that must be refused was found')
    suite.finish()


if __name__ == '__main__':
    main()
