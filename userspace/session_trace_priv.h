/* session_trace_priv: what session_trace.c and session_trace_func.c share. */
#ifndef PYLU_SESSION_TRACE_PRIV_H
#define PYLU_SESSION_TRACE_PRIV_H

#include "addrmap.h"
#include "session_priv.h"

struct cond;

/* A record that waits for the name of its function, or of one before it. */
struct held {
	size_t size;
	void *data; /* owned */
};

struct trace {
	struct ring_buffer *ring;
	struct wire_limits limits;
	int64_t realtime_ns;
	/* Frames whose call was shown and has not ended: frame | slot << 48 -> the lower half of the call's number; 0: none. */
	struct addrmap open;
	size_t nopen;
	/* What came behind the first record that cannot be decided about yet. */
	struct held *held;
	size_t nheld, first, held_bytes;
	unsigned budget;
	struct cond *cond; /* NULL: none */
	const char *const *cond_names;
	size_t ncond;
	size_t nsets; /* of the condition's variables in the programs' operands[]: one for each way in which functions have them */
	uint64_t calls, events, lost, unmatched, unreadable;
};

/* That of a process, made when it is asked for first; NULL when the process cannot be read. */
struct seen_decoder *session_trace_decoder(struct session *s, struct session_proc *proc);

#endif
