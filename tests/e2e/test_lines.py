#!/usr/bin/env python3
"""test_lines: what the places of a line tell of it, against sys.settrace in the same interpreter, without any watchpoint.

tests/targets/lines.py traces random programs: the instructions of each frame in their order, and the lines that settrace tells of.
places says which instructions have to be watched for a line, and what it means when a frame comes from one of them to another.
What is left of a frame's instructions when only those are looked at must give the very same lines, at the very same
instructions. New frames are taken for the latest that ended, as they often lie at the same address.
"""
import collections
import json
import os
import subprocess

import harness
from harness import check

TARGET = os.path.join(harness.TARGETS, 'lines.py')
FEW = 4  # that can be watched at a time
YIELDS = 'YIELD_VALUE', 'YIELD_FROM'
RETURNS = ('RETURN_VALUE', 'RETURN_CONST', 'RETURN_GENERATOR')
Step = collections.namedtuple('Step', 'leaves enters pauses resumes ends unsure')


class Code:
    def __init__(self):
        self.line = {}  # of each instruction, by the offset where it starts
        self.start = {}  # where the instruction at an offset starts
        self.op = {}
        self.before = {}  # where the instruction before an instruction starts
        self.cached = set()  # instructions that are followed by inline caches
        self.windows = {}  # line: offsets
        self.watches = []  # (lines, {offset}, {(from, to): Step})


def ask(pid, addresses, *options):
    """{address: Code}"""
    done = subprocess.run([harness.tool('ask_places'), str(pid)] + list(options), input='\n'.join(map(str, addresses)) + '\n',
                          capture_output=True, encoding='utf-8', errors='surrogatepass', timeout=harness.PATIENCE)
    check(done.returncode == 0, 'ask_places ended with %d: %s' % (done.returncode, done.stderr))
    codes = {}
    for line in done.stdout.splitlines():
        word, _, rest = line.partition(' ')
        if word == 'code':
            code = codes[int(rest)] = Code()
        elif word == 'instr':
            start, offset, following, number, op = rest.split(' ')
            code.line[int(start)], code.op[int(start)] = int(number), op
            code.before[int(following)] = int(start)
            if int(following) > int(offset) + 2:
                code.cached.add(int(start))
            for at in range(int(start), int(offset) + 2, 2):
                code.start[at] = int(start)
        elif word == 'line':
            numbers = [int(n) for n in rest.split(' ')]
            code.windows[numbers[0]] = numbers[1:]
        elif word == 'watch':
            lines, *offsets = rest.split(' ')
            code.watches.append(({int(n) for n in lines.split(',')}, {int(n) for n in offsets}, {}))
        elif word == 'step':
            from_, to, *what = [int(n) for n in rest.split(' ')]
            code.watches[-1][2][from_, to] = Step(*what)
    return codes


def truth(code, events, version):
    """[(instruction, line left or 0, line entered or 0, line in which it returns or 0, line that it is in then or 0)] of a
    frame."""
    out, current, told, last, raw = [], 0, 0, None, None
    for event in events:
        if event < 0:
            told = -event
            continue
        at = code.start[event]
        # An instruction with prefixes is told of at the first of them, in some versions again at itself.
        if at != event and last == at and raw < event and not told:
            raw = event
            continue
        # What 3.9 tells after an exception may have the number of the line before, and what 3.12 tells after a call of a function
        # in Python, where jumps lead to, is no other line.
        if told and version == (3, 9):
            told = code.line[at]
        if told == current and version == (3, 12) and last in code.cached:
            told = 0
        # RESUME is not told of.
        if last is None and code.op.get(code.before.get(at)) == 'RESUME':
            out.append((code.before[at], 0, 0, 0, 0))
        last, raw = at, event
        left = current if current and (told or code.line[at] != current) else 0
        if told or left:
            current = told
        entered, told = told, 0
        ends = code.op[at] in RETURNS
        out.append((at, left, entered, current if ends else 0, 0 if ends else current))
        if ends:
            current = 0
    return out


def slots(frames):
    """For each frame the number of its address: that of the latest frame of this code that has ended."""
    free, used, out, made = [], [], [], 0
    for code, name, began, ended, events in frames:
        for end, slot in [u for u in used if u[0] < began]:
            used.remove((end, slot))
            free.append(slot)
        if not free:
            free.append(made)
            made += 1
        out.append(free.pop())
        used.append((ended, out[-1]))
        used.sort()
    return out


