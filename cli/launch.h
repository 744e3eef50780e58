/* launch: starts the command of `profile -- COMMAND`, held back until the probes are live. */
#ifndef PYLU_LAUNCH_H
#define PYLU_LAUNCH_H

#include <sys/types.h>

struct launch;

/* Forks a child that waits. 0, or a code that was reported (no such command, no Python behind it). */
int launch__prepare(char **command, struct launch **out);
pid_t launch__pid(const struct launch *l);
const char *launch__exe(const struct launch *l);	 /* the executable that will run */
const char *launch__interpreter(const struct launch *l); /* the file that holds the interpreter */
const char *launch__text(const struct launch *l);	 /* the command line */
/* Lets it run. */
int launch__go(struct launch *l);
/* Reaps the child if it ended; one that runs on is left alone (one that never went is ended). */
void launch__free(struct launch *l);

#endif
