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
#include "site_usdt.h"

#define STRAIGHT_MAX 96		/* instructions of a straight line that are looked at */
#define HANDLER_MAX 4096	/* bytes of the longest handler; more are harmless */
#define HANDLERS_MAX (16 << 20) /* of all of them: bounds the search */
#define ARG0 7			/* rdi, rsi, rdx: the first arguments of a function */
#define ARG1 6
#define ARG2 2

struct finder {
	const struct elf_file *elf;
	const struct layout *layout;
	const struct opmap *opmap;
	struct insn_decoder *decoder;
	struct site_set *set;
	uint64_t table[256];
	uint8_t frame_reg; /* at every handler's start */
	uint64_t eval, eval_size;
	uint64_t *jumps; /* pairs: source, target of the direct jumps inside the evaluation function */
	size_t njumps;
};

/* Registers that hold one value, followed through copies. */
static uint32_t follow(uint32_t holds, const struct insn *insn)
{
	bool copied = insn->copy_from != INSN_NO_REG && holds & INSN_REG_MASK(insn->copy_from);

	holds &= ~insn->written;
	if (copied && insn->copy_to != INSN_NO_REG)
		holds |= INSN_REG_MASK(insn->copy_to);
	return holds;
}

static uint8_t lowest(uint32_t holds)
{
	return holds ? (uint8_t)__builtin_ctz(holds) : SITE_REG_NONE;
}

static int decode_at(struct finder *f, uint64_t addr, struct insn *insn)
{
	size_t len = 16;
	const uint8_t *code = elf_file__at(f->elf, addr, &len);

	if (!code || !elf_file__is_code(f->elf, addr))
		return -EINVAL;
	return insn_decoder__decode(f->decoder, code, len, addr, insn);
}

static int add_site(struct finder *f, enum site_kind kind, const char *what, uint64_t addr, uint8_t frame_reg,
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
	site->emulated = insn_emulated(code, len);
	f->set->n++;
	return 0;
}

/* The direct jumps in the handlers' code, for the question whether anything jumps into a handler. Optimised builds move
 * the handlers out of the evaluation function's range, but not apart. */
