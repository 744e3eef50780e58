/*
 * elf_unwind: where functions start, by .eh_frame_hdr, the sorted table that unwinders search (Linux Standard Base,
 * "Exception Frames"). Stripped files have it too.
 */
#include "elf.h"

#include <errno.h>
#include <string.h>

/* The one form that linkers write: version 1, addresses as signed 32-bit numbers relative to the section. */
static const uint8_t head[] = { 1, 0x1b, 0x03, 0x3b };

#define TABLE_AT 12 /* behind the four bytes, the pointer to .eh_frame and the number of entries */

struct entry {
	int32_t start, description;
};

static int find_table(const struct elf_file *elf, struct elf_section *section, uint32_t *n)
{
	for (size_t i = 0; i < elf_file__section_count(elf); i++) {
		if (elf_file__section(elf, i, section) || strcmp(section->name, ".eh_frame_hdr") || !section->data ||
		    section->size < TABLE_AT || memcmp(section->data, head, sizeof(head)) != 0)
			continue;
		memcpy(n, section->data + 8, sizeof(*n));
		return *n <= (section->size - TABLE_AT) / sizeof(struct entry) ? 0 : -ENOENT;
	}
	return -ENOENT;
}

static uint64_t entry_start(const struct elf_section *section, uint32_t i)
{
	struct entry entry;

	memcpy(&entry, section->data + TABLE_AT + i * sizeof(entry), sizeof(entry));
	return section->addr + (uint64_t)(int64_t)entry.start;
}

int elf_file__function_start(const struct elf_file *elf, uint64_t addr, uint64_t *start)
{
	struct elf_section section;
	uint32_t low = 0, high = 0;

	if (find_table(elf, &section, &high))
		return -ENOENT;
	*start = 0;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		uint64_t at = entry_start(&section, middle);

		if (at <= addr) {
			*start = at;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return 0;
}

int elf_file__starts_function(const struct elf_file *elf, uint64_t addr)
{
	uint64_t start;
	int err = elf_file__function_start(elf, addr, &start);

	return err ? err : start == addr;
}
