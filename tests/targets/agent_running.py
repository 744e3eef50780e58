"""A program that asks agent/running who is inside its functions, and knows it: `agent_running.py FOLDER_OF_THE_PROBE`.

Prints one line for each case: its name, and JSON: a list of what was wrong, or null for a case that cannot be had here.
"""
import asyncio
import functools
import gc
import json
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
import running_probe as probe  # noqa: E402


def of(*functions, **codes):
    return [(f.__code__, f.__qualname__, f) for f in functions] + [(code, name, None) for name, code in codes.items()]


def ask(call, *args):
    """As the agent does: from a thread of its own."""
    got = []
    thread = threading.Thread(target=lambda: got.append(call(*args)), name='agent')
    thread.start()
    thread.join()
    return got[0]


def report(targets, scan=False):
    return sorted(ask(probe.report, targets, scan))


def wrong(got, right):
    return [] if sorted(got) == sorted(right) else ['got %r, right is %r' % (got, sorted(right))]


def line_of(function, text):
    """The line with `text` in a function."""
    with open(__file__) as f:
        lines = f.readlines()
    start = function.__code__.co_firstlineno
    return next(n for n in range(start, len(lines) + 1) if text in lines[n - 1])


class Inside:
    """A thread that is in function(entered, leave) as long as the block runs."""

    def __init__(self, function, name, make=threading.Thread):
        self.entered, self.leave = threading.Event(), threading.Event()
        self.thread = make(target=function, args=(self.entered, self.leave), name=name)

    def __enter__(self):
        self.thread.start()
        self.entered.wait()
        return self

    def __exit__(self, *_):
        self.leave.set()
        self.thread.join()


def blocked(entered, leave):
    entered.set()
    leave.wait()  # here it stands


def recursive(entered, leave, n=50):
    if n:
        recursive(entered, leave, n - 1)  # not here
    else:
        entered.set()
        leave.wait()  # innermost


def two_inside(entered, leave):
    blocked(entered, leave)  # the outer one


def quiet():
    pass


def in_thread(thread, function, text):
    return 'thread|%s|%s|%d|%d' % (thread.name, function.__qualname__, line_of(function, text), thread.native_id)


def case_nobody():
    targets = of(blocked, recursive, quiet)
    return wrong(report(targets), []) + wrong(report(targets, True), []) + wrong([ask(probe.anyone, targets)], [0])


def case_threads():
    targets = of(blocked, recursive, two_inside, quiet)
    with Inside(blocked, 'first') as a, Inside(blocked, 'zwölf') as b, Inside(recursive, 'deep') as c, Inside(two_inside, 'two') as d:
        right = [in_thread(a.thread, blocked, 'here it stands'), in_thread(b.thread, blocked, 'here it stands'),
                 in_thread(c.thread, recursive, 'innermost'), in_thread(d.thread, two_inside, 'the outer one'),
                 in_thread(d.thread, blocked, 'here it stands')]
        bad = wrong(report(targets), right) + wrong(report(targets, True), right)
        bad += wrong([ask(probe.anyone, targets), ask(probe.anyone, of(quiet))], [1, 0])
    return bad + wrong(report(targets), []) + wrong([ask(probe.anyone, targets)], [0])


def case_main_thread():
    return wrong(report(of(case_main_thread)),
                 ['thread|MainThread|case_main_thread|%d|%d' % (line_of(case_main_thread, 'return wrong'), threading.get_native_id())])


def case_agent_left_out():
    def mine():
        return probe.report(of(mine), False)
    return wrong(ask(mine), [])


def case_nested():
    def outer(entered, leave):
        def loop():
            entered.set()
            leave.wait()  # in the loop
        return loop
    entered, leave = threading.Event(), threading.Event()
    loop = outer(entered, leave)
    thread = threading.Thread(target=loop, name='nested')
    thread.start()
    entered.wait()
    targets = [(outer.__code__, 'm.outer', outer)]
    right = ['thread|nested|m.outer.<locals>.loop|%d|%d' % (line_of(case_nested, 'in the loop'), thread.native_id)]
    bad = wrong(report(targets), right)
    bad += wrong(report(targets, True), right + ['note|1 function made earlier from m.outer.<locals>.loop keeps the old code'])
    bad += wrong([ask(probe.anyone, targets)], [0])
    bad += wrong([ask(probe.anyone, of(loop))], [1])
    leave.set()
    thread.join()
    return bad


def numbers(n):
    for i in range(n):
        yield i  # suspended here


