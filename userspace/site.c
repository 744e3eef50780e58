/*
 * site: see site.h. Nothing here knows a version: the opcode map says which opcodes there are, the layout where the
 * fields lie, and the shape of the code does the rest. What is found is proved by prove.c before it is believed.
 */
#include "site.h"

#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "diag.h"
#include "elf.h"
#include "insn.h"
#include "layout.h"
#include "opmap.h"
#include "site_priv.h"

#define UNWINDS_MAX 64 /* one is right, and more than one are too many */
#define OPENING_MAX 8  /* instructions with which a handler opens */
#define SAME_MAX 8     /* handlers of one kind */

uint32_t site_follow(uint32_t holds, const struct insn *insn)
{
	bool copied = insn->copy_from != INSN_NO_REG && holds & INSN_REG_MASK(insn->copy_from);

	holds &= ~insn->written;
	if (copied && insn->copy_to != INSN_NO_REG)
		holds |= INSN_REG_MASK(insn->copy_to);
	return holds;
}

uint8_t site_lowest(uint32_t holds)
{
	return holds ? (uint8_t)__builtin_ctz(holds) : SITE_REG_NONE;
}

int site_decode(struct finder *f, uint64_t addr, struct insn *insn)
{
	size_t len = 16;
	const uint8_t *code = elf_file__at(f->elf, addr, &len);

	if (!code || !elf_file__is_code(f->elf, addr))
		return -EINVAL;
	return insn_decoder__decode(f->decoder, code, len, addr, insn);
}

int site_add(struct finder *f, enum site_kind kind, const char *what, uint64_t addr, uint8_t frame_reg,
	     uint8_t tstate_reg)
{
	struct site *site = &f->set->sites[f->set->n];
	size_t len = 16;
	const uint8_t *code = elf_file__at(f->elf, addr, &len);

	for (size_t i = 0; i < f->set->n; i++)
		if (f->set->sites[i].addr == addr) /* two opcodes that share their code */
			return 0;
	if (f->set->n == SITE_MAX || !code || elf_file__file_offset(f->elf, addr, &site->file_offset))
		return diag_error(-DIAG_NO_SITE, "%s at %#llx cannot be probed", what, (unsigned long long)addr);
	site->kind = kind;
	site->what = what;
	site->addr = addr;
	site->frame_reg = frame_reg;
	site->tstate_reg = tstate_reg;
	site->value_reg = SITE_REG_NONE;
	site->value_below = false;
	site->emulated = insn_emulated(code, len);
	f->set->n++;
	return 0;
}

void site_handlers_range(const uint64_t *table, uint64_t *start, uint64_t *end)
{
	*start = UINT64_MAX;
	*end = 0;
	for (int op = 0; op < 256; op++) {
		*start = table[op] < *start ? table[op] : *start;
		*end = table[op] > *end ? table[op] : *end;
	}
	*end += SITE_HANDLER_MAX;
}

int site_collect_jumps(struct finder *f)
{
	uint64_t at, end;
	size_t room = 0;
	struct insn insn;

	/* Optimised builds move the handlers out of the evaluation function's range, but not apart. */
	site_handlers_range(f->table, &at, &end);
	if (end - at > SITE_HANDLERS_MAX)
		return diag_error(-DIAG_NO_SITE, "the opcode handlers of build %s lie too far apart",
				  elf_file__build_id(f->elf));

	while (at < end) {
		if (site_decode(f, at, &insn)) {
			at++;
			continue;
		}
		if (insn.flow == INSN_JMP || insn.flow == INSN_JCC) {
			if (f->njumps == room) {
				uint64_t *bigger =
					realloc(f->jumps, (room = room ? room * 2 : 4096) * 2 * sizeof(*bigger));

				if (!bigger)
					return diag_error(-ENOMEM, "out of memory");
				f->jumps = bigger;
			}
			f->jumps[2 * f->njumps] = insn.addr;
			f->jumps[2 * f->njumps + 1] = insn.target;
			f->njumps++;
		}
		at += insn.len;
	}
	return 0;
}

/* The end of the straight line that starts at `at`: the address behind its last instruction. */
static uint64_t straight_end(struct finder *f, uint64_t at)
{
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		at += insn.len;
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
	}
	return at;
}

