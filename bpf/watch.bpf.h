/*
 * watch: what happens when a thread executes one of the places that are watched: which frame is it, which line does that
 * frame leave and enter, and what is told or counted of it.
 *
 * The frame is found by the thread alone: its C library's thread id leads to Python's state of the thread, and that has the
 * current frame. No register has to hold anything, so it is the same for hardware watchpoints, whose trap comes after the
 * read, and for probes on opcode handlers.
 */
#ifndef PYLU_WATCH_BPF_H
#define PYLU_WATCH_BPF_H

#include "cond.bpf.h"
#include "snap.bpf.h"

struct wire_place places[WIRE_MAX_PLACES];
struct wire_watched watched[WIRE_MAX_WATCHED];
struct wire_place_step place_steps[2 * WIRE_MAX_PLACES * WIRE_MAX_PLACES]; /* [from + 1][to]; from -1: unknown */
struct wire_window windows[WIRE_MAX_WINDOWS];
u16 window_operands[WIRE_MAX_OPERANDS];
u32 watch_slot;	    /* the process */
u32 watch_tgid;	    /* its id */
u32 watch_children; /* processes that it forks are watched too */
u32 watch_epoch;    /* counts the turns: what is known of frames from earlier ones is worth nothing */
u32 watch_times;    /* lines are timed, and no events sent */
u32 watch_hit_ns;   /* what a watchpoint adds to the time between two */
u64 watch_consts;   /* what the code object refers to: while these are the same it is the same */
u64 watch_linetable;
u64 watch_units; /* its first code unit */
u32 watch_freed; /* it was another once */
u8 resumes[256]; /* opcodes that stand where a frame starts or goes on */

/* Where a frame was seen last. */
struct mark {
	u16 place;
	u16 window; /* + 1: the line that it is in; 0: none that is known */
	u32 epoch;
	u64 ours_ns; /* the thread's, when the line began to be timed */
	u64 since_ns;
	u64 spent_ns; /* before it paused */
};

/* A forked child has its frames where its parent has them. */
struct mark_key {
	u64 frame;
	u64 tgid;
};

struct { /* what falls out of it is unknown again */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WIRE_MAX_MARKS);
	__type(key, struct mark_key);
	__type(value, struct mark);
} marks SEC(".maps");

struct watcher {
	u64 tstate;
	u64 read_frame, read_addr; /* that is to be read again, because it is traced; 0: none */
	u64 ours_ns;		   /* what its hits have cost */
};

struct { /* tid */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WIRE_MAX_WATCHERS);
	__type(key, u32);
	__type(value, struct watcher);
} watchers SEC(".maps");

struct thread_walk {
	const struct wire_build *b;
	u64 thread, code;   /* wanted */
	u64 interp, tstate; /* next to look at */
	u64 found, frame;
};

/* Whether this is the state of the wanted thread, running the wanted code. */
static __always_inline int thread_is(struct thread_walk *w, u64 tstate)
{
	struct frame_head head;
	u64 frame;

	if (read_u64(tstate + w->b->tstate_thread_id) != w->thread)
		return 0;
	frame = tstate_frame(w->b, tstate);
	if (frame_head_read(w->b, 0, frame, &head) || head.code != w->code)
		return 0;
	w->found = tstate;
	w->frame = frame;
	return 1;
}

/* bpf_loop callback: one thread state. */
static long thread_step(u64 i, struct thread_walk *w)
{
	if (w->tstate && thread_is(w, w->tstate))
		return 1;
	return tstate_advance(w->b, &w->interp, &w->tstate);
}

/* What is known of the place that was come to. */
struct place_hit {
	const struct wire_build *b;
	u64 frame;
	u64 now;
	u64 ours_ns; /* of the thread, this hit included */
	u64 tstate;
	u32 place;
	u64 previous;		  /* the caller's frame */
	u16 left, entered, ended; /* windows + 1 that are to be told of, in this order, or 0 */
};

/* Finds the frame that the running thread is in, if it runs the code of the place. Its address, or 0. */
static __noinline u64 place_frame(struct place_hit *hit)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_walk w = { .b = hit->b, .thread = task->thread.fsbase };

	w.code = places[hit->place & (WIRE_MAX_PLACES - 1)].code;
	if (likely(hit->tstate && thread_is(&w, hit->tstate)))
		return w.frame;
	w.interp = interp_head(w.b, watch_slot);
	bpf_loop(WIRE_MAX_THREADS + WIRE_MAX_INTERPS, thread_step, &w, 0);
	hit->tstate = w.found;
	return w.frame;
}

struct operands_walk {
	struct seen *e;
	const struct wire_build *b;
	const struct wire_value_layout *v;
	u64 frame;
	u32 first, n;
};

/* bpf_loop callback: one value of an event. */
static long operands_step(u64 i, struct operands_walk *w)
{
	if (i >= w->n)
		return 1;
	seen_operand(w->e, w->v, w->frame, window_operands[(w->first + i) & (WIRE_MAX_OPERANDS - 1)]);
	return 0;
}

