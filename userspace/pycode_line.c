/*
 * pycode_line: the tables that stand beside the bytecode: lines and, from 3.11 on, exception handlers.
 *
 * The formats are described in CPython's Objects/lnotab_notes.txt (3.8 to 3.10), Objects/locations.md (3.11 to 3.13),
 * InternalDocs/code_objects.md (3.14 on) and Objects/exception_handling_notes.txt, InternalDocs/exception_handling.md.
 */
#include "pycode_priv.h"

#include <errno.h>
#include <stdlib.h>

#define UNIT 2u
#define LINES_MAX 0x7fffffff

/* Instructions are visited in order. */
struct filler {
	struct pycode *code;
	size_t at; /* of instrs */
};

/* Gives `line` to the instructions that are left before `to`. */
static void fill(struct filler *f, uint64_t to, int64_t line)
{
	struct pycode *code = f->code;
	bool first = true;

	while (f->at < code->ninstrs && code->instrs[f->at].start < to) {
		struct pycode_instr *i = &code->instrs[f->at++];

		i->line = line > 0 && line <= LINES_MAX ? (uint32_t)line : 0;
		i->starts = first && i->line;
		first = false;
	}
}

/* 3.8 and 3.9: by how much the offset, then the line grows. */
static int from_lnotab(struct pycode *code, struct pycode_table t)
{
	struct filler f = { code, 0 };
	int64_t line = code->firstlineno;
	uint64_t to = 0;

	if (t.n % 2)
		return -EINVAL;
	for (size_t i = 0; i < t.n; i += 2) {
		to += t.bytes[i];
		if (t.bytes[i + 1])
			fill(&f, to, line);
		line += (int8_t)t.bytes[i + 1];
	}
	fill(&f, UINT64_MAX, line);
	return 0;
}

/* 3.10: how long a piece is, and by how much its line is more than that of the piece before; -128: it has none. */
static int from_linetable(struct pycode *code, struct pycode_table t)
{
	struct filler f = { code, 0 };
	int64_t line = code->firstlineno;
	uint64_t to = 0;

	if (t.n % 2)
		return -EINVAL;
	for (size_t i = 0; i < t.n; i += 2) {
		int8_t delta = (int8_t)t.bytes[i + 1];

		to += t.bytes[i];
		if (delta != -128)
			line += delta;
		fill(&f, to, delta == -128 ? 0 : line);
	}
	return 0;
}

/* A number in 6 bits a byte, the lowest first. */
static int location_number(struct pycode_table t, size_t *at, uint64_t *out)
{
	unsigned shift = 0;
	uint8_t byte;

	*out = 0;
	do {
		if (*at >= t.n || shift > 36)
			return -EINVAL;
		byte = t.bytes[(*at)++];
		*out |= (uint64_t)(byte & 63) << shift;
		shift += 6;
	} while (byte & 64);
	return 0;
}

/* How far the line of an entry is from that of the entry before. */
static int location_delta(struct pycode_table t, size_t *at, unsigned kind, int64_t *delta)
{
	uint64_t number, column;

	*delta = 0;
	if (kind < 10) {
		*at += 1;
	} else if (kind < 13) {
		*delta = kind - 10;
		*at += 2;
	} else if (kind < 15) {
		if (location_number(t, at, &number))
			return -EINVAL;
		*delta = number & 1 ? -(int64_t)(number >> 1) : (int64_t)(number >> 1);
		for (int i = 0; kind == 14 && i < 3; i++) {
			if (location_number(t, at, &column))
				return -EINVAL;
		}
	}
	return *at <= t.n ? 0 : -EINVAL;
}

/* 3.11 on. */
static int from_locations(struct pycode *code, struct pycode_table t)
{
	struct filler f = { code, 0 };
	int64_t line = code->firstlineno, delta;
	uint64_t to = 0;
	size_t at = 0;

	while (at < t.n) {
		uint8_t head = t.bytes[at++];
		unsigned kind = head >> 3 & 15;

		if (!(head & 128) || location_delta(t, &at, kind, &delta))
			return -EINVAL;
		to += UNIT * ((head & 7u) + 1);
		line += delta;
		fill(&f, to, kind == 15 ? 0 : line);
	}
	return 0;
}

int pycode_set_lines(struct pycode *code, struct pycode_table table)
{
	if (code->minor < 10)
		return from_lnotab(code, table);
	return code->minor == 10 ? from_linetable(code, table) : from_locations(code, table);
}

/* A number in 6 bits a byte, the highest first. */
static int handler_number(struct pycode_table t, size_t *at, uint64_t *out)
{
	uint8_t byte;

	*out = 0;
	do {
		if (*at >= t.n || *out > UINT32_MAX)
			return -EINVAL;
		byte = t.bytes[(*at)++];
		*out = *out << 6 | (byte & 63);
	} while (byte & 64);
	return 0;
}

int pycode_parse_handlers(struct pycode *code, struct pycode_table t)
{
	uint64_t end = code->ninstrs ? code->instrs[code->ninstrs - 1].next : 0;
	size_t at = 0;

	/* An entry has four numbers of at least a byte. */
	code->handlers = calloc(t.n / 4 + 1, sizeof(*code->handlers));
	if (!code->handlers)
		return -ENOMEM;
	while (at < t.n) {
		uint64_t start, length, target, depth;
		int index;

		if (handler_number(t, &at, &start) || handler_number(t, &at, &length) ||
		    handler_number(t, &at, &target) || handler_number(t, &at, &depth))
			return -EINVAL;
		if ((start + length) * UNIT > end || target * UNIT >= end)
			return -EINVAL;
		index = pycode__find(code, (uint32_t)(target * UNIT));
		if (index < 0 || code->instrs[index].start != target * UNIT)
			return -EINVAL;
		code->handlers[code->nhandlers++] = (struct pycode_handler){ (uint32_t)(start * UNIT),
									     (uint32_t)((start + length) * UNIT),
									     (uint32_t)(target * UNIT) };
	}
	return 0;
}