def case_generators():
    fresh, suspended, ended, outer = numbers(3), numbers(3), numbers(1), numbers(2)
    next(suspended)
    list(ended)

    def delegates():
        yield from outer
    running = delegates()
    next(running)
    fresh_line = fresh.gi_frame.f_lineno
    right = ['generator|numbers|numbers|%d|0' % line for line in (fresh_line, line_of(numbers, 'suspended here'), line_of(numbers, 'suspended here'))]
    bad = wrong(report(of(numbers), True), right) + wrong(report(of(numbers)), [])

    def asks():
        yield report(of(asks), True)
    now = next(asks())  # is inside, on a stack: only there
    return bad + wrong([x.split('|')[0] for x in now], ['thread'])


class Once:
    def __await__(self):
        yield 1


async def leaf():
    await Once()  # a leaf waits


async def middle():
    await leaf()


async def ticks():
    yield 1
    await Once()  # a tick waits
    yield 2


async def eats():
    async for _ in ticks():
        pass


def case_coroutines():
    fresh, suspended, agen = leaf(), middle(), ticks()
    suspended.send(None)
    try:
        agen.__anext__().send(None)
    except StopIteration:
        pass
    targets = of(leaf, ticks)
    right = ['coroutine|leaf|leaf|%d|0' % fresh.cr_frame.f_lineno, 'coroutine|leaf|leaf|%d|0' % line_of(leaf, 'a leaf waits'),
             'async generator|ticks|ticks|%d|0' % line_of(ticks, 'yield 1')]
    bad = wrong(report(targets, True), right)
    fresh.close()
    suspended.close()
    return bad


def case_tasks():
    async def sleeps():
        await asyncio.sleep(3600)  # a task sleeps

    async def outer():
        await sleeps()

    async def tick():
        await asyncio.sleep(3600)  # a tick sleeps
        yield 1

    async def eat():
        async for _ in tick():
            pass

    class Own(asyncio.Task):
        def get_name(self):
            raise RuntimeError('was asked')

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(outer()), loop.create_task(eat()), Own(outer(), loop=loop)]
        for task, name in zip(tasks, ('shipping', 'eating', 'own')):
            task.set_name(name)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bad = wrong(report(of(sleeps, tick), True),
                    ['task|%s|%s|%d|0' % (name, function.__qualname__, line_of(case_tasks, text)) for name, function, text in
                     (('shipping', sleeps, 'a task sleeps'), ('eating', tick, 'a tick sleeps'), ('own', sleeps, 'a task sleeps'))])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return bad
    return asyncio.run(main())


def case_functions():
    def make():
        def inner():
            pass
        return inner
    made = [make() for _ in range(3)]
    inner = made[0].__code__
    bad = wrong(report([(inner, 'm.make.<locals>.inner', None)], True), ['note|3 functions made earlier from m.make.<locals>.inner keep the old code'])
    return bad + wrong(report([(inner, 'm.make.<locals>.inner', made[0])], True), ['note|2 functions made earlier from m.make.<locals>.inner keep the old code'])


def case_caches():
    calls = []

    def plain(n):
        calls.append(n)
        return {'a': n} if n else quiet  # what the look for the dict must not be misled by
    bounded, unbounded, empty = (functools.lru_cache(maxsize=size)(plain) for size in (4, None, 4))
    for n in range(3):
        bounded(n)
    for n in range(6):
        unbounded(n)

    class Holder:
        @functools.cached_property
        def value(self):
            return 5
    value = vars(Holder)['value'].func
    text = 'the lru_cache of %s holds %d values computed by the old code: they stay'
    stays = 'values that the cached_property %s already computed stay with their objects'
    name = plain.__qualname__
    bad = wrong(report(of(plain, value), True),
                ['note|' + x for x in (text % (name, 3), text % (name, 6), stays % value.__qualname__)])
    bad += wrong(report(of(quiet), True), [])
    bad += wrong(ask(probe.note_cache, bounded, 'm.f'), ['note|' + text % ('m.f', 3)]) + wrong(ask(probe.note_cache, empty, 'm.f'), [])
    bad += wrong(ask(probe.note_cache, vars(Holder)['value'], 'm.p'), ['note|' + stays % 'm.p'])
    return bad + wrong(ask(probe.note_cache, plain, 'm.f'), [])


def case_greenlets():
    try:
        import greenlet
    except ImportError:
        return None

    def jumps():
        greenlet.getcurrent().parent.switch()  # suspended in a greenlet
    g, h = greenlet.greenlet(lambda: jumps()), greenlet.greenlet(jumps)
    g.switch()
    got = report(of(jumps), True)
    bad = wrong([x.replace(hex(id(g)), 'ID') for x in got],
                ['greenlet|greenlet at ID|%s|%d|0' % (jumps.__qualname__, line_of(case_greenlets, 'suspended in a greenlet'))])
    g.switch()
    return bad + wrong(report(of(jumps), True), []) + (['h started'] if h else [])


