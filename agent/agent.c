/*
 * agent: see agent.h. Owns the ring, the thread, and the hooks in the interpreter that start and end it. What requests mean is in
 * dispatch.c and the handlers.
 *
 * Whoever changes `life` by a compare-and-exchange does what belongs to the step: OFF to STARTING makes the thread, ON to ENDING joins it.
 * All else is only touched by that one, or with the GIL held.
 */
#include "agent.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dispatch.h"
#include "handlers.h"
#include "journal.h"
#include "msg.h"
#include "proto.h"
#include "ring.h"

#define VERSION_FIRST 0x03080000U
#define VERSION_LAST 0x030f0000U
#define MS 1000000ULL
#define JOIN_MS 5000   /* how long an exiting program waits for a request to end */
#define BY_MAIN_MS 100 /* how long the main thread may take before the agent's thread sets up by itself */
#define HAND_OVER_MS 5 /* how long the main thread stands aside */
#define POLL_FIRST_NS 500000ULL

enum life { OFF, STARTING, ON, ENDING };
enum work { IDLE, BUSY, AWAY };

static struct {
	_Atomic uint32_t life;
	_Atomic uint32_t
		work; /* the thread makes it BUSY to do something, a fork makes it AWAY: then there is no thread */
	_Atomic uint32_t generation; /* of the thread that may work: one that finds another number is a leftover */
	_Atomic uint32_t ended;	     /* becomes 1, and is woken, when the thread is about to return */
	_Atomic uint32_t set_up;     /* becomes 1, and is woken, when `ring` and the hooks are there */
	_Atomic uint32_t users;	     /* of `ring` who do not hold the GIL and are not the thread */
	_Atomic uint32_t renew;	     /* look whether the ring can still be found */
	_Atomic(struct ring *) ring;
	pid_t pid;
	_Atomic pthread_t thread; /* written by itself, first of all */
	bool hooked;		  /* this interpreter has our functions in atexit and register_at_fork */
	bool leaving;
	struct agent_facts facts;
} agent;

uint64_t agent__now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

bool agent_is_self(void)
{
	return atomic_load(&agent.life) != OFF && pthread_equal(atomic_load(&agent.thread), pthread_self());
}

/* Sleeps until the word is no longer `value`, at most until `until_ns`. */
static void word__wait(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000) };

	while (atomic_load(word) == value)
		if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, &until, NULL,
			    FUTEX_BITSET_MATCH_ANY) &&
		    errno == ETIMEDOUT)
			return;
}

static void word__set(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
}

int agent__thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int failed;

	/* The application waits for its signals where it wants them, with sigwait or in a thread of its own. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed;
}

const char *agent__refusal(void)
{
	static char text[200];
	const char *full = py__version_text();
	uint32_t version = py__version();

	if (version < VERSION_FIRST || version > VERSION_LAST)
		snprintf(text, sizeof(text), "this is Python %.*s; the agent works in 3.8 to 3.15",
			 (int)strcspn(full, " "), full);
	else if (strstr(full, "free-threading"))
		snprintf(text, sizeof(text), "this is a free-threaded build of Python %.*s; the agent needs the GIL",
			 (int)strcspn(full, " "), full);
	else
		return NULL;
	return text;
}

/* The ring, for those who neither hold the GIL nor are the thread; NULL when there is none. It is not freed before drop_ring. */
static struct ring *use_ring(void)
{
	atomic_fetch_add(&agent.users, 1);
	return atomic_load(&agent.ring);
}

static void drop_ring(void)
{
	atomic_fetch_sub(&agent.users, 1);
}

void agent_wake(void)
{
	struct ring *ring = use_ring();

	if (ring)
		ring__kick(ring);
	drop_ring();
}

void agent__stuck(const char *fmt, ...)
{
	struct ring *ring = use_ring();
	char text[RING_TEXT_MAX];
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	if (ring)
		ring__set_state(ring, fmt ? RING_STUCK : RING_BUSY, fmt ? text : "");
	drop_ring();
}

static void close_ring(void)
{
	struct ring *ring = atomic_exchange(&agent.ring, NULL);

	while (atomic_load(&agent.users))
		sched_yield();
	if (ring)
		ring__close(ring);
}

