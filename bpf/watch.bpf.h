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

#include "interp.bpf.h"
#include "pyread.bpf.h"

struct wire_place places[WIRE_MAX_PLACES];
struct wire_watched watched[WIRE_MAX_WATCHED];
struct wire_place_step place_steps[(WIRE_MAX_PLACES + 1) * WIRE_MAX_PLACES]; /* [from + 1][to]; from -1: unknown */
struct wire_window windows[WIRE_MAX_WINDOWS];
u16 window_operands[WIRE_MAX_OPERANDS];
u32 watch_slot;	  /* the process */
u32 watch_tgid;	  /* its id */
u32 watch_epoch;  /* counts the turns: what is known of frames from earlier ones is worth nothing */
u32 watch_times;  /* lines are timed, and no events sent */
u32 watch_hit_ns; /* what a hit adds to the time between two */

/* Where a frame was seen last. */
struct mark {
	u16 place;
	u16 window; /* + 1: the line that it is in; 0: none that is known */
	u32 epoch;
	u32 tid;
	u32 pad;
	u64 hits; /* the thread's, when the line began to be timed */
	u64 since_ns;
	u64 spent_ns; /* before it paused */
};

struct { /* frame | slot << 48; what falls out of it is unknown again */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WIRE_MAX_MARKS);
	__type(key, u64);
	__type(value, struct mark);
} marks SEC(".maps");

struct watcher {
	u64 tstate;
	u64 hits;
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

/* bpf_loop callback: one thread state, or on to the next interpreter. */
static long thread_step(u64 i, struct thread_walk *w)
{
	if (w->tstate) {
		if (thread_is(w, w->tstate))
			return 1;
		w->tstate = read_u64(w->tstate + w->b->tstate_next);
		return 0;
	}
	if (!w->interp)
		return 1;
	w->tstate = read_u64(w->interp + w->b->interp_tstate_head);
	w->interp = read_u64(w->interp + w->b->interp_next);
	return 0;
}

/* The frame that the running thread is in, if its code is `code`; else 0. */
static __noinline u64 frame_running(const struct wire_build *b, struct watcher *watcher, u64 code)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread_walk w = { .b = b, .code = code };

	if (!b || !watcher)
		return 0;
	w.thread = task->thread.fsbase;
	if (likely(watcher->tstate && thread_is(&w, watcher->tstate)))
		return w.frame;
	w.interp = interp_head(b, watch_slot);
	bpf_loop(WIRE_MAX_THREADS + WIRE_MAX_INTERPS, thread_step, &w, 0);
	watcher->tstate = w.found;
	return w.frame;
}
