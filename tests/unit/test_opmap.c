/* test_opmap: the rows are there and whole. Their values are compared with the interpreters by scripts/gen-opmap --check. */
#include "opmap.h"

#include "check.h"

#include <errno.h>
#include <stddef.h>

static void row(const struct opmap *map)
{
	int used = 0;

	for (int i = 0; i < 256; i++) {
		if (!map->names[i])
			continue;
		used++;
		CHECK(map->names[i][0]);
		/* No name twice: its number would be that of the first. */
		CHECK_EQ(opmap__number(map, map->names[i]), i);
	}
	/* What is left is what the dispatch table is told by. */
	CHECK(used > 100 && used < 250);
	CHECK_EQ(opmap__number(map, "NO_SUCH_OPCODE"), -ENOENT);
	CHECK_EQ(opmap__number(map, ""), -ENOENT);
}

int main(void)
{
	static const struct {
		uint8_t minor;
		const char *name;
		int number;
	} known[] = {
		{ 8, "RETURN_VALUE", 83 },
		{ 8, "RESUME", -ENOENT },
		{ 9, "YIELD_VALUE", 86 },
		{ 10, "GEN_START", 129 },
		{ 10, "CACHE", -ENOENT },
		{ 11, "CACHE", 0 },
		{ 11, "RESUME", 151 },
		{ 11, "DO_TRACING", 255 },
		{ 11, "INSTRUMENTED_RESUME", -ENOENT },
		{ 12, "RESUME", 151 },
		{ 12, "DO_TRACING", -ENOENT },
		{ 12, "RETURN_CONST", 121 },
		{ 12, "INSTRUMENTED_RESUME", 240 },
		{ 12, "INSTRUMENTED_LINE", 254 },
		{ 13, "RESUME", 149 },
		{ 13, "RETURN_VALUE", 36 },
		{ 13, "RESUME_CHECK", 207 },
		{ 13, "INSTRUMENTED_LINE", 254 },
	};

	for (int minor = 0; minor < 256; minor++) {
		const struct opmap *map = opmap__find(3, (uint8_t)minor);

		CHECK(!map == (minor < 8 || minor > 15));
		if (map)
			row(map);
	}
	CHECK(!opmap__find(2, 11));
	CHECK(opmap__number(opmap__find(3, 11), "RESUME_QUICK") > 0);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct opmap *map = opmap__find(3, known[i].minor);

		if (map)
			CHECK_EQ(opmap__number(map, known[i].name), known[i].number);
	}
	return check_done();
}
