#!/usr/bin/env python3
"""test_values: the arguments that `pylu-bpf trace` shows against what they are, on every interpreter that is found.

The values, and the truth, come from tests/targets/values.py: a value of every kind, with its own repr, or the form that is
expected where ours differs. What is copied by the BPF programs at the event is all that there is to show them: by then the
program has gone on.
"""
import json
import os
import re

import harness
from harness import check

LIMITS = ['--depth', '4', '--items', '50', '--chars', '300', '--rate', '0']
EVENT = re.compile(r'\S+ \S+ __main__\.show:\d+ parameters value=(.*)  from [^ ]+$')


def unescape(text):
    return re.sub(r'\\(.)', lambda m: {'t': '\t', 'n': '\n'}.get(m.group(1), m.group(1)), text)


def start(python, kind):
    """A target, and what it says of the values of that kind."""
    target = harness.Target(python.command + [os.path.join(harness.TARGETS, 'values.py'), 'calls', kind])
    expected = []
    while True:
        line = target.process.stdout.readline()
        check(line, 'target %d ended before it was ready: %s' % (target.pid, target.error_text()))
        if line == b'ready\n':
            return target, expected
        check(line.startswith(b'case '), 'the target said %r' % line)
        expected.append(unescape(line[5:-1].decode('utf-8', 'surrogatepass')))


def trace(folder, target, *options):
    """What a session shows of all calls of show()."""
    output = os.path.join(folder, 'events')
    session = harness.Session(['trace', '-p', str(target.pid), '-o', output, *LIMITS, *options, '__main__.show']).watching()
    target.go()
    target.expect('done')
    session.interrupt()
    status = session.status()
    check(status == 0, 'pylu-bpf ended with %d: %s' % (status, session.stderr.text()))
    with open(output, encoding='utf-8', newline='\n') as f:
        return f.read().split('\n')


def compare(expected, shown):
    check(len(shown) == len(expected), '%d values were shown of %d' % (len(shown), len(expected)))
    wrong = ['%s, not %s' % (s, e) for e, s in zip(expected, shown) if e != s]
    check(not wrong, '%d of %d values are wrong:\n    %s' % (len(wrong), len(expected), '\n    '.join(w[:500] for w in wrong[:20])))
    return '%d values' % len(expected)


def texts(folder, python, kind, *options):
    target, expected = start(python, kind)
    lines = trace(folder, target, '-f', 'text', *options)
    target.finish()
    return compare(expected, [m.group(1) for m in map(EVENT.match, lines) if m])


def jsons(folder, python):
    target, expected = start(python, 'json')
    lines = trace(folder, target, '-f', 'json', '--no-redact')
    target.finish()
    events = [json.loads(line) for line in lines if line]
    return compare([json.loads(text) for text in expected],
                   [e['values'][0]['value'] for e in events if e.get('event') == 'parameters'])


def main():
    suite = harness.Suite(__doc__)
    suite.start()
    for python in suite.interpreters():
        suite.run('%s text' % python.name, texts, python, 'text', '--no-redact', python=python)
        suite.run('%s masked' % python.name, texts, python, 'masked', python=python)
        suite.run('%s json' % python.name, jsons, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
