/*
 * oracle_usdt: usdt against what the bcc project's library, which is linked into tests only, makes of the same notes:
 * those of the interpreters found here, and our own.
 *
 * What bcc cannot do, and test_usdt.c tests alone: prelinked files (it does not look at .stapsdt.base); the operands
 * %ah, %bh, %ch and %dh, sums (8+16(%rsp)) and addresses without a base (8(,%rax,4)), of which the first makes it give
 * up all operands behind it; notes of code that the linker threw away, which it gives as they are.
 */
#include "check.h"
#include "elf.h"
#include "interpreters.h"
#include "usdt.h"

#include <bcc/bcc_elf.h>
#include <bcc/bcc_usdt.h>
#include <limits.h>
#include <unistd.h>

struct note_check {
	const struct usdt_notes *notes;
	const char *path;
	void *usdt; /* bcc's */
	size_t i;
};

/* bcc names registers as the kernel's struct pt_regs does. */
static const char *register_name(uint8_t reg)
{
	static const char *const names[] = { "ax", "cx",  "dx",	 "bx",	"sp",  "bp",  "si",  "di", "r8",
					     "r9", "r10", "r11", "r12", "r13", "r14", "r15", "ip" };

	return reg <= USDT_REG_RIP ? names[reg] : NULL;
}

static bool same_register(uint8_t reg, int valid, const char *name)
{
	const char *ours = register_name(reg);

	return valid ? ours && strcmp(ours, name) == 0 : !ours;
}

static bool same_argument(const struct usdt_arg *ours, const struct bcc_usdt_argument *theirs)
{
	int size = ours->is_signed ? -ours->size : ours->size;

	/* To bcc it is memory at an offset from a symbol, whose address a stripped file does not give. */
	if (theirs->valid & BCC_USDT_ARGUMENT_DEREF_IDENT)
		return ours->kind == USDT_ARG_UNKNOWN;
	if (theirs->size != size)
		return false;
	if (theirs->valid & BCC_USDT_ARGUMENT_CONSTANT)
		return ours->kind == USDT_ARG_CONSTANT && ours->value == theirs->constant;
	if (!same_register(ours->reg, theirs->valid & BCC_USDT_ARGUMENT_BASE_REGISTER_NAME,
			   theirs->base_register_name) ||
	    !same_register(ours->index, theirs->valid & BCC_USDT_ARGUMENT_INDEX_REGISTER_NAME,
			   theirs->index_register_name))
		return false;
	if (!(theirs->valid & BCC_USDT_ARGUMENT_DEREF_OFFSET))
		return ours->kind == USDT_ARG_REGISTER;
	if (theirs->valid & BCC_USDT_ARGUMENT_INDEX_REGISTER_NAME &&
	    ours->scale != (theirs->valid & BCC_USDT_ARGUMENT_SCALE ? theirs->scale : 1))
		return false;
	return ours->kind == USDT_ARG_MEMORY && ours->value == theirs->deref_offset;
}

static void compare_note(const char *path, const struct bcc_elf_usdt *theirs, void *ctx)
{
	struct note_check *check = ctx;
	const struct usdt_note *ours;

	(void)path;
	if (!CHECK(check->i < usdt_notes__count(check->notes)))
		return;
	ours = usdt_notes__get(check->notes, check->i++);
	CHECK_STR_EQ(ours->provider, theirs->provider);
	CHECK_STR_EQ(ours->name, theirs->name);
	CHECK_STR_EQ(ours->text, theirs->arg_fmt);
	CHECK_EQ(ours->pc, theirs->pc);
	CHECK_EQ(ours->semaphore, theirs->semaphore);
	CHECK_EQ(ours->semaphore_offset, theirs->semaphore_offset);
}

/* The i-th location of a name is the i-th note of that name with us, too. */
static void check_location(const struct note_check *check, const char *provider, const char *name, int i)
{
	const struct usdt_note *ours = usdt_notes__find(check->notes, provider, name, (size_t)i);
	struct bcc_usdt_location location = { 0 };
	struct bcc_usdt_argument theirs = { 0 };
	size_t n = 0;

	if (!CHECK(ours) || !CHECK_EQ(bcc_usdt_get_location(check->usdt, provider, name, i, &location), 0))
		return;
	CHECK_EQ(ours->pc, location.address);
	while (bcc_usdt_get_argument(check->usdt, provider, name, i, (int)n, &theirs) == 0) {
		if (!CHECK(n < ours->nargs && same_argument(&ours->args[n], &theirs)))
			fprintf(stderr, "  %s: argument %zu of %s:%s: '%s'\n", check->path, n, provider, name,
				ours->text);
		n++;
		memset(&theirs, 0, sizeof(theirs));
	}
	CHECK_EQ(ours->nargs, n);
}

