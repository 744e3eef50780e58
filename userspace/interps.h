/*
 * interps: the interpreters of a process. Reads their list in its memory, by a layout; told apart they are by the BPF
 * programs.
 */
#ifndef PYLU_INTERPS_H
#define PYLU_INTERPS_H

struct layout;
struct target;

/* How many there are, and in how many of them compiled traces may run. 0, or a code that was not reported. */
int interps_count(const struct target *t, const struct layout *layout, unsigned *n, unsigned *jit);

#endif
