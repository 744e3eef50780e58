"""mixtures_flow: stacks that change places, threads, processes, and stacks that get deep and unwind.

Each mixture is called once, gives its unit, and is told the scale: how much work a unit is.
"""
import json
import os
import sys
import threading

from mixture import children, counter, mixture, need, plain_counter, raised, same, starts, state, value


# --- stacks that change places ---

@mixture
def greenlets(scale):
    greenlet = need('greenlet')
    n_leaf, n_ping, n_pong, n_killed = [counter('x_' + name) for name in ('leaf', 'ping', 'pong', 'killed')]

    def x_leaf():
        n_leaf()
        return 1

    def x_ping(n, other):
        n_ping()
        total = 0
        for i in range(n):
            total += x_leaf() + other[0].switch(i)
        return total

    def x_pong(first):
        n_pong()
        got = first
        while True:
            got = main[0].switch(x_leaf() + x_leaf()) if got is not None else None

    def x_killed():
        n_killed()
        x_leaf()
        greenlet.getcurrent().parent.switch()

    main = [None]

    def unit():
        pong = greenlet.greenlet(x_pong)
        main[0] = greenlet.greenlet(x_ping)
        same(main[0].switch(200 * scale, [pong]), 600 * scale)
        for i in range(20 * scale):
            killed = greenlet.greenlet(x_killed)
            killed.switch()
            if i % 2:
                killed.throw(greenlet.GreenletExit)
            del killed
        main[0] = pong = None
    return unit


@mixture
def gevents(scale):
    need('gevent')
    import gevent
    import gevent.queue
    n_work, n_feed, n_leaf, n_fails = [counter('x_' + name) for name in ('work', 'feed', 'leaf', 'fails')]
    r_fails = counter('x_fails', raised)

    def x_leaf(i):
        n_leaf()
        return i

    def x_fails():
        n_fails()
        gevent.sleep(0)
        r_fails()
        raise KeyError

    def x_work(queue):
        n_work()
        total = 0
        while True:
            i = queue.get()
            if i is None:
                return total
            total += x_leaf(i)
            gevent.sleep(0)

    def x_feed(queue, n):
        n_feed()
        for i in range(n):
            queue.put(i)
            if i % 7 == 0:
                gevent.sleep(0)
        for i in range(50):
            queue.put(None)

    def unit():
        gevent.get_hub().print_exception = lambda *a: None
        queue = gevent.queue.Queue(10)
        workers = [gevent.spawn(x_work, queue) for i in range(50)]
        others = [gevent.spawn(x_fails) for i in range(20)]
        feeder = gevent.spawn(x_feed, queue, 300 * scale)
        gevent.joinall(workers + others + [feeder])
        same(sum(w.value for w in workers), sum(range(300 * scale)))
    return unit


@mixture
def asyncio_tasks(scale):
    import asyncio
    n_leaf, n_items, n_worker, n_fails, n_waits = [counter('x_' + name)
                                                   for name in ('leaf', 'items', 'worker', 'fails', 'waits')]
    r_fails, r_waits = counter('x_fails', raised), counter('x_waits', raised)

    async def x_leaf(i):
        n_leaf()
        await asyncio.sleep(0)
        return i

    async def x_items(n):
        n_items()
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    async def x_worker(i):
        n_worker()
        total = await x_leaf(i)
        async for j in x_items(2):
            total += j
        return total

    async def x_fails():
        n_fails()
        await asyncio.sleep(0)
        r_fails()
        raise KeyError

    async def x_waits():
        n_waits()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            r_waits()
            raise

    async def main():
        tasks = [asyncio.ensure_future(x_worker(i)) for i in range(2000 * scale)]
        bad = [asyncio.ensure_future(x_fails()) for i in range(100)]
        waiting = [asyncio.ensure_future(x_waits()) for i in range(500)]
        same(sum(await asyncio.gather(*tasks)), sum(range(2000 * scale)) + 2000 * scale)
        await asyncio.gather(*bad, return_exceptions=True)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    return lambda: asyncio.run(main())


