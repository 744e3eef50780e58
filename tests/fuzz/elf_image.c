/*
 * elf_image: see elf_image.h. What the code must look like for site.c to find its way is said there; here it is written
 * as plainly as that allows.
 *
 * The file is written twice: the first time tells where everything comes to lie, the second time writes it with these
 * addresses. An address is always the base plus the offset in the file.
 */
#include "elf_image.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "opmap.h"

#define RELAS_MAX 272
#define RAX 0
#define RBX 3 /* the frame, in all code */
#define RDX 2
#define RSI 6
#define RDI 7
#define R13 13 /* the instruction pointer */
#define R15 15 /* the thread state */

/* X(symbol, its name, type, section). The undefined and the copied one come last. */
#define SYMBOLS(X)                                               \
	X(EVAL, "_PyEval_EvalFrameDefault", STT_FUNC, SEC_TEXT)  \
	X(GET_VERSION, "Py_GetVersion", STT_FUNC, SEC_TEXT)      \
	X(VERSION, "Py_Version", STT_OBJECT, SEC_DATA)           \
	X(CODE_TYPE, "PyCode_Type", STT_OBJECT, SEC_DATA)        \
	X(CLEAR, "_PyEval_FrameClearAndPop", STT_FUNC, SEC_TEXT) \
	X(RUNTIME, "_PyRuntime", STT_OBJECT, SEC_BSS)            \
	X(CHECK_RESULT, "_Py_CheckFunctionResult", STT_FUNC, SEC_UNDEFINED)

enum symbol {
#define SYMBOL_ENUM(symbol, name, type, section) SYM_##symbol,
	SYMBOLS(SYMBOL_ENUM)
#undef SYMBOL_ENUM
		SYM_COUNT,
};

/* X(section, its name, type, flags, which section it refers to, size of its entries). */
#define SECTIONS(X)                                                                    \
	X(UNDEFINED, "", SHT_NULL, 0, SEC_UNDEFINED, 0)                                \
	X(NOTE, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, SEC_UNDEFINED, 0)           \
	X(DYNSYM, ".dynsym", SHT_DYNSYM, SHF_ALLOC, SEC_DYNSTR, 24)                    \
	X(DYNSTR, ".dynstr", SHT_STRTAB, SHF_ALLOC, SEC_UNDEFINED, 0)                  \
	X(RODATA, ".rodata", SHT_PROGBITS, SHF_ALLOC, SEC_UNDEFINED, 0)                \
	X(PLT, ".plt.sec", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, SEC_UNDEFINED, 0)  \
	X(TEXT, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, SEC_UNDEFINED, 0)    \
	X(DATA, ".data.rel.ro", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, SEC_UNDEFINED, 0) \
	X(RELA, ".rela.dyn", SHT_RELA, SHF_ALLOC, SEC_DYNSYM, 24)                      \
	X(RELA_PLT, ".rela.plt", SHT_RELA, SHF_ALLOC, SEC_DYNSYM, 24)                  \
	X(DYNAMIC, ".dynamic", SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, SEC_DYNSTR, 16)     \
	X(BSS, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, SEC_UNDEFINED, 0)            \
	X(SYMTAB, ".symtab", SHT_SYMTAB, 0, SEC_DYNSTR, 24)                            \
	X(SHSTRTAB, ".shstrtab", SHT_STRTAB, 0, SEC_UNDEFINED, 0)

enum section {
#define SECTION_ENUM(section, name, type, flags, link, entsize) SEC_##section,
	SECTIONS(SECTION_ENUM)
#undef SECTION_ENUM
		SEC_COUNT,
};

struct extent {
	uint64_t addr, size;
};

struct writer {
	const struct elf_image *image;
	const struct layout *lay; /* NULL: no interpreter */
	const struct opmap *opmap;
	uint8_t *buf;
	size_t used;
	uint64_t base;
	/* Where things are: as the first time told. */
	struct extent symbols[SYM_COUNT], sections[SEC_COUNT];
	uint64_t handlers[256], version_text, plt, got, dealloc, section_headers;
	uint32_t name_needed, name_runpath;
	Elf64_Rela relas[RELAS_MAX];
	size_t nrelas;
};

static void put(struct writer *w, const void *bytes, size_t n)
{
	if (n > ELF_IMAGE_MAX - w->used)
		abort();
	if (n)
		memcpy(w->buf + w->used, bytes, n);
	w->used += n;
}

