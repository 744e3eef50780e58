/*
 * test_bounds: ELF files that claim more than any file holds, and large ones that are made so that tables are searched
 * again and again. What is checked is that they are done with, and in little memory: a hang is a failure.
 */
#include "addrmap.h"
#include "check.h"
#include "diag.h"
#include "elf.h"
#include "elf_image.h"
#include "layout.h"
#include "opmap.h"
#include "site.h"
#include "target.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOLE (UINT64_C(1) << 20)   /* where files have what does not fit into an image; before it there is nothing */
#define LOADED (UINT64_C(1) << 40) /* where that is loaded */
#define SIZE (UINT64_C(1) << 33)   /* of files with holes: as many zeros as they want */
#define READ_MAX (512 << 20)	   /* as much of them may be read */
#define MANY_SECTIONS 65000	   /* as many as fit into e_shnum */
#define SECTIONS_AT (UINT64_C(1) << 32) /* their headers */

/* A file that begins as one of elf_image's. */
struct file {
	uint8_t bytes[2 * ELF_IMAGE_MAX];
	size_t n;
	int fd;
	char path[64];
	struct elf_file *elf;
};

static const struct elf_image no_python = { .fixed = true }, python311 = { .minor = 11, .fixed = true },
			      python312 = { .minor = 12, .fixed = true };

static char last_message[1024];

static void keep_message(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)ctx;
	snprintf(last_message, sizeof(last_message), "%s", message);
}

static Elf64_Ehdr *header(struct file *f)
{
	return (Elf64_Ehdr *)(void *)f->bytes;
}

static Elf64_Phdr *segment(struct file *f, unsigned i)
{
	return (Elf64_Phdr *)(void *)(f->bytes + header(f)->e_phoff) + i;
}

static Elf64_Shdr *section(struct file *f, uint32_t type)
{
	Elf64_Shdr *sh = (Elf64_Shdr *)(void *)(f->bytes + header(f)->e_shoff);

	while (sh->sh_type != type)
		sh++;
	return sh;
}

static struct file *new_file(const struct elf_image *image)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->n = elf_image__make(image, f->bytes);
	f->fd = memfd_create("test_bounds", MFD_CLOEXEC);
	snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->fd);
	return f;
}

/* Moves the program headers to where there is room for more, and adds one. */
static Elf64_Phdr *add_segment(struct file *f, Elf64_Phdr ph)
{
	Elf64_Ehdr *eh = header(f);
	size_t n = eh->e_phnum * sizeof(ph), at = ELF_IMAGE_MAX;

	if (eh->e_phoff != at)
		memmove(f->bytes + at, f->bytes + eh->e_phoff, n);
	eh->e_phoff = at;
	eh->e_phnum++;
	f->n = at + n + sizeof(ph);
	*segment(f, eh->e_phnum - 1u) = ph;
	return segment(f, eh->e_phnum - 1u);
}

static void put(const struct file *f, uint64_t at, const void *bytes, size_t n)
{
	if (pwrite(f->fd, bytes, n, (off_t)at) != (ssize_t)n)
		abort();
}

static int open_file(struct file *f)
{
	put(f, 0, f->bytes, f->n);
	if (ftruncate(f->fd, (off_t)SIZE))
		abort();
	return elf_file__open(f->path, &f->elf);
}

static void close_file(struct file *f)
{
	struct stat st;

	elf_file__close(f->elf);
	/* Holes in memory are filled where they are read. */
	if (CHECK_EQ(fstat(f->fd, &st), 0))
		CHECK(st.st_blocks * 512 < READ_MAX);
	close(f->fd);
	free(f);
}

static void notes(void)
{
	struct file *f = new_file(&no_python);

	*segment(f, 3) = (Elf64_Phdr){ 0 }; /* its own */
	while (header(f)->e_phnum < 256)
		add_segment(f, (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = HOLE, .p_filesz = SIZE, .p_memsz = SIZE });
	if (CHECK_EQ(open_file(f), 0))
		CHECK_STR_EQ(elf_file__build_id(f->elf), "");
	close_file(f);
}

