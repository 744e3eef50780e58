"""How long attaching and detaching takes on a busy process with very many functions, and what memory pylu-bpf uses."""
import tempfile
import time

from figures import goal, heading, summary, table
from processes import Profile, Target

FUNCTIONS = 20000
SECONDS = 3  # each profile lasts, so that every function has been called


def first_start(target, options):
    """ms from start to watching for a build that this host has not seen: it is proved on a throw-away child."""
    with tempfile.TemporaryDirectory(prefix='pylu-bench-') as cache:
        with Profile(options.pylu_bpf, [target.pid], ['no.such.module.**'], cache=cache) as profile:
            profile.stop()
            return profile.startup_ms


def one(target, options, pattern, figures):
    with Profile(options.pylu_bpf, [target.pid], [pattern]) as profile:
        time.sleep(SECONDS)
        figures['resident'].append(profile.resident_kib() / 1024)
        figures['maps'].append(profile.maps_kib() / 1024)
        profile.stop()
        figures['start'].append(profile.startup_ms)
        figures['result'].append(profile.stop_ms)
        figures['attached'].append(profile.took('attached'))
        figures['detached'].append(profile.took('detached'))


def run(options):
    heading('Attach, detach, memory: a process that calls %d functions round and round' % FUNCTIONS)
    rows = [['Python', 'pattern', 'start, first time, ms', 'start to watching, ms', 'attach, ms', 'detach, ms', 'to result, ms', 'RSS, MiB', 'maps, MiB']]
    goals = [['Python', 'pattern', 'start to watching', 'attach', 'detach']]
    for python in options.pythons:
        with Target(python.path, 'many', str(FUNCTIONS)) as target:
            runs = {'**': {}, 'no.such.module.**': {}}
            names = ('first', 'start', 'attached', 'detached', 'result', 'resident', 'maps')
            for figures in runs.values():
                figures.update((name, []) for name in names)
            for _ in range(options.runs):
                for pattern, figures in runs.items():
                    figures['first'].append(first_start(target, options))
                    one(target, options, pattern, figures)
        for pattern, figures in runs.items():
            rows.append([python.text, pattern] + [summary(figures[name], '%.0f') for name in names])
            goals.append([python.text, pattern, goal(figures['start'], 300).strip(),
                          goal(figures['attached'], 300).strip(), goal(figures['detached'], 100).strip()])
    table(rows)
    table(goals)
