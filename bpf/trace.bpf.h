/*
 * trace: what is told of each call, beside its being counted: an event where it starts, ends, yields and goes on, with its
 * arguments, its result or its exception. A call whose start was not told, because the condition or a limit was against it,
 * has no later events either.
 */
#ifndef PYLU_TRACE_BPF_H
#define PYLU_TRACE_BPF_H

#include "cond.bpf.h"
#include "snap.bpf.h"

#define CO_ASYNC_GENERATOR 0x200   /* Include/cpython/code.h */
#define OPCODE(unit) ((unit)&0xff) /* a code unit is the opcode, then its argument */
#define ARGUMENT(unit) ((unit) >> 8)

struct { /* what is not in it is decided by userspace */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_TRACE_FUNCS);
	__type(key, u32);
	__type(value, struct wire_trace_func);
} trace_funcs SEC(".maps");

/* Calls of functions that userspace, busy deciding, had not decided about yet. Those that were not told are lost where it
 * turns out to want the function. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_TRACE_FUNCS);
	__type(key, u32);
	__type(value, struct wire_trace_early);
} trace_early SEC(".maps");

const volatile u32 may_trace; /* set before the programs are loaded; without it they hold nothing of this file */
u32 tracing;		      /* enum wire_tracing */
u64 next_call = 1;	      /* number of a call; 0 is none */

/* Begins an event of a call that is open. What its values lead to is copied by trace_finish: at the end of the program,
 * because the kernel bounds how deeply functions call each other. */
static __always_inline struct seen *trace_begin(struct thread_state *thr, const struct wire_build *b,
						const struct wire_frame *rec, u64 frame, u16 kind)
{
	struct seen *e;

	thr->told_since = bpf_ktime_get_ns();
	e = seen_begin(thr->slot, kind, frame, rec->code);
	if (!e)
		return NULL;
	thr->told = e->index + 1;
	e->event.func = rec->func;
	e->event.call = rec->call;
	e->event.instr = frame_stands(b, frame);
	e->event.globals = read_u64(frame + b->frame_globals);
	return e;
}

/* Whether something is told of a call that is open. */
static __always_inline int is_told(const struct wire_frame *rec)
{
	return may_trace && unlikely(rec->call);
}

/* Sends what was begun. The time that the telling took is none of the target's. */
static __always_inline void trace_finish(struct thread_state *thr, const struct wire_build *b)
{
	u32 at = (thr->told - 1) & (SEEN_SCRATCH - 1);
	struct seen *e = bpf_map_lookup_elem(&seen_scratch, &at);

	thr->told = 0;
	if (!e)
		return;
	seen_walk(e, &value_layouts[b->index & (WIRE_MAX_BUILDS - 1)]);
	seen_send(e);
	*ours_of(thr) += bpf_ktime_get_ns() - thr->told_since;
}

struct trace_operands {
	struct seen *e;
	const struct wire_value_layout *v;
	u64 frame;
	u32 first, n;
};

/* bpf_loop callback: a variable of the condition, which userspace has to decide. */
static long trace_operand(u64 i, struct trace_operands *w)
{
	if (i >= w->n)
		return 1;
	return seen_operand(w->e, w->v, w->frame, w->first + i) != 0;
}

/* What is told of a call at its start; `caller` is the frame above. */
__noinline int trace_arguments(struct seen *e, const struct wire_build *b, const struct wire_trace_func *func,
			       u64 caller, u32 undecided)
{
	struct trace_operands w = { .e = e };

	if (!e || !b || !func)
		return 0;
	w.v = &value_layouts[b->index & (WIRE_MAX_BUILDS - 1)];
	w.frame = e->event.frame;
	seen_args(e, b, w.v, w.frame, func->masked);
	if (undecided) {
		e->event.flags |= WIRE_SEEN_UNDECIDED;
		w.first = func->operands;
		w.n = func->operands == WIRE_NONE ? 0 : func->noperands;
		bpf_loop(2 * WIRE_MAX_TESTS, trace_operand, &w, 0);
	}
	seen_stack(e, b, caller);
	return 0;
}

/* Whether a call of a function is told that nobody has decided about: as long as there is plenty of room; then only its first
 * one, lest functions that are called all the time take the room of all others; and never from what is left for those that are
 * wanted. */
static __noinline int trace_early_call(u32 func)
{
	u64 used = bpf_ringbuf_query(&seen_events, BPF_RB_AVAIL_DATA);
	u64 size = bpf_ringbuf_query(&seen_events, BPF_RB_RING_SIZE);
	struct wire_trace_early *early, none = {};

	if (used < size / 8)
		return 1;
	early = bpf_map_lookup_elem(&trace_early, &func);
	if (!early) {
		bpf_map_update_elem(&trace_early, &func, &none, BPF_NOEXIST);
		early = bpf_map_lookup_elem(&trace_early, &func);
	}
	if (!early) {
		seen_count(lost);
		return 0;
	}
	if (used < size / 8 * 7 && !__sync_fetch_and_add(&early->told, 1))
		return 1;
	__sync_fetch_and_add(&early->untold, 1);
	return 0;
}

