/*
 * site_handlers: the sites of all opcodes in every interpreter found here, and how many are single-stepped; which forms an opcode
 * has; what an instruction does to a code unit's address and to an opcode. That the counts at these sites are right is shown
 * with live interpreters, in tests/e2e/test_handlers.py.
 */
#include "site_handlers.h"

#include <errno.h>

#include "check.h"
#include "diag.h"
#include "elf.h"
#include "insn.h"
#include "interpreters.h"
#include "layout.h"
#include "opmap.h"
#include "site.h"
#include "target.h"

/* Which handlers an opcode has, by version. */
static const struct {
	uint8_t minor;
	const char *op, *form;
	bool second, counted, repeats, misses;
} forms[] = {
	{ 8, "LOAD_FAST", "LOAD_FAST", false, false, false, false },
	{ 11, "LOAD_FAST", "LOAD_FAST", false, false, false, false },
	{ 11, "LOAD_FAST", "LOAD_FAST__LOAD_CONST", false, false, false, false },
	{ 11, "LOAD_FAST", "STORE_FAST__LOAD_FAST", true, false, false, false },
	{ 11, "LOAD_ATTR", "LOAD_ATTR", false, true, false, false },
	{ 11, "LOAD_ATTR", "LOAD_ATTR_ADAPTIVE", false, true, true, false },
	{ 11, "LOAD_ATTR", "LOAD_ATTR_SLOT", false, true, false, true },
	{ 12, "STORE_FAST", "STORE_FAST__STORE_FAST", true, false, false, false },
	{ 12, "LOAD_ATTR", "LOAD_ATTR", false, true, true, false },
	{ 12, "CALL", "INSTRUMENTED_CALL", false, false, false, false },
	{ 13, "LOAD_ATTR", "LOAD_ATTR_SLOT", false, true, true, false },
	{ 14, "JUMP_BACKWARD", "JUMP_BACKWARD", false, true, true, false },
	{ 14, "JUMP_BACKWARD", "JUMP_BACKWARD_NO_JIT", false, true, false, false },
	{ 14, "JUMP_BACKWARD", "INSTRUMENTED_JUMP_BACKWARD", false, false, false, false },
	{ 15, "FOR_ITER", "FOR_ITER_RANGE", false, true, true, false },
};

static size_t all_opcodes(const struct opmap *opmap, uint8_t *ops)
{
	size_t n = 0;

	for (int op = 0; op < 256; op++)
		if (opmap->names[op] && site_handlers__base(opmap, (uint8_t)op) == op)
			ops[n++] = (uint8_t)op;
	return n;
}

static void check_site(const struct elf_file *elf, const struct opmap *opmap, const struct site_handler *h)
{
	size_t len = 16;
	const uint8_t *code = elf_file__at(elf, h->addr, &len);
	uint64_t offset;

	CHECK_EQ(elf_file__file_offset(elf, h->addr, &offset), 0);
	CHECK_EQ(offset, h->file_offset);
	CHECK(h->instr_reg < 16 && h->instr_reg != 4); /* never the stack pointer */
	CHECK(h->instr_by >= -32 && h->instr_by <= 32 && h->instr_by % 2 == 0);
	CHECK(opmap->names[h->op] && opmap->names[h->base]);
	if (CHECK(code != NULL) && h->emulated)
		CHECK(insn_emulated(code, len));
	/* What stands for any opcode leads on to that one's own handler: both would be counted. */
	CHECK(site_handlers__base(opmap, h->op) >= 0);
	CHECK_EQ(site_handlers__base(opmap, h->base), h->base);
}

/* `found`: the sites of all opcodes. */
static void check_forms(const struct opmap *opmap, const struct site_handlers *found)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		int op = opmap__number(opmap, forms[i].op), form = opmap__number(opmap, forms[i].form);
		bool there = false;

		if (opmap->minor != forms[i].minor)
			continue;
		CHECK(op >= 0 && form >= 0);
		for (size_t k = 0; k < found->n; k++) {
			const struct site_handler *h = &found->sites[k];

			there |= h->base == op && h->op == form && h->second == forms[i].second &&
				 h->counted == forms[i].counted && h->repeats == forms[i].repeats &&
				 h->misses == forms[i].misses;
		}
		if (!CHECK(there))
			fprintf(stderr, "%s as %s of Python 3.%u\n", forms[i].op, forms[i].form, opmap->minor);
	}
}

