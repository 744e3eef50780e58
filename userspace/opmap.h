/*
 * opmap: the opcodes of each CPython version, specialised and instrumented ones included: names, numbers, inline caches. Data, made by
 * scripts/gen-opmap from the interpreters themselves; the source is named in opmap_table.c.
 */
#ifndef PYLU_OPMAP_H
#define PYLU_OPMAP_H

#include <stdint.h>

struct opmap {
	uint8_t major, minor;
	const char *names[256]; /* NULL: this version leaves the number unused (its slot in the dispatch table holds the
				   address that all unused slots share) */
	uint8_t base[256];	/* of a specialised form: the opcode that it stands for; else 0 */
	uint8_t caches[256];	/* code units of inline cache behind it */
};

/* NULL when the version is unknown. */
const struct opmap *opmap__find(uint8_t major, uint8_t minor);

/* The number of an opcode, or -ENOENT when this version has none of that name. */
int opmap__number(const struct opmap *map, const char *name);

#endif
