/*
 * value: from an object's address to the tree of a value. Owns the decoder, the tree's memory, what a missing piece means,
 * and how far is gone; what stands in the objects is read in value_scalar.c, value_container.c and value_object.c.
 *
 * A snapshot is not believed: every read is held against the pieces that are there, the depth and the number of nodes are
 * bounded whatever it says, and what it lacks becomes a value that says so.
 */
#include "value_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096

struct value_block {
	struct value_block *next;
	size_t used, size;
	max_align_t bytes[];
};

/* Stands where there was no memory; what comes of it is thrown away. */
static struct value no_memory = { .kind = V_CUT, .truth = -1 };

int value_decoder__new(struct pyobj_reader *reader, const struct wire_limits *limits, const struct redact *redact,
		       struct value_decoder **out)
{
	struct value_decoder *d = calloc(1, sizeof(*d));

	*out = NULL;
	if (!d || type_cache__new(reader, &d->types)) {
		free(d);
		return diag_error(-ENOMEM, "no memory for decoding values");
	}
	d->reader = reader;
	d->redact = redact;
	d->limits = *limits;
	if (d->limits.depth > VALUE_DEPTH_MAX)
		d->limits.depth = VALUE_DEPTH_MAX;
	*out = d;
	return 0;
}

void value_decoder__free(struct value_decoder *d)
{
	if (!d)
		return;
	type_cache__free(d->types);
	free(d);
}

void *decoding__alloc(struct decoding *g, size_t size)
{
	struct value_block *block = g->blocks;
	void *at;

	size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!block || size > block->size - block->used) {
		size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		block = calloc(1, sizeof(*block) + room);
		if (!block) {
			g->failed = true;
			return NULL;
		}
		block->size = room;
		block->next = g->blocks;
		g->blocks = block;
	}
	at = (uint8_t *)block->bytes + block->used;
	block->used += size;
	return at;
}

static void free_blocks(struct value_block *block)
{
	while (block) {
		struct value_block *next = block->next;

		free(block);
		block = next;
	}
}

void value__free(struct value *v)
{
	if (v)
		free_blocks(v->blocks);
}

char *decoding__printf(struct decoding *g, const char *fmt, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	text = len < 0 ? NULL : decoding__alloc(g, (size_t)len + 1);
	if (!text) {
		g->failed = true;
		return NULL;
	}
	va_start(args, fmt);
	vsnprintf(text, (size_t)len + 1, fmt, args);
	va_end(args);
	return text;
}

struct value *decoding__value(struct decoding *g, enum value_kind kind)
{
	struct value *v = decoding__alloc(g, sizeof(*v));

	g->nodes++;
	if (!v)
		return &no_memory;
	v->kind = kind;
	v->truth = -1;
	return v;
}

bool decoding__room(const struct decoding *g)
{
	return g->nodes < VALUE_NODES_MAX && !g->failed;
}

/* What was beyond the depth was not copied; what was not, though there was room, could not be. */
static struct value *missing_at(struct decoding *g, uint64_t addr, unsigned level)
{
	enum snapshot_state state = snapshot__state(g->s, addr);
	bool cut = state == SNAPSHOT_CUT || (state == SNAPSHOT_ABSENT && level > g->d->limits.depth);

	return decoding__value(g, cut ? V_CUT : V_UNREADABLE);
}

struct value *decoding__missing(struct decoding *g, uint64_t addr)
{
	return missing_at(g, addr, g->depth - 1);
}

bool decoding__too_deep(const struct decoding *g)
{
	return g->depth > g->d->limits.depth || g->shallow;
}

void decoding__name_type(struct decoding *g, struct value *v, const struct value_type *type, const char *shown)
{
	char *copy;

	if (v == &no_memory)
		return;
	copy = decoding__printf(g, "%s", type->name);
	v->type = copy;
	v->shown = copy && (size_t)(shown - type->name) <= strlen(copy) ? copy + (shown - type->name) : copy;
}

