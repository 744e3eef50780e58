#!/usr/bin/env python3
"""compare: a profile of pylu-bpf against the truth, exactly.

    compare.py PROFILE.json TRUTH.json [COUNTERS.json]

Owns what must be equal and what a profile must satisfy by itself. PROFILE is the output of `pylu-bpf profile -f json '**'`,
TRUTH that of tests/targets/truth.py in the program's twin, COUNTERS the program's own counters in the very run that was
profiled. Prints each difference and exits with 1 when there is one.

Nothing is compared with a tolerance. What cannot be known is left out: starts while the twin's profile function was off
(recursion to the limit: the program's own counter tells), exceptions of generators where 3.12 does not tell them from a yield
of None, and in a target that is disturbed: who calls a finaliser (to 3.12 sys.setprofile keeps objects alive longer), and
whether a generator that is dropped ends by GeneratorExit (3.13: only if it is monitored).
"""
import sys

MAX_SHOWN = 12


def name_of(key):
    return '%s:%d:%s' % key


def flatten(profile, pid=None):
    """Every call of the profile: [index of the parent or -1, key, call]; key is (file, line, co_name)."""
    nodes = []
    for process in profile['processes']:
        if pid is not None and process['pid'] != pid:
            continue
        for thread in process['threads']:
            stack = [(-1, call) for call in reversed(thread['calls'])]
            while stack:
                parent, call = stack.pop()
                key = call['file'], call['line'], call['function'].rpartition('.')[2]
                nodes.append([parent, key, call])
                at = len(nodes) - 1
                stack += [(at, child) for child in reversed(call['children'])]
    return nodes


def totals(nodes, field='hits'):
    """The sum of a field by key."""
    out = {}
    for _, key, call in nodes:
        out[key] = out.get(key, 0) + call[field]
    return out


def edges(nodes, field='hits'):
    """The sum of a field by (key of the caller or None, key)."""
    out = {}
    for parent, key, call in nodes:
        edge = nodes[parent][1] if parent >= 0 else None, key
        out[edge] = out.get(edge, 0) + call[field]
    return out


GENERATOR = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
ASYNC_GENERATOR = 0x200
ROOT_PATH = 0
INTERNED = {}  # (place of the caller, key) -> place in any call tree


def paths(rows, fields, stop=()):
    """The call tree of all threads together: {place: values}. `rows` are (parent, key, values); below a key in `stop` nothing
    is kept, and nothing that is 0 throughout."""
    places = []
    out = {}
    for parent, key, values in rows:
        above = places[parent] if parent >= 0 else ROOT_PATH
        if above is None or key in stop:
            places.append(None)
            continue
        place = INTERNED.setdefault((above, key), len(INTERNED) + 1)
        places.append(place)
        if any(values[:fields]):
            old = out.get(place, (0,) * fields)
            out[place] = tuple(a + b for a, b in zip(old, values))
    return out


class Truth:
    def __init__(self, data):
        self.data = data
        self.version = tuple(int(part) for part in data['version'].split('.')[:2])
        self.keys = [tuple(key) for key in data['keys']]
        self.about = {}  # key -> [(qualified name or None, module, flags)]
        for number, qualname, module, flags in data['names']:
            self.about.setdefault(self.keys[number], []).append((qualname, module, flags))
        self.wanted = {self.keys[i] for i in data['compare']}
        self.unsure = {self.keys[i] for i in data['unsure']}
        self.spared = {self.keys[i]: count for i, count in data['spared']}
        self.rows = [(parent, self.keys[number], (starts, raised)) for parent, number, starts, raised in data['nodes']]
        counters = data.get('counters', [])
        by_number = {(file.partition('!')[0], number): (file, line, name) for file, line, name, _, number in counters}
        # Functions that ran with the twin's profile function off.
        self.hidden = {by_number[path, number] for path, number, _ in data.get('deep', [])}

    def starts(self):
        out = {}
        for _, key, (starts, _) in self.rows:
            if key in self.wanted:
                out[key] = out.get(key, 0) + starts
        return out

    def raised(self, got, watched):
        """Ends by exception, of a run that truth.py `watched` or of one that it did not. In the second asynchronous
        generators may have been spared some of those that it lists: what was `got` is right if it lies between."""
        out = {}
        for _, key, (_, raised) in self.rows:
            if key in self.wanted:
                out[key] = out.get(key, 0) + raised
        for key, count in self.spared.items():
            if key not in self.wanted or watched:
                continue
            least = out[key] - count
            asynchronous = any(flags & ASYNC_GENERATOR for _, _, flags in self.about.get(key, []))
            out[key] = min(max(got.get(key, 0), least), out[key]) if asynchronous else least
        return out

    def edges(self):
        out = {}
        for parent, key, (starts, _) in self.rows:
            if key in self.wanted and starts:
                edge = self.rows[parent][1] if parent >= 0 else None, key
                out[edge] = out.get(edge, 0) + starts
        return out


