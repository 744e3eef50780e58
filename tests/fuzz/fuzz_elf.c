/* fuzz_elf: an ELF file, as it is. Everything that elf.h offers is asked, and all bytes that it gives out are read. */
#include "elf.h"
#include "fuzz.h"

#define SECTIONS 64 /* looked at closely, of the many that a file may have */

static void look_at(const struct elf_file *elf, uint64_t addr)
{
	size_t len = 4096;
	const uint8_t *bytes = elf_file__at(elf, addr, &len);
	const char *name = elf_file__plt_name(elf, addr);
	uint64_t word;

	if (bytes)
		fuzz_use(bytes, len);
	if (name)
		fuzz_use(name, strlen(name));
	if (!elf_file__word(elf, addr, &word))
		fuzz_used += word;
	if (!elf_file__file_offset(elf, addr, &word))
		fuzz_used += word;
	fuzz_used += elf_file__is_code(elf, addr);
}

static void look_at_section(const struct elf_file *elf, const struct elf_section *section)
{
	fuzz_use(section->name, strlen(section->name));
	if (section->data)
		fuzz_use(section->data, section->size);
	look_at(elf, section->addr);
	look_at(elf, section->addr - 1);
	look_at(elf, section->addr + section->size - 1);
	look_at(elf, section->addr + section->size - 8);
	for (uint64_t at = 0; at < 64 && at < section->size; at += 8)
		look_at(elf, section->addr + at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "_PyEval_EvalFrameDefault", "PyCode_Type", "Py_Version", "_PyRuntime",
					     "no" };
	struct elf_section section;
	struct elf_symbol symbol;
	struct elf_file *elf;
	uint64_t addr;

	fuzz_begin();
	if (elf_file__open(fuzz_file(data, size), &elf))
		return 0;
	fuzz_use(elf_file__build_id(elf), strlen(elf_file__build_id(elf)));
	look_at(elf, elf_file__base(elf));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!elf_file__symbol(elf, names[i], &symbol))
			look_at(elf, symbol.addr + symbol.size - 1);
		if (!elf_file__copied(elf, names[i], &addr))
			look_at(elf, addr);
	}
	for (size_t i = 0; i <= SECTIONS; i++)
		if (!elf_file__section(elf, i, &section))
			look_at_section(elf, &section);
	elf_file__close(elf);
	return 0;
}
