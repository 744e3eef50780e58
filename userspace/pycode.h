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
	uint32_t target; /* of a jump: offset; PYCODE_NO_TARGET: none */
};
#define PYCODE_NO_TARGET UINT32_MAX

struct pycode_handler {
	uint32_t start, end, target; /* offsets */
};

struct pycode {
	uint64_t addr;	/* of the code object */
	uint64_t units; /* of its first code unit, in the target */
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
	uint8_t *bytes; /* as copied, with specialised forms */
	size_t nbytes;
};

/* Reads the code object at `addr`. 0, -EINVAL (no code object, or damaged), -ENOMEM, mem__read's codes; not reported. */
int pycode__read(struct pyobj_reader *r, uint64_t addr, struct pycode **out);
void pycode__free(struct pycode *code);

/* The line of the instruction at an offset; 0: none. */
uint32_t pycode__line(const struct pycode *code, uint32_t offset);

/* The base opcode's name. */
const char *pycode__op_name(const struct pycode *code, uint8_t op);

#endif
