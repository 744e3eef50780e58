/* operand: see operand.h. */
#include "operand.h"

#include <stdio.h>
#include <string.h>

#include "pycode.h"
#include "redact.h"
#include "skel.h"

/* Where a name's first part is found in the function: the index among its variables, or -1: it is a global. To Python 3.10 an
 * argument that is in a cell has two places, and the latter, the cell, has its value. */
static int local_index(const struct pycode *code, const char *name, size_t len)
{
	for (size_t i = code->nlocals; i-- > 0;)
		if (strlen(code->locals[i]) == len && !memcmp(code->locals[i], name, len))
			return (int)i;
	return -1;
}

static bool copy_part(char out[WIRE_NAME_BYTES], const char *name, size_t len)
{
	if (!len || len >= WIRE_NAME_BYTES)
		return false;
	memcpy(out, name, len);
	return true;
}

/* Whether a part of a dotted name looks like a secret's. */
static bool is_secret(const struct redact *redact, const char *name)
{
	char part[WIRE_NAME_BYTES];
	size_t len;

	for (; *name; name += len + (name[len] == '.')) {
		len = strcspn(name, ".");
		snprintf(part, sizeof(part), "%.*s", (int)len, name);
		if (redact__matches(redact, part))
			return true;
	}
	return false;
}

bool operand_fill(const struct pycode *code, const struct redact *redact, const char *name, struct wire_operand *out)
{
	size_t len = strcspn(name, ".");
	int local = local_index(code, name, len);

	memset(out, 0, sizeof(*out));
	out->kind = local >= 0 ? WIRE_OPERAND_LOCAL : WIRE_OPERAND_GLOBAL;
	out->index = local >= 0 ? (uint32_t)local : 0;
	out->masked = is_secret(redact, name);
	if (local < 0 && !copy_part(out->name, name, len))
		return false;
	for (name += len; *name; name += len) {
		len = strcspn(++name, ".");
		if (out->nattrs == WIRE_MAX_ATTRS || !copy_part(out->attrs[out->nattrs++], name, len))
			return false;
	}
	return true;
}
