"""mixtures_inside: interpreters that are watched from inside too, signals, and code that comes and goes.

Each mixture is called once, gives its unit, and is told the scale: how much work a unit is.
"""
import functools
import importlib
import io
import os
import signal
import sys
import threading

from mixture import Absent, counter, mixture, need, raised, same


# --- interpreters that are watched from inside too ---

def watched_calls():
    """A few functions that others look at, and what calls them once."""
    n_leaf, n_items, n_raises = counter('x_leaf'), counter('x_items'), counter('x_raises')
    r_raises = counter('x_raises', raised)

    def x_leaf(i):
        n_leaf()
        return i + 1

    def x_items(n):
        n_items()
        for i in range(n):
            yield x_leaf(i)

    def x_raises():
        n_raises()
        r_raises()
        raise KeyError

    def once(i):
        total = sum(x_items(3)) + x_leaf(i)
        try:
            x_raises()
        except KeyError:
            total += 1
        same(total, i + 8)
    return once


def thread_of(function, *args):
    t = threading.Thread(target=function, args=args)
    t.start()
    return t


@mixture
def tracers(scale):
    once = watched_calls()

    def on_event(*args):
        return on_event

    def on_profile(*args):
        return None

    ways = [lambda: sys.settrace(on_event), lambda: sys.setprofile(on_profile), lambda: sys.settrace(None),
            lambda: sys.setprofile(None)]
    if hasattr(sys, 'monitoring'):
        mon = sys.monitoring
        mon.use_tool_id(3, 'mixture')
        ev = mon.events
        for event in (ev.PY_START, ev.PY_RESUME, ev.PY_RETURN, ev.PY_YIELD, ev.PY_UNWIND, ev.CALL, ev.LINE, ev.INSTRUCTION):
            mon.register_callback(3, event, on_profile)
        sets = [ev.PY_START | ev.PY_RESUME, ev.PY_RETURN | ev.PY_YIELD | ev.PY_UNWIND, ev.LINE, ev.INSTRUCTION, ev.CALL, 0]
        ways += [functools.partial(mon.set_events, 3, events) for events in sets]

    def quiet():
        sys.settrace(None)
        sys.setprofile(None)
        if hasattr(sys, 'monitoring'):
            sys.monitoring.set_events(3, 0)

    def unit():
        try:
            for i in range(200 * scale):
                ways[i * 7 % len(ways)]()
                once(i)
                ways[i * 5 % len(ways)]()
                once(i)
        finally:
            quiet()
    return unit


@mixture
def cprofile(scale):
    import cProfile
    once = watched_calls()

    def unit():
        for i in range(30 * scale):
            profile = cProfile.Profile()
            once(i)
            profile.enable()
            once(i)
            profile.disable()
            profile.runcall(once, i)
            same(profile.getstats() != [], True)
    return unit


@mixture
def coverages(scale):
    return covered(scale, None)


@mixture
def coverages_by_monitoring(scale):
    if not hasattr(sys, 'monitoring'):
        raise Absent('sys.monitoring comes with Python 3.12')
    os.environ['COVERAGE_CORE'] = 'sysmon'
    version = [int(x) for x in need('coverage').__version__.split('.')[:2]]
    if version < [7, 4]:
        raise Absent('coverage %d.%d knows nothing of sys.monitoring' % tuple(version))
    return covered(scale, 'sysmon')


def covered(scale, core):
    need('coverage')
    import coverage
    once = watched_calls()

    def unit():
        measured = coverage.Coverage(data_file=None, include=[__file__], config_file=False)
        measured.start()
        thread = thread_of(once, 1)
        for i in range(50 * scale):
            once(i)
        thread.join()
        measured.stop()
        _, lines, _, missing, _ = measured.analysis2(__file__)
        same(len(missing) < len(lines), True)
    return unit