static size_t test_notes(const struct elf_file *elf, const char *path)
{
	struct note_check check = { .path = path };
	const struct usdt_note *note;
	struct usdt_notes *notes;
	size_t n;

	if (!CHECK_EQ(usdt_notes__read(elf, &notes), 0))
		return 0;
	n = usdt_notes__count(notes);
	check.notes = notes;
	/* -1: the file has no such section. */
	CHECK_EQ(bcc_elf_foreach_usdt(path, compare_note, &check), 0);
	CHECK_EQ(check.i, n);
	check.usdt = bcc_usdt_new_frompath(path);
	CHECK(n == 0 || check.usdt);
	for (size_t i = 0; check.usdt && i < n; i++) {
		note = usdt_notes__get(notes, i);
		for (int k = 0; usdt_notes__find(notes, note->provider, note->name, (size_t)k); k++)
			check_location(&check, note->provider, note->name, k);
	}
	if (check.usdt)
		bcc_usdt_close(check.usdt);
	usdt_notes__free(notes);
	return n;
}

static void test_files(void)
{
	struct elf_file *elf;
	size_t notes = 0;
	glob_t found;

	interpreters_find_files(&found);
	if (found.gl_pathc == 0)
		CHECK_SKIP("interpreters' files: none was found");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (!CHECK_EQ(elf_file__open(found.gl_pathv[i], &elf), 0))
			continue;
		notes += test_notes(elf, found.gl_pathv[i]);
		elf_file__close(elf);
	}
	if (notes == 0)
		CHECK_SKIP("interpreters' static probes: none found here has any");
	globfree(&found);
}

/* One note for each form of an argument that bcc knows. Each at an address of its own, for bcc takes two notes of a
 * name at one address for one; and with one argument each, for bcc believes of all of a name what the first one has. */
asm(".pushsection .stapsdt.base, \"a\"\n"
    "oracle_base:	.byte 0\n"
    ".popsection\n"
    ".pushsection .probes, \"aw\"\n"
    "	.balign 2\n"
    "oracle_semaphore:	.short 0\n"
    ".popsection\n"
    ".text\n"
    "oracle_probes:\n"
    "	.skip 64, 0x90\n"
    "	ret\n"
    ".set oracle_i, 0\n"
    ".macro oracle_note name, semaphore, args:vararg\n"
    ".pushsection .note.stapsdt, \"\", @note\n"
    "	.balign 4\n"
    "	.long 2f - 1f, 4f - 3f, 3\n"
    "1:	.asciz \"stapsdt\"\n"
    "2:	.balign 4\n"
    "3:	.quad oracle_probes + oracle_i, oracle_base, \\semaphore\n"
    "	.asciz \"oracle\"\n"
    "	.asciz \"\\name\"\n"
    "	.asciz \\args\n"
    "4:	.balign 4\n"
    ".set oracle_i, oracle_i + 1\n"
    ".popsection\n"
    ".endm\n"
    "oracle_note several, oracle_semaphore, \"8@%rax -4@%ecx 8@$1 4@8(%rsp)\"\n"
    ".irp form,"
    " 8@%rax,-4@%ecx,2@%dx,-1@%bl,8@%rsp,8@%rbp,1@%sil,1@%dil,8@%r8,1@%r9b,2@%r10w,8@%r11,-4@%r12d,8@%r13,8@%r14,"
    "-4@%r15d,"
    "-4@$-5,8@$0,1@$255,8@$0x1f,8@$18446744073709551615,-8@$-9223372036854775808,4@$+7,"
    "-4@-292(%rbp),8@(%rdi),2@24(%rip),-4@counter(%rip),-4@counter+4(%rip)\n"
    "oracle_note form, 0, \"\\form\"\n"
    ".endr\n"
    "oracle_note form, 0, \"4@16(%rax,%rbx)\"\n"
    "oracle_note form, 0, \"4@-8(%r12,%r13,8)\"\n"
    "oracle_note form, 0, \"1@(%rsi,%r11,2)\"\n");

static void test_own_notes(void)
{
	struct elf_file *elf;
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (!CHECK(n > 0))
		return;
	self[n] = '\0';
	if (!CHECK_EQ(elf_file__open(self, &elf), 0))
		return;
	CHECK_EQ(test_notes(elf, self), 32);
	elf_file__close(elf);
}

int main(void)
{
	test_own_notes();
	test_files();
	return check_done();
}
