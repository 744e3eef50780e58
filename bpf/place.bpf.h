/*
 * place: the code units that are watched at the opcode handlers that execute them: which of them runs, and whether it does or
 * was only specialised.
 */
#ifndef PYLU_PLACE_BPF_H
#define PYLU_PLACE_BPF_H

#include "watch.bpf.h"

struct wire_handler handlers[WIRE_MAX_HANDLERS];
u64 place_hits[WIRE_MAX_PLACES]; /* executions of each */

struct wire_place_last place_last[WIRE_MAX_PLACES]; /* their GIL keeps two threads from being here at once */

struct { /* address of the unit -> index of the place */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WIRE_MAX_PLACES);
	__type(key, u64);
	__type(value, u32);
} place_index SEC(".maps");

/* Whether what is seen of a place is the same execution as was seen last. */
static __always_inline int place_repeated(const struct wire_handler *h, u64 instr, u32 place)
{
	struct wire_place_last *last = &place_last[place & (WIRE_MAX_PLACES - 1)], before = *last;
	u32 unit, below;

	*last = (struct wire_place_last){};
	if (!h->counted)
		return 0;
	/* Opcode, argument, counter. Where another opcode stands there, that one led to this handler. */
	unit = read_u32(instr);
	last->counter = unit >> 16;
	if ((unit & 0xff) != h->op)
		return before.misses && last->counter != before.counter;
	below = last->counter < h->counter_below;
	last->repeats = h->repeats && below;
	last->misses = h->misses;
	last->op = h->op;
	return before.repeats && (!below || before.op != h->op);
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
	return place_hit(index, h->cost_ns, 0);
}

#endif
