/* test_layout: the rows are there, whole, and say 'absent' where a version lacks a field. Their values are compared with
 * CPython's headers by scripts/gen-layout --check. */
#include "layout.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag.h"
#include "elf.h"
#include "interpreters.h"
#include "target.h"

static void rows(void)
{
	for (int minor = 0; minor < 256; minor++) {
		const struct layout *lay = layout__find(3, (uint8_t)minor, false);

		CHECK(!lay == (minor < 8 || minor > 15));
		if (lay)
			CHECK(lay->major == 3 && lay->minor == minor && layout__fits(lay));
	}
	CHECK(!layout__find(2, 8, false));
	CHECK(!layout__find(4, 8, false));
}

/* A field that the generator forgot would be 0 instead of an offset. These alone may be. */
static int may_be_zero(const char *name)
{
	static const char *const names[] = { "interp_next",	"cframe_current_frame", "frame_func",
					     "frame_code",	"dict_values_items",	"keys_kind_general",
					     "values_capacity", "interp_instrumented" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return 1;
	return 0;
}

static void values(const struct layout *lay)
{
#define CHECK_FIELD(field, what)                                             \
	CHECK(lay->field == OFF_NONE || lay->field || may_be_zero(#field) || \
	      (fprintf(stderr, "3.%d %s: ", lay->minor, #field), 0));        \
	CHECK(lay->field < 1 << 24 && lay->field >= -64);
	LAYOUT_FIELDS(CHECK_FIELD)
#undef CHECK_FIELD
}

static void absent(const struct layout *lay)
{
	int minor = lay->minor;

	CHECK((lay->code_qualname == OFF_NONE) == (minor < 11));
	CHECK((lay->code_bytes == OFF_NONE) == (minor < 11));
	CHECK((lay->code_code == OFF_NONE) == (minor >= 11));
	CHECK((lay->keys_size == OFF_NONE) == (minor >= 11));
	CHECK((lay->keys_log2_size == OFF_NONE) == (minor < 11));
	CHECK((lay->keys_kind_general == OFF_NONE) == (minor < 11));
	CHECK((lay->frame_lasti == OFF_NONE) == (minor >= 11));
	CHECK((lay->frame_instr == OFF_NONE) == (minor < 11));
	CHECK((lay->frame_owner == OFF_NONE) == (minor < 11));
	CHECK((lay->frame_func == OFF_NONE) == (minor < 11));
	CHECK((lay->frame_stacktop == OFF_NONE) == (minor > 9));
	CHECK((lay->frame_state == OFF_NONE) == (minor != 10));
	CHECK((lay->frame_state_suspended == OFF_NONE) == (minor != 10));
	CHECK((lay->tstate_frame == OFF_NONE) == (minor >= 11));
	CHECK((lay->tstate_cframe == OFF_NONE) == (minor != 11 && minor != 12));
	CHECK((lay->cframe_current_frame == OFF_NONE) == (minor != 11 && minor != 12));
	CHECK((lay->tstate_current_frame == OFF_NONE) == (minor < 13));
	CHECK((lay->tstate_native_thread_id == OFF_NONE) == (minor < 11));
	CHECK((lay->managed_dict == OFF_NONE) == (minor < 11));
	CHECK((lay->managed_values == OFF_NONE) == (minor != 11));
	CHECK((lay->managed_values_bias == OFF_NONE) == (minor != 12));
	CHECK((lay->values_valid == OFF_NONE) == (minor < 13));
	CHECK((lay->frame_code_tag == OFF_NONE) == (minor < 14));
	CHECK((lay->resume_mask == OFF_NONE) == (minor < 11));
	CHECK((lay->resume_creates == OFF_NONE) == (minor < 15));
	CHECK((lay->interp_jit == OFF_NONE) == (minor < 14));
	CHECK((lay->long_tag == OFF_NONE) == (minor < 12));
	CHECK((lay->code_nlocalsplus == OFF_NONE) == (minor < 11));
	CHECK((lay->code_localsplusnames == OFF_NONE) == (minor < 11));
	CHECK((lay->code_varnames == OFF_NONE) == (minor >= 11));
	CHECK((lay->code_cellvars == OFF_NONE) == (minor >= 11));
	CHECK((lay->keys_kind_split == OFF_NONE) == (minor < 11));
	CHECK((lay->inline_values == OFF_NONE) == (minor < 13));
	CHECK((lay->values_capacity == OFF_NONE) == (minor < 13));
}

/* A copy of a file in memory, with eight bytes of it changed. An open descriptor. */
static int changed_copy(const char *path, uint64_t offset, uint64_t value)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), to = memfd_create("changed", MFD_CLOEXEC);
	struct stat st;
	char *bytes;

	CHECK(from >= 0 && to >= 0 && !fstat(from, &st) && (bytes = malloc((size_t)st.st_size)));
	CHECK_EQ(read(from, bytes, (size_t)st.st_size), st.st_size);
	CHECK_EQ(write(to, bytes, (size_t)st.st_size), st.st_size);
	CHECK_EQ(pwrite(to, &value, sizeof(value), (off_t)offset), 8);
	free(bytes);
	close(from);
	return to;
}

/* What a file whose _Py_DebugOffsets says `value` at byte `at` is taken for. */
static int of_changed(const char *path, const struct elf_file *elf, uint64_t at, uint64_t value, struct layout *out,
		      unsigned *corrected)
{
	struct py_version version;
	struct elf_symbol runtime;
	struct elf_file *copy;
	uint64_t offset = 0;
	char link[64];
	int fd, err;

	CHECK_EQ(elf_file__symbol(elf, "_PyRuntime", &runtime), 0);
	CHECK_EQ(elf_file__file_offset(elf, runtime.addr + at, &offset), 0);
	fd = changed_copy(path, offset, value);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (!CHECK_EQ(elf_file__probe(link, &copy), 0) || !CHECK_EQ(elf_python_version(copy, &version), 0))
		return -EIO;
	err = layout__of_file(copy, &version, out, corrected);
	elf_file__close(copy);
	close(fd);
	return err;
}

/* A file's own offsets are taken; what cannot be its own is refused. */
static void offsets_of(const char *path)
{
	const struct layout *places;
	struct py_version version;
	struct elf_file *elf;
	unsigned corrected = 1;
	struct layout lay;

	if (elf_file__probe(path, &elf))
		return;
	if (!elf_python_version(elf, &version) && layout__find(version.major, version.minor, false)) {
		CHECK_EQ(layout__of_file(elf, &version, &lay, &corrected), 0);
		CHECK_EQ(corrected, 0);
		places = layout__in_debug_offsets(version.major, version.minor);
		CHECK(!places == (version.minor < 13));
		if (places) {
			int32_t next = lay.tstate_next;

			CHECK_EQ(of_changed(path, elf, (uint64_t)places->tstate_next, 4096, &lay, &corrected), 0);
			CHECK_EQ(corrected, 1);
			CHECK(lay.tstate_next == 4096 && next != 4096);
			CHECK_EQ(of_changed(path, elf, (uint64_t)places->tstate_next, 1ULL << 33, &lay, &corrected),
				 -DIAG_BAD_DATA);
			/* Behind what is read of such an object. */
			CHECK_EQ(of_changed(path, elf, (uint64_t)places->dict_values, 4096, &lay, &corrected),
				 -DIAG_BAD_DATA);
			CHECK_EQ(of_changed(path, elf, 0, 0, &lay, &corrected), -DIAG_BAD_DATA);
			CHECK_EQ(of_changed(path, elf, 8, 0x030c00f0, &lay, &corrected), -DIAG_BAD_DATA);
			CHECK_EQ(of_changed(path, elf, 16, 1, &lay, &corrected), -DIAG_BAD_DATA);
		}
		version.minor = 99;
		CHECK_EQ(layout__of_file(elf, &version, &lay, &corrected), -ENOENT);
	}
	elf_file__close(elf);
}

static void offsets(void)
{
	glob_t found;

	interpreters_find_files(&found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		offsets_of(found.gl_pathv[i]);
	if (!found.gl_pathc)
		CHECK_SKIP("no interpreter was found whose offsets could be compared");
	globfree(&found);
}

int main(void)
{
	rows();
	for (uint8_t minor = 8; minor <= 15; minor++) {
		const struct layout *lay = layout__find(3, minor, false);

		if (!lay)
			continue;
		values(lay);
		absent(lay);
		/* The stable part of the ABI. */
		CHECK_EQ(lay->ob_type, 8);
		CHECK_EQ(lay->ob_size, 16);
		CHECK_EQ(lay->bytes_data, 32);
	}
	CHECK_EQ(layout__find(3, 10, false)->frame_state_suspended, 255);
	offsets();
	return check_done();
}
