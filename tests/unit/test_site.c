/*
 * site: which instructions the kernel emulates, by their bytes; the sites of every interpreter found here, printed as a
 * table, also those at static probes; damaged copies of those, and one whose dispatch table cannot be told.
 */
#include "diag.h"
#include "elf.h"
#include "insn.h"
#include "layout.h"
#include "opmap.h"
#include "site.h"
#include "target.h"
#include "check.h"
#include "interpreters.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAMAGE_SEED 20240131
#define DAMAGE_ROUNDS 200 /* shared out among the interpreters */
#define MAX_FLIPS 64

static void test_emulated(void)
{
	/* As arch/x86/kernel/uprobes.c has it. A kernel may emulate more; what is said to be emulated must be. */
	static const struct {
		const char *what;
		uint8_t len, bytes[8];
		bool emulated;
	} cases[] = {
		{ "nop", 1, { 0x90 }, true },
		{ "push rax", 1, { 0x50 }, true },
		{ "push rdi", 1, { 0x57 }, true },
		{ "push r8", 2, { 0x41, 0x50 }, true },
		{ "push r15", 2, { 0x41, 0x57 }, true },
		{ "call rel32", 5, { 0xe8, 1, 2, 3, 4 }, true },
		{ "jmp rel32", 5, { 0xe9, 1, 2, 3, 4 }, true },
		{ "jmp rel8", 2, { 0xeb, 0xfe }, true },
		{ "jo rel8", 2, { 0x70, 5 }, true },
		{ "jg rel8", 2, { 0x7f, 5 }, true },
		{ "jo rel32", 6, { 0x0f, 0x80, 1, 2, 3, 4 }, true },
		{ "jg rel32", 6, { 0x0f, 0x8f, 1, 2, 3, 4 }, true },
		{ "no bytes", 0, { 0x90 }, false },
		{ "endbr64", 4, { 0xf3, 0x0f, 0x1e, 0xfa }, false },
		{ "pop rax", 1, { 0x58 }, false },
		{ "pop r8", 2, { 0x41, 0x58 }, false },
		{ "mov rax, r8", 3, { 0x4c, 0x89, 0xc0 }, false },
		{ "mov r8, rax", 3, { 0x49, 0x89, 0xc0 }, false },
		{ "push rax with a needless prefix", 2, { 0x48, 0x50 }, false },
		{ "push imm8", 2, { 0x6a, 1 }, false },
		{ "push [rax]", 2, { 0xff, 0x30 }, false },
		{ "ret", 1, { 0xc3 }, false },
		{ "jmp rax", 2, { 0xff, 0xe0 }, false },
		{ "notrack jmp rax", 3, { 0x3e, 0xff, 0xe0 }, false },
		{ "call [rax]", 2, { 0xff, 0x10 }, false },
		{ "callw, 16 bit", 4, { 0x66, 0xe8, 1, 2 }, false },
		{ "jrcxz", 2, { 0xe3, 1 }, false },
		{ "loop", 2, { 0xe2, 1 }, false },
		{ "sete al", 3, { 0x0f, 0x94, 0xc0 }, false },
		{ "ud2", 2, { 0x0f, 0x0b }, false },
		{ "0x0f alone", 1, { 0x0f }, false },
		{ "0x41 alone", 1, { 0x41 }, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!CHECK_EQ(insn_emulated(cases[i].bytes, cases[i].len), cases[i].emulated))
			fprintf(stderr, "of %s\n", cases[i].what);
}

/* The layout and opcode map of the interpreter in a file; false when there is none that is known. */
static bool describe(const struct elf_file *elf, struct py_version *version, struct layout *layout,
		     const struct opmap **opmap)
{
	struct elf_symbol sym;

	if (elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &sym) || elf_python_version(elf, version))
		return false;
	*opmap = opmap__find(version->major, version->minor);
	return !layout__of_file(elf, version, layout, NULL) && *opmap;
}

static void print_site(const char *python, const struct site *site)
{
	static const char *const kinds[SITE_KINDS] = {
		[SITE_OPCODE_RESUME] = "resume", [SITE_OPCODE_YIELD] = "yield",	  [SITE_FRAME_END] = "end",
		[SITE_FRAME_RETURN] = "return",	 [SITE_FRAME_UNWIND] = "unwind",  [SITE_FRAME_ENTER] = "enter",
		[SITE_FRAME_LEAVE] = "leave",	 [SITE_CODE_DEALLOC] = "dealloc", [SITE_USDT_ENTRY] = "usdt",
		[SITE_USDT_RETURN] = "usdt",
	};
	char tstate[4] = "-";

	if (site->tstate_reg != SITE_REG_NONE)
		snprintf(tstate, sizeof(tstate), "%u", site->tstate_reg);
	printf("%-8s %-8s %-26s %#10llx %5u %6s  %s\n", python, kinds[site->kind], site->what,
	       (unsigned long long)site->addr, site->frame_reg, tstate, site->emulated ? "emulated" : "single-stepped");
}