@mixture
def debuggers(scale):
    import bdb
    import pdb
    once = watched_calls()

    class Steps(bdb.Bdb):
        def user_line(self, frame):
            seen[0] += 1
            if seen[0] % 5:
                self.set_step()
            else:
                self.set_return(frame)

    seen = [0]

    def made():
        yield Steps()
        if sys.version_info >= (3, 14):
            yield Steps(backend='monitoring')

    def unit():
        for i in range(3 * scale):
            for debugger in made():
                debugger.runcall(once, i)
                once(i)
            seen[0] = 0
            console = pdb.Pdb(stdin=io.StringIO('step\n' * 30 + 'continue\n' * 5), stdout=io.StringIO(), nosigint=True, readrc=False)
            console.use_rawinput = False
            console.runcall(once, i)
            sys.settrace(None)
            once(i)
    return unit


@mixture
def signals(scale):
    n_tick, n_leaf, n_items = counter('x_tick'), counter('x_leaf'), counter('x_items')

    def x_tick(number, frame):
        n_tick()

    def x_leaf():
        n_leaf()
        return 1

    def x_items(n):
        n_items()
        for i in range(n):
            yield x_leaf()

    def unit():
        signal.signal(signal.SIGALRM, x_tick)
        signal.signal(signal.SIGUSR1, x_tick)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for i in range(500 * scale):
            same(sum(x_items(5)) + x_leaf(), 6)
            if i % 10 == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
        signal.setitimer(signal.ITIMER_REAL, 0)
        x_leaf()    # a last signal may still have to be delivered: at the latest here
    return unit


# --- code that comes and goes ---

@mixture
def code_freed(scale):
    n_leaf, n_gone, n_items = counter('x_leaf'), counter('x_gone'), counter('x_gone_items')

    def x_leaf():
        n_leaf()
        return 1

    source = 'def x_gone():\n    n_gone()\n    return x_leaf()\ndef x_gone_items():\n    n_items()\n    yield x_gone()\n'

    def unit():
        where = set()
        for i in range(200 * scale):
            space = {'n_gone': n_gone, 'n_items': n_items, 'x_leaf': x_leaf}
            exec(compile(source, '<gone %d>' % (i % 10), 'exec'), space)
            same(sum(space['x_gone_items']()) + space['x_gone'](), 2)
            where.add(id(space['x_gone'].__code__))
            space.clear()
        same(len(where) < 200 * scale, True)    # else no address was used again
    return unit


@mixture
def evals(scale):
    n_leaf, n_all = counter('x_leaf'), counter('x_all')

    def x_leaf():
        n_leaf()
        return 1

    def x_all():
        n_all()
        return eval('x_leaf() + 1', {'x_leaf': x_leaf})

    def unit():
        space = {'__name__': 'template', 'x_leaf': x_leaf}
        for i in range(200 * scale):
            same(x_all(), 2)
            exec('it = [x_leaf(), x_leaf()]', space)
    return unit


@mixture
def many_functions(scale):
    n_many = counter('x_many')
    source = ''.join('def x_many(): n_many()\nall.append(x_many)\n' for i in range(1000 * scale))

    def unit():
        space = {'n_many': n_many, 'all': []}
        exec(compile(source, '<many>', 'exec'), space)
        for f in space['all']:
            f()
        same(len(space['all']), 1000 * scale)
    return unit


@mixture
def redefined(scale):
    n_one, n_two, n_again, n_method, n_late = [counter('x_' + name) for name in ('one', 'two', 'again', 'method', 'late')]
    sys.dont_write_bytecode = True
    name = 'late_module_%d' % os.getpid()
    with open(name + '.py', 'w') as f:
        f.write('def x_late():\n    n_late()\n    return 1\n')
    sys.path.insert(0, os.getcwd())
    late = importlib.import_module(name)
    os.environ['PYTHONDONTWRITEBYTECODE'] = '1'

    n = {'one': n_one, 'two': n_two}

    def x_one():
        n['one']()
        return 1

    def x_two():
        n['two']()
        return 2

    def hull():     # closes over as many variables as those whose code it gets
        return n

    def unit():
        for i in range(100 * scale):
            def x_again(add=i):
                n_again()
                return add
            same(x_again(), i)
            hull.__code__ = (x_one if i % 2 else x_two).__code__
            same(hull(), 1 if i % 2 else 2)

            class K:
                def x_method(self):
                    n_method()
                    return i
            same(K().x_method(), i)
            if i % 10 == 0:
                importlib.reload(late)
            late.n_late = n_late
            same(late.x_late(), 1)
    return unit
