/*
 * test_places: places and pycode on code made by hand, and on damaged code of all versions. What is right for real
 * programs is tests/e2e/test_lines.py's.
 */
#include "check.h"

#include "opmap.h"
#include "places.h"
#include "places_priv.h"
#include "pycode_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNITS 200
#define ROUNDS 300

static uint32_t state = 1;

static uint32_t some(uint32_t below)
{
	state = state * 1103515245 + 12345;
	return (state >> 8) % below;
}

/* Names of variables, so that arguments name some. */
static void name_variables(struct pycode *code, size_t n)
{
	code->locals = calloc(n, sizeof(*code->locals));
	code->cell = calloc(n, sizeof(*code->cell));
	code->names = calloc(n, sizeof(*code->names));
	code->nlocals = code->nnames = n;
	for (size_t i = 0; i < n; i++) {
		char name[3] = { 'v', (char)('a' + i), 0 };

		code->locals[i] = strdup(name);
		code->names[i] = strdup(name);
		code->cell[i] = i + 2 > n;
	}
	code->name = strdup("f");
}

static struct pycode *make(uint8_t minor, const uint8_t *units, size_t n, int *err)
{
	struct pycode *code = calloc(1, sizeof(*code));
	struct pycode_ops ops;

	code->major = 3;
	code->minor = minor;
	code->firstlineno = 10;
	name_variables(code, 5);
	*err = pycode_ops__init(&ops, 3, minor);
	CHECK(!*err);
	*err = *err ? *err : pycode_split(code, &ops, units, n);
	return code;
}

/* Everything that can be asked of code that was let in. */
static void ask(const struct pycode *code)
{
	struct places_set *set;
	uint32_t *lines;
	char **names;
	size_t n = 0;
	int err = places__lines(code, &lines, &n);

	CHECK(!err || err == -E2BIG);
	for (size_t i = 0; i < n; i++)
		CHECK(lines[i] && (!i || lines[i] > lines[i - 1]));
	err = n ? places_set__new(code, lines, n < 3 ? n : 3, some(2), &set) : -ENOENT;
	CHECK(!n || !err || err == -E2BIG);
	if (!err) {
		struct places_step steps[PLACES_MAX];
		bool live[PLACES_MAX];

		for (size_t i = 0; i < set->nplaces; i++) {
			live[i] = some(4);
			CHECK(pycode__find(code, set->offsets[i]) >= 0);
		}
		for (int from = -1; from < (int)set->nplaces; from++)
			places_set__steps(set, live, from, steps);
		places_set__free(set);
	}
	free(lines);
	if (!places__names(code, &names, &n)) {
		for (size_t i = 0; i < n; i++)
			free(names[i]);
		free(names);
	}
}

/* Lines in the first half, handlers in the second: mostly of the right form. */
static void fill_tables(uint8_t *bytes, size_t n, size_t units)
{
	for (size_t i = 0; i < n / 2; i++)
		bytes[i] = (uint8_t)(i % 3 ? some(128) : 0x80 | (10 + some(3)) << 3 | some(8));
	for (size_t i = n / 2; i < n; i++)
		bytes[i] = (uint8_t)some(units < 64 ? (uint32_t)units / 2 + 1 : 32);
	for (size_t i = 0; i < n && !some(2); i += 1 + some(8))
		bytes[i] = (uint8_t)some(256);
}

