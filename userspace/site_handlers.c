/*
 * site_handlers: see site_handlers.h. In front of the site, on the straight line from the handler's start, nothing may
 * enter, and nothing may write to memory that holds variables: where there is no such instruction that the kernel emulates,
 * it is the handler's first, which dispatches alone lead to.
 */
#include "site_handlers.h"

#include <errno.h>
#include <string.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "site_priv.h"

#define PATHS_MAX 64	/* branches that are still to be followed */
#define PASSED_MAX 1024 /* instructions on the way to a second half */
#define SECONDS_MAX 8	/* places in a handler where its second half begins */
#define MERGE_MAX 16	/* instructions with which a handler leads on to another */
#define UNIT 2		/* bytes of a code unit: opcode, argument */

/* A place in a handler, and what is known there. */
struct spot {
	uint64_t addr;
	uint8_t instr_reg;
	int64_t instr_by; /* instr_reg and this: the unit */
};

struct spots {
	struct spot at[SECONDS_MAX];
	size_t n;
};

static bool is_among(const struct spots *spots, uint64_t addr)
{
	for (size_t i = 0; i < spots->n; i++)
		if (spots->at[i].addr == addr)
			return true;
	return false;
}

/* ---- the site on the straight line from a spot ---- */

/* Whether dispatches lead to `at`. */
static bool is_start(const struct finder *f, uint64_t at)
{
	for (int op = 0; op < 256; op++)
		if (f->table[op] == at || f->other[op] == at)
			return true;
	return false;
}

/* Where the handlers of two opcodes become one: the start of the other one, to which that at `at` only leads on. Else `at`. */
static uint64_t merged_start(struct finder *f, uint64_t at)
{
	uint64_t start = at;
	struct insn insn;

	for (int i = 0; i < MERGE_MAX && !site_decode(f, at, &insn); i++) {
		if (insn.flow != INSN_JMP && (insn.flow != INSN_NEXT || insn.emulated))
			break;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
		start = is_start(f, at) ? at : start;
	}
	return start;
}

/* Whether a jump, or a dispatch, leads into (from, to]. */
static bool is_entered(const struct finder *f, uint64_t from, uint64_t to)
{
	for (size_t i = 0; i < f->njumps; i++)
		if (f->jumps[2 * i + 1] > from && f->jumps[2 * i + 1] <= to)
			return true;
	for (int op = 0; op < 256; op++)
		if ((f->table[op] > from && f->table[op] <= to) || (f->other[op] > from && f->other[op] <= to))
			return true;
	return false;
}

/* Whether it may change a variable. Values are pushed onto the stack, and words of the frame and of the C stack written, at
 * constant distances from where registers pointed before; variables are numbered, so their addresses are computed. */
static bool changes_variables(const struct site_flow *flow, const struct insn *insn)
{
	return insn->flow == INSN_CALL_INDIRECT ||
	       (insn->overwrites &&
		(insn->written_base == INSN_NO_REG || flow->regs[insn->written_base].origin == INSN_NO_REG));
}

/* Whether it reads which frame is the caller's: that is soon the thread's current one. */
static bool leaves_frame(const struct finder *f, const struct site_flow *flow, const struct insn *insn)
{
	return insn->load && f->frame_reg != SITE_REG_NONE && flow->regs[insn->base].origin == f->frame_reg &&
	       flow->regs[insn->base].by + insn->disp == f->layout->frame_previous;
}

/* The first emulated instruction from a spot on; false when there is none that serves, or none before a `stop`. */
static bool emulated_spot(struct finder *f, const struct spot *from, const struct spots *stops, struct spot *out)
{
	struct site_flow flow;
	struct insn insn;
	int64_t by;

	site_flow__begin(&flow);
	out->addr = from->addr;
	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, out->addr, &insn); i++) {
		if (is_among(stops, out->addr))
			return false;
		if (insn.emulated) {
			out->instr_reg = site_flow__holder(&flow, from->instr_reg, &by);
			out->instr_by = from->instr_by - by;
			return out->instr_reg != SITE_REG_NONE && !is_entered(f, from->addr, out->addr);
		}
		if (insn.flow == INSN_END || changes_variables(&flow, &insn) || leaves_frame(f, &flow, &insn))
			return false;
		site_flow__pass(&flow, &insn);
		out->addr += insn.len;
	}
	return false;
}

