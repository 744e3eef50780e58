/*
 * elf: our own executable against what the loader made of it; damaged copies of it; the interpreters found here, whose
 * type objects are known to begin alike.
 */
#include "diag.h"
#include "elf.h"
#include "check.h"
#include "interpreters.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define DAMAGE_SEED 20240229
#define DAMAGE_ROUNDS 6000

extern const char *const check_table[4];
extern int check_zeroed[1000];
int main(void);

/* Pointers that the loader relocates (unless we are linked at a fixed address), and bytes that the file lacks. */
const char *const check_table[4] = { "zero", "one", NULL, "three" };
int check_zeroed[1000];

static unsigned messages;

static void count_messages(enum diag_level level, const char *message, void *ctx)
{
	(void)level;
	(void)message;
	(void)ctx;
	messages++;
}

static void test_self_symbols(const struct elf_file *elf)
{
	struct elf_symbol sym, zeroed;
	uint64_t bias, offset, word;
	const uint8_t *bytes;
	size_t len = 16;
	uint8_t in_file[16];
	int fd;

	if (!CHECK_EQ(elf_file__symbol(elf, "main", &sym), 0))
		return;
	bias = (uint64_t)(uintptr_t)main - sym.addr;
	CHECK_EQ(bias % 4096, 0);
	CHECK_EQ(elf_file__position_independent(elf), bias != 0);
	CHECK(elf_file__has_symtab(elf));
	CHECK(sym.size > 0);
	CHECK(elf_file__is_code(elf, sym.addr));
	bytes = elf_file__at(elf, sym.addr, &len);
	CHECK(bytes && len == 16 && memcmp(bytes, (const void *)(uintptr_t)main, 16) == 0);
	CHECK_EQ(elf_file__file_offset(elf, sym.addr, &offset), 0);
	fd = open(SELF, O_RDONLY | O_CLOEXEC);
	CHECK(pread(fd, in_file, 16, (off_t)offset) == 16 && bytes && memcmp(bytes, in_file, 16) == 0);
	close(fd);
	if (CHECK_EQ(elf_file__symbol(elf, "check_table", &sym), 0)) {
		CHECK_EQ(sym.addr + bias, (uintptr_t)check_table);
		CHECK_EQ(sym.size, sizeof(check_table));
		CHECK(!elf_file__is_code(elf, sym.addr));
		for (unsigned i = 0; i < 4; i++) {
			CHECK_EQ(elf_file__word(elf, sym.addr + 8 * i, &word), 0);
			CHECK_EQ(word, check_table[i] ? (uintptr_t)check_table[i] - bias : 0);
		}
	}
	if (CHECK_EQ(elf_file__symbol(elf, "check_zeroed", &zeroed), 0)) {
		uint64_t last = zeroed.addr + sizeof(check_zeroed) - sizeof(int);

		CHECK_EQ(zeroed.addr + bias, (uintptr_t)check_zeroed);
		len = 4;
		CHECK(elf_file__at(elf, last, &len) == NULL && len == 0);
		CHECK_EQ(elf_file__word(elf, last, &word), -ERANGE);
		CHECK_EQ(elf_file__file_offset(elf, last, &offset), -ERANGE);
	}
	CHECK_EQ(elf_file__symbol(elf, "main_that_is_not", &sym), -ENOENT);
	CHECK_EQ(elf_file__symbol(elf, "", &sym), -ENOENT);
	CHECK_EQ(elf_file__symbol(elf, "test_elf.c", &sym), -ENOENT);
}