bool decoding__masks(const struct decoding *g, const char *name)
{
	return redact__matches(g->d->redact, name);
}

bool peek(const struct decoding *g, uint64_t obj, int64_t offset, void *buf, size_t len)
{
	return snapshot__read(g->s, obj + (uint64_t)offset, buf, len) == len;
}

bool peek_u64(const struct decoding *g, uint64_t obj, int64_t offset, uint64_t *out)
{
	return peek(g, obj, offset, out, sizeof(*out));
}

const struct value_type *peek_type(const struct decoding *g, uint64_t obj)
{
	uint64_t type;

	return peek_u64(g, obj, g->lay->ob_type, &type) ? type_cache__get(g->d->types, type) : NULL;
}

/* None and its like are known by their address: nothing of them need be copied. NULL: none of them. */
static struct value *decode_constant(struct decoding *g, uint64_t obj)
{
	const uint64_t *known = g->d->reader->sym.objects;
	struct value *v;

	if (!obj)
		return NULL;
	if (obj == known[PYOBJ_NONE]) {
		v = decoding__value(g, V_NONE);
		v->truth = 0;
	} else if (obj == known[PYOBJ_TRUE] || obj == known[PYOBJ_FALSE]) {
		v = decoding__value(g, V_BOOL);
		v->number = v->truth = obj == known[PYOBJ_TRUE];
	} else if (obj == known[PYOBJ_ELLIPSIS] || obj == known[PYOBJ_NOT_IMPLEMENTED]) {
		v = decoding__value(g, V_WORD);
		v->text = obj == known[PYOBJ_ELLIPSIS] ? "Ellipsis" : "NotImplemented";
		v->type = obj == known[PYOBJ_ELLIPSIS] ? "ellipsis" : "NotImplementedType";
		v->truth = obj == known[PYOBJ_ELLIPSIS] ? 1 : -1;
	} else {
		return NULL;
	}
	return v;
}

static struct value *decode_form(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	switch (type->form) {
	case FORM_LIST:
	case FORM_TUPLE:
		return decode_sequence(g, obj, type);
	case FORM_DICT:
		return decode_dict(g, obj, type);
	case FORM_SET:
	case FORM_FROZENSET:
		return decode_set(g, obj, type);
	case FORM_OBJECT:
		return decode_instance(g, obj, type);
	case FORM_EXCEPTION:
		return decode_exception(g, obj, type);
	case FORM_FUNCTION:
	case FORM_CFUNCTION:
	case FORM_METHOD:
	case FORM_TYPE:
	case FORM_MODULE:
		return decode_callable(g, obj, type);
	case FORM_RANGE:
	case FORM_SLICE:
	case FORM_CELL:
		return decode_small(g, obj, type);
	default:
		return decode_scalar(g, obj, type);
	}
}

/* Whether the object stands in itself: what shows it anew would not end. */
static bool is_around(const struct decoding *g, uint64_t obj)
{
	for (unsigned i = 0; i < g->depth; i++) {
		if (g->path[i] == obj)
			return true;
	}
	return false;
}

static struct value *decode_again(struct decoding *g, const struct value_type *type)
{
	struct value *v = decoding__value(g, V_CUT);

	v->again = true;
	v->text = type->form == FORM_LIST    ? "[...]"
		  : type->form == FORM_DICT  ? "{...}"
		  : type->form == FORM_TUPLE ? "(...)"
					     : "...";
	return v;
}

struct value *decoding__object(struct decoding *g, uint64_t obj)
{
	struct value *v = decode_constant(g, obj);
	const struct value_type *type;
	uint64_t word;

