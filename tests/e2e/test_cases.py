#!/usr/bin/env python3
"""Small programs with known counts: one for each trap that is known, on every interpreter found."""
import os

import cases
from cases import Result, case, sound, start, watch, write
from harness import Session, Skipped, check


@case
def plain_calls(folder, python):
    result, _ = watch(folder, python, '''
def leaf(): return 1
def two(): return leaf() + leaf()
gate('ready')
for i in range(10000): leaf()
for i in range(1000): two()
gate('done')
''')
    result.expect({'leaf': 12000, 'two': 1000})
    result.expect({'leaf': 12000, 'two': 1000}, 'complete')
    result.expect({'leaf': 0, 'two': 0}, 'raised')
    result.expect_callers({('two', 'leaf'): 2000, ('<module>', 'leaf'): 10000, ('<module>', 'two'): 1000})


@case
def throw_reenters_without_resume(folder, python):
    result, _ = watch(folder, python, '''
def unhandled():
    yield 1
    yield 2
def handled():
    try: yield 1
    except KeyError: yield 2
    yield 3
def outer():
    yield from handled()
def inside(): return 1
gate('ready')
for i in range(1000):
    g = unhandled()                 # never started
    try: g.throw(KeyError)
    except KeyError: pass
    unhandled().close()
    g = unhandled()                 # ended by it
    next(g)
    try: g.throw(KeyError)
    except KeyError: pass
    g = handled()                   # goes on after it
    next(g); g.throw(KeyError); inside(); list(g)
    g = outer()
    next(g); g.throw(KeyError); list(g)
gate('done')
''')
    result.expect({'unhandled': 1000, 'handled': 2000, 'outer': 1000, 'inside': 1000})
    result.expect({'unhandled': 1000, 'handled': 2000, 'outer': 1000}, 'complete')
    result.expect({'unhandled': 1000, 'handled': 0, 'outer': 0}, 'raised')
    result.expect_callers({('outer', 'handled'): 1000, ('<module>', 'handled'): 1000})


@case
def eval_breaker_signals(folder, python):
    result, said = watch(folder, python, '''
import signal
ticks = []
def on_tick(number, frame): ticks.append(1)  # in one step: the next signal may interrupt it
def f(): return 1
def g():
    yield 1
    yield 2
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
signal.signal(signal.SIGALRM, on_tick)
gate('ready')
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
for i in range(30000): f()
for i in range(5000): list(g())
fib(18)
signal.setitimer(signal.ITIMER_REAL, 0)
f()                                 # a last signal may still have to be delivered: at the latest here
gate('done', len(ticks))
''')
    result.expect({'f': 30001, 'g': 5000, 'fib': 8361, 'on_tick': int(said[0])})


@case
def signal_during_every_start(folder, python):
    """The handler of a signal runs at RESUME, before the body: the start is one all the same."""
    result, said = watch(folder, python, '''
import signal
def on_signal(number, frame): seen.append(1)
def f(): return 1
def send():
    signal.raise_signal(signal.SIGUSR1)
seen = []
signal.signal(signal.SIGUSR1, on_signal)
gate('ready')
for i in range(3000):
    send(); f()
    os.kill(os.getpid(), signal.SIGUSR1); f()
gate('done', len(seen))
''')
    result.expect({'f': 6000, 'send': 3000, 'on_signal': int(said[0])})


