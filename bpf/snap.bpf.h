/*
 * snap: copies what the values of an event lead to, as it is at this moment: pieces of the process's memory, breadth first,
 * within the limits on depth, items and characters. What the pieces mean is decided by userspace.
 *
 * What there is of each object, at its own address, from its start: as much as its type's tp_basicsize says, at most
 * SNAP_BODY bytes; of an int its digits, of a str that holds its characters and of a bytes those, as many as are wanted;
 * of a class SNAP_HEAD bytes. Besides, each a chunk, at its address:
 *   - of a list, tuple, dict, set, the words of its items, or entries of its table with the empty ones among them; of a
 *     dict also the head of its keys table up to dk_indices; where its values are elsewhere (split), they are as below;
 *   - of the values of an instance (or of a split dict), all of them, with what tells their order: from 3.13 on the struct
 *     with its header and the order behind, in 3.11 and 3.12 the 32 bytes before it. The keys of an instance's type are
 *     not copied: they never change once they are there;
 *   - of an instance with Py_TPFLAGS_MANAGED_DICT, the 32 bytes before it; of another one the word that points to its dict,
 *     where that lies behind what there is of it;
 *   - the characters of strs and bytearrays that have them elsewhere.
 * Containers at the last level have their own chunk alone.
 */
#ifndef PYLU_SNAP_BPF_H
#define PYLU_SNAP_BPF_H

#include "snap_piece.bpf.h"

#define SNAP_BODY 512	/* of an object without items of its own */
#define SNAP_PLAIN 64	/* a C type's instances that are not larger may have words that point to objects */
#define SNAP_LONG 1024	/* of an int */
#define SNAP_VALUES 32	/* of an instance with shared keys: they are at most 30 */
#define SNAP_AGAIN 0x80 /* with a job's stride: not the first piece */
#define SNAP_HOLES(want) (4 * (want) + 64) /* entries that are looked at for so many that are not empty */

/* bpf_loop callback: one word that points to an object, or is empty. */
static long words_step(u64 i, struct seen **p)
{
	struct seen *e = *p;
	struct snap_cursor *w = &e->cursor;
	u64 obj;

	if (!w->n || !w->want)
		return 1;
	obj = snap_word(e, w->at, 0);
	w->at += 8;
	w->n--;
	if (!obj || (w->kind == SNAP_JOB_MAYBE && (obj & 7 || obj < 4096 || obj & ~ADDR_MASK)))
		return 0;
	snap_push(e, obj, w->kind, w->depth);
	w->want--;
	return 0;
}

/* bpf_loop callback: one entry of a dict's table, or a set's. */
static long entries_step(u64 i, struct seen **p)
{
	struct seen *e = *p;
	struct snap_cursor *w = &e->cursor;
	u64 key, value;

	if (!w->n || !w->want)
		return 1;
	key = snap_word(e, w->at, w->key);
	value = snap_word(e, w->at, w->key + 8);
	w->at += w->stride;
	w->n--;
	/* A set's entry that was deleted has the hash -1. */
	if (!key || (w->kind == SNAP_JOB_SET ? value == ~0ULL : !value && w->kind == SNAP_JOB_PAIRS))
		return 0;
	snap_push(e, key, SNAP_JOB_OBJECT, w->depth);
	if (w->kind == SNAP_JOB_PAIRS)
		snap_push(e, value, SNAP_JOB_OBJECT, w->depth);
	w->want--;
	return 0;
}