/* Begins the event of a line that is entered or left; its values are there, but not what they lead to. NULL: there is none. */
static __noinline struct seen *window_begin(struct place_hit *hit, u16 kind, u32 window)
{
	struct operands_walk w = { .b = hit->b, .frame = hit->frame };
	const struct wire_window *win = &windows[window & (WIRE_MAX_WINDOWS - 1)];
	struct frame_head head;
	int truth;

	w.v = &value_layouts[w.b->index & (WIRE_MAX_BUILDS - 1)];
	w.first = kind == WIRE_SEEN_BEFORE ? win->before : win->after;
	w.n = kind == WIRE_SEEN_BEFORE ? win->nbefore : win->nafter;
	/* Of a line without any variables it is told that it is entered: else it would look as if it never ran. */
	if (!w.n && (kind != WIRE_SEEN_BEFORE || win->nafter))
		return NULL;
	seen_count(hits);
	truth = seen_cond(w.v, watch_slot, w.frame);
	if (truth == COND_FALSE) {
		seen_count(unmatched);
		return NULL;
	}
	if (!seen_admit(watch_slot) || frame_head_read(w.b, watch_slot, w.frame, &head))
		return NULL;
	w.e = seen_begin(watch_slot, kind, w.frame, head.code);
	if (!w.e)
		return NULL;
	w.e->event.window = window;
	w.e->event.time_ns = hit->now;
	w.e->event.instr = frame_stands(w.b, w.frame);
	w.e->event.globals = read_u64(w.frame + w.b->frame_globals);
	if (truth == COND_UNDECIDED)
		w.e->event.flags |= WIRE_SEEN_UNDECIDED;
	bpf_loop(WIRE_SNAP_ROOTS, operands_step, &w, 0);
	hit->previous = head.previous;
	return w.e;
}

/* Time in a line ends, for good or because a generator yields in it. */
static __always_inline void mark_spend(struct mark *mark, const struct place_hit *hit)
{
	u64 ours = hit->ours_ns - mark->ours_ns, spent = hit->now - mark->since_ns;

	if (mark->since_ns)
		mark->spent_ns += spent > ours ? spent - ours : 0;
	mark->since_ns = 0;
}

static __always_inline void mark_time(struct mark *mark, const struct place_hit *hit)
{
	mark->since_ns = hit->now;
	mark->ours_ns = hit->ours_ns;
}

static __always_inline void window_leave(struct mark *mark, struct place_hit *hit)
{
	struct wire_window *win = &windows[(mark->window - 1) & (WIRE_MAX_WINDOWS - 1)];

	if (!watch_times) {
		if (hit->entered == mark->window)
			hit->ended = mark->window;
		else
			hit->left = mark->window;
		return;
	}
	mark_spend(mark, hit);
	win->timed++;
	win->total_ns += mark->spent_ns;
	if (win->timed == 1 || mark->spent_ns < win->min_ns)
		win->min_ns = mark->spent_ns;
	if (mark->spent_ns > win->max_ns)
		win->max_ns = mark->spent_ns;
}

static __always_inline void window_enter(struct mark *mark, struct place_hit *hit)
{
	if (watch_times) {
		windows[(mark->window - 1) & (WIRE_MAX_WINDOWS - 1)].hits++;
		mark->spent_ns = 0;
		mark_time(mark, hit);
	} else {
		hit->entered = mark->window;
	}
}

/* A frame has come to a place: what that means depends on where it was before. */
static __noinline int place_step(struct place_hit *hit)
{
	struct mark_key key = { hit->frame, bpf_get_current_pid_tgid() >> 32 };
	struct mark *known = bpf_map_lookup_elem(&marks, &key), fresh = {}, *mark = known ? known : &fresh;
	const struct wire_place_step *step;
	u32 from = 0;

	if (known && known->epoch == watch_epoch)
		from = known->place + 1;
	else
		__builtin_memset(mark, 0, sizeof(*mark));
	step = &place_steps[(from * WIRE_MAX_PLACES + hit->place) & (2 * WIRE_MAX_PLACES * WIRE_MAX_PLACES - 1)];
	if (step->flags & WIRE_STEP_UNSURE) {
		mark->window = 0;
		seen_count(unsure);
	}
	if (mark->window && watch_times && step->flags & WIRE_STEP_RESUMES)
		mark_time(mark, hit);
	if (step->leaves) {
		if (mark->window == step->leaves)
			window_leave(mark, hit);
		mark->window = 0;
	}
	if (step->enters) {
		mark->window = step->enters;
		window_enter(mark, hit);
	}
	if (mark->window && watch_times && step->flags & WIRE_STEP_PAUSES)
		mark_spend(mark, hit);
	/* It is kept: the next frame at this address is known to begin. */
	if (step->flags & WIRE_STEP_ENDS) {
		if (step->enters)
			window_leave(mark, hit);
		mark->window = 0;
	}
	mark->place = hit->place;
	mark->epoch = watch_epoch;
	if (!known)
		bpf_map_update_elem(&marks, &key, mark, BPF_ANY);
	return 0;
}

/* Whether the code is read through to be instrumented, in the frame that has come to RESUME: until that is done the code
 * object has another version than the interpreter (3.12 on; force_instrument_lock_held). */
