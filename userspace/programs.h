/*
 * programs: the BPF programs as a whole: loaded, in the form that this kernel takes, and told of processes that fork or
 * run another program. Knows no target.
 */
#ifndef PYLU_PROGRAMS_H
#define PYLU_PROGRAMS_H

#include <stdbool.h>

struct pylu;

/* Loads them, for uprobe_multi links where the kernel has such (*multi tells). The caller frees *out with pylu__destroy,
 * after a failure too (then it may be NULL). 0, or a code that was reported. */
int programs__load(struct pylu **out, bool *multi);

/* The same with the program for watchpoints alone. */
int programs__load_places(struct pylu **out);

/* Attaches them where processes run another program and, with `forks`, where they fork. 0, or a code that was reported. */
int programs__attach_scheduler(struct pylu *skel, bool forks);

#endif