/* Copies a piece of a container's items or entries, and has what they point to looked at. */
__noinline int snap_part(struct seen *e, const struct snap_job *job)
{
	struct snap_cursor *w;
	u32 bytes, n, more;
	u64 addr;
	int at;

	if (!e || !job)
		return 0;
	w = &e->cursor;
	w->kind = job->kind == SNAP_JOB_ITEMS ? SNAP_JOB_OBJECT : job->kind;
	w->depth = job->depth + 1;
	w->stride = job->stride & 31 ?: 8;
	w->key = w->stride == 24 ? 8 : 0;
	w->want = job->want;
	addr = job->addr;
	more = job->count;
	n = more;
	/* As many as would do if none were empty (of a set's table half are); where they did not, larger steps. */
	bytes = w->kind == SNAP_JOB_SET ? 2 * w->want + 8 : w->want + 2;
	if (job->stride & SNAP_AGAIN)
		bytes += 32;
	if (n > bytes)
		n = bytes;
	if (n > WIRE_SNAP_PIECE / w->stride)
		n = WIRE_SNAP_PIECE / w->stride;
	bytes = n * w->stride;
	if (!bytes)
		return 0;
	at = snap_copy(e, addr, bytes);
	if (at < 0)
		return 0;
	w->at = at;
	w->n = n;
	if (w->stride == 8)
		bpf_loop(WIRE_SNAP_PIECE / 8, words_step, &e, 0);
	else
		bpf_loop(WIRE_SNAP_PIECE / 16, entries_step, &e, 0);
	snap_push_part(e, w->want && more > n ? addr + bytes : 0, job->kind, job->depth, more - n, w->want,
		       job->stride | SNAP_AGAIN);
	return 0;
}

/* The values of an instance, or of a dict, whose keys are `keys`, which other instances share. */
static __noinline int snap_values(struct seen *e, const struct wire_value_layout *v, u64 values, u64 keys, u8 depth)
{
	struct snap_cursor *w = &e->cursor;
	u32 n, before = 0;
	int at = -1;

	if (v->values_capacity >= 0) {
		n = read_u8(values + v->values_capacity);
		n = n > SNAP_VALUES ? SNAP_VALUES : n;
		at = snap_copy(e, values, v->dict_values_items + n * 9);
	} else {
		n = read_u64(keys + v->keys_nentries);
		n = n > SNAP_VALUES ? SNAP_VALUES : n;
		if (v->managed_dict != -1) { /* 3.11, 3.12 */
			before = 32;
			at = snap_copy(e, values - before, before + n * 8);
		} else if (n) {
			at = snap_copy(e, values, n * 8);
		}
	}
	if (at < 0)
		return 0;
	w->at = at + before + v->dict_values_items;
	w->n = n;
	w->want = seen_config.limits.items;
	w->kind = SNAP_JOB_OBJECT;
	w->depth = depth + 1;
	bpf_loop(SNAP_VALUES, words_step, &e, 0);
	return 0;
}

/* The table of a dict, whose own chunk is at `at`. */
static __noinline int snap_dict(struct seen *e, const struct wire_value_layout *v, u32 at, u8 depth)
{
	u64 keys = snap_word(e, at, v->dict_keys), values = snap_word(e, at, v->dict_values), entries;
	u32 want = seen_config.limits.items, n, stride = 24;
	int head;
	s64 size;

	if (!snap_word(e, at, v->dict_used))
		return 0;
	head = snap_copy(e, keys, v->keys_indices);
	if (head < 0)
		return 0;
	n = snap_word(e, head, v->keys_nentries);
	if (v->keys_log2_index_bytes >= 0) {
		size = 1LL << (snap_word(e, head, v->keys_log2_index_bytes) & 63);
		if ((u8)snap_word(e, head, v->keys_kind) != v->keys_kind_general)
			stride = 16;
	} else {
		size = snap_word(e, head, v->keys_size);
		size *= size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
	}
	entries = keys + v->keys_indices + size;
	if (n > SNAP_HOLES(want))
		n = SNAP_HOLES(want);
	if (values) {
		snap_values(e, v, values, keys, depth);
		snap_push_part(e, entries, SNAP_JOB_KEYS, depth, n, n > SNAP_VALUES ? SNAP_VALUES : n, stride);
	} else {
		snap_push_part(e, entries, SNAP_JOB_PAIRS, depth, n, want, stride);
	}
	return 0;
}

