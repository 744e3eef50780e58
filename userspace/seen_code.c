/* seen_code: see seen_code.h. */
#include "seen_code.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "addrmap.h"
#include "layout.h"
#include "pycode.h"
#include "pyobj_priv.h"

#define CODES_MAX 16384 /* kept at a time */
#define NAME_BYTES 1024 /* longer names are cut */

/* Bits of co_flags (Include/cpython/code.h). */
#define CO_VARARGS 0x4u
#define CO_VARKEYWORDS 0x8u

struct seen_codes {
	struct pyobj_reader *reader;
	struct addrmap by_addr; /* -> index */
	struct seen_code *codes;
	size_t n, room;
};

int seen_codes__new(struct pyobj_reader *reader, struct seen_codes **out)
{
	struct seen_codes *codes = calloc(1, sizeof(*codes));

	if (!codes)
		return -ENOMEM;
	codes->reader = reader;
	*out = codes;
	return 0;
}

static void forget(struct seen_code *c)
{
	for (size_t i = 0; c->names && c->code && i < c->code->nlocals; i++)
		free(c->names[i]);
	free(c->names);
	free(c->module);
	free(c->qualname);
	pycode__free(c->code);
	*c = (struct seen_code){ .addr = c->addr };
}

static void forget_all(struct seen_codes *codes)
{
	for (size_t i = 0; i < codes->n; i++)
		forget(&codes->codes[i]);
	codes->n = 0;
	addrmap__clear(&codes->by_addr);
}

void seen_codes__free(struct seen_codes *codes)
{
	if (!codes)
		return;
	forget_all(codes);
	free(codes->codes);
	free(codes);
}

/* Reads what tells code objects apart. False when nothing is there to read. */
static bool read_signature(struct seen_codes *codes, uint64_t addr, struct seen_code *out)
{
	const struct layout *l = codes->reader->lay;
	uint8_t buf[LAYOUT_CODE_BYTES];

	if (pyobj__read(codes->reader, addr, buf, sizeof(buf)))
		return false;
	out->name_obj = field_u64(buf, l->code_qualname != OFF_NONE ? l->code_qualname : l->code_name);
	out->file_obj = field_u64(buf, l->code_filename);
	out->consts = field_u64(buf, l->code_consts);
	out->flags = field_u32(buf, l->code_flags);
	out->line = field_u32(buf, l->code_firstlineno);
	return true;
}

static bool same(const struct seen_code *a, const struct seen_code *b)
{
	return a->name_obj == b->name_obj && a->file_obj == b->file_obj && a->consts == b->consts &&
	       a->flags == b->flags && a->line == b->line;
}

/* The variables' names, *args and **kwargs as they are written. */
static char **name_variables(const struct pycode *code)
{
	size_t stars[2], args = code->argcount + code->kwonlyargcount;
	char **names = calloc(code->nlocals + 1, sizeof(*names));
	int len;

	stars[0] = code->flags & CO_VARARGS ? args++ : SIZE_MAX;
	stars[1] = code->flags & CO_VARKEYWORDS ? args : SIZE_MAX;
	for (size_t i = 0; names && i < code->nlocals; i++) {
		len = asprintf(&names[i], "%s%s", i == stars[0] ? "*" : i == stars[1] ? "**" : "", code->locals[i]);
		if (len < 0)
			names[i] = NULL;
	}
	return names;
}

static void read_module(struct seen_codes *codes, struct seen_code *c)
{
	char name[NAME_BYTES];
	uint64_t obj;

	if (c->globals && !pyobj__dict_get(codes->reader, c->globals, "__name__", &obj) &&
	    !pyobj__str(codes->reader, obj, name, sizeof(name)))
		c->module = strdup(name);
}

static void read_code(struct seen_codes *codes, struct seen_code *c)
{
	char name[NAME_BYTES];

	if (pycode__read(codes->reader, c->addr, &c->code)) {
		c->code = NULL;
		return;
	}
	c->names = name_variables(c->code);
	read_module(codes, c);
	if (c->code->qualname)
		c->qualname = strdup(c->code->qualname);
	else if (c->globals && !pyobj__qualname(codes->reader, c->globals, c->addr, name, sizeof(name)))
		c->qualname = strdup(name);
	else
		c->qualname = strdup(c->code->name);
}

/* The entry for an address, which may be new and empty. */
static struct seen_code *entry(struct seen_codes *codes, uint64_t addr)
{
	uint32_t index = (uint32_t)codes->n;
	struct seen_code *bigger;

	if (!addrmap__get(&codes->by_addr, addr, &index))
		return &codes->codes[index];
	if (codes->n == CODES_MAX)
		forget_all(codes);
	if (codes->n == codes->room) {
		bigger = realloc(codes->codes, (codes->room + 256) * sizeof(*bigger));
		if (!bigger)
			return NULL;
		codes->codes = bigger;
		codes->room += 256;
	}
	index = (uint32_t)codes->n;
	if (addrmap__set(&codes->by_addr, addr, index))
		return NULL;
	codes->codes[codes->n++] = (struct seen_code){ .addr = addr };
	return &codes->codes[index];
}

const struct seen_code *seen_codes__get(struct seen_codes *codes, uint64_t addr, uint64_t globals)
{
	struct seen_code now = { .addr = addr, .globals = globals }, *c;

	c = addr ? entry(codes, addr) : NULL;
	if (!c)
		return NULL;
	/* What has gone with its process is believed as it was. */
	if (!read_signature(codes, addr, &now) || (c->code && same(&now, c) && (!globals || globals == c->globals)))
		return c;
	forget(c);
	*c = now;
	read_code(codes, c);
	return c;
}

/* The instruction that stands there, or NULL. */
static const struct pycode_instr *find(const struct seen_code *c, uint64_t instr)
{
	const struct pycode *code = c->code;
	uint64_t offset;
	int i;

	if (!code)
		return NULL;
	if (code->minor >= 11)
		offset = instr - code->units;
	else /* f_lasti, of which 3.10 counts code units */
		offset = code->minor == 10 ? instr * 2 : instr;
	i = offset < UINT32_MAX ? pycode__find(code, (uint32_t)offset) : -ENOENT;
	return i < 0 ? NULL : &code->instrs[i];
}

bool seen_code__has(const struct seen_code *c, uint64_t instr)
{
	return find(c, instr) || (c->code && c->code->minor < 11 && (int64_t)instr < 0);
}

uint32_t seen_code__line(const struct seen_code *c, uint64_t instr)
{
	const struct pycode_instr *i = find(c, instr);

	return i ? i->line : 0;
}

uint32_t seen_code__arg(const struct seen_code *c, uint64_t instr)
{
	const struct pycode_instr *i = find(c, instr);

	return i ? i->arg : 0;
}
