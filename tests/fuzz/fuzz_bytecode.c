/*
 * fuzz_bytecode: a code object's units and tables, decoded; then its lines, variables and places, and what all ways from place
 * to place mean. The input: the version (a byte), the first line (2 bytes), how many variables, how many of them in cells, how
 * many names (a byte each), the sizes of the line table and of the exception table (2 bytes each), both tables; the rest is
 * code.
 */
#include "fuzz.h"
#include "places.h"
#include "pycode_priv.h"

#define STEPS_MAX 24 /* places between which all steps are tried */

static char *name_of(const char *kind, size_t i)
{
	char name[32];
	char *copy;

	snprintf(name, sizeof(name), "%s%zu", kind, i);
	copy = strdup(name);
	if (!copy)
		abort();
	return copy;
}

static void fill_names(struct pycode *code, size_t nlocals, size_t ncells, size_t nnames)
{
	code->locals = calloc(nlocals + 1, sizeof(*code->locals));
	code->cell = calloc(nlocals + 1, sizeof(*code->cell));
	code->names = calloc(nnames + 1, sizeof(*code->names));
	if (!code->locals || !code->cell || !code->names)
		abort();
	for (; code->nlocals < nlocals; code->nlocals++) {
		code->locals[code->nlocals] = name_of("v", code->nlocals);
		code->cell[code->nlocals] = code->nlocals + ncells >= nlocals;
	}
	for (; code->nnames < nnames; code->nnames++)
		code->names[code->nnames] = name_of("n", code->nnames);
}

/* Base forms, as pycode.c makes them; what has none ends the code. */
static size_t to_base(const struct pycode_ops *ops, uint8_t *units, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n; i += 2) {
		units[i] = ops->base[units[i]];
		if (!units[i])
			break;
		i += 2 * (size_t)ops->map->caches[units[i]];
	}
	return i < n ? i : n & ~(size_t)1;
}

static int decode(struct fuzz_input *in, struct pycode *code)
{
	size_t nlines = fuzz_number(in, 2), nhandlers = fuzz_number(in, 2), n;
	const uint8_t *lines = fuzz_bytes(in, nlines), *handlers = fuzz_bytes(in, nhandlers);
	struct pycode_ops ops;
	uint8_t *units;
	int err;

	if (!lines || !handlers || pycode_ops__init(&ops, code->major, code->minor))
		return -EINVAL;
	units = malloc(in->left + 1);
	if (!units)
		abort();
	memcpy(units, in->at, in->left);
	n = to_base(&ops, units, in->left);
	err = n ? pycode_split(code, &ops, units, n) : -EINVAL;
	free(units);
	if (!err)
		err = pycode_set_lines(code, (struct pycode_table){ lines, nlines });
	if (err)
		return err;
	return code->minor >= 11 ? pycode_parse_handlers(code, (struct pycode_table){ handlers, nhandlers })
				 : pycode_trace_blocks(code);
}

static void use_vars(const struct places_var *vars, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fuzz_use(vars[i].name, strlen(vars[i].name));
}

static void use_set(const struct places_set *set)
{
	bool live[PLACES_MAX];
	int n = set->nplaces < STEPS_MAX ? (int)set->nplaces : STEPS_MAX;

	for (size_t i = 0; i < PLACES_MAX; i++)
		live[i] = i < set->nplaces;
	for (size_t i = 0; i < set->nwindows; i++) {
		use_vars(set->windows[i].uses, set->windows[i].nuses);
		use_vars(set->windows[i].defs, set->windows[i].ndefs);
		for (size_t k = 0; k < set->windows[i].nplaces; k++)
			if (set->windows[i].places[k] >= set->nplaces)
				abort();
	}
	for (int from = -1; from < n; from++)
		for (int to = 0; to < n; to++) {
			struct places_step step = places_set__step(set, live, from, to);

			fuzz_used += step.leaves + step.enters + step.unsure;
		}
}

static void look_at(const struct pycode *code)
{
	struct places_set *set;
	uint32_t *lines;
	char **names;
	size_t n;

	for (size_t i = 0; i < code->ninstrs; i++)
		fuzz_used += pycode__line(code, code->instrs[i].offset);
	if (!places__names(code, &names, &n)) {
		while (n--) {
			fuzz_use(names[n], strlen(names[n]));
			free(names[n]);
		}
		free(names);
	}
	if (!places__lines(code, &lines, &n)) {
		if (n && !places_set__new(code, lines, 1, false, &set)) {
			use_set(set);
			places_set__free(set);
		}
		free(lines);
	}
	if (!places_set__new(code, NULL, 0, true, &set)) {
		use_set(set);
		places_set__free(set);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct pycode *code = calloc(1, sizeof(*code));
	size_t nlocals, ncells;

	if (!code)
		abort();
	fuzz_begin();
	code->major = 3;
	code->minor = fuzz_minor(&in);
	code->name = name_of("f", 0);
	code->firstlineno = (uint32_t)fuzz_number(&in, 2);
	nlocals = fuzz_number(&in, 1);
	ncells = fuzz_number(&in, 1);
	fill_names(code, nlocals, ncells, fuzz_number(&in, 1));
	if (!decode(&in, code))
		look_at(code);
	pycode__free(code);
	return 0;
}
