/*
 * session_trace_func: what the BPF programs know of functions before their calls are told: which arguments are masked, where
 * the variables of the condition are; and of what is loaded already, that it matches at all.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>

#include "mem.h"
#include "operand.h"
#include "pattern.h"
#include "pycode.h"
#include "pyobj.h"
#include "redact.h"
#include "seen_decode.h"
#include "session_trace_priv.h"
#include "target.h"

/* Which arguments have names that look like secrets'. */
static uint64_t masked_arguments(const struct session *s, const struct pycode *code)
{
	uint64_t masked = 0;

	for (size_t i = 0; i < code->nlocals && i < 64; i++)
		if (redact__matches(s->opts.trace->redact, code->locals[i]))
			masked |= UINT64_C(1) << i;
	return masked;
}

/* The first operand of those that stand for the condition's variables in a function; functions that have them in the same
 * places share them. WIRE_NONE when there is no room for more, or a name is too long. */
static uint32_t condition_operands(struct session *s, const struct pycode *code)
{
	struct trace *t = s->trace;
	struct wire_operand set[2 * WIRE_MAX_TESTS], *known = s->skel->bss->operands;
	size_t at;

	for (size_t i = 0; i < t->ncond; i++)
		if (!operand_fill(code, s->opts.trace->redact, t->cond_names[i], &set[i]))
			return WIRE_NONE;
	for (at = 0; at < t->nsets; at++) {
		size_t same = 0;

		/* But for the hint, which the programs keep. */
		while (same < t->ncond && known[at * t->ncond + same].kind == set[same].kind &&
		       known[at * t->ncond + same].index == set[same].index)
			same++;
		if (same == t->ncond)
			return (uint32_t)(at * t->ncond);
	}
	if ((at + 1) * t->ncond > WIRE_MAX_OPERANDS)
		return WIRE_NONE;
	memcpy(&known[at * t->ncond], set, t->ncond * sizeof(*set));
	t->nsets++;
	return (uint32_t)(at * t->ncond);
}

void session_trace_function(struct session *s, struct session_proc *proc, uint32_t id, uint64_t code, uint64_t globals)
{
	struct seen_decoder *d = session_trace_decoder(s, proc);
	const struct pycode *read = d ? seen_decoder__code(d, code, globals) : NULL;
	struct wire_trace_func func = { .operands = WIRE_NONE, .noperands = (uint32_t)s->trace->ncond };

	if (!read)
		return;
	func.masked = masked_arguments(s, read);
	if (s->trace->ncond)
		func.operands = condition_operands(s, read);
	/* What finds no room there is decided and masked here. */
	bpf_map_update_elem(bpf_map__fd(s->skel->maps.trace_funcs), &id, &func, BPF_ANY);
}

struct preload {
	struct session *s;
	struct session_proc *proc;
};

/* Whether a code object still is what it was when its name was read: its memory may have become another's. */
static bool still_there(const struct session *s, const struct session_proc *proc, const struct pyfunc *f)
{
	const struct layout *l = &s->builds[proc->build].layout;
	uint32_t line, flags;

	return !mem__read_u32(proc->target->mem, f->code + (uint64_t)l->code_firstlineno, &line) && line == f->line &&
	       !mem__read_u32(proc->target->mem, f->code + (uint64_t)l->code_flags, &flags) && flags == f->flags;
}

/* A function that is loaded and matches: it gets its id and its state as if it had been met and decided about. */
static int on_loaded(const struct pyfunc *f, void *ctx)
{
	const struct preload *p = ctx;
	struct session *s = p->s;
	int codes = bpf_map__fd(s->skel->maps.codes);
	uint64_t key = (f->code & ((1ULL << 48) - 1)) | (uint64_t)p->proc->slot << 48;
	struct session_func *func;
	uint32_t id;

	if (!pattern_set__match(s->patterns, f->module, f->qualname) || !bpf_map_lookup_elem(codes, &key, &id))
		return 0;
	id = __atomic_fetch_add(&s->skel->data->next_func, 1, __ATOMIC_RELAXED);
	func = session_func(s, id);
	if (!func)
		return 0;
	func->slot = p->proc->slot;
	func->line = f->line;
	func->generator = f->flags & WIRE_CO_GENERATORS;
	func->matched = true;
	session_func_name(func, f->module, f->qualname, f->file);
	session_trace_function(s, p->proc, id, f->code, 0);
	s->skel->bss->func_state[id] =
		(uint8_t)(WIRE_FUNC_MATCH | WIRE_FUNC_ANNOUNCED | (func->generator ? WIRE_FUNC_GENERATOR : 0));
	if (!func->known || bpf_map_update_elem(codes, &key, &id, BPF_NOEXIST))
		return 0; /* it was met meanwhile */
	if (still_there(s, p->proc, f))
		s->nmatched++;
	else
		bpf_map_delete_elem(codes, &key);
	return 0;
}

void session_trace_preload(struct session *s)
{
	for (size_t i = 0; i < s->nprocs; i++) {
		struct preload p = { s, s->procs[i] };

		if (p.proc->reader && !p.proc->trial && !p.proc->interp && !p.proc->ended)
			pyobj_each_function(p.proc->reader, on_loaded, &p);
	}
}
