"""How long attaching and detaching takes on a busy process with very many functions, and what memory pylu-bpf uses."""
import tempfile
import time

from figures import goal, heading, summary, table
from processes import Profile, Target

FUNCTIONS = 20000
SECONDS = 1  # each profile lasts: every function is called dozens of times
NOTHING = 'no.such.module.**'
COLUMNS = (('start', 'start to watching, ms'), ('attached', 'attach, ms'), ('detached', 'detach, ms'),
           ('result', 'interrupt to end, ms'), ('resident', 'RSS, MiB'), ('maps', 'maps, MiB'))


def first_start(target, options):
    """ms from start to watching for a build that this host has not seen: it is proved on a throw-away child."""
    with tempfile.TemporaryDirectory(prefix='pylu-bench-') as cache:
        with Profile(options.pylu_bpf, [target.pid], [NOTHING], cache=cache) as profile:
            profile.stop()
            return profile.startup_ms


def one(target, options, pattern):
    with Profile(options.pylu_bpf, [target.pid], [pattern]) as profile:
        time.sleep(SECONDS)
        resident, maps = profile.resident_kib() / 1024, profile.maps_kib() / 1024
        profile.stop()
        return {'start': profile.startup_ms, 'attached': profile.took('attached'), 'detached': profile.took('detached'),
                'result': profile.stop_ms, 'resident': resident, 'maps': maps}


def run(options):
    heading('Attach, detach, memory: a process that calls %d functions round and round' % FUNCTIONS)
    rows = [['Python', 'pattern'] + [title for _, title in COLUMNS]]
    goals = [['Python', 'pattern', 'start to watching', 'attach', 'detach', 'start to watching, first use of a build, ms']]
    for python in options.pythons:
        first, runs = [], {'**': [], NOTHING: []}
        with Target(python, 'many', str(FUNCTIONS)) as target:
            for _ in range(options.runs):
                first.append(first_start(target, options))
                for pattern in runs:
                    runs[pattern].append(one(target, options, pattern))
        for pattern, figures in runs.items():
            values = {name: [figure[name] for figure in figures] for name, _ in COLUMNS}
            rows.append([python.text, pattern] + [summary(values[name], '%.0f') for name, _ in COLUMNS])
            goals.append([python.text, pattern] + [goal(values[name], limit).strip() for name, limit in
                                                   (('start', 300), ('attached', 300), ('detached', 100))] +
                         ([summary(first, '%.0f')] if pattern == NOTHING else []))
    table(rows)
    table(goals)
