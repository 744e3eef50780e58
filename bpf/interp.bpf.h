/*
 * interp: the interpreters of a process: how many there are, which one runs, whether they compile traces.
 *
 * Most processes have one, and pay nothing here but a look at each new function. In a process with several each has a
 * slot of its own, as if it were a process: their functions have the same names, and from 3.12 on each may have a GIL of
 * its own, so that they do run at once. A frame belongs to the interpreter whose builtins it has.
 */
#ifndef PYLU_INTERP_BPF_H
#define PYLU_INTERP_BPF_H

#include "core.bpf.h"

#define SLOT_NONE (~0u)

struct interp_walk {
	const struct wire_build *b;
	u64 interp;   /* next to look at */
	u64 builtins; /* wanted; 0: all are looked at */
	u64 found;
	u32 n;
	u8 jit;
};

/* bpf_loop callback: one interpreter of the list. */
static long interp_step(u64 i, struct interp_walk *w)
{
	if (!w->interp)
		return 1;
	w->n++;
	if (w->b->interp_jit >= 0)
		w->jit |= read_u8(w->interp + w->b->interp_jit);
	if (w->builtins && read_u64(w->interp + w->b->interp_builtins) == w->builtins) {
		w->found = w->interp;
		return 1;
	}
	w->interp = read_u64(w->interp + w->b->interp_next);
	return 0;
}

static __always_inline u64 interp_head(const struct wire_build *b, u32 slot)
{
	const struct wire_proc *proc = proc_of(slot);

	return read_u64((proc->runtime ? proc->runtime : b->runtime + proc->bias) + b->runtime_interp_head);
}

struct tstate_walk {
	const struct wire_build *b;
	u64 interp;	   /* whose thread states come next */
	u64 tstate, frame; /* next to look at; wanted as its current frame */
	u64 found;
};

/* The frame that a thread state runs. */
static __always_inline u64 tstate_frame(const struct wire_build *b, u64 tstate)
{
	if (b->tstate_current_frame >= 0)
		return read_u64(tstate + b->tstate_current_frame);
	if (b->tstate_cframe >= 0)
		return read_u64(read_u64(tstate + b->tstate_cframe) + b->cframe_current_frame);
	return read_u64(tstate + b->tstate_frame);
}

/* On to the next thread state of an interpreter, or to the next interpreter. 1 behind the last. */
static __always_inline long tstate_advance(const struct wire_build *b, u64 *interp, u64 *tstate)
{
	if (*tstate) {
		*tstate = read_u64(*tstate + b->tstate_next);
		return 0;
	}
	if (!*interp)
		return 1;
	*tstate = read_u64(*interp + b->interp_tstate_head);
	*interp = read_u64(*interp + b->interp_next);
	return 0;
}

/* bpf_loop callback: one thread state. */
static long tstate_step(u64 i, struct tstate_walk *w)
{
	if (w->tstate && tstate_frame(w->b, w->tstate) == w->frame) {
		w->found = w->tstate;
		return 1;
	}
	return tstate_advance(w->b, &w->interp, &w->tstate);
}

/* The thread state that runs `frame`, for sites at which no register holds it (3.11 on); 0 when it was not found. */
__noinline u64 tstate_running(struct thread_state *thr, const struct wire_build *b, u64 frame)
{
	struct tstate_walk w = { .b = b, .frame = frame };

	if (!thr || !b)
		return 0;
	if (likely(thr->tstate && tstate_frame(b, thr->tstate) == frame))
		return thr->tstate;
	w.interp = interp_head(b, thr->home);
	bpf_loop(WIRE_MAX_THREADS + WIRE_MAX_INTERPS, tstate_step, &w, 0);
	thr->tstate = w.found;
	if (!w.found)
		proc_of(thr->slot)->stats.unreadable++;
	return w.found;
}

/* Looks whether the process has several interpreters, and whether one compiles traces. */
__noinline int proc_inspect(const struct wire_build *b, u32 slot)
{
	struct interp_walk w = { .b = b };

	if (!b)
		return 0;
	w.interp = interp_head(b, slot);
	bpf_loop(WIRE_MAX_INTERPS, interp_step, &w, 0);
	if (w.n > 1)
		proc_of(proc_of(slot)->home)->several = 1;
	if (w.jit)
		proc_of(slot)->jit = 1;
	return 0;
}

/* The slot of the interpreter with these builtins; 0 when there is none (exec() takes any dict); SLOT_NONE when there is
 * no room for another. */
__noinline u32 interp_slot(const struct wire_build *b, u32 home, u64 builtins)
{
	struct interp_walk w = { .b = b, .builtins = builtins };
	u64 key = key_of(builtins, home);
	struct wire_event_proc *event;
	struct wire_interp *known, fresh = {};

	if (!b || !builtins)
		return 0;
	known = bpf_map_lookup_elem(&interps, &key);
	/* It may have ended, and its memory be another's. */
	if (likely(known && read_u64(known->addr + b->interp_builtins) == builtins &&
		   read_u64(known->addr + b->interp_id) == known->id))
		return known->slot;
	w.interp = interp_head(b, home);
	bpf_loop(WIRE_MAX_INTERPS, interp_step, &w, 0);
	if (!w.found)
		return 0;
	fresh.addr = w.found;
	fresh.id = read_u64(w.found + b->interp_id);
	fresh.slot = !fresh.id			  ? home
		     : next_slot < WIRE_MAX_PROCS ? __sync_fetch_and_add(&next_slot, 1)
						  : WIRE_MAX_PROCS;
	if (fresh.slot >= WIRE_MAX_PROCS || bpf_map_update_elem(&interps, &key, &fresh, BPF_ANY)) {
		proc_of(home)->stats.lost_events++;
		return SLOT_NONE;
	}
	if (fresh.slot == home)
		return home;
	*proc_of(fresh.slot) = *proc_of(home);
	proc_of(fresh.slot)->hits = proc_of(fresh.slot)->open = 0;
	proc_of(fresh.slot)->stats = (struct wire_stats){};
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->type = WIRE_EVENT_INTERP;
		event->slot = fresh.slot;
		event->pid = proc_of(home)->tgid;
		event->parent_slot = home;
		event->interp = fresh.id;
		bpf_ringbuf_submit(event, 0);
	}
	return fresh.slot;
}

/* Moves the thread to the interpreter that a frame belongs to. Negative when there is no room for it. */
static __noinline int thread_switch(struct thread_state *thr, const struct wire_build *b, u64 frame)
{
	u32 slot = interp_slot(b, thr->home, read_u64(frame + b->frame_builtins));

	if (slot == SLOT_NONE)
		return -1;
	if (!slot || slot == thr->slot)
		return 0;
	thr->slot = slot;
	thr->root_frame = 0;
	thread_place(thr, WIRE_MAX_THREADS);
	return 0;
}

static __always_inline int thread_in_interp(struct thread_state *thr, const struct wire_build *b, u64 frame)
{
	return unlikely(proc_of(thr->home)->several) ? thread_switch(thr, b, frame) : 0;
}

#endif