@case
def monitoring_on_and_off(folder, python):
    if python.version < (3, 12):
        raise Skipped('sys.monitoring comes with 3.12')
    result, _ = watch(folder, python, '''
mon = sys.monitoring
mon.use_tool_id(2, 'test')
E = mon.events
sets = [E.PY_START, E.PY_RETURN, E.LINE, E.CALL, E.PY_START | E.PY_RESUME | E.PY_YIELD, E.INSTRUCTION, 0]
for event in (E.PY_START, E.PY_RETURN, E.LINE, E.CALL, E.PY_RESUME, E.PY_YIELD, E.INSTRUCTION):
    mon.register_callback(2, event, lambda *a: None)
def warm(n): return cold(n) + 1
def cold(n): return n
def gen(n):
    for i in range(n): yield i
def disabled(*a): return mon.DISABLE
gate('ready')
for i in range(3000):
    mon.set_events(2, sets[i % 7])
    warm(i); cold(i); sum(gen(3))
    mon.set_local_events(2, cold.__code__, sets[(i // 7) % 7])
    mon.set_local_events(2, gen.__code__, sets[(i // 3) % 7])
    warm(i); sum(gen(2))
    space = {}
    exec("def fresh(): return 1", space)        # never ran before: its first RESUME is the instrumenting one
    space['fresh'](); space['fresh']()
mon.set_events(2, 0)
mon.register_callback(2, E.PY_START, disabled)
for i in range(500):
    mon.set_events(2, E.PY_START); mon.restart_events(); cold(i); cold(i)
mon.set_events(2, 0)
gate('done')
''')
    result.expect({'warm': 6000, 'cold': 10000, 'gen': 6000})
    result.expect({'fresh': 6000}, file='<string>')


@case
def trace_and_profile_on_and_off(folder, python):
    result, _ = watch(folder, python, '''
def on_trace(frame, what, arg): return on_trace
def on_profile(frame, what, arg): pass
def f(): return 1
def gen():
    yield 1
    yield 2
def raises(): raise KeyError
gate('ready')
for i in range(2000):
    if i % 3 == 0: sys.settrace(on_trace)
    if i % 5 == 0: sys.setprofile(on_profile)
    f(); list(gen())
    try: raises()
    except KeyError: pass
    if i % 7 == 0: sys.settrace(None)
    if i % 4 == 0: sys.setprofile(None)
sys.settrace(None); sys.setprofile(None)
gate('done')
''')
    result.expect({'f': 2000, 'gen': 2000, 'raises': 2000})
    result.expect({'f': 2000, 'gen': 2000, 'raises': 2000}, 'complete')
    result.expect({'f': 0, 'gen': 0, 'raises': 2000}, 'raised')


@case
def generators_dropped_while_suspended(folder, python):
    result, _ = watch(folder, python, '''
def bare():
    yield 1
    yield 2
def careful():
    try: yield 1
    finally: note()
def note(): return 1
def other(): return 2
gate('ready')
for i in range(2000):
    g = bare(); next(g)
    h = careful(); next(h)
    del g, h
    other()
    other()
kept = [bare() for i in range(50)]
for g in kept: next(g)
gate('done')
''')
    result.expect({'bare': 2050, 'careful': 2000, 'note': 2000, 'other': 4000})
    result.expect({'careful': 2000}, 'complete')
    result.expect({'careful': 2000, 'note': 0}, 'raised')
    result.expect({'careful': 0, 'note': 0, 'other': 0}, 'suspended_at_end')
    check(result.sum('bare', 'suspended_at_end') >= 50, 'suspended_at_end of bare: %d, right is at least 50'
          % result.sum('bare', 'suspended_at_end'))


@case
def dropped_generators_leave_their_address(folder, python):
    """From 3.13 on a suspended generator that is dropped outside of any try block ends nowhere; the next one has its address."""
    result, said = watch(folder, python, '''
def bare():
    count[0] += 1
    yield 1
def thrown():
    count[1] += 1
    yield 1
count = [0, 0]
gate('ready')
for i in range(1000):
    g = bare(); next(g); del g
    g = bare(); next(g); del g
    g = thrown(); next(g); del g
    g = thrown()                    # the same address, and never starts
    try: g.throw(KeyError)
    except KeyError: pass
    del g
gate('done', *count)
''')
    result.expect({'bare': int(said[0]), 'thrown': int(said[1])})
    # To 3.12 the drop throws GeneratorExit in, which ends the frame.
    result.expect({'bare': 0 if python.version >= (3, 13) else 2000, 'thrown': 0 if python.version >= (3, 13) else 1000}, 'raised')


