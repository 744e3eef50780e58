/*
 * serve: what the agent's thread does while it lives: sleep on the ring, take the GIL, have a request or what is due carried out, answer. It does not know
 * what requests mean (dispatch.c), nor how the thread came and how it ends (agent.c).
 */
#include "agent_priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "dispatch.h"
#include "handlers.h"
#include "journal.h"
#include "msg.h"

#define HAND_OVER_MS 5 /* how long the main thread stands aside */
#define FIRST_TO_ASK 0x03090000U

/* Sleeps until the word is no longer `value`, at most until `until_ns`. */
void word__wait(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000) };

	while (atomic_load(word) == value)
		if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, &until, NULL,
			    FUTEX_BITSET_MATCH_ANY) &&
		    errno == ETIMEDOUT)
			return;
}

void word__set(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT32_MAX, NULL, NULL, 0);
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

void serve__close_ring(void)
{
	struct ring *ring = atomic_exchange(&agent.ring, NULL);

	while (atomic_load(&agent.users))
		sched_yield();
	if (ring)
		ring__close(ring);
}

int serve__open_ring(enum ring_state state, const char *text)
{
	struct ring *ring;
	int err;

	serve__close_ring();
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

/* 3.8 prints an error on stderr where it does not take it because the program ends. */
bool serve__ask_main(int (*call)(void *))
{
	return py__version() >= FIRST_TO_ASK && !py.Py_AddPendingCall(call, NULL);
}

PyGILState_STATE agent__take_gil(void)
{
	PyGILState_STATE gil;

	atomic_store(&wants_gil, 1);
	if (!atomic_exchange(&asked, 1) && !serve__ask_main(stand_aside))
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

	*deadline = patch_next_deadline();
	/* Only looking is not being busy: a fork that comes just now need not find two threads. */
	if (agent__now_ns() < *deadline && !atomic_load(&agent.renew) && !ring__is_pending(atomic_load(&agent.ring)))
		return false;
	if (!atomic_compare_exchange_strong(&agent.work, &idle, BUSY))
		return false;
	if (agent__now_ns() >= *deadline) {
		tick();
		more = true;
	} else if (atomic_exchange(&agent.renew, 0) && !ring__is_reachable(atomic_load(&agent.ring))) {
		agent.leaving = serve__open_ring(RING_READY, "") != 0;
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

void serve__run(uint32_t generation)
{
	uint64_t deadline = UINT64_MAX;

	while (stays(generation))
		if (!work(generation, &deadline) && stays(generation))
			ring__wait(atomic_load(&agent.ring), deadline);
}

void serve__forget_waits(void)
{
	atomic_store(&wants_gil, 0);
	atomic_store(&asked, 0);
}