static void symbols(uint64_t size, bool found)
{
	struct file *f = new_file(&python312);
	struct elf_symbol sym;
	Elf64_Shdr *dynsym = section(f, SHT_DYNSYM);

	section(f, SHT_SYMTAB)->sh_type = SHT_NULL;
	/* The first ones are where they were. */
	put(f, HOLE, f->bytes + dynsym->sh_offset, dynsym->sh_size);
	dynsym->sh_offset = HOLE;
	dynsym->sh_size = size;
	if (CHECK_EQ(open_file(f), 0)) {
		CHECK_EQ(elf_file__symbol(f->elf, "_PyEval_EvalFrameDefault", &sym), found ? 0 : -ENOENT);
		for (int i = 0; i < 20; i++)
			CHECK_EQ(elf_file__symbol(f->elf, "no_such_symbol", &sym), -ENOENT);
	}
	close_file(f);
}

static void relocations(uint64_t size, int want)
{
	struct file *f = new_file(&no_python);
	uint64_t dyn[2], word;
	size_t at = section(f, SHT_DYNAMIC)->sh_offset;

	for (; memcpy(dyn, f->bytes + at, sizeof(dyn)), dyn[0] != DT_NULL; at += sizeof(dyn)) {
		if (dyn[0] == DT_RELA)
			dyn[1] = LOADED;
		if (dyn[0] == DT_RELASZ)
			dyn[1] = size;
		memcpy(f->bytes + at, dyn, sizeof(dyn));
	}
	add_segment(f, (Elf64_Phdr){ PT_LOAD, PF_R, HOLE, LOADED, LOADED, SIZE, SIZE, 4096 });
	if (CHECK_EQ(open_file(f), 0))
		for (int i = 0; i < 1000; i++)
			CHECK_EQ(elf_file__word(f->elf, ELF_IMAGE_FIXED_BASE, &word), want);
	close_file(f);
}

/* Section headers by the thousand, all of them as this one. */
static void put_sections(struct file *f, const Elf64_Shdr *sh)
{
	Elf64_Shdr *all = calloc(MANY_SECTIONS, sizeof(*all));
	Elf64_Ehdr *eh = header(f);

	if (!all)
		abort();
	for (unsigned i = 0; i < MANY_SECTIONS; i++)
		all[i] = *sh;
	memcpy(all, f->bytes + eh->e_shoff, eh->e_shnum * sizeof(*all));
	put(f, SECTIONS_AT, all, MANY_SECTIONS * sizeof(*all));
	free(all);
	eh->e_shoff = SECTIONS_AT;
	eh->e_shnum = MANY_SECTIONS;
}

/* All names begin in 64 MB without an end. */
static void section_names(void)
{
	static uint8_t text[1 << 16];
	struct file *f = new_file(&no_python);
	Elf64_Shdr *names = (Elf64_Shdr *)(void *)(f->bytes + header(f)->e_shoff) + header(f)->e_shstrndx;
	struct elf_section s;

	memset(text, 'a', sizeof(text));
	names->sh_offset = HOLE;
	names->sh_size = 64 << 20;
	for (uint64_t at = 0; at < names->sh_size; at += sizeof(text))
		put(f, HOLE + at, text, sizeof(text));
	put_sections(f, &(Elf64_Shdr){ .sh_name = 1, .sh_type = SHT_NOTE });
	if (CHECK_EQ(open_file(f), 0)) {
		CHECK_EQ(elf_file__section(f->elf, MANY_SECTIONS - 1, &s), 0);
		CHECK_STR_EQ(s.name, "");
	}
	close_file(f);
}

/* A program that is linked with a million libraries that are not there. */
static void libraries(void)
{
	const struct elf_image image = { .needed = "libpython3.9.so.1.0", .runpath = "$ORIGIN:/:/" };
	char folder[] = "/tmp/test_bounds-XXXXXX", path[64], *found;
	struct file *f = new_file(&image);
	Elf64_Shdr *dynamic = section(f, SHT_DYNAMIC);
	Elf64_Dyn *all = calloc(1 << 20, sizeof(*all));

	if (!all || !mkdtemp(folder))
		abort();
	snprintf(path, sizeof(path), "%s/program", folder);
	close(f->fd);
	f->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	memcpy(all, f->bytes + dynamic->sh_offset, sizeof(*all));
	for (size_t i = 1; i < 1 << 20; i++)
		all[i] = all[0];
	memcpy(all + 1000, f->bytes + dynamic->sh_offset, dynamic->sh_size);
	dynamic->sh_offset = HOLE;
	dynamic->sh_size = sizeof(*all) << 20;
	put(f, HOLE, all, dynamic->sh_size);
	put(f, 0, f->bytes, f->n);
	CHECK_EQ(target_find_interpreter(path, &found), -DIAG_NOT_PYTHON);
	unlink(path);
	rmdir(folder);
	free(all);
	close_file(f);
}