/* ---- the second half of a superinstruction ---- */

struct search {
	struct {
		uint64_t at;
		struct site_flow flow;
	} paths[PATHS_MAX];
	size_t npaths;
	struct {
		uint64_t at, next, target; /* where it leads; 0: nowhere */
		bool leads;		   /* to a second half */
	} passed[PASSED_MAX];
	size_t npassed;
	struct spots found;
	bool full; /* there was no room for one */
};

static bool was_passed(const struct search *s, uint64_t at)
{
	for (size_t i = 0; i < s->npassed; i++)
		if (s->passed[i].at == at)
			return true;
	return false;
}

/* Whether it reads the second unit's argument, with which the second half begins, or all of that unit. The unit behind it
 * is the one that the handler dispatches to. */
static bool begins_second(const struct finder *f, const struct site_flow *flow, const struct insn *insn)
{
	const struct site_value *base;

	if (!insn->narrow)
		return false;
	base = &flow->regs[insn->base];
	return base->origin == f->instr_reg &&
	       base->by + insn->disp == f->instr_by + UNIT + (insn->narrow == 1 ? 1 : 0);
}

static void found_second(struct search *s, const struct insn *insn)
{
	s->full |= s->found.n == SECONDS_MAX;
	if (!s->full)
		s->found.at[s->found.n++] = (struct spot){ .addr = insn->addr,
							   .instr_reg = insn->base,
							   .instr_by = insn->disp - (insn->narrow == 1 ? 1 : 0) };
}

static void follow_path(struct finder *f, struct search *s, uint64_t at, struct site_flow *flow)
{
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && s->npassed < PASSED_MAX; i++) {
		if (is_among(&s->found, at) || site_decode(f, at, &insn))
			return;
		/* Looked for first: there may be a way that leads here over a place on the stack, which is not followed. */
		if (begins_second(f, flow, &insn)) {
			found_second(s, &insn);
			return;
		}
		if (was_passed(s, at))
			return;
		s->passed[s->npassed].at = at;
		s->passed[s->npassed].next = insn.flow == INSN_END || insn.flow == INSN_JMP ? 0 : at + insn.len;
		s->passed[s->npassed].leads = false;
		s->passed[s->npassed++].target = insn.flow == INSN_JMP || insn.flow == INSN_JCC ? insn.target : 0;
		if (insn.flow == INSN_END)
			return;
		if (insn.flow == INSN_JCC && s->npaths < PATHS_MAX) {
			s->paths[s->npaths].at = insn.target;
			s->paths[s->npaths++].flow = *flow;
		}
		site_flow__pass(flow, &insn);
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
}

static bool leads(const struct search *s, uint64_t at)
{
	for (size_t i = 0; i < s->npassed; i++)
		if (s->passed[i].at == at)
			return s->passed[i].leads;
	return is_among(&s->found, at);
}

/* Marks what was passed on the way to a second half. */
static void mark_leading(struct search *s)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = s->npassed; i-- > 0;)
			if (!s->passed[i].leads && (leads(s, s->passed[i].next) || leads(s, s->passed[i].target)))
				s->passed[i].leads = more = true;
	}
}

/* Whether code other than this handler's jumps to `at`. */
static bool is_shared(const struct finder *f, const struct search *s, uint64_t at)
{
	for (size_t i = 0; i < f->njumps; i++)
		if (f->jumps[2 * i + 1] == at && !was_passed(s, f->jumps[2 * i]))
			return true;
	return false;
}

/* Whether other code leads to this handler's second half: that would be counted with it. */
static bool any_shared(const struct finder *f, const struct search *s)
{
	for (size_t i = 0; i < s->npassed; i++)
		if (s->passed[i].leads && is_shared(f, s, s->passed[i].at))
			return true;
	for (size_t i = 0; i < s->found.n; i++)
		if (is_shared(f, s, s->found.at[i].addr))
			return true;
	return false;
}

/* Where a handler has done its first half and begins with the second: one place, or several where the compiler made the
 * second half several times. None when it cannot be told. */
