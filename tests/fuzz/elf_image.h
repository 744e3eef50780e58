/*
 * elf_image: ELF files that look like an interpreter's, made byte by byte: for fuzzers, and for tests that must not depend
 * on which interpreters there are. A few kB each, nothing of them is anybody else's code, and none of them can run.
 */
#ifndef PYLU_TESTS_ELF_IMAGE_H
#define PYLU_TESTS_ELF_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_IMAGE_MAX 32768 /* none is larger */
#define ELF_IMAGE_FIXED_BASE 0x400000

struct elf_image {
	uint8_t minor;	    /* of CPython 3: its opcodes' handlers and dispatch table, its version; 0: no interpreter */
	bool fixed;	    /* linked at a fixed address: the table holds the addresses, else relocations do */
	bool stripped;	    /* no .symtab */
	bool small;	    /* without the opcodes: neither handlers nor a table */
	bool endbr;	    /* the handlers open with endbr64 */
	bool jumps;	    /* RETURN_VALUE and RESUME jump to where they go on */
	const char *needed; /* a library that it is linked with, or NULL */
	const char *runpath; /* where that one is, or NULL */
};

/* Writes the file into `buf`, which has room for ELF_IMAGE_MAX bytes. Its size. */
size_t elf_image__make(const struct elf_image *image, uint8_t *buf);

#endif
