/*
 * snap: copies what the values of an event lead to, as it is at this moment: pieces of the process's memory, by breadth
 * first, within the limits on depth, items and characters. What the pieces mean is decided by userspace.
 */
#ifndef PYLU_SNAP_BPF_H
#define PYLU_SNAP_BPF_H

#include "seen.bpf.h"

#define SNAP_HEAD 64 /* read of an object before its type is known */

/* Appends what is at `addr` as a chunk. Its offset in rest[]; negative when it could not be read, or there is no room. */
__noinline int snap_copy(struct seen *e, u64 addr, u32 len)
{
	struct wire_chunk *chunk;
	u32 end;

	if (!e || !len)
		return -1;
	if (len > WIRE_SNAP_PIECE)
		len = WIRE_SNAP_PIECE;
	end = e->end;
	if (end > SEEN_LIMIT - sizeof(*chunk) || end + sizeof(*chunk) + ((len + 7) & ~7U) > SEEN_LIMIT) {
		e->event.flags |= WIRE_SEEN_FULL;
		return -1;
	}
	chunk = (struct wire_chunk *)(e->rest + end);
	chunk->addr = addr;
	chunk->len = 0;
	chunk->unreadable = 1;
	e->end = end + sizeof(*chunk);
	if (bpf_probe_read_user(e->rest + end + sizeof(*chunk), len, (void *)addr))
		return -1;
	chunk->len = len;
	chunk->unreadable = 0;
	e->end += (len + 7) & ~7U;
	return end + sizeof(*chunk);
}

/* Copies what the values of the event lead to. After all values and the stack. */
__noinline int seen_walk(struct seen *e, const struct wire_value_layout *v)
{
	u32 n;

	if (!e || !v)
		return 0;
	n = e->event.nroots;
	for (u32 i = 0; i < WIRE_SNAP_ROOTS && i < n; i++)
		if (((struct wire_root *)e->rest)[i].obj)
			snap_copy(e, ((struct wire_root *)e->rest)[i].obj, v->unicode_ascii_data);
	return 0;
}

#endif
