"""Whether reported times are right: functions that know how long they take, against what the profile says of them."""
import json

from figures import heading, summary, table
from processes import Profile, Target

CALLS = 400  # of the outermost function in a run
FUNCTIONS = ('work_1', 'work_5', 'work_50', 'middle', 'top')


def mean_times(profile):
    """ns per complete call of each function, wherever it stands in the tree."""
    sums = {name: [0, 0] for name in FUNCTIONS}
    with open(profile.output.name) as f:
        calls = [c for p in json.load(f)['processes'] for t in p['threads'] for c in t['calls']]
    while calls:
        call = calls.pop()
        calls += call['children']
        name = call['function'].rpartition('.')[2]
        if name in sums:
            sums[name][0] += call['complete_ns']
            sums[name][1] += call['complete']
    return {name: ns / complete for name, (ns, complete) in sums.items()}


def one(target, options, raw):
    with Profile(options.pylu_bpf, [target.pid], ['__main__.*'], raw) as profile:
        target.ask(20)
        target.ask(CALLS)
        profile.stop()
        return mean_times(profile)


def run(options):
    heading('Times: reported / true, true being what the program measures by itself without probes')
    rows = [['Python', 'of', 'true, us', 'corrected', '--raw']]
    for python in options.pythons:
        truth, corrected, raw = [], [], []
        with Target(python.path, 'known') as target:
            for _ in range(options.runs):
                truth.append(json.loads(target.ask('truth')))
                corrected.append(one(target, options, False))
                raw.append(one(target, options, True))
        for name in FUNCTIONS:
            rows.append([python.text, name, summary([t[name] / 1e3 for t in truth])] +
                        [summary([run[name] / t[name] for run, t in zip(runs, truth)]) for runs in (corrected, raw)])
    table(rows)
    print('middle holds 12 calls of the functions above, top 66 calls in all.')
