/*
 * value_container: lists, tuples, dicts, sets: their items as far as they are in the snapshot.
 *
 * Sources: Objects/dictobject.c, Objects/setobject.c, Include/internal/pycore_dict.h; see pyobj_dict.c too.
 */
#include "value_priv.h"

#include <string.h>

#define KEYS_LOG2_MAX 31
#define SHARED_KEYS_MAX 1024 /* that are read from the process */

static struct value *container(struct decoding *g, enum value_kind kind, const struct value_type *type, uint64_t total)
{
	struct value *v = decoding__value(g, kind);

	if (!type->exact)
		decoding__name_type(g, v, type, type->last);
	v->total = total;
	v->truth = type->asks_truth ? -1 : total != 0;
	return v;
}

/* Room for what may be shown of `total` items, none of it filled. */
static size_t room_for(struct decoding *g, struct value *v, uint64_t total)
{
	size_t n = total < g->d->limits.items ? total : g->d->limits.items;

	if (n > VALUE_NODES_MAX)
		n = VALUE_NODES_MAX;
	v->items = n ? decoding__alloc(g, n * sizeof(*v->items)) : NULL;
	return v->items ? n : 0;
}

/* What comes where the memory that should hold an item is missing: a mark, unless it was left out on purpose. */
static void end_at(struct decoding *g, struct value *v, uint64_t addr, size_t room)
{
	enum snapshot_state state = snapshot__state(g->s, addr);

	v->cut = true;
	if (room > v->nitems && (state == SNAPSHOT_UNREADABLE || (state == SNAPSHOT_ABSENT && !v->nitems)))
		v->items[v->nitems++] = (struct value_item){ .value = decoding__value(g, V_UNREADABLE) };
}

/* A pair whose first item is the name of a secret: a header's, a query's. */
static bool masks_second(const struct decoding *g, const struct value *first)
{
	return (first->kind == V_STR || first->kind == V_BYTES) && first->text && decoding__masks(g, first->text);
}

void decode_items(struct decoding *g, struct value *v, uint64_t at, const struct value_type *type)
{
	size_t n = room_for(g, v, v->total);

	v->cut = n < v->total;
	for (size_t i = 0; i < n; i++) {
		struct value_item *item = &v->items[i];
		uint64_t obj;

		if (!peek_u64(g, at, (int64_t)(8 * i), &obj)) {
			end_at(g, v, at + 8 * i, n);
			break;
		}
		if (!decoding__room(g)) {
			v->cut = true;
			break;
		}
		if (type && type->is_namedtuple && i < type->nfields)
			item->name = type->fields[i];
		if ((item->name && decoding__masks(g, item->name)) ||
		    (i == 1 && v->total == 2 && masks_second(g, v->items[0].value)))
			item->value = decoding__value(g, V_MASKED);
		else
			item->value = decoding__object(g, obj);
		v->nitems++;
	}
}

/* Names of fields live as long as their type is kept: not as long as the value. */
static void copy_names(struct decoding *g, struct value *v)
{
	for (size_t i = 0; i < v->nitems; i++) {
		if (v->items[i].name)
			v->items[i].name = decoding__printf(g, "%s", v->items[i].name);
	}
}

struct value *decode_sequence(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	const struct layout *lay = g->lay;
	uint64_t total, at = obj + (uint64_t)lay->tuple_items;
	struct value *v;

	if (!peek_u64(g, obj, lay->ob_size, &total))
		return decoding__missing(g, obj + (uint64_t)lay->ob_size);
	if (total > INT64_MAX || (type->form == FORM_LIST && !peek_u64(g, obj, lay->list_items, &at)))
		return decoding__value(g, V_UNREADABLE);
	v = container(g, type->is_namedtuple ? V_CALL : type->form == FORM_LIST ? V_LIST : V_TUPLE, type, total);
	if (decoding__too_deep(g)) {
		v->cut = total != 0;
		return v;
	}
	decode_items(g, v, at, type);
	copy_names(g, v);
	return v;
}

/* What instances share stands in the process as it stood at the event: names, in an order that only grows. */
static bool read_keys(const struct decoding *g, uint64_t addr, void *buf, size_t len, bool shared)
{
	return peek(g, addr, 0, buf, len) || (shared && !pyobj__read(g->d->reader, addr, buf, len));
}