/* Makes a new ring in place of the old one, if there is one. 0 or -errno. */
static int open_ring(enum ring_state state, const char *text)
{
	struct ring *ring;
	int err;

	close_ring();
	err = ring__make(&ring);
	if (err)
		return err;
	ring__set_state(ring, state, text);
	atomic_store(&agent.ring, ring);
	return 0;
}

/* Started by the main thread's eval loop: gives the GIL to the agent's thread, which waits for it, and takes it again. A busy thread
 * gives it up by itself only after the switch interval. */
static _Atomic uint32_t wants_gil, asked;

static int stand_aside(void *unused)
{
	PyThreadState *self;

	(void)unused;
	atomic_store(&asked, 0);
	if (!atomic_load(&wants_gil) || agent_is_self())
		return 0;
	self = py.PyEval_SaveThread();
	word__wait(&wants_gil, 1, agent__now_ns() + HAND_OVER_MS * MS);
	py.PyEval_RestoreThread(self);
	return 0;
}

PyGILState_STATE agent__take_gil(void)
{
	PyGILState_STATE gil;

	atomic_store(&wants_gil, 1);
	if (!atomic_exchange(&asked, 1) && py.Py_AddPendingCall(stand_aside, NULL))
		atomic_store(&asked, 0);
	gil = py.PyGILState_Ensure();
	word__set(&wants_gil, 0);
	return gil;
}

/* A request, if there is a whole one, is carried out and answered. False: there was none. */
static bool serve_one(struct ring *ring, uint32_t generation)
{
	static struct msg_out answer;
	struct msg_in request;
	uint16_t type;

	if (!ring__receive(ring, &type, &request))
		return false;
	ring__set_state(ring, RING_BUSY, "");
	type = dispatch(type, &request, &answer);
	if (atomic_load(&agent.generation) != generation)
		return false; /* the request forked, and this is the child: the ring is not here */
	journal__flush();
	ring__set_state(ring, RING_READY, "");
	ring__answer(ring, type, &answer);
	msg__free(&answer);
	return true;
}

static void tick(void)
{
	PyGILState_STATE gil = agent__take_gil();

	patch_tick();
	if (py.PyErr_Occurred())
		py.PyErr_Clear();
	py.PyGILState_Release(gil);
	journal__flush();
}

/* One thing that has to be done, if there is any. False: there is nothing, or the thread has to go. */
static bool work(uint32_t generation, uint64_t *deadline)
{
	uint32_t idle = IDLE;
	bool more = false;

	if (!atomic_compare_exchange_strong(&agent.work, &idle, BUSY))
		return false;
	*deadline = patch_next_deadline();
	if (agent__now_ns() >= *deadline) {
		tick();
		more = true;
	} else if (atomic_exchange(&agent.renew, 0) && !ring__is_reachable(atomic_load(&agent.ring))) {
		agent.leaving = open_ring(RING_READY, "") != 0;
		more = true;
	} else {
		more = serve_one(atomic_load(&agent.ring), generation);
	}
	if (atomic_load(&agent.generation) == generation)
		atomic_store(&agent.work, IDLE);
	return more;
}

/* Whether the thread has something to wait for; not when it ends, goes away for a fork, or is the leftover of an earlier life. */
static bool stays(uint32_t generation)
{
	return atomic_load(&agent.generation) == generation && !agent.leaving && atomic_load(&agent.life) == ON &&
	       atomic_load(&agent.work) != AWAY;
}

static void serve(uint32_t generation)
{
	uint64_t deadline = UINT64_MAX;

	while (stays(generation))
		if (!work(generation, &deadline) && stays(generation))
			ring__wait(atomic_load(&agent.ring), deadline);
}

void agent__leave(void)
{
	agent.leaving = true;
}

const struct agent_facts *agent__facts(void)
{
	return &agent.facts;
}

bool agent__is_running(void)
{
	return atomic_load(&agent.life) == ON && agent.pid == getpid();
}

static PyObject *at_exit(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	agent.hooked = false;
	if (agent.pid == getpid())
		agent__stop();
	return py__new_ref(py.none);
}

