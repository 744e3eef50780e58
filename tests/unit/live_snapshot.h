/*
 * live_snapshot: the pieces of memory that the BPF programs copy at an event, copied from outside from a process that stands
 * still: for tests of the decoder alone. The rules are those of bpf/snap.bpf.h.
 */
#ifndef PYLU_TESTS_LIVE_SNAPSHOT_H
#define PYLU_TESTS_LIVE_SNAPSHOT_H

#include <stdlib.h>
#include <string.h>

#include "value_priv.h"

#define LIVE_BYTES (1u << 18)
#define LIVE_OBJECTS 4096
#define LIVE_HEAD 512
#define LIVE_BEFORE 32

struct live {
	struct pyobj_reader *r;
	struct wire_limits limits;
	uint8_t *bytes; /* chunks */
	size_t used;
	struct {
		uint64_t obj;
		unsigned level;
		int shallow;
	} queue[LIVE_OBJECTS];
	size_t n;
};

static inline void live_copy(struct live *l, uint64_t addr, size_t len)
{
	struct wire_chunk chunk = { .addr = addr };

	while (len) {
		size_t n = len < WIRE_SNAP_PIECE ? len : WIRE_SNAP_PIECE, padded = (n + 7) & ~(size_t)7;
		uint8_t *to = l->bytes + l->used + sizeof(chunk);

		if (l->used + sizeof(chunk) + padded > LIVE_BYTES)
			return;
		chunk.addr = addr;
		chunk.len = (u32)n;
		chunk.unreadable = pyobj__read(l->r, addr, to, n) != 0;
		memcpy(l->bytes + l->used, &chunk, sizeof(chunk));
		l->used += sizeof(chunk) + (chunk.unreadable ? 0 : padded);
		addr += n;
		len -= n;
	}
}

static inline uint64_t live_u64(struct live *l, uint64_t addr)
{
	uint64_t value = 0;

	return pyobj__read_u64(l->r, addr, &value) ? 0 : value;
}

static inline void live_want(struct live *l, uint64_t obj, unsigned level)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->queue[i].obj == obj)
			return;
	}
	if (!obj || level > l->limits.depth + 1 || l->n == LIVE_OBJECTS)
		return;
	l->queue[l->n].obj = obj;
	l->queue[l->n++].level = level;
}

static inline void live_pointers(struct live *l, uint64_t at, uint64_t n, unsigned level)
{
	if (n > l->limits.items)
		n = l->limits.items;
	live_copy(l, at, n * 8);
	for (uint64_t i = 0; i < n; i++)
		live_want(l, live_u64(l, at + 8 * i), level);
}

/* Header and entries of a keys table, and the values in it or beside it. */
static inline void live_keys(struct live *l, uint64_t keys, uint64_t values, unsigned level)
{
	const struct layout *lay = l->r->lay;
	uint64_t n = live_u64(l, keys + (uint64_t)lay->keys_nentries), entries, size = 24, word, slots;
	int order_before = lay->keys_log2_size != OFF_NONE && lay->values_capacity == OFF_NONE;

	if (lay->keys_size != OFF_NONE) {
		slots = live_u64(l, keys + (uint64_t)lay->keys_size);
		entries = keys + (uint64_t)lay->keys_indices + slots * (slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4);
	} else {
		word = live_u64(l, keys + (uint64_t)lay->keys_log2_index_bytes);
		entries = keys + (uint64_t)lay->keys_indices + ((uint64_t)1 << (word & 63));
		word = live_u64(l, keys + (uint64_t)lay->keys_kind);
		size = (word & 0xff) == (uint64_t)lay->keys_kind_general ? 24 : 16;
	}
	if (n > 2 * l->limits.items + 8)
		n = 2 * l->limits.items + 8;
	live_copy(l, keys, (size_t)lay->keys_indices);
	live_copy(l, entries, n * size);
	if (values && order_before)
		live_copy(l, values - LIVE_BEFORE, LIVE_BEFORE);
	/* Behind the values, all that there is room for, stands in which order they were set. */
	if (values && lay->values_capacity != OFF_NONE)
		live_copy(l, values,
			  (size_t)lay->dict_values_items +
				  9 * (live_u64(l, values + (uint64_t)lay->values_capacity) & 0xff));
	else if (values)
		live_copy(l, values, (size_t)lay->dict_values_items + n * 8);
	for (uint64_t i = 0; i < n; i++) {
		live_want(l, live_u64(l, entries + i * size + size - 16), level);
		live_want(l,
			  values ? live_u64(l, values + (uint64_t)lay->dict_values_items + 8 * i)
				 : live_u64(l, entries + i * size + size - 8),
			  level);
	}
}