static void check_site(const struct elf_file *elf, int fd, const struct site *site)
{
	uint8_t bytes[16];

	CHECK(site->kind < SITE_KINDS);
	CHECK(elf_file__is_code(elf, site->addr));
	CHECK(site->frame_reg < 16 && site->frame_reg != 4); /* never the stack pointer */
	CHECK(site->tstate_reg == SITE_REG_NONE || (site->tstate_reg < 16 && site->tstate_reg != 4));
	if (CHECK(pread(fd, bytes, sizeof(bytes), (off_t)site->file_offset) == sizeof(bytes)))
		CHECK_EQ(insn_emulated(bytes, sizeof(bytes)), site->emulated);
}

/* The kinds that a version must have, and no others. */
static void check_kinds(const struct site_set *set, const struct py_version *version)
{
	unsigned n[SITE_KINDS] = { 0 };
	bool opcode = version->minor >= 11;

	for (size_t i = 0; i < set->n; i++) {
		n[set->sites[i].kind]++;
		for (size_t k = 0; k < i; k++)
			CHECK(set->sites[i].addr != set->sites[k].addr);
	}
	CHECK_STR_EQ(set->backend, opcode ? "opcode" : "frame");
	CHECK_EQ(set->ntables, opcode);
	CHECK_STR_EQ(set->dispatch, opcode ? "computed gotos" : "");
	CHECK_EQ(n[SITE_CODE_DEALLOC], 1);
	CHECK_EQ(n[SITE_FRAME_ENTER], !opcode);
	/* One, or several where the compiler made the way out several times. */
	CHECK_EQ(n[SITE_FRAME_LEAVE] > 0, !opcode);
	/* RESUME and at least one of its specialised and instrumented forms. */
	CHECK(opcode ? n[SITE_OPCODE_RESUME] >= 2 : !n[SITE_OPCODE_RESUME]);
	CHECK(!opcode == !n[SITE_OPCODE_YIELD]);
	/* 3.11 tells returns and exceptions apart, later ones have one place for both. */
	CHECK_EQ(n[SITE_FRAME_END], version->minor >= 12);
	CHECK_EQ(n[SITE_FRAME_RETURN], version->minor == 11);
	CHECK_EQ(n[SITE_FRAME_UNWIND], version->minor == 11);
	CHECK(!n[SITE_USDT_ENTRY] && !n[SITE_USDT_RETURN]);
}

/* The counter of a site at a static probe: two bytes in the file's data, 0 there. */
static void check_counter(const struct elf_file *elf, int fd, const struct site *site)
{
	struct elf_section section;
	bool found = false;
	uint16_t value = 1;

	CHECK(pread(fd, &value, sizeof(value), (off_t)site->semaphore_offset) == sizeof(value));
	CHECK_EQ(value, 0);
	for (size_t i = 0; i < elf_file__section_count(elf) && !found; i++) {
		uint64_t offset;

		found = !elf_file__section(elf, i, &section) && !strcmp(section.name, ".probes") &&
			!elf_file__file_offset(elf, section.addr, &offset) && site->semaphore_offset >= offset &&
			site->semaphore_offset - offset < section.size;
	}
	CHECK(found);
}

