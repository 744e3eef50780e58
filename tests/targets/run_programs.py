"""run_programs: the target of the random tests. Runs generated programs one after the other in one process.

    run_programs.py [--mode plain|timer|toggle] [--counters FILE] [--truth FILE] PROGRAM...

Without --truth it is a target: it says 'ready' on stdout and reads one byte from stdin, runs the programs, says 'done' and
reads one byte again, then writes the programs' own counters. With --truth it is the twin: it does not wait, and runs them
under truth.py. The programs get two helpers in their namespace: `_deep`, for recursion to the limit, and `_path`.

The frames between main() and a program are the same in both, so that whole call trees can be compared.
"""
import argparse
import gc
import json
import os
import random
import signal
import sys
import threading
import types
import warnings

import truth as truth_module

recorder = None  # the twin's Truth
deep_calls = []  # [program, function (line, name), starts]: what ran while the profile function was switched off
ticks = [0]
toggles_monitoring = False  # whether tool 3 is ours (3.12 on)


def gate(word):
    """Tells the runner where we are and waits until it lets us go on."""
    os.write(1, word.encode() + b'\n')
    if os.read(0, 1) == b'':
        os._exit(3)


def deep(path, counts, number, fn, *args):
    """Calls `fn`, which recurses into itself to the limit. A profile, trace or signal function has no room to run there and
    would change what the program does, so all of them are off meanwhile; the program's own counter is the truth."""
    before = counts()
    # Not by a mask: the signal may come in another thread, and its handler runs in this one.
    interval = signal.setitimer(signal.ITIMER_REAL, 0)[1]
    old_handler = signal.signal(signal.SIGALRM, signal.SIG_IGN)  # one may still be under way
    if recorder is not None:
        recorder.pause()
        try:
            return fn(*args)
        finally:
            recorder.resume()
            deep_calls.append([path, number, counts() - before])
    old_trace, old_profile = sys.gettrace(), sys.getprofile()
    old_events = sys.monitoring.get_events(3) if toggles_monitoring else 0
    quiet()
    try:
        return fn(*args)
    finally:
        deep_calls.append([path, number, counts() - before])
        if old_events:
            sys.monitoring.set_events(3, old_events)
        sys.setprofile(old_profile)
        sys.settrace(old_trace)
        signal.signal(signal.SIGALRM, old_handler)
        signal.setitimer(signal.ITIMER_REAL, interval, interval)


def run_one(path, counters):
    with open(path) as f:
        source = f.read()
    name = os.path.splitext(os.path.basename(path))[0]
    module = types.ModuleType(name)
    module.__file__ = path
    space = module.__dict__

    def deep_in_program(number, fn, *args):
        return deep(path, lambda: space['_count'](number), number, fn, *args)

    space.update(_path=path, _deep=deep_in_program)
    sys.modules[name] = module
    try:
        exec(compile(source, path, 'exec'), space)
        if space['_drop']:
            space['_keep'].clear()
        gc.collect()
        for number, (file, line, func) in space['_counters'].items():
            counters.append([file, line, func, space['_count'](number), number])
    finally:
        if space.get('_drop', True):  # the code objects go, and their addresses are used again
            del sys.modules[name]
            module = deep_in_program = None
            space.clear()
        gc.collect()


def main(args):
    counters = []
    if args.mode != 'plain' and recorder is None:
        disturb(args.mode, args.seed)
    for path in args.programs:
        run_one(path, counters)
    if args.mode != 'plain' and recorder is None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        quiet()
    return counters


# What disturbs a target from the side. None of it calls anything of the programs.

def on_tick(number, frame):
    ticks[0] += 1


def on_event(*args):
    return None


def on_trace(frame, what, arg):
    return on_trace if frame.f_lineno & 1 else None


def quiet():
    sys.settrace(None)
    sys.setprofile(None)
    if toggles_monitoring:
        sys.monitoring.set_events(3, 0)


def disturb(mode, seed):
    if mode == 'timer':
        signal.signal(signal.SIGALRM, on_tick)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        return
    rng = random.Random(seed)
    ways = [quiet, lambda: sys.settrace(on_trace), lambda: sys.setprofile(on_event)]
    if hasattr(sys, 'monitoring'):
        global toggles_monitoring
        toggles_monitoring = True
        mon = sys.monitoring
        mon.use_tool_id(3, 'toggle')
        ev = mon.events
        for event in (ev.PY_START, ev.PY_RESUME, ev.PY_RETURN, ev.PY_YIELD, ev.CALL, ev.LINE, ev.INSTRUCTION):
            mon.register_callback(3, event, on_event)
        ways += [lambda: mon.set_events(3, ev.PY_START | ev.PY_RESUME),
                 lambda: mon.set_events(3, ev.PY_START | ev.PY_RETURN | ev.PY_YIELD),
                 lambda: mon.set_events(3, ev.CALL | ev.LINE),
                 lambda: mon.set_events(3, ev.INSTRUCTION)]

    def on_toggle(number, frame):
        ticks[0] += 1
        rng.choice(ways)()

    signal.signal(signal.SIGALRM, on_toggle)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)


def start(args):
    global recorder
    warnings.simplefilter('ignore')
    sys.unraisablehook = on_event
    gc.disable()  # a collection in the middle of a profile function would run finalisers unseen
    programs = set(args.programs)

    def wanted(file):
        return file.partition('!')[0] in programs

    if args.truth:
        recorder = truth_module.Truth()
        recorder.start()
        counters = main(args)
        recorder.stop()
        result = recorder.result(wanted, wanted)
        result.update(counters=counters, deep=deep_calls)
        truth_module.dump(result, args.truth)
        return
    gate('ready')
    counters = main(args)
    gate('done')
    with open(args.counters or os.devnull, 'w') as out:
        json.dump({'counters': counters, 'deep': deep_calls, 'ticks': ticks[0]}, out)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--mode', choices=['plain', 'timer', 'toggle'], default='plain')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--counters')
    parser.add_argument('--truth')
    parser.add_argument('programs', nargs='+')
    start(parser.parse_args())
