/*
 * layout_file: the layout of the interpreter in one file: the row of its version and, from 3.13 on, what the file says of
 * itself. Owns the reading of _Py_DebugOffsets; the numbers are in layout_table.c.
 */
#include <errno.h>
#include <string.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "target.h"

/* The beginning of struct _Py_DebugOffsets is the same in all versions that have it. */
#define COOKIE "xdebugpy"
#define VERSION_AT 8
#define FREE_THREADED_AT 16
#define OFFSET_MAX (1 << 20) /* the largest struct, PyInterpreterState, has about a quarter of that */

/* Include/object.h (3.13: refcount.h) declares it with Py_REF_DEBUG only, which Py_DEBUG brings. */
static bool is_debug_build(const struct elf_file *elf)
{
	struct elf_symbol sym;

	return elf_file__symbol(elf, "_Py_NegativeRefcount", &sym) == 0;
}

static int word_at(const struct elf_file *elf, uint64_t addr, uint64_t *out)
{
	size_t len = sizeof(*out);
	const uint8_t *bytes = elf_file__at(elf, addr, &len);

	if (!bytes || len < sizeof(*out))
		return -DIAG_BAD_DATA;
	memcpy(out, bytes, sizeof(*out));
	return 0;
}

/* Whether the struct at `addr` is of this version (PY_VERSION_HEX: a byte each of major, minor, micro) and of a build with
 * a GIL. */
static bool is_of_version(const struct elf_file *elf, uint64_t addr, const struct py_version *version)
{
	uint64_t cookie, hex, free_threaded;

	return !word_at(elf, addr, &cookie) && !memcmp(&cookie, COOKIE, sizeof(cookie)) &&
	       !word_at(elf, addr + VERSION_AT, &hex) && hex >> 24 == version->major &&
	       (hex >> 16 & 0xff) == version->minor && (hex >> 8 & 0xff) == version->micro &&
	       !word_at(elf, addr + FREE_THREADED_AT, &free_threaded) && !free_threaded;
}

/* One field: what the file says, if it does. */
static int correct(const struct elf_file *elf, uint64_t addr, int32_t at, int32_t *field, unsigned *corrected)
{
	uint64_t value;

	if (at == OFF_NONE)
		return 0;
	if (word_at(elf, addr + (uint64_t)at, &value) || value > OFFSET_MAX)
		return -DIAG_BAD_DATA;
	*corrected += *field != (int32_t)value;
	*field = (int32_t)value;
	return 0;
}

static bool ends_within(int32_t offset, int32_t bytes)
{
	return offset == OFF_NONE || (offset >= 0 && offset <= bytes - (int32_t)sizeof(uint64_t));
}

bool layout__fits(const struct layout *lay)
{
	const int32_t object[] = { lay->ob_type,   lay->ob_size,     lay->unicode_length, lay->unicode_state,
				   lay->dict_keys, lay->dict_values, lay->set_used,	  lay->set_mask,
				   lay->set_table, lay->float_value };
	const int32_t code[] = {
		lay->code_flags,     lay->code_firstlineno,	lay->code_filename,	  lay->code_name,
		lay->code_qualname,  lay->code_consts,		lay->code_argcount,	  lay->code_names,
		lay->code_linetable, lay->code_localsplusnames, lay->code_localspluskinds
	};
	const int32_t type[] = { lay->type_flags, lay->type_basicsize,	lay->type_itemsize, lay->type_base,
				 lay->type_dict,  lay->type_dictoffset, lay->type_name };
	bool fits = true;

	for (size_t i = 0; i < sizeof(object) / sizeof(object[0]); i++)
		fits &= ends_within(object[i], LAYOUT_OBJECT_BYTES);
	for (size_t i = 0; i < sizeof(code) / sizeof(code[0]); i++)
		fits &= ends_within(code[i], LAYOUT_CODE_BYTES);
	for (size_t i = 0; i < sizeof(type) / sizeof(type[0]); i++)
		fits &= ends_within(type[i], LAYOUT_TYPE_BYTES);
	return fits;
}

int layout__of_file(const struct elf_file *elf, const struct py_version *version, struct layout *out,
		    unsigned *corrected)
{
	const struct layout *row = layout__find(version->major, version->minor, is_debug_build(elf));
	const struct layout *places = layout__in_debug_offsets(version->major, version->minor);
	struct elf_symbol runtime;
	unsigned n = 0;
	int err = 0;

	if (!row)
		return -ENOENT;
	*out = *row;
	if (places) {
		if (elf_file__symbol(elf, "_PyRuntime", &runtime) || !is_of_version(elf, runtime.addr, version))
			return -DIAG_BAD_DATA;
#define CORRECT(field, what) err = err ? err : correct(elf, runtime.addr, places->field, &out->field, &n);
		LAYOUT_FIELDS(CORRECT)
#undef CORRECT
	}
	if (corrected)
		*corrected = n;
	return err ? err : layout__fits(out) ? 0 : -DIAG_BAD_DATA;
}