/* The sites at static probes: one for starts, one for ends, and the deallocator's. */
static void check_usdt(const struct elf_file *elf, int fd, const struct py_version *version, const struct site_set *set)
{
	CHECK_STR_EQ(set->backend, "usdt");
	if (!CHECK_EQ(set->n, 3))
		return;
	CHECK_EQ(set->sites[0].kind, SITE_USDT_ENTRY);
	CHECK_EQ(set->sites[1].kind, SITE_USDT_RETURN);
	CHECK_EQ(set->sites[2].kind, SITE_CODE_DEALLOC);
	CHECK_EQ(set->sites[2].semaphore_offset, 0);
	CHECK(set->sites[0].semaphore_offset != set->sites[1].semaphore_offset);
	for (size_t i = 0; i < set->n; i++) {
		print_site(version->text, &set->sites[i]);
		check_site(elf, fd, &set->sites[i]);
		if (i < 2)
			check_counter(elf, fd, &set->sites[i]);
	}
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

/* Where damage matters: what is read on the way to the sites. */
struct spots {
	struct {
		uint64_t offset, size;
	} spots[8];
	size_t n;
};

static void add_spot(struct spots *spots, const struct elf_file *elf, uint64_t addr, uint64_t size)
{
	if (spots->n < 8 && !elf_file__file_offset(elf, addr, &spots->spots[spots->n].offset))
		spots->spots[spots->n++].size = size;
}

static void find_spots(struct spots *spots, const struct elf_file *elf, const struct site_set *set)
{
	struct elf_symbol sym;
	struct elf_section section;

	add_spot(spots, elf, set->table, 256 * 8);
	for (size_t i = 0; i < set->n && spots->n < 5; i++)
		add_spot(spots, elf, set->sites[i].addr - 32, 64);
	if (!elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &sym))
		add_spot(spots, elf, sym.addr, sym.size);
	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		if (!elf_file__section(elf, i, &section) && !strcmp(section.name, ".dynsym"))
			add_spot(spots, elf, section.addr, section.size);
	spots->spots[spots->n].offset = 0; /* the headers */
	spots->spots[spots->n++].size = 1024;
}

/* One round: flips bits, looks for sites, puts the bits back. Whether sites were found. */
static bool damage(uint8_t *image, const char *path, const struct spots *spots, const struct layout *layout,
		   const struct opmap *opmap)
{
	uint64_t where[MAX_FLIPS];
	uint8_t bits[MAX_FLIPS];
	unsigned n = 1 + next_random() % MAX_FLIPS;
	struct site_set set = { 0 };
	struct py_version version;
	struct elf_file *elf;
	bool found = false;

	for (unsigned i = 0; i < n; i++) {
		size_t spot = next_random() % spots->n;

		where[i] = spots->spots[spot].offset + next_random() % spots->spots[spot].size;
		bits[i] = (uint8_t)(1u << next_random() % 8);
		image[where[i]] ^= bits[i];
	}
	if (!elf_file__probe(path, &elf)) {
		elf_python_version(elf, &version);
		found = !site_set__find(elf, layout, opmap, NULL, &set);
		for (size_t i = 0; found && i < set.n; i++)
			CHECK(set.sites[i].kind < SITE_KINDS && elf_file__is_code(elf, set.sites[i].addr));
		CHECK(set.n <= SITE_MAX);
		if (!site_set__find(elf, layout, opmap, "usdt", &set))
			CHECK_EQ(set.n, 3);
		elf_file__close(elf);
	}
	while (n-- > 0)
		image[where[n]] ^= bits[n];
	return found;
}

/* A copy in memory, mapped for us to damage. */
static uint8_t *copy_file(const char *path, size_t *size, char copy[64])
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("test_site", 0);
	uint8_t *image = MAP_FAILED;
	struct stat st;

	snprintf(copy, 64, "/proc/self/fd/%d", to);
	if (!fstat(from, &st) && !ftruncate(to, st.st_size)) {
		*size = (size_t)st.st_size;
		image = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
	}
	if (image != MAP_FAILED)
		CHECK(pread(from, image, *size, 0) == (ssize_t)*size);
	close(from);
	return image == MAP_FAILED ? NULL : image; /* `to` stays open: the copy is reached through it */
}

/* On request, and where the opcodes' table is not told from others: one slot of an unused opcode, which the interpreter
 * never looks at, spoils its shape. */
static void test_without_table(const char *path, const struct py_version *version, const struct layout *layout,
			       const struct opmap *opmap, uint64_t table)
{
	struct elf_file *elf, *other;
	uint64_t offset, word, spoilt;
	struct site_set set;
	char copy[64];
	size_t size;
	uint8_t *image = copy_file(path, &size, copy);

	for (int op = 0; opmap->names[op]; op++)
		table += 8;
	if (!CHECK(image != NULL) || !CHECK_EQ(elf_file__open(path, &elf), 0))
		return;
	if (CHECK_EQ(elf_file__file_offset(elf, table, &offset), 0))
		image[offset] ^= 1;
	CHECK_EQ(elf_file__word(elf, table, &word), 0);
	elf_file__close(elf);
	if (!CHECK_EQ(elf_file__open(copy, &other), 0))
		return;
	CHECK_EQ(elf_file__word(other, table, &spoilt), 0);
	if (spoilt == word) {
		CHECK_SKIP("without a table: that of %s is made of relocations", path);
	} else {
		CHECK_EQ(site_set__find(other, layout, opmap, "opcode", &set), -DIAG_NO_SITE);
		if (CHECK_EQ(site_set__find(other, layout, opmap, NULL, &set), 0))
			check_usdt(other, atoi(copy + strlen("/proc/self/fd/")), version, &set);
	}
	elf_file__close(other);
	munmap(image, size);
	close(atoi(copy + strlen("/proc/self/fd/")));
}