static void put_zeros(struct writer *w, size_t n)
{
	while (n--)
		put(w, "", 1);
}

static void put_number(struct writer *w, uint64_t number, size_t bytes)
{
	put(w, &number, bytes);
}

static uint64_t here(const struct writer *w)
{
	return w->base + w->used;
}

static void align(struct writer *w)
{
	put_zeros(w, -w->used % 8);
}

static void begin(struct writer *w, enum section section)
{
	align(w);
	w->sections[section].addr = here(w);
}

static void end(struct writer *w, enum section section)
{
	w->sections[section].size = here(w) - w->sections[section].addr;
}

/* A pointer in data: written, or left to a relocation. */
static void put_pointer(struct writer *w, uint64_t value)
{
	if (!w->image->fixed) {
		if (w->nrelas == RELAS_MAX)
			abort();
		w->relas[w->nrelas++] = (Elf64_Rela){ here(w), ELF64_R_INFO(0, R_X86_64_RELATIVE), (int64_t)value };
		value = 0;
	}
	put_number(w, value, 8);
}

/* --- code --- */

/* mov between `reg` and the eight bytes at base + disp; `base` is not one that needs a SIB byte. */
static void put_move(struct writer *w, uint8_t opcode, unsigned reg, unsigned base, int32_t disp)
{
	const uint8_t code[] = { (uint8_t)(0x48 | (reg > 7) << 2 | (base > 7)), opcode,
				 (uint8_t)(0x80 | (reg & 7) << 3 | (base & 7)) };

	put(w, code, sizeof(code));
	put_number(w, (uint32_t)disp, 4);
}

static void put_store(struct writer *w, unsigned reg, unsigned base, int32_t disp)
{
	put_move(w, 0x89, reg, base, disp);
}

static void put_load(struct writer *w, unsigned reg, unsigned base, int32_t disp)
{
	put_move(w, 0x8b, reg, base, disp);
}

static void put_copy(struct writer *w, unsigned to, unsigned from)
{
	const uint8_t code[] = { (uint8_t)(0x48 | (from > 7) << 2 | (to > 7)), 0x89,
				 (uint8_t)(0xc0 | (from & 7) << 3 | (to & 7)) };

	put(w, code, sizeof(code));
}

/* jmp, call (one byte) and je (two bytes), all with a 32-bit distance. */
static void put_branch(struct writer *w, const char *opcode, uint64_t target)
{
	put(w, opcode, strlen(opcode));
	put_number(w, (uint32_t)(target - (here(w) + 4)), 4);
}

#define JMP "\xe9"
#define CALL "\xe8"
#define JE "\x0f\x84"

static void put_jump_on(struct writer *w) /* jmp *%rax */
{
	put(w, "\xff\xe0", 2);
}

/* cmpb $0, disp(%rbx) */
static void put_test(struct writer *w, int32_t disp)
{
	put(w, "\x80\xbb", 2);
	put_number(w, (uint32_t)disp, 4);
	put_number(w, 0, 1);
}

static void put_return_value(struct writer *w)
{
	if (w->lay->frame_is_entry != OFF_NONE) {
		put_test(w, w->lay->frame_is_entry);
		put_branch(w, JE, here(w) + 6);
		return;
	}
	put_copy(w, RSI, RBX);
	put_copy(w, RDI, R15);
	put_branch(w, CALL, w->symbols[SYM_CLEAR].addr);
}

static void put_handler(struct writer *w, unsigned op)
{
	const char *name = w->opmap->names[op];

	w->handlers[op] = here(w);
	if (w->image->endbr)
		put(w, "\xf3\x0f\x1e\xfa", 4);
	if (w->lay->frame_instr != OFF_NONE)
		put_store(w, R13, RBX, w->lay->frame_instr);
	if (w->image->jumps && (!strcmp(name, "RETURN_VALUE") || !strcmp(name, "RESUME")))
		put_branch(w, JMP, here(w) + 5);
	if (!strcmp(name, "INSTRUMENTED_YIELD_VALUE")) /* a monitor: the frame is the third argument */
		put_copy(w, RDX, RBX);
	if (!strncmp(name, "INSTRUMENTED_", 13))
		put_branch(w, CALL, w->symbols[SYM_CLEAR].addr);
	if (!strcmp(name, "RETURN_VALUE"))
		put_return_value(w);
	else if (strstr(name, "RESUME") || strstr(name, "YIELD_VALUE"))
		put_branch(w, JE, here(w) + 6);
	put_jump_on(w);
}