static inline void live_dict(struct live *l, uint64_t dict, unsigned level)
{
	const struct layout *lay = l->r->lay;

	live_copy(l, dict, (size_t)lay->dict_values + 8);
	live_keys(l, live_u64(l, dict + (uint64_t)lay->dict_keys), live_u64(l, dict + (uint64_t)lay->dict_values),
		  level);
}

static inline void live_attrs(struct live *l, uint64_t obj, const struct pyobj_type *type, unsigned level)
{
	const struct layout *lay = l->r->lay;
	/* Without a sign, because what is damaged may overflow. */
	uint64_t dict = 0, values = 0, offset = (uint64_t)type->dictoffset;

	if (lay->managed_dict != OFF_NONE && type->flags & TPFLAGS_MANAGED_DICT) {
		live_copy(l, obj - LIVE_BEFORE, LIVE_BEFORE);
		dict = live_u64(l, obj + (uint64_t)(int64_t)lay->managed_dict);
		if (lay->managed_values != OFF_NONE)
			values = live_u64(l, obj + (uint64_t)(int64_t)lay->managed_values);
		else if (lay->managed_values_bias != OFF_NONE)
			values = dict & 1 ? dict + (uint64_t)lay->managed_values_bias : 0;
		else if (type->flags & TPFLAGS_INLINE_VALUES)
			values = obj + (uint64_t)type->basicsize;
		if (values)
			live_keys(l, live_u64(l, type->addr + (uint64_t)lay->heaptype_cached_keys), values, level);
		if (values && lay->managed_values_bias != OFF_NONE)
			return;
	} else if (offset) {
		uint64_t items = live_u64(l, obj + (uint64_t)lay->ob_size);

		items = (int64_t)items < 0 ? -items : items;
		if (type->dictoffset < 0)
			offset += ((uint64_t)type->basicsize + items * (uint64_t)type->itemsize + 7) & ~7ULL;
		live_copy(l, obj + offset, 8);
		dict = live_u64(l, obj + offset);
	}
	if (dict)
		live_dict(l, dict, level);
}

static inline void live_str(struct live *l, uint64_t obj)
{
	const struct layout *lay = l->r->lay;
	uint64_t length = live_u64(l, obj + (uint64_t)lay->unicode_length), data;
	uint32_t state = (uint32_t)live_u64(l, obj + (uint64_t)lay->unicode_state);

	live_copy(l, obj, (size_t)lay->unicode_any_data + 8);
	data = obj +
	       (uint64_t)(state >> lay->unicode_ascii_shift & 1 ? lay->unicode_ascii_data : lay->unicode_compact_data);
	if (!(state >> lay->unicode_compact_shift & 1))
		data = live_u64(l, obj + (uint64_t)lay->unicode_any_data);
	if (length > l->limits.chars)
		length = l->limits.chars;
	live_copy(l, data, length * (state >> lay->unicode_kind_shift & 7));
}

static inline void live_set(struct live *l, uint64_t obj, unsigned level)
{
	const struct layout *lay = l->r->lay;
	uint64_t mask = live_u64(l, obj + (uint64_t)lay->set_mask), table = live_u64(l, obj + (uint64_t)lay->set_table);

	if (mask > 127)
		mask = 127;
	live_copy(l, table, (mask + 1) * 16);
	for (uint64_t i = 0; i <= mask; i++) {
		if (live_u64(l, table + 16 * i + 8) != UINT64_MAX)
			live_want(l, live_u64(l, table + 16 * i), level);
	}
}