bool decode_open_keys(const struct decoding *g, uint64_t keys, bool shared, struct keys_view *view)
{
	const struct layout *lay = g->lay;
	uint64_t slots, index_bytes, usable;
	uint8_t head[64];

	if ((size_t)lay->keys_indices > sizeof(head) || !read_keys(g, keys, head, (size_t)lay->keys_indices, shared))
		return false;
	if (lay->keys_size != OFF_NONE) {
		slots = field_u64(head, lay->keys_size);
		if (!slots || slots & (slots - 1) || slots > (uint64_t)1 << KEYS_LOG2_MAX)
			return false;
		index_bytes = slots * (slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4);
		view->entry_size = 24;
	} else {
		if (head[lay->keys_log2_size] > KEYS_LOG2_MAX || head[lay->keys_log2_index_bytes] > KEYS_LOG2_MAX + 3)
			return false;
		slots = (uint64_t)1 << head[lay->keys_log2_size];
		index_bytes = (uint64_t)1 << head[lay->keys_log2_index_bytes];
		view->entry_size = head[lay->keys_kind] == lay->keys_kind_general ? 24 : 16;
	}
	usable = (slots << 1) / 3;
	view->entries = keys + (uint64_t)lay->keys_indices + index_bytes;
	view->key = view->entry_size - 16;
	view->count = field_u64(head, lay->keys_nentries);
	if (view->count > usable)
		view->count = usable;
	if (view->count > (shared ? SHARED_KEYS_MAX : DICT_ENTRIES_MAX))
		view->count = shared ? SHARED_KEYS_MAX : DICT_ENTRIES_MAX;
	return true;
}

/*
 * In which order the values beside a dict or an instance were set. From 3.11 on the shared keys are in the order in which
 * they were first set by whichever instance. To 3.12 the order stands before the values, backwards, before the number of
 * them (_PyDictValues_AddToInsertionOrder); from 3.13 on behind them, and the number in the byte behind their capacity. Where
 * it was not copied, the order of the keys is taken.
 */
void decode_source_order(const struct decoding *g, struct pair_source *source)
{
	const struct layout *lay = g->lay;
	uint8_t head[4];

	if (lay->values_capacity != OFF_NONE) {
		if (!peek(g, source->values, 0, head, sizeof(head)))
			return;
		source->order =
			source->values + (uint64_t)lay->dict_values_items + 8 * (uint64_t)head[lay->values_capacity];
		source->order_step = 1;
		source->norder = head[lay->values_capacity + 1];
	} else if (lay->keys_log2_size != OFF_NONE) {
		if (!peek(g, source->values, -2, head, 1))
			return;
		source->order = source->values - 3;
		source->order_step = -1;
		source->norder = head[0];
	}
	if (source->order_step < 0
		    ? snapshot__span(g->s, source->order - source->norder + 1, source->norder) < source->norder
		    : snapshot__span(g->s, source->order, source->norder) < source->norder)
		source->order = 0;
}

bool decode_dict_source(const struct decoding *g, uint64_t dict, struct pair_source *out)
{
	const struct layout *lay = g->lay;

	memset(out, 0, sizeof(*out));
	if (!peek_u64(g, dict, lay->dict_keys, &out->keys) || !peek_u64(g, dict, lay->dict_values, &out->values))
		return false;
	if (out->values)
		decode_source_order(g, out);
	return true;
}

enum snapshot_state decode_pairs(struct decoding *g, const struct pair_source *from,
				 bool (*fn)(struct decoding *g, uint64_t key, uint64_t value, void *ctx), void *ctx)
{
	uint64_t values = from->values + (uint64_t)g->lay->dict_values_items;
	struct keys_view view;
	uint64_t n;

	if (!decode_open_keys(g, from->keys, from->values != 0, &view))
		return snapshot__state(g->s, from->keys);
	n = from->order && from->norder < view.count ? from->norder : view.count;
	for (uint64_t k = 0; k < n; k++) {
		uint8_t entry[24], at = 0;
		uint64_t i = k, value;

		if (from->order && peek(g, from->order, (int64_t)k * from->order_step, &at, 1))
			i = at;
		if (i >= view.count)
			continue;
		if (!read_keys(g, view.entries + i * view.entry_size, entry, view.entry_size, from->values != 0))
			return snapshot__state(g->s, view.entries + i * view.entry_size);
		value = field_u64(entry, (int32_t)view.key + 8);
		if (from->values && !peek_u64(g, values, (int64_t)(8 * i), &value))
			return snapshot__state(g->s, values + 8 * i);
		if (field_u64(entry, (int32_t)view.key) && value &&
		    !fn(g, field_u64(entry, (int32_t)view.key), value, ctx))
			break;
	}
	return SNAPSHOT_PRESENT;
}

