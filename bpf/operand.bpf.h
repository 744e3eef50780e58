/*
 * operand: finds the object that a variable, or an attribute of one, is now: in the frame's variables, in the globals and
 * builtins, in instances' dicts, inline values and slots. Nothing is called.
 */
#ifndef PYLU_OPERAND_BPF_H
#define PYLU_OPERAND_BPF_H

#include "seen.bpf.h"

/* The object in a word of the frame's variables; enum wire_root_status. */
static __always_inline int local_object(const struct wire_value_layout *v, u32 slot, u64 word, u64 *obj)
{
	u64 type, cell = v->type_cell + proc_of(slot)->bias;

	if (v->stackref_tag && (word & v->stackref_tag) == v->stackref_tag)
		return WIRE_ROOT_UNREADABLE; /* a number of the interpreter's own */
	*obj = word & ~(u64)v->stackref_tag;
	if (!*obj)
		return WIRE_ROOT_UNBOUND;
	if (bpf_probe_read_user(&type, sizeof(type), (void *)(*obj + v->ob_type)))
		return WIRE_ROOT_UNREADABLE;
	if (!v->type_cell || type != cell)
		return WIRE_ROOT_VALUE;
	if (bpf_probe_read_user(obj, sizeof(*obj), (void *)(*obj + v->cell_ref)))
		return WIRE_ROOT_UNREADABLE;
	return *obj ? WIRE_ROOT_VALUE : WIRE_ROOT_UNBOUND;
}

/* Whose variables, and which; what is found. */
struct operand_query {
	u64 frame;
	u64 obj;
	u32 slot;
	u32 operand;
};

/* Finds the object that an operand is now. enum wire_root_status. */
__noinline int operand_read(const struct wire_build *b, const struct wire_value_layout *v, struct operand_query *q)
{
	const struct wire_operand *op;
	u64 word;

	if (!b || !v || !q)
		return WIRE_ROOT_UNREADABLE;
	op = &operands[q->operand & (WIRE_MAX_OPERANDS - 1)];
	q->obj = 0;
	if (op->masked)
		return WIRE_ROOT_MASKED;
	if (op->kind != WIRE_OPERAND_LOCAL)
		return WIRE_ROOT_UNREADABLE;
	if (bpf_probe_read_user(&word, sizeof(word), (void *)(q->frame + v->frame_localsplus + 8ULL * op->index)))
		return WIRE_ROOT_UNREADABLE;
	return local_object(v, q->slot, word, &q->obj);
}

/* Adds the value of an operand to the event. */
static __always_inline int seen_operand(struct seen *e, const struct wire_build *b, const struct wire_value_layout *v,
					u64 frame, u32 operand)
{
	struct operand_query q = { .frame = frame, .slot = e->event.slot, .operand = operand };
	int status = operand_read(b, v, &q);

	return seen_value(e, q.obj, operand, status);
}

struct args_walk {
	struct seen *e;
	const struct wire_value_layout *v;
	u64 masked;
	u32 n;
};

/* bpf_loop callback: one argument. */
static long args_step(u64 i, struct args_walk *w)
{
	u64 obj = 0;
	int status;

	if (i >= w->n)
		return 1;
	status = w->masked >> (i & 63) & 1
			 ? WIRE_ROOT_MASKED
			 : local_object(w->v, w->e->event.slot, w->e->words[i & (SEEN_WORDS - 1)], &obj);
	return seen_value(w->e, obj, WIRE_ROOT_ARG | i, status) != 0;
}

#define CO_VARARGS 4 /* Include/cpython/code.h */
#define CO_VARKEYWORDS 8

/* Adds the arguments of the event's function, which `frame` runs: those of the set bits of `masked` unread. */
__noinline int seen_args(struct seen *e, const struct wire_build *b, const struct wire_value_layout *v, u64 frame,
			 u64 masked)
{
	struct args_walk w = { .e = e, .v = v, .masked = masked };
	u64 code;
	u32 flags;

	if (!e || !b || !v)
		return 0;
	code = e->event.code;
	flags = read_u32(code + b->code_flags);
	w.n = read_u32(code + v->code_argcount) + read_u32(code + v->code_kwonlyargcount) + !!(flags & CO_VARARGS) +
	      !!(flags & CO_VARKEYWORDS);
	if (w.n > SEEN_WORDS) {
		w.n = SEEN_WORDS;
		e->event.flags |= WIRE_SEEN_FULL;
	}
	if (w.n && bpf_probe_read_user(e->words, w.n * 8, (void *)(frame + v->frame_localsplus)))
		return 0;
	bpf_loop(SEEN_WORDS, args_step, &w, 0);
	return 0;
}

#endif
