/*
 * elf: reads one mapped ELF file.
 *
 * Owns the mapping and the tables made from its headers. Knows nothing of Python or of processes.
 *
 * How it survives damaged files: libelf reads the three kinds of headers, once, at open. Every extent that they name is
 * checked against the file's size there, and what does not fit is left out (a section without bytes, a segment cut
 * short, no symbols). From then on only pointers made by extent_at() and elf_file__at() are followed, each with the
 * length that it is good for. The one thing that this cannot survive is a file that is cut short while it is mapped
 * (SIGBUS); the alternative, a private copy, would cost `pylu-bpf ps` one of every library of every process.
 *
 * Not thread-safe: the index of relocations is built by the first look-up that needs it.
 */
#include "elf.h"

#include "diag.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* More than any linker makes; they bound what a hostile file can make us allocate and search. A file with holes may be
 * larger than all the memory there is. */
#define FILE_SIZE_MAX (UINT64_C(1) << 34)
#define SECTIONS_MAX (1u << 16)
#define SEGMENTS_MAX 256
#define SYMBOLS_MAX (1u << 23) /* the rest of a table is not searched */
#define RELOCS_MAX (1u << 23)  /* of a table; larger ones are not believed */
#define DYNAMIC_MAX (1u << 16) /* entries of the dynamic section */
#define NOTES_MAX (1u << 16)   /* bytes of a segment */
#define STRING_MAX 4096	       /* of sections and symbols: longer ones count as none */
#define BUILD_ID_MAX 64	       /* bytes; linkers write 8 to 32 */
#define PAGE_SIZE 4096

struct extent {
	const uint8_t *data; /* NULL when there are no bytes */
	uint64_t size;
};

struct symbols {
	struct extent entries; /* Elf64_Sym[], not necessarily aligned */
	struct extent names;
};

struct reloc {
	uint64_t addr;
	uint64_t value; /* an addend or a symbol's index */
};

struct reloc_list {
	struct reloc *items; /* by address */
	size_t n;
};

/* Behind a pointer, so that a look-up in a const file can build it. */
struct reloc_index {
	bool built;
	int err;		    /* it could not be built: 0 or a negative code */
	struct reloc_list relative; /* R_X86_64_RELATIVE: addends */
	struct reloc_list slots;    /* R_X86_64_JUMP_SLOT and R_X86_64_GLOB_DAT: symbol indices */
	struct reloc_list copies;   /* R_X86_64_COPY: symbol indices */
};

struct elf_file {
	uint8_t *map;
	uint64_t size;
	GElf_Phdr *segments; /* PT_LOAD, PT_NOTE, PT_DYNAMIC; cut to the file's size */
	size_t nsegments;
	struct elf_section *sections;
	size_t nsections;
	struct symbols dynsym, symtab;
	struct reloc_index *relocs;
	char build_id[2 * BUILD_ID_MAX + 1];
	dev_t dev;
	ino_t ino;
};

/* The bytes [offset, offset + size) of the file, or none when they are not all there. */
static struct extent extent_at(const struct elf_file *elf, uint64_t offset, uint64_t size)
{
	if (offset > elf->size || size > elf->size - offset)
		return (struct extent){ NULL, 0 };
	return (struct extent){ elf->map + offset, size };
}

static uint64_t at_most(uint64_t n, uint64_t max)
{
	return n < max ? n : max;
}

/* Whether `offset` in a string table begins a string that ends inside it. */
static bool is_string(struct extent table, uint64_t offset)
{
	return table.data && offset < table.size &&
	       memchr(table.data + offset, '\0', at_most(table.size - offset, STRING_MAX));
}

static int read_segments(struct elf_file *elf, Elf *handle)
{
	size_t n;
	GElf_Phdr ph;

	if (elf_getphdrnum(handle, &n) != 0 || n > SEGMENTS_MAX)
		return -DIAG_BAD_DATA;
	elf->segments = calloc(n ? n : 1, sizeof(*elf->segments));
	if (!elf->segments)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(handle, (int)i, &ph))
			return -DIAG_BAD_DATA;
		if (ph.p_type != PT_LOAD && ph.p_type != PT_NOTE && ph.p_type != PT_DYNAMIC)
			continue;
		if (ph.p_offset > elf->size || ph.p_memsz > UINT64_MAX - ph.p_vaddr)
			continue;
		if (ph.p_filesz > elf->size - ph.p_offset)
			ph.p_filesz = elf->size - ph.p_offset;
		if (ph.p_filesz > ph.p_memsz)
			ph.p_filesz = ph.p_memsz;
		elf->segments[elf->nsegments++] = ph;
	}
	return 0;
}