/* Whether code other than the handlers named (whose repetitions are recognised) jumps to an address in (from, to]. */
static bool entered(struct finder *f, uint64_t from, uint64_t to, const char *const *names)
{
	uint64_t starts[SAME_MAX], ends[SAME_MAX];
	size_t same = 0;

	for (size_t n = 0; names[n] && same < SAME_MAX; n++) {
		int op = opmap__number(f->opmap, names[n]);

		if (op < 0)
			continue;
		starts[same] = f->table[op];
		ends[same++] = straight_end(f, f->table[op]);
	}
	for (size_t i = 0; i < f->njumps; i++) {
		uint64_t source = f->jumps[2 * i], target = f->jumps[2 * i + 1];
		bool known = false;

		if (target <= from || target > to)
			continue;
		for (size_t n = 0; n < same && !known; n++)
			known = source >= starts[n] && source < ends[n];
		if (!known)
			return true;
	}
	return false;
}

/* Whether a call on the straight line from `start` has the frame as its third argument. */
static bool passes_frame_third(struct finder *f, uint64_t start, uint32_t frame)
{
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, start, &insn); i++) {
		if (insn.flow == INSN_CALL && frame & INSN_REG_MASK(SITE_ARG2))
			return true;
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
		frame = site_follow(frame, &insn);
		start += insn.len;
	}
	return false;
}

int site_straight(struct finder *f, enum site_kind kind, const char *what, uint64_t start, uint32_t frame,
		  uint32_t tstate, bool behind_call, const char *const *same)
{
	uint8_t frame0 = site_lowest(frame), tstate0 = site_lowest(tstate);
	bool need_tstate = tstate != 0, third = behind_call && passes_frame_third(f, start, frame);
	uint64_t at = start;
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		if (insn.emulated && frame && (!need_tstate || tstate) && !behind_call) {
			if (same && entered(f, start, at, same))
				break;
			return site_add(f, kind, what, at, site_lowest(frame), site_lowest(tstate));
		}
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
		behind_call &= insn.flow != INSN_CALL || (third && !(frame & INSN_REG_MASK(SITE_ARG2)));
		frame = site_follow(frame, &insn);
		tstate = site_follow(tstate, &insn);
		if (!frame)
			break;
		at += insn.len;
	}
	return site_add(f, kind, what, start, frame0, tstate0);
}

/*
 * Where a handler has, at its site, what it pops off the value stack first. All handlers have the stack's top in one register at
 * their start; the first that is loaded from the eight bytes below it is the value. It is loaded before the site, and then in
 * the registers that it was copied to, or behind it, and then at the site the top is where it was at the start.
 */
static void popped_value(struct finder *f, uint64_t start, struct site *site)
{
	uint32_t changed = INSN_REG_MASK(f->frame_reg) | INSN_REG_MASK(4), holds = 0;
	uint64_t at = start;
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		if (at == site->addr && holds) {
			site->value_reg = site_lowest(holds);
			return;
		}
		if (insn.load && insn.disp == -8 && insn.base < 16 && !(changed & INSN_REG_MASK(insn.base)) && !holds) {
			if (at >= site->addr) {
				site->value_reg = insn.base;
				site->value_below = true;
				return;
			}
			holds = INSN_REG_MASK(insn.reg);
		} else {
			holds = site_follow(holds, &insn);
		}
		changed |= insn.written;
		if (insn.flow == INSN_END)
			return;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
}

static int handler_sites(struct finder *f, enum site_kind kind, const char *const *names, bool behind_call)
{
	int err = 0, op;

	for (size_t i = 0; names[i] && !err; i++) {
		size_t n = f->set->n;

		op = opmap__number(f->opmap, names[i]);
		if (op >= 0)
			err = site_straight(f, kind, names[i], f->table[op], INSN_REG_MASK(f->frame_reg), 0,
					    behind_call && !strncmp(names[i], "INSTRUMENTED_", 13), names);
		if (!err && kind == SITE_OPCODE_YIELD && f->set->n > n)
			popped_value(f, f->table[op], &f->set->sites[n]);
	}
	return err;
}

/* From `at` along the straight line, over direct jumps, to the first direct call that passes the frame: as its second
 * argument (behind a thread state) or as its first. */
static int call_with_frame(struct finder *f, uint64_t at, uint32_t frame, uint64_t *callee, bool *second)
{
	struct insn insn;

	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		if (insn.flow == INSN_CALL && frame & (INSN_REG_MASK(SITE_ARG0) | INSN_REG_MASK(SITE_ARG1))) {
			*callee = insn.target;
			*second = frame & INSN_REG_MASK(SITE_ARG1);
			return 0;
		}
		if (insn.flow == INSN_END)
			break;
		frame = site_follow(frame, &insn);
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return -ENOENT;
}

