"""mixing: what soak and the end-to-end tests do with tests/targets/mixtures.py: start one, run units, compare its own counts
with a profile, exactly.
"""
import json
import os

import compare
import harness
from harness import Failed, Skipped, Target, check

MIXTURES = os.path.join(harness.TARGETS, 'mixtures.py')
MARK = 'x_'  # functions that count themselves are named so, and no others


class Mixture:
    """A target with one mixture. It stands still but for the units that it is told to run."""

    def __init__(self, folder, python, name, scale=1):
        # One arena: else how much memory a thread's end leaves behind differs from run to run.
        env = dict(os.environ, MALLOC_ARENA_MAX='1', PYTHONDONTWRITEBYTECODE='1')
        self.target = Target(python.command + [MIXTURES, name, '--scale', str(scale)], cwd=folder, env=env)
        self.pid = self.target.pid
        self.counts = {'own': {}, 'raised': {}, 'children': {}}
        said, _, reason = self.target.expect('mixture').partition(' ')
        if said == 'absent':
            raise Skipped(reason)

    def begin(self):
        """Has it run a unit; finish() waits for its end."""
        self.target.go()

    def finish(self):
        """What the unit called: {'own': {name: calls}, 'raised': ..., 'children': ...}."""
        before, self.counts = self.counts, json.loads(self.target.expect('done'))
        return {kind: {name: n - before[kind].get(name, 0) for name, n in self.counts[kind].items()} for kind in self.counts}

    def unit(self):
        self.begin()
        return self.finish()

    def end(self):
        self.target.finish()


def add(total, more):
    """Adds what another unit called."""
    for kind, calls in more.items():
        mine = total.setdefault(kind, {})
        for name, n in calls.items():
            mine[name] = mine.get(name, 0) + n
    return total


def wanted(called, tree):
    """Calls by name that a profile of all of the process must show, or with `tree` of its children too."""
    hits = dict(called['own'])
    if tree:
        for name, n in called['children'].items():
            hits[name] = hits.get(name, 0) + n
    return hits


def found(profile, field='hits'):
    """The same from a profile."""
    hits = {}
    for _, key, call in compare.flatten(profile):
        if key[2].startswith(MARK):
            hits[key[2]] = hits.get(key[2], 0) + call[field]
    return hits


def lost(profile):
    return sum(sum(process['lost'].values()) for process in profile['processes'])


def warnings_of_wrong(profile):
    """Warnings of the kind that says that something was not as it must be."""
    return sorted({text for process in profile['processes'] for text in process['warnings']
                   if 'not seen to end' in text or 'no code object' in text})


def compare_counts(profile, called, tree=False):
    """Fails on any difference. The number of calls that were compared."""
    check(lost(profile) == 0, 'lost: %s' % [process['lost'] for process in profile['processes'] if any(process['lost'].values())][:5])
    check(not warnings_of_wrong(profile), '; '.join(warnings_of_wrong(profile)))
    got, want = found(profile), wanted(called, tree)
    different(got, want, 'hits')
    got, want = found(profile, 'raised'), called['raised']
    different({name: got.get(name, 0) for name in want}, want, 'raised')
    return sum(found(profile).values())


def bpf_objects(pid):
    """{(kind, id)} of the programs, maps and links that a process holds."""
    return {(kind, int(fields[kind + '_id'])) for kind, fields in descriptors(pid)}


def kernel_memory(pid):
    """Bytes that the kernel keeps for the BPF maps of a process: since 6.4 more when there is more in them."""
    return sum(int(fields['memlock']) for kind, fields in descriptors(pid) if kind == 'map')


def descriptors(pid):
    folder = '/proc/%d/fdinfo' % pid
    for number in os.listdir(folder):
        try:
            with open(os.path.join(folder, number)) as f:
                fields = dict(line.split(':', 1) for line in f if ':' in line)
        except OSError:     # closed meanwhile
            continue
        for kind in 'map', 'prog', 'link':
            # A link's descriptor names its program too.
            if kind + '_id' in fields and (kind == 'link' or 'link_id' not in fields):
                yield kind, {name.strip(): value.strip() for name, value in fields.items()}


def different(got, want, what):
    wrong = ['%s: pylu-bpf %d, right is %d' % (name, got.get(name, 0), want.get(name, 0))
             for name in sorted(set(got) | set(want)) if got.get(name, 0) != want.get(name, 0)]
    if wrong:
        raise Failed('%s differ: %s' % (what, '; '.join(wrong)))


def at_most(profile, called, tree=False):
    """For a session that saw a part only: nothing is counted that was not called. The number of calls that were seen."""
    check(lost(profile) == 0, 'lost: %s' % [process['lost'] for process in profile['processes']][:5])
    got, want = found(profile), wanted(called, tree)
    wrong = ['%s: pylu-bpf %d, there were %d' % (name, n, want.get(name, 0)) for name, n in sorted(got.items()) if n > want.get(name, 0)]
    check(not wrong, 'more hits than calls: %s' % '; '.join(wrong))
    return sum(got.values())
