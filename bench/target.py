"""The programs that the benchmark watches. Each measures itself: attaching and settling are outside of what it reports.

    target.py calls     each line N: N rounds of calls of small functions; answers with the ns per call
    target.py values N  N threads, all but one asleep. A line 'FUNCTION ROUNDS': calls a function of 0, 5 or 20 values, or 'calls'
                        as above; answers with the ns per call. 'paced FUNCTION RATE SECONDS': calls it so often a second
    target.py known     functions of known duration. 'truth': answers how long each takes, in ns; N: N calls of the outermost
    target.py many N    calls N different functions, round and round

Says 'ready', then answers each line on its standard input with one line, and ends with it. Runs on Python 3.8 and later.
"""
import json
import sys
import threading
import time
import types

now = time.perf_counter_ns


def leaf():
    pass


def add(a, b):
    return a + b


def outer(x):
    leaf()
    return add(x, 1)


def run_calls(rounds):
    """Five calls a round."""
    begun = now()
    for i in range(rounds):
        leaf()
        add(i, 1)
        outer(i)
    return '%.2f' % ((now() - begun) / (5 * rounds))


# Work of about 1, 5 and 50 us, once calibrated: counted, not timed, so that a probe does not shorten it.
turns = {'work_1': 30, 'work_5': 150, 'work_50': 1500}


def work_1():
    for _ in range(turns['work_1']):
        pass


def work_5():
    for _ in range(turns['work_5']):
        pass


def work_50():
    for _ in range(turns['work_50']):
        pass


def middle():
    for _ in range(10):
        work_1()
    work_5()
    work_5()


def top():
    for _ in range(5):
        middle()
    work_50()


def each_call(function, calls):
    """The least and the mean time of a call, each one timed."""
    took = []
    for _ in range(calls):
        begun = now()
        function()
        took.append(now() - begun)
    return min(took), sum(took) / calls


def truth():
    """What a call of each takes, least and mean, less what a call of a function that does nothing takes."""
    empty, answer = each_call(leaf, 20000), {}
    for function, calls in ((work_1, 20000), (work_5, 4000), (work_50, 400), (middle, 2000), (top, 400)):
        least, mean = each_call(function, calls)
        answer[function.__name__] = least - empty[0], mean - empty[1]
    return json.dumps(answer)


def calibrate():
    for name, function, goal in (('work_1', work_1, 1e3), ('work_5', work_5, 5e3), ('work_50', work_50, 50e3)):
        for _ in range(3):
            turns[name] = max(1, round(turns[name] * goal / each_call(function, 1000)[0]))


def answer_known(line):
    if line == 'truth':
        return truth()
    for _ in range(int(line)):
        top()
    return 'done'


# With each, `trace` shows the arguments and None; `debug` of the first line of a line_ function the variables that it uses.
VALUES = """
def call_%(n)d(%(names)s):
    return None


def line_%(n)d(%(names)s):
    [%(names)s]
    return None


def loop_%(kind)s_%(n)d(rounds):
    arguments = %(values)r
    begun = now()
    for _ in range(rounds):
        %(kind)s_%(n)d(*arguments)
    return (now() - begun) / rounds
"""


ASIDE = """
def aside():
    a = 1
    b = 2
    c = 3
    return a, b, c
"""


def make_functions():
    exec(ASIDE, globals())
    # Different objects: one that occurs again is read once.
    kinds = (lambda i: 1000 + i, lambda i: 'name %d' % i, lambda i: i + 0.5, lambda i: (i, 1000 * i), lambda i: [i])
    some = tuple(kinds[i % 5](i) for i in range(20))
    for n in (0, 5, 20):
        names = ', '.join('v%d' % i for i in range(n))
        for kind in ('call', 'line'):
            exec(VALUES % {'n': n, 'kind': kind, 'names': names, 'values': some[:n]}, globals())


def paced(function, rate, seconds):
    """Calls it in bunches, as fast as it can where that is not enough; answers how often."""
    loop, begun, done = globals()['loop_' + function], now(), 0
    while True:
        due = int((now() - begun) / 1e9 * rate)
        if now() - begun > seconds * 1e9:
            return done
        if due > done:
            bunch = min(due - done, 1000)
            loop(bunch)
            done += bunch
        else:
            time.sleep(0.001)


def answer_values(line):
    words = line.split()
    if words[0] == 'calls':
        return run_calls(int(words[1]))
    if words[0] == 'paced':
        return paced(words[1], float(words[2]), float(words[3]))
    return '%.2f' % globals()['loop_' + words[0]](int(words[1]))


def work_many(count):
    names = ['f%d' % i for i in range(count)]
    room = types.ModuleType('many').__dict__
    exec(compile('\n'.join('def %s(x):\n    return x + 1' % name for name in names), '<many>', 'exec'), room)
    functions = [room[name] for name in names]
    stopped = []
    threading.Thread(target=lambda: stopped.append(sys.stdin.read()), daemon=True).start()
    print('ready', flush=True)
    while not stopped:
        for f in functions:
            f(1)


def serve(answer):
    print('ready', flush=True)
    for line in sys.stdin:
        print(answer(line.strip()), flush=True)


if sys.argv[1] == 'calls':
    serve(lambda line: run_calls(int(line)))
elif sys.argv[1] == 'values':
    make_functions()
    for _ in range(int(sys.argv[2]) - 1):
        threading.Thread(target=time.sleep, args=(86400,), daemon=True).start()
    serve(answer_values)
elif sys.argv[1] == 'known':
    calibrate()
    serve(answer_known)
else:
    work_many(int(sys.argv[2]))