@case
def dropped_generators_while_monitored(folder, python):
    if python.version < (3, 12):
        raise Skipped('sys.monitoring comes with 3.12')
    result, said = watch(folder, python, '''
mon = sys.monitoring
mon.use_tool_id(2, 'test')
E = mon.events
sets = [E.PY_START, E.LINE, E.CALL, E.PY_RESUME | E.PY_YIELD, E.INSTRUCTION, 0]
for event in (E.PY_START, E.LINE, E.CALL, E.PY_RESUME, E.PY_YIELD, E.INSTRUCTION):
    mon.register_callback(2, event, lambda *a: None)
def bare():
    count[0] += 1
    yield 1
    yield 2
count = [0]
gate('ready')
for i in range(6000):
    mon.set_events(2, sets[i // 1000])
    g = bare(); next(g); del g
mon.set_events(2, 0)
gate('done', *count)
''')
    result.expect({'bare': int(said[0])})


@case
def coroutines_and_async_generators(folder, python):
    result, _ = watch(folder, python, '''
import asyncio
async def leaf(i):
    await asyncio.sleep(0)
    return i
async def agen(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i
async def worker(n):
    total = 0
    for i in range(n): total += await leaf(i)
    async for i in agen(n): total += i
    return total
async def fails():
    await asyncio.sleep(0)
    raise KeyError
async def never(): await asyncio.get_running_loop().create_future()
async def main():
    await asyncio.gather(*[worker(20) for i in range(30)])
    await asyncio.gather(*[fails() for i in range(40)], return_exceptions=True)
    tasks = [asyncio.ensure_future(never()) for i in range(50)]
    await asyncio.sleep(0)
    for t in tasks: t.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
gate('ready')
asyncio.run(main())
gate('done')
''')
    result.expect({'leaf': 600, 'agen': 30, 'worker': 30, 'fails': 40, 'never': 50, 'main': 1})
    result.expect({'leaf': 600, 'agen': 30, 'worker': 30, 'fails': 40, 'never': 50, 'main': 1}, 'complete')
    result.expect({'leaf': 0, 'agen': 0, 'worker': 0, 'fails': 40, 'never': 50, 'main': 0}, 'raised')
    result.expect_callers({('worker', 'leaf'): 600, ('worker', 'agen'): 30})
    check(all(call['generator'] for call in result.calls('leaf')), 'leaf is not marked as a generator')


@case
def recursion_limit(folder, python):
    result, said = watch(folder, python, '''
count = [0, 0]
def down(n):
    count[0] += 1
    return down(n + 1)
def through_c(n):
    count[1] += 1
    return max(map(through_c, [n + 1]))
gate('ready')
for i in range(20):
    try: down(0)
    except RecursionError: pass
    try: through_c(0)
    except RecursionError: pass
gate('done', *count)
''')
    wanted = {'down': int(said[0]), 'through_c': int(said[1])}
    result.expect(wanted)
    result.expect(wanted, 'raised')
    result.expect_callers({('down', 'down'): wanted['down'] - 20, ('through_c', 'through_c'): wanted['through_c'] - 20})


@case
def exceptions_through_many_frames(folder, python):
    text = 'def f0(): raise KeyError\n'
    for i in range(1, 61):
        text += 'def f%d(): %s\n' % (i, ('return f%d()' if i % 3 else 'return list(map(lambda v: f%d(), [1]))') % (i - 1))
    text += '''
def catches():
    try: f60()
    except KeyError: return 1
def final():
    try: f10()
    finally: note()
def note(): return 1
def reraises():
    try: f10()
    except KeyError as e: raise ValueError from e
class Swallow:
    def __enter__(self): return self
    def __exit__(self, *a): return True
def swallows():
    with Swallow(): f5()
    return 1
def by_c():
    return hasattr(Odd(), 'x')
class Odd:
    @property
    def x(self): raise AttributeError
gate('ready')
for i in range(200):
    catches(); swallows(); by_c()
    for f in final, reraises:
        try: f()
        except (KeyError, ValueError): pass
gate('done')
'''
    result, _ = watch(folder, python, text)
    result.expect(dict({'f%d' % i: 200 for i in range(11, 61)}, f0=800, f5=800, f6=600, f10=600, catches=200, final=200, note=200,
                       reraises=200, swallows=200, by_c=200, x=200))
    result.expect(dict({'f%d' % i: 200 for i in range(11, 61)}, f0=800, f5=800, f10=600, catches=0, final=200, note=0, reraises=200,
                       swallows=0, by_c=0, x=200), 'raised')