def differences(what, got, want, name, keys=None):
    out = []
    for key in sorted(keys if keys is not None else set(got) | set(want), key=repr):
        if got.get(key, 0) != want.get(key, 0):
            out.append('%s of %s: pylu-bpf %d, truth %d' % (what, name(key), got.get(key, 0), want.get(key, 0)))
    return out


def edge_name(edge):
    return '%s called by %s' % (name_of(edge[1]), name_of(edge[0]) if edge[0] else 'nobody')


def counter_witness(truth, counters):
    """The truth against the program's counters in the twin, and those against the ones of the profiled run."""
    out, starts = [], truth.starts()
    twin = {}
    for file, line, name, count, _ in truth.data.get('counters', []):
        key = file, line, name
        twin[key] = count
        if key not in truth.hidden and starts.get(key, 0) != count:
            out.append('the truth is wrong: starts of %s in the twin: %d, its counter: %d'
                       % (name_of(key), starts.get(key, 0), count))
    for file, line, name, count, _ in (counters or {}).get('counters', []):
        key = file, line, name
        if key not in truth.hidden and twin[key] != count:
            out.append('the program is not deterministic: counter of %s in the twin: %d, in the target: %d'
                       % (name_of(key), twin[key], count))
    return out


def names(nodes, truth):
    """The module and, from 3.11 on, the qualified name."""
    out = set()
    for _, key, call in nodes:
        if key not in truth.wanted or not call['hits']:
            continue
        about = truth.about[key]
        if about[0][0] is None:
            right = any(call['function'].startswith('%s.' % module) for _, module, _ in about)
        else:
            right = call['function'] in ['%s.%s' % (module, qualname) for qualname, module, _ in about if module]
        if not right and about[0][1] is not None:
            out.add('function at %s is called %r, truth %s' % (name_of(key), call['function'], about))
        if call['generator'] != bool(about[0][2] & GENERATOR):
            out.add('generator of %s is %r, its flags are %#x' % (name_of(key), call['generator'], about[0][2]))
    return sorted(out)


def compare(nodes, truth, counters=None, disturbed=False, whole_tree=True, watched=False):
    """A list of differences, empty when all is equal. `disturbed`: the target ran under sys.setprofile now and then;
    `watched`: the profile is of the twin itself."""
    out = counter_witness(truth, counters)
    hits, raised, between = totals(nodes), totals(nodes, 'raised'), edges(nodes)
    mine = {key for key in hits if key in truth.wanted} | truth.wanted
    seen = mine - truth.hidden
    # A file of the truth's from which something ran that the truth does not know at all.
    files = {key[0] for key in truth.wanted}
    strangers = {key for key, count in hits.items() if key[0] in files and key not in truth.wanted and count}
    out += differences('hits', hits, truth.starts(), name_of, seen | strangers - truth.hidden)
    unsure = set(truth.unsure)
    if disturbed and truth.version >= (3, 13):
        # gen_close() spares a suspended generator the exception unless its next instruction is monitored.
        unsure |= {key for key in seen if any(flags & GENERATOR for _, _, flags in truth.about.get(key, []))}
    out += differences('raised', raised, truth.raised(raised, watched), name_of, seen - unsure)

    def keep(edge):
        return edge[1] in seen and edge[0] not in truth.hidden and not (disturbed and edge[1][2] == '__del__')

    out += differences('calls', {e: n for e, n in between.items() if keep(e)},
                       {e: n for e, n in truth.edges().items() if keep(e)}, edge_name)
    if counters:
        out += hidden_part(hits, between, truth, counters)
    out += names(nodes, truth)
    if whole_tree and not disturbed:
        got = paths([(p, k, (c['hits'] if k in seen else 0,)) for p, k, c in nodes], 1, truth.hidden)
        want = paths([(p, k, (v[0] if k in seen else 0,)) for p, k, v in truth.rows], 1, truth.hidden)
        out += tree_differences(got, want)
    return out


def tree_differences(got, want):
    """Where the call trees differ; what is below such a place says nothing new."""
    above = {number: place for (place, _), number in INTERNED.items()}
    key_at = {number: key for (_, key), number in INTERNED.items()}
    wrong = {place for place in set(got) | set(want) if got.get(place) != want.get(place)}
    out = []
    for place in sorted(wrong):
        callers = []
        at = above[place]
        while at:
            callers.append(at)
            at = above[at]
        if wrong.isdisjoint(callers):
            path = ' < '.join('%s:%d:%s' % ((key_at[at][0].rpartition('/')[2],) + key_at[at][1:]) for at in [place] + callers[:7])
            out.append('hits at %s: pylu-bpf %d, truth %d' % (path, got.get(place, (0,))[0], want.get(place, (0,))[0]))
    return out


