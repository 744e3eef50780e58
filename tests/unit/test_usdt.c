/*
 * usdt: notes of our own, which this file writes into its executable in all the forms that there are, against what the
 * linker made of them; prelinked, damaged and oversized copies of that executable.
 */
#include "check.h"
#include "diag.h"
#include "elf.h"
#include "usdt.h"

#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define NOTES_MAX (1u << 14) /* usdt.c's */
#define DAMAGE_ROUNDS 20000
#define DAMAGE_SEED 20240301

extern const char test_usdt_first[], test_usdt_second[];
extern uint16_t test_usdt_semaphore;
int main(void);

#define ARGS_OTHERS "8f@%xmm0 -4@counter(%rip) 8@$counter 8@%fs:16(%rax) 3@%rax @%rax 8@ 8@% 8@%rip 8@(%eax) 8@8( 8@()"
#define ARGS_OTHERS_2                                                                                     \
	"8@(%rax 8@(,%rsp) 8@(%rax,%rbx,3) 8@(%rax,%rbx,8)x 8@%r16 8@%r8x 8@$1x 8@$18446744073709551616 " \
	"8@$-9223372036854775809 8@8-(%rsp) rax 8@1(%rip,%rax)"

/* The notes are written as assembly, as sys/sdt.h does it: a note lies outside of what is loaded. */
asm(".pushsection .stapsdt.base, \"a\"\n"
    "test_usdt_base:	.byte 0\n"
    ".popsection\n"
    ".pushsection .probes, \"aw\"\n"
    "	.balign 2\n"
    "	.globl test_usdt_semaphore\n"
    "test_usdt_semaphore:	.short 0\n"
    ".popsection\n"
    ".text\n"
    "	.globl test_usdt_first, test_usdt_second\n"
    "test_usdt_first:\n"
    "	nop\n"
    "test_usdt_second:\n"
    "	nop\n"
    "	ret\n"
    ".macro test_note owner, type, pc, semaphore, provider, name, args\n"
    ".pushsection .note.stapsdt, \"\", @note\n"
    "	.balign 4\n"
    "	.long 2f - 1f, 4f - 3f, \\type\n"
    "1:	.asciz \"\\owner\"\n"
    "2:	.balign 4\n"
    "3:	.quad \\pc, test_usdt_base, \\semaphore\n"
    "	.asciz \"\\provider\"\n"
    "	.asciz \"\\name\"\n"
    "	.asciz \"\\args\"\n"
    "4:	.balign 4\n"
    ".popsection\n"
    ".endm\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, plain, \"\"\n"
    "test_note stapsdt, 3, test_usdt_first, test_usdt_semaphore, test, twice, \"8@%rdi\"\n"
    "test_note stapsdt, 3, test_usdt_second, test_usdt_semaphore, test, twice, \"8@%rsi\"\n"
    "test_note other, 3, test_usdt_first, 0, test, twice, \"8@%rdx\"\n"
    "test_note stapsdt, 4, test_usdt_first, 0, test, twice, \"8@%rcx\"\n"
    "test_note stapsdt, 3, 0, 0, test, discarded, \"\"\n"
    "test_note stapsdt, 3, test_usdt_semaphore, 0, test, in_data, \"\"\n"
    "test_note stapsdt, 3, test_usdt_first, test_usdt_second, test, semaphore_in_code, \"\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0x7fffffff0000, test, semaphore_nowhere, \"\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, registers,"
    " \"8@%rax -4@%ecx 2@%dx -1@%bl 8@%rsp 1@%sil 1@%ah 8@%r8 -4@%r15d 2@%r10w 1@%r9b 1@%bh\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, constants,"
    " \"-4@$-5 8@$0 1@$255 8@$0x1f 8@$18446744073709551615 -8@$-9223372036854775808 4@$+7 4@$8-3\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, memory,"
    " \"  8@(%rdi) -4@-292(%rbp)  8@8+16-4(%rsp) 4@16(%rax,%rbx) 4@-8(%r12,%r13,8) 4@(,%rcx,4) 2@24(%rip) 8@4096 \"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, others, \"" ARGS_OTHERS "\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, others2, \"" ARGS_OTHERS_2 "\"\n"
    "test_note stapsdt, 3, test_usdt_first, 0, test, many, \"1@$1 1@$2 1@$3 1@$4 1@$5 1@$6 1@$7 1@$8 1@$9 1@$10 1@$11"
    " 1@$12 1@$13\"\n");