static void find_seconds(struct finder *f, uint64_t start, struct spots *out)
{
	static struct search s; /* too large for a stack */
	struct site_flow flow;

	s.npaths = s.npassed = s.found.n = 0;
	s.full = false;
	site_flow__begin(&flow);
	follow_path(f, &s, start, &flow);
	while (s.npaths) {
		flow = s.paths[--s.npaths].flow;
		follow_path(f, &s, s.paths[s.npaths].at, &flow);
	}
	mark_leading(&s);
	out->n = 0;
	if (!s.full && !any_shared(f, &s))
		*out = s.found;
}

/* ---- opcodes and their forms ---- */

int site_handlers__base(const struct opmap *opmap, uint8_t op)
{
	const char *name = opmap->names[op];

	if (!strcmp(name, "INSTRUMENTED_LINE") || !strcmp(name, "INSTRUMENTED_INSTRUCTION") ||
	    !strcmp(name, "ENTER_EXECUTOR") || !strcmp(name, "DO_TRACING") || !strcmp(name, "TRACE_RECORD"))
		return -1;
	if (!strncmp(name, "INSTRUMENTED_", 13)) {
		int base = opmap__number(opmap, name + 13);

		return base < 0 ? -1 : base;
	}
	return opmap->base[op] ? opmap->base[op] : op;
}

/* The opcode of a superinstruction's second half (A__B of 3.11 and 3.12), or -1. */
static int second_of(const struct opmap *opmap, int op)
{
	const char *second = strstr(opmap->names[op], "__");
	int number = second ? opmap__number(opmap, second + 2) : -1;

	return number < 0 ? -1 : site_handlers__base(opmap, (uint8_t)number);
}

/*
 * When an instruction is specialised and runs again. 3.11: the _ADAPTIVE forms (the others run again in their basic form where
 * they miss: `miss` in Python/ceval.c). 3.12 on: all forms, at their first execution or a miss. The counter has then 0 in its upper twelve bits (ADAPTIVE_BACKOFF_BITS of Include/internal/pycore_code.h), and from 3.13 on
 * is below UNREACHABLE_BACKOFF of Include/internal/pycore_backoff.h. JUMP_BACKWARD from 3.14 on: always, for it becomes another
 * form. Instrumented ones never: they stop the counter first.
 */
static void set_repeats(const struct opmap *opmap, struct site_handler *h)
{
	const char *name = opmap->names[h->op];
	bool is_form = opmap->base[h->op], has_forms = is_form;

	for (int op = 0; op < 256; op++)
		has_forms |= opmap->names[op] && opmap->base[op] == h->op;
	h->counted = !h->second && opmap->caches[h->base] && has_forms && strncmp(name, "INSTRUMENTED_", 13);
	if (!h->counted)
		return;
	if (opmap->minor >= 14 && !strcmp(opmap->names[h->base], "JUMP_BACKWARD")) {
		h->repeats = !is_form;
		h->counter_below = is_form ? 0 : UINT16_MAX + 1;
		return;
	}
	h->repeats = opmap->minor > 11 || strstr(name, "_ADAPTIVE");
	h->misses = opmap->minor == 11 && is_form && !h->repeats;
	h->counter_below = opmap->minor < 13 ? 16 : opmap->minor < 15 ? 15 : 7;
}

static int add(struct finder *f, struct site_handlers *out, const struct spot *start, const struct spots *stops, int op,
	       int base, bool second)
{
	struct site_handler *h = &out->sites[out->n];
	struct spot at;
	bool emulated = emulated_spot(f, start, stops, &at);

	if (!emulated)
		at = *start;
	for (size_t i = 0; i < out->n; i++)
		if (out->sites[i].addr == at.addr) /* two opcodes that share their code */
			return 0;
	if (out->n == SITE_HANDLERS_SITES || at.instr_by != (int32_t)at.instr_by ||
	    elf_file__file_offset(f->elf, at.addr, &h->file_offset))
		return diag_error(-DIAG_NO_SITE, "%s at %#llx cannot be probed", f->opmap->names[op],
				  (unsigned long long)at.addr);
	h->op = (uint8_t)op;
	h->base = (uint8_t)base;
	h->second = second;
	h->emulated = emulated;
	h->addr = at.addr;
	h->instr_reg = at.instr_reg;
	h->instr_by = (int32_t)at.instr_by;
	set_repeats(f->opmap, h);
	out->n++;
	out->stepped += !emulated;
	return 0;
}