/* The parent's thread is not here, and its ring is the parent's. */
static void become_child(void)
{
	struct ring *inherited = atomic_exchange(&agent.ring, NULL);

	atomic_store(&agent.users, 0);
	atomic_store(&agent.work, IDLE);
	atomic_store(&wants_gil, 0);
	atomic_store(&asked, 0);
	if (inherited)
		ring__forget(inherited);
	journal__after_fork();
	patch_after_fork();
}

/* The end of the thread, which whoever has called agent__stop waits for; one that ends by itself is waited for by nobody. */
static void *end(uint32_t generation)
{
	uint32_t life = ON;

	if (atomic_load(&agent.generation) != generation || atomic_load(&agent.work) == AWAY)
		return NULL;
	close_ring();
	if (atomic_compare_exchange_strong(&agent.life, &life, OFF))
		pthread_detach(pthread_self());
	else
		word__set(&agent.ended, 1);
	return NULL;
}

static void introduce(void)
{
	atomic_store(&agent.thread, pthread_self());
	prctl(PR_SET_NAME, "pylu-agent");
}

static void *run_set_up(void *arg)
{
	uint32_t generation = (uint32_t)(uintptr_t)arg;

	introduce();
	serve(generation);
	return end(generation);
}

/* The thread that went away for a fork comes back. */
static int come_back(void *unused)
{
	pthread_t thread;

	(void)unused;
	if (atomic_load(&agent.work) != AWAY || agent.pid != getpid())
		return 0;
	atomic_store(&agent.work, IDLE);
	if (agent__thread(&thread, run_set_up, (void *)(uintptr_t)atomic_load(&agent.generation))) {
		close_ring();
		atomic_store(&agent.life, OFF);
	}
	return 0;
}

/* An idle agent has no thread during a fork: from 3.12 on Python warns of forks in processes of more than one thread, which this would be without
 * us. And what it shares with the rest is whole in the child. The ring stays, requests wait in it. */
static PyObject *before_fork(PyObject *self, PyObject *unused)
{
	uint32_t idle = IDLE;

	(void)self;
	(void)unused;
	if (agent__is_running() && !agent_is_self() && atomic_compare_exchange_strong(&agent.work, &idle, AWAY)) {
		agent_wake();
		pthread_join(atomic_load(&agent.thread), NULL); /* it needs no GIL for that */
		atomic_store(&agent.thread, 0);
	}
	return py__new_ref(py.none);
}

/* 3.13 counts threads after this, so that the main thread must first be back in its code. */
static PyObject *after_fork_in_parent(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	if (getpid() != (pid_t)syscall(SYS_gettid) || py.Py_AddPendingCall(come_back, NULL))
		come_back(NULL);
	return py__new_ref(py.none);
}

static PyObject *after_fork_in_child(PyObject *self, PyObject *unused)
{
	uint32_t life = atomic_load(&agent.life);
	bool by_agent = agent_is_self();

	(void)self;
	(void)unused;
	if (agent.pid == getpid())
		return py__new_ref(py.none);
	atomic_store(&agent.life, OFF);
	atomic_fetch_add(&agent.generation, 1);
	/* Where a patch's own code forked, the thread that goes on is the one that would serve. */
	if ((life == ON || life == STARTING) && !by_agent && !agent__start())
		py.PyErr_Clear();
	return py__new_ref(py.none);
}