@case
def recursion_and_mutual_recursion(folder, python):
    result, _ = watch(folder, python, '''
def fact(n): return 1 if n == 0 else n * fact(n - 1)
def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - 1)
def tree(n):
    if n: tree(n - 1); tree(n - 1)
gate('ready')
for i in range(10): fact(5)
for i in range(10): even(4)
tree(6)
gate('done')
''')
    result.expect({'fact': 60, 'even': 30, 'odd': 20, 'tree': 127})
    for name, wanted in (('fact', [10] * 6), ('tree', [2 ** i for i in range(7)])):
        got = [call['hits'] for call in result.calls(name)]
        check(got == wanted, 'hits of %s from the top down: %s, right is %s' % (name, got, wanted))
    result.expect_callers({('even', 'odd'): 20, ('odd', 'even'): 20, ('<module>', 'even'): 10, ('<module>', 'fact'): 10,
                           ('fact', 'fact'): 50})


@case
def ten_thousand_deep(folder, python):
    result, said = watch(folder, python, '''
import threading
sys.setrecursionlimit(20000)
def down(n): return 0 if n == 0 else down(n - 1) + 1
def bottom(n):
    if n: return bottom(n - 1)
    for i in range(100): leaf()
def leaf(): return 1
def work():
    down(10000); down(10000); bottom(10000)
    done.append(1)
done = []
threading.stack_size(256 << 20)
gate('ready')
t = threading.Thread(target=work)
t.start(); t.join()
gate('done', len(done))
''')
    check(said == ['1'], 'the target\'s recursion failed: %s' % said)
    result.expect({'down': 20002, 'bottom': 10001, 'leaf': 100})
    result.expect_callers({('bottom', 'leaf'): 100, ('down', 'down'): 20000, ('work', 'down'): 2, ('bottom', 'bottom'): 10000})


@case
def running_when_we_attach(folder, python):
    result, _ = watch(folder, python, '''
import threading
def inner(): return 1
def outer():
    gate('ready')
    for i in range(100): inner()
    sum(g)
    return 1
def gen():
    for i in range(10):
        inner()
        yield i
def waits():
    ready.set()
    lock.acquire()
    inner()
def release():
    lock.release()
    t.join()
def whole():
    outer()
    release()
    gate('done')
g = gen()
next(g)
lock = threading.Lock(); lock.acquire()
ready = threading.Event()
t = threading.Thread(target=waits); t.start(); ready.wait()
whole()
''', finished=False)
    result.expect({'inner': 110, 'outer': 0, 'whole': 0, 'gen': 0, 'waits': 0, 'release': 1})
    result.expect({'outer': 1, 'whole': 1, 'waits': 1, 'inner': 0, 'release': 0}, 'running_at_start')
    result.expect({'outer': 0, 'whole': 1, 'waits': 0, 'inner': 0, 'gen': 0}, 'running_at_end')
    result.expect({'outer': 0, 'waits': 0, 'gen': 0, 'inner': 110}, 'complete')
    result.expect_callers({('outer', 'inner'): 100, ('waits', 'inner'): 1, ('whole', 'release'): 1,
                           ('gen', 'inner'): 9})


@case
def defined_and_imported_while_watched(folder, python):
    write(folder, 'late_module.py', 'def late(): return 1\nclass K:\n    def m(self): return late()\nlate()\n')
    result, _ = watch(folder, python, '''
def before(): return 1
gate('ready')
before()
import late_module
for i in range(50): late_module.late(); late_module.K().m()
def after(): return before()
for i in range(70): after()
exec(compile('def made(): return before()\\nfor i in range(30): made()', 'made.py', 'exec'))
gate('done')
''')
    result.expect({'before': 101, 'after': 70})
    result.expect({'made': 30}, file='made.py')
    late = os.path.join(folder, 'late_module.py')
    result.expect({'late': 101, 'm': 50, 'K': 1, '<module>': 1}, file=late)
    functions = sorted(set(call['function'] for _, key, call in result.nodes if key[0] == late))
    check(functions == ['late_module.' + x for x in ('<module>', 'K', 'K.m', 'late')], 'functions: %s' % functions)