	if (v)
		return v;
	if (!obj || g->depth >= sizeof(g->path) / sizeof(g->path[0]))
		return decoding__value(g, obj ? V_CUT : V_UNREADABLE);
	if (!peek_u64(g, obj, g->lay->ob_type, &word))
		return missing_at(g, obj + (uint64_t)g->lay->ob_type, g->depth);
	type = type_cache__get(g->d->types, word);
	if (!type)
		return decoding__value(g, V_UNREADABLE);
	if (is_around(g, obj))
		return decode_again(g, type);
	g->path[g->depth++] = obj;
	v = decode_form(g, obj, type);
	if (type->is_enum)
		v = decode_enum(g, obj, type, v);
	g->depth--;
	return v;
}

static struct value *decode_root(struct decoding *g, uint64_t obj, int status, const char *name)
{
	switch (status) {
	case WIRE_ROOT_UNBOUND:
		return decoding__value(g, V_UNBOUND);
	case WIRE_ROOT_MISSING:
		return decoding__value(g, V_MISSING);
	case WIRE_ROOT_MASKED:
		return decoding__value(g, V_MASKED);
	case WIRE_ROOT_VALUE:
		if (name && decoding__masks(g, name))
			return decoding__value(g, V_MASKED);
		return decoding__object(g, obj);
	default:
		return decoding__value(g, V_UNREADABLE);
	}
}

struct value *value__decode(struct value_decoder *d, const struct snapshot *s, uint64_t obj, int status,
			    const char *name)
{
	struct decoding g = { .d = d, .lay = pyobj_reader__layout(d->reader), .s = s };
	struct value *root;

	type_cache__begin(d->types);
	root = decode_root(&g, obj, status, name);
	if (g.failed) {
		free_blocks(g.blocks);
		return NULL;
	}
	root->blocks = g.blocks;
	return root;
}

struct value *value__raised(struct value_decoder *d, const struct snapshot *s, uint64_t type, uint64_t argument)
{
	struct decoding g = { .d = d, .lay = pyobj_reader__layout(d->reader), .s = s };
	struct value *root;

	type_cache__begin(d->types);
	root = decode_raised(&g, type, argument);
	if (g.failed) {
		free_blocks(g.blocks);
		return NULL;
	}
	root->blocks = g.blocks;
	return root;
}

size_t value__unreadable(const struct value *v)
{
	size_t n = v->kind == V_UNREADABLE;

	for (size_t i = 0; i < v->nitems; i++) {
		n += v->items[i].key ? value__unreadable(v->items[i].key) : 0;
		n += value__unreadable(v->items[i].value);
	}
	return n;
}

/* A member of an IntEnum is a number too. */
static const struct value *plain_of(const struct value *v)
{
	const struct value *held = v->kind == V_ENUM && v->nitems ? v->items[0].value : v;

	return v->is_plain_too && (held->kind == V_INT || held->kind == V_STR) ? held : v;
}

enum value_class value__class(const struct value *v)
{
	v = plain_of(v);
	switch (v->kind) {
	case V_NONE:
		return VALUE_NONE;
	case V_BOOL:
		return VALUE_BOOL;
	case V_INT:
		return v->fits ? VALUE_INT : VALUE_OTHER;
	case V_FLOAT:
		return VALUE_FLOAT;
	case V_STR:
		return v->cut ? VALUE_UNKNOWN : VALUE_STR;
	case V_MASKED:
	case V_UNBOUND:
	case V_MISSING:
	case V_UNREADABLE:
	case V_CUT:
		return VALUE_UNKNOWN;
	default:
		return VALUE_OTHER;
	}
}

int64_t value__int(const struct value *v)
{
	return plain_of(v)->number;
}

double value__float(const struct value *v)
{
	return v->real;
}

const char *value__str(const struct value *v, size_t *len)
{
	v = plain_of(v);
	*len = v->len;
	return v->text;
}

int value__truth(const struct value *v)
{
	return v->truth;
}

bool value__is_definition(const struct value *v)
{
	static const char *const types[] = { "function", "builtin_function_or_method", "type", "module" };

	for (size_t i = 0; v->kind == V_WORD && v->type && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(v->type, types[i]))
			return true;
	return false;
}