static void read_symbols(const struct elf_file *elf, Elf *handle, const GElf_Shdr *sh, struct symbols *out)
{
	GElf_Shdr names;
	Elf_Scn *scn = elf_getscn(handle, sh->sh_link);

	if (sh->sh_entsize != sizeof(Elf64_Sym) || !scn || !gelf_getshdr(scn, &names) || names.sh_type != SHT_STRTAB)
		return;
	out->entries = extent_at(elf, sh->sh_offset, sh->sh_size);
	out->names = extent_at(elf, names.sh_offset, names.sh_size);
}

static int read_sections(struct elf_file *elf, Elf *handle)
{
	struct extent names = { NULL, 0 }, bytes;
	GElf_Shdr sh;
	size_t n, names_index;
	Elf_Scn *scn;

	if (elf_getshdrnum(handle, &n) != 0 || n > SECTIONS_MAX)
		return -DIAG_BAD_DATA;
	elf->sections = calloc(n ? n : 1, sizeof(*elf->sections));
	if (!elf->sections)
		return -ENOMEM;
	if (elf_getshdrstrndx(handle, &names_index) == 0 && (scn = elf_getscn(handle, names_index)) &&
	    gelf_getshdr(scn, &sh) && sh.sh_type == SHT_STRTAB)
		names = extent_at(elf, sh.sh_offset, sh.sh_size);
	for (size_t i = 0; i < n; i++) {
		struct elf_section *s = &elf->sections[elf->nsections++];

		s->name = "";
		scn = elf_getscn(handle, i);
		if (!scn || !gelf_getshdr(scn, &sh))
			continue;
		if (is_string(names, sh.sh_name))
			s->name = (const char *)names.data + sh.sh_name;
		bytes = sh.sh_type == SHT_NOBITS ? (struct extent){ NULL, sh.sh_size }
						 : extent_at(elf, sh.sh_offset, sh.sh_size);
		s->type = sh.sh_type;
		s->flags = sh.sh_flags;
		s->addr = sh.sh_addr;
		s->size = bytes.size;
		s->data = bytes.data;
		if (sh.sh_type == SHT_DYNSYM)
			read_symbols(elf, handle, &sh, &elf->dynsym);
		else if (sh.sh_type == SHT_SYMTAB)
			read_symbols(elf, handle, &sh, &elf->symtab);
	}
	return 0;
}

static uint64_t round_up(uint64_t n, uint64_t align)
{
	return (n + align - 1) & ~(align - 1);
}

