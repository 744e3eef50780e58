/*
 * limit: see limit.h. Owns the thread that watches the time. It does not know what runs, or whether that was a good idea.
 */
#include "limit.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

#define AGAIN_MS 50
#define AGAIN_OFTEN 20 /* so many times, then every second */
#define AGAIN_LATER_MS 1000
#define WHERE_MAX 400

enum { RUNNING, SENDING, ENDED };

struct watch {
	/* RUNNING becomes SENDING when the time is over, by the watching thread, or ENDED, by the watched. Once it is SENDING, the watched
	 * waits for the other before it goes on, so that no exception comes late. ENDED is only stored with the GIL held. */
	_Atomic int state;
	unsigned long ident;
	unsigned ms;
	uint64_t deadline_ns;
};

static PyObject *exceeded; /* the exception's type, made when it is first needed */

/* Sleeps until the state changes or the time is over. */
static void watch__sleep(struct watch *w, int state, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000) };

	while (atomic_load(&w->state) == state)
		if (syscall(SYS_futex, &w->state, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, state, &until, NULL,
			    FUTEX_BITSET_MATCH_ANY) &&
		    errno == ETIMEDOUT)
			return;
}

/* Where the watched thread is, for the user. With the GIL. */
static void watch__where(const struct watch *w, char *text, size_t size)
{
	PyObject *sys = py.PyImport_ImportModule("sys");
	PyObject *frames = sys ? py.PyObject_CallMethod(sys, "_current_frames", NULL) : NULL;
	PyObject *ident = py.PyLong_FromUnsignedLong(w->ident);
	PyObject *frame = frames && ident ? py.PyObject_GetItem(frames, ident) : NULL;
	PyObject *line = frame ? py.PyObject_GetAttrString(frame, "f_lineno") : NULL;
	PyObject *code = frame ? py.PyObject_GetAttrString(frame, "f_code") : NULL;
	PyObject *file = code ? py.PyObject_GetAttrString(code, "co_filename") : NULL;
	PyObject *name = code ? py.PyObject_GetAttrString(code, "co_name") : NULL;
	PyObject *where = file && line && name ? py.PyUnicode_FromFormat("%U in line %S of %U", name, line, file)
					       : NULL;
	char *utf8 = where ? py__text(where, size - 1) : NULL;

	snprintf(text, size, "%s", utf8 ? utf8 : "a C function");
	free(utf8);
	py.Py_DecRef(where);
	py.Py_DecRef(name);
	py.Py_DecRef(file);
	py.Py_DecRef(code);
	py.Py_DecRef(line);
	py.Py_DecRef(frame);
	py.Py_DecRef(ident);
	py.Py_DecRef(frames);
	py.Py_DecRef(sys);
	py.PyErr_Clear();
}

/* One exception is sent, if the code still runs. */
static void watch__send(struct watch *w, bool say_where)
{
	char where[WHERE_MAX];
	PyGILState_STATE gil;

	/* Code that never gives the GIL up keeps us here: then this is what clients read. */
	agent__stuck("code that has run for more than %u ms and does not let go of the interpreter", w->ms);
	gil = py.PyGILState_Ensure();
	if (atomic_load(&w->state) == SENDING) {
		py.PyThreadState_SetAsyncExc(w->ident, exceeded);
		if (say_where)
			watch__where(w, where, sizeof(where));
	}
	py.PyGILState_Release(gil);
	if (say_where && atomic_load(&w->state) == SENDING)
		agent__stuck("%s, for more than %u ms", where, w->ms);
	else
		agent__stuck(NULL);
}

static void *watch__run(void *arg)
{
	struct watch *w = arg;
	uint64_t next = w->deadline_ns;
	int running = RUNNING;

	watch__sleep(w, RUNNING, next);
	if (!atomic_compare_exchange_strong(&w->state, &running, SENDING))
		return NULL;
	for (unsigned n = 0; atomic_load(&w->state) == SENDING; n++) {
		watch__send(w, n >= AGAIN_OFTEN);
		next = agent__now_ns() + 1000000ULL * (n < AGAIN_OFTEN ? AGAIN_MS : AGAIN_LATER_MS);
		watch__sleep(w, SENDING, next);
	}
	agent__stuck(NULL);
	return NULL;
}

/* The code has ended: no exception comes from here on, and none is left behind. */
static void watch__end(struct watch *w, pthread_t thread)
{
	int running = RUNNING;
	bool late = !atomic_compare_exchange_strong(&w->state, &running, ENDED);
	PyThreadState *self;

	if (late)
		atomic_store(&w->state, ENDED);
	syscall(SYS_futex, &w->state, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
	if (!late) {
		pthread_join(thread, NULL);
		return;
	}
	/* It may be waiting for the GIL. */
	self = py.PyEval_SaveThread();
	pthread_join(thread, NULL);
	py.PyEval_RestoreThread(self);
	py.PyThreadState_SetAsyncExc(w->ident, NULL);
}

static bool watch__start(struct watch *w, pthread_t *thread, unsigned ms)
{
	int failed;

	if (!exceeded) {
		exceeded = py.PyErr_NewException("pylu_agent.LimitExceeded", py.PyExc_BaseException, NULL);
		if (!exceeded)
			return false;
	}
	*w = (struct watch){ .ms = ms, .ident = py.PyThread_get_thread_ident() };
	w->deadline_ns = agent__now_ns() + ms * 1000000ULL;
	failed = agent__thread(thread, watch__run, w);
	if (failed)
		py.PyErr_Format(py.PyExc_RuntimeError, "no thread could be started to watch the time: %s",
				strerror(failed));
	return !failed;
}

PyObject *limit__eval(PyObject *code, PyObject *globals, PyObject *locals, unsigned ms)
{
	PyObject *result;
	struct watch w;
	pthread_t thread;

	if (!watch__start(&w, &thread, ms))
		return NULL;
	result = py.PyEval_EvalCode(code, globals, locals);
	watch__end(&w, thread);
	return result;
}

PyObject *limit__call(PyObject *callable, PyObject *args, PyObject *kwargs, unsigned ms)
{
	PyObject *result;
	struct watch w;
	pthread_t thread;

	if (!watch__start(&w, &thread, ms))
		return NULL;
	result = py.PyObject_Call(callable, args, kwargs);
	watch__end(&w, thread);
	return result;
}

bool limit__was_exceeded(void)
{
	return exceeded && py.PyErr_Occurred() && py.PyErr_ExceptionMatches(exceeded);
}
