/*
 * usdt: the static probes that an ELF file describes in its .note.stapsdt section: where each is, the semaphore that
 * switches it on, where its arguments are. Bounds-checked: the file may be damaged or hostile. Works on the file
 * alone; attaches nothing and knows nothing of Python. x86-64 only.
 *
 * The format is version 3 of SystemTap's (UserSpaceProbeImplementation in its wiki): notes of owner "stapsdt" and type
 * 3 that hold three addresses (the probe's, .stapsdt.base's and the semaphore's) and three strings (provider, name,
 * arguments). The addresses are those of link time. What moved the file's segments later (prelink) moved the section
 * .stapsdt.base with them, but not the notes; the difference is added here to the other two addresses.
 */
#ifndef PYLU_USDT_H
#define PYLU_USDT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;

#define USDT_ARGS_MAX 12 /* the most that sys/sdt.h can write */

#define USDT_REG_RIP 16
#define USDT_REG_NONE 0xff /* registers are numbered as the processor does: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp ... */

enum usdt_arg_kind {
	USDT_ARG_UNKNOWN,  /* something else: a floating-point number, a symbol, a segment; only the place counts */
	USDT_ARG_CONSTANT, /* `value` */
	USDT_ARG_REGISTER, /* the lowest `size` bytes of `reg`, or its second byte */
	USDT_ARG_MEMORY,   /* `size` bytes at `reg` + `index` * `scale` + `value` */
};

struct usdt_arg {
	enum usdt_arg_kind kind;
	uint8_t size; /* bytes: 1, 2, 4 or 8 */
	bool is_signed;
	bool second_byte; /* of the register: %ah, %bh, %ch, %dh */
	uint8_t reg; /* the register or the base, or USDT_REG_NONE; USDT_REG_RIP: the instruction behind the probe's */
	uint8_t index; /* or USDT_REG_NONE */
	uint8_t scale; /* 1, 2, 4 or 8; 0 without index */
	int64_t value; /* the constant, or the displacement */
};

struct usdt_note {
	const char *provider, *name; /* owned by the elf_file, like `text` */
	const char *text;	     /* the arguments as the file has them */
	uint64_t pc;		     /* virtual address in the file */
	uint64_t pc_offset;	     /* the same as file offset */
	uint64_t semaphore;	     /* virtual address of a 16-bit counter, 0: the probe is always on */
	uint64_t semaphore_offset;   /* the same as file offset, 0 when there is none */
	struct usdt_arg args[USDT_ARGS_MAX];
	size_t nargs;
};

struct usdt_notes;

/* Reads the notes of a file; one without any has an empty list. Left out are notes whose probe is not in the file's
 * code, or whose semaphore is not in its data: the linker threw away what they speak of. The list must be freed before
 * the elf_file is closed. 0, -ENOMEM, or -DIAG_BAD_DATA when the section is damaged or holds more than any program
 * does; not reported. */
int usdt_notes__read(const struct elf_file *elf, struct usdt_notes **out);
void usdt_notes__free(struct usdt_notes *notes);

size_t usdt_notes__count(const struct usdt_notes *notes);
/* In the file's order; `i` < count. Owned by the list. */
const struct usdt_note *usdt_notes__get(const struct usdt_notes *notes, size_t i);

/* The i-th note of that provider and name: a probe in an inlined function has many. NULL when there are not so many. */
const struct usdt_note *usdt_notes__find(const struct usdt_notes *notes, const char *provider, const char *name,
					 size_t i);

#endif