/* One opcode alone has its sites among those of all, and no others. */
static void check_alone(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
			const struct site_handlers *all)
{
	static struct site_handlers found;
	uint8_t wanted = (uint8_t)opmap__number(opmap, "LOAD_FAST");
	size_t n = 0;

	if (!CHECK_EQ(site_set__find_handlers(elf, layout, opmap, &wanted, 1, &found), 0))
		return;
	for (size_t i = 0; i < all->n; i++)
		n += all->sites[i].base == wanted;
	CHECK(found.n > 0);
	CHECK_EQ(found.n, n);
	for (size_t i = 0; i < found.n; i++)
		CHECK_EQ(found.sites[i].base, wanted);
}

static void check_refused(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap)
{
	static const char *const names[] = { "ENTER_EXECUTOR", "INSTRUMENTED_LINE", "DO_TRACING",
					     "LOAD_FAST__LOAD_FAST", "RESUME_CHECK" };
	static struct site_handlers found;
	struct diag_capture said;

	diag_capture__begin(&said);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int op = opmap__number(opmap, names[i]);
		uint8_t wanted = (uint8_t)op;

		if (op >= 0)
			CHECK_EQ(site_set__find_handlers(elf, layout, opmap, &wanted, 1, &found), -EINVAL);
	}
	for (int op = 0; op < 256; op++) {
		uint8_t wanted = (uint8_t)op;

		if (opmap->names[op])
			continue;
		CHECK_EQ(site_set__find_handlers(elf, layout, opmap, &wanted, 1, &found), -EINVAL);
		break;
	}
	diag_capture__end(&said);
}

static void test_interpreter(const char *path)
{
	static struct site_handlers found;
	struct py_version version;
	struct layout layout;
	const struct opmap *opmap;
	struct elf_file *elf;
	uint8_t ops[256];
	size_t nops;

	if (elf_file__probe(path, &elf))
		return;
	opmap = elf_python_version(elf, &version) ? NULL : opmap__find(version.major, version.minor);
	if (opmap && !layout__of_file(elf, &version, &layout, NULL)) {
		nops = all_opcodes(opmap, ops);
		if (CHECK_EQ(site_set__find_handlers(elf, &layout, opmap, ops, nops, &found), 0)) {
			size_t stepped = 0;

			printf("%-8s %3zu opcodes, %3zu sites, %2zu single-stepped  %s\n", version.text, nops, found.n,
			       found.stepped, path);
			CHECK(found.n >= 100 && found.n <= SITE_HANDLERS_SITES);
			for (size_t i = 0; i < found.n; i++) {
				check_site(elf, opmap, &found.sites[i]);
				stepped += !found.sites[i].emulated;
				for (size_t k = 0; k < i; k++)
					CHECK(found.sites[i].addr != found.sites[k].addr);
			}
			CHECK_EQ(found.stepped, stepped);
			CHECK(stepped < found.n / 4);
			check_forms(opmap, &found);
			check_alone(elf, &layout, opmap, &found);
			check_refused(elf, &layout, opmap);
		}
	}
	elf_file__close(elf);
}