/* The evaluation function: its way in, the handlers, its way out. */
static void put_eval(struct writer *w)
{
	uint64_t begun = here(w), unused;

	put(w, "\x53", 1); /* push %rbx */
	put_copy(w, RBX, RSI);
	if (w->lay->tstate_frame != OFF_NONE) {
		put_store(w, RBX, R15, w->lay->tstate_frame);
		put_branch(w, JE, here(w) + 6);
	}
	unused = here(w);
	put_jump_on(w);
	for (unsigned op = 0; op < 256 && !w->image->small; op++) {
		if (w->opmap->names[op])
			put_handler(w, op);
		else
			w->handlers[op] = unused;
	}
	if (w->lay->frame_is_entry != OFF_NONE) {
		put_test(w, w->lay->frame_is_entry);
		put_branch(w, JE, begun);
	}
	if (w->lay->tstate_frame != OFF_NONE) {
		put_load(w, RAX, RBX, w->lay->frame_previous);
		put_store(w, RAX, R15, w->lay->tstate_frame);
		put_branch(w, CALL, w->plt);
	}
	put(w, "\x5b\xc3", 2); /* pop %rbx; ret */
	w->symbols[SYM_EVAL] = (struct extent){ begun, here(w) - begun };
}

/* Py_GetVersion, which names the version's text. */
static void put_get_version(struct writer *w)
{
	uint64_t begun = here(w);

	if (w->image->fixed) {
		put(w, "\xb9", 1); /* mov $text, %ecx */
		put_number(w, w->version_text, 4);
	} else {
		put(w, "\x48\x8d\x0d", 3); /* lea text(%rip), %rcx */
		put_number(w, (uint32_t)(w->version_text - (here(w) + 4)), 4);
	}
	put(w, "\xc3", 1);
	w->symbols[SYM_GET_VERSION] = (struct extent){ begun, here(w) - begun };
}

static void put_code(struct writer *w)
{
	begin(w, SEC_PLT);
	w->plt = here(w);
	put(w, "\xf3\x0f\x1e\xfa\xff\x25", 6); /* endbr64; jmp *got(%rip) */
	put_number(w, (uint32_t)(w->got - (here(w) + 4)), 4);
	end(w, SEC_PLT);
	begin(w, SEC_TEXT);
	w->symbols[SYM_CLEAR] = (struct extent){ here(w), 2 };
	put(w, "\x55\xc3", 2); /* push %rbp; ret */
	w->dealloc = here(w);
	put(w, "\x57\xc3", 2); /* push %rdi; ret */
	put_get_version(w);
	if (w->lay)
		put_eval(w);
	end(w, SEC_TEXT);
}

/* --- data --- */

static void put_data(struct writer *w)
{
	uint64_t begun;

	begin(w, SEC_DATA);
	w->got = here(w);
	put_number(w, w->plt + 6, 8);
	w->symbols[SYM_VERSION] = (struct extent){ here(w), 4 };
	put_number(w, 0x030000f0u | (unsigned)w->image->minor << 16, 8);
	if (w->lay) {
		begun = here(w);
		put_zeros(w, (size_t)w->lay->type_dealloc);
		put_pointer(w, w->dealloc);
		w->symbols[SYM_CODE_TYPE] = (struct extent){ begun, here(w) - begun };
		for (unsigned op = 0; op < 256 && !w->image->small; op++)
			put_pointer(w, w->handlers[op]);
	}
	end(w, SEC_DATA);
}

static void put_relocations(struct writer *w)
{
	Elf64_Rela copy = { w->symbols[SYM_RUNTIME].addr, ELF64_R_INFO(SYM_RUNTIME + 1, R_X86_64_COPY), 0 };
	Elf64_Rela slot = { w->got, ELF64_R_INFO(SYM_CHECK_RESULT + 1, R_X86_64_JUMP_SLOT), 0 };

	begin(w, SEC_RELA);
	put(w, w->relas, w->nrelas * sizeof(w->relas[0]));
	put(w, &copy, sizeof(copy));
	end(w, SEC_RELA);
	begin(w, SEC_RELA_PLT);
	put(w, &slot, sizeof(slot));
	end(w, SEC_RELA_PLT);
}

