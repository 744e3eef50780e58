/*
 * agent_priv: what the three files of the agent's core share: agent.c, the start and the end; hooks.c, the program's exit and its forks; serve.c,
 * the ring, the GIL and the loop. All others use agent.h and handlers.h.
 *
 * Whoever changes `life` by a compare-and-exchange does what belongs to the step: OFF to STARTING makes the thread, ON to ENDING joins it.
 * All else is only touched by that one, or with the GIL held.
 */
#ifndef PYLU_AGENT_PRIV_H
#define PYLU_AGENT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.h"
#include "ring.h"

#define MS 1000000ULL

enum life { OFF, STARTING, ON, ENDING };
enum work { IDLE, BUSY, AWAY };

struct agent {
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
	_Atomic int tid;	  /* written by itself */
	_Atomic pthread_t thread; /* written by itself, first of all, and by whoever makes it with the GIL held */
	bool hooked;		  /* this interpreter has our functions in atexit and register_at_fork */
	bool leaving;
	struct agent_facts facts;
};

extern struct agent agent;

/* Sleeps until the word is no longer `value`, at most until `until_ns` (CLOCK_MONOTONIC). */
void word__wait(_Atomic uint32_t *word, uint32_t value, uint64_t until_ns);
/* Stores and wakes. */
void word__set(_Atomic uint32_t *word, uint32_t value);

/* agent.c: makes the thread for an agent that is set up, with the GIL held. 0, or an errno: then the agent is off. */
int agent__make_thread(void);

/* hooks.c: puts our functions into atexit and os.register_at_fork. With the GIL. False with an exception set. */
bool hooks__set(void);
/* In a forked child, before it gets an agent: the parent's thread is not here, and its ring is the parent's. With the GIL. */
void hooks__become_child(void);

/* serve.c: makes a new ring in place of the old one, if there is one. 0 or -errno. No GIL needed. */
int serve__open_ring(enum ring_state state, const char *text);
void serve__close_ring(void);
/* Answers requests until the agent ends, goes away for a fork, or is no longer the one of this generation. On the agent's thread. */
void serve__run(uint32_t generation);
/* Has the main thread's eval loop call the function, with NULL, when it can. False: it will not be. No GIL needed. */
bool serve__ask_main(int (*call)(void *));
/* In a forked child: nobody waits for the GIL here. */
void serve__forget_waits(void);

#endif
