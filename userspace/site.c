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

#define STRAIGHT_MAX 96 /* instructions of a straight line that are looked at */
/* What is searched of a file: more than any build has. */
#define EVAL_MAX (4u << 20)   /* bytes of the evaluation function */
#define DATA_MAX (256u << 20) /* bytes of all data sections together */
#define UNWINDS_MAX 64	      /* one is right, and more than one are too many */
#define SAME_MAX 8	      /* handlers of one kind */
#define ARG0 7		      /* rdi, rsi: the first two arguments of a function */
#define ARG1 6

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

/* The direct jumps inside the evaluation function, for the question whether anything jumps into a handler. */
static int collect_jumps(struct finder *f)
{
	uint64_t at = f->eval, end = f->eval + f->eval_size;
	size_t room = 0;
	struct insn insn;

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

/* The first emulated instruction of the straight line from `start` at which a register still holds the frame (and one
 * the thread state, where that is known at the start); else the start itself. Where an instrumented handler calls a
 * monitor first, which runs Python code with this frame as its caller, `behind_call` takes an instruction behind that. */
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
		behind_call &= insn.flow != INSN_CALL;
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

static void find_table_in(struct finder *f, const struct elf_section *sec)
{
	uint64_t words[512], word,
		at = (sec->addr + 7) & ~7ULL; /* the last 256 words stand in two halves, to be whole */
	size_t n = (sec->addr + sec->size - at) / 8, run = 0;

	for (size_t i = 0; i < n; i++) {
		bool code;

		word = 0;
		code = !elf_file__word(f->elf, at + 8 * i, &word) && elf_file__is_code(f->elf, word);
		words[i % 256] = words[i % 256 + 256] = word;
		run = code ? run + 1 : 0;
		if (run >= 256 && is_table(f, &words[(i + 1) % 256])) {
			if (!f->set->ntables++) {
				f->set->table = at + 8 * (i - 255);
				memcpy(f->table, &words[(i + 1) % 256], sizeof(f->table));
			}
		}
	}
}

static int find_table(struct finder *f)
{
	struct elf_section sec;
	uint64_t searched = 0;

	for (size_t i = 0; i < elf_file__section_count(f->elf); i++) {
		if (elf_file__section(f->elf, i, &sec) || sec.type != SHT_PROGBITS || sec.size < 2048 || !sec.data ||
		    !(sec.flags & SHF_ALLOC) || sec.flags & SHF_EXECINSTR)
			continue;
		searched += sec.size;
		if (searched > DATA_MAX)
			break;
		find_table_in(f, &sec);
	}
	if (f->set->ntables != 1)
		return diag_error(-DIAG_NO_SITE, "%s opcode dispatch table of Python %u.%u in build %s",
				  f->set->ntables ? "more than one" : "no", f->opmap->major, f->opmap->minor,
				  elf_file__build_id(f->elf));
	return 0;
}

/* Every handler stores its instruction pointer into the frame; the base register that most of them use is the one that
 * holds the frame. */
static int find_frame_reg(struct finder *f)
{
	unsigned votes[16] = { 0 }, all = 0, best = 0;

	for (int op = 0; op < 256; op++) {
		uint64_t at = f->table[op];
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
	if (votes[best] < 20 || votes[best] * 10 < all * 9)
		return diag_error(-DIAG_NO_SITE, "the opcode handlers of build %s agree on no register for the frame",
				  elf_file__build_id(f->elf));
	f->frame_reg = (uint8_t)best;
	return 0;
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

	for (; at < end && n < UNWINDS_MAX; at += insn.len) {
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
	static const char *const resume[] = { "RESUME", "RESUME_QUICK", "RESUME_CHECK", "INSTRUMENTED_RESUME", NULL };
	static const char *const yield[] = { "YIELD_VALUE", "INSTRUMENTED_YIELD_VALUE", NULL };
	int err;

	f->set->backend = "opcode";
	err = find_frame_reg(f);
	if (!err)
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

int site_set__find(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
		   struct site_set *out)
{
	struct finder f = { .elf = elf, .layout = layout, .opmap = opmap, .set = out };
	struct elf_symbol eval;
	size_t len;
	int err;

	*out = (struct site_set){ 0 };
	if (elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &eval) || !eval.size || eval.size > EVAL_MAX)
		return diag_error(-DIAG_NO_SITE, "_PyEval_EvalFrameDefault is not exported by build %s",
				  elf_file__build_id(elf));
	len = eval.size;
	elf_file__at(elf, eval.addr, &len);
	f.eval = eval.addr;
	f.eval_size = len; /* what of it is in the file */
	err = insn_decoder__new(&f.decoder);
	if (err)
		return err;
	err = find_table(&f);
	if (!err)
		err = layout->frame_instr != OFF_NONE ? opcode_sites(&f) : frame_sites(&f);
	if (!err)
		err = dealloc_site(&f);
	free(f.jumps);
	insn_decoder__free(f.decoder);
	return err;
}