static void put_entry(struct writer *w, uint64_t tag, uint64_t value)
{
	put_number(w, tag, 8);
	put_number(w, value, 8);
}

static void put_dynamic(struct writer *w)
{
	begin(w, SEC_DYNAMIC);
	if (w->image->needed)
		put_entry(w, DT_NEEDED, w->name_needed);
	if (w->image->runpath)
		put_entry(w, DT_RUNPATH, w->name_runpath);
	put_entry(w, DT_STRTAB, w->sections[SEC_DYNSTR].addr);
	put_entry(w, DT_SYMTAB, w->sections[SEC_DYNSYM].addr);
	put_entry(w, DT_RELA, w->sections[SEC_RELA].addr);
	put_entry(w, DT_RELASZ, w->sections[SEC_RELA].size);
	put_entry(w, DT_JMPREL, w->sections[SEC_RELA_PLT].addr);
	put_entry(w, DT_PLTRELSZ, w->sections[SEC_RELA_PLT].size);
	put_entry(w, DT_NULL, 0);
	end(w, SEC_DYNAMIC);
	/* Takes no room in the file. */
	begin(w, SEC_BSS);
	w->symbols[SYM_RUNTIME] = (struct extent){ here(w), 64 };
	w->sections[SEC_BSS].size = 64;
}

/* --- tables --- */

/* Whether a file has this symbol: others have none of an interpreter's, and the version stands in one place only. */
static bool has_symbol(const struct writer *w, enum symbol symbol)
{
	switch (symbol) {
	case SYM_EVAL:
	case SYM_CODE_TYPE:
		return w->lay;
	case SYM_GET_VERSION:
		return w->lay && w->image->minor < 11;
	case SYM_VERSION:
		return w->lay && w->image->minor >= 11;
	case SYM_CLEAR:
		return w->image->minor >= 13;
	default:
		return true;
	}
}

static void put_symbols(struct writer *w, uint32_t first_name)
{
	static const struct {
		size_t name_size;
		uint8_t type, section;
	} symbols[] = {
#define SYMBOL_ROW(symbol, name, type, section) { sizeof(name), type, section },
		SYMBOLS(SYMBOL_ROW)
#undef SYMBOL_ROW
	};
	uint32_t name = first_name;

	put_zeros(w, sizeof(Elf64_Sym));
	for (int i = 0; i < SYM_COUNT; i++) {
		Elf64_Sym sym = {
			.st_name = has_symbol(w, (enum symbol)i) ? name : 0,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, symbols[i].type),
			.st_shndx = symbols[i].section,
			.st_value = w->symbols[i].addr,
			.st_size = w->symbols[i].size,
		};

		put(w, &sym, sizeof(sym));
		name += (uint32_t)symbols[i].name_size;
	}
}

static void put_dynamic_symbols(struct writer *w)
{
	static const char names[] =
#define SYMBOL_NAME(symbol, name, type, section) name "\0"
		SYMBOLS(SYMBOL_NAME);
#undef SYMBOL_NAME

	begin(w, SEC_DYNSYM);
	put_symbols(w, 1);
	end(w, SEC_DYNSYM);
	begin(w, SEC_DYNSTR);
	put_zeros(w, 1);
	put(w, names, sizeof(names));
	w->name_needed = (uint32_t)(here(w) - w->sections[SEC_DYNSTR].addr);
	if (w->image->needed)
		put(w, w->image->needed, strlen(w->image->needed) + 1);
	w->name_runpath = (uint32_t)(here(w) - w->sections[SEC_DYNSTR].addr);
	if (w->image->runpath)
		put(w, w->image->runpath, strlen(w->image->runpath) + 1);
	end(w, SEC_DYNSTR);
}

static void put_note(struct writer *w)
{
	static const uint8_t id[8] = { 0xb1, 0x1d, 0, 0, 0, 0, 0, 1 };
	const Elf64_Nhdr note = { sizeof("GNU"), sizeof(id), NT_GNU_BUILD_ID };

	begin(w, SEC_NOTE);
	put(w, &note, sizeof(note));
	put(w, "GNU", sizeof("GNU"));
	put(w, id, sizeof(id));
	end(w, SEC_NOTE);
}