static int find_sites(struct file *f, uint8_t minor, struct site_set *set)
{
	return site_set__find(f->elf, layout__find(3, minor, false), opmap__find(3, minor), NULL, set);
}

/* Each data section is the same 64 MB, which are loaded. The table lies in front of them, or behind. */
static void data_sections(bool in_front)
{
	struct file *f = new_file(&python312);
	Elf64_Shdr sh = { .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = LOADED, .sh_offset = HOLE };
	struct site_set set;

	sh.sh_size = 64 << 20;
	add_segment(f, (Elf64_Phdr){ PT_LOAD, PF_R, HOLE, LOADED, LOADED, sh.sh_size, sh.sh_size, 4096 });
	if (!in_front)
		for (Elf64_Shdr *own = section(f, SHT_PROGBITS); own < section(f, SHT_SYMTAB); own++)
			own->sh_flags = 0;
	put_sections(f, &sh);
	if (CHECK_EQ(open_file(f), 0))
		CHECK_EQ(find_sites(f, 12, &set), in_front ? 0 : -DIAG_NO_SITE);
	close_file(f);
}

/* An evaluation function of 4 MB, the largest that is searched, that repeats a few instructions. */
static void large_function(const struct elf_image *image, const void *code, size_t n, int want)
{
	static uint8_t text[4 << 20];
	struct file *f = new_file(image);
	Elf64_Shdr *dynsym = section(f, SHT_DYNSYM);
	Elf64_Sym sym;
	struct site_set set;

	for (size_t at = 0; at + n <= sizeof(text); at += n)
		memcpy(text + at, code, n);
	put(f, HOLE, text, sizeof(text));
	add_segment(f, (Elf64_Phdr){ PT_LOAD, PF_R | PF_X, HOLE, LOADED, LOADED, sizeof(text), sizeof(text), 4096 });
	memcpy(&sym, f->bytes + dynsym->sh_offset + sizeof(sym), sizeof(sym)); /* it is the first one */
	sym.st_value = LOADED;
	sym.st_size = sizeof(text);
	memcpy(f->bytes + dynsym->sh_offset + sizeof(sym), &sym, sizeof(sym));
	if (CHECK_EQ(open_file(f), 0))
		CHECK_EQ(find_sites(f, image->minor, &set), want);
	close_file(f);
}

/* As if exceptions left frames in a million places. */
static void unwind_tests(void)
{
	uint8_t code[] = { 0x80, 0xbb, 0, 0, 0, 0, 0, 0x74, 0 }; /* cmpb $0, is_entry(%rbx); je */

	memcpy(code + 2, &layout__find(3, 11, false)->frame_is_entry, 4);
	large_function(&python311, code, sizeof(code), -DIAG_NO_SITE);
	CHECK(strstr(last_message, "found 64 times")); /* and no further */
}

static uint64_t unxorshift(uint64_t x, unsigned n)
{
	uint64_t y = x;

	while (y >>= n)
		x ^= y;
	return x;
}

/* The number whose product with an odd one is 1, modulo 2^64. */
static uint64_t inverse(uint64_t odd)
{
	uint64_t x = odd;

	for (int i = 0; i < 6; i++)
		x *= 2 - odd * x;
	return x;
}

/* Keys of which all would fall on one slot, if the map had no secret. */
static void chosen_keys(void)
{
	struct addrmap map = { 0 };
	uint64_t key;

	for (uint64_t i = 1; i <= 400000; i++) {
		key = unxorshift(i << 32, 31);
		key = unxorshift(key * inverse(0x94d049bb133111ebu), 27);
		key = unxorshift(key * inverse(0xbf58476d1ce4e5b9u), 30);
		addrmap__add(&map, key, NULL);
	}
	CHECK_EQ(map.used, 400000);
	addrmap__clear(&map);
}

int main(void)
{
	check_processor_seconds(100); /* a hang is a failure */
	diag_set_callback(keep_message, NULL);
	notes();
	symbols(UINT64_C(1) << 60, false);
	symbols(SIZE - HOLE, true);
	relocations(UINT64_C(1) << 60, -ERANGE);
	relocations(SIZE - HOLE, -ERANGE);
	relocations(24 * 1000, 0);
	section_names();
	libraries();
	data_sections(true);
	data_sections(false);
	large_function(&python312, "\xeb\xfe", 2, 0); /* jumps */
	large_function(&python312, "\x06", 1, 0);     /* no instruction */
	unwind_tests();
	chosen_keys();
	return check_done();
}