/* Looks through one PT_NOTE segment. The format: elf(5), "Notes (Nhdr)"; the padding is 8 only where p_align is. */
static bool read_build_id(struct elf_file *elf, const GElf_Phdr *ph)
{
	static const char owner[] = "GNU";
	uint64_t align = ph->p_align == 8 ? 8 : 4, size = at_most(ph->p_filesz, NOTES_MAX), at = 0, name, desc;
	const uint8_t *notes = elf->map + ph->p_offset;
	Elf64_Nhdr nh;

	while (size - at >= sizeof(nh)) {
		memcpy(&nh, notes + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = round_up(name + nh.n_namesz, align); /* all three are 32-bit numbers: no overflow */
		at = round_up(desc + nh.n_descsz, align);
		if (desc + nh.n_descsz > size)
			return false;
		if (nh.n_type == NT_GNU_BUILD_ID && nh.n_namesz == sizeof(owner) && nh.n_descsz <= BUILD_ID_MAX &&
		    memcmp(notes + name, owner, sizeof(owner)) == 0) {
			for (size_t i = 0; i < nh.n_descsz; i++)
				snprintf(elf->build_id + 2 * i, 3, "%02x", notes[desc + i]);
			return true;
		}
		if (at > size)
			return false;
	}
	return false;
}

static int map_file(struct elf_file *elf, const char *path, const char **cause)
{
	struct stat st;
	int fd, err = 0;

	/* Not a device, whose open could act, nor a pipe, whose open could wait. Looked at before and after the open:
	 * the name may be the target's, and change in between. */
	if (stat(path, &st) < 0) {
		err = -errno;
		*cause = diag_strerror(err);
		return err;
	}
	fd = S_ISREG(st.st_mode) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	if (fd < 0) {
		err = S_ISREG(st.st_mode) ? -errno : -DIAG_BAD_DATA;
		*cause = S_ISREG(st.st_mode) ? diag_strerror(err) : "not a regular file";
		return err;
	}
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_SIZE_MAX ||
	    (size_t)st.st_size < sizeof(Elf64_Ehdr)) {
		err = -DIAG_BAD_DATA;
		*cause = "not an ELF file";
		goto out;
	}
	elf->size = (uint64_t)st.st_size;
	elf->dev = st.st_dev;
	elf->ino = st.st_ino;
	/* Shared, though it is only read: into private mappings, which could be made executable, the kernel puts the
	 * breakpoints of everybody's uprobes (valid_vma() in kernel/events/uprobes.c), and we would take them for the
	 * file's code. */
	elf->map = mmap(NULL, elf->size, PROT_READ, MAP_SHARED, fd, 0);
	if (elf->map == MAP_FAILED) {
		elf->map = NULL;
		err = -errno;
		*cause = diag_strerror(err);
	}
out:
	close(fd);
	return err;
}

static int check_kind(const struct elf_file *elf, const char **cause)
{
	Elf64_Ehdr eh;

	memcpy(&eh, elf->map, sizeof(eh));
	if (memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0) {
		*cause = "not an ELF file";
		return -DIAG_BAD_DATA;
	}
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB || eh.e_machine != EM_X86_64) {
		*cause = "not an ELF file for x86-64";
		return -DIAG_UNSUPPORTED;
	}
	return 0;
}

static int read_headers(struct elf_file *elf, const char **cause)
{
	Elf *handle;
	int err;

	*cause = "a damaged ELF file";
	elf_version(EV_CURRENT);
	/* libelf takes a pointer to bytes that it could write to; with elf_memory it does not. */
	handle = elf_memory((char *)elf->map, elf->size);
	if (!handle)
		return -DIAG_BAD_DATA;
	err = elf_kind(handle) == ELF_K_ELF ? read_segments(elf, handle) : -DIAG_BAD_DATA;
	if (!err)
		err = read_sections(elf, handle);
	elf_end(handle);
	if (err == -ENOMEM)
		*cause = diag_strerror(err);
	if (err)
		return err;
	for (size_t i = 0; i < elf->nsegments; i++)
		if (elf->segments[i].p_type == PT_NOTE && read_build_id(elf, &elf->segments[i]))
			break;
	return 0;
}

static int open_file(const char *path, struct elf_file **out, const char **cause)
{
	struct elf_file *elf = calloc(1, sizeof(*elf));
	int err = -ENOMEM;

	*out = NULL;
	*cause = diag_strerror(err);
	if (elf)
		elf->relocs = calloc(1, sizeof(*elf->relocs));
	if (!elf || !elf->relocs)
		goto out;
	err = map_file(elf, path, cause);
	if (!err)
		err = check_kind(elf, cause);
	if (!err)
		err = read_headers(elf, cause);
	if (!err) {
		*out = elf;
		return 0;
	}
out:
	elf_file__close(elf);
	return err;
}

int elf_file__open(const char *path, struct elf_file **out)
{
	const char *cause;
	int err = open_file(path, out, &cause);

	return err ? diag_error(err, "%s: %s", path, cause) : 0;
}

int elf_file__probe(const char *path, struct elf_file **out)
{
	const char *cause;

	return open_file(path, out, &cause);
}

static void clear_index(struct reloc_index *index)
{
	free(index->relative.items);
	free(index->slots.items);
	free(index->copies.items);
	memset(index, 0, sizeof(*index));
}

