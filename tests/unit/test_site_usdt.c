/*
 * site_usdt: functions with static probes of our own, under the names that Python's have, and what is refused in changed
 * copies of this executable. Those of real interpreters are test_site's.
 */
#include "check.h"
#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "site_usdt.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern const char test_entry[], test_return[], test_calls[];
extern const char __executable_start[]; /* the linker's */
extern uint16_t test_counters[2];

/* `entry` is called twice, its line has a branch; `return` is called once, its line has a jump. What lies before them and
 * is called as often ends without coming to a probe, and what is called inside of `entry` is called once only. */
asm(".pushsection .stapsdt.base, \"a\"\n"
    "test_base:	.byte 0\n"
    ".popsection\n"
    ".pushsection .probes, \"aw\"\n"
    "	.balign 2\n"
    "	.globl test_counters\n"
    "test_counters:	.short 0, 0\n"
    ".popsection\n"
    ".text\n"
    "	.globl test_entry, test_entry_probe, test_return, test_return_probe, test_calls\n"
    "test_before:\n"
    "	nop\n"
    "	ret\n"
    "test_entry:\n"
    "	push %rbp\n"
    "	mov %rdi, %rbx\n"
    "test_inside:\n"
    "	test %rax, %rax\n"
    "	je 1f\n"
    "test_entry_probe:\n"
    "	nop\n"
    "1:	pop %rbp\n"
    "	ret\n"
    "test_return:\n"
    "	push %rbp\n"
    "	jmp 1f\n"
    "	ud2\n"
    "1:	call test_before\n"
    "test_return_probe:\n"
    "	nop\n"
    "	ret\n"
    "test_calls:\n"
    "	call test_entry\n"
    "	call test_entry\n"
    "	call test_inside\n"
    "	call test_before\n"
    "	call test_before\n"
    "	call test_return\n"
    ".macro test_note pc, semaphore, name\n"
    ".pushsection .note.stapsdt, \"\", @note\n"
    "	.balign 4\n"
    "	.long 8, 4f - 3f, 3\n"
    "	.asciz \"stapsdt\"\n"
    "3:	.quad \\pc, test_base, \\semaphore\n"
    "	.asciz \"python\"\n"
    "	.asciz \"\\name\"\n"
    "	.asciz \"8@%rbx 8@%r12 -4@%eax\"\n"
    "4:	.balign 4\n"
    ".popsection\n"
    ".endm\n"
    "test_note test_return_probe, test_counters + 2, function__return\n"
    "test_note test_entry_probe, test_counters, function__entry\n"
    "test_note test_return_probe, test_counters, function__extra\n");

static uint8_t *image; /* a copy of this executable, to change */
static size_t image_size;
static char image_path[64];

static bool copy_self(void)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = memfd_create("test_site_usdt", 0);
	struct stat st;
	bool copied;

	if (from < 0 || to < 0 || fstat(from, &st) || ftruncate(to, st.st_size))
		return false;
	image_size = (size_t)st.st_size;
	image = mmap(NULL, image_size, PROT_READ | PROT_WRITE, MAP_SHARED, to, 0);
	copied = image != MAP_FAILED && pread(from, image, image_size, 0) == st.st_size;
	close(from);
	snprintf(image_path, sizeof(image_path), "/proc/self/fd/%d", to); /* `to` stays open */
	return copied;
}

/* A probe's name in the notes, with its end; the other places that hold it are this program's own text. */
static uint8_t *find_name(const char *name)
{
	char note[64] = "python";
	size_t size = sizeof("python") + strlen(name) + 1;

	strcpy(note + sizeof("python"), name);
	return memmem(image, image_size, note, size) ? (uint8_t *)memmem(image, image_size, note, size) + sizeof("python")
						     : NULL;
}

