/*
 * agent: see agent.h. Owns the start and the end of the agent, in all the ways that there are. What it does meanwhile is in serve.c.
 */
#include "agent_priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "handlers.h"

#define VERSION_FIRST 0x03080000U
#define VERSION_LAST 0x030f0000U
#define JOIN_TRIES 10
#define JOIN_MS 5000   /* how long an exiting program waits for a request to end */
#define BY_MAIN_MS 100 /* how long the main thread may take before the agent's thread sets up by itself */
#define POLL_FIRST_NS 500000ULL

struct agent agent;

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
/* The end of the thread, which whoever has called agent__stop waits for; one that ends by itself is waited for by nobody. */
static void *end(uint32_t generation)
{
	uint32_t life = ON, idle = IDLE;

	if (atomic_load(&agent.generation) != generation || !atomic_compare_exchange_strong(&agent.work, &idle, BUSY))
		return NULL;
	serve__close_ring();
	if (atomic_compare_exchange_strong(&agent.life, &life, OFF))
		pthread_detach(pthread_self());
	else
		word__set(&agent.ended, 1);
	return NULL;
}

static void introduce(void)
{
	atomic_store(&agent.thread, pthread_self());
	atomic_store(&agent.tid, (int)syscall(SYS_gettid));
	prctl(PR_SET_NAME, "pylu-agent");
}

static void *run_set_up(void *arg)
{
	uint32_t generation = (uint32_t)(uintptr_t)arg;

	introduce();
	serve__run(generation);
	return end(generation);
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
		hooks__become_child();
	agent.pid = getpid();
	learn();
	if (!agent.hooked && !hooks__set())
		return false;
	agent.hooked = true;
	err = serve__open_ring(RING_READY, "");
	if (err) {
		py.PyErr_Format(py.PyExc_RuntimeError, "the agent's shared memory could not be made: %s",
				strerror(-err));
		return false;
	}
	word__set(&agent.set_up, 1);
	return true;
}

int agent__make_thread(void)
{
	pthread_t thread;
	int failed = agent__thread(&thread, run_set_up, (void *)(uintptr_t)atomic_load(&agent.generation));

	if (!failed) {
		atomic_store(&agent.thread, thread);
		return 0;
	}
	serve__close_ring();
	atomic_store(&agent.life, OFF);
	return failed;
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
	uint32_t life = OFF;
	int failed;

	if (agent.pid && agent.pid != getpid()) {
		/* A fork of which Python knew nothing. */
		atomic_store(&agent.life, OFF);
	} else if (atomic_load(&agent.life) == ENDING && !agent__stop()) {
		py.PyErr_Format(py.PyExc_RuntimeError, "the agent is ending, with a request that does not end");
		return false;
	}
	if (!atomic_compare_exchange_strong(&agent.life, &life, STARTING))
		return life == STARTING ? set_up() : true; /* STARTING: the thread is on its way */
	atomic_store(&agent.set_up, 0);
	begin();
	if (!set_up()) {
		atomic_store(&agent.life, OFF);
		return false;
	}
	atomic_store(&agent.life, ON);
	failed = agent__make_thread();
	if (failed)
		py.PyErr_Format(py.PyExc_RuntimeError, "the agent's thread could not be started: %s", strerror(failed));
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

	if (serve__ask_main(set_up_by_main))
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
		serve__run(generation);
	if (!*why)
		return end(generation);
	/* The reason stays where clients look for it; the thread does not. */
	serve__open_ring(RING_REFUSED, why);
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
		serve__close_ring();
		atomic_store(&agent.work, IDLE);
		atomic_store(&agent.life, OFF);
		return true;
	}
	self = py.PyEval_SaveThread();
	/* More than once: see ring__kick. */
	for (int i = 0; i < JOIN_TRIES && !atomic_load(&agent.ended); i++) {
		agent_wake();
		word__wait(&agent.ended, 0, agent__now_ns() + JOIN_MS / JOIN_TRIES * MS);
	}
	ended = atomic_load(&agent.ended);
	if (ended && atomic_exchange(&agent.ended, 2) == 1) {
		pthread_join(atomic_load(&agent.thread), NULL);
		atomic_store(&agent.life, OFF);
	}
	py.PyEval_RestoreThread(self);
	return ended;
}
