/*
 * tree: open frames and the call tree. Frames are told apart by their address; no order is assumed, because greenlets
 * and generators leave and enter stacks at will. A frame's parent is found through the interpreter's own chain.
 */
#ifndef PYLU_TREE_BPF_H
#define PYLU_TREE_BPF_H

#include "trace.bpf.h"

static __always_inline struct wire_frame *frame_lookup(u64 frame, u32 slot)
{
	u64 key = key_of(frame, slot);

	return bpf_map_lookup_elem(&frames, &key);
}

static __noinline struct wire_frame *frame_insert(u64 frame, u32 slot)
{
	u64 key = key_of(frame, slot);
	struct wire_frame fresh = {};

	if (bpf_map_update_elem(&frames, &key, &fresh, BPF_ANY)) {
		proc_of(slot)->stats.lost_events++;
		return NULL;
	}
	__sync_fetch_and_add(&frames_made, 1);
	return bpf_map_lookup_elem(&frames, &key);
}

static __always_inline u32 frame_node(struct wire_frame *rec)
{
	if (!rec->node)
		rec->node = node_id(rec->parent, rec->func);
	return rec->node;
}

static __always_inline u64 slice_ns(const struct thread_state *thr, const struct wire_frame *rec, u64 now)
{
	u64 ns = now - rec->resume_ns;
	u64 ours = raw ? 0 : *ours_of(thr) - rec->ours0;

	return ns > ours ? ns - ours : 0;
}

__noinline int foreign_add(u32 node, s64 ns)
{
	s64 *sum = bpf_map_lookup_elem(&foreign, &node);

	if (sum)
		__sync_fetch_and_add(sum, ns);
	else
		bpf_map_update_elem(&foreign, &node, &ns, BPF_ANY);
	return 0;
}

/* Ends the running slice of an open frame. */
static __always_inline void slice_end(const struct thread_state *thr, struct wire_frame *rec, u64 now)
{
	u64 ns = slice_ns(thr, rec, now);

	if (rec->untimed)
		return;
	rec->active_ns += ns;
	if (unlikely(rec->cur_parent != rec->parent)) {
		foreign_add(rec->cur_parent, ns);
		foreign_add(rec->parent, -(s64)ns);
	}
}

static __always_inline void slice_begin(const struct thread_state *thr, struct wire_frame *rec, u32 parent, u64 now)
{
	rec->state = WIRE_FRAME_ACTIVE;
	rec->cur_parent = parent;
	rec->tid = thr->tid;
	rec->ours0 = *ours_of(thr);
	rec->resume_ns = now;
}

static __always_inline void frame_open(const struct thread_state *thr, const struct wire_build *b,
				       struct wire_frame *rec, u64 code, u32 func, u32 parent, u8 preattach,
				       u8 generator, u64 now)
{
	rec->code = code;
	rec->parent = parent;
	rec->func = func;
	rec->node = 0;
	rec->preattach = preattach;
	rec->generator = generator;
	rec->untimed = (generator && !b->yields_live) || proc_of(thr->slot)->jit;
	rec->start_instr = 0;
	rec->start_ns = now;
	rec->active_ns = 0;
	rec->call = 0;
	proc_of(thr->slot)->open++;
	slice_begin(thr, rec, parent, now);
}

static __always_inline struct wire_node *frame_stats(const struct thread_state *thr, struct wire_frame *rec)
{
	struct wire_node_key key = { rec->parent, rec->func };
	struct wire_node *node = bpf_map_lookup_elem(&nodes, &key);

	if (likely(node))
		return node;
	if (!node_id(rec->parent, rec->func)) {
		proc_of(thr->slot)->stats.lost_events++;
		return NULL;
	}
	return bpf_map_lookup_elem(&nodes, &key);
}