static void check_arg(const struct usdt_note *note, size_t i, const struct usdt_arg *want)
{
	const struct usdt_arg *got = &note->args[i];

	if (!CHECK(i < note->nargs))
		return;
	if (!CHECK(got->kind == want->kind && got->size == want->size && got->is_signed == want->is_signed &&
		   got->second_byte == want->second_byte && got->reg == want->reg && got->index == want->index &&
		   got->scale == want->scale && got->value == want->value))
		fprintf(stderr, "  argument %zu of %s: '%s'\n", i, note->name, note->text);
}

static void test_registers(const struct usdt_note *note)
{
	static const struct {
		uint8_t size, reg;
		bool is_signed, second_byte;
	} want[] = { { 8, 0, false, false }, { 4, 1, true, false },   { 2, 2, false, false }, { 1, 3, true, false },
		     { 8, 4, false, false }, { 1, 6, false, false },  { 1, 0, false, true },  { 8, 8, false, false },
		     { 4, 15, true, false }, { 2, 10, false, false }, { 1, 9, false, false }, { 1, 3, false, true } };

	if (!CHECK(note) || !CHECK_EQ(note->nargs, 12))
		return;
	for (size_t i = 0; i < 12; i++)
		check_arg(note, i,
			  &(struct usdt_arg){ .kind = USDT_ARG_REGISTER,
					      .size = want[i].size,
					      .is_signed = want[i].is_signed,
					      .second_byte = want[i].second_byte,
					      .reg = want[i].reg,
					      .index = USDT_REG_NONE });
}

static void test_constants(const struct usdt_note *note)
{
	static const struct {
		uint8_t size;
		bool is_signed;
		int64_t value;
	} want[] = { { 4, true, -5 },  { 8, false, 0 },	       { 1, false, 255 }, { 8, false, 31 },
		     { 8, false, -1 }, { 8, true, INT64_MIN }, { 4, false, 7 },	  { 4, false, 5 } };

	if (!CHECK(note) || !CHECK_EQ(note->nargs, 8))
		return;
	for (size_t i = 0; i < 8; i++)
		check_arg(note, i,
			  &(struct usdt_arg){ .kind = USDT_ARG_CONSTANT,
					      .size = want[i].size,
					      .is_signed = want[i].is_signed,
					      .reg = USDT_REG_NONE,
					      .index = USDT_REG_NONE,
					      .value = want[i].value });
}

static void test_memory(const struct usdt_note *note)
{
	static const struct usdt_arg want[] = {
		{ USDT_ARG_MEMORY, 8, false, false, 7, USDT_REG_NONE, 0, 0 },
		{ USDT_ARG_MEMORY, 4, true, false, 5, USDT_REG_NONE, 0, -292 },
		{ USDT_ARG_MEMORY, 8, false, false, 4, USDT_REG_NONE, 0, 20 },
		{ USDT_ARG_MEMORY, 4, false, false, 0, 3, 1, 16 },
		{ USDT_ARG_MEMORY, 4, false, false, 12, 13, 8, -8 },
		{ USDT_ARG_MEMORY, 4, false, false, USDT_REG_NONE, 1, 4, 0 },
		{ USDT_ARG_MEMORY, 2, false, false, USDT_REG_RIP, USDT_REG_NONE, 0, 24 },
		{ USDT_ARG_MEMORY, 8, false, false, USDT_REG_NONE, USDT_REG_NONE, 0, 4096 },
	};

	if (!CHECK(note) || !CHECK_EQ(note->nargs, 8))
		return;
	for (size_t i = 0; i < 8; i++)
		check_arg(note, i, &want[i]);
}

/* What is no argument that we know must neither be taken for one nor shift those behind it. */
static void test_others(const struct usdt_note *note, const char *text)
{
	static const struct usdt_arg none = { .reg = USDT_REG_NONE, .index = USDT_REG_NONE };

	if (!CHECK(note) || !CHECK_EQ(note->nargs, 12))
		return;
	CHECK_STR_EQ(note->text, text);
	for (size_t i = 0; i < 12; i++)
		check_arg(note, i, &none);
}