static void put_section_headers(struct writer *w)
{
	static const char names[] =
#define SECTION_NAME(section, name, type, flags, link, entsize) name "\0"
		SECTIONS(SECTION_NAME);
#undef SECTION_NAME
	static const struct {
		size_t name_size;
		uint32_t type, flags, link, entsize;
	} sections[] = {
#define SECTION_ROW(section, name, type, flags, link, entsize) { sizeof(name), type, flags, link, entsize },
		SECTIONS(SECTION_ROW)
#undef SECTION_ROW
	};
	uint32_t name = 0;

	begin(w, SEC_SHSTRTAB);
	put(w, names, sizeof(names));
	end(w, SEC_SHSTRTAB);
	align(w);
	w->section_headers = w->used;
	for (int i = 0; i < SEC_COUNT; i++) {
		struct extent at = w->sections[i];
		Elf64_Shdr sh = {
			.sh_name = name,
			.sh_type = sections[i].type,
			.sh_flags = sections[i].flags,
			.sh_addr = sections[i].flags & SHF_ALLOC ? at.addr : 0,
			.sh_offset = at.addr ? at.addr - w->base : 0,
			.sh_size = at.size,
			.sh_link = sections[i].link,
			.sh_entsize = sections[i].entsize,
		};

		put(w, &sh, sizeof(sh));
		name += (uint32_t)sections[i].name_size;
	}
}

/* From the first byte of one section to the last one of another. */
static void put_segment(struct writer *w, uint32_t type, uint32_t flags, enum section first, enum section last)
{
	uint64_t addr = w->sections[first].addr, end_at = w->sections[last].addr + w->sections[last].size;
	Elf64_Phdr ph = { type, flags, addr - w->base, addr, addr, end_at - addr, end_at - addr, 4096 };

	if (first == SEC_NOTE && last != SEC_NOTE) { /* the first one holds the headers too */
		ph.p_offset = 0;
		ph.p_vaddr = ph.p_paddr = w->base;
		ph.p_filesz = ph.p_memsz = end_at - w->base;
	}
	if (last == SEC_BSS)
		ph.p_filesz -= w->sections[SEC_BSS].size;
	put(w, &ph, sizeof(ph));
}

static void put_headers(struct writer *w)
{
	Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = w->image->fixed ? ET_EXEC : ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(eh),
		.e_shoff = w->section_headers,
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 5,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SEC_COUNT,
		.e_shstrndx = SEC_SHSTRTAB,
	};

	put(w, &eh, sizeof(eh));
	put_segment(w, PT_LOAD, PF_R, SEC_NOTE, SEC_RODATA);
	put_segment(w, PT_LOAD, PF_R | PF_X, SEC_PLT, SEC_TEXT);
	put_segment(w, PT_LOAD, PF_R | PF_W, SEC_DATA, SEC_BSS);
	put_segment(w, PT_NOTE, PF_R, SEC_NOTE, SEC_NOTE);
	put_segment(w, PT_DYNAMIC, PF_R | PF_W, SEC_DYNAMIC, SEC_DYNAMIC);
}

static void put_file(struct writer *w)
{
	char version[16];

	w->used = w->nrelas = 0;
	put_headers(w);
	put_note(w);
	put_dynamic_symbols(w);
	begin(w, SEC_RODATA);
	w->version_text = here(w);
	put(w, version, (size_t)snprintf(version, sizeof(version), "3.%u.7", w->image->minor) + 1);
	end(w, SEC_RODATA);
	put_code(w);
	put_data(w);
	put_relocations(w);
	put_dynamic(w);
	if (!w->image->stripped) {
		begin(w, SEC_SYMTAB);
		put_symbols(w, 1);
		end(w, SEC_SYMTAB);
	}
	put_section_headers(w);
}

size_t elf_image__make(const struct elf_image *image, uint8_t *buf)
{
	struct writer w = {
		.image = image,
		.lay = layout__find(3, image->minor, false),
		.opmap = opmap__find(3, image->minor),
		.buf = buf,
		.base = image->fixed ? ELF_IMAGE_FIXED_BASE : 0,
	};

	if (!w.lay != !w.opmap)
		abort();
	put_file(&w);
	put_file(&w);
	return w.used;
}
