/*
 * site_frame: the sites of Python up to 3.10, where every frame enters and leaves the evaluation function: behind
 * `tstate->frame = f` in its prologue, and at `tstate->frame = f->f_back`, which _Py_CheckFunctionResult follows
 * (Python/ceval.c).
 *
 * Builds that are optimised at link time have that function inlined, several copies of the way out, some of them far
 * from the rest, and overwrite the frame's register by f_back. There the way out is probed where it begins: at the first
 * emulated instructions behind the last point from which every path leads out and calls nothing any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "addrmap.h"
#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "site_priv.h"

#define PROLOGUE_MAX 160    /* instructions up to `tstate->frame = f` */
#define INSNS_MAX (1 << 17) /* of the evaluation function and its cold parts */
#define PIECE_MAX 4096	    /* of one cold part */
#define LEAVES_MAX 16	    /* copies of the way out */
#define NEAR 12		    /* instructions between the load of f_back, its store, and what follows that */
#define ROUNDS_MAX 64

/* The decoded code, by address. */
struct code {
	struct insn *insns;
	size_t n, room;
	struct addrmap known; /* addresses that are in it */
	bool *leads_out;
};

/* One `tstate->frame = f->f_back`. */
struct leave {
	size_t load; /* index of the instruction that reads f_back */
	uint8_t frame, tstate;
	uint64_t site; /* the first emulated instruction behind it that still has the frame, or 0 */
	uint8_t site_frame, site_tstate;
};

static int enter_site(struct finder *f)
{
	uint32_t arg0 = INSN_REG_MASK(SITE_ARG0), arg1 = INSN_REG_MASK(SITE_ARG1);
	uint64_t at = f->eval;
	struct insn insn;

	for (int i = 0; i < PROLOGUE_MAX && !site_decode(f, at, &insn); i++) {
		if (insn.store && insn.disp == f->layout->tstate_frame && (arg0 | arg1) & INSN_REG_MASK(insn.reg) &&
		    insn.base != 4)
			return site_straight(f, SITE_FRAME_ENTER, "_PyEval_EvalFrameDefault", at + insn.len,
					     INSN_REG_MASK(insn.reg), INSN_REG_MASK(insn.base), false, NULL);
		arg0 = site_follow(arg0, &insn);
		arg1 = site_follow(arg1, &insn);
		at += insn.len;
	}
	return diag_error(-DIAG_NO_SITE, "the place where frames start was not found in build %s",
			  elf_file__build_id(f->elf));
}