/* The record of a frame that is gone though no end was seen: a generator that was dropped while it was suspended. */
__noinline int frame_retire(const struct thread_state *thr, struct wire_frame *rec)
{
	struct wire_node *node;

	if (!thr || !rec)
		return 0;
	node = frame_stats(thr, rec);
	if (node) {
		if (!rec->preattach)
			node->dropped++;
		if (!rec->untimed)
			node->dropped_ns += rec->active_ns;
	}
	if (rec->state == WIRE_FRAME_ACTIVE)
		proc_of(thr->slot)->stats.unclosed++;
	rec->state = WIRE_FRAME_CLOSED;
	proc_of(thr->slot)->open--;
	return 0;
}

static __always_inline u32 log2_bucket(u64 v)
{
	u32 r = 0, hi = v >> 32, x = v;

	if (hi) {
		x = hi;
		r = 32;
	}
	if (x >> 16) {
		x >>= 16;
		r += 16;
	}
	if (x >> 8) {
		x >>= 8;
		r += 8;
	}
	if (x >> 4) {
		x >>= 4;
		r += 4;
	}
	if (x >> 2) {
		x >>= 2;
		r += 2;
	}
	r += x >> 1;
	return r < WIRE_LOG2_BUCKETS ? r : WIRE_LOG2_BUCKETS - 1;
}

static __always_inline void frame_close(const struct thread_state *thr, struct wire_frame *rec, int raised, u64 now)
{
	struct wire_node *node = frame_stats(thr, rec);
	u64 ns;

	slice_end(thr, rec, now);
	rec->state = WIRE_FRAME_CLOSED;
	proc_of(thr->slot)->open--;
	ns = rec->active_ns;
	if (!node)
		return;
	if (raised)
		node->raised++;
	if (unlikely(rec->preattach)) {
		node->partial++;
		if (!rec->untimed)
			node->partial_ns += ns;
	} else if (unlikely(rec->untimed)) {
		node->untimed++;
	} else {
		if (!node->complete || ns < node->min_ns)
			node->min_ns = ns;
		if (ns > node->max_ns)
			node->max_ns = ns;
		node->complete++;
		node->complete_ns += ns;
		if (rec->generator)
			node->elapsed_ns += now - rec->start_ns;
		node->log2_ns[log2_bucket(ns)]++;
	}
}

/* The record of a frame that has ended is of no use but for the next frame at its address. */
static __always_inline void frame_forget(const struct thread_state *thr, u64 frame)
{
	u64 key = key_of(frame, thr->slot);

	if (unlikely(frames_pressure))
		bpf_map_delete_elem(&frames, &key);
}

/* A generator's frame yields. */
static __always_inline void frame_suspend(const struct thread_state *thr, struct wire_frame *rec, u64 now)
{
	slice_end(thr, rec, now);
	rec->state = WIRE_FRAME_SUSPENDED;
}

struct walk {
	struct thread_state *thr;
	const struct wire_build *b;
	u64 frame; /* next to look at; at the end the outermost that was seen */
	u64 outermost;
	u32 n;	      /* frames in thr->walk */
	u32 parent;   /* result: node id, 0 while there is none */
	u8 to_open;   /* collect up to the first open frame only */
	u8 preattach; /* what is registered was there before us */
	u8 found;     /* an open frame, though the call tree may have no room for it */
	u64 now;
};

/* The node id of an open frame; 0 when it is not open. */
static __always_inline u32 open_node(u64 frame, u32 slot, u64 code)
{
	struct wire_frame *rec = frame_lookup(frame, slot);

	return rec && rec->state == WIRE_FRAME_ACTIVE && rec->code == code ? frame_node(rec) : 0;
}

/* bpf_loop callback: collects the stack's frames. */
static long walk_collect(u64 i, struct walk *w)
{
	struct frame_head head;
	u32 node;

	if (!w->frame || w->n >= WIRE_MAX_PREATTACH)
		return 1;
	if (frame_head_read(w->b, w->thr->slot, w->frame, &head))
		return 1;
	node = w->to_open ? open_node(w->frame, w->thr->slot, head.code) : 0;
	if (node) {
		w->parent = node;
		w->frame = 0;
		w->preattach = 0;
		return 1;
	}
	w->thr->walk[w->n & (WIRE_MAX_PREATTACH - 1)] = w->frame;
	w->n++;
	w->outermost = w->frame;
	w->frame = head.previous;
	return 0;
}