def hidden_part(hits, between, truth, counters):
    """What the twin could not see, by the counters of the profiled run itself: a function that calls itself n times and is
    called from elsewhere once for each use of `_deep`."""
    out, want = [], {}
    by_number = {}
    for file, line, name, count, number in counters['counters']:
        by_number[file.partition('!')[0], number] = file, line, name
        want[file, line, name] = count
    out += differences('hits (own counter)', hits, want, name_of, want)
    uses = {}
    for path, number, _ in counters['deep']:
        key = by_number[path, number]
        uses[key] = uses.get(key, 0) + 1
    got = {key: between.get((key, key), 0) for key in uses}
    out += differences('calls by itself', got, {key: want[key] - uses[key] for key in uses}, name_of)
    return out


def invariants(profile, finished=False):
    """What every profile must satisfy. `finished`: all calls of functions that are no generators are over, but those that
    were running before we came and the gate at which the target waits."""
    out = []
    for process in profile['processes']:
        for what, count in process['lost'].items():
            if count:
                out.append('process %d: lost.%s is %d' % (process['pid'], what, count))
    nodes = flatten(profile)
    raw = all(process['raw'] for process in profile['processes'])
    generator_below = [False] * len(nodes)
    children_ns = [0] * len(nodes)
    for i in range(len(nodes) - 1, -1, -1):
        parent, _, call = nodes[i]
        if parent >= 0:
            generator_below[parent] |= generator_below[i] or call['generator']
            children_ns[parent] += call['total_ns']
    for i, (parent, key, call) in enumerate(nodes):
        def wrong(text):
            out.append('%s (%s): %s' % (call['function'], name_of(key),
                                        text.format(**{k: v for k, v in call.items() if k != 'children'})))
        complete = call['complete']
        if key[0] == '<shim>':
            wrong('the interpreter\'s own entry frame (3.12) is no function')
        if sum(call['log2_ns']) != complete:
            wrong('sum of log2_ns %d, complete {complete}' % sum(call['log2_ns']))
        if complete > call['hits']:
            wrong('complete {complete} above hits {hits}')
        if complete and not call['min_ns'] * complete <= call['complete_ns'] <= call['max_ns'] * complete:
            wrong('complete_ns {complete_ns} of {complete} outside of min {min_ns} and max {max_ns}')
        if not complete and (call['min_ns'] or call['max_ns'] or call['complete_ns']):
            wrong('times of complete calls without a complete call: {min_ns} {max_ns} {complete_ns}')
        if call['complete_ns'] > call['total_ns']:
            wrong('complete_ns {complete_ns} above total_ns {total_ns}')
        if call['self_ns'] > call['total_ns']:
            wrong('self_ns {self_ns} above total_ns {total_ns}')
        if not call['generator'] and (call['suspended_at_end'] or call['elapsed_ns']):
            wrong('suspended_at_end {suspended_at_end}, elapsed_ns {elapsed_ns} of a function that is no generator')
        if call['raised'] > call['hits'] + call['running_at_start']:
            wrong('raised {raised} above hits {hits} and running_at_start {running_at_start}')
        open_calls = call['hits'] + call['running_at_start'] - complete
        if call['running_at_end'] + call['suspended_at_end'] > open_calls:
            wrong('running_at_end {running_at_end} and suspended_at_end {suspended_at_end} of %d open calls' % open_calls)
        if not call['generator']:
            if call['running_at_end'] > call['running_at_start'] + call['hits'] - complete:
                wrong('running_at_end {running_at_end}: hits {hits}, complete {complete}')
            ended = complete + call['untimed']
            if call['running_at_end'] < call['hits'] - ended:
                wrong('hits {hits}, complete {complete}, untimed {untimed}, running_at_end {running_at_end}: an end is missing')
            if finished and call['hits'] != ended and key[2] != 'gate':
                wrong('hits {hits}, complete {complete}, although all is over')
            # Times without --raw are corrected by an estimate of the probes' own cost: sums need not fit then.
            if raw and finished and not generator_below[i] and call['self_ns'] + children_ns[i] > call['total_ns']:
                wrong('self_ns {self_ns} and children %d above total_ns {total_ns}' % children_ns[i])
        check_histogram(call, wrong)
    return out


def check_histogram(call, wrong):
    filled = [i for i, count in enumerate(call['log2_ns']) if count]
    if filled and not (max(call['min_ns'], 1).bit_length() - 1 == filled[0] and
                       max(call['max_ns'], 1).bit_length() - 1 == filled[-1]):
        if filled[-1] != len(call['log2_ns']) - 1:  # the last bucket may be open-ended
            wrong('min_ns {min_ns} and max_ns {max_ns} are not in the histogram\'s ends %d and %d' % (filled[0], filled[-1]))


def shorten(found):
    return found[:MAX_SHOWN] + (['... and %d more' % (len(found) - MAX_SHOWN)] if len(found) > MAX_SHOWN else [])


def main(arguments):
    import harness
    if len(arguments) not in (2, 3):
        print(__doc__)
        return 2
    profile, truth = harness.load_json(arguments[0]), Truth(harness.load_json(arguments[1]))
    counters = harness.load_json(arguments[2]) if len(arguments) > 2 else None
    found = invariants(profile) + compare(flatten(profile), truth, counters)
    for line in shorten(found):
        print(line)
    print('%d differences' % len(found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
