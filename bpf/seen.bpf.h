/*
 * seen: one event under construction, from the room for it to the ring buffer; the limits that protect the target and the
 * reader. What values lead to is snap's, where they are found operand's.
 *
 * A record is built in one of a few pieces of scratch memory, which is taken by compare-and-swap: a program for a watchpoint
 * may run on top of one for a probe, so that neither memory of the processor nor of the thread would do.
 */
#ifndef PYLU_SEEN_BPF_H
#define PYLU_SEEN_BPF_H

#include "pyread.bpf.h"

struct wire_operand operands[WIRE_MAX_OPERANDS];
struct wire_cond cond;
struct wire_seen_config seen_config;
struct wire_seen_stats seen_stats;
struct wire_value_layout value_layouts[WIRE_MAX_BUILDS];

struct { /* not made where nothing but counts and times is asked for */
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} seen_events SEC(".maps");

#define SEEN_SCRATCH 16
#define SEEN_WORDS 64 /* of a frame or a type, read at once */
#define SEEN_LIMIT                                                                                        \
	(WIRE_SNAP_ROOTS * sizeof(struct wire_root) + WIRE_SNAP_STACK * sizeof(struct wire_stack_entry) + \
	 WIRE_SNAP_BYTES)

#define SNAP_JOBS 1024	  /* things to look at; a power of two */
#define SNAP_VISITED 1024 /* twice WIRE_SNAP_OBJECTS; a power of two */
#define SNAP_TYPES 32	  /* a power of two */
#define SNAP_PARTS 16	  /* a power of two */
#define SNAP_STEPS (4 * SNAP_JOBS)

/* Something that snap has still to look at. */
struct snap_job {
	u64 addr;
	u16 count; /* entries that are left */
	u16 want;  /* of them, that are not empty */
	u8 kind, depth, stride, pad;
};

/* What is kept of a type. */
struct snap_type {
	u64 addr;
	u64 flags, basicsize, itemsize, base, name;
	s64 dictoffset;
	u64 body; /* basicsize of the nearest base that is written in C, or its own */
	u32 made; /* the event for which it was read */
	u8 kind;
	u8 is_type; /* it is one beyond doubt: its own type says so */
	u8 pad[2];
};

/* Words or entries of a piece that was copied, while they are gone through. Here and not in that loop's context: the
 * verifier would follow every value that it can have. */
struct snap_cursor {
	u32 at;	     /* of the next, in rest[] */
	u32 n, want; /* that are left; of them, that are to be followed */
	u32 stride, key;
	u8 kind, depth;
	u8 pad[2];
};

struct seen {
	u32 busy;
	u32 made;	/* events that were begun here, this one included */
	u32 end;	/* bytes of rest[] that are in use */
	u32 chunks;	/* where in rest[] the chunks begin */
	u32 head, tail; /* of jobs[] */
	u32 objects;	/* copied */
	u32 nparts;
	u32 index; /* its own, in seen_scratch */
	u32 pad;
	u64 words[SEEN_WORDS];
	u8 kinds[SEEN_WORDS]; /* of a function's arguments (3.11 on) */
	struct snap_job jobs[SNAP_JOBS];
	struct snap_job parts[SNAP_PARTS];
	u64 visited[SNAP_VISITED]; /* address | made << 48 */
	struct snap_type types[SNAP_TYPES];
	struct snap_cursor cursor;
	/* The record as it is sent. */
	struct wire_event_seen event;
	u8 rest[SEEN_LIMIT + 2 * WIRE_SNAP_PIECE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEEN_SCRATCH);
	__type(key, u32);
	__type(value, struct seen);
} seen_scratch SEC(".maps");

/* Events of a process in the second that began at `since`. */
struct seen_rate {
	u64 since;
	u64 n;
};

static struct seen_rate seen_rates[WIRE_MAX_PROCS];

u64 seen_admitted; /* against seen_config.count */

#define seen_count(what) __sync_fetch_and_add(&seen_stats.what, 1)

/* bpf_loop callback. */
static long forget_step(u64 i, struct seen **e)
{
	(*e)->visited[i & (SNAP_VISITED - 1)] = 0;
	return 0;
}

/* The numbers of events come round in visited[]: what is there of earlier ones must not be taken for this one's. */
static __noinline int seen_forget(struct seen *e)
{
	bpf_loop(SNAP_VISITED, forget_step, &e, 0);
	e->made++;
	return 0;
}

/* An event of the process, or interpreter, in `slot`; the caller fills in what else there is in e->event. NULL, and counted
 * as lost, when no room is free. Must be sent or dropped. */