/* Whether a generator's code runs in a frame that is not yet its generator's: 3.15's generator expressions. */
static __always_inline int makes_generator(const struct wire_build *b, u64 frame, u8 state)
{
	return state & WIRE_FUNC_GENERATOR && b->resume_creates >= 0 &&
	       read_u8(frame + b->frame_owner) != b->frame_owner_generator;
}

/* bpf_loop callback: from the outermost frame inwards, opens what matches and is not open yet. */
static long walk_register(u64 i, struct walk *w)
{
	struct frame_head head;
	struct wire_frame *rec;
	u32 func, at = w->n - 1 - (u32)i;
	u64 frame;
	u8 state;

	if (i >= w->n)
		return 1;
	frame = w->thr->walk[at & (WIRE_MAX_PREATTACH - 1)];
	if (frame_head_read(w->b, w->thr->slot, frame, &head))
		return 0;
	if (is_code(w->b, w->thr->slot, head.code) <= 0 || frame_of_c(w->b, frame))
		return 0;
	func = code_func(w->thr, w->b, frame, head.code, &state);
	if (!func || state & WIRE_FUNC_NOMATCH || makes_generator(w->b, frame, state))
		return 0;
	rec = frame_lookup(frame, w->thr->slot);
	if (!rec || rec->state != WIRE_FRAME_ACTIVE || rec->code != head.code) {
		if (!rec)
			rec = frame_insert(frame, w->thr->slot);
		else if (rec->state != WIRE_FRAME_CLOSED && rec->code != head.code)
			frame_retire(w->thr, rec);
		if (!rec)
			return 0;
		if (rec->state == WIRE_FRAME_SUSPENDED)
			slice_begin(w->thr, rec, w->parent, w->now);
		else
			frame_open(w->thr, w->b, rec, head.code, func, w->parent, w->preattach,
				   !!(state & WIRE_FUNC_GENERATOR), w->now);
	}
	w->parent = frame_node(rec);
	return 0;
}

/* Opens the matching frames of a stack, `frame` the innermost, that are not open: those that were there before us. With
 * `to_open` up to the first open one only: under the JIT, whose traces hide starts, they have started since. Returns the
 * node id of the innermost of them, or the thread's. */
__noinline u32 stack_register(struct thread_state *thr, const struct wire_build *b, u64 frame, u64 now, u8 to_open)
{
	struct walk w = { .thr = thr, .b = b, .frame = frame, .to_open = to_open, .preattach = 1, .now = now };

	if (!thr || !b)
		return 0;
	w.parent = thr->node;
	bpf_loop(WIRE_MAX_PREATTACH, walk_collect, &w, 0);
	if (w.frame)
		proc_of(thr->slot)->stats.stack_overflow++;
	else if (to_open && w.outermost == thr->root_frame)
		w.preattach = 0;
	if (!to_open)
		thr->root_frame = w.outermost;
	bpf_loop(WIRE_MAX_PREATTACH, walk_register, &w, 0);
	return w.parent;
}

/* bpf_loop callback: one frame further out in the search for the nearest open frame. */
static long walk_search(u64 i, struct walk *w)
{
	struct wire_frame *rec;
	struct frame_head head;

	if (!w->frame)
		return 1;
	w->outermost = w->frame;
	if (frame_head_read(w->b, w->thr->slot, w->frame, &head)) {
		w->frame = 0;
		return 1;
	}
	rec = frame_lookup(w->frame, w->thr->slot);
	if (rec && rec->code == head.code) {
		if (rec->state == WIRE_FRAME_SUSPENDED) { /* throw() lets it run without a RESUME */
			proc_of(w->thr->slot)->stats.reopened++;
			slice_begin(w->thr, rec, rec->parent, w->now);
		}
		if (rec->state == WIRE_FRAME_ACTIVE) {
			w->parent = frame_node(rec);
			w->found = 1;
			return 1;
		}
	}
	w->frame = head.previous;
	return 0;
}