/* atexit.register(at_exit), os.register_at_fork(before=..., after_in_parent=..., after_in_child=...) */
static bool hook(void)
{
	static PyMethodDef methods[] = {
		{ "pylu_agent_exit", at_exit, METH_NOARGS, NULL },
		{ "pylu_agent_before_fork", before_fork, METH_NOARGS, NULL },
		{ "pylu_agent_after_fork_in_parent", after_fork_in_parent, METH_NOARGS, NULL },
		{ "pylu_agent_after_fork_in_child", after_fork_in_child, METH_NOARGS, NULL },
	};
	PyObject *hooks[4] = { NULL }, *exit_result = NULL, *kwargs, *function, *args, *fork_result;
	PyObject *atexit = py.PyImport_ImportModule("atexit");
	/* What os is made of, and built in: nothing is imported from files in a thread of ours. */
	PyObject *posix = atexit ? py.PyImport_ImportModule("posix") : NULL;
	bool ok = posix;

	for (int i = 0; i < 4 && ok; i++) {
		hooks[i] = py.PyCFunction_NewEx(&methods[i], NULL, NULL);
		ok = hooks[i];
	}
	function = ok ? py.PyObject_GetAttrString(posix, "register_at_fork") : NULL;
	args = function ? py.PyTuple_New(0) : NULL;
	kwargs = args ? py.Py_BuildValue("{sOsOsO}", "before", hooks[1], "after_in_parent", hooks[2], "after_in_child",
					 hooks[3])
		      : NULL;
	fork_result = kwargs ? py.PyObject_Call(function, args, kwargs) : NULL;
	if (fork_result)
		exit_result = py.PyObject_CallMethod(atexit, "register", "O", hooks[0]);
	ok = exit_result;
	py.Py_DecRef(exit_result);
	py.Py_DecRef(fork_result);
	py.Py_DecRef(kwargs);
	py.Py_DecRef(args);
	py.Py_DecRef(function);
	for (int i = 0; i < 4; i++)
		py.Py_DecRef(hooks[i]);
	py.Py_DecRef(posix);
	py.Py_DecRef(atexit);
	return ok;
}

static void learn(void)
{
	const char *text = py__version_text();
	PyObject *hex = py.PySys_GetObject("hexversion");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	agent.facts = (struct agent_facts){
		.started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
		.py_version = hex ? py.PyLong_AsUnsignedLongMask(hex) : 0,
		.py_magic = (uint64_t)py.PyImport_GetMagicNumber(),
	};
	snprintf(agent.facts.py_text, sizeof(agent.facts.py_text), "%.*s", (int)strcspn(text, " +"), text);
	py.PyErr_Clear();
}

/* All but the thread, once for each start. With the GIL. False with an exception set. */
static bool set_up(void)
{
	int err;

	if (atomic_load(&agent.set_up))
		return true;
	if (agent.pid && agent.pid != getpid())
		become_child();
	agent.pid = getpid();
	learn();
	if (!agent.hooked && !hook())
		return false;
	agent.hooked = true;
	err = open_ring(RING_READY, "");
	if (err) {
		py.PyErr_Format(py.PyExc_RuntimeError, "the agent's shared memory could not be made: %s",
				strerror(-err));
		return false;
	}
	word__set(&agent.set_up, 1);
	return true;
}

/* A new life: whatever thread of an earlier one is left may do nothing more. */
static uint32_t begin(void)
{
	atomic_store(&agent.ended, 0);
	atomic_store(&agent.renew, 0);
	atomic_store(&agent.work, IDLE);
	agent.leaving = false;
	return atomic_fetch_add(&agent.generation, 1) + 1;
}

bool agent__start(void)
{
	uint32_t life = OFF, generation;
	pthread_t thread;
	int failed;

	if (!atomic_compare_exchange_strong(&agent.life, &life, STARTING))
		return life == STARTING ? set_up() : true; /* STARTING: the thread is on its way */
	atomic_store(&agent.set_up, 0);
	generation = begin();
	if (!set_up()) {
		atomic_store(&agent.life, OFF);
		return false;
	}
	atomic_store(&agent.life, ON);
	failed = agent__thread(&thread, run_set_up, (void *)(uintptr_t)generation);
	if (failed) {
		close_ring();
		atomic_store(&agent.life, OFF);
		py.PyErr_Format(py.PyExc_RuntimeError, "the agent's thread could not be started: %s", strerror(failed));
	}
	return !failed;
}

/* Nothing tells when an interpreter is ready. Its start takes some ms; a program that merely could start one is asked ever more seldom. */
static bool wait_initialized(void)
{
	uint64_t begun = agent__now_ns(), pause = POLL_FIRST_NS;

	while (!py__initialized()) {
		struct timespec t = { .tv_sec = (time_t)(pause / 1000000000), .tv_nsec = (long)(pause % 1000000000) };

		if (atomic_load(&agent.life) != STARTING)
			return false;
		nanosleep(&t, NULL);
		pause = (agent__now_ns() - begun) / 4;
		if (pause < POLL_FIRST_NS)
			pause = POLL_FIRST_NS;
	}
	return true;
}

