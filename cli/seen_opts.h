/*
 * seen_opts: the options that `trace`, `line`, `debug` and `var` have in common, with one help text for all. What they mean
 * is the session's business.
 */
#ifndef PYLU_SEEN_OPTS_H
#define PYLU_SEEN_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "opt.h"

struct seen_opts {
	struct opt_pids pids;
	double seconds; /* 0: no end */
	uint32_t count; /* 0: no end */
	uint32_t rate;	/* events a second and process; 0: no limit */
	const char *when;
	uint32_t depth, items, chars;
	bool stack, no_redact, all, children;
	const char *redact_file;
	const char *format, *output, *backend; /* NULL: by default */
};

/* What holds where no option says otherwise. */
#define SEEN_OPTS_DEFAULTS ((struct seen_opts){ .rate = 1000, .depth = 2, .items = 10, .chars = 256 })

/* Tables for OPT_INCLUDE at the struct seen_opts in a command's configuration. */
extern const struct opt seen_opts_session[]; /* which process, how long, where to: all four commands */
extern const struct opt seen_opts_events[];  /* how many, which, how much of their values: those that show events */
extern const struct opt seen_opts_places[];  /* --all: those that watch places in one function */

/* What the tables cannot say: how many processes (0 for `most_pids`: the command looks itself), and that options do not contradict each
 * other. 0, or 2 after a message. */
int seen_opts__check(const struct command *cmd, const struct seen_opts *o, size_t most_pids);

#endif