__noinline u32 parent_search(struct thread_state *thr, const struct wire_build *b, u64 previous, u64 now)
{
	struct walk w = { .thr = thr, .b = b, .frame = previous, .now = now };

	if (!thr || !b)
		return 0;
	bpf_loop(WIRE_MAX_WALK, walk_search, &w, 0);
	if (w.found)
		return w.parent;
	if (w.frame) {
		proc_of(thr->slot)->stats.stack_overflow++;
		return thr->node;
	}
	/* Another stack than the one that was registered: a greenlet's, or a callback's from C. */
	if (w.outermost != thr->root_frame)
		return stack_register(thr, b, previous, now, 0);
	return thr->node;
}

/* The node id of the nearest matching caller, `previous` being the caller's frame. */
static __always_inline u32 parent_of(struct thread_state *thr, const struct wire_build *b, u64 previous, u64 now)
{
	struct wire_frame *rec;

	if (!previous)
		return thr->node;
	if (unlikely(proc_of(thr->slot)->jit))
		return stack_register(thr, b, previous, now, 1);
	rec = frame_lookup(previous, thr->slot);
	if (likely(rec && rec->state == WIRE_FRAME_ACTIVE && rec->tid == thr->tid && thr->root_frame))
		return frame_node(rec);
	return parent_search(thr, b, previous, now);
}

/* A frame starts. */
static __always_inline void event_start(struct thread_state *thr, const struct wire_build *b, u64 frame,
					const struct frame_head *head, u32 func, u8 state, u64 instr, u64 now)
{
	struct wire_frame *rec = frame_lookup(frame, thr->slot);
	u32 parent;

	if (rec && rec->state != WIRE_FRAME_CLOSED) {
		if (rec->state == WIRE_FRAME_ACTIVE && rec->code == head->code && rec->tid == thr->tid) {
			proc_of(thr->slot)->stats.repeated++;
			return;
		}
		frame_retire(thr, rec);
	}
	parent = parent_of(thr, b, head->previous, now);
	if (!rec)
		rec = frame_insert(frame, thr->slot);
	if (!rec)
		return;
	frame_open(thr, b, rec, head->code, func, parent, 0, !!(state & WIRE_FUNC_GENERATOR), now);
	rec->start_instr = instr;
	if (may_trace && tracing)
		trace_call(thr, b, rec, frame, head->previous);
}

/* A generator's frame runs again. */
static __always_inline void event_resume(struct thread_state *thr, const struct wire_build *b, u64 frame,
					 const struct frame_head *head, u32 func, u64 now)
{
	struct wire_frame *rec = frame_lookup(frame, thr->slot);
	u32 parent;

	if (rec && rec->state == WIRE_FRAME_ACTIVE && rec->code == head->code)
		return;
	parent = parent_of(thr, b, head->previous, now);
	if (rec && rec->state == WIRE_FRAME_SUSPENDED && rec->code == head->code) {
		slice_begin(thr, rec, parent, now);
		if (is_told(rec))
			trace_resume(thr, b, rec, frame);
		return;
	}
	if (rec && rec->state != WIRE_FRAME_CLOSED)
		frame_retire(thr, rec);
	if (!rec)
		rec = frame_insert(frame, thr->slot);
	if (rec)
		frame_open(thr, b, rec, head->code, func, parent, 1, 1, now);
}

/* The first event of a thread: what runs already is registered. `frame` is the innermost frame of the stack. */
static __always_inline void stack_first(struct thread_state *thr, const struct wire_build *b, u64 frame)
{
	if (unlikely(!thr->root_frame) && frame)
		stack_register(thr, b, frame, bpf_ktime_get_ns(), 0);
}

#endif
