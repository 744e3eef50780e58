/*
 * agent: the thread that waits for requests and carries them out: how it starts, ends, and lives through a fork. What the other
 * parts may call is in handlers.h; this is for dispatch.c, limit.c and module.c.
 *
 * WAYS IN, all of which end in agent__launch or agent__start:
 *   import   pylu_agent.start() in the program (module.c); the checks are made there and raise
 *   load     the library's constructor, preloaded by `pylu-cli run` or brought in by `pylu-cli attach`: only a thread is made, which waits
 *            for the interpreter and makes the checks; what is refused stands in the ring's header
 *   again    pylu_agent_start_again, called in the target by `pylu-cli attach` where the library is there and the agent is not
 *   fork     in the child, from os.register_at_fork, where the parent had an agent
 *
 * THE END comes by a request (detach), by stop(), or by atexit. The thread is joined, for some seconds at most: one that is stuck in foreign code is
 * left behind. The library stays for ever.
 */
#ifndef PYLU_AGENT_H
#define PYLU_AGENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "py.h"

/* Starts the agent in the interpreter that calls, with the GIL held; nothing if it runs. False with an exception set: RuntimeError for what is refused. */
bool agent__start(void);
/* Makes the thread that does all the rest. Any thread, no GIL needed, with or without it; nothing if the agent is there already. */
void agent__launch(void);
/* Ends the thread and waits for that, with the GIL held, which is given up meanwhile. False if it did not end in time, or was the caller. */
bool agent__stop(void);
/* Whether requests are answered. */
bool agent__is_running(void);
/* Why this process can have no agent, or NULL: its version, its build. No GIL needed; py__is_there must be true. */
const char *agent__refusal(void);

/* On the agent's thread: it ends when the request in hand is answered. */
void agent__leave(void);

/* What does not change as long as the agent lives; may be read from its thread. */
struct agent_facts {
	uint64_t started_ns; /* CLOCK_REALTIME */
	uint64_t py_version; /* sys.hexversion */
	uint64_t py_magic;   /* of .pyc files */
	char py_text[32];    /* "3.11.2" */
};
const struct agent_facts *agent__facts(void);

/* What is written into the header while a request cannot be answered, or NULL: it can again. On any thread while a request is carried out. */
void agent__stuck(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* PyGILState_Ensure, and the main thread is asked to let us in at once. On the agent's thread. */
PyGILState_STATE agent__take_gil(void);
/* A native thread with all signals blocked. 0 or an errno. */
int agent__thread(pthread_t *thread, void *(*run)(void *), void *arg);
/* CLOCK_MONOTONIC. */
uint64_t agent__now_ns(void);

#endif
