/*
 * elf: one ELF file: symbols, sections, segments, build-id, relocations. Bounds-checked: the file may be damaged or
 * hostile. Knows nothing of Python or of processes. x86-64 and little-endian 64-bit files only.
 */
#ifndef PYLU_ELF_H
#define PYLU_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;

struct elf_section {
	const char *name; /* owned by the elf_file; "" when it has none */
	uint32_t type;	  /* SHT_x */
	uint64_t flags;	  /* SHF_x */
	uint64_t addr;	  /* virtual address in the file, 0 when not loaded */
	uint64_t size;
	const uint8_t *data; /* the bytes in the file, NULL for SHT_NOBITS; owned by the elf_file */
};

struct elf_symbol {
	uint64_t addr; /* virtual address in the file */
	uint64_t size; /* 0 when the file does not say */
};

/* Opens `path` (which may be a magic link below /proc). 0, or a negative code that was reported. */
int elf_file__open(const char *path, struct elf_file **out);
/* The same without reporting, for searches through files of which most are not what is looked for:
 * -DIAG_UNSUPPORTED for an ELF file of another machine or word size, -DIAG_BAD_DATA for anything else that is no ELF. */
int elf_file__probe(const char *path, struct elf_file **out);
void elf_file__close(struct elf_file *elf);

/* A defined dynamic symbol or, where there is a .symtab, any defined symbol. Version suffixes are ignored.
 * 0, or -ENOENT, not reported. */
int elf_file__symbol(const struct elf_file *elf, const char *name, struct elf_symbol *out);

/* The address in this file to which a R_X86_64_COPY relocation copies another file's variable `name`: in a process that
 * runs this executable the variable lives there. 0, or -ENOENT, not reported. */
int elf_file__copied(const struct elf_file *elf, const char *name, uint64_t *addr);

size_t elf_file__section_count(const struct elf_file *elf);
/* `i` < count. 0, or -ERANGE. */
int elf_file__section(const struct elf_file *elf, size_t i, struct elf_section *out);

/* The bytes at virtual address `addr`, at most *len of them: a pointer into the mapped file, with *len cut to what is
 * contiguous in its PT_LOAD segment, or NULL when the address has no bytes in the file. */
const uint8_t *elf_file__at(const struct elf_file *elf, uint64_t addr, size_t *len);

/* Virtual address to file offset by the PT_LOAD segments. 0, or -ERANGE. */
int elf_file__file_offset(const struct elf_file *elf, uint64_t addr, uint64_t *offset);

/* Whether `addr` lies in an executable PT_LOAD segment. */
bool elf_file__is_code(const struct elf_file *elf, uint64_t addr);

/* The nearest address up to `addr` at which a function starts, by the unwinder's sorted table (.eh_frame_hdr); 0 when none
 * does. 0, or -ENOENT when the file has no such table that can be read. */
int elf_file__function_start(const struct elf_file *elf, uint64_t addr, uint64_t *start);

/* Whether a function starts at `addr`, by the unwinder's sorted table (.eh_frame_hdr). 1, 0, or -ENOENT when the file has
 * none that can be read. */
int elf_file__starts_function(const struct elf_file *elf, uint64_t addr);

/* The lowest p_vaddr of the PT_LOAD segments, rounded down to its p_align: load bias = first mapping's start - this. */
uint64_t elf_file__base(const struct elf_file *elf);

/* Whether the file can be loaded at any address (ET_DYN). */
bool elf_file__position_independent(const struct elf_file *elf);

/* Whether it has a symbol table beside that of the dynamic linker: it was not stripped. */
bool elf_file__has_symtab(const struct elf_file *elf);

/* The 8-byte word at `addr` as it will be after loading at bias 0: the addend where a R_X86_64_RELATIVE (RELA) or RELR
 * relocation applies, else the file's bytes. 0, or -ERANGE (no such word, or absurdly many relocations), -ENOMEM. */
int elf_file__word(const struct elf_file *elf, uint64_t addr, uint64_t *out);

/* The GNU build-id in lower-case hex, "" when the file has none. Owned by the elf_file. */
const char *elf_file__build_id(const struct elf_file *elf);

/* Whether two files are of one build: by their build-ids or, where they have none, the very same file. (An overlay file
 * system shows one file as two.) */
bool elf_file__same(const struct elf_file *a, const struct elf_file *b);

/* Resolves a call or jump target that is a PLT stub (`jmp *GOT`, with or without endbr64 or bnd) to the name of the
 * symbol behind it, through .rela.plt/.rela.dyn. The name is owned by the elf_file; NULL when `addr` is no such stub. */
const char *elf_file__plt_name(const struct elf_file *elf, uint64_t addr);

#endif