/* What passes a register's value on, or an opcode's. */
static void test_insns(void)
{
	static const struct {
		const char *what;
		uint8_t len, bytes[8];
		uint8_t add_to, add_from;
		int8_t add_by;
		uint8_t narrow, keep_to, keep_from, picked;
		bool overwrites;
		uint8_t written_base;
	} cases[] = {
#define NO INSN_NO_REG
		{ "add r14, 2", 4, { 0x49, 0x83, 0xc6, 0x02 }, 14, 14, 2, 0, NO, NO, NO, false, NO },
		{ "sub rbp, 2", 4, { 0x48, 0x83, 0xed, 0x02 }, 5, 5, -2, 0, NO, NO, NO, false, NO },
		{ "lea rax, [r14 + 4]", 4, { 0x49, 0x8d, 0x46, 0x04 }, 0, 14, 4, 0, NO, NO, NO, false, NO },
		{ "lea rax, [rdi + rcx]", 4, { 0x48, 0x8d, 0x04, 0x0f }, NO, NO, 0, 0, NO, NO, NO, false, NO },
		{ "add eax, 2", 3, { 0x83, 0xc0, 0x02 }, NO, NO, 0, 0, NO, NO, NO, false, NO },
		{ "movzx eax, word [r14 + 4]",
		  5,
		  { 0x41, 0x0f, 0xb7, 0x46, 0x04 },
		  NO,
		  NO,
		  0,
		  2,
		  NO,
		  NO,
		  NO,
		  false,
		  NO },
		{ "movzx eax, byte [r14 + 3]",
		  5,
		  { 0x41, 0x0f, 0xb6, 0x46, 0x03 },
		  NO,
		  NO,
		  0,
		  1,
		  NO,
		  NO,
		  NO,
		  false,
		  NO },
		{ "movzx ecx, al", 3, { 0x0f, 0xb6, 0xc8 }, NO, NO, 0, 0, 1, 0, NO, false, NO },
		{ "movzx ecx, ah", 3, { 0x0f, 0xb6, 0xcc }, NO, NO, 0, 0, NO, NO, NO, false, NO },
		{ "or al, [rsp + 0x10]", 4, { 0x0a, 0x44, 0x24, 0x10 }, NO, NO, 0, 0, 0, 0, NO, false, NO },
		{ "jmp [rdx + rax * 8]", 3, { 0xff, 0x24, 0xc2 }, NO, NO, 0, 0, NO, NO, 0, false, NO },
		{ "mov rax, [rdi + rcx * 8]", 4, { 0x48, 0x8b, 0x04, 0xcf }, NO, NO, 0, 0, NO, NO, 1, false, NO },
		{ "mov [rbx], rax", 3, { 0x48, 0x89, 0x03 }, NO, NO, 0, 0, NO, NO, NO, true, 3 },
		{ "mov [rbx + rcx * 8], rax", 4, { 0x48, 0x89, 0x04, 0xcb }, NO, NO, 0, 0, NO, NO, NO, true, NO },
		{ "add qword [rax], 1", 4, { 0x48, 0x83, 0x00, 0x01 }, NO, NO, 0, 0, NO, NO, NO, false, NO },
		{ "xchg [rbx], rax", 3, { 0x48, 0x87, 0x03 }, NO, NO, 0, 0, NO, NO, NO, true, 3 },
#undef NO
	};
	struct insn_decoder *d;
	struct insn insn;

	if (!CHECK_EQ(insn_decoder__new(&d), 0))
		return;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool good = CHECK_EQ(insn_decoder__decode(d, cases[i].bytes, cases[i].len, 0x1000, &insn), 0) &&
			    CHECK_EQ(insn.add_to, cases[i].add_to) && CHECK_EQ(insn.add_from, cases[i].add_from) &&
			    CHECK_EQ(insn.add_by, cases[i].add_by) && CHECK_EQ(insn.narrow, cases[i].narrow) &&
			    CHECK_EQ(insn.keep_to, cases[i].keep_to) && CHECK_EQ(insn.keep_from, cases[i].keep_from) &&
			    CHECK_EQ(insn.picked, cases[i].picked) && CHECK_EQ(insn.overwrites, cases[i].overwrites) &&
			    CHECK_EQ(insn.written_base, cases[i].written_base);

		if (!good)
			fprintf(stderr, "of %s\n", cases[i].what);
	}
	insn_decoder__free(d);
}

static bool hidden(uint8_t minor, const char *before, const char *op)
{
	const struct opmap *opmap = opmap__find(3, minor);
	int first = opmap__number(opmap, before), second = opmap__number(opmap, op);

	return CHECK(first >= 0 && second >= 0) && site_handlers__hidden(opmap, (uint8_t)first, (uint8_t)second);
}

static void test_hidden(void)
{
	CHECK(hidden(11, "PRECALL", "CALL"));
	CHECK(hidden(11, "COMPARE_OP", "POP_JUMP_FORWARD_IF_FALSE"));
	CHECK(hidden(11, "BINARY_OP", "STORE_FAST"));
	CHECK(!hidden(11, "CALL", "POP_TOP"));
	CHECK(hidden(12, "CALL", "POP_TOP"));
	CHECK(!hidden(12, "CALL", "STORE_FAST"));
	CHECK(!hidden(12, "COMPARE_OP", "POP_JUMP_IF_FALSE"));
	CHECK(hidden(14, "POP_JUMP_IF_TRUE", "NOT_TAKEN"));
	CHECK(!hidden(14, "FOR_ITER", "STORE_FAST"));
	CHECK(!hidden(8, "BINARY_ADD", "STORE_FAST"));
}

int main(void)
{
	glob_t found;

	test_insns();
	test_hidden();
	interpreters_find_files(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		test_interpreter(found.gl_pathv[i]);
	if (!found.gl_pathc)
		CHECK_SKIP("no interpreter was found");
	globfree(&found);
	return check_done();
}
