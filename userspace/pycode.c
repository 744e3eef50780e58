/*
 * pycode: a code object out of a target's memory. Owns reading it; what its tables and instructions mean is pycode_op.c's,
 * pycode_line.c's and pycode_block.c's.
 *
 * The target goes on while it is read, and may rewrite code units at any time: each of them is taken by itself, and what
 * it means does not depend on its form. Whatever does not fit together is refused.
 */
#include "pycode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pycode_priv.h"
#include "pyobj_priv.h"

#define UNIT 2u
#define BYTES_MAX (1u << 22) /* of code, and of each table */
#define NAMES_MAX 100000
#define NAME_BYTES 1024
#define EXECUTORS_MAX 256 /* the argument that names one is a byte */

/* CO_FAST_CELL and CO_FAST_FREE, Include/internal/pycore_code.h */
#define KIND_IN_CELL (0x40 | 0x80)

void pycode__free(struct pycode *code)
{
	if (!code)
		return;
	for (size_t i = 0; i < code->nlocals; i++)
		free(code->locals[i]);
	for (size_t i = 0; i < code->nnames; i++)
		free(code->names[i]);
	free(code->locals);
	free(code->names);
	free(code->cell);
	free(code->name);
	free(code->qualname);
	free(code->file);
	free(code->instrs);
	free(code->handlers);
	free(code);
}

