/* prove_script: the child's program and what it must be counted as. Runs on every supported version, in ASCII. */
#ifndef PYLU_PROVE_SCRIPT_H
#define PYLU_PROVE_SCRIPT_H

#include <stdint.h>

/* Only modules that every interpreter has built in are imported. `slice` stands for a callable in C that takes whatever a
 * hook passes: hooks in Python would be most of the calls. */
static const char prove_script[] =
	"import sys, _signal, _thread\n"
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
	"async def agen():\n"
	" yield leaf()\n"
	" yield 1\n"
	"async def await_all():\n"
	" async for x in agen():\n  leaf()\n"
	"async def coro():\n await await_all()\n"
	"def drive():\n"
	" try:\n  coro().send(None)\n"
	" except StopIteration:\n  pass\n"
	"def called(x):\n return x\n"
	"def lazy():\n return sum(called(x) for x in (1, 2, 3))\n"
	"def nest():\n"
	" def inner():\n  return leaf()\n"
	" return inner()\n"
	"class Thing:\n"
	" def __init__(self):\n  self.x = 1\n"
	" def __enter__(self):\n  return self\n"
	" def __exit__(self, *a):\n  return True\n"
	" def __getitem__(self, i):\n  return i\n"
	" @property\n"
	" def value(self):\n  return self.x\n"
	" def method(self):\n  return leaf()\n"
	"def things():\n"
	" with Thing() as t:\n"
	"  t.method(); t[1]; t.value; boom()\n"
	"def deep():\n"
	" try:\n  endless()\n"
	" except RecursionError:\n  pass\n"
	"def endless():\n endless()\n"
	"def round():\n"
	" for i in range(10):\n"
	"  mid(); catch(); use(); throw(); drive(); things(); lazy(); nest(); list(map(called, (1, 2)))\n"
	" rec(50)\n"
	"def tick(*a):\n pass\n"
	"def spin():\n"
	" for i in range(3000):\n  leaf()\n"
	"def thread(lock):\n round(); lock.release()\n"
	"def names(space={'__name__': 'pylu_trial.part'}):\n"
	" source = '\\n' * 41 + 'def placed(): pass\\ndef \\u00e9\\u6f22(): pass\\ndef ' + 'long' * 40 + '(): "
	"pass\\n'\n"
	" exec(compile(source, '/pylu/trial.py', 'exec'), space)\n"
	" space['placed'](); space['\\u00e9\\u6f22'](); space['long' * 40]()\n"
	"def freed():\n"
	" for i in range(6):\n"
	"  exec('def freed%d(): pass\\nfreed%d()' % (i, i), {'__name__': 'pylu_trial.part'})\n"
	"def monitored():\n"
	" m = getattr(sys, 'monitoring', None)\n"
	" if m:\n"
	"  m.use_tool_id(3, 'pylu')\n"
	"  e = m.events\n"
	"  e = e.PY_START | e.PY_RESUME | e.PY_RETURN | e.PY_YIELD | e.LINE\n"
	"  for i in range(5):\n   m.register_callback(3, 1 << i, slice)\n"
	"  m.register_callback(3, m.events.LINE, slice)\n"
	"  m.set_events(3, e)\n"
	" round()\n"
	" if m:\n"
	"  m.set_events(3, 0); m.free_tool_id(3)\n"
	"sys.stdout.write('r'); sys.stdout.flush(); sys.stdin.read(1)\n"
	"round()\n"
	"locks = []\n"
	"for i in range(2):\n"
	" locks.append(_thread.allocate_lock()); locks[-1].acquire()\n"
	" _thread.start_new_thread(thread, (locks[-1],))\n"
	"for l in locks:\n l.acquire()\n"
	"_signal.signal(_signal.SIGALRM, tick)\n"
	"_signal.setitimer(_signal.ITIMER_REAL, 0.0005, 0.0005)\n"
	"spin()\n"
	"_signal.setitimer(_signal.ITIMER_REAL, 0)\n"
	"sys.setprofile(slice)\n"
	"round()\n"
	"sys.setprofile(None)\n"
	"sys.settrace(lambda *a: None)\n"
	"round()\n"
	"sys.settrace(None)\n"
	"monitored()\n"
	"round()\n"
	"deep()\n"
	"names()\n"
	"freed()\n"
	"sys.stdout.write('d'); sys.stdout.flush(); sys.stdin.read(1)\n";

/* Runs of round(): one, one in each of two threads, under a profile function, a trace function and monitoring, and one
 * after them. */
#define PROVE_ROUNDS 7
#define PROVE_TURNS (10 * PROVE_ROUNDS)

#define PROVE_LONG "longlonglonglonglonglonglonglong"

/* What each function must have been counted as. */
static const struct prove_expected {
	const char *name, *caller; /* its nearest matching caller, NULL where there are several */
	uint64_t hits, raised;
	const char *file; /* NULL: not looked at */
	uint32_t line;
} prove_expected[] = {
	{ "__main__.round", NULL, PROVE_ROUNDS, 0 },
	{ "__main__.mid", "__main__.round", PROVE_TURNS, 0, "<string>", 4 },
	{ "__main__.leaf", NULL, PROVE_TURNS * 11 + 3000, 0, "<string>", 2 },
	{ "__main__.rec", NULL, 51 * PROVE_ROUNDS, 0 },
	{ "__main__.boom", NULL, 2 * PROVE_TURNS, 2 * PROVE_TURNS },
	{ "__main__.through", "__main__.catch", PROVE_TURNS, PROVE_TURNS },
	{ "__main__.catch", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.gen", "__main__.outer", PROVE_TURNS, 0 },
	{ "__main__.outer", "__main__.use", PROVE_TURNS, 0 },
	{ "__main__.use", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.stop", "__main__.throw", PROVE_TURNS, PROVE_TURNS },
	{ "__main__.throw", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.agen", "__main__.await_all", PROVE_TURNS, 0 },
	{ "__main__.await_all", "__main__.coro", PROVE_TURNS, 0 },
	{ "__main__.coro", "__main__.drive", PROVE_TURNS, 0 },
	{ "__main__.drive", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.called", NULL, 5 * PROVE_TURNS, 0 },
	{ "__main__.lazy", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.lazy.<locals>.<genexpr>", "__main__.lazy", PROVE_TURNS, 0 },
	{ "__main__.nest.<locals>.inner", "__main__.nest", PROVE_TURNS, 0 },
	{ "__main__.Thing.__init__", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.Thing.__enter__", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.Thing.__exit__", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.Thing.__getitem__", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.Thing.value", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.Thing.method", "__main__.things", PROVE_TURNS, 0 },
	{ "__main__.things", "__main__.round", PROVE_TURNS, 0 },
	{ "__main__.thread", NULL, 2, 0 },
	{ "__main__.spin", NULL, 1, 0 },
	{ "__main__.deep", NULL, 1, 0 },
	{ "pylu_trial.part.placed", "__main__.names", 1, 0, "/pylu/trial.py", 42 },
	{ "pylu_trial.part.\u00e9\u6f22", "__main__.names", 1, 0, "/pylu/trial.py", 43 },
	{ "pylu_trial.part." PROVE_LONG PROVE_LONG PROVE_LONG PROVE_LONG PROVE_LONG, "__main__.names", 1, 0,
	  "/pylu/trial.py", 44 },
	/* Their code objects lie at one address, one after the other. */
	{ "pylu_trial.part.freed0", NULL, 1, 0 },
	{ "pylu_trial.part.freed5", NULL, 1, 0 },
};

#endif