static int append(struct code *code, const struct insn *insn)
{
	if (addrmap__add(&code->known, insn->addr, NULL) < 0)
		return -ENOMEM;
	if (code->n == code->room) {
		size_t room = code->room ? code->room * 2 : 16384;
		struct insn *bigger = realloc(code->insns, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		code->insns = bigger;
		code->room = room;
	}
	code->insns[code->n++] = *insn;
	return 0;
}

/* Code outside of the function that it jumps to: a cold part, up to where that ends or joins what is known. */
static int append_piece(struct finder *f, struct code *code, uint64_t at)
{
	struct insn insn;
	uint32_t unused;
	int err = 0;

	for (int i = 0; i < PIECE_MAX && !err && addrmap__get(&code->known, at, &unused) && !site_decode(f, at, &insn);
	     i++) {
		err = append(code, &insn);
		if (insn.flow == INSN_END || insn.flow == INSN_JMP)
			break;
		at += insn.len;
	}
	return err;
}

static int compare_insns(const void *a, const void *b)
{
	uint64_t x = ((const struct insn *)a)->addr, y = ((const struct insn *)b)->addr;

	return x < y ? -1 : x > y;
}

static int collect(struct finder *f, struct code *code)
{
	uint64_t at = f->eval, end = f->eval + f->eval_size;
	struct insn insn;
	int err = 0;

	while (at < end && code->n < INSNS_MAX && !err) {
		if (site_decode(f, at, &insn)) {
			at++;
			continue;
		}
		err = append(code, &insn);
		at += insn.len;
	}
	for (size_t i = 0; i < code->n && code->n < INSNS_MAX && !err; i++) {
		uint64_t target = code->insns[i].target;

		if ((code->insns[i].flow == INSN_JMP || code->insns[i].flow == INSN_JCC) &&
		    (target < f->eval || target >= end))
			err = append_piece(f, code, target);
	}
	if (err)
		return diag_error(-ENOMEM, "out of memory");
	qsort(code->insns, code->n, sizeof(*code->insns), compare_insns);
	return 0;
}

/* The index of the instruction at an address, or n. */
static size_t at_address(const struct code *code, uint64_t addr)
{
	const struct insn key = { .addr = addr };
	const struct insn *found = bsearch(&key, code->insns, code->n, sizeof(key), compare_insns);

	return found ? (size_t)(found - code->insns) : code->n;
}

static bool follows(const struct code *code, size_t i)
{
	return i + 1 < code->n && code->insns[i].addr + code->insns[i].len == code->insns[i + 1].addr;
}

/* What comes behind the store of f_back: a call (of _Py_CheckFunctionResult), or the first thing that function does, to
 * read the thread's exception. Sets leave->site where the frame is still at hand at an emulated instruction. */
static bool confirm(const struct finder *f, const struct code *code, size_t store, struct leave *leave)
{
	uint32_t frame = INSN_REG_MASK(leave->frame), tstate = INSN_REG_MASK(leave->tstate);
	bool confirmed = false;

	for (size_t i = leave->load; i <= store + NEAR && i < code->n; i++) {
		const struct insn *insn = &code->insns[i];

		if (insn->load && insn->disp == f->layout->tstate_exc && insn->base < 16 &&
		    tstate & INSN_REG_MASK(insn->base))
			confirmed = true;
		if (i > store && insn->flow == INSN_CALL)
			confirmed = true;
		if (i > store && insn->emulated && frame && tstate && !leave->site) {
			leave->site = insn->addr;
			leave->site_frame = site_lowest(frame);
			leave->site_tstate = site_lowest(tstate);
		}
		frame = site_follow(frame, insn);
		tstate = site_follow(tstate, insn);
		if (confirmed && i > store)
			return true;
		if ((i > store && insn->flow != INSN_NEXT && insn->flow != INSN_JCC) || !follows(code, i))
			break;
	}
	return confirmed;
}

/* The instruction that stores what `load` read from the frame into a thread state, near behind it; n: there is none. */
static size_t find_store(const struct finder *f, const struct code *code, size_t load)
{
	const struct insn *from = &code->insns[load];

	for (size_t i = load; i < load + NEAR && follows(code, i); i++) {
		const struct insn *insn = &code->insns[i + 1];

		if (insn->store && insn->reg == from->reg && insn->base != from->base && insn->base != 4 &&
		    insn->disp == f->layout->tstate_frame)
			return i + 1;
		if (insn->flow != INSN_NEXT || insn->written & INSN_REG_MASK(from->reg))
			break;
	}
	return code->n;
}

static size_t find_leaves(const struct finder *f, const struct code *code, struct leave *leaves)
{
	size_t n = 0;

	for (size_t i = 0; i < code->n && n < LEAVES_MAX; i++) {
		const struct insn *insn = &code->insns[i];
		struct leave leave = { .load = i, .frame = insn->base };
		size_t store;

		if (!insn->load || insn->disp != f->layout->frame_previous || insn->base >= 16 || insn->base == 4)
			continue;
		store = find_store(f, code, i);
		if (store == code->n)
			continue;
		leave.tstate = code->insns[store].base;
		if (confirm(f, code, store, &leave))
			leaves[n++] = leave;
	}
	return n;
}

/* Marks what leads to one of the leaves on every path, without a call on the way. */
static void mark(struct code *code, const struct leave *leaves, size_t n)
{
	bool changed = true;

	for (size_t i = 0; i < n; i++)
		code->leads_out[leaves[i].load] = true;
	for (int round = 0; changed && round < ROUNDS_MAX; round++) {
		changed = false;
		for (size_t i = code->n; i-- > 0;) {
			const struct insn *insn = &code->insns[i];
			bool next = follows(code, i) && code->leads_out[i + 1], jump = false;

			if (code->leads_out[i] || insn->flow > INSN_JCC)
				continue;
			if (insn->flow != INSN_NEXT) {
				size_t to = at_address(code, insn->target);

				jump = to < code->n && code->leads_out[to];
			}
			if (insn->flow == INSN_NEXT ? next : insn->flow == INSN_JMP ? jump : next && jump) {
				code->leads_out[i] = true;
				changed = true;
			}
		}
	}
}

/* From a point that leads out: the first emulated instruction, or the leave itself. */
static int site_on_the_way(struct finder *f, const struct code *code, size_t i, const struct leave *leave)
{
	const uint32_t kept = INSN_REG_MASK(leave->frame) | INSN_REG_MASK(leave->tstate);

	for (; code->leads_out[i]; i++) {
		const struct insn *insn = &code->insns[i];

		/* The load itself may overwrite the frame, but only behind it. */
		if (insn->emulated ||
		    (insn->load && insn->disp == f->layout->frame_previous && insn->base == leave->frame))
			return site_add(f, SITE_FRAME_LEAVE, "_Py_CheckFunctionResult", insn->addr, leave->frame,
					leave->tstate);
		if (insn->written & kept || !follows(code, i))
			break;
	}
	return diag_error(-DIAG_NO_SITE, "the way out of the evaluation function loses the frame in build %s",
			  elf_file__build_id(f->elf));
}

/* The points at which what leads out begins. A jump there comes from code that may also go elsewhere. */
static int sites_on_the_way(struct finder *f, struct code *code, const struct leave *leaves, size_t n)
{
	bool *entry = calloc(code->n, sizeof(*entry));
	int err = entry ? 0 : diag_error(-ENOMEM, "out of memory");

	mark(code, leaves, n);
	for (size_t i = 0; i < code->n && !err; i++) {
		const struct insn *insn = &code->insns[i];
		size_t to = insn->flow == INSN_JMP || insn->flow == INSN_JCC ? at_address(code, insn->target) : code->n;

		if (code->leads_out[i])
			continue;
		if (to < code->n && code->leads_out[to])
			entry[to] = true;
		if (follows(code, i) && code->leads_out[i + 1])
			entry[i + 1] = true;
	}
	for (size_t i = 0; i < code->n && !err; i++)
		if (entry[i])
			err = site_on_the_way(f, code, i, &leaves[0]);
	free(entry);
	return err;
}

/* A site at the call of _Py_CheckFunctionResult itself has the result at hand: (callable, result, where), from 3.9 on behind a
 * thread state (Objects/call.c). */
static void result_at(struct finder *f, struct site *site)
{
	struct insn insn;

	if (!site_decode(f, site->addr, &insn) && insn.flow == INSN_CALL)
		site->value_reg = f->opmap->minor == 8 ? SITE_ARG1 : SITE_ARG2;
}

static int leave_sites(struct finder *f, struct code *code)
{
	struct leave leaves[LEAVES_MAX];
	size_t n = find_leaves(f, code, leaves);
	bool at_hand = n > 0, alike = true;
	int err = 0;

	for (size_t i = 0; i < n; i++) {
		at_hand &= leaves[i].site != 0;
		alike &= leaves[i].frame == leaves[0].frame && leaves[i].tstate == leaves[0].tstate;
	}
	if (!n || n == LEAVES_MAX || (!at_hand && !alike))
		return diag_error(-DIAG_NO_SITE, "the place where frames are left was found %zu times in build %s", n,
				  elf_file__build_id(f->elf));
	if (!at_hand)
		return sites_on_the_way(f, code, leaves, n);
	for (size_t i = 0; i < n && !err; i++) {
		err = site_add(f, SITE_FRAME_LEAVE, "_Py_CheckFunctionResult", leaves[i].site, leaves[i].site_frame,
			       leaves[i].site_tstate);
		if (!err)
			result_at(f, &f->set->sites[f->set->n - 1]);
	}
	return err;
}

int site_find_frame(struct finder *f)
{
	struct code code = { 0 };
	int err;

	f->set->backend = "frame";
	err = enter_site(f);
	if (err)
		return err;
	err = collect(f, &code);
	code.leads_out = err ? NULL : calloc(code.n + 1, sizeof(bool));
	if (!err && !code.leads_out)
		err = diag_error(-ENOMEM, "out of memory");
	if (!err)
		err = leave_sites(f, &code);
	free(code.leads_out);
	free(code.insns);
	addrmap__clear(&code.known);
	return err;
}