static void test_self_extents(const struct elf_file *elf)
{
	uint64_t base = elf_file__base(elf), word, offset;
	bool text = false, bss = false;
	struct elf_section s;
	const uint8_t *bytes;
	size_t len = SIZE_MAX;

	bytes = elf_file__at(elf, base, &len);
	CHECK(bytes && len > 64 && len < SIZE_MAX && memcmp(bytes, ELFMAG, SELFMAG) == 0);
	CHECK_EQ(base % 4096, 0);
	CHECK(!elf_file__is_code(elf, UINT64_MAX));
	CHECK_EQ(elf_file__word(elf, UINT64_MAX - 3, &word), -ERANGE);
	CHECK_EQ(elf_file__file_offset(elf, UINT64_MAX, &offset), -ERANGE);
	for (size_t i = 0; i < elf_file__section_count(elf); i++) {
		if (!CHECK_EQ(elf_file__section(elf, i, &s), 0))
			continue;
		if (strcmp(s.name, ".text") == 0) {
			text = true;
			len = s.size;
			CHECK(s.type == SHT_PROGBITS && (s.flags & SHF_EXECINSTR) && s.data);
			CHECK(elf_file__at(elf, s.addr, &len) == s.data && len == s.size);
			/* Cut at the segment's end, wherever that is. */
			len = SIZE_MAX;
			CHECK(elf_file__at(elf, s.addr, &len) == s.data && len >= s.size && len < (1u << 30));
		} else if (strcmp(s.name, ".bss") == 0) {
			bss = true;
			CHECK(s.type == SHT_NOBITS && !s.data && s.size >= sizeof(check_zeroed));
		}
	}
	CHECK(text && bss);
	CHECK_EQ(elf_file__section(elf, elf_file__section_count(elf), &s), -ERANGE);
}

/* Every stub of the PLT sections has a name or is one of the few that are no stubs. Returns how many had one. */
static unsigned count_plt_names(const struct elf_file *elf)
{
	struct elf_section s;
	unsigned named = 0;

	for (size_t i = 0; i < elf_file__section_count(elf); i++) {
		if (elf_file__section(elf, i, &s) != 0 || strncmp(s.name, ".plt", 4) != 0)
			continue;
		for (uint64_t at = 0; at < s.size; at += 8) {
			const char *name = elf_file__plt_name(elf, s.addr + at);

			if (name) {
				CHECK(name[0] != '\0');
				named++;
			}
		}
	}
	return named;
}

static void test_self(void)
{
	struct elf_symbol main_symbol = { 0 };
	struct elf_file *elf;
	uint64_t copy;

	if (!CHECK_EQ(elf_file__open(SELF, &elf), 0))
		return;
	test_self_symbols(elf);
	test_self_extents(elf);
	CHECK_EQ(strlen(elf_file__build_id(elf)) % 2, 0);
	if (elf_file__symbol(elf, "main", &main_symbol) == 0)
		CHECK(elf_file__plt_name(elf, main_symbol.addr) == NULL);
	if (count_plt_names(elf) == 0)
		CHECK_SKIP("names behind PLT stubs in our own file: it has none (linked statically)");
	if (elf_file__copied(elf, "stderr", &copy) == 0)
		CHECK_EQ(copy - main_symbol.addr, (uintptr_t)&stderr - (uintptr_t)main);
	else
		CHECK_SKIP("copy relocations: our own file has none");
	CHECK_EQ(elf_file__copied(elf, "main", &copy), -ENOENT);
	elf_file__close(elf);
}

static void test_refusals(void)
{
	static const uint8_t elf32[64] = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT };
	struct elf_file *elf;
	char path[64];
	int fd = memfd_create("test_elf", MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	messages = 0;
	CHECK_EQ(elf_file__open("/nonexistent/file", &elf), -ENOENT);
	CHECK_EQ(elf_file__open("/dev/null", &elf), -DIAG_BAD_DATA);
	CHECK_EQ(elf_file__open("/", &elf), -DIAG_BAD_DATA);
	CHECK_EQ(elf_file__open(path, &elf), -DIAG_BAD_DATA); /* empty */
	CHECK_EQ(messages, 4);
	CHECK_EQ(write(fd, elf32, sizeof(elf32)), sizeof(elf32));
	CHECK_EQ(elf_file__probe(path, &elf), -DIAG_UNSUPPORTED);
	CHECK_EQ(pwrite(fd, "\177ELG", 4, 0), 4);
	CHECK_EQ(elf_file__probe(path, &elf), -DIAG_BAD_DATA);
	CHECK(elf == NULL);
	CHECK_EQ(messages, 4);
	elf_file__close(NULL);
	close(fd);
}

