/*
 * programs: the BPF programs as a whole: loaded, in the form that this kernel takes, and told of processes that fork or
 * run another program. Knows no target.
 */
#ifndef PYLU_PROGRAMS_H
#define PYLU_PROGRAMS_H

#include <stdbool.h>

struct pylu;

enum programs_kind {
	PROGRAMS_COUNT,	   /* for calls, to count them */
	PROGRAMS_TRACE,	   /* and to tell of each */
	PROGRAMS_WATCH,	   /* for watchpoints alone */
	PROGRAMS_HANDLERS, /* for opcode handlers, and for measuring what a probe costs */
};

/* Loads them, for uprobe_multi links where the kernel has such (*multi tells). The caller frees *out with pylu__destroy,
 * after a failure too (then it may be NULL). 0, or a code that was reported. */
int programs__load(enum programs_kind kind, struct pylu **out, bool *multi);

/* Attaches them where processes run another program and, with `forks`, where they fork. 0, or a code that was reported. */
int programs__attach_scheduler(struct pylu *skel, bool forks);

#endif
