/*
 * inspect: looks at the lines of one function of one process while they run: how often and how long (`line`), or with the
 * values of variables (`debug`, `var`). The order of calls: new, attach, poll..., stop, then the result, free.
 *
 * The places of the lines in the function's bytecode are watched by the processor's debug registers, four at a time: lines
 * that need more take turns.
 */
#ifndef PYLU_INSPECT_H
#define PYLU_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "seen.h"

enum inspect_mode {
	INSPECT_LINE,  /* hits and times of lines */
	INSPECT_DEBUG, /* what lines use and define */
	INSPECT_VAR,   /* some variables, wherever they are used and defined */
};

struct inspect_options {
	enum inspect_mode mode;
	pid_t pid;
	const char *function;	  /* "module.qualname", or with ":LINE" where there are several of that name */
	const char *lines;	  /* "12,14-20"; NULL: all */
	const char *const *names; /* VAR */
	size_t nnames;
	const char *when;
	const char *backend; /* NULL: what fits */
	uint32_t depth, items, chars, rate, count;
	bool stack, all, no_redact;
	bool children; /* also what the process forks while it is watched */
	const char *redact_file;
	/* Each event, valid during the call. Non-zero, a code that was reported, ends the session with it. */
	int (*on_event)(const struct seen_event *event, void *ctx);
	void *ctx;
};

struct inspect_line {
	uint32_t line;
	uint64_t hits;
	uint64_t timed; /* of them, those that were seen to be left */
	uint64_t total_ns, min_ns, max_ns;
	double share;	    /* of the time in which it was watched; 0: never, it needs more places than there are */
	const char *source; /* its text, or NULL */
};

struct inspect;

/* Finds the function and the lines, and loads the programs. Strings in `opts` must outlive it. 0, or a code that was
 * reported. */
int inspect__new(const struct inspect_options *opts, struct inspect **out);
void inspect__free(struct inspect *s);

/* 0, or a code that was reported. */
int inspect__attach(struct inspect *s);

/* Handles what comes for at most `timeout_ms`. 1 goes on, 0 the session has ended by itself (the process, or the count), or a
 * negative code that was reported. -EINTR is not reported. */
int inspect__poll(struct inspect *s, int timeout_ms);

/* Idempotent. `ended` says why, for the summary; what inspect__poll found goes first. */
void inspect__stop(struct inspect *s, const char *ended);

/* Valid until inspect__free. */
const struct seen_header *inspect__header(const struct inspect *s);
const char *inspect__function(const struct inspect *s); /* "module.qualname" */
const char *inspect__file(const struct inspect *s);
void inspect__summary(const struct inspect *s, struct seen_summary *out);

/* LINE: the result, after inspect__stop. */
const struct inspect_line *inspect__lines(const struct inspect *s, size_t *n);

#endif