struct filling {
	struct value *v;
	size_t room;
	bool full;
};

/* Whether a key hides its value. One that is not known does, where anything is hidden. */
static bool key_masks(const struct decoding *g, const struct value *key)
{
	if (key->kind == V_UNREADABLE || key->kind == V_CUT)
		return g->d->redact != NULL;
	return masks_second(g, key);
}

static bool add_pair(struct decoding *g, uint64_t key, uint64_t value, void *ctx)
{
	struct filling *f = ctx;
	struct value_item *item;

	f->full = f->v->nitems == f->room || !decoding__room(g);
	if (f->full)
		return false;
	item = &f->v->items[f->v->nitems++];
	item->key = decoding__object(g, key);
	item->value = key_masks(g, item->key) ? decoding__value(g, V_MASKED) : decoding__object(g, value);
	return true;
}

/* After what could be read: whether that was all, and a mark where it was not and should have been. */
static void finish(struct decoding *g, struct filling *f, enum snapshot_state state)
{
	struct value *v = f->v;

	v->cut = v->nitems < v->total;
	if (f->full || state == SNAPSHOT_PRESENT || v->nitems >= f->room)
		return;
	v->cut = true;
	if (state == SNAPSHOT_UNREADABLE || (state == SNAPSHOT_ABSENT && !v->nitems))
		v->items[v->nitems++] = (struct value_item){ .value = decoding__value(g, V_UNREADABLE) };
}

struct value *decode_dict(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	struct pair_source source;
	struct filling f = { 0 };
	uint64_t total;

	if (!peek_u64(g, obj, g->lay->dict_used, &total))
		return decoding__missing(g, obj + (uint64_t)g->lay->dict_used);
	if (total > INT64_MAX)
		return decoding__value(g, V_UNREADABLE);
	f.v = container(g, V_DICT, type, total);
	f.v->cut = total != 0;
	if (decoding__too_deep(g) || !total)
		return f.v;
	if (!decode_dict_source(g, obj, &source))
		return decoding__missing(g, obj + (uint64_t)g->lay->dict_keys);
	f.room = room_for(g, f.v, total);
	if (f.room)
		finish(g, &f, decode_pairs(g, &source, add_pair, &f));
	return f.v;
}

/* The table is followed in its order, as Python's repr does. What was taken out has the hash -1, which nothing else has. */
struct value *decode_set(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	enum { ENTRY = 16 };
	struct filling f = { 0 };
	enum snapshot_state state = SNAPSHOT_PRESENT;
	uint64_t total, mask, table, entry[2];

	if (!peek_u64(g, obj, g->lay->set_used, &total) || !peek_u64(g, obj, g->lay->set_mask, &mask) ||
	    !peek_u64(g, obj, g->lay->set_table, &table))
		return decoding__missing(g, obj + (uint64_t)g->lay->set_used);
	if (total > INT64_MAX || mask > INT64_MAX / ENTRY)
		return decoding__value(g, V_UNREADABLE);
	f.v = container(g, type->form == FORM_SET ? V_SET : V_FROZENSET, type, total);
	f.v->cut = total != 0;
	if (decoding__too_deep(g) || !total)
		return f.v;
	f.room = room_for(g, f.v, total);
	for (uint64_t i = 0; i <= mask && f.v->nitems < f.room && decoding__room(g); i++) {
		if (!peek(g, table, (int64_t)(i * ENTRY), entry, sizeof(entry))) {
			state = snapshot__state(g->s, table + i * ENTRY);
			break;
		}
		if (entry[0] && entry[1] != UINT64_MAX)
			f.v->items[f.v->nitems++].value = decoding__object(g, entry[0]);
	}
	finish(g, &f, state);
	return f.v;
}