static __always_inline int place_instrumented(const struct place_hit *hit, u64 code)
{
	const struct wire_build *b = hit->b;
	u64 interp = read_u64(hit->tstate + b->tstate_interp);

	return read_u64(code + b->code_instrumented) != read_u64(interp + b->interp_instrumented) &&
	       resumes[read_u8(frame_instr(b, hit->frame))] && !read_u32(hit->tstate + b->tstate_tracing);
}

/* Whether it is read again because it is traced (3.10 and 3.11: DO_TRACING), once or twice, the last time with the frame at the
 * unit already. */
static __always_inline int place_reread(const struct place_hit *hit, struct watcher *watcher, u64 addr)
{
	const struct wire_build *b = hit->b;
	int again = watcher->read_frame == hit->frame && watcher->read_addr == addr, at;

	if (b->frame_instr >= 0)
		at = frame_instr(b, hit->frame) == addr - 1;
	else /* f_lasti, in units; what is not traced may be there too */
		at = again && watch_units + 2 * (s64)(s32)read_u32(hit->frame + b->frame_lasti) == addr - 1;
	if (at) {
		watcher->read_frame = 0;
		return 1;
	}
	if (!again && read_u8(read_u64(hit->tstate + b->tstate_traced))) {
		watcher->read_frame = hit->frame;
		watcher->read_addr = addr;
	}
	return again;
}

/* Whether it is executed, and not only read by the interpreter: to 3.10, when a function becomes hot, its code is read through
 * in the frame of a call (_PyCode_InitOpcache). */
static __always_inline int place_executed(const struct place_hit *hit, struct watcher *watcher)
{
	const struct wire_place *place = &places[hit->place & (WIRE_MAX_PLACES - 1)];
	const struct wire_build *b = hit->b;

	if (b->code_opcache >= 0 && read_u64(place->code + b->code_opcache_map) &&
	    !read_u64(place->code + b->code_opcache))
		return 0;
	if (b->code_instrumented >= 0 && place_instrumented(hit, place->code))
		return 0;
	return b->tstate_traced < 0 || !place_reread(hit, watcher, place->addr);
}

/* Whether the code object is still the one that was found there, as far as a look at it can tell. */
static __always_inline int place_lives(const struct place_hit *hit)
{
	const struct wire_place *place = &places[hit->place & (WIRE_MAX_PLACES - 1)];

	return read_u64(place->code + hit->b->code_consts) == watch_consts &&
	       read_u64(place->code + hit->b->code_linetable) == watch_linetable;
}

/* What is known of the running thread, the hit's cost added; NULL: no room. */
static __noinline struct watcher *watcher_enter(u32 tid, u32 cost_ns)
{
	struct watcher *known = bpf_map_lookup_elem(&watchers, &tid), fresh = {};

	if (!known) {
		bpf_map_update_elem(&watchers, &tid, &fresh, BPF_ANY);
		known = bpf_map_lookup_elem(&watchers, &tid);
	}
	if (known)
		known->ours_ns += cost_ns;
	return known;
}

/* The running thread executes a place, or with `read` may only have read it. */
static __always_inline int place_hit(u32 place, u32 cost_ns, int read)
{
	struct place_hit hit = { .b = &builds[0], .place = place & (WIRE_MAX_PLACES - 1), .now = bpf_ktime_get_ns() };
	struct watcher *watcher;

	watcher = watcher_enter((u32)bpf_get_current_pid_tgid(), cost_ns);
	if (!watcher) {
		seen_count(lost);
		return 0;
	}
	hit.ours_ns = watcher->ours_ns;
	hit.tstate = watcher->tstate;
	hit.frame = place_frame(&hit);
	watcher->tstate = hit.tstate;
	if (hit.frame && !place_lives(&hit)) {
		if (bpf_get_current_pid_tgid() >> 32 == watch_tgid)
			watch_freed = 1;
		return 0;
	}
	/* Whoever is at a handler executes it. */
	if (!hit.frame || (read && !place_executed(&hit, watcher))) {
		seen_count(strays);
		return 0;
	}
	place_step(&hit);
	/* Here, not where it is found out: calls may be nested eight deep only. */
	for (u32 i = 0; i < 3; i++) {
		u16 window = i == 0 ? hit.left : i == 1 ? hit.entered : hit.ended;
		struct seen *e = window ? window_begin(&hit, i == 1 ? WIRE_SEEN_BEFORE : WIRE_SEEN_AFTER, window - 1)
					: NULL;

		if (!e)
			continue;
		seen_stack(e, hit.b, hit.previous);
		seen_walk(e, &value_layouts[hit.b->index & (WIRE_MAX_BUILDS - 1)]);
		seen_send(e);
	}
	return 0;
}

/* A hardware watchpoint. */
static __always_inline int watch_hit(u64 addr)
{
	if (!live || (!watch_children && bpf_get_current_pid_tgid() >> 32 != watch_tgid))
		return 0;
	for (u32 i = 0; i < WIRE_MAX_WATCHED; i++)
		if (watched[i].addr == addr)
			return place_hit(watched[i].place, watch_hit_ns, 1);
	return 0;
}

#endif
