/*
 * feature: what this host, and what a process, allow: as data, a list of checks, each with what was found, what follows
 * from it and what can be done. Changes nothing: facts are read from /proc, /sys and the interpreter's file, and what
 * can only be tried is tried on children of our own (feature_trial.c). Prints nothing: that is out_doctor_*.c's.
 *
 * What cannot be found out is a check that says so; no check ends the list.
 */
#ifndef PYLU_FEATURE_H
#define PYLU_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cost.h"
#include "site.h"

enum feature_status {
	FEATURE_UNKNOWN, /* it could not be found out */
	FEATURE_OK,
	FEATURE_LIMITED, /* profiling works, but something does not, or less well */
	FEATURE_NO,	 /* profiling does not work because of this */
	FEATURE_STATUSES,
};

/* "unknown", "ok", "limited", "no". */
const char *feature_status_name(enum feature_status status);

/* Bytes of a message, as diag_capture keeps them. */
#define FEATURE_TEXT_MAX 1024

enum feature_type { FEATURE_NONE, FEATURE_FLAG, FEATURE_NUMBER, FEATURE_TEXT };

struct feature_check {
	const char *name; /* the same in every version; static storage */
	enum feature_status status;
	enum feature_type type;	     /* of the value */
	long long number;	     /* of FEATURE_FLAG and FEATURE_NUMBER */
	char value[256];	     /* of FEATURE_TEXT */
	char text[FEATURE_TEXT_MAX]; /* what was found and what follows from it: no sentence, no end mark */
	char remedy[512];	     /* "" where there is none, or none is needed */
};

#define FEATURE_MAX 40

struct feature_list {
	struct feature_check checks[FEATURE_MAX];
	size_t n;
};

enum feature_call { FEATURE_CALL_BPF, FEATURE_CALL_PERF, FEATURE_CALL_READ, FEATURE_CALLS };

#define FEATURE_KILLED (-1)
#define FEATURE_UNTRIED (-2)

/* What was tried. */
struct feature_trial {
	int calls[FEATURE_CALLS]; /* 0: the system call reaches the kernel; an errno; FEATURE_KILLED, FEATURE_UNTRIED */
	int err;		  /* 0: the programs load, and a probe on ourselves fires; else a negative code */
	char why[FEATURE_TEXT_MAX]; /* the error that was reported */
	bool loaded;		    /* the programs were */
	bool multi;		    /* by uprobe_multi links */
	int jited;		    /* whether the kernel compiled them: 1, 0, or -1 unknown */
	struct cost cost;	    /* of a hit, where err is 0; no links */
	int breakpoints;	    /* hardware breakpoints that could be set on a thread of ours */
	int breakpoints_err;	    /* the errno that ended that, or FEATURE_KILLED, FEATURE_UNTRIED */
};

/* Tries all of it. Takes half a second at most on kernels with uprobe_multi. Cannot fail: what went wrong is in *out. */
void feature_try(struct feature_trial *out);

struct feature_host {
	char name[65];
	struct feature_list list;
	int err;		    /* 0: profiling works; else the trial's code, which gives the exit status */
	char why[FEATURE_TEXT_MAX]; /* what stands in the way, "" for 0 */
	struct cost cost;
};

/* Looks at the files below `root` ("" for this host's own; a folder with made-up /proc and /sys for tests). Without an
 * error: what cannot be read is a check that says so. */
void feature_host__examine(const char *root, const struct feature_trial *trial, struct feature_host *out);

struct feature_target {
	pid_t pid;
	int err;		    /* 0: it can be profiled on a host that allows it; else a negative code */
	char why[FEATURE_TEXT_MAX]; /* the error that was reported */
	struct feature_list list;
	/* What follows is set as far as it was found out, else NULL, "" or 0. */
	char *command;
	char python[24];
	char *path; /* the interpreter's file, as the process names it */
	char build_id[130];
	bool deleted, stripped, position_independent;
	uint64_t bias;	       /* address in the process = address in the file + bias */
	struct site_set sites; /* n is 0 where they were not found */
	const char *backend;   /* the one that would be chosen, or NULL */
	unsigned backends;     /* bit i: backends[i] of backend.h sees every call here */
};

/* Looks at a process. NULL when memory ran out, else the caller's. */
struct feature_target *feature_target__examine(pid_t pid, const struct feature_trial *trial);
void feature_target__free(struct feature_target *t);

#endif
