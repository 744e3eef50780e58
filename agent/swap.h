/*
 * swap: exchanges what functions are made of, for a whole set at one instant, and back. It knows no patches.
 *
 * Each function first gets a gate as its code, which calls a complete copy of the old or of the new function as one switch of the whole set
 * stands. Behind the gates the other attributes are set; then the switch is thrown; then the new codes take the gates' places. So a call
 * sees the old or the new function whole, also when an audit hook lets other threads in between two attributes, and calls the
 * function itself.
 *
 * What is replaced is referenced by the sides and dropped with them: no finaliser runs during the exchange if the garbage collector is paused.
 */
#ifndef PYLU_SWAP_H
#define PYLU_SWAP_H

#include <stddef.h>

#include "py.h"

/* The attributes of a function, in the order in which they are set; `code` is the first. */
#define SWAP_ATTRS 6

struct swap_side {
	PyObject *attrs[SWAP_ATTRS]; /* new references; NULL: the version has no such attribute */
	bool annotate;		     /* the annotations are __annotate__, which makes them (from 3.14 on) */
	PyObject *copy;		     /* a function of its own, made of them; there only during an exchange */
};

struct swap_item {
	PyObject *function, *gate; /* new references; the gate with its placeholder still in it */
	struct swap_side old, new;
};

/* Remembers what `function` is made of now, instead of what the side had. No code is run for it: annotations that were not asked for yet stay so.
 * 0, or -1 with an exception. */
int swap_side__read(struct swap_side *side, PyObject *function);
void swap_side__free(struct swap_side *side);
/* From the old to the new side of all items, or with `back` from the new to the old. 0, or -1 with an exception: then all are as they were; what an
 * audit hook does not let us restore stays behind its gate, which calls what was there. */
int swap_all(struct swap_item *items, size_t n, bool back);
/* In a forked child, with the GIL: ends an exchange that another thread was in the middle of. True: on the side to which it went. */
bool swap__after_fork(void);

#endif