static uint64_t offset_of(const struct elf_file *elf, const void *p)
{
	uint64_t offset = 0;

	CHECK_EQ(elf_file__file_offset(elf, (uint64_t)((const char *)p - __executable_start) + elf_file__base(elf), &offset),
		 0);
	return offset;
}

/* What is found in the copy: NULL, or why not. */
static const char *find(const struct layout *layout, struct site_usdt out[SITE_USDT_PROBES])
{
	const char *why = NULL;
	struct elf_file *elf;
	int err;

	if (!CHECK_EQ(elf_file__open(image_path, &elf), 0))
		return "is no file";
	err = site_usdt__find(elf, layout, out, &why);
	CHECK_EQ(err, why ? -DIAG_NO_SITE : 0);
	elf_file__close(elf);
	return why;
}

static void refused(const struct layout *layout, const char *reason)
{
	struct site_usdt probes[SITE_USDT_PROBES];
	const char *why = find(layout, probes);

	if (!CHECK(why && strstr(why, reason)))
		fprintf(stderr, "it said '%s', not '%s'\n", why ? why : "nothing", reason);
}

static void test_found(const struct layout *layout)
{
	struct site_usdt probes[SITE_USDT_PROBES];
	struct elf_file *elf;

	if (!CHECK(!find(layout, probes)) || !CHECK_EQ(elf_file__open(image_path, &elf), 0))
		return;
	CHECK_STR_EQ(probes[SITE_USDT_PROBE_ENTRY].name, "function__entry");
	CHECK_STR_EQ(probes[SITE_USDT_PROBE_RETURN].name, "function__return");
	for (int i = 0; i < SITE_USDT_PROBES; i++) {
		uint64_t offset = 0;

		CHECK_EQ(elf_file__file_offset(elf, probes[i].start, &offset), 0);
		CHECK_EQ(offset, offset_of(elf, i == SITE_USDT_PROBE_ENTRY ? test_entry : test_return));
		CHECK_EQ(probes[i].semaphore_offset, offset_of(elf, &test_counters[i]));
	}
	elf_file__close(elf);
}

/* Each change is undone. */
static void test_refused(const struct layout *layout)
{
	struct layout before = *layout;
	uint8_t *entry = find_name("function__entry"), *extra = find_name("function__extra"), *calls;
	uint64_t counter, none = 0;
	struct elf_file *elf;

	if (!CHECK(entry && extra) || !CHECK_EQ(elf_file__open("/proc/self/exe", &elf), 0))
		return;
	before.usdt_calls = OFF_NONE;
	refused(&before, "from Python 3.15 on only");

	memcpy(entry, "function__empty", 15);
	refused(layout, "has no static probes");
	refused(&before, "has no static probes");
	memcpy(entry, "function__entry", 15);

	memcpy(extra, "function__entry", 15);
	refused(layout, "more than one place");
	memcpy(extra, "function__extra", 15);

	/* The last of the three addresses before the provider's name. */
	memcpy(&counter, entry - sizeof("python") - 8, 8);
	memcpy(entry - sizeof("python") - 8, &none, 8);
	refused(layout, "without the counters");
	memcpy(entry - sizeof("python") - 8, &counter, 8);

	/* The size of the note's name. */
	entry[-(int)sizeof("python") - 24 - 8 - 12 + 3] = 0x7f;
	refused(layout, "damaged");
	entry[-(int)sizeof("python") - 24 - 8 - 12 + 3] = 0;

	calls = image + offset_of(elf, test_calls);
	CHECK_EQ(calls[25], 0xe8);
	calls[25] = 0x90;
	refused(layout, "where their functions begin");
	calls[25] = 0xe8;
	elf_file__close(elf);
}

int main(void)
{
	const struct layout *layout = layout__find(3, 15, false);

	if (!CHECK(layout != NULL) || !CHECK(copy_self()))
		return check_done();
	test_found(layout);
	test_refused(layout);
	test_found(layout); /* nothing of that has stayed */
	return check_done();
}
