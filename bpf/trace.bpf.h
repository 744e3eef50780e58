/*
 * trace: what is told of the calls themselves, beside their counting: an event where one starts, ends, yields and goes on,
 * with its arguments, its result or its exception. A call whose start was not told, because the condition or a limit was
 * against it, has no later events either.
 */
#ifndef PYLU_TRACE_BPF_H
#define PYLU_TRACE_BPF_H

#include "pyread.bpf.h"
#include "seen.bpf.h"

u32 tracing;	   /* enum wire_tracing; read for matching functions only */
u64 next_call = 1; /* 0 is none */

/* The time that telling took is none of the target's. */
static __always_inline void trace_cost(const struct thread_state *thr, u64 begin)
{
	*ours_of(thr) += bpf_ktime_get_ns() - begin;
}

/* The first place of the value stack, behind the variables. */
static __always_inline u64 frame_stack(const struct wire_build *b, const struct wire_value_layout *v, u64 frame,
				       u64 code)
{
	u32 n;

	if (v->code_nlocalsplus >= 0)
		n = read_u32(code + v->code_nlocalsplus);
	else
		n = read_u32(code + v->code_nlocals) + (u32)read_u64(read_u64(code + v->code_cellvars) + b->ob_size) +
		    (u32)read_u64(read_u64(code + v->code_freevars) + b->ob_size);
	return frame + v->frame_localsplus + 8 * (u64)n;
}

/* What is returned is the last thing on the value stack: popped, but left in its place. RETURN_CONST (3.12, 3.13) has it
 * among the code's constants; whether what looks like an EXTENDED_ARG before it is one, userspace knows: it gets both. */
static __noinline int trace_returned(struct seen *e, const struct wire_build *b, const struct wire_value_layout *v,
				     u64 frame, u64 code)
{
	u64 instr, consts, n;
	u16 units[2];
	u8 op;

	if (!e || !b || !v)
		return 0;
	if (b->op_return_const >= 0) {
		instr = frame_instr(b, frame);
		if (bpf_probe_read_user(units, sizeof(units), (void *)(instr - 2)))
			return seen_value(e, 0, WIRE_ROOT_RETURN, WIRE_ROOT_UNREADABLE);
		op = (u8)units[1];
		if (op == b->op_return_const || op == b->op_instrumented_return_const) {
			consts = read_u64(code + b->code_consts);
			n = units[1] >> 8;
			seen_value(e, read_u64(consts + b->tuple_items + 8 * n), WIRE_ROOT_RETURN, WIRE_ROOT_VALUE);
			n |= units[0] & 0xff00;
			if ((u8)units[0] == b->op_extended_arg && n < read_u64(consts + b->ob_size))
				seen_value(e, read_u64(consts + b->tuple_items + 8 * n), WIRE_ROOT_RETURN,
					   WIRE_ROOT_VALUE);
			return 0;
		}
	}
	seen_value(e, read_u64(frame_stack(b, v, frame, code)) & ~(u64)v->stackref_tag, WIRE_ROOT_RETURN,
		   WIRE_ROOT_VALUE);
	return 0;
}

#endif