static void test_self(void)
{
	uint64_t bias, offset;
	struct usdt_notes *notes;
	const struct usdt_note *note;
	struct elf_symbol sym;
	struct elf_file *elf;

	if (!CHECK_EQ(elf_file__open(SELF, &elf), 0) || !CHECK_EQ(elf_file__symbol(elf, "main", &sym), 0) ||
	    !CHECK_EQ(usdt_notes__read(elf, &notes), 0))
		return;
	bias = (uint64_t)(uintptr_t)main - sym.addr;
	/* Of 15 notes one is another's, one of another type, and four speak of what is not there. */
	CHECK_EQ(usdt_notes__count(notes), 9);
	note = usdt_notes__find(notes, "test", "plain", 0);
	if (CHECK(note && note == usdt_notes__get(notes, 0))) {
		CHECK_STR_EQ(note->provider, "test");
		CHECK_STR_EQ(note->name, "plain");
		CHECK_EQ(note->pc + bias, (uintptr_t)test_usdt_first);
		CHECK(elf_file__file_offset(elf, note->pc, &offset) == 0 && note->pc_offset == offset);
		CHECK(note->semaphore == 0 && note->semaphore_offset == 0 && note->nargs == 0);
	}
	note = usdt_notes__find(notes, "test", "twice", 1);
	if (CHECK(note)) {
		CHECK_EQ(note->pc + bias, (uintptr_t)test_usdt_second);
		CHECK_EQ(note->semaphore + bias, (uintptr_t)&test_usdt_semaphore);
		CHECK(elf_file__file_offset(elf, note->semaphore, &offset) == 0 && note->semaphore_offset == offset);
		CHECK(note->nargs == 1 && note->args[0].reg == 6);
	}
	CHECK(usdt_notes__find(notes, "test", "twice", 0) == usdt_notes__get(notes, 1));
	CHECK(usdt_notes__find(notes, "test", "twice", 2) == NULL);
	CHECK(usdt_notes__find(notes, "other", "twice", 0) == NULL);
	test_registers(usdt_notes__find(notes, "test", "registers", 0));
	test_constants(usdt_notes__find(notes, "test", "constants", 0));
	test_memory(usdt_notes__find(notes, "test", "memory", 0));
	test_others(usdt_notes__find(notes, "test", "others", 0), ARGS_OTHERS);
	test_others(usdt_notes__find(notes, "test", "others2", 0), ARGS_OTHERS_2);
	note = usdt_notes__find(notes, "test", "many", 0);
	CHECK(note && note->nargs == USDT_ARGS_MAX && note->args[USDT_ARGS_MAX - 1].value == USDT_ARGS_MAX);
	usdt_notes__free(notes);
	usdt_notes__free(NULL);
	elf_file__close(elf);
}

/* A copy of our own file that can be changed. */
struct copy {
	int fd;
	char path[64];
	off_t size;
};

static void copy_self(struct copy *copy)
{
	int self = open(SELF, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *image;

	copy->fd = memfd_create("test_usdt", MFD_CLOEXEC);
	snprintf(copy->path, sizeof(copy->path), "/proc/self/fd/%d", copy->fd);
	if (self < 0 || fstat(self, &st) < 0)
		abort();
	copy->size = st.st_size;
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, self, 0);
	if (image == MAP_FAILED || write(copy->fd, image, (size_t)st.st_size) != st.st_size)
		abort();
	munmap(image, (size_t)st.st_size);
	close(self);
}

static void read_at(const struct copy *copy, void *to, size_t size, uint64_t at)
{
	if (pread(copy->fd, to, size, (off_t)at) != (ssize_t)size)
		abort();
}

static void write_at(const struct copy *copy, const void *from, size_t size, uint64_t at)
{
	if (pwrite(copy->fd, from, size, (off_t)at) != (ssize_t)size)
		abort();
}

/* Where in the file a section's header is. */
static uint64_t find_header(const struct copy *copy, const char *name, Elf64_Shdr *out)
{
	Elf64_Shdr names;
	Elf64_Ehdr eh;
	char found[32];

	read_at(copy, &eh, sizeof(eh), 0);
	read_at(copy, &names, sizeof(names), eh.e_shoff + eh.e_shstrndx * sizeof(names));
	for (unsigned i = 1; i < eh.e_shnum; i++) {
		read_at(copy, out, sizeof(*out), eh.e_shoff + i * sizeof(*out));
		if (pread(copy->fd, found, sizeof(found), (off_t)(names.sh_offset + out->sh_name)) > 0 &&
		    strncmp(found, name, sizeof(found)) == 0)
			return eh.e_shoff + i * sizeof(*out);
	}
	fprintf(stderr, "no section %s\n", name);
	abort();
}