/* A call starts; `caller` is the frame above. Calls of a function of which userspace has not decided yet are told without
 * limits, and it drops what does not match. */
__noinline int trace_call(struct thread_state *thr, const struct wire_build *b, struct wire_frame *rec, u64 frame,
			  u64 caller)
{
	struct wire_trace_func unknown = { .operands = WIRE_NONE }, *func;
	int truth = COND_UNDECIDED;
	struct seen *e;
	u32 id;

	if (!thr || !b || !rec || tracing != WIRE_TRACING_CALLS)
		return 0;
	seen_count(hits);
	id = rec->func;
	func = bpf_map_lookup_elem(&trace_funcs, &id);
	if (!func)
		func = &unknown;
	if (func->operands != WIRE_NONE || !cond.nsteps)
		truth = seen_cond_of(&value_layouts[b->index & (WIRE_MAX_BUILDS - 1)], thr->slot, frame,
				     func->operands);
	if (truth == COND_FALSE) {
		seen_count(unmatched);
		return 0;
	}
	if (func_state[rec->func & (WIRE_MAX_FUNCS - 1)] & WIRE_FUNC_MATCH) {
		if (!seen_admit(thr->slot))
			return 0;
	} else if (!trace_early_call(rec->func)) {
		return 0;
	}
	rec->call = __sync_fetch_and_add(&next_call, 1);
	e = trace_begin(thr, b, rec, frame, WIRE_SEEN_CALL);
	if (!e) {
		rec->call = 0;
		return 0;
	}
	e->event.time_ns = rec->start_ns;
	trace_arguments(e, b, func, caller, truth == COND_UNDECIDED);
	return 0;
}

/* The first place of the value stack, behind the variables. */
static __always_inline u64 stack_base(const struct wire_value_layout *v, u64 frame, u64 code)
{
	u64 n;

	if (v->code_nlocalsplus >= 0)
		n = read_u32(code + v->code_nlocalsplus);
	else
		n = read_u32(code + v->code_nlocals) + read_u64(read_u64(code + v->code_cellvars) + v->ob_size) +
		    read_u64(read_u64(code + v->code_freevars) + v->ob_size);
	return frame + v->frame_localsplus + 8 * n;
}

/* What is returned is the only thing on the value stack, or was: it is popped, but left in its place. */
static __always_inline u64 trace_returned(const struct wire_value_layout *v, u64 frame, u64 code)
{
	return read_u64(stack_base(v, frame, code)) & ~(u64)v->stackref_tag;
}

/* RETURN_CONST (3.12, 3.13) has what is returned among the code's constants. Whether what looks like an EXTENDED_ARG before
 * it is one, userspace knows: it gets both. */
__noinline int trace_return(struct seen *e, const struct wire_build *b, const struct wire_value_layout *v)
{
	u16 units[2] = {};
	u64 consts, n;

	if (!e || !b || !v)
		return 0;
	if (b->op_return_const < 0 || bpf_probe_read_user(units, sizeof(units), (void *)(e->event.instr - 2)) ||
	    (OPCODE(units[1]) != b->op_return_const && OPCODE(units[1]) != b->op_return_const_monitored)) {
		seen_value(e, trace_returned(v, e->event.frame, e->event.code), WIRE_ROOT_RESULT, WIRE_ROOT_VALUE);
		return 0;
	}
	consts = read_u64(e->event.code + b->code_consts);
	n = ARGUMENT(units[1]);
	seen_value(e, read_u64(consts + v->tuple_items + 8 * n), WIRE_ROOT_RESULT, WIRE_ROOT_VALUE);
	n |= (u64)ARGUMENT(units[0]) << 8;
	if (OPCODE(units[0]) == b->op_extended_arg && n < read_u64(consts + v->ob_size))
		seen_value(e, read_u64(consts + v->tuple_items + 8 * n), WIRE_ROOT_RESULT, WIRE_ROOT_VALUE);
	return 0;
}

/* To 3.11 what is set may be no exception yet, but its arguments, or nothing; then its type is told too. */
static __always_inline void trace_exception(struct seen *e, const struct wire_build *b,
					    const struct wire_value_layout *v, u64 tstate)
{
	u64 value = read_u64(tstate + v->tstate_exc_value), type;

	type = value ? read_u64(read_u64(value + v->ob_type) + v->type_flags) & TPFLAGS_BASE_EXC : 0;
	seen_value(e, value, WIRE_ROOT_RESULT, value ? WIRE_ROOT_VALUE : WIRE_ROOT_UNBOUND);
	if (!type && b->tstate_exc != v->tstate_exc_value)
		seen_value(e, read_u64(tstate + b->tstate_exc), WIRE_ROOT_RAISED_TYPE, WIRE_ROOT_VALUE);
}

