/* interrupt: see interrupt.h. */
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

#define AGAIN_S 1 /* `timeout` and terminals may send one signal twice */

static volatile sig_atomic_t caught;
static double caught_at; /* written by the first signal only, and read by later ones */

/* Whoever asks again does not get the end that the first signal asked for: a write that nobody reads may stand in the way. */
static void on_signal(int sig)
{
	if (!caught) {
		caught_at = now_s();
		caught = 1;
	} else if (now_s() - caught_at > AGAIN_S) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}

void interrupt_catch(void)
{
	/* A line of output that is half written is finished; waiting for events ends nevertheless. */
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

bool interrupted(void)
{
	return caught;
}

double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
