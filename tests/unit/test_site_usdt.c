/*
 * site_usdt: functions with static probes of our own, under the names that Python's have, and what is refused in changed
 * copies of this executable. Those of real interpreters are test_site's.
 */
#include "check.h"
#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "site_priv.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern const char test_entry[], test_return[];
extern const char __executable_start[]; /* the linker's */
extern uint16_t test_counters[2];

/* The first emulated instruction of `entry` is not its first; its line has a branch, that of `return` a jump. */
asm(".pushsection .stapsdt.base, \"a\"\n"
    "test_base:	.byte 0\n"
    ".popsection\n"
    ".pushsection .probes, \"aw\"\n"
    "	.balign 2\n"
    "	.globl test_counters\n"
    "test_counters:	.short 0, 0\n"
    ".popsection\n"
    ".text\n"
    "	.globl test_entry, test_return\n"
    "	.cfi_startproc\n"
    "	nop\n"
    "	ret\n"
    "	.cfi_endproc\n"
    "test_entry:\n"
    "	.cfi_startproc\n"
    "	mov %rdi, %rbx\n"
    "	xor %edi, %edi\n"
    "	push %rbp\n"
    "	test %rax, %rax\n"
    "	je 1f\n"
    "test_entry_probe:\n"
    "	nop\n"
    "1:	pop %rbp\n"
    "	ret\n"
    "	.cfi_endproc\n"
    "test_return:\n"
    "	.cfi_startproc\n"
    "	push %rbp\n"
    "	jmp 1f\n"
    "	ret\n"
    "1:	call test_entry\n"
    "test_return_probe:\n"
    "	nop\n"
    "	ret\n"
    "	.cfi_endproc\n"
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
	return memmem(image, image_size, note, size)
		       ? (uint8_t *)memmem(image, image_size, note, size) + sizeof("python")
		       : NULL;
}

static uint64_t offset_of(const struct elf_file *elf, const void *p)
{
	uint64_t offset = 0;

	CHECK_EQ(elf_file__file_offset(elf, (uint64_t)((const char *)p - __executable_start) + elf_file__base(elf),
				       &offset),
		 0);
	return offset;
}

/* What is found in the copy: NULL, or why not. */
static const char *find(const struct layout *layout, struct site_set *out)
{
	struct finder f = { .layout = layout, .set = out };
	const char *why = NULL;
	struct elf_file *elf;
	int err;

	*out = (struct site_set){ .n = 0 };
	if (!CHECK_EQ(elf_file__open(image_path, &elf), 0))
		return "is no file";
	f.elf = elf;
	if (CHECK_EQ(insn_decoder__new(&f.decoder), 0)) {
		err = site_find_usdt(&f, &why);
		CHECK(err ? why != NULL : out->n == 2);
		insn_decoder__free(f.decoder);
		elf_file__close(elf);
		return err ? why : NULL;
	}
	return "cannot be decoded";
}

static void refused(const struct layout *layout, const char *reason)
{
	struct site_set set;
	const char *why = find(layout, &set);

	if (!CHECK(why && strstr(why, reason)))
		fprintf(stderr, "it said '%s', not '%s'\n", why ? why : "nothing", reason);
}

static void test_found(const struct layout *layout)
{
	struct site_set set;
	struct elf_file *elf;

	if (!CHECK(!find(layout, &set)) || !CHECK_EQ(elf_file__open(image_path, &elf), 0))
		return;
	CHECK_STR_EQ(set.backend, "usdt");
	CHECK_EQ(set.sites[0].kind, SITE_USDT_ENTRY);
	CHECK_STR_EQ(set.sites[0].what, "function__entry");
	CHECK_EQ(set.sites[0].file_offset, offset_of(elf, test_entry + 5)); /* behind the mov and the xor */
	CHECK_EQ(set.sites[0].frame_reg, 3);				    /* rbx */
	CHECK_EQ(set.sites[1].kind, SITE_USDT_RETURN);
	CHECK_STR_EQ(set.sites[1].what, "function__return");
	CHECK_EQ(set.sites[1].file_offset, offset_of(elf, test_return));
	CHECK_EQ(set.sites[1].frame_reg, SITE_ARG0);
	for (int i = 0; i < 2; i++) {
		CHECK(set.sites[i].emulated);
		CHECK_EQ(set.sites[i].tstate_reg, SITE_REG_NONE);
		CHECK_EQ(set.sites[i].semaphore_offset, offset_of(elf, &test_counters[i]));
	}
	elf_file__close(elf);
}

/* Each change is undone. */
static void test_refused(const struct layout *layout)
{
	struct layout before = *layout;
	uint8_t *entry = find_name("function__entry"), *extra = find_name("function__extra"), *line;
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

	/* The `jmp` of its line, behind the one byte of the push. */
	line = image + offset_of(elf, test_return) + 1;
	CHECK_EQ(*line, 0xeb);
	*line = 0xc3;
	refused(layout, "where their functions begin");
	*line = 0xeb;
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