static __always_inline struct seen *seen_begin(u32 slot, u16 kind, u64 frame, u64 code)
{
	u32 first = bpf_get_smp_processor_id(), at;
	struct seen *e = NULL;

	for (u32 i = 0; i < SEEN_SCRATCH; i++) {
		at = (first + i) & (SEEN_SCRATCH - 1);
		e = bpf_map_lookup_elem(&seen_scratch, &at);
		if (!e)
			return NULL;
		if (!__sync_val_compare_and_swap(&e->busy, 0, 1))
			goto found;
	}
	seen_count(lost);
	return NULL;
found:
	e->index = at;
	e->made++;
	if (!(e->made & 0xffff))
		seen_forget(e);
	e->end = e->chunks = 0;
	e->head = e->tail = e->objects = e->nparts = 0;
	__builtin_memset(&e->event, 0, sizeof(e->event));
	e->event.type = WIRE_EVENT_SEEN;
	e->event.slot = slot;
	e->event.tid = (u32)bpf_get_current_pid_tgid();
	e->event.tgid = bpf_get_current_pid_tgid() >> 32;
	e->event.kind = kind;
	e->event.window = WIRE_NONE;
	e->event.frame = frame;
	e->event.code = code;
	e->event.time_ns = bpf_ktime_get_ns();
	return e;
}

static __always_inline void seen_drop(struct seen *e)
{
	__sync_lock_test_and_set(&e->busy, 0);
}

/* Sends the record and gives its room back. */
__noinline int seen_output(struct seen *e)
{
	u32 size;

	if (!e)
		return 0;
	size = e->end;
	if (size > SEEN_LIMIT)
		size = SEEN_LIMIT;
	e->event.nbytes = size - e->chunks;
	if (bpf_ringbuf_output(&seen_events, &e->event, sizeof(e->event) + size, 0))
		seen_count(lost);
	else
		seen_count(sent);
	seen_drop(e);
	return 0;
}

static __always_inline void seen_send(struct seen *e)
{
	seen_output(e);
}

/* A value of the event, by its address. All of them come before the stack and the chunks. */
static __always_inline int seen_value(struct seen *e, u64 obj, u16 operand, u8 status)
{
	u32 n = e->event.nroots;
	struct wire_root *root;

	if (n >= WIRE_SNAP_ROOTS) {
		e->event.flags |= WIRE_SEEN_FULL;
		return -1;
	}
	barrier_var(n);
	root = (struct wire_root *)e->rest + n;
	root->obj = status == WIRE_ROOT_VALUE ? obj : 0;
	*(u64 *)&root->operand = operand | (u64)status << 16;
	e->event.nroots = n + 1;
	e->end = e->chunks = (n + 1) * sizeof(*root);
	return 0;
}

/* Whether the limits let an event of the process in `slot` through; if not, it was counted. A second is counted from its
 * first event. */
static __always_inline int seen_admit(u32 slot)
{
	struct seen_rate *rate = &seen_rates[slot & (WIRE_MAX_PROCS - 1)];
	u64 now;

	if (seen_config.count && seen_admitted >= seen_config.count)
		return 0;
	if (seen_config.rate) {
		now = bpf_ktime_get_ns();
		if (now - rate->since >= 1000000000) {
			rate->since = now;
			rate->n = 0;
		}
		if (__sync_fetch_and_add(&rate->n, 1) >= seen_config.rate) {
			seen_count(suppressed);
			return 0;
		}
	}
	return !seen_config.count || __sync_fetch_and_add(&seen_admitted, 1) < seen_config.count;
}

struct stack_walk {
	struct seen *e;
	const struct wire_build *b;
	u64 frame;
	u32 n, max;
};

/* bpf_loop callback: one frame of the stack. */
static long stack_step(u64 i, struct stack_walk *w)
{
	struct wire_stack_entry *entry;
	struct frame_head head;
	u32 end = w->e->end;

	if (!w->frame)
		return 1;
	if (w->n >= w->max) {
		w->e->event.flags |= WIRE_SEEN_STACK_CUT;
		return 1;
	}
	if (frame_head_read(w->b, w->e->event.slot, w->frame, &head))
		return 1;
	if (!frame_of_c(w->b, w->frame) && !code_is_internal(w->b, head.code) && end <= SEEN_LIMIT - sizeof(*entry)) {
		entry = (struct wire_stack_entry *)(w->e->rest + end);
		entry->code = head.code;
		entry->instr = frame_stands(w->b, w->frame);
		entry->globals = read_u64(w->frame + w->b->frame_globals);
		w->e->end = w->e->chunks = end + sizeof(*entry);
		w->n++;
	}
	w->frame = head.previous;
	return 0;
}

/* The stack from `frame`, the caller's, outwards, as far as it is asked for. After all values, before the chunks. */
__noinline int seen_stack(struct seen *e, const struct wire_build *b, u64 frame)
{
	struct stack_walk w = { .e = e, .b = b, .frame = frame, .max = seen_config.stack };

	if (!e || !b)
		return 0;
	if (w.max > WIRE_SNAP_STACK)
		w.max = WIRE_SNAP_STACK;
	bpf_loop(2 * WIRE_SNAP_STACK, stack_step, &w, 0);
	e->event.nstack = w.n;
	return 0;
}

#endif