static volatile unsigned touched;

/* Calls everything and reads all that we are told that we may read. */
static void exercise(const char *path, unsigned (*rnd)(void))
{
	struct elf_section s;
	struct elf_symbol sym;
	struct elf_file *elf;
	uint64_t addr, word;
	const uint8_t *bytes;
	const char *name;
	size_t len;

	if (elf_file__probe(path, &elf) != 0)
		return;
	elf_file__symbol(elf, "main", &sym);
	elf_file__symbol(elf, "no_such_symbol", &sym);
	touched += (unsigned)(strlen(elf_file__build_id(elf)) + elf_file__base(elf));
	for (size_t i = 0; i < elf_file__section_count(elf); i++) {
		elf_file__section(elf, i, &s);
		touched += (unsigned)strlen(s.name) + (elf_file__copied(elf, "stderr", &word) == 0);
		if (s.data && s.size)
			touched += s.data[0] + s.data[s.size - 1];
		if (strncmp(s.name, ".plt", 4) == 0 && (name = elf_file__plt_name(elf, s.addr)))
			touched += (unsigned)strlen(name);
		for (int k = 0; k < 20; k++) {
			addr = s.addr + (s.size ? rnd() % s.size : 0) + (uint64_t)(rnd() % 32) - 16;
			len = rnd() % 3 ? rnd() % 5000 : SIZE_MAX;
			bytes = elf_file__at(elf, addr, &len);
			if (bytes && len)
				touched += bytes[0] + bytes[len - 1];
			touched += elf_file__word(elf, addr, &word) == 0;
			touched += elf_file__is_code(elf, addr);
			touched += elf_file__file_offset(elf, addr, &word) == 0;
			name = elf_file__plt_name(elf, addr);
			touched += name ? (unsigned)strlen(name) : 0;
		}
	}
	elf_file__close(elf);
}

static unsigned random_state = DAMAGE_SEED;