/* Reads the copy's notes; the result of the reading, and *count. */
static int read_copy(const struct copy *copy, size_t *count)
{
	struct usdt_notes *notes = NULL;
	struct elf_file *elf;
	int err;

	*count = 0;
	if (elf_file__probe(copy->path, &elf) != 0)
		return -ENOEXEC;
	err = usdt_notes__read(elf, &notes);
	CHECK((err == 0) == (notes != NULL));
	if (notes) {
		*count = usdt_notes__count(notes);
		for (size_t i = 0; i < *count; i++) {
			const struct usdt_note *note = usdt_notes__get(notes, i);
			uint64_t offset;

			/* Under the sanitizers: all that we are told that we may read. */
			CHECK(strlen(note->provider) + strlen(note->name) + strlen(note->text) < 1u << 30);
			CHECK(note->nargs <= USDT_ARGS_MAX && elf_file__is_code(elf, note->pc));
			CHECK(!note->semaphore || elf_file__file_offset(elf, note->semaphore, &offset) == 0);
		}
	}
	usdt_notes__free(notes);
	elf_file__close(elf);
	return err;
}

/* As if the file's segments had been moved: the difference counts for the semaphore, too, if there is one. */
static void test_prelinked(const struct copy *copy)
{
	const struct usdt_note *note;
	struct usdt_notes *notes;
	Elf64_Shdr base, moved;
	struct elf_symbol sym;
	struct elf_file *elf;
	uint64_t at = find_header(copy, ".stapsdt.base", &base);

	moved = base;
	moved.sh_addr -= 1;
	write_at(copy, &moved, sizeof(moved), at);
	if (CHECK_EQ(elf_file__open(copy->path, &elf), 0) && CHECK_EQ(usdt_notes__read(elf, &notes), 0)) {
		note = usdt_notes__find(notes, "test", "twice", 1);
		CHECK(elf_file__symbol(elf, "test_usdt_first", &sym) == 0 && note && note->pc == sym.addr);
		CHECK(elf_file__symbol(elf, "test_usdt_semaphore", &sym) == 0 && note &&
		      note->semaphore == sym.addr - 1);
		note = usdt_notes__find(notes, "test", "plain", 0);
		CHECK(note && note->semaphore == 0);
		usdt_notes__free(notes);
		elf_file__close(elf);
	}
	/* Without the section nothing is known to have moved. */
	moved.sh_name = 0;
	write_at(copy, &moved, sizeof(moved), at);
	if (CHECK_EQ(elf_file__open(copy->path, &elf), 0) && CHECK_EQ(usdt_notes__read(elf, &notes), 0)) {
		note = usdt_notes__find(notes, "test", "plain", 0);
		CHECK(elf_file__symbol(elf, "test_usdt_first", &sym) == 0 && note && note->pc == sym.addr);
		usdt_notes__free(notes);
		elf_file__close(elf);
	}
	write_at(copy, &base, sizeof(base), at);
}

static void test_refusals(const struct copy *copy)
{
	Elf64_Shdr section, changed;
	uint64_t at = find_header(copy, ".note.stapsdt", &section);
	static const uint32_t bad[] = { 23, 24, 25, 0x7fffffff, UINT32_MAX };
	uint32_t size;
	size_t n;

	CHECK(read_copy(copy, &n) == 0 && n == 9);
	/* The first note's descriptor: too short for its addresses, for its strings, and larger than all. */
	read_at(copy, &size, sizeof(size), section.sh_offset + 4);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_at(copy, &bad[i], sizeof(bad[i]), section.sh_offset + 4);
		CHECK_EQ(read_copy(copy, &n), -DIAG_BAD_DATA);
	}
	/* The same where nothing follows that could be found wrong instead. */
	changed = section;
	changed.sh_size = 12 + 8 + 16;
	write_at(copy, &changed, sizeof(changed), at);
	write_at(copy, &(uint32_t){ 16 }, sizeof(size), section.sh_offset + 4);
	CHECK_EQ(read_copy(copy, &n), -DIAG_BAD_DATA);
	write_at(copy, &size, sizeof(size), section.sh_offset + 4);
	/* Cut within the first note's header, name, addresses and strings, and within the last note. */
	for (size_t cut = 1; cut < 12 + 8 + size; cut++) {
		changed = section;
		changed.sh_size = cut;
		write_at(copy, &changed, sizeof(changed), at);
		CHECK_EQ(read_copy(copy, &n), -DIAG_BAD_DATA);
	}
	changed.sh_size = 12 + 8 + size;
	write_at(copy, &changed, sizeof(changed), at);
	CHECK(read_copy(copy, &n) == 0 && n == 1);
	changed.sh_size = 0;
	write_at(copy, &changed, sizeof(changed), at);
	CHECK(read_copy(copy, &n) == 0 && n == 0);
	changed.sh_size = section.sh_size - 5;
	write_at(copy, &changed, sizeof(changed), at);
	CHECK_EQ(read_copy(copy, &n), -DIAG_BAD_DATA);
	changed = section;
	changed.sh_name = 0;
	write_at(copy, &changed, sizeof(changed), at);
	CHECK(read_copy(copy, &n) == 0 && n == 0);
	write_at(copy, &section, sizeof(section), at);
}

