/* prove_script: the child's program and what it must be counted as. Runs on every supported version. */
#ifndef PYLU_PROVE_SCRIPT_H
#define PYLU_PROVE_SCRIPT_H

#include <stdint.h>

static const char prove_script[] =
	"import sys, signal, _thread\n"
	"def leaf():\n pass\n"
	"def mid():\n leaf(); leaf()\n"
	"def rec(n):\n return rec(n - 1) if n else 0\n"
	"def boom():\n raise KeyError\n"
	"def through():\n boom()\n"
	"def catch():\n"
	" try:\n  through()\n"
	" except KeyError:\n  pass\n"
	"def gen():\n"
	" for i in range(3):\n  yield i\n"
	"def outer():\n yield from gen()\n"
	"def use():\n"
	" for x in outer():\n  leaf()\n"
	"def stop():\n"
	" try:\n  yield 1\n"
	" finally:\n  leaf()\n"
	"def throw():\n"
	" g = stop(); next(g)\n"
	" try:\n  g.throw(ValueError)\n"
	" except ValueError:\n  pass\n"
	" g = stop()\n"
	" try:\n  g.throw(ValueError)\n"
	" except ValueError:\n  pass\n"
	"async def coro():\n leaf()\n return 1\n"
	"def drive():\n"
	" try:\n  coro().send(None)\n"
	" except StopIteration:\n  pass\n"
	"def called(x):\n return x\n"
	"class Thing:\n"
	" def __init__(self):\n  self.x = 1\n"
	" def method(self):\n  return leaf()\n"
	"def deep():\n"
	" try:\n  endless()\n"
	" except RecursionError:\n  pass\n"
	"def endless():\n endless()\n"
	"def round():\n"
	" for i in range(20):\n"
	"  mid(); catch(); use(); throw(); drive(); list(map(called, range(5))); Thing().method()\n"
	" rec(50)\n"
	"def tick(*a):\n pass\n"
	"def spin():\n"
	" for i in range(3000):\n  leaf()\n"
	"def thread(lock):\n round(); lock.release()\n"
	"sys.stdout.write('r'); sys.stdout.flush(); sys.stdin.read(1)\n"
	"round()\n"
	"locks = []\n"
	"for i in range(2):\n"
	" locks.append(_thread.allocate_lock()); locks[-1].acquire()\n"
	" _thread.start_new_thread(thread, (locks[-1],))\n"
	"for l in locks:\n l.acquire()\n"
	"signal.signal(signal.SIGALRM, tick)\n"
	"signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
	"spin()\n"
	"signal.setitimer(signal.ITIMER_REAL, 0)\n"
	"sys.setprofile(lambda *a: None)\n"
	"round()\n"
	"sys.setprofile(None)\n"
	"round()\n"
	"deep()\n"
	"sys.stdout.write('d'); sys.stdout.flush(); sys.stdin.read(1)\n";

#define PROVE_ROUNDS 5 /* of round(): one, two threads, one under a profile function, one after it */

/* What each function must have been counted as; its nearest matching caller, NULL where there are several. */
static const struct prove_expected {
	const char *name, *caller;
	uint64_t hits, raised;
} prove_expected[] = {
	{ "__main__.round", NULL, PROVE_ROUNDS, 0 },
	{ "__main__.mid", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.leaf", NULL, 20 * PROVE_ROUNDS * 8 + 3000, 0 },
	{ "__main__.rec", NULL, 51 * PROVE_ROUNDS, 0 },
	{ "__main__.boom", "__main__.through", 20 * PROVE_ROUNDS, 20 * PROVE_ROUNDS },
	{ "__main__.through", "__main__.catch", 20 * PROVE_ROUNDS, 20 * PROVE_ROUNDS },
	{ "__main__.catch", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.gen", "__main__.outer", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.outer", "__main__.use", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.use", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.stop", "__main__.throw", 20 * PROVE_ROUNDS, 20 * PROVE_ROUNDS },
	{ "__main__.throw", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.coro", "__main__.drive", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.drive", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.called", "__main__.round", 100 * PROVE_ROUNDS, 0 },
	{ "__main__.Thing.__init__", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.Thing.method", "__main__.round", 20 * PROVE_ROUNDS, 0 },
	{ "__main__.thread", NULL, 2, 0 },
	{ "__main__.spin", NULL, 1, 0 },
	{ "__main__.deep", NULL, 1, 0 },
};

#endif