/* What makes up an instance: its dict, or values, wherever they are. */
static __noinline int snap_attrs(struct seen *e, const struct wire_value_layout *v, struct snap_job *job, u32 type,
				 u32 len)
{
	const struct snap_type *t = &e->types[type & (SNAP_TYPES - 1)];
	u64 addr = job->addr, values = 0, keys = 0, dict, n;
	s64 offset = t->dictoffset;
	int at;

	if (v->managed_dict != -1 && t->flags & TPFLAGS_MANAGED_DICT) {
		at = snap_copy(e, addr - 32, 32);
		if (at < 0)
			return 0;
		dict = snap_word(e, at, 32 + v->managed_dict);
		if (v->managed_values != -1)
			values = snap_word(e, at, 32 + v->managed_values);
		else if (v->managed_values_bias != -1)
			values = dict & 1 ? dict + v->managed_values_bias : 0;
		else if (t->flags & TPFLAGS_INLINE_VALUES && read_u8(addr + t->basicsize + v->values_valid))
			values = addr + t->basicsize;
		if (!values) {
			snap_push_part(e, dict & ~1ULL, SNAP_JOB_OBJECT, job->depth, 0, 0, 0);
			return 0;
		}
		if (v->values_capacity < 0)
			keys = read_u64(t->addr + v->heaptype_cached_keys);
		snap_values(e, v, values, keys, job->depth);
		return 0;
	}
	if (!offset)
		return 0;
	if (offset < 0) { /* from the end, which is behind the items (_PyObject_GetDictPtr) */
		n = read_u64(addr + v->ob_size);
		n = (s64)n < 0 ? -n : n;
		offset += (t->basicsize + n * t->itemsize + 7) & ~7LL;
	}
	/* Behind the digits of an int and the rest of a str, where no more of them was copied. */
	if (offset + 8 > len)
		snap_copy(e, addr + offset, 8);
	snap_push_part(e, read_u64(addr + offset), SNAP_JOB_OBJECT, job->depth, 0, 0, 0);
	return 0;
}

/* How long a str is from its start, with the characters that are wanted; those that are elsewhere get a part. */
static __noinline u32 snap_str(struct seen *e, const struct wire_value_layout *v, u32 at, u32 *chars)
{
	u32 state = snap_word(e, at, v->unicode_state), width = state >> (v->unicode_kind_shift & 31) & 7;
	u64 length = snap_word(e, at, v->unicode_length);

	if (length > seen_config.limits.chars)
		length = seen_config.limits.chars;
	if (length > WIRE_SNAP_PIECE)
		length = WIRE_SNAP_PIECE;
	length *= width;
	if (state >> (v->unicode_compact_shift & 31) & 1)
		return length +
		       (state >> (v->unicode_ascii_shift & 31) & 1 ? v->unicode_ascii_data : v->unicode_compact_data);
	*chars = length;
	return v->unicode_any_data + 8;
}

/* How many digits' bytes an int has. */
static __always_inline u32 snap_int_bytes(const struct seen *e, const struct wire_value_layout *v, u32 at)
{
	s64 n;

	if (v->long_tag >= 0) {
		n = snap_word(e, at, v->long_tag) >> 3;
	} else {
		n = snap_word(e, at, v->ob_size);
		n = n < 0 ? -n : n;
	}
	return n < 0 || n > SNAP_LONG / 4 ? SNAP_LONG : n * 4;
}

/* How long the object's own chunk is to be, whose first bytes are at `at`. */
static __noinline u32 snap_length(struct seen *e, const struct wire_value_layout *v, u32 at, u32 type, u32 *chars)
{
	const struct snap_type *t = &e->types[type & (SNAP_TYPES - 1)];
	u64 size;

	switch (t->kind) {
	case KIND_INT:
		return v->long_digits + snap_int_bytes(e, v, at);
	case KIND_STR:
		return snap_str(e, v, at, chars);
	case KIND_BYTES:
		size = snap_word(e, at, v->ob_size);
		return v->bytes_data + (size > seen_config.limits.chars ? seen_config.limits.chars : size);
	case KIND_BYTEARRAY:
		size = snap_word(e, at, v->ob_size);
		*chars = size > seen_config.limits.chars ? seen_config.limits.chars : size;
		break;
	case KIND_CLASS:
		return SNAP_HEAD;
	}
	return t->basicsize > SNAP_BODY ? SNAP_BODY : t->basicsize;
}

