/*
 * pycode_priv: what pycode's own files share. Not for anybody else.
 */
#ifndef PYLU_PYCODE_PRIV_H
#define PYLU_PYCODE_PRIV_H

#include "opmap.h"
#include "pycode.h"

/* The bytes of a table of the code object. */
struct pycode_table {
	const uint8_t *bytes;
	size_t n;
};

/* For each opcode of a version the base opcode, where the byte alone tells it (else 0, CACHE's number, which is no
 * instruction), and traits. */
struct pycode_ops {
	const struct opmap *map;
	uint8_t base[256];
	uint16_t traits[256];
	int extended_arg, line, instruction, enter_executor; /* numbers, -ENOENT where there are none */
};

/* 0, or -EINVAL when the version is not known. */
int pycode_ops__init(struct pycode_ops *ops, uint8_t major, uint8_t minor);

/* Makes code->instrs of base code units (opcode and argument, 2 bytes each). 0, -EINVAL, -ENOMEM. */
int pycode_split(struct pycode *code, const struct pycode_ops *ops, const uint8_t *units, size_t nbytes);

/* Lines of the instructions, from co_lnotab or co_linetable. 0 or -EINVAL. */
int pycode_set_lines(struct pycode *code, struct pycode_table table);

/* Handlers: from co_exceptiontable (3.11 on), and by what SETUP_ instructions lead to. 0, -EINVAL, -ENOMEM. */
int pycode_parse_handlers(struct pycode *code, struct pycode_table table);
int pycode_trace_blocks(struct pycode *code);

#endif
