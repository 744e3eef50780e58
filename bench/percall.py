"""What a probed call costs: bare, with the floor, profiled in full, and profiled with a pattern that nothing matches."""
import json
import time

from figures import goal, heading, ratios, summary, table
from processes import Failed, Floor, Profile, Target

ROUNDS = 1000  # of five calls each: one sample, short enough for some that nothing disturbs
SETTLE = 20  # samples that are not counted: what is not known yet is announced and classified
SAMPLES = 60


def sample(target):
    """One run: the least of many samples, since what disturbs only adds."""
    for _ in range(SETTLE):
        target.ask(ROUNDS)
    time.sleep(0.1)
    return min(float(target.ask(ROUNDS)) for _ in range(SAMPLES))


def hits_of(profile, function):
    with open(profile.output.name) as f:
        found, calls = 0, [c for p in json.load(f)['processes'] for t in p['threads'] for c in t['calls']]
    while calls:
        call = calls.pop()
        calls += call['children']
        found += call['hits'] if call['function'] == function else 0
    return found


def profiled(target, options, pattern, hits, backend):
    """One run under pylu-bpf, which must have counted what was called: a wrong profile's speed is of no interest."""
    with Profile(options.pylu_bpf, [target.pid], [pattern], backend=backend) as profile:
        ns = sample(target)
        profile.stop()
        if hits_of(profile, '__main__.leaf') != hits:
            raise Failed('pylu-bpf counted %d calls of leaf, not %d' % (hits_of(profile, '__main__.leaf'), hits))
    return ns


def floored(target, options, sites, backend):
    with Floor(options.floor, target.pid, backend) as floor:
        sites[:] = floor.sites
        ns = sample(target)
        floor.stop()
    return ns


def measure(python, options, backend):
    """The runs of each variant, the variants taking turns, and the sites."""
    sites, calls = [], 2 * ROUNDS * (SETTLE + SAMPLES)
    variants = {
        'bare': sample,
        'floor': lambda target: floored(target, options, sites, backend),
        'full': lambda target: profiled(target, options, '**', calls, backend),
        'nothing': lambda target: profiled(target, options, 'no.such.module.**', 0, backend),
    }
    runs = {name: [] for name in variants}
    with Target(python, 'calls', first=True) as target:
        for turn in range(options.runs):
            for name in (list(variants) * 2)[turn % 4:turn % 4 + 4]:
                runs[name].append(variants[name](target))
    return runs, sites


def ways(pythons):
    """Each interpreter with the backend that fits, those from 3.15 on also with static probes."""
    for python in pythons:
        yield python, None
        if python.version >= (3, 15):
            yield python, 'usdt'


def run(options):
    heading('Cost of a call, ns: a program that calls small functions, by its own clock')
    rows = [['Python', 'not probed', 'floor', "'**'", 'nothing matches', 'all emulated']]
    goals, added = [], []
    for python, backend in ways(options.pythons):
        runs, sites = measure(python, options, backend)
        name = '%s%s%s' % (python.text, ' (%s)' % python.path.split('/')[1] if python.path.startswith('/usr/') else '',
                           ', %s' % backend if backend else '')
        stepped = [site.split()[0] for site in sites if site.endswith('single-stepped')]
        rows.append([name] + [summary(runs[v], '%.0f') for v in ('bare', 'floor', 'full', 'nothing')] +
                    ['no: ' + ', '.join(stepped) if stepped else 'yes, %d sites' % len(sites)])
        full, nothing = ratios(runs['full'], runs['floor']), ratios(runs['nothing'], runs['floor'])
        goals.append([name, summary(full) + goal(full, 1.3), summary(nothing) + goal(nothing, 1.1)])
        added.append([name] + [summary([(a - b) / 1e3 for a, b in zip(runs[v], runs['bare'])]) for v in ('floor', 'full')])
    table(rows)
    table([['Python', "'**' / floor", 'nothing matches / floor']] + goals)
    print('Added to each call, us. The tool that we replace: 56 to 78 as it comes, 2.6 to 3.5 with its logging stubbed out\n'
          '(fixed figures of 3.8 and 3.9, as its successor\'s requirements give them; not measured here).')
    table([['Python', 'floor', "'**'"]] + added)
