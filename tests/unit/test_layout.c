/* test_layout: the rows are there, whole, and say 'absent' where a version lacks a field. Their values are compared with
 * CPython's headers by scripts/gen-layout --check. */
#include "layout.h"

#include "check.h"

#include <stddef.h>

static void rows(void)
{
	for (int minor = 0; minor < 256; minor++) {
		const struct layout *lay = layout__find(3, (uint8_t)minor);

		CHECK(!lay == (minor < 8 || minor > 13));
		if (lay)
			CHECK(lay->major == 3 && lay->minor == minor);
	}
	CHECK(!layout__find(2, 8));
	CHECK(!layout__find(4, 8));
}

/* A field that the generator forgot would be 0 instead of an offset. These alone may be. */
static int may_be_zero(const char *name)
{
	static const char *const names[] = { "interp_next", "cframe_current_frame", "frame_func",
					     "frame_code",  "dict_values_items",    "keys_kind_general" };

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
	CHECK((lay->values_valid == OFF_NONE) == (minor != 13));
	CHECK((lay->long_tag == OFF_NONE) == (minor < 12));
}

int main(void)
{
	rows();
	for (uint8_t minor = 8; minor <= 13; minor++) {
		const struct layout *lay = layout__find(3, minor);

		if (!lay)
			continue;
		values(lay);
		absent(lay);
		/* The stable part of the ABI. */
		CHECK_EQ(lay->ob_type, 8);
		CHECK_EQ(lay->ob_size, 16);
		CHECK_EQ(lay->bytes_data, 32);
	}
	CHECK_EQ(layout__find(3, 10)->frame_state_suspended, 255);
	return check_done();
}