/* More notes than any program has: refused, whether or not they speak of anything. */
static void test_too_many(const struct copy *copy)
{
	struct {
		Elf64_Nhdr nh;
		char owner[8];
		uint64_t words[3];
		char strings[8];
	} __attribute__((packed)) note = { { 8, 32, 3 }, "stapsdt", { 0 }, "p\0n" };
	Elf64_Shdr section, changed;
	uint64_t at = find_header(copy, ".note.stapsdt", &section);
	size_t n;

	for (uint64_t i = 0; i <= NOTES_MAX; i++)
		write_at(copy, &note, sizeof(note), (uint64_t)copy->size + i * sizeof(note));
	changed = section;
	changed.sh_offset = (uint64_t)copy->size;
	changed.sh_size = NOTES_MAX * sizeof(note);
	write_at(copy, &changed, sizeof(changed), at);
	CHECK(read_copy(copy, &n) == 0 && n == 0);
	changed.sh_size += sizeof(note);
	write_at(copy, &changed, sizeof(changed), at);
	CHECK_EQ(read_copy(copy, &n), -DIAG_BAD_DATA);
	write_at(copy, &section, sizeof(section), at);
	CHECK_EQ(ftruncate(copy->fd, copy->size), 0);
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

/* Bytes and words of the notes and of the two sections' headers, one to four at a time. */
static void test_damaged(const struct copy *copy)
{
	static const uint32_t words[] = { 0, 1, 3, 24, 0xff, 0x7fffffff, 0x80000000, UINT32_MAX };
	static const char chars[] = "@$%(),+-0189abdiprsx \0\377";
	Elf64_Shdr section, base;
	uint64_t at = find_header(copy, ".note.stapsdt", &section), base_at = find_header(copy, ".stapsdt.base", &base);
	uint8_t *notes = malloc(section.sh_size);
	size_t n, total = 0;

	if (!notes)
		abort();
	read_at(copy, notes, section.sh_size, section.sh_offset);
	for (int round = 0; round < DAMAGE_ROUNDS; round++) {
		for (unsigned hits = 1 + next_random() % 4; hits > 0; hits--) {
			uint64_t where = section.sh_offset + next_random() % (section.sh_size - 4);
			uint32_t word = words[next_random() % (sizeof(words) / sizeof(words[0]))];

			if (next_random() % 32 == 0)
				where = at + next_random() % (sizeof(section) - 4);
			else if (next_random() % 32 == 0)
				where = base_at + next_random() % (sizeof(base) - 4);
			else if (next_random() % 2)
				write_at(copy, &chars[next_random() % (sizeof(chars) - 1)], 1, where);
			if (next_random() % 4 == 0)
				write_at(copy, &word, sizeof(word), where);
		}
		read_copy(copy, &n);
		total += n;
		write_at(copy, notes, section.sh_size, section.sh_offset);
		write_at(copy, &section, sizeof(section), at);
		write_at(copy, &base, sizeof(base), base_at);
	}
	CHECK(total > DAMAGE_ROUNDS); /* not all was refused at the first glance */
	free(notes);
}

int main(void)
{
	struct copy copy;

	test_self();
	copy_self(&copy);
	test_prelinked(&copy);
	test_refusals(&copy);
	test_too_many(&copy);
	test_damaged(&copy);
	close(copy.fd);
	return check_done();
}
