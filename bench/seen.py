"""trace and debug: what an event costs, what those who are not watched pay, how many events a second are taken, attaching."""
import time

from figures import goal, heading, ratios, summary, table
from processes import Failed, Seen, Target, Floor, WatchFloor

COUNTS = (0, 5, 20)  # values
CALLS = 100  # a sample: few enough that the reader need not keep up with them
SAMPLES = 25
PAUSE = 0.005  # between them, s
MOST_RUNS, FEW_RUNS = 5, 3
LINE, ASIDE = '7', '3-5'  # of the functions in target.py: the first one of line_N; four places
FLOOD = 1.5  # s
SETTLE = 0.3


def interpreters(options):
    """One will do: the cost is the kernel's and ours. This system's, or those that were asked for."""
    system = [python for python in options.pythons if python.path.startswith('/usr/')]
    return options.pythons if len(options.pythons) == 1 or not system else system[:1]


def sample(target, what, calls=CALLS):
    """One run: the least of many samples, since what disturbs only adds."""
    least = None
    for _ in range(SAMPLES + 2):
        ns = float(target.ask('%s %d' % (what, calls)))
        least = ns if least is None else min(least, ns)
        time.sleep(PAUSE)
    return least


def complete(seen, events):
    """Ends it; what it costs is of interest only if all was seen."""
    time.sleep(SETTLE)
    seen.stop()
    shown, lost = seen.counts()
    if shown != events or lost:
        raise Failed('%d events were shown and %d lost, not %d' % (shown, lost, events))


def trace_run(target, options, figures):
    names = ['call_%d' % n for n in COUNTS]
    for name in names:
        figures[name]['bare'].append(sample(target, name))
    with Floor(options.floor, target.pid) as floor:
        for name in names:
            figures[name]['floor'].append(sample(target, name))
        floor.stop()
    with Seen(options.pylu_bpf, 'trace', target.pid, *('__main__.' + name for name in names)) as seen:
        for name in names:  # they become known
            target.ask('%s 2' % name)
        time.sleep(SETTLE)
        for name in names:
            figures[name]['full'].append(sample(target, name))
        complete(seen, 2 * len(names) * ((SAMPLES + 2) * CALLS + 2))


def debug_run(target, options, figures, line):
    for n in COUNTS:
        name = 'line_%d' % n
        figures[name]['bare'].append(sample(target, name))
        with WatchFloor(options.watch_floor, target.pid, '__main__.' + name, line) as floor:
            figures[name]['floor'].append(sample(target, name))
            figures[name]['places'] = floor.places
            floor.stop()
        with Seen(options.pylu_bpf, 'debug', target.pid, '__main__.' + name, line) as seen:
            figures[name]['full'].append(sample(target, name))
            time.sleep(SETTLE)
            seen.stop()
            shown, lost = seen.counts()
            figures[name]['events'] = shown / ((SAMPLES + 2) * CALLS)
            if lost or shown % ((SAMPLES + 2) * CALLS):
                raise Failed('%d events were shown and %d lost' % (shown, lost))


def costs(python, options):
    figures = {'%s_%d' % (kind, n): {'bare': [], 'floor': [], 'full': []} for kind in ('call', 'line') for n in COUNTS}
    with Target(python, 'values', '1', first=True) as target:
        for _ in range(min(options.runs, MOST_RUNS)):
            trace_run(target, options, figures)
            debug_run(target, options, figures, LINE)
    rows = [['command', 'values', 'not watched', 'floor', 'watched', 'added / floor', 'of a call']]
    for name, figure in figures.items():
        kind, n = name.split('_')
        added = {what: [a - b for a, b in zip(figure[what], figure['bare'])] for what in ('floor', 'full')}
        rows.append(['trace' if kind == 'call' else 'debug', n] +
                    [summary([ns / 1e3 for ns in figure[what]]) for what in ('bare', 'floor', 'full')] +
                    [summary(ratios(added['full'], added['floor'])),
                     '2 probes, 2 events' if kind == 'call' else '%d places, %d event%s' % (
                         figure['places'], figure['events'], 's' * (figure['events'] != 1))])
    print('Time of a call, us, %s; what watching adds to it, as a multiple of what the floor adds' % python.text)
    table(rows)