void elf_file__close(struct elf_file *elf)
{
	if (!elf)
		return;
	if (elf->map)
		munmap(elf->map, elf->size);
	if (elf->relocs)
		clear_index(elf->relocs);
	free(elf->relocs);
	free(elf->segments);
	free(elf->sections);
	free(elf);
}

/* Whether a symbol's name is `name`, or `name` with a version ("name@V", "name@@V") as .symtab writes it. */
static bool name_is(struct extent names, uint64_t offset, const char *name, size_t len)
{
	const uint8_t *s;

	if (offset >= names.size || len >= names.size - offset)
		return false;
	s = names.data + offset;
	return s[0] == (uint8_t)name[0] && memcmp(s, name, len) == 0 && (s[len] == '\0' || s[len] == '@');
}

/* A global one wins over local ones, of which several may share a name. */
static bool find_symbol(const struct symbols *table, const char *name, struct elf_symbol *out)
{
	size_t n = at_most(table->entries.size / sizeof(Elf64_Sym), SYMBOLS_MAX), len = strlen(name);
	bool found = false;
	Elf64_Sym sym;
	unsigned type;

	if (len == 0 || !table->names.data)
		return false;
	for (size_t i = 1; i < n; i++) {
		memcpy(&sym, table->entries.data + i * sizeof(sym), sizeof(sym));
		if (!name_is(table->names, sym.st_name, name, len))
			continue;
		type = ELF64_ST_TYPE(sym.st_info);
		/* Undefined, or not an address: absolute, thread-local (an offset), names of sections and files. */
		if (sym.st_shndx == SHN_UNDEF || sym.st_shndx == SHN_ABS || sym.st_shndx == SHN_COMMON ||
		    type == STT_TLS || type == STT_SECTION || type == STT_FILE)
			continue;
		if (found && ELF64_ST_BIND(sym.st_info) == STB_LOCAL)
			continue;
		out->addr = sym.st_value;
		out->size = sym.st_size;
		found = true;
		if (ELF64_ST_BIND(sym.st_info) != STB_LOCAL)
			break;
	}
	return found;
}

int elf_file__symbol(const struct elf_file *elf, const char *name, struct elf_symbol *out)
{
	return find_symbol(&elf->dynsym, name, out) || find_symbol(&elf->symtab, name, out) ? 0 : -ENOENT;
}

size_t elf_file__section_count(const struct elf_file *elf)
{
	return elf->nsections;
}

int elf_file__section(const struct elf_file *elf, size_t i, struct elf_section *out)
{
	if (i >= elf->nsections)
		return -ERANGE;
	*out = elf->sections[i];
	return 0;
}

/* The PT_LOAD segment that holds `addr`, with bytes or without. */
static const GElf_Phdr *segment_of(const struct elf_file *elf, uint64_t addr)
{
	for (size_t i = 0; i < elf->nsegments; i++) {
		const GElf_Phdr *ph = &elf->segments[i];

		if (ph->p_type == PT_LOAD && addr >= ph->p_vaddr && addr - ph->p_vaddr < ph->p_memsz)
			return ph;
	}
	return NULL;
}

const uint8_t *elf_file__at(const struct elf_file *elf, uint64_t addr, size_t *len)
{
	const GElf_Phdr *ph = segment_of(elf, addr);
	uint64_t into, left;

	if (!ph || addr - ph->p_vaddr >= ph->p_filesz) {
		*len = 0;
		return NULL;
	}
	into = addr - ph->p_vaddr;
	left = ph->p_filesz - into;
	if (*len > left)
		*len = left;
	return elf->map + ph->p_offset + into;
}

int elf_file__file_offset(const struct elf_file *elf, uint64_t addr, uint64_t *offset)
{
	const GElf_Phdr *ph = segment_of(elf, addr);

	if (!ph || addr - ph->p_vaddr >= ph->p_filesz)
		return -ERANGE;
	*offset = ph->p_offset + (addr - ph->p_vaddr);
	return 0;
}

bool elf_file__is_code(const struct elf_file *elf, uint64_t addr)
{
	const GElf_Phdr *ph = segment_of(elf, addr);

	return ph && (ph->p_flags & PF_X);
}

