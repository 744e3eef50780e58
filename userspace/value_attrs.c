/*
 * value_attrs: where instances have their attributes: in slots, in a dict, or in values behind or beside themselves.
 *
 * Sources: as of pyobj_dict.c.
 */
#include "value_priv.h"

#include <stdlib.h>
#include <string.h>

#define ATTRS_MAX 1024

static bool add_attr(struct attrs *attrs, const char *name, uint64_t value)
{
	if (attrs->n == attrs->cap) {
		size_t cap = 2 * attrs->cap + 16;
		struct attr *bigger = cap <= ATTRS_MAX ? realloc(attrs->list, cap * sizeof(*bigger)) : NULL;

		if (!bigger) {
			attrs->state = SNAPSHOT_CUT;
			return false;
		}
		attrs->list = bigger;
		attrs->cap = cap;
	}
	attrs->list[attrs->n++] = (struct attr){ name, value };
	return true;
}

static bool add_dict_attr(struct decoding *g, uint64_t key, uint64_t value, void *ctx)
{
	return add_attr(ctx, decode_name(g, key), value);
}

static void add_slots(struct decoding *g, uint64_t obj, const struct value_type *type, struct attrs *attrs)
{
	for (size_t i = 0; i < type->nslots; i++) {
		uint64_t value;

		if (!peek_u64(g, obj, type->slots[i].offset, &value))
			attrs->state = snapshot__state(g->s, obj + (uint64_t)type->slots[i].offset);
		else if (value && !add_attr(attrs, decoding__printf(g, "%s", type->slots[i].name), value))
			return;
	}
}

/* The dict of an instance, or the values behind or beside it: see find_managed() in pyobj_dict.c. False: `*at` is missing. */
static bool find_managed(const struct decoding *g, uint64_t obj, const struct value_type *type, uint64_t *dict,
			 struct pair_source *source, uint64_t *at)
{
	const struct layout *lay = g->lay;
	uint8_t valid = 0;

	*at = obj + (uint64_t)(int64_t)lay->managed_dict;
	if (!peek_u64(g, *at, 0, dict))
		return false;
	if (lay->managed_values != OFF_NONE) {
		*at = obj + (uint64_t)(int64_t)lay->managed_values;
		if (!peek_u64(g, *at, 0, &source->values))
			return false;
	} else if (lay->managed_values_bias != OFF_NONE) {
		source->values = *dict & 1 ? *dict + (uint64_t)lay->managed_values_bias : 0;
	} else if (lay->values_valid != OFF_NONE && type->head.flags & TPFLAGS_INLINE_VALUES) {
		*at = obj + (uint64_t)type->head.basicsize;
		/* Not copied where they are not in use: then it has a dict. */
		if (!peek(g, *at, lay->values_valid, &valid, 1) && !*dict)
			return false;
		source->values = valid ? *at : 0;
	}
	if (!source->values)
		return true;
	*dict = 0;
	decode_source_order(g, source);
	return true;
}

/* The values of an instance, in the order in which they were set. What is missing of them. */
static enum snapshot_state add_values(struct decoding *g, const struct value_type *type,
				      const struct pair_source *source, struct attrs *attrs)
{
	const struct shared_names *shared = decode_shared_names(g, type);
	uint64_t at = source->values + (uint64_t)g->lay->dict_values_items;
	uint64_t n = source->order ? source->norder : shared ? shared->count : 0;

	if (!shared)
		return SNAPSHOT_UNREADABLE;
	for (uint64_t k = 0; k < n; k++) {
		const char *name = NULL;
		uint8_t i = (uint8_t)k;
		uint64_t value;

		if (source->order)
			peek(g, source->order, (int64_t)k * source->order_step, &i, 1);
		if (!peek_u64(g, at, (int64_t)(8 * i), &value))
			return snapshot__state(g->s, at + 8 * i);
		if (i < shared->count && shared->names[i])
			name = decoding__printf(g, "%s", shared->names[i]);
		if (value && !add_attr(attrs, name, value))
			break;
	}
	return SNAPSHOT_PRESENT;
}

/* As find_dict() in pyobj_dict.c. */
static bool find_dict(const struct decoding *g, uint64_t obj, const struct value_type *type, uint64_t *dict,
		      uint64_t *at)
{
	int64_t offset = type->head.dictoffset, items = 0;

	if (!offset || offset > INT32_MAX || offset < INT32_MIN || type->head.basicsize < 0 || type->head.itemsize < 0)
		return true;
	if (offset < 0) {
		*at = obj + (uint64_t)g->lay->ob_size;
		if (!peek(g, *at, 0, &items, sizeof(items)))
			return false;
		if (items > INT32_MAX || items < -INT32_MAX || type->head.itemsize > INT32_MAX ||
		    type->head.basicsize > INT32_MAX)
			return true;
		items = items < 0 ? -items : items;
		offset += (type->head.basicsize + items * type->head.itemsize + 7) & ~7LL;
		if (offset <= 0)
			return true;
	}
	*at = obj + (uint64_t)offset;
	return peek_u64(g, *at, 0, dict);
}

void decode_attrs(struct decoding *g, uint64_t obj, const struct value_type *type, struct attrs *attrs)
{
	struct pair_source source = { 0 };
	enum snapshot_state state = SNAPSHOT_PRESENT;
	uint64_t dict = 0, used = 1, at = obj;
	bool found;

	attrs->state = SNAPSHOT_PRESENT;
	add_slots(g, obj, type, attrs);
	if (g->lay->managed_dict != OFF_NONE && type->head.flags & TPFLAGS_MANAGED_DICT)
		found = find_managed(g, obj, type, &dict, &source, &at);
	else
		found = find_dict(g, obj, type, &dict, &at);
	if (found && dict) {
		at = dict;
		found = peek_u64(g, dict, g->lay->dict_used, &used) && decode_dict_source(g, dict, &source);
	}
	if (!found)
		attrs->state = snapshot__state(g->s, at);
	if (!found && attrs->state == SNAPSHOT_PRESENT)
		attrs->state = SNAPSHOT_UNREADABLE;
	if (found && used && source.keys)
		state = decode_pairs(g, &source, add_dict_attr, attrs);
	else if (found && used && source.values)
		state = add_values(g, type, &source, attrs);
	if (state != SNAPSHOT_PRESENT)
		attrs->state = state;
}

const struct attr *attrs__named(const struct attrs *attrs, const char *name)
{
	for (size_t i = 0; i < attrs->n; i++) {
		if (attrs->list[i].name && !strcmp(attrs->list[i].name, name))
			return &attrs->list[i];
	}
	return NULL;
}
