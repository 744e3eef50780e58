/*
 * insn: one machine instruction, as far as the search for sites needs it. The only user of the disassembler library.
 */
#ifndef PYLU_INSN_H
#define PYLU_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSN_NO_REG 0xff
#define INSN_REG_MASK(reg) (1u << (reg))

enum insn_flow {
	INSN_NEXT, /* goes on to the next instruction */
	INSN_JMP,  /* direct, unconditional */
	INSN_JCC,  /* direct, conditional */
	INSN_CALL, /* direct */
	INSN_CALL_INDIRECT,
	INSN_END, /* ret, indirect jump, trap: nothing follows in a straight line */
};

struct insn {
	uint64_t addr;
	uint8_t len;
	enum insn_flow flow;
	uint64_t target;	    /* of direct jumps and calls */
	bool emulated;		    /* the kernel emulates it under a uprobe; all else is single-stepped */
	uint32_t written;	    /* general registers that it changes, as bits, by the processor's numbers */
	uint8_t copy_to, copy_from; /* a full copy between general registers, else INSN_NO_REG */
	/* an eight-byte move between a general register and memory at base + disp, without index, else both false */
	bool load, store;
	bool test_byte; /* compares the byte at base + disp with 0 */
	bool indexed;	/* has an operand in memory at an index from `table` */
	uint64_t table;
	uint8_t reg, base;
	int64_t disp;
	/* add_to = add_from + add_by, of whole general registers, else INSN_NO_REG */
	uint8_t add_to, add_from;
	int64_t add_by;
	uint8_t narrow; /* a load of 1 or 2 bytes at base + disp into `reg`, the rest of which becomes 0; else 0 */
	/* keep_to gets the low byte of keep_from, else INSN_NO_REG; or its bits besides its own (`joins`) */
	uint8_t keep_to, keep_from;
	bool joins;
	uint8_t picked; /* the index in a table of words from which it loads `reg` or at which it jumps, else INSN_NO_REG */
	uint8_t jump_reg; /* holds where it jumps, else INSN_NO_REG */
	/* it overwrites memory, at a constant distance from `written_base` or, where that is INSN_NO_REG, anywhere; what also
	   reads there, as counting does, is none */
	bool overwrites;
	uint8_t written_base;
};

struct insn_decoder;

/* 0 or -ENOMEM, reported. */
int insn_decoder__new(struct insn_decoder **out);
void insn_decoder__free(struct insn_decoder *d);

/* Decodes the instruction at `code`, of which `len` bytes are there. 0, or -EINVAL when it is none (not reported). */
int insn_decoder__decode(struct insn_decoder *d, const uint8_t *code, size_t len, uint64_t addr, struct insn *out);

/* Whether the kernel emulates the instruction at `code` rather than single-stepping it. */
bool insn_emulated(const uint8_t *code, size_t len);

/* The name of a general register by the processor's number, "none" for any other number. Static storage. */
const char *insn_reg_name(uint8_t reg);

#endif