def case_deep():
    sys.setrecursionlimit(20000)
    threading.stack_size(256 << 20)

    def down(n, entered, leave):
        return down(n - 1, entered, leave) if n else blocked(entered, leave)

    def start(entered, leave):
        down(10000, entered, leave)
    try:
        with Inside(start, 'deep') as inside:
            right = [in_thread(inside.thread, start, 'down(10000'), in_thread(inside.thread, blocked, 'here it stands')]
            return wrong(report(of(start, blocked)), right)
    finally:
        threading.stack_size(0)


def case_wait():
    with Inside(blocked, 'stays') as inside:
        bad = wrong(list(map(str, ask(probe.wait, of(blocked), 30))), ['-16', str([in_thread(inside.thread, blocked, 'here it stands')])])
        bad += wrong(list(map(str, ask(probe.wait, of(quiet), 0))), ['0', '[]'])
        got = []
        waiter = threading.Thread(target=lambda: got.append(probe.wait(of(blocked), 60000)))
        waiter.start()
        time.sleep(0.02)  # likely it waits then; if not, it finds nobody at once
    waiter.join()
    return bad + wrong(list(map(str, got[0])), ['0', '[]'])


def case_collector():
    """Its state is the program's."""
    bad = wrong([gc.isenabled()], [True])
    report(of(quiet), True)
    bad += wrong([gc.isenabled()], [True])
    gc.disable()
    report(of(quiet), True)
    bad += wrong([gc.isenabled()], [False])
    gc.enable()
    return bad


def case_no_foreign_code():
    asked = []

    class Meta(type):
        def __getattribute__(cls, name):
            asked.append('type ' + name)
            return super().__getattribute__(name)

        def __subclasscheck__(cls, other):
            asked.append('subclass')
            return False

        def __instancecheck__(cls, other):
            asked.append('instance')
            return False

    class Hostile(metaclass=Meta):
        def __getattribute__(self, name):
            asked.append(name)
            raise ValueError(name)

        def __eq__(self, other):
            asked.append('==')

        def __hash__(self):
            asked.append('hash')
            return 1

    class Named(threading.Thread):
        @property
        def _name(self):
            if threading.current_thread() is agent:
                asked.append('property')
            return self.__dict__['_name']

        @_name.setter
        def _name(self, value):
            self.__dict__['_name'] = value

        def __getattribute__(self, name):
            if threading.current_thread() is agent:
                asked.append(name)
            return super().__getattribute__(name)

    kept = [Hostile() for _ in range(10)] + [{Hostile(): 1}]
    agent = threading.Thread()
    with Inside(blocked, 'told', Named) as inside:
        got = []
        agent = threading.Thread(target=lambda: got.extend(probe.report(of(blocked), True)))
        del asked[:]
        agent.start()
        agent.join()
        bad = wrong(asked, []) + wrong(got, ['thread|told|blocked|%d|%d' % (line_of(blocked, 'here it stands'), inside.thread.native_id)])
    return bad + ([] if kept else ['nothing was there'])


def case_audit_hook():
    """The last case: a hook cannot be taken out."""
    events, forbidden = [], []

    def hook(event, args):
        if event in forbidden:
            raise RuntimeError('forbidden')
        events.append(event)
    with Inside(blocked, 'audited') as inside:
        right = [in_thread(inside.thread, blocked, 'here it stands')]
        targets = of(blocked)
        sys.addaudithook(hook)
        got = []
        agent = threading.Thread(target=lambda: (events.clear(), got.append(probe.report(targets, False)), got.append(list(events))))
        agent.start()
        agent.join()
        bad = wrong(got[0], right) + wrong(got[1], ['sys._current_frames'])
        bad += wrong(report(targets, True), right)
        forbidden += ['sys._current_frames', 'gc.get_objects', 'object.__getattr__', 'gc.get_referents']
        closed = ['note|the program does not let us see the stacks of its threads (an audit hook, or sys._current_frames was replaced)',
                  'note|the program does not let us look through its objects (an audit hook, or gc.get_objects was replaced)']
        got = sorted(ask(probe.report, targets, True)), [ask(probe.anyone, targets)], ask(probe.wait, targets, 0)
        del forbidden[:2], events[:]
        gc.get_objects()
        if 'gc.get_objects' not in events:  # an event from 3.9.3 on only
            closed.pop()
        some = numbers(1)
        quietly = ask(probe.report, [(some_code, 'numbers', numbers)], True)
        del forbidden[:]
    return bad + wrong(got[0], closed) + wrong(got[1], [-1]) + wrong([got[2][0]], [-1]) + ([] if some and len(quietly) < 2 else [repr(quietly)])


some_code = numbers.__code__
for name, case in list(globals().items()):
    if name.startswith('case_'):
        gc.collect()
        try:
            print(name[5:], json.dumps(case()), flush=True)
        except Exception as error:
            print(name[5:], json.dumps([repr(error)]), flush=True)
