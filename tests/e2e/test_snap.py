#!/usr/bin/env python3
"""test_snap: what the BPF side copies of objects, finds for variables, and decides of conditions, against what the process
itself says of them (tests/targets/snapshots.py), on every interpreter that is found. By way of tests/bpf/bpf_look, which has
no part in a session.

Of each object: all that its limits allow is among the pieces, at its own address and long enough, nothing that they forbid is,
and every piece is what the process's memory holds there.
"""
import json
import os
import struct
import subprocess
import time

import harness
from harness import check

LOOK = os.path.join(os.path.dirname(os.path.dirname(harness.pylu_bpf())), 'tests', 'bpf', 'bpf_look') \
    if os.access(os.environ.get('PYLU_BPF', ''), os.X_OK) else os.path.join(harness.ROOT, 'build', 'tests', 'bpf', 'bpf_look')
FULL, STACK_CUT = 2, 8  # enum wire_seen_flags
STACK = 3
UNDECIDED = 2
LIMITS = [(2, 10, 256), (0, 10, 10), (1, 3, 5000), (5, 400, 300)]
PARTIAL = 'sparse'  # so many empty entries that not all are looked at


class Record:
    def __init__(self, line):
        which, call, ns, nroots, nstack, flags, data = (line.split(' ') + [''])[:7]
        self.which, self.call, self.ns, self.flags = int(which), int(call), int(ns), int(flags)
        data = bytes.fromhex(data)
        at = 0
        self.roots, self.stack, self.chunks = [], [], []
        for _ in range(int(nroots)):
            self.roots.append(list(struct.unpack_from('<QHB', data, at)))
            at += 16
        for _ in range(int(nstack)):
            self.stack.append(list(struct.unpack_from('<Qq', data, at)))  # and the globals
            at += 24
        while at < len(data):
            address, length, unreadable = struct.unpack_from('<QII', data, at)
            at += 16
            check(at + length <= len(data), 'a piece is longer than its record')
            self.chunks.append((address, data[at:at + length], unreadable))
            at += length + 7 & ~7