@mixture
def generators(scale):
    names = ('bare', 'careful', 'note', 'handles', 'outer', 'counts', 'async_items')
    n_bare, n_careful, n_note, n_handles, n_outer, n_counts, n_items = [counter('x_' + name) for name in names]

    def x_bare():
        n_bare()
        yield 1
        yield 2

    def x_careful():
        n_careful()
        try:
            yield 1
        finally:
            x_note()

    def x_note():
        n_note()

    def x_handles():
        n_handles()
        for i in range(3):
            try:
                yield i
            except KeyError:
                yield -1

    def x_outer():
        n_outer()
        return (yield from x_handles())

    def x_counts():
        n_counts()
        yield x_note()

    async def x_async_items():
        n_items()
        yield 1
        yield 2

    def drive(awaitable):
        try:
            awaitable.send(None)
        except StopIteration as stop:
            return stop.value

    def unit():
        for i in range(200 * scale):
            for make in x_bare, x_careful, x_counts:    # dropped while suspended, and before the start
                g = make()
                next(g)
                del g
                make()
                g = make()
                next(g)
                g.close()
                g = make()
                try:
                    g.throw(ValueError)
                except ValueError:
                    pass
                g = make()
                next(g)
                try:
                    g.throw(ValueError)
                except ValueError:
                    pass
            g = x_outer()
            same([next(g), g.throw(KeyError), list(g)], [0, -1, [1, 2]])
            g = x_async_items()
            same(drive(g.asend(None)), 1)
            try:
                drive(g.athrow(KeyError))
            except KeyError:
                pass
            g = x_async_items()
            same(drive(g.asend(None)), 1)
            drive(g.aclose())
    return unit


# --- threads and processes ---

