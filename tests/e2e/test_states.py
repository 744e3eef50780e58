#!/usr/bin/env python3
"""States of an interpreter that change what the probes see: several interpreters in one process, the JIT compiler."""
import os

import cases
import harness
from cases import Result, case, sound, start, watch
from harness import Session, Skipped, check

# The modules that make interpreters have had three names; run() gives each its own module __main__.
INTERPRETERS = '''
try:
    import _interpreters as sub
except ImportError:
    import _xxsubinterpreters as sub
def create(own):
    if sub.__name__ == '_interpreters':
        return sub.create('isolated' if own else 'legacy')
    try:
        return sub.create(isolated=own)
    except TypeError:
        return sub.create()
run = getattr(sub, 'exec', None) or sub.run_string
CODE = """
def leaf(): return 1
def work(n):
    for i in range(n): leaf()
def gen(n):
    for i in range(n): yield leaf()
class A:
    def method(self, n): return sum(gen(n))
"""
exec(CODE)
'''


def by_interpreter(profile):
    """{interpreter's id: {function of __main__ without the module: hits}}"""
    out = {}
    for process in profile['processes']:
        counts = out.setdefault(process['interpreter'], {})
        stack = [call for thread in process['threads'] for call in thread['calls']]
        while stack:
            call = stack.pop()
            name = call['function'].partition('.')[2]
            counts[name] = counts.get(name, 0) + call['hits']
            stack += call['children']
    return out


def expect(profile, wanted):
    got = {i: {name: n for name, n in counts.items() if name in ('leaf', 'work', 'gen', 'A.method')}
           for i, counts in by_interpreter(profile).items()}
    check(got == wanted, 'hits by interpreter: pylu-bpf %s, right is %s' % (got, wanted))


def counted(work, gen):
    return {'leaf': sum(work) + sum(gen), 'work': len(work), 'gen': len(gen), 'A.method': len(gen)}