uint64_t elf_file__base(const struct elf_file *elf)
{
	const GElf_Phdr *first = NULL;
	uint64_t align;

	for (size_t i = 0; i < elf->nsegments; i++)
		if (elf->segments[i].p_type == PT_LOAD && (!first || elf->segments[i].p_vaddr < first->p_vaddr))
			first = &elf->segments[i];
	if (!first)
		return 0;
	align = first->p_align;
	if (align == 0 || (align & (align - 1)) != 0)
		align = PAGE_SIZE;
	return first->p_vaddr & ~(align - 1);
}

bool elf_file__position_independent(const struct elf_file *elf)
{
	Elf64_Ehdr eh;

	memcpy(&eh, elf->map, sizeof(eh));
	return eh.e_type == ET_DYN;
}

bool elf_file__has_symtab(const struct elf_file *elf)
{
	return elf->symtab.entries.data != NULL;
}

const char *elf_file__build_id(const struct elf_file *elf)
{
	return elf->build_id;
}

bool elf_file__same(const struct elf_file *a, const struct elf_file *b)
{
	return a->build_id[0] ? !strcmp(a->build_id, b->build_id)
			      : !b->build_id[0] && a->dev == b->dev && a->ino == b->ino;
}

/* The value of a tag of the dynamic section, as the loader finds it. 0 where the tag is absent, which for all tags that
 * we ask for means the same. */
static uint64_t dynamic_value(const struct elf_file *elf, int64_t tag)
{
	Elf64_Dyn dyn;

	for (size_t i = 0; i < elf->nsegments; i++) {
		const GElf_Phdr *ph = &elf->segments[i];

		if (ph->p_type != PT_DYNAMIC)
			continue;
		for (uint64_t k = 0; k < at_most(ph->p_filesz / sizeof(dyn), DYNAMIC_MAX); k++) {
			memcpy(&dyn, elf->map + ph->p_offset + k * sizeof(dyn), sizeof(dyn));
			if (dyn.d_tag == DT_NULL)
				break;
			if (dyn.d_tag == tag)
				return dyn.d_un.d_val;
		}
	}
	return 0;
}

static int compare_relocs(const void *a, const void *b)
{
	uint64_t x = ((const struct reloc *)a)->addr, y = ((const struct reloc *)b)->addr;

	return x < y ? -1 : x > y;
}

/* Linkers sort RELATIVE relocations by address; nothing obliges them to. */
static void sort_relocs(struct reloc_list *list)
{
	for (size_t i = 1; i < list->n; i++)
		if (list->items[i].addr < list->items[i - 1].addr) {
			qsort(list->items, list->n, sizeof(*list->items), compare_relocs);
			return;
		}
}

/* One table of Elf64_Rela into the lists; with `count_only` only their sizes grow. */
static void index_table(struct reloc_index *index, struct extent table, bool count_only)
{
	struct reloc_list *list;
	Elf64_Rela rela;
	unsigned type;

	for (uint64_t at = 0; table.size - at >= sizeof(rela); at += sizeof(rela)) {
		memcpy(&rela, table.data + at, sizeof(rela));
		type = ELF64_R_TYPE(rela.r_info);
		if (type == R_X86_64_RELATIVE)
			list = &index->relative;
		else if (type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT)
			list = &index->slots;
		else if (type == R_X86_64_COPY)
			list = &index->copies;
		else
			continue;
		if (!count_only) {
			list->items[list->n].addr = rela.r_offset;
			list->items[list->n].value = list == &index->relative ? (uint64_t)rela.r_addend
									      : ELF64_R_SYM(rela.r_info);
		}
		list->n++;
	}
}

static struct extent loaded_table(const struct elf_file *elf, int64_t addr_tag, int64_t size_tag)
{
	size_t len = dynamic_value(elf, size_tag);
	const uint8_t *data = elf_file__at(elf, dynamic_value(elf, addr_tag), &len);

	return (struct extent){ data, data ? len : 0 };
}