/* Opcodes that the version has, arguments that are often small; tables of any bytes. */
static void damaged(uint8_t minor)
{
	const struct opmap *map = opmap__find(3, minor);
	uint8_t units[2 * UNITS], bytes[64];
	unsigned taken = 0, refused = 0;

	for (int round = 0; round < ROUNDS; round++) {
		size_t n = 2 * (1 + some(round % 3 ? 12 : UNITS));
		struct pycode *code;
		int err;

		for (size_t i = 0; i < n; i += 2) {
			do
				units[i] = (uint8_t)some(256);
			while (!map->names[units[i]] || !strncmp(map->names[units[i]], "INSTRUMENTED", 12));
			units[i + 1] = (uint8_t)some(some(4) ? 8 : 256);
		}
		fill_tables(bytes, sizeof(bytes), n / 2);
		code = make(minor, units, n, &err);
		err = err ? err : pycode_set_lines(code, (struct pycode_table){ bytes, some(3) ? 30 : some(33) });
		if (!err && minor >= 11)
			err = pycode_parse_handlers(
				code, (struct pycode_table){ bytes + 32, some(3) ? 4 * some(3) : some(33) });
		else if (!err)
			err = pycode_trace_blocks(code);
		if (!err)
			ask(code);
		CHECK(!err || err == -EINVAL);
		taken += !err;
		refused += err != 0;
		pycode__free(code);
	}
	/* Both happen, or nothing was tested. */
	CHECK(taken > ROUNDS / 20 && refused);
}

static uint8_t op(uint8_t minor, const char *name)
{
	int n = opmap__number(opmap__find(3, minor), name);

	CHECK(n >= 0);
	return (uint8_t)n;
}

/*
 * 3.10:   11  0 LOAD_FAST    0
 *             2 POP_JUMP_IF_FALSE 4
 *         12  4 LOAD_CONST   0
 *             6 STORE_FAST   1
 *         13  8 LOAD_FAST    1
 *            10 RETURN_VALUE
 */
static void branches(void)
{
	const uint8_t units[] = { op(10, "LOAD_FAST"),	0, op(10, "POP_JUMP_IF_FALSE"), 4, op(10, "LOAD_CONST"),   0,
				  op(10, "STORE_FAST"), 1, op(10, "LOAD_FAST"),		1, op(10, "RETURN_VALUE"), 0 };
	const uint8_t lines[] = { 4, 1, 4, 1, 4, 1 };
	const uint32_t wanted[] = { 12, 13 };
	bool live[PLACES_MAX] = { true, true, true, true, true };
	struct places_set *set;
	struct places_step s;
	int err;
	struct pycode *code = make(10, units, sizeof(units), &err);

	CHECK(!err);
	CHECK(!pycode_set_lines(code, (struct pycode_table){ lines, sizeof(lines) }));
	CHECK(!pycode_trace_blocks(code));
	CHECK(pycode__line(code, 2) == 11 && pycode__line(code, 4) == 12 && pycode__line(code, 10) == 13);
	CHECK(code->instrs[1].target == 8);
	CHECK(!places_set__new(code, wanted, 2, false, &set));
	/* 12 is entered at 4 and left at 8. It cannot fail, so that no frame ends in it. */
	CHECK(set->windows[0].nplaces == 2 && set->offsets[0] == 4 && set->offsets[1] == 8);
	CHECK(set->windows[0].ndefs == 1 && !strcmp(set->windows[0].defs[0].name, "vb"));
	CHECK(set->windows[1].nuses == 1 && !strcmp(set->windows[1].uses[0].name, "vb"));
	CHECK(set->windows[1].nplaces == 2 && set->offsets[set->windows[1].places[1]] == 10);
	s = places_set__step(set, live, 0, 1);
	CHECK(s.leaves == 12 && s.enters == 13 && !s.unsure && !s.ends);
	s = places_set__step(set, live, -1, 1);
	CHECK(!s.leaves && s.enters == 13 && !s.unsure);
	s = places_set__step(set, live, 1, 2);
	CHECK(s.leaves == 13 && !s.enters && !s.unsure && s.ends);
	live[2] = false;
	s = places_set__step(set, live, 0, 1);
	CHECK(s.leaves == 12 && !s.enters);
	places_set__free(set);
	CHECK(places_set__new(code, (const uint32_t[]){ 99 }, 1, false, &set) == -ENOENT && !set);
	pycode__free(code);
}

int main(void)
{
	branches();
	for (uint8_t minor = 8; minor <= 15; minor++)
		damaged(minor);
	return check_done();
}
