/*
 * snapshot: reading in the pieces of memory that were copied at an event. For value_*.c only; see value.h for making one.
 */
#ifndef PYLU_SNAPSHOT_H
#define PYLU_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "value.h"

enum snapshot_state {
	SNAPSHOT_PRESENT,
	SNAPSHOT_UNREADABLE, /* it was tried */
	SNAPSHOT_CUT,	     /* not copied, since there was no room for it */
	SNAPSHOT_ABSENT,     /* not copied, for whatever reason */
};

enum snapshot_state snapshot__state(const struct snapshot *s, uint64_t addr);

/* Copies what is there of `len` bytes, from the first one to the first that is missing. How many. */
size_t snapshot__read(const struct snapshot *s, uint64_t addr, void *buf, size_t len);

/* How many bytes are there from `addr` on, at most `max`. */
size_t snapshot__span(const struct snapshot *s, uint64_t addr, size_t max);

#endif