static int fill_index(const struct elf_file *elf, struct reloc_index *index)
{
	struct extent tables[2];

	tables[0] = loaded_table(elf, DT_RELA, DT_RELASZ);
	tables[1] = loaded_table(elf, DT_JMPREL, DT_PLTRELSZ);
	for (int i = 0; i < 2; i++) {
		if (tables[i].size / sizeof(Elf64_Rela) > RELOCS_MAX)
			return -ERANGE;
		index_table(index, tables[i], true);
	}
	index->relative.items = calloc(index->relative.n + 1, sizeof(struct reloc));
	index->slots.items = calloc(index->slots.n + 1, sizeof(struct reloc));
	index->copies.items = calloc(index->copies.n + 1, sizeof(struct reloc));
	index->relative.n = index->slots.n = index->copies.n = 0;
	if (!index->relative.items || !index->slots.items || !index->copies.items)
		return -ENOMEM;
	for (int i = 0; i < 2; i++)
		index_table(index, tables[i], false);
	sort_relocs(&index->relative);
	sort_relocs(&index->slots);
	return 0;
}

/* At the first look-up, whether it succeeds or not: there may be millions of look-ups. */
static int build_index(const struct elf_file *elf)
{
	struct reloc_index *index = elf->relocs;
	int err;

	if (index->built)
		return index->err;
	err = fill_index(elf, index);
	if (err)
		clear_index(index);
	index->built = true;
	index->err = err;
	return err;
}

static const struct reloc *find_reloc(const struct reloc_list *list, uint64_t addr)
{
	size_t low = 0, high = list->n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (list->items[middle].addr < addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->n && list->items[low].addr == addr ? &list->items[low] : NULL;
}

/* RELR needs no look-up: it adds the bias to the word that stands in the file, so at bias 0 that word is the answer. */
int elf_file__word(const struct elf_file *elf, uint64_t addr, uint64_t *out)
{
	size_t len = sizeof(*out);
	const uint8_t *bytes = elf_file__at(elf, addr, &len);
	const struct reloc *reloc;
	int err;

	if (!bytes || len < sizeof(*out))
		return -ERANGE;
	err = build_index(elf);
	if (err)
		return err;
	reloc = find_reloc(&elf->relocs->relative, addr);
	if (reloc)
		*out = reloc->value;
	else
		memcpy(out, bytes, sizeof(*out));
	return 0;
}

/* The name of a symbol that a relocation refers to; NULL when the table or the name is damaged. */
static const char *dynamic_name(const struct elf_file *elf, uint64_t index)
{
	Elf64_Sym sym;

	if (index >= elf->dynsym.entries.size / sizeof(sym))
		return NULL;
	memcpy(&sym, elf->dynsym.entries.data + index * sizeof(sym), sizeof(sym));
	if (sym.st_name == 0 || !is_string(elf->dynsym.names, sym.st_name))
		return NULL;
	return (const char *)elf->dynsym.names.data + sym.st_name;
}

int elf_file__copied(const struct elf_file *elf, const char *name, uint64_t *addr)
{
	const struct reloc_list *copies = &elf->relocs->copies;
	const char *copied;

	if (build_index(elf) != 0)
		return -ENOENT;
	for (size_t i = 0; i < copies->n; i++) {
		copied = dynamic_name(elf, copies->items[i].value);
		if (copied && strcmp(copied, name) == 0) {
			*addr = copies->items[i].addr;
			return 0;
		}
	}
	return -ENOENT;
}

const char *elf_file__plt_name(const struct elf_file *elf, uint64_t addr)
{
	static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa }, jmp_rip[] = { 0xff, 0x25 };
	size_t len = 16, at = 0;
	const uint8_t *code = elf_file__at(elf, addr, &len);
	const struct reloc *slot;
	int32_t displacement;

	if (!code || !elf_file__is_code(elf, addr))
		return NULL;
	if (len >= sizeof(endbr64) && memcmp(code, endbr64, sizeof(endbr64)) == 0)
		at += sizeof(endbr64);
	if (len > at && code[at] == 0xf2) /* bnd */
		at++;
	if (len - at < sizeof(jmp_rip) + 4 || memcmp(code + at, jmp_rip, sizeof(jmp_rip)) != 0)
		return NULL;
	at += sizeof(jmp_rip);
	memcpy(&displacement, code + at, sizeof(displacement));
	at += sizeof(displacement);
	if (build_index(elf) != 0)
		return NULL;
	slot = find_reloc(&elf->relocs->slots, addr + at + (uint64_t)(int64_t)displacement);
	return slot ? dynamic_name(elf, slot->value) : NULL;
}
