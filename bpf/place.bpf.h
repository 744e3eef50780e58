/*
 * place: the code units that are watched at the opcode handlers that execute them: which of them runs, and whether it does or
 * was only specialised.
 */
#ifndef PYLU_PLACE_BPF_H
#define PYLU_PLACE_BPF_H

#include "watch.bpf.h"

struct wire_handler handlers[WIRE_MAX_HANDLERS];
u64 place_hits[WIRE_MAX_PLACES]; /* executions of each */
/* Whether a place was seen last with a counter that makes it run again. Its GIL keeps two threads from being here at once. */
u8 place_repeats[WIRE_MAX_PLACES];

struct { /* address of the unit -> index of the place */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WIRE_MAX_PLACES);
	__type(key, u64);
	__type(value, u32);
} place_index SEC(".maps");

/* Whether what is seen of a place is the same execution as was seen last: it was specialised in between. */
static __always_inline int place_repeated(const struct wire_handler *h, u64 instr, u32 place)
{
	u8 *repeats = &place_repeats[place & (WIRE_MAX_PLACES - 1)];
	int before = *repeats, below;
	u32 unit;

	*repeats = 0;
	if (!h->counted)
		return 0;
	/* Opcode, argument, counter. Where another opcode stands there, that one led to this handler. */
	unit = read_u32(instr);
	if ((unit & 0xff) != h->op)
		return 0;
	below = (unit >> 16) < h->counter_below;
	*repeats = h->repeats && below;
	return before && !below;
}

/* An opcode's handler: somebody executes a code unit. */
static __always_inline int handler_hit(const struct wire_handler *h, u64 instr)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 *place, index;

	if (!live || id >> 32 != watch_tgid)
		return 0;
	place = bpf_map_lookup_elem(&place_index, &instr);
	if (likely(!place)) {
		if (watch_times)
			watcher_enter((u32)id, h->cost_ns);
		return 0;
	}
	index = *place & (WIRE_MAX_PLACES - 1);
	if (place_repeated(h, instr, index))
		return 0;
	place_hits[index]++;
	return place_hit(index, h->cost_ns);
}

#endif