static bool tests_is_entry(const struct finder *f, const struct insn *insn)
{
	return insn->test_byte && insn->base == f->frame_reg && insn->disp == f->layout->frame_is_entry;
}

/* Where an opcode's handler tests is_entry: the first such place on its straight line, direct jumps followed. 0: nowhere. */
static uint64_t entry_test_of(struct finder *f, const char *name)
{
	int op = opmap__number(f->opmap, name);
	uint64_t at = op < 0 ? 0 : f->table[op];
	struct insn insn;

	for (int i = 0; op >= 0 && i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		if (tests_is_entry(f, &insn))
			return at;
		if (insn.flow == INSN_END)
			break;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return 0;
}

/* Whether a handler has `addr` among its first instructions: in debug builds SEND and YIELD_VALUE assert is_entry. */
static bool opens_a_handler(struct finder *f, uint64_t addr)
{
	struct insn insn;

	for (int op = 0; op < 256; op++) {
		uint64_t at = f->table[op];

		for (int i = 0; i < OPENING_MAX && at <= addr && !site_decode(f, at, &insn); i++) {
			if (at == addr)
				return true;
			if (insn.flow != INSN_NEXT)
				break;
			at += insn.len;
		}
	}
	return false;
}

/*
 * 3.11: frames entered from C and frames entered from Python end in different functions, so that the returns are taken
 * at their opcode and the unwinds at `exit_unwind`. That is the one place in the evaluation function, apart from the
 * handlers of RETURN_VALUE and RETURN_GENERATOR, that tests the frame's is_entry (Python/ceval.c of 3.11); the branch
 * behind the test is the site.
 */
static int unwind_site(struct finder *f)
{
	const uint64_t of_return = entry_test_of(f, "RETURN_VALUE"),
		       of_generator = entry_test_of(f, "RETURN_GENERATOR");
	uint64_t at = f->eval, end = f->eval + f->eval_size, test = 0, found = 0;
	unsigned n = 0;
	struct insn insn;

	for (; at < end && n < UNWINDS_MAX; at += insn.len) {
		if (site_decode(f, at, &insn)) {
			insn.len = 1;
			continue;
		}
		if (tests_is_entry(f, &insn)) {
			test = at;
		} else if (test && insn.flow == INSN_JCC) {
			if (test != of_return && test != of_generator && !opens_a_handler(f, test)) {
				found = at;
				n++;
			}
			test = 0;
		} else if (insn.flow != INSN_NEXT || insn.written & INSN_REG_MASK(f->frame_reg)) {
			test = 0;
		}
	}
	if (n != 1)
		return diag_error(-DIAG_NO_SITE,
				  "the place where exceptions leave frames was found %u times in build %s", n,
				  elf_file__build_id(f->elf));
	return site_add(f, SITE_FRAME_UNWIND, "exit_unwind", found, f->frame_reg, SITE_REG_NONE);
}

/*
 * Where every frame ends. From 3.13 on the function is exported: _PyEval_FrameClearAndPop(tstate, frame). In 3.12 it is
 * the one that RETURN_VALUE calls: _PyEvalFrameClearAndPop(tstate, frame) (Python/ceval.c).
 */
static int end_sites(struct finder *f)
{
	static const char *const returns[] = { "RETURN_VALUE", NULL };
	struct elf_symbol sym;
	uint64_t callee;
	bool second;
	int err, op = opmap__number(f->opmap, "RETURN_VALUE");

	if (f->layout->frame_is_entry != OFF_NONE) {
		err = handler_sites(f, SITE_FRAME_RETURN, returns, false);
		return err ? err : unwind_site(f);
	}
	if (!elf_file__symbol(f->elf, "_PyEval_FrameClearAndPop", &sym))
		return site_straight(f, SITE_FRAME_END, "_PyEval_FrameClearAndPop", sym.addr, INSN_REG_MASK(SITE_ARG1),
				     INSN_REG_MASK(SITE_ARG0), false, NULL);
	if (op < 0 || call_with_frame(f, f->table[op], INSN_REG_MASK(f->frame_reg), &callee, &second) || !second)
		return diag_error(-DIAG_NO_SITE, "the place where frames end was not found in build %s",
				  elf_file__build_id(f->elf));
	return site_straight(f, SITE_FRAME_END, "_PyEvalFrameClearAndPop", callee, INSN_REG_MASK(SITE_ARG1),
			     INSN_REG_MASK(SITE_ARG0), false, NULL);
}

static int opcode_sites(struct finder *f)
{
	static const char *const resume[] = { "RESUME",		  "RESUME_QUICK",	 "RESUME_CHECK",
					      "RESUME_CHECK_JIT", "INSTRUMENTED_RESUME", NULL };
	static const char *const yield[] = { "YIELD_VALUE", "INSTRUMENTED_YIELD_VALUE", NULL };
	int err;

	f->set->backend = "opcode";
	err = site_find_table(f);
	if (!err)
		err = site_collect_jumps(f);
	if (!err)
		err = handler_sites(f, SITE_OPCODE_RESUME, resume, false);
	if (!err)
		err = handler_sites(f, SITE_OPCODE_YIELD, yield, true);
	return err ? err : end_sites(f);
}

static int dealloc_site(struct finder *f)
{
	struct elf_symbol type;
	uint64_t dealloc;

	if (elf_file__symbol(f->elf, "PyCode_Type", &type) ||
	    elf_file__word(f->elf, type.addr + (uint64_t)f->layout->type_dealloc, &dealloc) ||
	    !elf_file__is_code(f->elf, dealloc))
		return diag_error(-DIAG_NO_SITE, "the deallocator of code objects was not found in build %s",
				  elf_file__build_id(f->elf));
	return site_straight(f, SITE_CODE_DEALLOC, "code_dealloc", dealloc, INSN_REG_MASK(SITE_ARG0), 0, false, NULL);
}

/* The best that the version has or, where a build from 3.15 on lacks what that needs, its static probes. */
static int best_sites(struct finder *f)
{
	struct diag_capture said;
	const char *why;
	int err;

	if (f->layout->frame_instr == OFF_NONE)
		return site_find_frame(f);
	diag_capture__begin(&said);
	err = opcode_sites(f);
	diag_capture__end(&said);
	if (!err)
		return 0;
	*f->set = (struct site_set){ .dispatch = "" };
	if ((err != -DIAG_NO_SITE && err != -DIAG_UNSUPPORTED) || f->layout->usdt_calls == OFF_NONE)
		return diag_error(err, "%s", said.error);
	return !site_find_usdt(f, &why) ? 0 : diag_error(err, "%s; and it %s", said.error, why);
}

static int call_sites(struct finder *f, const char *backend)
{
	const char *why;

	if (!backend)
		return best_sites(f);
	if (!strcmp(backend, "usdt"))
		return !site_find_usdt(f, &why)
			       ? 0
			       : diag_error(-DIAG_BACKEND, "the backend 'usdt' cannot be used: build %s %s",
					    elf_file__build_id(f->elf), why);
	if (!strcmp(backend, "opcode") && f->layout->frame_instr == OFF_NONE)
		return diag_error(-DIAG_BACKEND, "the backend 'opcode' cannot be used with Python %u.%u, only 'frame'",
				  f->opmap->major, f->opmap->minor);
	if (!strcmp(backend, "frame") && f->layout->frame_instr != OFF_NONE)
		return diag_error(
			-DIAG_BACKEND, "the backend 'frame' cannot be used with Python %u.%u, only 'opcode'%s",
			f->opmap->major, f->opmap->minor, f->layout->usdt_calls == OFF_NONE ? "" : " or 'usdt'");
	return !strcmp(backend, "frame") ? site_find_frame(f) : opcode_sites(f);
}

int site_finder__open(struct finder *f)
{
	struct elf_symbol eval;
	size_t len;

	*f->set = (struct site_set){ .dispatch = "" };
	if (elf_file__symbol(f->elf, "_PyEval_EvalFrameDefault", &eval) || !eval.size || eval.size > SITE_HANDLERS_MAX)
		return diag_error(-DIAG_NO_SITE, "_PyEval_EvalFrameDefault is not exported by build %s",
				  elf_file__build_id(f->elf));
	len = eval.size;
	elf_file__at(f->elf, eval.addr, &len);
	f->eval = eval.addr;
	f->eval_size = len; /* what of it is in the file */
	return insn_decoder__new(&f->decoder);
}

void site_finder__close(struct finder *f)
{
	free(f->jumps);
	insn_decoder__free(f->decoder);
}

int site_set__find(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
		   const char *backend, struct site_set *out)
{
	struct finder f = { .elf = elf, .layout = layout, .opmap = opmap, .set = out };
	int err = site_finder__open(&f);

	if (!err)
		err = call_sites(&f, backend);
	if (!err)
		err = dealloc_site(&f);
	site_finder__close(&f);
	return err;
}