static void test_usdt(const char *path, const struct elf_file *elf, int fd, const struct py_version *version,
		      const struct layout *layout, const struct opmap *opmap, uint64_t table)
{
	struct site_set set;
	int err = site_set__find(elf, layout, opmap, "usdt", &set);

	if (version->minor < 15) {
		CHECK_EQ(err, -DIAG_BACKEND);
	} else if (err == -DIAG_BACKEND) {
		CHECK_SKIP("static probes of %s: it was not built with them", path);
	} else if (CHECK_EQ(err, 0)) {
		check_usdt(elf, fd, version, &set);
		test_without_table(path, version, layout, opmap, table);
	}
}

static void test_damaged(const char *path, const struct elf_file *elf, const struct layout *layout,
			 const struct opmap *opmap, const struct site_set *set, unsigned rounds)
{
	struct spots spots = { .n = 0 };
	unsigned found = 0;
	char copy[64];
	size_t size;
	uint8_t *image = copy_file(path, &size, copy);

	if (!CHECK(image != NULL))
		return;
	find_spots(&spots, elf, set);
	for (unsigned i = 0; i < rounds; i++)
		found += damage(image, copy, &spots, layout, opmap);
	printf("%u rounds of damage: sites still found in %u\n", rounds, found);
	munmap(image, size);
	close(atoi(copy + strlen("/proc/self/fd/")));
}

/* What tells tail-calling builds: functions start where their symbols say, and nowhere inside. */
static void check_function_starts(const struct elf_file *elf)
{
	static const char *const names[] = { "PyList_New", "PyDict_New", "Py_BytesMain", "_PyEval_EvalFrameDefault" };
	struct elf_symbol sym;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!CHECK_EQ(elf_file__symbol(elf, names[i], &sym), 0))
			continue;
		CHECK_EQ(elf_file__starts_function(elf, sym.addr), 1);
		CHECK_EQ(elf_file__starts_function(elf, sym.addr + 1), 0);
	}
	CHECK_EQ(elf_file__starts_function(elf, 1), 0);
	CHECK_EQ(elf_file__starts_function(elf, UINT64_MAX), 0);
}

/* A file that holds an interpreter. */
static void test_interpreter(const char *path, unsigned rounds)
{
	struct layout layout;
	const struct opmap *opmap;
	struct py_version version;
	struct elf_file *elf;
	struct site_set set;
	int fd;

	if (!CHECK_EQ(elf_file__open(path, &elf), 0))
		return;
	if (CHECK(describe(elf, &version, &layout, &opmap)) &&
	    CHECK_EQ(site_set__find(elf, &layout, opmap, NULL, &set), 0)) {
		printf("%-8s %-8s %-26s %10s %5s %6s\n", "", "kind", "at", "address", "frame", "tstate");
		fd = open(path, O_RDONLY | O_CLOEXEC);
		for (size_t i = 0; i < set.n; i++) {
			print_site(version.text, &set.sites[i]);
			check_site(elf, fd, &set.sites[i]);
		}
		check_kinds(&set, &version);
		test_usdt(path, elf, fd, &version, &layout, opmap, set.table);
		close(fd);
		check_function_starts(elf);
		test_damaged(path, elf, &layout, opmap, &set, rounds);
	}
	elf_file__close(elf);
}

/* Whether a file holds an interpreter of a version that is known: not those that only link one. */
static bool holds_interpreter(const char *path)
{
	struct layout layout;
	const struct opmap *opmap;
	struct py_version version;
	struct elf_file *elf;
	bool known;

	if (elf_file__probe(path, &elf))
		return false;
	known = describe(elf, &version, &layout, &opmap);
	elf_file__close(elf);
	return known;
}

static void test_interpreters(void)
{
	unsigned n = 0;
	glob_t found;

	interpreters_find_files(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		n += holds_interpreter(found.gl_pathv[i]);
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (holds_interpreter(found.gl_pathv[i]))
			test_interpreter(found.gl_pathv[i], DAMAGE_ROUNDS / n + 1);
	if (!n)
		CHECK_SKIP("sites of interpreters: no supported one was found");
	globfree(&found);
}

static void silent(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

int main(void)
{
	diag_set_callback(silent, NULL); /* what is wrong with damaged files */
	test_emulated();
	test_interpreters();
	return check_done();
}
