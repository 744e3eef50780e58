/*
 * site: finds the instructions of an interpreter build at which Python calls start, yield and end, and the registers
 * that hold the frame and the thread state there. Works on the ELF file alone, stripped or not; reads no process.
 *
 * The opcode dispatch table is recognised by its shape: 256 code addresses, of which exactly the slots of the opcodes
 * that the version does not use hold one and the same. The instruction chosen in a handler is the first that the kernel
 * emulates (nop, push, direct jmp, jcc and call: arch/x86/kernel/uprobes.c), because all others are single-stepped,
 * which costs about ten times as much.
 *
 * Builds whose opcodes are the cases of a switch (--without-computed-gotos) are recognised.
 *
 * From 3.15 on builds --with-dtrace have static probes of calls (USDT), which serve where the opcodes do not, or on request.
 */
#ifndef PYLU_SITE_H
#define PYLU_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;
struct layout;
struct opmap;

#define SITE_REG_NONE 0xff

enum site_kind {
	SITE_OPCODE_RESUME, /* a frame starts, or a generator's goes on */
	SITE_OPCODE_YIELD,
	SITE_FRAME_END,	   /* a frame ends, by return or exception */
	SITE_FRAME_RETURN, /* 3.11: by return */
	SITE_FRAME_UNWIND, /* 3.11: by exception */
	SITE_FRAME_ENTER,  /* to 3.10: a frame starts or goes on */
	SITE_FRAME_LEAVE,  /* to 3.10: a frame yields or ends */
	SITE_CODE_DEALLOC,
	SITE_USDT_ENTRY,  /* 3.15 on, static probes: a frame starts or goes on, or makes its generator */
	SITE_USDT_RETURN, /* a frame yields or ends */
	SITE_KINDS,
};

struct site {
	enum site_kind kind;
	const char *what; /* the opcode or function, static storage */
	uint64_t addr;	  /* virtual address in the file */
	uint64_t file_offset;
	uint64_t
		semaphore_offset; /* in the file, of a 16-bit counter that must not be 0 for the site to be passed; or 0 */
	uint8_t frame_reg;	  /* processor's register number; of the code object for SITE_CODE_DEALLOC */
	uint8_t tstate_reg;	  /* the same, or SITE_REG_NONE */
	/* SITE_OPCODE_YIELD and SITE_FRAME_LEAVE: the register that holds what is yielded or, with value_below, the value stack's
	 * top, below which it lies; SITE_REG_NONE where neither is known. Not proved: see trace_yield of the programs. */
	uint8_t value_reg;
	bool value_below;
	bool emulated;
};

#define SITE_MAX 24

struct site_set {
	const char *backend;  /* "opcode", "frame" or "usdt" */
	const char *dispatch; /* of opcode: how handlers lead to the next: "computed gotos" or "tail calls"; else "" */
	uint64_t table;	      /* virtual address of the dispatch table */
	unsigned ntables;     /* how many places had its shape; 0: this backend needs none */
	struct site sites[SITE_MAX];
	size_t n;
};

/* Finds the sites of a build for a backend, or with NULL for the best that it has. 0, or a code that was reported:
 * -DIAG_NO_SITE says what was not found, -DIAG_UNSUPPORTED what kind of build it is, -DIAG_BACKEND why it has no such
 * backend. */
int site_set__find(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
		   const char *backend, struct site_set *out);

#endif