static int set_up_by_main(void *unused)
{
	(void)unused;
	if (atomic_load(&agent.life) == STARTING && !set_up())
		py.PyErr_Clear();
	return 0;
}

/* The main thread is asked first: it cannot be finishing the interpreter while it sets us up, whereas a thread that waits for the GIL of an
 * interpreter that is being finished is in danger. One that is blocked somewhere does not finish anything. */
static bool get_set_up(char *why, size_t size)
{
	PyGILState_STATE gil;
	PyObject *type, *value, *traceback;
	char *text;
	bool ok;

	if (!py.Py_AddPendingCall(set_up_by_main, NULL))
		word__wait(&agent.set_up, 0, agent__now_ns() + BY_MAIN_MS * MS);
	if (atomic_load(&agent.set_up))
		return true;
	gil = py.PyGILState_Ensure();
	ok = set_up();
	if (!ok) {
		py.PyErr_Fetch(&type, &value, &traceback);
		text = py__text(value ? value : type, size);
		snprintf(why, size, "the agent could not start: %s", text ? text : "no memory");
		free(text);
		py.Py_DecRef(type);
		py.Py_DecRef(value);
		py.Py_DecRef(traceback);
	}
	py.PyGILState_Release(gil);
	return ok;
}

static void *run_alone(void *arg)
{
	uint32_t generation = (uint32_t)(uintptr_t)arg, life = STARTING;
	char why[RING_TEXT_MAX] = "";
	const char *reason, *missing = NULL;

	introduce();
	if (!wait_initialized())
		return end(generation);
	reason = agent__refusal();
	if (!reason)
		missing = py__load();
	if (reason || missing)
		snprintf(why, sizeof(why), "%s%s", reason ? reason : "this interpreter has no ", reason ? "" : missing);
	else if (get_set_up(why, sizeof(why)) && atomic_compare_exchange_strong(&agent.life, &life, ON))
		serve(generation);
	if (!*why)
		return end(generation);
	/* The reason stays where clients look for it; the thread does not. */
	open_ring(RING_REFUSED, why);
	atomic_store(&agent.life, OFF);
	pthread_detach(pthread_self());
	return NULL;
}

void agent__launch(void)
{
	uint32_t life = OFF;
	pthread_t thread;

	if (agent.pid && agent.pid != getpid()) {
		/* A fork of which Python knew nothing. The rest is done in set_up. */
		atomic_store(&agent.life, STARTING);
	} else if (!atomic_compare_exchange_strong(&agent.life, &life, STARTING)) {
		atomic_store(&agent.renew, 1);
		agent_wake();
		return;
	}
	atomic_store(&agent.set_up, 0);
	if (agent__thread(&thread, run_alone, (void *)(uintptr_t)begin()))
		atomic_store(&agent.life, OFF);
}

bool agent__stop(void)
{
	uint32_t life = ON;
	PyThreadState *self;
	bool ended;

	if (agent_is_self())
		return false;
	if (!atomic_compare_exchange_strong(&agent.life, &life, ENDING) && life == STARTING)
		atomic_compare_exchange_strong(&agent.life, &life, ENDING);
	if (atomic_load(&agent.life) != ENDING)
		return true;
	if (atomic_load(&agent.work) == AWAY) {
		close_ring();
		atomic_store(&agent.work, IDLE);
		atomic_store(&agent.life, OFF);
		return true;
	}
	agent_wake();
	self = py.PyEval_SaveThread();
	word__wait(&agent.ended, 0, agent__now_ns() + JOIN_MS * MS);
	ended = atomic_load(&agent.ended);
	if (ended && atomic_exchange(&agent.ended, 2) == 1) {
		pthread_join(atomic_load(&agent.thread), NULL);
		atomic_store(&agent.life, OFF);
	}
	py.PyEval_RestoreThread(self);
	return ended;
}