static int collect_jumps(struct finder *f)
{
	uint64_t at = UINT64_MAX, end = 0;
	size_t room = 0;
	struct insn insn;

	for (int op = 0; op < 256; op++) {
		at = f->table[op] < at ? f->table[op] : at;
		end = f->table[op] > end ? f->table[op] : end;
	}
	end += HANDLER_MAX;
	if (end - at > HANDLERS_MAX)
		return diag_error(-DIAG_NO_SITE, "the opcode handlers of build %s lie too far apart",
				  elf_file__build_id(f->elf));

	while (at < end) {
		if (decode_at(f, at, &insn)) {
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

	for (int i = 0; i < STRAIGHT_MAX && !decode_at(f, at, &insn); i++) {
		at += insn.len;
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
	}
	return at;
}

/* Whether code other than the handlers named (whose repetitions are recognised) jumps to an address in (from, to]. */
static bool entered(struct finder *f, uint64_t from, uint64_t to, const char *const *names)
{
	for (size_t i = 0; i < f->njumps; i++) {
		uint64_t source = f->jumps[2 * i], target = f->jumps[2 * i + 1];
		bool known = false;

		if (target <= from || target > to)
			continue;
		for (size_t n = 0; names[n] && !known; n++) {
			int op = opmap__number(f->opmap, names[n]);

			known = op >= 0 && source >= f->table[op] && source < straight_end(f, f->table[op]);
		}
		if (!known)
			return true;
	}
	return false;
}

/* The first emulated instruction of the straight line from `start` at which a register still holds the frame (and one
 * the thread state, where that is known at the start); else the start itself. Where an instrumented handler calls a
 * monitor first, which runs Python code with this frame as its caller, `behind_call` takes an instruction behind that:
 * _Py_call_instrumentation_arg(tstate, event, frame, ...). */
static int straight_site(struct finder *f, enum site_kind kind, const char *what, uint64_t start, uint32_t frame,
			 uint32_t tstate, bool behind_call, const char *const *same)
{
	uint8_t frame0 = lowest(frame), tstate0 = lowest(tstate);
	bool need_tstate = tstate != 0;
	uint64_t at = start;
	struct insn insn;

	for (int i = 0; i < STRAIGHT_MAX && !decode_at(f, at, &insn); i++) {
		if (insn.emulated && frame && (!need_tstate || tstate) && !behind_call) {
			if (same && entered(f, start, at, same))
				break;
			return add_site(f, kind, what, at, lowest(frame), lowest(tstate));
		}
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
		behind_call &= insn.flow != INSN_CALL || !(frame & INSN_REG_MASK(ARG2));
		frame = follow(frame, &insn);
		tstate = follow(tstate, &insn);
		if (!frame)
			break;
		at += insn.len;
	}
	return add_site(f, kind, what, start, frame0, tstate0);
}

/* Whether 256 words are a dispatch table: all code, and exactly the unused opcodes' slots hold one shared address. */
static bool is_table(const struct finder *f, const uint64_t *words)
{
	uint64_t shared = 0, last = 0;
	unsigned distinct = 0;

	for (int op = 0; op < 256; op++)
		if (!f->opmap->names[op]) {
			if (shared && words[op] != shared)
				return false;
			shared = words[op];
		}
	for (int op = 0; op < 256; op++) {
		if (f->opmap->names[op] && words[op] == shared)
			return false;
		distinct += words[op] != last;
		last = words[op];
	}
	return shared && distinct > 90;
}

/* The base register of the stores into the field `frame_instr` with which most handlers begin; SITE_REG_NONE when they
 * agree on none. */
static uint8_t agreed_frame_reg(struct finder *f, const uint64_t *table)
{
	unsigned votes[16] = { 0 }, all = 0, best = 0;

	for (int op = 0; op < 256; op++) {
		uint64_t at = table[op];
		uint32_t changed = 0;
		struct insn insn;

		if (!f->opmap->names[op])
			continue;
		for (int i = 0; i < 16 && !decode_at(f, at, &insn); i++) {
			if (insn.store && insn.disp == f->layout->frame_instr && insn.base < 16 &&
			    !(changed & INSN_REG_MASK(insn.base)) && insn.base != 4) {
				votes[insn.base]++;
				all++;
				break;
			}
			changed |= insn.written;
			if (insn.flow == INSN_END || insn.flow == INSN_JMP)
				break;
			at += insn.len;
		}
	}
	for (unsigned reg = 0; reg < 16; reg++)
		if (votes[reg] > votes[best])
			best = reg;
	return votes[best] < 20 || votes[best] * 10 < all * 9 ? SITE_REG_NONE : (uint8_t)best;
}

/* A table of the right shape is taken for the dispatch table when its handlers store their instruction pointer into the
 * frame, as opcodes do: other switches over opcodes (_PyOpcode_num_popped in debug builds) have the same shape. */
static void take_table(struct finder *f, uint64_t addr, const uint64_t *words)
{
	uint8_t reg = agreed_frame_reg(f, words);

	if (reg == SITE_REG_NONE || f->set->ntables++)
		return;
	f->set->table = addr;
	f->frame_reg = reg;
	memcpy(f->table, words, sizeof(f->table));
}

static int find_table_in(struct finder *f, const struct elf_section *sec)
{
	uint64_t *words, at = (sec->addr + 7) & ~7ULL;
	size_t n = (sec->addr + sec->size - at) / 8, run = 0;

	words = malloc(n * sizeof(*words));
	if (!words)
		return diag_error(-ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		bool code = !elf_file__word(f->elf, at + 8 * i, &words[i]) && elf_file__is_code(f->elf, words[i]);

		run = code ? run + 1 : 0;
		if (run >= 256 && is_table(f, &words[i - 255]))
			take_table(f, at + 8 * (i - 255), &words[i - 255]);
	}
	free(words);
	return 0;
}

/* Finds the dispatch table and the register that holds the frame at every handler's start. -ENOENT, not reported, when there
 * is not just one. */
static int find_table(struct finder *f)
{
	struct elf_section sec;
	int err;

	for (size_t i = 0; i < elf_file__section_count(f->elf); i++) {
		if (elf_file__section(f->elf, i, &sec) || sec.type != SHT_PROGBITS || sec.size < 2048 || !sec.data ||
		    !(sec.flags & SHF_ALLOC) || sec.flags & SHF_EXECINSTR)
			continue;
		err = find_table_in(f, &sec);
		if (err)
			return err;
	}
	return f->set->ntables == 1 ? 0 : -ENOENT;
}

static int handler_sites(struct finder *f, enum site_kind kind, const char *const *names, bool behind_call)
{
	int err = 0, op;

	for (size_t i = 0; names[i] && !err; i++) {
		op = opmap__number(f->opmap, names[i]);
		if (op >= 0)
			err = straight_site(f, kind, names[i], f->table[op], INSN_REG_MASK(f->frame_reg), 0,
					    behind_call && !strncmp(names[i], "INSTRUMENTED_", 13), names);
	}
	return err;
}

/* From `at` along the straight line, over direct jumps, to the first direct call that passes the frame: as its second
 * argument (behind a thread state) or as its first. */
static int call_with_frame(struct finder *f, uint64_t at, uint32_t frame, uint64_t *callee, bool *second)
{
	struct insn insn;

	for (int i = 0; i < STRAIGHT_MAX && !decode_at(f, at, &insn); i++) {
		if (insn.flow == INSN_CALL && frame & (INSN_REG_MASK(ARG0) | INSN_REG_MASK(ARG1))) {
			*callee = insn.target;
			*second = frame & INSN_REG_MASK(ARG1);
			return 0;
		}
		if (insn.flow == INSN_END)
			break;
		frame = follow(frame, &insn);
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return -ENOENT;
}

/* Whether `addr` lies on the straight line of an opcode's handler, direct jumps followed. */
static bool on_line_of(struct finder *f, const char *name, uint64_t addr)
{
	int op = opmap__number(f->opmap, name);
	uint64_t at = op < 0 ? 0 : f->table[op];
	struct insn insn;

	for (int i = 0; op >= 0 && i < STRAIGHT_MAX && !decode_at(f, at, &insn); i++) {
		if (at == addr)
			return true;
		if (insn.flow == INSN_END)
			break;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
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
	uint64_t at = f->eval, end = f->eval + f->eval_size, test = 0, found = 0;
	unsigned n = 0;
	struct insn insn;

	for (; at < end; at += insn.len) {
		if (decode_at(f, at, &insn)) {
			insn.len = 1;
			continue;
		}
		if (insn.test_byte && insn.base == f->frame_reg && insn.disp == f->layout->frame_is_entry) {
			test = at;
		} else if (test && insn.flow == INSN_JCC) {
			if (!on_line_of(f, "RETURN_VALUE", test) && !on_line_of(f, "RETURN_GENERATOR", test)) {
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
	return add_site(f, SITE_FRAME_UNWIND, "exit_unwind", found, f->frame_reg, SITE_REG_NONE);
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
		return straight_site(f, SITE_FRAME_END, "_PyEval_FrameClearAndPop", sym.addr, INSN_REG_MASK(ARG1),
				     INSN_REG_MASK(ARG0), false, NULL);
	if (op < 0 || call_with_frame(f, f->table[op], INSN_REG_MASK(f->frame_reg), &callee, &second) || !second)
		return diag_error(-DIAG_NO_SITE, "the place where frames end was not found in build %s",
				  elf_file__build_id(f->elf));
	return straight_site(f, SITE_FRAME_END, "_PyEvalFrameClearAndPop", callee, INSN_REG_MASK(ARG1),
			     INSN_REG_MASK(ARG0), false, NULL);
}

static int opcode_sites(struct finder *f)
{
	static const char *const resume[] = { "RESUME",		  "RESUME_QUICK",	 "RESUME_CHECK",
					      "RESUME_CHECK_JIT", "INSTRUMENTED_RESUME", NULL };
	static const char *const yield[] = { "YIELD_VALUE", "INSTRUMENTED_YIELD_VALUE", NULL };
	int err;

	f->set->backend = "opcode";
	err = collect_jumps(f);
	if (!err)
		err = handler_sites(f, SITE_OPCODE_RESUME, resume, false);
	if (!err)
		err = handler_sites(f, SITE_OPCODE_YIELD, yield, true);
	return err ? err : end_sites(f);
}

/* To 3.10: the first branch behind `tstate->frame = f` in the evaluation function's prologue, which comes behind the
 * check of the recursion limit. */
static int enter_site(struct finder *f)
{
	uint32_t arg0 = INSN_REG_MASK(ARG0), arg1 = INSN_REG_MASK(ARG1);
	uint64_t at = f->eval;
	struct insn insn;

	for (int i = 0; i < 160 && !decode_at(f, at, &insn); i++) {
		if (insn.store && insn.disp == f->layout->tstate_frame && (arg0 | arg1) & INSN_REG_MASK(insn.reg) &&
		    insn.base != 4)
			return straight_site(f, SITE_FRAME_ENTER, "_PyEval_EvalFrameDefault", at + insn.len,
					     INSN_REG_MASK(insn.reg), INSN_REG_MASK(insn.base), false, NULL);
		arg0 = follow(arg0, &insn);
		arg1 = follow(arg1, &insn);
		at += insn.len;
	}
	return diag_error(-DIAG_NO_SITE, "the place where frames start was not found in build %s",
			  elf_file__build_id(f->elf));
}

/* To 3.10: the call (of _Py_CheckFunctionResult) right behind `tstate->frame = f->f_back`. */
static int leave_site(struct finder *f)
{
	uint8_t back = INSN_NO_REG, frame = INSN_NO_REG, tstate = INSN_NO_REG, found_frame = 0, found_tstate = 0;
	uint64_t at = f->eval, end = f->eval + f->eval_size, found = 0;
	unsigned since = 0, n = 0;
	struct insn insn;

	for (; at < end; at += insn.len) {
		if (decode_at(f, at, &insn)) {
			insn.len = 1;
			continue;
		}
		if (insn.flow == INSN_CALL && tstate != INSN_NO_REG && since < 10) {
			n++;
			found = at;
			found_frame = frame;
			found_tstate = tstate;
		}
		since++;
		if (insn.flow != INSN_NEXT || since > 12)
			back = frame = tstate = INSN_NO_REG;
		if (insn.load && insn.disp == f->layout->frame_previous && insn.reg != insn.base) {
			back = insn.reg;
			frame = insn.base;
			tstate = INSN_NO_REG;
			since = 0;
		} else if (insn.store && back != INSN_NO_REG && insn.reg == back && insn.base != frame &&
			   insn.disp == f->layout->tstate_frame) {
			tstate = insn.base;
		} else if (back != INSN_NO_REG && insn.written & (INSN_REG_MASK(back) | INSN_REG_MASK(frame)) &&
			   tstate == INSN_NO_REG) {
			back = frame = INSN_NO_REG;
		}
	}
	if (n != 1)
		return diag_error(-DIAG_NO_SITE, "the place where frames are left was found %u times in build %s", n,
				  elf_file__build_id(f->elf));
	return add_site(f, SITE_FRAME_LEAVE, "_Py_CheckFunctionResult", found, found_frame, found_tstate);
}

static int frame_sites(struct finder *f)
{
	int err;

	f->set->backend = "frame";
	err = enter_site(f);
	return err ? err : leave_site(f);
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
	return straight_site(f, SITE_CODE_DEALLOC, "code_dealloc", dealloc, INSN_REG_MASK(ARG0), 0, false, NULL);
}

/* 3.15 on, in builds --with-dtrace. -DIAG_NO_SITE is not reported, but the reason given. */
static int usdt_sites(struct finder *f, const char **why)
{
	static const enum site_kind kinds[SITE_USDT_PROBES] = { SITE_USDT_ENTRY, SITE_USDT_RETURN };
	struct site_usdt probes[SITE_USDT_PROBES];
	int err;

	f->set->backend = "usdt";
	err = site_usdt__find(f->elf, f->layout, probes, why);
	for (int i = 0; i < SITE_USDT_PROBES && !err; i++) {
		err = straight_site(f, kinds[i], probes[i].name, probes[i].start, INSN_REG_MASK(ARG0), 0, false, NULL);
		if (!err)
			f->set->sites[f->set->n - 1].semaphore_offset = probes[i].semaphore_offset;
	}
	return err;
}

/* Those at which calls start and end. */
static int call_sites(struct finder *f, const char *backend)
{
	const char *why = NULL;
	int err;

	if (backend && !strcmp(backend, "usdt")) {
		err = usdt_sites(f, &why);
		return !why ? err
			    : diag_error(-DIAG_BACKEND, "the backend 'usdt' cannot be used: build %s %s",
					 elf_file__build_id(f->elf), why);
	}
	if (f->layout->frame_instr == OFF_NONE)
		return frame_sites(f);
	err = find_table(f);
	if (!err)
		return opcode_sites(f);
	if (err == -ENOENT && !backend) {
		err = usdt_sites(f, &why);
		if (!why)
			return err;
		err = -ENOENT;
	}
	return err != -ENOENT ? err
			      : diag_error(-DIAG_NO_SITE, "%s opcode dispatch table of Python %u.%u in build %s%s%s",
					   f->set->ntables ? "more than one" : "no", f->opmap->major, f->opmap->minor,
					   elf_file__build_id(f->elf), why ? ", which " : "", why ? why : "");
}

int site_set__find(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
		   const char *backend, struct site_set *out)
{
	struct finder f = { .elf = elf, .layout = layout, .opmap = opmap, .set = out };
	struct elf_symbol eval;
	int err;

	*out = (struct site_set){ 0 };
	if (elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &eval) || !eval.size || eval.size > (16 << 20))
		return diag_error(-DIAG_NO_SITE, "_PyEval_EvalFrameDefault is not exported by build %s",
				  elf_file__build_id(elf));
	f.eval = eval.addr;
	f.eval_size = eval.size;
	err = insn_decoder__new(&f.decoder);
	if (err)
		return err;
	err = call_sites(&f, backend);
	if (!err)
		err = dealloc_site(&f);
	free(f.jumps);
	insn_decoder__free(f.decoder);
	return err;
}