static inline void live_small(struct live *l, uint64_t obj, const struct pyobj_type *type, unsigned level)
{
	const struct layout *lay = l->r->lay;
	const uint64_t *known = l->r->sym.objects;
	uint64_t args;

	if (type->flags & TPFLAGS_EXCEPTION_SUBCLASS && level < l->limits.depth) {
		args = live_u64(l, obj + (uint64_t)lay->exc_args);
		live_copy(l, args, (size_t)lay->tuple_items);
		live_pointers(l, args + (uint64_t)lay->tuple_items, live_u64(l, args + (uint64_t)lay->ob_size),
			      level + 1);
	} else if (level < l->limits.depth && (type->addr == known[PYOBJ_RANGE] || type->addr == known[PYOBJ_SLICE])) {
		int32_t start = type->addr == known[PYOBJ_RANGE] ? lay->range_start : lay->slice_start;

		for (int i = 0; i < 3; i++)
			live_want(l, live_u64(l, obj + (uint64_t)start + 8 * (uint64_t)i), level + 1);
	} else if (type->addr == known[PYOBJ_METHOD]) {
		live_want(l, live_u64(l, obj + (uint64_t)lay->method_func), level);
		live_want(l, live_u64(l, obj + (uint64_t)lay->method_self), level + 1);
		l->queue[l->n - 1].shallow = 1;
	} else if (type->kind == KIND_FUNCTION) {
		live_want(l, live_u64(l, obj + (uint64_t)lay->func_qualname), level + 1);
		live_want(l, live_u64(l, obj + (uint64_t)lay->func_module), level + 1);
	} else if (type->kind == KIND_MODULE) {
		live_want(l, live_u64(l, obj + (uint64_t)lay->module_name), level + 1);
	} else if (type->kind == KIND_CELL && level < l->limits.depth) {
		live_want(l, live_u64(l, obj + (uint64_t)lay->cell_ref), level + 1);
	}
}

static inline int live_is_builtin(const struct live *l, const struct pyobj_type *type, enum pyobj_object object)
{
	uint64_t at = type->addr, base = type->base;

	for (int i = 0; i < 16 && at; i++) {
		if (at == l->r->sym.objects[object])
			return 1;
		at = base;
		if (pyobj__read_u64(l->r, at + (uint64_t)l->r->lay->type_base, &base))
			return 0;
	}
	return 0;
}

static inline void live_object(struct live *l, uint64_t obj, unsigned level, int shallow)
{
	const struct layout *lay = l->r->lay;
	struct pyobj_type type;
	uint64_t n;

	if (pyobj__type(l->r, obj, &type)) {
		live_copy(l, obj, 16);
		return;
	}
	live_copy(l, obj, type.basicsize < LIVE_HEAD ? (size_t)type.basicsize : LIVE_HEAD);
	n = live_u64(l, obj + (uint64_t)lay->ob_size);
	if (type.kind == KIND_STR) {
		live_str(l, obj);
	} else if (type.kind == KIND_INT) {
		uint64_t word = lay->long_tag == OFF_NONE ? n : live_u64(l, obj + (uint64_t)lay->long_tag) >> 3;

		word = (int64_t)word < 0 ? -word : word;
		live_copy(l, obj + (uint64_t)lay->long_digits, word < 512 ? word * 4 : 2048);
	} else if (live_is_builtin(l, &type, PYOBJ_BYTES)) {
		live_copy(l, obj + (uint64_t)lay->bytes_data, n < l->limits.chars ? n : l->limits.chars);
	} else if (live_is_builtin(l, &type, PYOBJ_BYTEARRAY)) {
		live_copy(l, live_u64(l, obj + (uint64_t)lay->bytearray_start),
			  n < l->limits.chars ? n : l->limits.chars);
	} else {
		live_small(l, obj, &type, level);
	}
	if (level >= l->limits.depth || shallow)
		return;
	if (type.kind == KIND_LIST)
		live_pointers(l, live_u64(l, obj + (uint64_t)lay->list_items), n, level + 1);
	else if (type.kind == KIND_TUPLE)
		live_pointers(l, obj + (uint64_t)lay->tuple_items, n, level + 1);
	else if (type.kind == KIND_DICT)
		live_dict(l, obj, level + 1);
	else if (live_is_builtin(l, &type, PYOBJ_SET) || live_is_builtin(l, &type, PYOBJ_FROZENSET))
		live_set(l, obj, level + 1);
	else if (type.kind == KIND_OTHER || type.kind == KIND_INT || type.kind == KIND_STR)
		live_attrs(l, obj, &type, level + 1);
	for (int64_t at = 16; type.kind == KIND_OTHER && at + 8 <= type.basicsize && at < LIVE_HEAD; at += 8)
		live_want(l, live_u64(l, obj + (uint64_t)at), level + 1); /* what may be a slot's */
}

/* All that belongs to the value at `obj`, breadth first. Free with live_free. */
static inline void live_take(struct live *l, struct pyobj_reader *r, const struct wire_limits *limits, uint64_t obj)
{
	*l = (struct live){ .r = r, .limits = *limits, .bytes = calloc(1, LIVE_BYTES) };
	if (!l->bytes)
		abort();
	live_want(l, obj, 0);
	for (size_t i = 0; i < l->n; i++)
		live_object(l, l->queue[i].obj, l->queue[i].level, l->queue[i].shallow);
}

static inline void live_free(struct live *l)
{
	free(l->bytes);
}

#endif