/* Has what an object holds looked at. `at`: of its own chunk. */
static __noinline int snap_children(struct seen *e, const struct wire_value_layout *v, struct snap_job *job, u32 at,
				    u32 kind)
{
	u32 items = seen_config.limits.items, n;
	u64 addr = job->addr, size;
	u8 depth = job->depth;

	switch (kind) {
	case KIND_LIST:
		size = snap_word(e, at, v->ob_size);
		snap_push_part(e, snap_word(e, at, v->list_items), SNAP_JOB_ITEMS, depth, size > items ? items : size,
			       items, 8);
		break;
	case KIND_TUPLE:
		size = snap_word(e, at, v->ob_size);
		snap_push_part(e, addr + v->tuple_items, SNAP_JOB_ITEMS, depth, size > items ? items : size, items, 8);
		break;
	case KIND_DICT:
		snap_dict(e, v, at, depth);
		break;
	case KIND_SET:
		size = snap_word(e, at, v->set_mask) + 1;
		n = size > SNAP_HOLES(items) ? SNAP_HOLES(items) : size;
		size = snap_word(e, at, v->set_used);
		snap_push_part(e, size ? snap_word(e, at, v->set_table) : 0, SNAP_JOB_SET, depth, n,
			       size > items ? items : size, 16);
		break;
	case KIND_EXCEPTION:
		snap_push_part(e, snap_word(e, at, v->exc_args), SNAP_JOB_OBJECT, depth, 0, 0, 0);
		break;
	case KIND_CELL:
		snap_push_part(e, snap_word(e, at, v->cell_ref), SNAP_JOB_OBJECT, depth, 0, 0, 0);
		break;
	}
	return 0;
}

/* Has what an object is called by looked at, which is wanted at the last level too. */
static __always_inline void snap_names(struct seen *e, const struct wire_value_layout *v, u8 depth, u32 at, u32 kind)
{
	switch (kind) {
	case KIND_FUNCTION:
		snap_push(e, snap_word(e, at, v->func_qualname), SNAP_JOB_MAYBE, depth + 1);
		snap_push(e, snap_word(e, at, v->func_module), SNAP_JOB_MAYBE, depth + 1);
		break;
	case KIND_METHOD:
		snap_push(e, snap_word(e, at, v->method_func), SNAP_JOB_MAYBE, depth + 1);
		snap_push(e, snap_word(e, at, v->method_self), SNAP_JOB_SHALLOW, depth + 1);
		break;
	case KIND_MODULE:
		snap_push(e, snap_word(e, at, v->module_name), SNAP_JOB_MAYBE, depth + 1);
		break;
	}
}

/* Has the words of an instance's body looked at that may be slots: what a class of Python adds to its base, or all of a
 * small object of a type written in C. `len`: of its own chunk, at `at`. */
static __noinline int snap_slots(struct seen *e, u32 type, u32 at, u32 len, u8 depth)
{
	const struct snap_type *t = &e->types[type & (SNAP_TYPES - 1)];
	struct snap_cursor *w = &e->cursor;
	u64 from = t->body;

	if (!(t->flags & TPFLAGS_HEAPTYPE)) {
		if (t->kind != KIND_UNKNOWN || len > SNAP_PLAIN)
			return 0;
		from = 16;
	}
	from = (from + 7) & ~7ULL;
	if (from >= len)
		return 0;
	w->at = at + from;
	w->n = w->want = (len - from) / 8;
	w->kind = SNAP_JOB_MAYBE;
	w->depth = depth + 1;
	bpf_loop(SNAP_BODY / 8, words_step, &e, 0);
	return 0;
}

