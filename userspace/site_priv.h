/*
 * site_priv: what the files of the search for sites share: one search, and the steps of which each kind of site is made.
 */
#ifndef PYLU_SITE_PRIV_H
#define PYLU_SITE_PRIV_H

#include "insn.h"
#include "site.h"

#define SITE_STRAIGHT_MAX 96  /* instructions of a straight line that are looked at */
#define SITE_HANDLER_MAX 4096 /* bytes of the longest handler; more are harmless */
/* What is searched of a file: more than any build has. */
#define SITE_HANDLERS_MAX (4 << 20) /* bytes of all handlers, or of the evaluation function */
#define SITE_DATA_MAX (256u << 20)  /* bytes of all data sections together */

/* rdi, rsi, rdx: the first arguments of a function. */
#define SITE_ARG0 7
#define SITE_ARG1 6
#define SITE_ARG2 2

struct finder {
	const struct elf_file *elf;
	const struct layout *layout;
	const struct opmap *opmap;
	struct insn_decoder *decoder;
	struct site_set *set;
	uint64_t table[256];
	uint64_t other[256];  /* to 3.10: where a switch leads that serves where the table does not, else 0 */
	uint8_t frame_reg;    /* at every handler's start */
	unsigned ncandidates; /* tables of the right shape that were looked at */
	bool switches;	      /* a table of a switch over opcodes was found */
	uint64_t eval, eval_size;
	uint64_t *jumps; /* pairs: source, target of the direct jumps in the handlers' code */
	size_t njumps;
	uint8_t instr_reg; /* plus instr_by, at every handler's start: the code unit that is executed; see site_flow.c */
	int64_t instr_by;
};

/* What a register holds: what `origin` held at the start of a walk, and `by`; origin INSN_NO_REG: something else. */
struct site_value {
	uint8_t origin;
	int64_t by;
};

/* What registers hold on the way along some code. */
struct site_flow {
	struct site_value regs[16];
	struct site_value
		opcodes[16]; /* where in memory the opcode stands that is in the low byte, or from a table in all */
};

/* site_flow.c: a walk begins; an instruction is passed. */
void site_flow__begin(struct site_flow *flow);
void site_flow__pass(struct site_flow *flow, const struct insn *insn);

/* The lowest register that holds what `origin` held and a constant, which is *by; SITE_REG_NONE when none does. */
uint8_t site_flow__holder(const struct site_flow *flow, uint8_t origin, int64_t *by);

/* Which register points to the code unit that is executed at the start of a table's handlers, and how far in front of it or
 * behind: by the dispatches with which they end. SITE_REG_NONE when they agree on none. */
uint8_t site_agreed_instr(struct finder *f, const uint64_t *table, int64_t *by);

/* A search begins. 0, or a code that was reported; site_finder__close in any case. */
int site_finder__open(struct finder *f);
void site_finder__close(struct finder *f);

/* Fills in `jumps`. 0, or a code that was reported. */
int site_collect_jumps(struct finder *f);

/* The registers that hold a value behind an instruction, of those that did before it: copies are followed. */
uint32_t site_follow(uint32_t holds, const struct insn *insn);

/* The lowest of some registers, or SITE_REG_NONE. */
uint8_t site_lowest(uint32_t holds);

/* The instruction at an address of the file. 0, or -EINVAL, not reported. */
int site_decode(struct finder *f, uint64_t addr, struct insn *insn);

/* From the first handler of a table to behind the last. */
void site_handlers_range(const uint64_t *table, uint64_t *start, uint64_t *end);

/* Adds a site, unless its instruction is one already. 0, or a code that was reported. */
int site_add(struct finder *f, enum site_kind kind, const char *what, uint64_t addr, uint8_t frame_reg,
	     uint8_t tstate_reg);

/* Adds the first emulated instruction of the straight line from `start` at which a register still holds the frame (and one
 * the thread state, where that is known at the start); else the start itself. Where an instrumented handler calls a
 * monitor first, which runs Python code with this frame as its caller, `behind_call` takes an instruction behind that:
 * _Py_call_instrumentation_arg(tstate, event, frame, ...), or where that is inlined the first call. Into the line before the site nothing may jump but the
 * handlers named in `same`, unless that is NULL. 0, or a code that was reported. */
int site_straight(struct finder *f, enum site_kind kind, const char *what, uint64_t start, uint32_t frame,
		  uint32_t tstate, bool behind_call, const char *const *same);

/* site_table.c: finds the dispatch table, what kind of one it is, and the register that holds the frame at every
 * handler's start. 0, or a code that was reported. */
int site_find_table(struct finder *f);

/* site_table.c: fills in `other`, once the dispatch table is known. 0, or a code that was reported. */
int site_find_other(struct finder *f);

/* site_frame.c: the sites of Python up to 3.10. 0, or a code that was reported. */
int site_find_frame(struct finder *f);

/* site_usdt.c: the sites at static probes. 0, or a negative code, not reported: *why, static storage, ends a sentence that
 * begins with the build. */
int site_find_usdt(struct finder *f, const char **why);

#endif
