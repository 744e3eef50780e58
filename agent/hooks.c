/*
 * hooks: the agent at the exit of the program and in its forks: functions of ours that Python calls. What they do to the agent is in agent.c.
 */
#include "agent_priv.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "handlers.h"
#include "journal.h"

#define GONE_TRIES 1000

static PyObject *at_exit(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	agent.hooked = false;
	if (agent.pid == getpid())
		agent__stop();
	return py__new_ref(py.none);
}

void hooks__become_child(void)
{
	struct ring *inherited = atomic_exchange(&agent.ring, NULL);

	atomic_store(&agent.users, 0);
	atomic_store(&agent.work, IDLE);
	serve__forget_waits();
	if (inherited)
		ring__forget(inherited);
	journal__after_fork();
	patch_after_fork();
}
/* The thread that went away for a fork comes back. */
static int come_back(void *unused)
{
	(void)unused;
	if (atomic_load(&agent.work) == AWAY && agent.pid == getpid()) {
		atomic_store(&agent.work, IDLE);
		agent__make_thread();
	}
	return 0;
}

/* It needs no GIL to end. Somebody who turns back the ring's bell all the time can have it sleep through a wake-up, and not through all of them. */
static void join_thread(void)
{
	struct timespec until;

	do {
		agent_wake();
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 1;
	} while (pthread_timedjoin_np(atomic_load(&agent.thread), NULL, &until) == ETIMEDOUT);
}

/* An idle agent has no thread during a fork: from 3.12 on Python warns of forks in processes of more than one thread, which this would be without
 * us. And what it shares with the rest is whole in the child. The ring stays, requests wait in it. */
static PyObject *before_fork(PyObject *self, PyObject *unused)
{
	uint32_t idle = IDLE;

	(void)self;
	(void)unused;
	if (agent__is_running() && !agent_is_self() && atomic_compare_exchange_strong(&agent.work, &idle, AWAY)) {
		join_thread();
		atomic_store(&agent.thread, 0);
		/* The kernel lets the C library know some instructions before it takes the thread off its count. */
		for (int i = 0; i < GONE_TRIES && !syscall(SYS_tgkill, getpid(), atomic_load(&agent.tid), 0); i++)
			sched_yield();
	}
	return py__new_ref(py.none);
}

/* 3.13 counts threads after this, so that the main thread must first be back in its code. */
static PyObject *after_fork_in_parent(PyObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	if (getpid() != (pid_t)syscall(SYS_gettid) || !serve__ask_main(come_back))
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
bool hooks__set(void)
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