int pycode__find(const struct pycode *code, uint32_t offset)
{
	size_t low = 0, high = code->ninstrs;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (code->instrs[middle].next <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < code->ninstrs ? (int)low : -ENOENT;
}

uint32_t pycode__line(const struct pycode *code, uint32_t offset)
{
	int index = pycode__find(code, offset);

	return index < 0 ? 0 : code->instrs[index].line;
}

const char *pycode__op_name(const struct pycode *code, uint8_t op)
{
	const struct opmap *map = opmap__find(code->major, code->minor);

	return map && map->names[op] ? map->names[op] : "?";
}

/* The bytes of a bytes object, malloc'ed. */
static int read_bytes(struct pyobj_reader *r, uint64_t obj, uint8_t **out, size_t *n)
{
	struct pyobj_type type;
	uint64_t size;
	int err = pyobj__type(r, obj, &type);

	if (err)
		return err;
	if (type.kind != KIND_BYTES)
		return -EINVAL;
	err = pyobj__read_u64(r, obj + (uint64_t)r->lay->ob_size, &size);
	if (err || size > BYTES_MAX)
		return err ? err : -EINVAL;
	*out = malloc(size + 1);
	if (!*out)
		return -ENOMEM;
	err = size ? pyobj__read(r, obj + (uint64_t)r->lay->bytes_data, *out, size) : 0;
	*n = size;
	if (!err)
		return 0;
	free(*out);
	*out = NULL;
	return err;
}

static int read_str(struct pyobj_reader *r, uint64_t obj, char **out)
{
	char text[NAME_BYTES];
	int err = pyobj__str(r, obj, text, sizeof(text));

	if (err)
		return err;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

/* Names of a tuple, added to an array. */
struct adding {
	struct pyobj_reader *r;
	char ***names;
	size_t *n;
};

static int add_name(uint64_t item, void *ctx)
{
	struct adding *a = ctx;
	char **bigger = *a->names;
	int err;

	if (*a->n >= NAMES_MAX)
		return -EINVAL;
	if (!(*a->n & (*a->n - 1))) {
		bigger = realloc(*a->names, (*a->n ? 2 * *a->n : 1) * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		*a->names = bigger;
	}
	err = read_str(a->r, item, &bigger[*a->n]);
	if (!err)
		++*a->n;
	return err;
}

static int read_names(struct pyobj_reader *r, uint64_t tuple, char ***names, size_t *n)
{
	struct adding a = { r, names, n };
	struct pyobj_type type;
	int err = pyobj__type(r, tuple, &type);

	if (!err && type.kind != KIND_TUPLE)
		err = -EINVAL;
	return err ? err : pyobj__items_each(r, tuple, NAMES_MAX, add_name, &a);
}

/* A field that holds the address of an object. */
static uint64_t object_at(struct pyobj_reader *r, const struct pycode *code, int32_t offset)
{
	uint64_t obj;

	return offset == OFF_NONE || pyobj__read_u64(r, code->addr + (uint64_t)offset, &obj) ? 0 : obj;
}

static int read_locals(struct pyobj_reader *r, struct pycode *code)
{
	const struct layout *lay = r->lay;
	uint8_t *kinds = NULL;
	size_t n = 0, nlocals;
	int err;

	if (lay->code_localsplusnames == OFF_NONE) {
		err = read_names(r, object_at(r, code, lay->code_varnames), &code->locals, &code->nlocals);
		nlocals = code->nlocals;
		err = err ? err : read_names(r, object_at(r, code, lay->code_cellvars), &code->locals, &code->nlocals);
		err = err ? err : read_names(r, object_at(r, code, lay->code_freevars), &code->locals, &code->nlocals);
	} else {
		err = read_names(r, object_at(r, code, lay->code_localsplusnames), &code->locals, &code->nlocals);
		nlocals = 0;
		err = err ? err : read_bytes(r, object_at(r, code, lay->code_localspluskinds), &kinds, &n);
		err = err || n == code->nlocals ? err : -EINVAL;
	}
	code->cell = err ? NULL : calloc(code->nlocals + 1, sizeof(*code->cell));
	if (!err && !code->cell)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < code->nlocals; i++)
		code->cell[i] = kinds ? kinds[i] & KIND_IN_CELL : i >= nlocals;
	free(kinds);
	return err;
}

static int read_fields(struct pyobj_reader *r, struct pycode *code)
{
	const struct layout *lay = r->lay;
	const struct {
		int32_t offset;
		uint32_t *to;
	} numbers[] = {
		{ lay->code_flags, &code->flags },
		{ lay->code_firstlineno, &code->firstlineno },
		{ lay->code_argcount, &code->argcount },
		{ lay->code_kwonlyargcount, &code->kwonlyargcount },
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(numbers) / sizeof(numbers[0]); i++)
		err = pyobj__read(r, code->addr + (uint64_t)numbers[i].offset, numbers[i].to, sizeof(uint32_t));
	err = err ? err : read_str(r, object_at(r, code, lay->code_name), &code->name);
	err = err ? err : read_str(r, object_at(r, code, lay->code_filename), &code->file);
	if (!err && lay->code_qualname != OFF_NONE)
		err = read_str(r, object_at(r, code, lay->code_qualname), &code->qualname);
	return err;
}

/* What instrumented units were before. */
struct originals {
	uint64_t lines, opcodes, executors;
	unsigned stride; /* bytes of an entry of lines */
};

static void find_originals(struct pyobj_reader *r, const struct pycode *code, struct originals *o)
{
	const struct layout *lay = r->lay;
	uint64_t monitoring = object_at(r, code, lay->code_monitoring);
	uint8_t first;

	memset(o, 0, sizeof(*o));
	o->executors = object_at(r, code, lay->code_executors);
	if (!monitoring || pyobj__read_u64(r, monitoring + (uint64_t)lay->monitoring_lines, &o->lines) ||
	    pyobj__read_u64(r, monitoring + (uint64_t)lay->monitoring_opcodes, &o->opcodes))
		return;
	/* From some 3.13 on the entries' size, 2 to 5, stands before the entries; before, they have 2 bytes and the first
	 * of them, which is no line's start, is 0. */
	o->stride = 2;
	if (o->lines && !pyobj__read(r, o->lines, &first, 1) && first >= 2 && first <= 5) {
		o->stride = first;
		o->lines++;
	}
}

static int from_executor(struct pyobj_reader *r, const struct originals *o, uint8_t unit[UNIT])
{
	const struct layout *lay = r->lay;
	uint64_t executor;
	uint32_t n;

	if (!o->executors || pyobj__read(r, o->executors, &n, sizeof(n)) || n > EXECUTORS_MAX || unit[1] >= n ||
	    pyobj__read_u64(r, o->executors + (uint64_t)lay->executors_items + unit[1] * UINT64_C(8), &executor) ||
	    pyobj__read(r, executor + (uint64_t)lay->executor_opcode, &unit[0], 1) ||
	    pyobj__read(r, executor + (uint64_t)lay->executor_oparg, &unit[1], 1))
		return -EINVAL;
	return 0;
}

/* Turns a code unit into its base form. */
static int to_base(struct pyobj_reader *r, const struct pycode_ops *ops, const struct originals *o, size_t index,
		   uint8_t unit[UNIT])
{
	if (unit[0] == ops->enter_executor && from_executor(r, o, unit))
		return -EINVAL;
	if (unit[0] == ops->line && (!o->lines || pyobj__read(r, o->lines + index * o->stride, &unit[0], 1)))
		return -EINVAL;
	if (unit[0] == ops->instruction && (!o->opcodes || pyobj__read(r, o->opcodes + index, &unit[0], 1)))
		return -EINVAL;
	unit[0] = ops->base[unit[0]];
	return unit[0] ? 0 : -EINVAL;
}

static int read_units(struct pyobj_reader *r, struct pycode *code, uint8_t **out, size_t *n)
{
	const struct layout *lay = r->lay;
	uint64_t bytes, size;
	int err;

	if (lay->code_bytes == OFF_NONE) {
		bytes = object_at(r, code, lay->code_code);
		code->units = bytes + (uint64_t)lay->bytes_data;
		return read_bytes(r, bytes, out, n);
	}
	code->units = code->addr + (uint64_t)lay->code_bytes;
	err = pyobj__read_u64(r, code->addr + (uint64_t)lay->ob_size, &size);
	if (err || size > BYTES_MAX / UNIT)
		return err ? err : -EINVAL;
	*n = size * UNIT;
	*out = malloc(*n + 1);
	return !*out ? -ENOMEM : *n ? pyobj__read(r, code->units, *out, *n) : 0;
}

static int read_instructions(struct pyobj_reader *r, struct pycode *code)
{
	struct pycode_ops ops;
	struct originals originals;
	uint8_t *units = NULL;
	size_t n = 0;
	int err = pycode_ops__init(&ops, code->major, code->minor);

	err = err ? err : read_units(r, code, &units, &n);
	if (!err && (!n || n % UNIT))
		err = -EINVAL;
	find_originals(r, code, &originals);
	for (size_t i = 0; !err && i < n; i += UNIT) {
		err = to_base(r, &ops, &originals, i / UNIT, units + i);
		if (!err)
			i += (size_t)ops.map->caches[units[i]] * UNIT;
	}
	err = err ? err : pycode_split(code, &ops, units, n);
	free(units);
	return err;
}

static int read_tables(struct pyobj_reader *r, struct pycode *code)
{
	const struct layout *lay = r->lay;
	struct pycode_table table;
	uint8_t *bytes;
	int err;

	code->consts = object_at(r, code, lay->code_consts);
	code->linetable = object_at(r, code, lay->code_linetable);
	err = read_bytes(r, code->linetable, &bytes, &table.n);
	if (err)
		return err;
	table.bytes = bytes;
	err = pycode_set_lines(code, table);
	free(bytes);
	if (err || lay->code_exceptiontable == OFF_NONE)
		return err ? err : pycode_trace_blocks(code);
	err = read_bytes(r, object_at(r, code, lay->code_exceptiontable), &bytes, &table.n);
	if (err)
		return err;
	table.bytes = bytes;
	err = pycode_parse_handlers(code, table);
	free(bytes);
	return err;
}

static int read_all(struct pyobj_reader *r, struct pycode *code)
{
	struct pyobj_type type;
	int err = pyobj__type(r, code->addr, &type);

	if (!err && type.kind != KIND_CODE)
		err = -EINVAL;
	err = err ? err : read_fields(r, code);
	err = err ? err : read_locals(r, code);
	err = err ? err : read_names(r, object_at(r, code, r->lay->code_names), &code->names, &code->nnames);
	err = err ? err : read_instructions(r, code);
	return err ? err : read_tables(r, code);
}

int pycode__read(struct pyobj_reader *r, uint64_t addr, struct pycode **out)
{
	struct pycode *code = calloc(1, sizeof(*code));
	bool mine;
	int err;

	*out = NULL;
	if (!code)
		return -ENOMEM;
	code->addr = addr;
	code->major = r->lay->major;
	code->minor = r->lay->minor;
	err = pyobj_cache__begin(r, WORK_SMALL_MAX, &mine);
	if (!err) {
		err = read_all(r, code);
		if (pyobj_cache__spent(r))
			err = -EINVAL;
		pyobj_cache__end(r, mine);
	}
	if (err)
		pycode__free(code);
	else
		*out = code;
	return err;
}