@case
def code_objects_freed_and_addresses_reused(folder, python):
    result, said = watch(folder, python, '''
def once(i):
    space = {}
    exec(compile('def g%d(v):\\n    return v + 1\\ng%d(1)\\ng%d(2)' % (i, i, i), 'gone%d.py' % i, 'exec'), space)
    where.add(id(space['g%d' % i].__code__))
where = set()
gate('ready')
for i in range(4000): once(i % 40)
gate('done', len(where))
''')
    check(int(said[0]) < 2000, 'addresses were not used again: %s of 4000' % said[0])
    for i in range(40):
        result.expect({'g%d' % i: 200, '<module>': 100}, file='gone%d.py' % i)


@case
def same_names_in_two_modules(folder, python):
    for module in 'mod_a', 'mod_b':
        write(folder, module + '.py', 'def same(): return 1\nclass C:\n    def same(self): return 2\n')
    text = '''
import mod_a, mod_b
gate('ready')
for i in range(30): mod_a.same(); mod_b.same(); mod_b.same(); mod_a.C().same()
gate('done')
'''
    result, _ = watch(folder, python, text)
    got = {call['function']: call['hits'] for _, key, call in result.nodes if key[2] == 'same'}
    check(got == {'mod_a.same': 30, 'mod_b.same': 60, 'mod_a.C.same': 30}, 'hits: %s' % got)
    result, _ = watch(folder, python, text, ['mod_a.**', '!mod_a.C.*'])
    got = {call['function']: call['hits'] for _, _, call in result.nodes}
    check(got == {'mod_a.same': 30}, 'hits with mod_a.** and !mod_a.C.*: %s' % got)


@case
def nearest_matching_caller(folder, python):
    result, _ = watch(folder, python, '''
def aa(): return bb()
def bb(): return [cc() for i in range(2)]
def cc(): return dd(3)
def dd(n): return ee() if n == 0 else dd(n - 1)
def ee(): return 1
gate('ready')
for i in range(50): aa()
cc()
gate('done')
''', ['__main__.aa', '__main__.cc', '__main__.ee'])
    result.expect_callers({(None, 'aa'): 50, ('aa', 'cc'): 100, (None, 'cc'): 1, ('cc', 'ee'): 101, (None, 'ee'): 0})
    result.expect({'aa': 50, 'cc': 101, 'ee': 101})


@case
def names(folder, python):
    long_name = 'n' * 120
    result, _ = watch(folder, python, '''
import functools
def deco(f):
    @functools.wraps(f)
    def wrapper(*a): return f(*a)
    return wrapper
class A:
    def meth(self): return 1
    @staticmethod
    def stat(): return 1
    @classmethod
    def clsm(cls): return 1
    @property
    def prop(self): return 1
    @deco
    def decorated(self): return 1
    class B:
        def deep(self):
            def local(): return 1
            return local()
def outer():
    def inner(): return (lambda: 1)()
    return inner()
def gr\u00f6\u00dfe(): return 1
def \u540d\u524d(): return 1
def %s(): return 1
gate('ready')
a = A(); a.meth(); A.stat(); A.clsm(); a.prop; a.decorated(); A.B().deep(); outer(); gr\u00f6\u00dfe(); \u540d\u524d(); %s()
gate('done')
''' % (long_name, long_name))
    got = {call['function'] for _, key, call in result.nodes if key[0] == result.file and call['hits'] and 'gate' not in call['function']}
    wanted = {'__main__.' + x for x in (
        'A.meth', 'A.stat', 'A.clsm', 'A.prop', 'A.decorated', 'deco.<locals>.wrapper', 'A.B.deep', 'A.B.deep.<locals>.local',
        'outer', 'outer.<locals>.inner', 'outer.<locals>.inner.<locals>.<lambda>', 'gr\u00f6\u00dfe', '\u540d\u524d', long_name)}
    check(got == wanted, 'missing %s, not expected %s' % (wanted - got, got - wanted))


