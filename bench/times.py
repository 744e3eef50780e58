"""Whether reported times are right: functions that know how long they take, against what the profile says of them."""
import json

from figures import heading, summary, table
from processes import Profile, Target

CALLS = 400  # of the outermost function in a run
FUNCTIONS = ('work_1', 'work_5', 'work_50', 'middle', 'top')


def reported(profile):
    """The least and the mean ns of the complete calls of each function, wherever they stand in the tree."""
    sums = {name: [None, 0, 0] for name in FUNCTIONS}
    with open(profile.output.name) as f:
        calls = [c for p in json.load(f)['processes'] for t in p['threads'] for c in t['calls']]
    while calls:
        call = calls.pop()
        calls += call['children']
        found = sums.get(call['function'].rpartition('.')[2])
        if found:
            found[0] = call['min_ns'] if found[0] is None else min(found[0], call['min_ns'])
            found[1] += call['complete_ns']
            found[2] += call['complete']
    return {name: (least, ns / complete) for name, (least, ns, complete) in sums.items()}


def one(target, options, raw):
    with Profile(options.pylu_bpf, [target.pid], ['__main__.*'], raw) as profile:
        for calls in (20, CALLS):
            target.ask(calls)
        profile.stop()
        return reported(profile)


def run(options):
    heading('Times: reported / true, true being what the program measures by itself without probes')
    rows = [['Python', 'of', 'true least, us', 'least call', 'mean call', 'least call, --raw', 'mean call, --raw']]
    for python in options.pythons:
        truth, corrected, raw = [], [], []
        with Target(python, 'known', first=True) as target:
            for _ in range(options.runs):
                truth.append(json.loads(target.ask('truth')))
                corrected.append(one(target, options, False))
                raw.append(one(target, options, True))
        for name in FUNCTIONS:
            rows.append([python.text, name, summary([t[name][0] / 1e3 for t in truth])] +
                        [summary([run[name][which] / t[name][which] for run, t in zip(runs, truth)])
                         for runs in (corrected, raw) for which in (0, 1)])
    table(rows)
    print('middle holds 12 calls of the functions above, top 66 calls in all.')