/* A call whose start was told has ended; `tstate` is the thread state where it raised, else 0. */
__noinline int trace_end(struct thread_state *thr, const struct wire_build *b, const struct wire_frame *rec, u64 frame,
			 u64 tstate)
{
	const struct wire_value_layout *v;
	struct seen *e;

	if (!thr || !b || !rec)
		return 0;
	v = &value_layouts[b->index & (WIRE_MAX_BUILDS - 1)];
	e = trace_begin(thr, b, rec, frame, tstate ? WIRE_SEEN_RAISE : WIRE_SEEN_RETURN);
	if (!e)
		return 0;
	e->event.duration_ns = rec->active_ns;
	if (rec->untimed)
		e->event.flags |= WIRE_SEEN_PARTIAL;
	if (tstate)
		trace_exception(e, b, v, tstate);
	else
		trace_return(e, b, v);
	return 0;
}

/* A generator goes on. */
__noinline int trace_resume(struct thread_state *thr, const struct wire_build *b, const struct wire_frame *rec,
			    u64 frame)
{
	if (thr && b && rec)
		trace_begin(thr, b, rec, frame, WIRE_SEEN_RESUME);
	return 0;
}

/* To 3.10 a generator that has yielded holds the value stack's top, and what was popped there last is the value; unless it
 * delegates: then what was popped was sent to it. */
static __always_inline u64 trace_yielded_there(const struct wire_build *b, const struct wire_value_layout *v, u64 frame,
					       u64 code)
{
	u64 at = frame_stands(b, frame), bytes = read_u64(code + b->code_code) + v->bytes_data;

	if (read_u8(bytes + (b->frame_stacktop >= 0 ? at : 2 * at)) != b->op_yield_value)
		return 0;
	if (b->frame_stacktop >= 0)
		return read_u64(read_u64(frame + b->frame_stacktop));
	return read_u64(stack_base(v, frame, code) + 8ULL * read_u32(frame + b->frame_stackdepth));
}

#define STACK_WORDS 256 /* of a value stack that are looked at */

struct stack_search {
	u64 at;
	u64 value;
	u32 found;
};

/* bpf_loop callback: whether the value is in this place of the value stack. */
static long stack_has(u64 i, struct stack_search *w)
{
	u64 word;

	/* One by one: a frame may lie at the end of what is mapped. */
	if (bpf_probe_read_user(&word, sizeof(word), (void *)(w->at + 8 * i)))
		return 1;
	w->found = word == w->value;
	return w->found;
}

/* Whether there is an object whose class is one: Py_TPFLAGS_READY, Include/object.h. */
static __always_inline int looks_like_object(const struct wire_value_layout *v, u64 obj)
{
	return read_u64(read_u64(obj + v->ob_type) + v->type_flags) >> 12 & 1;
}

/* What an asynchronous generator yields is wrapped, so that it is told from what it awaits (Objects/genobject.c): the value itself. */
static __always_inline u64 unwrapped(const struct wire_build *b, const struct wire_value_layout *v, u64 code, u64 value)
{
	const char wrapper[24] = "async_generator_wrapped"; /* and "_value" */
	char name[24] = {};

	if (!(read_u32(code + b->code_flags) & CO_ASYNC_GENERATOR) ||
	    bpf_probe_read_user(name, sizeof(name) - 1,
				(void *)read_u64(read_u64(value + v->ob_type) + v->type_name)) ||
	    ((u64 *)name)[0] != ((u64 *)wrapper)[0] || ((u64 *)name)[1] != ((u64 *)wrapper)[1] ||
	    ((u64 *)name)[2] != ((u64 *)wrapper)[2])
		return value;
	return read_u64(value + v->ob_type + 8);
}

/* A generator yields `value`, as a register had it, or 0. It was on the value stack just now, and is left in its place: what
 * is not there is not believed, but of a frame that delegates up to 3.10. */
__noinline int trace_yield(struct thread_state *thr, const struct wire_build *b, const struct wire_frame *rec,
			   u64 frame, u64 value)
{
	const struct wire_value_layout *v;
	struct stack_search search = {};
	struct seen *e;

	if (!thr || !b || !rec)
		return 0;
	v = &value_layouts[b->index & (WIRE_MAX_BUILDS - 1)];
	e = trace_begin(thr, b, rec, frame, WIRE_SEEN_YIELD);
	if (!e)
		return 0;
	search.at = stack_base(v, frame, rec->code);
	search.value = b->frame_instr < 0 ? trace_yielded_there(b, v, frame, rec->code) : value;
	if (search.value) {
		bpf_loop(STACK_WORDS, stack_has, &search, 0);
	} else if (value) {
		search.value = value;
		search.found = looks_like_object(v, value);
	}
	search.value &= ~(u64)v->stackref_tag;
	seen_value(e, search.found ? unwrapped(b, v, rec->code, search.value) : 0, WIRE_ROOT_RESULT,
		   search.found ? WIRE_ROOT_VALUE : WIRE_ROOT_UNREADABLE);
	return 0;
}

#endif
