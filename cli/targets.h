/* targets: which processes a session watches, as the options and the words behind them name them. */
#ifndef PYLU_TARGETS_H
#define PYLU_TARGETS_H

#include <stddef.h>

#include "opt.h"

struct launch;
struct session;

struct targets {
	struct opt_pids pids, tree;
	char **command; /* NULL: none */
};

/* The words of a command line, split at "--": *npatterns of them before, which may be options, the command behind. 0, or 2
 * after a message. */
int targets__split(const struct command *cmd, int argc, char **argv, struct targets *t, int *words);

/* Whether exactly one kind of target is named. 0, or 2 after a message. */
int targets__check(const struct command *cmd, const struct targets *t);

/* Adds them to a session; `launch` is the prepared command, or NULL. 0, or a code that was reported. */
int targets__add(const struct targets *t, struct session *s, struct launch *launch);

/* Says on stderr what is watched, and how. */
void targets__announce(const struct targets *t, const struct session *s);

#endif
