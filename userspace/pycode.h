/*
 * pycode: a code object, copied from a target and decoded: instructions with their lines, names, exception handlers. One form
 * for all versions.
 */
#ifndef PYLU_PYCODE_H
#define PYLU_PYCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pyobj_reader;

struct pycode_instr {
	uint32_t offset; /* in bytes from the first code unit */
	uint32_t start;	 /* of its first EXTENDED_ARG, else `offset` */
	uint32_t next;	 /* offset behind it and its inline caches */
	uint8_t op;	 /* base opcode: never a specialised or instrumented form, nor ENTER_EXECUTOR */
	uint32_t arg;
	uint32_t line;	 /* 0: none */
	bool starts;	 /* the line table names a line for what begins here */
	uint16_t traits; /* enum pycode_trait */
	/* Offset of the first EXTENDED_ARG or, without, the instruction: of a jump, or of the handler that SETUP_FINALLY
	 * and the like set up. Of 3.8's END_FINALLY: where the block that it ends begins. PYCODE_NO_TARGET: none. */
	uint32_t target;
};
#define PYCODE_NO_TARGET UINT32_MAX

/* What the kinds of instructions have in common, whatever the version calls them. */
enum pycode_trait {
	PYCODE_FORWARD = 1,    /* jumps, or may jump, by its argument from what follows it */
	PYCODE_BACKWARD = 2,   /* the same, backward */
	PYCODE_ABSOLUTE = 4,   /* jumps, or may jump, to its argument */
	PYCODE_SETUP = 8,      /* sets up a handler, where its argument leads to as FORWARD's does */
	PYCODE_ENDS = 16,      /* never goes on with what follows it */
	PYCODE_RETURN = 32,    /* ends the frame */
	PYCODE_YIELD = 64,     /* the frame stands still until it is resumed */
	PYCODE_NO_RAISE = 128, /* no exception comes out of it, whatever the values */
	PYCODE_RESUME = 256,   /* where a frame begins, or goes on after it stood still (3.11 on) */
};
#define PYCODE_JUMP (PYCODE_FORWARD | PYCODE_BACKWARD | PYCODE_ABSOLUTE)

struct pycode_handler {
	uint32_t start, end, target; /* offsets */
};

struct pycode {
	uint64_t addr;		    /* of the code object */
	uint64_t units;		    /* of its first code unit, in the target */
	uint64_t consts, linetable; /* of these objects: no two code objects have the same ones */
	uint8_t major, minor;
	uint32_t flags, firstlineno;
	uint32_t argcount, kwonlyargcount; /* as co_argcount (positional-only included), co_kwonlyargcount */
	char *name, *qualname, *file;	   /* owned; qualname NULL to 3.10 */
	char **locals; /* names of localsplus: variables, then cells, then free variables, each place once */
	bool *cell;    /* it holds a cell */
	size_t nlocals;
	char **names; /* co_names */
	size_t nnames;
	struct pycode_instr *instrs; /* in order */
	size_t ninstrs;
	struct pycode_handler *handlers; /* 3.11 on from the exception table; to 3.10 from the SETUP_ instructions */
	size_t nhandlers;
};

/* Reads the code object at `addr`. 0, -EINVAL (no code object, or damaged), -ENOMEM, mem__read's codes; not reported. */
int pycode__read(struct pyobj_reader *r, uint64_t addr, struct pycode **out);
void pycode__free(struct pycode *code);

/* The index of the instruction that an offset lies in, its prefixes and inline caches included, or -ENOENT. */
int pycode__find(const struct pycode *code, uint32_t offset);

/* The line of the instruction at an offset; 0: none. */
uint32_t pycode__line(const struct pycode *code, uint32_t offset);

/* The base opcode's name. */
const char *pycode__op_name(const struct pycode *code, uint8_t op);

#endif