class Frame:
    """What happened in a frame, by instruction and by line."""

    def __init__(self, code, events):
        self.events = events
        self.first = 0  # of those that are looked at
        self.at = collections.defaultdict(list)
        self.of = collections.defaultdict(list)
        self.doomed = len(events)  # from there on an exception ends it
        while self.doomed and not code.line[events[self.doomed - 1][0]] and code.op[events[self.doomed - 1][0]] not in RETURNS:
            self.doomed -= 1
        for n, (at, *lines) in enumerate(events):
            self.at[at].append(n)
            for line in set(lines[:3]) - {0}:
                self.of[line].append(n)

    def look(self, offsets, lines):
        """The events at these instructions, and those of these lines."""
        return sorted({n for key in offsets if key in self.at for n in self.at[key]} |
                      {n for key in lines if key in self.of for n in self.of[key]})


def simulate(code, watch, frames, places, counts, pauses):
    """Compares what one watch tells with what happened; a text where it differs."""
    lines, offsets, steps = watch
    last, still = {}, {}  # of each address: place; whether it is where a generator stands still in a line
    for frame, slot in zip(frames, places):
        looked = frame.look(offsets, lines)
        frame.first = looked[0] if looked else 0
        for n in looked:
            at, left, entered, returned, current = frame.events[n]
            right = (left if left in lines else 0, entered if entered in lines else 0)
            over = returned if returned in lines else 0
            if at not in offsets:
                # An exception ends the frame: it is only seen to end.
                if (right == (left, 0) and n >= frame.doomed) or not (any(right) or over):
                    continue
                return 'at %d: %r is missed' % (at, (right, over))
            step = steps[last.get(slot, -1), at]
            rests = pauses and current in lines and code.op[at] in YIELDS, still.get(slot, False) and n != frame.first
            last[slot], still[slot] = at, rests[0]
            counts['hits'] += 1
            if step.unsure:
                counts['unsure'] += 1
                continue
            # A line in which it returns is left there, also where it was entered there.
            if over and not entered and not left:
                right = (over, 0)
            if (step.leaves, step.enters) != right or bool(step.ends) != (code.op[at] in RETURNS):
                return 'at %d (%s, line %d): %r, and is told %r' % (at, code.op[at], code.line[at], right, step)
            if pauses and (bool(step.pauses), bool(step.resumes)) != rests:
                return 'at %d (%s, line %d): stands still, goes on: %r, and is told %r' % (at, code.op[at], code.line[at], rests, step)
    return None


def start(python, seed, count):
    target = harness.Target(python.command + [TARGET, str(seed), str(count)])
    programs, frames, differ = {}, collections.defaultdict(list), []
    while True:
        line = target.process.stdout.readline().decode()
        check(line, 'target %d ended before it was ready: %s' % (target.pid, target.error_text()))
        word, _, rest = line.rstrip('\n').partition(' ')
        if word == 'ready':
            return target, programs, frames
        if word == 'program':
            current, source = json.loads(rest)
            programs[current] = source
        elif word == 'same':
            check(rest == '1', 'program %d: settrace tells other lines when it tells of instructions' % current)
        elif word == 'frame':
            record = json.loads(rest)
            frames[current, record[0]].append(record)


def compare(folder, python, seed, count):
    target, programs, frames = start(python, seed, count)
    # Half of them as for measuring times, which takes more places.
    codes = ask(target.pid, [address for program, address in frames if program % 2])
    codes.update(ask(target.pid, [address for program, address in frames if not program % 2], 'pauses'))
    counts, wrong, many = collections.Counter(), [], 0
    for (program, address), records in frames.items():
        code = codes[address]
        happened = [Frame(code, truth(code, r[4], python.version[:2])) for r in records]
        places = slots(records)
        for watch in code.watches:
            counts['watches'] += 1
            said = simulate(code, watch, happened, places, counts, not program % 2)
            if said:
                wrong.append('program %d, %s, lines %s: %s' % (program, records[0][1], sorted(watch[0]), said))
        counts['lines'] += len(code.windows)
        counts['plain'] += program % 2 and len(code.windows)
        many += program % 2 and sum(len(w) > FEW for w in code.windows.values())
    target.finish()
    if wrong:
        with open(os.path.join(folder, 'program.py'), 'w') as f:
            f.write(programs[int(wrong[0].split()[1].rstrip(','))])
    check(not wrong, '%d of %d watches are wrong:\n%s' % (len(wrong), counts['watches'], '\n'.join(wrong[:12])))
    check(counts['unsure'] * 100 < counts['hits'], '%(unsure)d of %(hits)d hits are unsure' % counts)
    return '%(lines)d lines, %(watches)d watches, %(hits)d hits, %(unsure)d unsure; of %(plain)d lines ' % counts + \
        '%d with more than %d places' % (many, FEW)


def main():
    suite = harness.Suite(__doc__)
    suite.parser.add_argument('--seed', type=int, default=1)
    suite.parser.add_argument('--count', type=int, default=5, help='programs for each interpreter')
    arguments = suite.start()
    for python in suite.interpreters():
        suite.run(python.name, compare, python, arguments.seed, arguments.count, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
