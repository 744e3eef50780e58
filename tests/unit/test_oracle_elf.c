/*
 * oracle_elf: elf against what the bcc project's library, which is linked into tests only, says of the interpreters'
 * files found here: every function and object, the build-id, the code's place in file and memory. It reads them with
 * code of its own. Where the two are meant to differ, the reason stands at the comparison.
 */
#include "check.h"
#include "elf.h"
#include "interpreters.h"

#include <bcc/bcc_elf.h>
#include <bcc/bcc_syms.h>
#include <elf.h>
#include <errno.h>
#include <inttypes.h>

/* Symbols of functions and objects; of the file itself, not of a debug file that belongs to it. */
static struct bcc_symbol_option symbol_option = {
	.use_symbol_type = 1u << STT_FUNC | 1u << STT_OBJECT | 1u << STT_GNU_IFUNC,
};

struct reported {
	char *name;
	uint64_t addr, size;
};

struct reports {
	struct reported *items;
	size_t n, room;
};

static int collect_symbol(const char *name, uint64_t addr, uint64_t size, void *ctx)
{
	struct reports *r = ctx;

	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 4096;
		r->items = reallocarray(r->items, r->room, sizeof(*r->items));
	}
	if (!r->items)
		abort();
	r->items[r->n] = (struct reported){ strdup(name), addr, size };
	/* "name@VERSION" is how .symtab writes what .dynsym calls "name". */
	r->items[r->n].name[strcspn(r->items[r->n].name, "@")] = '\0';
	r->n++;
	return 0;
}

static int compare_reports(const void *a, const void *b)
{
	return strcmp(((const struct reported *)a)->name, ((const struct reported *)b)->name);
}

/* bcc reports each table's entries; of several that share a name, static functions of several files above all, we give
 * one. So ours must be among them: it is the only one nearly always. */
static void check_symbol(const struct elf_file *elf, const struct reported *first, size_t n, const char *path)
{
	bool undefined = true, found = false;
	struct elf_symbol sym = { 0 };
	const char *plt_name;
	int err = elf_file__symbol(elf, first->name, &sym);

	for (size_t i = 0; i < n; i++) {
		/* In an executable with fixed addresses an undefined symbol may have an address, that of its PLT stub,
		 * and bcc reports it. We give what the file defines. */
		plt_name = elf_file__plt_name(elf, first[i].addr);
		undefined &= first[i].size == 0 && plt_name && strcmp(plt_name, first->name) == 0;
		found |= first[i].addr == sym.addr && first[i].size == sym.size;
	}
	if (!CHECK(undefined ? err == -ENOENT : err == 0 && found))
		fprintf(stderr, "  %s: %s is %#" PRIx64 "+%" PRIu64 ", not %#" PRIx64 "+%" PRIu64 "\n", path,
			first->name, sym.addr, sym.size, first->addr, first->size);
}

static void test_symbols(const struct elf_file *elf, const char *path)
{
	struct reports r = { 0 };
	size_t i, next;

	CHECK_EQ(bcc_elf_foreach_sym(path, collect_symbol, &symbol_option, &r), 0);
	qsort(r.items, r.n, sizeof(*r.items), compare_reports);
	for (i = 0; i < r.n; i = next) {
		for (next = i + 1; next < r.n && strcmp(r.items[next].name, r.items[i].name) == 0;)
			next++;
		check_symbol(elf, &r.items[i], next - i, path);
	}
	for (i = 0; i < r.n; i++)
		free(r.items[i].name);
	free(r.items);
}

static bool find_section(const struct elf_file *elf, const char *name, struct elf_section *out)
{
	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		if (elf_file__section(elf, i, out) == 0 && strcmp(out->name, name) == 0)
			return true;
	return false;
}

struct segments {
	struct segment {
		uint64_t addr, size, offset;
	} items[16];
	size_t n;
};

/* bcc reports executable ones only. */
static int collect_segment(uint64_t addr, uint64_t size, uint64_t offset, void *ctx)
{
	struct segments *segments = ctx;

	if (CHECK(segments->n < sizeof(segments->items) / sizeof(segments->items[0])))
		segments->items[segments->n++] = (struct segment){ addr, size, offset };
	return 0;
}

static bool holds(const struct segments *segments, uint64_t addr)
{
	for (size_t i = 0; i < segments->n; i++)
		if (addr - segments->items[i].addr < segments->items[i].size)
			return true;
	return false;
}

/* What is code: at the edges of the segments, and in all sections that are loaded. */
static void test_segments(const struct elf_file *elf, const char *path)
{
	struct segments segments = { 0 };
	struct elf_section s;
	uint64_t offset;

	CHECK_EQ(bcc_elf_foreach_load_section(path, collect_segment, &segments), 0);
	CHECK(segments.n > 0);
	for (size_t i = 0; i < segments.n; i++) {
		const struct segment *segment = &segments.items[i];
		const uint64_t edges[] = { segment->addr - 1, segment->addr, segment->addr + segment->size - 1,
					   segment->addr + segment->size };
		size_t len = SIZE_MAX;

		CHECK(elf_file__at(elf, segment->addr, &len) && len == segment->size);
		CHECK(elf_file__file_offset(elf, segment->addr, &offset) == 0 && offset == segment->offset);
		for (size_t k = 0; k < 4; k++)
			CHECK_EQ(elf_file__is_code(elf, edges[k]), holds(&segments, edges[k]));
	}
	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		if (elf_file__section(elf, i, &s) == 0 && s.flags & SHF_ALLOC && s.size)
			CHECK_EQ(elf_file__is_code(elf, s.addr), holds(&segments, s.addr));
}

static void test_extents(const struct elf_file *elf, const char *path)
{
	char build_id[2 * 20 + 1] = "";
	uint64_t addr = 0, offset = 0, got;
	struct elf_section s;

	/* -1: the file has none. */
	if (bcc_elf_get_buildid(path, build_id) == 0)
		CHECK_STR_EQ(elf_file__build_id(elf), build_id);
	else
		CHECK_STR_EQ(elf_file__build_id(elf), "");
	CHECK_EQ(bcc_elf_get_text_scn_info(path, &addr, &offset), 0);
	if (CHECK(find_section(elf, ".text", &s)))
		CHECK_EQ(s.addr, addr);
	CHECK(elf_file__file_offset(elf, addr, &got) == 0 && got == offset);
}

static void test_files(void)
{
	struct elf_file *elf;
	glob_t found;

	interpreters_find_files(&found);
	if (found.gl_pathc == 0)
		CHECK_SKIP("interpreters' files: none was found");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		if (!CHECK_EQ(elf_file__open(found.gl_pathv[i], &elf), 0))
			continue;
		test_symbols(elf, found.gl_pathv[i]);
		test_segments(elf, found.gl_pathv[i]);
		test_extents(elf, found.gl_pathv[i]);
		elf_file__close(elf);
	}
	globfree(&found);
}

int main(void)
{
	test_files();
	return check_done();
}