def interpreters(folder, python, own):
    """Some are there before we come, some come later; they run by turns in one thread, and all at once in several."""
    target, _ = start(folder, python, INTERPRETERS + '''
import threading
own = %r
ids = [create(own) for i in range(2)]
for i in ids: run(i, CODE)
work(10)
gate('ready')
ids.append(create(own))
run(ids[-1], CODE)
for turn in range(3):
    work(5)
    for n, i in enumerate(ids):
        run(i, 'work(%%d); A().method(%%d)' %% (100 * (n + 1), n + 7))
threads = [threading.Thread(target=run, args=(i, 'work(20000)')) for i in ids]
for t in threads: t.start()
work(20000)
for t in threads: t.join()
sub.destroy(ids[1])
ids[1] = create(own)  # its memory may be where the one before was
run(ids[1], CODE)
run(ids[1], 'work(77)')
gate('done', *[int(i) for i in ids])
for i in ids: sub.destroy(i)
''' % own)
    target.expect('ready')
    session = Session(['-p', str(target.pid), '__main__.**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    first, late, third = [int(i) for i in target.expect('done').split()]
    profile = session.stop()
    target.go()
    target.finish()
    sound(profile)
    methods = {n: [n + 7] * 3 for n in range(3)}
    expect(profile, {
        0: {'leaf': 15 + 20000, 'work': 4},
        first: counted([100] * 3 + [20000], methods[0]),
        first + 1: counted([200] * 3 + [20000], methods[1]),
        third: counted([300] * 3 + [20000], methods[2]),
        late: {'leaf': 77, 'work': 1},
    })
    check({p['pid'] for p in profile['processes']} == {target.pid}, 'all are of one process')
    return None


@case
def several_interpreters(folder, python):
    interpreters(folder, python, False)


@case
def interpreters_with_their_own_gil(folder, python):
    if python.version < (3, 12):
        raise Skipped('Python %s has one GIL for all interpreters' % python.text)
    interpreters(folder, python, True)


@case
def interpreters_and_odd_builtins(folder, python):
    """exec() takes any dict for builtins: such a frame is of the interpreter that its thread runs."""
    result, said = watch(folder, python, INTERPRETERS + '''
other = create(False)
run(other, CODE)
ODD = """
space = {"__builtins__": {"range": range}, "__name__": "__main__"}
exec("def odd(n):\\\\n for i in range(n): leaf()\\\\ndef leaf(): pass\\\\n", space)
space["odd"](%d)
"""
gate('ready')
exec(ODD % 30)
run(other, ODD % 50)
work(4)
gate('done', int(other))
sub.destroy(other)
''', ['__main__.**'])
    got = {i: {name: counts.get(name, 0) for name in ('odd', 'leaf')} for i, counts in by_interpreter(result.profile).items()}
    check(got == {0: {'odd': 1, 'leaf': 34}, int(said[0]): {'odd': 1, 'leaf': 50}}, 'hits: %s' % got)


@case
def one_interpreter_is_not_named(folder, python):
    result, _ = watch(folder, python, 'def f(): pass\ngate("ready")\nf()\ngate("done")\n')
    check([p['interpreter'] for p in result.profile['processes']] == [None], 'a number where there is but one')
    check([p['jit'] for p in result.profile['processes']] == [False], 'a JIT where there is none')


HOT = '''
def leaf(x): return x + 1
def gen(n):
    for i in range(n): yield leaf(i)
def mid(x):
    s = 0
    for i in range(20): s += leaf(i)
    return s
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
def fails(n):
    if n: fails(n - 1)
    else: raise KeyError
def deep(n): return deep(n + 1)
def caught(n):
    try: fails(n)
    except KeyError: pass
class Thing:
    def __init__(self, x): self.x = leaf(x)
    def method(self): return self.x
def main(rounds):
    t = 0
    for i in range(rounds * 20): t += leaf(i)
    for i in range(rounds): t += mid(i)
    for i in range(rounds): t += sum(gen(10))
    for i in range(rounds // 100): t += fib(15)
    for i in range(rounds): caught(3)
    for i in range(rounds): t += Thing(i).method()
    for i in range(3):
        try: deep(0)
        except RecursionError: pass
    return t
'''


def sees_jit(python):
    cases.needs_jit(python)
    if harness.backend == 'usdt':
        raise Skipped('static probes see nothing of compiled traces: that they are refused is for test_usdt to show')


@case
def jit_counts_every_call(folder, python):
    """Compiled traces hide starts; ends tell. Plain functions come out exactly, without times."""
    sees_jit(python)
    target, path = start(folder, python, HOT + '''
sys.setrecursionlimit(300)
def compiled(n):
    t = 0
    for i in range(n): t += sys._jit.is_active()
    return t
main(200)
gate('ready')
main(2000)
gate('done', compiled(20000))
''', env=cases.jit_on())
    target.expect('ready')
    session = Session(['-p', str(target.pid), '__main__.**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    check(int(target.expect('done')) > 0, 'no compiled trace ran: this tests nothing')
    profile = session.stop()
    target.go()
    target.finish()
    sound(profile)
    result = Result(profile, path, target.pid)
    process = profile['processes'][0]
    check(process['jit'] and any('JIT' in text for text in process['warnings']), 'the JIT is not mentioned')
    result.expect({'main': 1, 'leaf': 40000 + 40000 + 20000 + 2000, 'mid': 2000, 'fib': 20 * 1973, 'caught': 2000, 'fails': 8000,
                   '__init__': 2000, 'method': 2000})
    result.expect({'fails': 8000, 'leaf': 0, 'caught': 0}, 'raised')
    result.expect_callers({('main', 'leaf'): 40000, ('mid', 'leaf'): 40000, ('gen', 'leaf'): 20000, ('__init__', 'leaf'): 2000,
                           ('main', 'caught'): 2000, ('caught', 'fails'): 2000, ('fails', 'fails'): 6000,
                           ('main', '__init__'): 2000, ('main', 'fib'): 20})
    times = {call['function'] for _, _, call in result.nodes for field in ('total_ns', 'self_ns', 'complete_ns', 'max_ns')
             if call[field]}
    check(not times, 'times under the JIT: %s' % sorted(times))
    return None


@case
def jit_of_a_command(folder, python):
    """The JIT is switched on while the interpreter starts, after its first calls."""
    sees_jit(python)
    path = cases.write(folder, 'command.py', HOT + 'main(500)\n')
    session = cases.run_command(folder, python, ['__main__.**'], path, env=cases.jit_on())
    profile = session.result()
    result = Result(profile, path)
    check(profile['processes'][0]['jit'], 'the JIT is not mentioned')
    result.expect({'main': 1, 'leaf': 10000 + 10000 + 5000 + 500, 'mid': 500, 'fib': 5 * 1973})


@case
def hidden_starts_are_refused(folder, python):
    """A build that hides calls without saying so: here one whose JIT flag is cleared behind its compiled traces."""
    sees_jit(python)
    target, path = start(folder, python, HOT + '''
import ctypes
ctypes.pythonapi.PyInterpreterState_Get.restype = ctypes.c_void_p
main(200)
flag = ctypes.c_ubyte.from_address(ctypes.pythonapi.PyInterpreterState_Get() + %d)
assert flag.value == 1, flag.value
flag.value = 0
gate('ready')
main(2000)
gate('done')
''' % cases.jit_flag_offset(python), env=cases.jit_on())
    target.expect('ready')
    session = Session(['-p', str(target.pid), '__main__.**'], os.path.join(folder, 'profile.json')).watching()
    target.go()
    target.expect('done')
    session.interrupt()
    status = session.status()
    said = session.stderr.text()
    if status == 0:
        calls = Result(harness.load_json(session.output), path).sum('leaf')
        check(calls == 40000 + 40000 + 20000 + 2000, 'leaf was called 102000 times, pylu-bpf says %d' % calls)
        raise Skipped('Python %s leaves its compiled traces when the flag is cleared, and hides nothing' % python.text)
    check(status == 3 and 'had not been seen to start' in said, 'exit status %d: %s' % (status, said))
    check(not os.path.exists(os.path.join(folder, 'profile.json')), 'a profile was written all the same')
    target.go()
    target.finish()


if __name__ == '__main__':
    cases.main(__doc__)