@case
def class_bodies(folder, python):
    result, _ = watch(folder, python, '''
def make(n):
    class Local:
        x = helper(n)
        class Nested:
            y = helper(n)
        def get(self): return self.x
    return Local
def helper(n): return n
class Meta(type):
    def __new__(mcs, name, bases, space): return super().__new__(mcs, name, bases, space)
gate('ready')
for i in range(100): make(i)().get()
class Once(metaclass=Meta): pass
gate('done')
''')
    result.expect({'make': 100, 'Local': 100, 'Nested': 100, 'helper': 200, 'get': 100, 'Once': 1, '__new__': 1})
    result.expect_callers({('make', 'Local'): 100, ('Local', 'Nested'): 100, ('Local', 'helper'): 100, ('Nested', 'helper'): 100})


@case
def called_from_c(folder, python):
    result, _ = watch(folder, python, '''
import functools
class D:
    def __del__(self): note()
    def __getattr__(self, name): return 1
    def __hash__(self): return 1
    def __eq__(self, o): return True
    def __iter__(self): return iter([1, 2])
    def __init_subclass__(cls): note()
def note(): return 1
def key(v): return -v
def add(a, b): return a + b
gate('ready')
for i in range(200):
    sorted(range(10), key=key)
    functools.reduce(add, range(5))
    list(map(key, range(4)))
    D().missing
    {D(): 1, D(): 2}
    sum(D())
    functools.partial(add, 1)(2)
class E(D): pass
gate('done')
''')
    result.expect({'key': 2800, 'add': 1000, '__del__': 800, 'note': 801, '__getattr__': 200, '__hash__': 400, '__eq__': 200,
                   '__iter__': 200, '__init_subclass__': 1})


@case
def times(folder, python):
    """Lower bounds only: a time can always be longer on a busy machine."""
    result, _ = watch(folder, python, '''
import time
def sleeps(): time.sleep(0.02)
def outer(): sleeps(); time.sleep(0.01)
def gen():
    yield 1
    yield 2
def consume():
    for v in gen(): time.sleep(0.02)
gate('ready')
for i in range(3): outer()
consume()
gate('done')
''')
    call = result.calls('sleeps')[0]
    check(call['min_ns'] > 19e6 and call['total_ns'] > 58e6, 'sleeps: %s' % {k: call[k] for k in ('min_ns', 'total_ns')})
    call = result.calls('outer')[0]
    check(call['total_ns'] > 88e6 and call['self_ns'] > 29e6, 'outer: %s' % {k: call[k] for k in ('self_ns', 'total_ns')})
    check(call['self_ns'] < call['total_ns'] - 58e6, 'outer: its callee\'s time is in self_ns %d' % call['self_ns'])
    call = result.calls('gen')[0]
    check(call['elapsed_ns'] > 38e6, 'gen: elapsed_ns %d' % call['elapsed_ns'])
    check(call['total_ns'] < call['elapsed_ns'] - 38e6, 'gen: suspended time is in total_ns %d' % call['total_ns'])


@case
def raw_times_add_up(folder, python):
    target, path = start(folder, python, '''
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def outer():
    for i in range(20): inner()
def inner(): return leaf() + leaf()
def leaf(): return 1
gate('ready')
fib(14)
for i in range(50): outer()
gate('done')
''')
    target.expect('ready')
    session = Session(['-p', str(target.pid), '--raw', '**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    profile = session.stop()
    target.go()
    target.finish()
    check(profile['processes'][0]['raw'], 'the profile is not marked as raw')
    sound(profile)
    result = Result(profile, path)
    result.expect({'fib': 1219, 'outer': 50, 'inner': 1000, 'leaf': 2000})
    for call in result.calls('outer') + result.calls('inner'):
        below = sum(child['total_ns'] for child in call['children'])
        check(call['total_ns'] == call['self_ns'] + below, '%s: total_ns %d, self_ns %d, children %d'
              % (call['function'], call['total_ns'], call['self_ns'], below))


if __name__ == '__main__':
    cases.main(__doc__)