@mixture
def threads_at_once(scale):
    n_work, n_leaf, n_items = counter('x_work'), counter('x_leaf'), counter('x_items')

    def x_leaf(i):
        n_leaf()
        return i

    def x_items(n):
        n_items()
        for i in range(n):
            yield x_leaf(i)

    def x_work(barrier, out):
        n_work()
        barrier.wait()
        total = 0
        for i in range(20 * scale):
            total += sum(x_items(5)) + x_leaf(i)
        out.append(total)

    def unit():
        barrier, out = threading.Barrier(64), []
        threads = [threading.Thread(target=x_work, args=(barrier, out)) for i in range(64)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        same(out, [200 * scale + sum(range(20 * scale))] * 64)
    return unit


@mixture
def threads_come_and_go(scale):
    import _thread
    n_work, n_low = counter('x_work'), counter('x_low')

    def x_work(out):
        n_work()
        out.append(1)

    def x_low(out, lock):
        n_low()
        out.append(1)
        lock.release()

    def unit():
        out, lock = [], _thread.allocate_lock()
        for i in range(50 * scale):
            t = threading.Thread(target=x_work, args=(out,))
            t.start()
            if i % 3:
                t.join()
            lock.acquire()
            _thread.start_new_thread(x_low, (out, lock))
        lock.acquire()
        for t in threading.enumerate():
            if t is not threading.current_thread() and not t.daemon:
                t.join()
        same(len(out), 100 * scale)
    return unit


def report_child(pipe, before):
    """A child's last word: what it called since it was forked."""
    own = {name: value(c) - before.get(name, 0) for name, c in starts.items()}
    os.write(pipe, json.dumps({name: n for name, n in own.items() if n}).encode() + b'\n')
    os._exit(0)


@mixture
def forks(scale):
    n_child, n_leaf, n_parent, n_items = [counter('x_' + name) for name in ('child', 'leaf', 'parent', 'items')]
    reader, writer = os.pipe()

    def x_leaf():
        n_leaf()
        return 1

    def x_items(n):
        n_items()
        for i in range(n):
            yield x_leaf()

    def x_child(n):
        n_child()
        return sum(x_items(n)) + x_leaf()

    def spawn(n, nested):
        before = {name: value(c) for name, c in starts.items()}
        pid = os.fork()
        if pid:
            return pid
        same(x_child(n), n + 1)
        if nested:
            os.waitpid(spawn(n, False), 0)
        report_child(writer, before)

    def x_parent(half_done):
        n_parent()
        same(next(half_done), 1)
        pids = [spawn(i, i % 4 == 0) for i in range(8)]
        same(sum(half_done), 4)
        for pid in pids:
            same(os.waitpid(pid, 0)[1], 0)

    def unit():
        for i in range(3 * scale):
            x_parent(x_items(5))
        text = b''
        while text.count(b'\n') < 30 * scale:
            text += os.read(reader, 65536)
        for line in text.splitlines():
            for name, n in json.loads(line.decode()).items():
                children[name] = children.get(name, 0) + n
    return unit


@mixture
def execs(scale):
    """Each unit replaces the process; what the new image calls before it says so is no longer watched."""
    n_before = counter('x_before')
    counter('x_after')

    def x_before():
        n_before()
        return 1

    def x_after():
        return 1

    def unit():
        for i in range(200 * scale):
            x_before()
        seen = json.dumps(value(starts['x_before']))
        os.execv(sys.executable, [sys.executable] + sys.argv[:1] + ['execs', '--scale', str(scale), '--state', seen])

    if state:
        for i in range(state['seen']):
            n_before()
        for i in range(100):
            x_after()
    return unit


# --- stacks that get deep, and that unwind ---

@mixture
def recursion(scale):
    names = 'x_down', 'x_through_c', 'x_deep_items'
    n_down, n_through, n_items = [plain_counter(name) for name in names]
    raised.update(x_down=n_down, x_through_c=n_through)

    def x_down(n):
        n_down[0] += 1
        return x_down(n + 1)

    def x_through_c(n):
        n_through[0] += 1
        return max(map(x_through_c, [n + 1]))

    def x_deep_items(n):
        n_items[0] += 1
        yield n
        yield from x_deep_items(n + 1)

    def unit():
        for i in range(scale):
            for f in x_down, x_through_c:
                try:
                    f(0)
                    raise AssertionError('the recursion has no limit')
                except RecursionError:
                    pass
            try:
                for j in x_deep_items(0):
                    pass
            except RecursionError:
                pass
    return unit


@mixture
def exceptions(scale):
    names = ('raise', 'pass_on', 'final', 'again', 'swallow', 'exit')
    n_raise, n_pass, n_final, n_again, n_swallow, n_exit = [counter('x_' + name) for name in names]
    r_raise, r_pass, r_final, r_again = [counter('x_' + name, raised) for name in names[:4]]
    counter('x_swallow', raised)    # it never does

    def x_raise():
        n_raise()
        r_raise()
        raise KeyError

    def x_pass_on(n):
        n_pass()
        r_pass()
        return x_pass_on(n - 1) if n else x_raise()

    def x_final():
        n_final()
        r_final()
        try:
            x_pass_on(1)
        finally:
            x_swallow()

    def x_again():
        n_again()
        r_again()
        try:
            x_pass_on(2)
        except KeyError as error:
            raise ValueError from error

    def x_swallow():
        n_swallow()
        try:
            x_raise()
        except KeyError:
            pass
        with Swallow():
            x_raise()
        return hasattr(odd, 'x')

    def x_exit(*args):
        n_exit()
        return True

    class Swallow:
        def __enter__(self):
            return self
        __exit__ = x_exit

    class Odd:
        @property
        def x(self):
            raise AttributeError

    odd = Odd()

    def unit():
        caught = 0
        for i in range(1000 * scale):
            for f in x_raise, x_final, x_again:
                try:
                    f()
                except (KeyError, ValueError):
                    caught += 1
            same(x_swallow(), False)
        same(caught, 3000 * scale)
    return unit