/* The sites in the handler of an opcode that starts at `at`. */
static int add_handler(struct finder *f, struct site_handlers *out, int op, uint64_t at, const bool *wanted)
{
	struct spot start = { .addr = merged_start(f, at), .instr_reg = f->instr_reg, .instr_by = f->instr_by };
	int base = site_handlers__base(f->opmap, (uint8_t)op), second = second_of(f->opmap, op), err = 0;
	bool first = base >= 0 && wanted[base];
	struct spots seconds = { .n = 0 }, none = { .n = 0 };

	if (second >= 0 && (first || wanted[second])) {
		find_seconds(f, start.addr, &seconds);
		if (!seconds.n)
			return diag_error(-DIAG_NO_SITE,
					  "where %s begins with its second half was not found in build %s",
					  f->opmap->names[op], elf_file__build_id(f->elf));
	}
	if (first)
		err = add(f, out, &start, &seconds, op, base, false);
	for (size_t i = 0; i < seconds.n && wanted[second] && !err; i++)
		err = add(f, out, &seconds.at[i], &none, op, second, true);
	return err;
}

static int find(struct finder *f, const bool *wanted, struct site_handlers *out)
{
	int err = site_find_table(f);

	if (err)
		return err;
	f->instr_reg = site_agreed_instr(f, f->table, &f->instr_by);
	if (f->instr_reg == SITE_REG_NONE)
		return diag_error(-DIAG_NO_SITE,
				  "the register that points to the running instruction was not found in build %s",
				  elf_file__build_id(f->elf));
	err = site_collect_jumps(f);
	/* To 3.10 a frame's first instruction, and all while it is traced, are dispatched by a switch. */
	if (!err && f->layout->frame_instr == OFF_NONE)
		err = site_find_other(f);
	for (int op = 0; op < 256 && !err; op++) {
		if (!f->opmap->names[op])
			continue;
		err = add_handler(f, out, op, f->table[op], wanted);
		if (!err && f->other[op])
			err = add_handler(f, out, op, f->other[op], wanted);
	}
	return err;
}

int site_set__find_handlers(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
			    const uint8_t *ops, size_t nops, struct site_handlers *out)
{
	struct site_set set;
	struct finder f = { .elf = elf, .layout = layout, .opmap = opmap, .set = &set };
	bool wanted[256] = { false };
	int err;

	*out = (struct site_handlers){ .n = 0 };
	for (size_t i = 0; i < nops; i++) {
		if (!opmap->names[ops[i]] || site_handlers__base(opmap, ops[i]) != ops[i])
			return diag_error(-EINVAL, "opcode %u of Python %u.%u cannot be watched", ops[i], opmap->major,
					  opmap->minor);
		wanted[ops[i]] = true;
	}
	err = site_finder__open(&f);
	if (!err)
		err = find(&f, wanted, out);
	site_finder__close(&f);
	return err;
}

bool site_handlers__hidden(const struct opmap *opmap, uint8_t before, uint8_t op)
{
	/* Forms that execute what follows, or skip it as if they had: Python/ceval.c and Python/bytecodes.c. How the names of
	 * the two begin; `form` tells that the version has it. */
	static const struct {
		const char *form, *before, *op;
	} hiding[] = {
		{ "BINARY_OP_INPLACE_ADD_UNICODE", "BINARY_OP", "STORE_FAST" },
		{ "COMPARE_OP_INT_JUMP", "COMPARE_OP", "POP_JUMP_" },
		{ "PRECALL_NO_KW_LEN", "PRECALL", "CALL" },
		{ "CALL_NO_KW_LIST_APPEND", "CALL", "POP_TOP" },
		{ "CALL_LIST_APPEND", "CALL", "POP_TOP" },
		{ "NOT_TAKEN", "POP_JUMP_", "NOT_TAKEN" },
	};
	const char *first = opmap->names[before], *second = opmap->names[op];

	for (size_t i = 0; first && second && i < sizeof(hiding) / sizeof(hiding[0]); i++)
		if (opmap__number(opmap, hiding[i].form) >= 0 &&
		    !strncmp(first, hiding[i].before, strlen(hiding[i].before)) &&
		    !strncmp(second, hiding[i].op, strlen(hiding[i].op)))
			return true;
	return false;
}
