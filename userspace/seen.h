/*
 * seen: what `trace`, `line`, `debug` and `var` show: one event, decoded, with names; and what is told at the start and the
 * end of such a session. The one model that their output formats read; it owns no process and no memory of one.
 */
#ifndef PYLU_SEEN_H
#define PYLU_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct out_options;
struct value;

enum seen_kind {
	SEEN_CALL,   /* values: the parameters */
	SEEN_RETURN, /* values: one, its name NULL */
	SEEN_RAISE,
	SEEN_YIELD,
	SEEN_RESUME, /* no values */
	SEEN_BEFORE, /* the variables that a line uses, before it runs */
	SEEN_AFTER,  /* those that it defines, after it */
};

struct seen_value {
	const char *name; /* "a", "self.x", "*args", "**kwargs"; NULL: a returned value or an exception */
	struct value *value;
};

struct seen_frame {
	const char *module, *qualname, *file; /* NULL where they could not be read */
	uint32_t line;			      /* where it stands; 0 unknown */
};

struct seen_event {
	enum seen_kind kind;
	pid_t pid, tid;
	const char *thread;   /* Python's name of it, else the kernel's, else NULL */
	bool thread_shared;   /* another thread has that name too: its id is shown with it */
	int64_t interp_id;    /* of the interpreter, where the process has several; else -1 */
	uint64_t time_ns;     /* CLOCK_REALTIME */
	uint64_t duration_ns; /* RETURN and RAISE: of the call, suspensions of a generator left out */
	bool has_duration;
	uint64_t call; /* number of the call, the same in all events of one; 0: none */
	const char *module, *qualname, *file;
	uint32_t line;	    /* BEFORE and AFTER: the line; else the function's first */
	const char *source; /* BEFORE and AFTER: the line's text, or NULL */
	struct seen_value *values;
	size_t nvalues;
	struct seen_frame *stack; /* from the caller outwards; without --stack the caller of a call alone */
	size_t nstack;
	bool stack_cut;
	bool undecided; /* the condition could not be decided: shown for safety */
};

/* What stands above the events. */
struct seen_header {
	const char *command; /* "trace", "debug", "var" */
	const char *target;  /* the process's command line */
	pid_t pid;	     /* 0: several, of which `target` tells; then each event shows its own */
	const char *python;
	const char *backend, *why; /* and why that one */
	const char *condition;	   /* NULL: none */
	bool no_redact;
	bool stack;	     /* all callers were asked for, not only the direct one */
	uint32_t rate;	     /* events per second, 0 no limit */
	const char *watched; /* a sentence on what is watched, e.g. that places take turns; or NULL */
	uint64_t start_ns;   /* CLOCK_REALTIME */
	double cost_ns;	     /* of a hit, 0 unknown */
};

/* What stands below them. */
struct seen_summary {
	uint64_t events;     /* shown */
	uint64_t suppressed; /* by the rate limit */
	uint64_t lost;	     /* the reader was too slow, or memory ran out */
	uint64_t unmatched;  /* by the condition */
	uint64_t strays;     /* reads of watched memory that were no execution */
	uint64_t unsure;     /* hits of which it cannot be told whether a line begins or ends there */
	uint64_t unreadable; /* values */
	double seconds;
	double share;	   /* of the time in which each place was watched, 1: all of it */
	const char *ended; /* why it ended, in words: "the time was over" */
};

/* The word for it in all formats: "parameters", "returnvalues", "usevalues", ... */
const char *seen_kind__word(enum seen_kind kind);

/* A format of events. Each function returns 0 or a negative errno, not reported. Nothing is flushed: an error may show in a
 * later call, or in the fflush that follows. */
struct out_seen {
	const char *name;
	int (*begin)(const struct seen_header *header, FILE *f, const struct out_options *opts);
	int (*event)(const struct seen_header *header, const struct seen_event *event, FILE *f,
		     const struct out_options *opts);
	int (*end)(const struct seen_header *header, const struct seen_summary *summary, FILE *f,
		   const struct out_options *opts);
};

extern const struct out_seen out_seen_text, out_seen_json;

/* Ends with NULL. */
extern const struct out_seen *const out_seen_formats[];

/* By name; NULL when there is none. */
const struct out_seen *out_seen__find(const char *name);

/* By a path's ending (.txt, .json, .jsonl, .ndjson); NULL when it has no ending that we know. */
const struct out_seen *out_seen__for_path(const char *path);

#endif