static unsigned next_random(void)
{
	/* xorshift32: the same numbers everywhere. */
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

struct spot {
	uint64_t offset, size;
};

/* The parts of the file whose damage matters: headers, and the tables that we follow. */
static size_t find_spots(const uint8_t *image, size_t size, struct spot *spots, size_t max)
{
	size_t n = 0;
	Elf64_Ehdr eh;
	Elf64_Shdr sh;

	memcpy(&eh, image, sizeof(eh));
	spots[n++] = (struct spot){ 16, sizeof(eh) - 16 };
	spots[n++] = (struct spot){ eh.e_phoff, (uint64_t)eh.e_phnum * sizeof(Elf64_Phdr) };
	spots[n++] = (struct spot){ eh.e_shoff, (uint64_t)eh.e_shnum * sizeof(Elf64_Shdr) };
	for (unsigned i = 0; i < eh.e_shnum && n < max; i++) {
		memcpy(&sh, image + eh.e_shoff + i * sizeof(sh), sizeof(sh));
		if (sh.sh_size && sh.sh_offset + sh.sh_size <= size &&
		    (sh.sh_type == SHT_NOTE || sh.sh_type == SHT_DYNAMIC || sh.sh_type == SHT_RELA ||
		     sh.sh_type == SHT_DYNSYM || sh.sh_type == SHT_SYMTAB))
			spots[n++] = (struct spot){ sh.sh_offset, sh.sh_size };
	}
	return n;
}

/* Damages a word or a byte of one spot, keeping what stood there. */
static void damage(int fd, const struct spot *spot, uint64_t *where, uint8_t old[8])
{
	static const uint64_t values[] = {
		0, 1, 2, 0xff, 0xffff, 0xfff0, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX
	};
	uint64_t value = values[next_random() % (sizeof(values) / sizeof(values[0]))];
	static const uint8_t widths[] = { 1, 2, 4, 8 };
	uint8_t width = widths[next_random() % 4];

	*where = spot->offset + next_random() % spot->size;
	if (next_random() % 4)
		*where &= ~(uint64_t)(width - 1);
	if (next_random() % 3 == 0)
		value = next_random();
	if (pread(fd, old, 8, (off_t)*where) != 8 || pwrite(fd, &value, width, (off_t)*where) != width)
		*where = UINT64_MAX;
}

static void test_damaged(void)
{
	int self = open(SELF, O_RDONLY | O_CLOEXEC), fd = memfd_create("test_elf", MFD_CLOEXEC);
	struct spot spots[64];
	uint8_t old[4][8];
	uint64_t where[4];
	uint8_t *image;
	struct stat st;
	char path[64];
	size_t n;

	if (fstat(self, &st) < 0)
		abort();
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, self, 0);
	if (image == MAP_FAILED || write(fd, image, (size_t)st.st_size) != st.st_size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = find_spots(image, (size_t)st.st_size, spots, 64);
	for (int round = 0; round < DAMAGE_ROUNDS; round++) {
		int hits = 1 + (int)(next_random() % 4);

		for (int i = 0; i < hits; i++)
			damage(fd, &spots[next_random() % n], &where[i], old[i]);
		exercise(path, next_random);
		while (hits-- > 0)
			if (where[hits] != UINT64_MAX && pwrite(fd, old[hits], 8, (off_t)where[hits]) != 8)
				abort();
	}
	/* Cut short, at all lengths of the headers and at some of the rest; longest first. */
	for (off_t size = st.st_size - 1; size > 0; size = size > 4096 ? size - 1 - next_random() % 16384 : size - 7) {
		if (ftruncate(fd, size) < 0)
			abort();
		exercise(path, next_random);
	}
	CHECK(touched > 0);
	munmap(image, (size_t)st.st_size);
	close(self);
	close(fd);
}

/* The name in a type object: after ob_refcnt, ob_type and ob_size. */
static void check_type_name(const struct elf_file *elf, const char *symbol, const char *want)
{
	struct elf_symbol sym;
	uint64_t name;
	const uint8_t *bytes;
	size_t len = strlen(want) + 1;

	if (!CHECK_EQ(elf_file__symbol(elf, symbol, &sym), 0) ||
	    !CHECK_EQ(elf_file__word(elf, sym.addr + 24, &name), 0))
		return;
	bytes = elf_file__at(elf, name, &len);
	CHECK(bytes && len == strlen(want) + 1 && memcmp(bytes, want, len) == 0);
}

static void test_interpreter(const char *path)
{
	struct elf_symbol sym;
	struct elf_file *elf;

	if (!CHECK_EQ(elf_file__open(path, &elf), 0))
		return;
	if (elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &sym) == 0) {
		CHECK(elf_file__is_code(elf, sym.addr));
		check_type_name(elf, "PyCode_Type", "code");
		check_type_name(elf, "PyUnicode_Type", "str");
		check_type_name(elf, "PyDict_Type", "dict");
		CHECK(count_plt_names(elf) > 50);
		CHECK_EQ(strlen(elf_file__build_id(elf)), 40);
	}
	elf_file__close(elf);
}

static void test_interpreters(void)
{
	glob_t found;

	interpreters_find_files(&found);
	if (found.gl_pathc == 0)
		CHECK_SKIP("interpreters: none was found");
	for (size_t i = 0; i < found.gl_pathc; i++)
		test_interpreter(found.gl_pathv[i]);
	globfree(&found);
}

int main(void)
{
	diag_set_callback(count_messages, NULL);
	test_self();
	test_refusals();
	test_damaged();
	test_interpreters();
	return check_done();
}
