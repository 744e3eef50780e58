/*
 * fuzz_site: an ELF file that looks like an interpreter of one version, patched, is searched for sites and for opcode handlers. The input: the
 * version (a byte), which of elf_image's files (a byte), the patches (fuzz.h).
 */
#include "elf.h"
#include "elf_image.h"
#include "fuzz.h"
#include "layout.h"
#include "opmap.h"
#include "site.h"
#include "site_handlers.h"

#define ROOM (1u << 18)

static void look_at(const struct elf_file *elf, const struct site_set *set)
{
	uint64_t offset;

	/* What session.c and probe.c count on. */
	if (!set->backend || set->n == 0 || set->n > SITE_MAX)
		abort();
	for (size_t i = 0; i < set->n; i++) {
		const struct site *site = &set->sites[i];

		if (site->kind >= SITE_KINDS || site->frame_reg > 15 ||
		    (site->tstate_reg > 15 && site->tstate_reg != SITE_REG_NONE) ||
		    elf_file__file_offset(elf, site->addr, &offset) || offset != site->file_offset)
			abort();
		fuzz_use(site->what, strlen(site->what));
	}
}

static void look_at_handlers(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap)
{
	static struct site_handlers found;
	uint64_t offset;
	uint8_t ops[256];
	size_t n = 0;

	for (int op = 0; op < 256; op++)
		if (opmap->names[op] && site_handlers__base(opmap, (uint8_t)op) == op)
			ops[n++] = (uint8_t)op;
	if (site_set__find_handlers(elf, layout, opmap, ops, n, &found))
		return;
	if (found.n == 0 || found.n > SITE_HANDLERS_SITES || found.stepped > found.n)
		abort();
	for (size_t i = 0; i < found.n; i++)
		if (found.sites[i].instr_reg > 15 || elf_file__file_offset(elf, found.sites[i].addr, &offset) ||
		    offset != found.sites[i].file_offset)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[ROOM];
	struct fuzz_input in = { data, size };
	uint8_t minor = fuzz_minor(&in), kind = (uint8_t)fuzz_number(&in, 1);
	struct elf_image image = {
		.minor = minor, .fixed = kind & 1, .stripped = kind & 2, .endbr = kind & 4, .jumps = kind & 8
	};
	const struct layout *layout = layout__find(3, minor, false);
	const struct opmap *opmap = opmap__find(3, minor);
	struct elf_file *elf;
	struct site_set set;
	size_t used;

	fuzz_begin();
	if (!layout || !opmap)
		return 0;
	used = elf_image__make(&image, bytes);
	memset(bytes + used, 0, sizeof(bytes) - used);
	fuzz_patch(&in, image.fixed ? ELF_IMAGE_FIXED_BASE : 0, bytes, sizeof(bytes), &used);
	if (elf_file__probe(fuzz_file(bytes, used), &elf))
		return 0;
	if (!site_set__find(elf, layout, opmap, NULL, &set))
		look_at(elf, &set);
	look_at_handlers(elf, layout, opmap);
	elf_file__close(elf);
	return 0;
}
