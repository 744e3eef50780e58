"""A program whose functions are called as fast as it can while the agent changes them and changes them back.

    agent_stress.py HOW [hook]

pylu_agent is imported. HOW: `mixed`, threads that call one function in many ways and are switched all the time;
`pairs`, threads that call two functions and are never switched between the calls. With `hook` a Python audit hook is
installed, which lets other threads run whenever an attribute of a function is set. `forks` and `exits` are described
at their functions.

Says `ready`, works until it is told to go on, and says `done` and JSON: how many calls gave the old, the new, and neither.
"""
import collections
import functools
import json
import os
import select
import sys
import threading
import time

import pylu_agent

THREADS = 8


def work(a='old', *, k='old'):
    """old"""
    return 'old', a, k


def first(a='old'):
    return 'old', a


def second(a='old'):
    return 'old', a


class Shop:
    def __init__(self):
        self.bound = self.price

    def price(self, a='old', *, k='old'):
        return 'old', a, k


class Worker(threading.Thread):
    """Calls until it is told to stop. `kinds` counts what came back; what did not is in `errors`."""
    stop = False

    def __init__(self, call):
        super().__init__()
        self.call, self.kinds, self.errors, self.calls = call, collections.Counter(), [], 0

    def run(self):
        while not Worker.stop:
            try:
                for result in self.call():
                    self.kinds[result] += 1
                self.calls += 1
            except Exception as error:
                self.errors.append(repr(error))


def mixed_calls():
    shop, alias, partial = Shop(), work, functools.partial(work)

    def plain():
        return [work() for _ in range(20)]

    def keywords():
        return [tuple(work(k='both')[:2]) for _ in range(20)]

    def aliases():
        return [alias(), partial(), work(*(), **{}), getattr(sys.modules[__name__], 'work')()]

    def mapped():
        return list(map(lambda _: work(), range(20)))

    def methods():
        return [shop.price(), shop.bound(), Shop.price(shop), shop.price(*())]
    return [plain, keywords, aliases, mapped, methods, plain, methods, mapped]


def pair():
    for _ in range(20):
        a, b = first(), second()
        yield a + b
    time.sleep(0.0002)  # here, and only here, others get the interpreter


def pair_back():
    for _ in range(20):
        b, a = second(), first()
        yield a + b
    time.sleep(0.0002)


def install_hook():
    """It gives the interpreter to others at each step of a change."""
    def hook(event, args):
        if event == 'object.__setattr__':
            time.sleep(0.0001)
            work()  # it may call what is being changed
    sys.addaudithook(hook)


def called(how):
    """Runs the threads until a byte comes."""
    sys.setswitchinterval(1e-6 if how == 'mixed' else 1000)
    calls = mixed_calls() if how == 'mixed' else [pair, pair_back] * (THREADS // 2)
    workers = [Worker(lambda call=call: list(call())) for call in calls]
    for worker in workers:
        worker.start()
    print('ready', flush=True)
    sys.stdin.buffer.read(1)
    Worker.stop = True
    for worker in workers:
        worker.join()
    sys.setswitchinterval(0.005)
    total = sum((worker.kinds for worker in workers), collections.Counter())
    of_kind = {kind: sum(n for result, n in total.items() if set(result) == {kind}) for kind in ('old', 'new')}
    neither = {' '.join(result): n for result, n in total.items() if len(set(result)) > 1}
    print('done', json.dumps(dict(of_kind, neither=neither, errors=sum((worker.errors for worker in workers), [])[:5],
                                  idle=sum(not worker.calls for worker in workers))), flush=True)
    sys.stdin.buffer.read(1)


def told():
    return bool(select.select([0], [], [], 0)[0])


def forks():
    """Forks as fast as it can while its functions change. Each child must find a function whole, and end by itself."""
    count, bad = 0, []
    print('ready', flush=True)
    while not told():
        pid = os.fork()
        if pid == 0:
            os._exit(0 if set(work()) in ({'old'}, {'new'}) else 3)
        status = os.waitpid(pid, 0)[1]
        count += 1
        if status:
            bad.append(status)
    print('done', json.dumps({'forks': count, 'bad': bad[:5]}), flush=True)
    sys.stdin.buffer.read(2)


def exits():
    """Ends in the usual way when it is told to, whatever is being done to it then."""
    print('ready', flush=True)
    sys.stdin.buffer.read(1)


if __name__ == '__main__':
    pylu_agent.start()
    if 'hook' in sys.argv[2:]:
        install_hook()
    if sys.argv[1] in ('mixed', 'pairs'):
        called(sys.argv[1])
    else:
        {'forks': forks, 'exits': exits}[sys.argv[1]]()