def unwatched(python, options):
    """Calls of other functions, while four places are watched in one that is not called."""
    runs = {'bare': [], 'watched': []}
    with Target(python, 'values', '1', first=True) as target:
        with WatchFloor(options.watch_floor, target.pid, '__main__.aside', ASIDE) as floor:
            if floor.places != 4:
                raise Failed('%d places are watched, not four' % floor.places)
            floor.stop()
        for turn in range(min(options.runs, MOST_RUNS)):
            for name in (('bare', 'watched'), ('watched', 'bare'))[turn % 2]:
                if name == 'bare':
                    runs[name].append(sample(target, 'calls', 1000))
                    continue
                with Seen(options.pylu_bpf, 'debug', target.pid, '__main__.aside', ASIDE) as seen:
                    runs[name].append(sample(target, 'calls', 1000))
                    complete(seen, 0)
    found = ratios(runs['watched'], runs['bare'])
    print('Other functions while four places are watched: %s times their time%s' % (summary(found), goal(found, 1.005)))


def lines_in(path):
    with open(path, 'rb') as f:
        return sum(block.count(b'\n') for block in iter(lambda: f.read(1 << 20), b''))


def flooded(target, options, ending):
    """Events a second that are written while more come than can be."""
    with Seen(options.pylu_bpf, 'trace', target.pid, '__main__.call_5', ending=ending) as seen:
        target.tell('paced call_5 1e9 %g' % (3 * FLOOD))
        time.sleep(FLOOD)
        begun, before = time.monotonic(), lines_in(seen.output.name)
        time.sleep(FLOOD)
        after, ended = lines_in(seen.output.name), time.monotonic()
        target.answer()
        seen.stop()
        return (after - before) / (ended - begun)


def lossless(target, options, ending, rate):
    """Whether events come through at this rate, all of them; the rate that it really was, or None."""
    with Seen(options.pylu_bpf, 'trace', target.pid, '__main__.call_5', ending=ending) as seen:
        target.ask('call_5 2')
        time.sleep(SETTLE)
        calls = int(target.ask('paced call_5 %g %g' % (rate / 2, 2 * FLOOD)))
        time.sleep(SETTLE)
        seen.stop()
        shown, lost = seen.counts()
        return 2 * calls / (2 * FLOOD) if not lost and shown == 2 * calls + 4 else None


def throughput(python, options):
    rows = [['format', 'written under a flood, events/s', 'of that without loss']]
    with Target(python, 'values', '1') as target:
        for ending, name in (('.txt', 'text'), ('.json', 'json')):
            rates, shares = [], []
            for _ in range(min(options.runs, FEW_RUNS)):
                rates.append(flooded(target, options, ending))
                found = (lossless(target, options, ending, rates[-1] * share) for share in (0.9, 0.7, 0.5, 0.3))
                shares.append(next((rate / rates[-1] for rate in found if rate), 0.0))
            rows.append([name, summary(rates, '%.0f'), summary(shares)])
    print('Calls of a function with five arguments, traced to a file; reader and target share the processors')
    table(rows)


def attach(python, options):
    rows = [['command', 'threads', 'start to watching, ms', 'attach, ms', 'detach, ms']]
    for threads in (1, 64):
        with Target(python, 'values', str(threads)) as target:
            for command, what in (('trace', ['__main__.call_5']), ('debug', ['__main__.line_5', LINE])):
                runs = []
                for _ in range(min(options.runs, MOST_RUNS)):
                    with Seen(options.pylu_bpf, command, target.pid, *what) as seen:
                        seen.stop()
                        runs.append((seen.startup_ms, seen.took('attached'), seen.took('detached')))
                rows.append([command, str(threads)] +
                            [summary([run[i] for run in runs], form) for i, form in enumerate(('%.0f', '%.2f', '%.2f'))])
    print('Attaching and detaching')
    table(rows)


def run(options):
    heading('Trace and debug: what an event costs, what others pay, how many are taken')
    for python in interpreters(options):
        costs(python, options)
        unwatched(python, options)
        print()
        throughput(python, options)
        attach(python, options)