/* Copies the first bytes of an object. As snap_copy. */
static __noinline int snap_head(struct seen *e, u64 addr)
{
	u32 start = e->end, rest = 4096 - (addr & 4095);
	int at = snap_copy(e, addr, SNAP_HEAD);

	if (at >= 0 || e->end == start || rest >= SNAP_HEAD)
		return at;
	/* It may be the last object before memory that is none. */
	e->end = start;
	return snap_copy(e, addr, rest);
}

/* Copies an object, and has what it leads to looked at. */
__noinline int snap_object(struct seen *e, const struct wire_value_layout *v, struct snap_job *job)
{
	u32 start, len, chars = 0, kind;
	int at, type = -1;
	u64 addr;

	if (!e || !v || !job)
		return 0;
	addr = job->addr;
	if (addr & 7 || addr < 4096 || addr & ~ADDR_MASK || snap_visited(e, addr))
		return 0;
	if (e->objects >= WIRE_SNAP_OBJECTS) {
		e->event.flags |= WIRE_SEEN_FULL;
		return 0;
	}
	start = e->end;
	at = snap_head(e, addr);
	if (at >= 0)
		type = snap_type(e, v, snap_word(e, at, v->ob_type));
	if (type < 0 || (job->kind != SNAP_JOB_OBJECT && !e->types[type & (SNAP_TYPES - 1)].is_type)) {
		if (job->kind != SNAP_JOB_OBJECT)
			e->end = start;
		else if (at >= 0)
			snap_resize(e, at, 16);
		return 0;
	}
	e->objects++;
	kind = e->types[type & (SNAP_TYPES - 1)].kind;
	len = snap_length(e, v, at, type, &chars);
	/* Where all of it is too much, as for a long str at the end of what is mapped, the start is there. */
	snap_resize(e, at, len);
	if (chars)
		snap_copy(e, snap_word(e, at, kind == KIND_STR ? v->unicode_any_data : v->bytearray_start), chars);
	if (job->kind == SNAP_JOB_SHALLOW)
		return 0;
	snap_names(e, v, job->depth, at, kind);
	if (job->depth >= seen_config.limits.depth)
		return 0;
	snap_children(e, v, job, at, kind);
	if (!(e->types[type & (SNAP_TYPES - 1)].flags & TPFLAGS_HEAPTYPE) && kind != KIND_UNKNOWN &&
	    kind != KIND_EXCEPTION)
		return 0;
	snap_attrs(e, v, job, type, len);
	if (kind != KIND_INT && kind != KIND_STR && kind != KIND_BYTES)
		snap_slots(e, type, at, len, job->depth);
	return 0;
}

struct snap_walk {
	struct seen *e;
	const struct wire_value_layout *v;
};

/* bpf_loop callback: one object, or one part of one. */
static long snap_step(u64 i, struct snap_walk *w)
{
	struct seen *e = w->e;
	struct snap_job *job;

	if (e->nparts) {
		e->nparts--;
		job = &e->parts[e->nparts & (SNAP_PARTS - 1)];
		if (job->kind == SNAP_JOB_OBJECT)
			snap_object(e, w->v, job);
		else
			snap_part(e, job);
		return 0;
	}
	if (e->head >= e->tail)
		return 1;
	snap_object(e, w->v, &e->jobs[e->head++ & (SNAP_JOBS - 1)]);
	return 0;
}

/* Copies what the values of the event lead to. After all values and the stack. */
__noinline int seen_walk(struct seen *e, const struct wire_value_layout *v)
{
	struct snap_walk w = { .e = e, .v = v };
	u64 obj;
	u32 n;

	if (!e || !v)
		return 0;
	n = e->event.nroots;
	for (u32 i = 0; i < WIRE_SNAP_ROOTS && i < n; i++) {
		obj = ((struct wire_root *)e->rest)[i].obj;
		if (obj)
			snap_push(e, obj, SNAP_JOB_OBJECT, 0);
	}
	bpf_loop(SNAP_STEPS, snap_step, &w, 0);
	return 0;
}

#endif