def ask(python, *options):
    """The target, what it says, the records of what it showed, and how many were lost, sent and suppressed."""
    target = harness.Target(python.command + [os.path.join(harness.TARGETS, 'snapshots.py')] + [','.join(str(n) for n in limits) for limits in LIMITS])
    plan = json.loads(target.expect('plan'))
    look = subprocess.Popen([LOOK, str(target.pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            preexec_fn=harness.die_with_parent)
    harness.running.append(look)
    lines = ['limits %d %d %d' % limits for limits in LIMITS] + ['stack %d' % STACK] + list(options)
    for operand in plan['operands']:
        lines += ['masked', operand[7:]] if operand.startswith('masked ') else [operand]
    lines += ['constant ' + text for text in plan['constants']]
    for cond, _ in plan['conds']:
        lines += ['cond'] + cond
    look.stdin.write(('\n'.join(lines) + '\ngo\n').encode())
    look.stdin.flush()
    said, errors = harness.Reader(look.stdout), harness.Reader(look.stderr)
    if said.wait_for('ready') is None:
        raise harness.Failed('bpf_look ended: %s' % errors.text())
    target.go()
    target.expect('done')
    look.stdin.close()
    status = harness.ended(look, 'bpf_look')
    check(status == 0, 'bpf_look ended with %d: %s' % (status, errors.text()))
    said.text()
    check(said.lines[-1].startswith('end '), 'bpf_look did not say its end')
    return target, plan, [Record(line) for line in said.lines[1:-1]], [int(n) for n in said.lines[-1].split()[1:]]


def same_as_memory(pid, chunks):
    """The counts of references (3.14 on: and flags) are not compared, wherever they may stand."""
    with open('/proc/%d/mem' % pid, 'rb') as mem:
        for address, data, unreadable in chunks:
            check(not unreadable, 'memory at %#x was not read' % address)
            mem.seek(address)
            now = mem.read(len(data))
            check(now[8:] == data[8:], 'the piece at %#x is not what is there: %s, %s' % (address, data.hex(), now.hex()))


def check_object(pid, limits, name, expected, record):
    root, must, forbidden, text = expected
    check(record.roots == [[root, 0, 0]], 'the root of %s' % name)
    same_as_memory(pid, record.chunks)
    have = {}
    for address, data, _ in record.chunks:
        check(address not in have, '%s: the object at %#x is there twice' % (name, address))
        have[address] = len(data)
    if record.flags & FULL:
        check(limits[1] > 100, '%s did not fit' % name)
        return
    for address, length in must:
        if name.startswith(PARTIAL) and address != root:
            continue
        check(address in have, '%s: an object at %#x is missing' % (name, address))
        check(have[address] >= 16, '%s: %#x has %d bytes' % (name, address, have[address]))
        if length is not None and length < 2000:
            check(have[address] == length, '%s: %#x has %d bytes, not %d' % (name, address, have[address], length))
    for address in forbidden:
        check(address not in have, '%s: an object at %#x is too much' % (name, address))
    if text is not None:
        check(any(bytes.fromhex(text) == data for _, data, _ in record.chunks), '%s: its bytes are missing' % name)


def check_frame(plan, record):
    expected = plan['roots']
    roots = [[obj, status] for obj, _, status in record.roots]
    for i, (have, want) in enumerate(zip(roots, expected)):
        check(have == want, 'value %d of the frame is %r, not %r' % (i, have, want))
    check(len(roots) == len(expected), 'the frame has %d values, not %d' % (len(roots), len(expected)))
    stack = plan['stack'][:STACK]
    check([code for code, _ in record.stack] == [code for code, _ in stack], 'the stack')
    distances = {instr - lasti - (code if instr > 1 << 20 else 0) for (code, instr), (_, lasti) in
                 zip(record.stack, stack) if instr > 1 << 20}
    check(len(distances) <= 1, 'where the frames of the stack stand')
    check(bool(record.flags & STACK_CUT) == (len(plan['stack']) > STACK), 'the mark of a deeper stack')


def check_tests(plan, records):
    decided = 0
    for (which, truth, may_be_undecided), record in zip(plan['tests'], records):
        check(record.which == which, 'the order of the tests')
        if record.call == UNDECIDED and may_be_undecided:
            continue
        decided += 1
        check(record.call == truth, 'operation %d of value %d and constant %d (%s): %d, not %d'
              % (which & 15, which >> 4 & 255, which >> 12, plan['constants'][which >> 12], record.call, truth))
    check(decided > len(plan['tests']) / 2, 'only %d of %d tests were decided' % (decided, len(plan['tests'])))


def check_all(folder, python):
    target, plan, records, (lost, _, _) = ask(python)
    check(lost == 0, '%d events were lost' % lost)
    objects = sum(len(described) for described in plan['objects'])
    check(len(records) == shown(plan), '%d records' % len(records))
    records = iter(records)
    for limits, described in zip(LIMITS, plan['objects']):
        full = False
        for name, *expected in described:
            record = next(records)
            check_object(target.pid, limits, '%s within %r' % (name, limits), expected, record)
            full = full or record.flags & FULL
        check(bool(full) == (limits[1] > 100), 'the mark of what did not fit, of %r' % (limits,))
    check_frame(plan, next(records))
    check_tests(plan, records)
    for (lines, result), record in zip(plan['conds'], records):
        check(record.call == result, '%r gave %d, not %d' % (lines, record.call, result))
    target.finish()
    return '%d objects, %d tests' % (objects, len(plan['tests']))


def shown(plan):
    return sum(len(described) for described in plan['objects']) + 1 + len(plan['tests']) + len(plan['conds'])


def check_limits(folder, python):
    target, plan, records, counts = ask(python, 'count 7')
    target.finish()
    check(len(records) == 7 and counts == [0, 7, 0], 'of 7 events %d came; %r' % (len(records), counts))
    begun = time.monotonic()
    target, plan, records, (lost, sent, suppressed) = ask(python, 'rate 5')
    target.finish()
    seconds = time.monotonic() - begun
    check(len(records) == sent and lost == 0 and sent + suppressed == shown(plan),
          '%d events came, %d sent, %d lost, %d suppressed, of %d' % (len(records), sent, lost, suppressed, shown(plan)))
    check(5 <= sent <= 5 * (seconds + 1), '%d events in %.1f s' % (sent, seconds))


def main():
    suite = harness.Suite(__doc__.splitlines()[0])
    suite.start()
    found = suite.interpreters()
    if found:
        suite.run('limits', check_limits, found[-1])
    for python in found:
        suite.run(python.name, check_all, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
