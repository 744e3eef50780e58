/*
 * operand: finds the object that a variable, or an attribute of one, is now: in the frame's variables, in the globals and
 * builtins, in instances' dicts, inline values and slots, and what is plain data in their classes. Nothing is called: what a
 * property or a __getattr__ would give is not found.
 */
#ifndef PYLU_OPERAND_BPF_H
#define PYLU_OPERAND_BPF_H

#include "pytype.bpf.h"
#include "seen.bpf.h"

#define OPERAND_ENTRIES 4096 /* of a dict that are looked at */
#define OPERAND_CLASSES 16   /* of an MRO */
#define OPERAND_CELLS 32     /* of a function */
#define NAME_WORDS (WIRE_NAME_BYTES / 8)
#define CODE_BYTES 128 /* of a code object, with what tells of its arguments; a power of two */

/* Include/cpython/code.h; Include/internal/pycore_code.h (3.11 on) */
#define CO_VARARGS 4
#define CO_VARKEYWORDS 8
#define CO_FAST_CELL 0x40

/* The object in a word of the frame's variables; enum wire_root_status. */
static __always_inline int local_object(const struct wire_value_layout *v, u32 slot, u64 word, u64 *obj)
{
	u64 type, cell = v->type_cell + proc_of(slot)->bias;

	if (v->stackref_tag && (word & v->stackref_tag) == v->stackref_tag)
		return WIRE_ROOT_UNREADABLE; /* a number of the interpreter's own */
	*obj = word & ~(u64)v->stackref_tag;
	if (!*obj)
		return WIRE_ROOT_UNBOUND;
	if (bpf_probe_read_user(&type, sizeof(type), (void *)(*obj + v->ob_type)))
		return WIRE_ROOT_UNREADABLE;
	if (!v->type_cell || type != cell)
		return WIRE_ROOT_VALUE;
	if (bpf_probe_read_user(obj, sizeof(*obj), (void *)(*obj + v->cell_ref)))
		return WIRE_ROOT_UNREADABLE;
	return *obj ? WIRE_ROOT_VALUE : WIRE_ROOT_UNBOUND;
}

/* A name to be found in a dict, or in values whose keys are elsewhere. */
struct dict_query {
	u64 dict;	  /* 0: `keys` and `values` are given */
	u64 keys, values; /* values: of the first */
	u64 found;
	u32 hint; /* of the entry that is tried first; gets that in which it was found */
	u16 operand;
	u16 attr; /* 0: the operand's own name, else the attribute, from 1 on */
};

struct dict_search {
	const struct wire_value_layout *v;
	const u64 *name;
	u64 entries, values, found;
	u32 n, stride, len;
	u32 at;
	u32 failed;
};

/* Compares one entry's key. Not 0: the search is over. */
static __always_inline long dict_entry(struct dict_search *s, u64 i)
{
	const struct wire_value_layout *v = s->v;
	u64 kv[2], text[NAME_WORDS] = {}, length;
	u32 state, len = s->len;

	if (bpf_probe_read_user(kv, sizeof(kv), (void *)(s->entries + i * s->stride + (s->stride - 16))))
		goto failed;
	if (!kv[0] || (!kv[1] && !s->values))
		return 0;
	if (bpf_probe_read_user(&length, sizeof(length), (void *)(kv[0] + v->unicode_length)))
		goto failed;
	if (length != len || len > WIRE_NAME_BYTES)
		return 0;
	state = read_u32(kv[0] + v->unicode_state);
	if (!(state >> (v->unicode_compact_shift & 31) & 1) || !(state >> (v->unicode_ascii_shift & 31) & 1))
		return 0;
	if (bpf_probe_read_user(text, len, (void *)(kv[0] + v->unicode_ascii_data)))
		goto failed;
	for (u32 w = 0; w < NAME_WORDS; w++)
		if (text[w] != s->name[w])
			return 0;
	s->at = i;
	s->found = s->values ? read_u64(s->values + 8 * i) : kv[1];
	return 1;
failed:
	s->failed = 1;
	return 1;
}

/* bpf_loop callback. */
static long dict_entry_step(u64 i, struct dict_search *s)
{
	return i >= s->n || dict_entry(s, i);
}

static __always_inline u32 name_length(const u64 *name)
{
	u32 len = 0;

	while (len < WIRE_NAME_BYTES && ((const char *)name)[len])
		len++;
	return len;
}

/* Where the entries of a keys table are. Negative when it cannot be read. */
static __always_inline int dict_open(const struct wire_value_layout *v, u64 keys, struct dict_search *s)
{
	u64 n;
	s64 size;

	if (!keys || bpf_probe_read_user(&n, sizeof(n), (void *)(keys + v->keys_nentries)))
		return -1;
	s->n = n > OPERAND_ENTRIES ? OPERAND_ENTRIES : n;
	s->stride = 24;
	if (v->keys_log2_index_bytes >= 0) {
		size = 1LL << (read_u8(keys + v->keys_log2_index_bytes) & 63);
		if (read_u8(keys + v->keys_kind) != v->keys_kind_general)
			s->stride = 16;
	} else {
		size = read_u64(keys + v->keys_size);
		size *= size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
	}
	s->entries = keys + v->keys_indices + size;
	return 0;
}

/* Finds a name. enum wire_root_status. */
__noinline int dict_find(const struct wire_value_layout *v, struct dict_query *q)
{
	struct dict_search s = { .v = v };
	const struct wire_operand *op;
	u64 keys;
	u32 attr;

	if (!v || !q)
		return WIRE_ROOT_UNREADABLE;
	op = &operands[q->operand & (WIRE_MAX_OPERANDS - 1)];
	attr = q->attr;
	if (attr > WIRE_MAX_ATTRS)
		return WIRE_ROOT_UNREADABLE;
	barrier_var(attr);
	s.name = (const u64 *)((const char *)op + __builtin_offsetof(struct wire_operand, name) +
			       attr * WIRE_NAME_BYTES);
	s.len = name_length(s.name);
	keys = q->keys;
	s.values = q->values;
	if (q->dict) {
		keys = read_u64(q->dict + v->dict_keys);
		s.values = read_u64(q->dict + v->dict_values);
		if (s.values)
			s.values += v->dict_values_items;
	}
	if (dict_open(v, keys, &s))
		return WIRE_ROOT_UNREADABLE;
	if (q->hint >= s.n || !dict_entry(&s, q->hint) || s.failed) {
		s.failed = 0;
		bpf_loop(OPERAND_ENTRIES, dict_entry_step, &s, 0);
	}
	q->hint = s.at;
	q->found = s.found;
	return s.failed ? WIRE_ROOT_UNREADABLE : s.found ? WIRE_ROOT_VALUE : WIRE_ROOT_MISSING;
}

/* Where an instance has its attributes: a dict, or values with keys, into `q`. 0 when it has none. */
__noinline int attrs_open(const struct wire_value_layout *v, u64 obj, u64 type, struct dict_query *q)
{
	u64 flags, n;
	s64 offset;

	if (!v || !q)
		return 0;
	flags = read_u64(type + v->type_flags);
	q->dict = q->values = q->keys = 0;
	if (v->managed_dict != -1 && flags & TPFLAGS_MANAGED_DICT) {
		q->dict = read_u64(obj + v->managed_dict);
		if (v->managed_values != -1)
			q->values = read_u64(obj + v->managed_values);
		else if (v->managed_values_bias != -1)
			q->values = q->dict & 1 ? q->dict + v->managed_values_bias : 0;
		else if (flags & TPFLAGS_INLINE_VALUES) {
			n = obj + read_u64(type + v->type_basicsize);
			q->values = read_u8(n + v->values_valid) ? n : 0;
		}
		if (!q->values)
			return q->dict != 0;
		q->dict = 0;
		q->values += v->dict_values_items;
		q->keys = read_u64(type + v->heaptype_cached_keys);
		return 1;
	}
	offset = read_u64(type + v->type_dictoffset);
	if (!offset)
		return 0;
	if (offset < 0) { /* from the end, which is behind the items (_PyObject_GetDictPtr) */
		n = read_u64(obj + v->ob_size);
		n = (s64)n < 0 ? -n : n;
		offset += (read_u64(type + v->type_basicsize) + n * read_u64(type + v->type_itemsize) + 7) & ~7LL;
	}
	q->dict = read_u64(obj + offset);
	return q->dict != 0;
}

/* What a class's attribute gives for an instance: a slot's content, or plain data. enum wire_root_status. */
__noinline int class_attr(const struct wire_value_layout *v, u64 attr, u64 obj, u64 *found)
{
	u64 type, flags, def, kind;

	if (!v || !found)
		return WIRE_ROOT_UNREADABLE;
	type = read_u64(attr + v->ob_type);
	if (bpf_probe_read_user(&flags, sizeof(flags), (void *)(type + v->type_flags)))
		return WIRE_ROOT_UNREADABLE;
	*found = attr;
	if (flags & TPFLAGS_HEAPTYPE)
		return WIRE_ROOT_MISSING;
	kind = type_kind_flagged(flags);
	if (kind == KIND_UNKNOWN)
		kind = type_kind_named(read_u64(type + v->type_name));
	if (kind == KIND_MEMBER && obj) {
		def = read_u64(attr + v->member_def);
		if ((s32)read_u32(def + v->member_type) != v->member_type_object)
			return WIRE_ROOT_MISSING;
		if (bpf_probe_read_user(found, sizeof(*found), (void *)(obj + read_u64(def + v->member_offset))))
			return WIRE_ROOT_UNREADABLE;
		return *found ? WIRE_ROOT_VALUE : WIRE_ROOT_MISSING;
	}
	return (kind >= KIND_INT && kind <= KIND_SET) || kind == KIND_FLOAT || kind == KIND_NONE ? WIRE_ROOT_VALUE
												 : WIRE_ROOT_MISSING;
}

/* Finds attribute `q->attr` of the object `*obj`, which it replaces. enum wire_root_status. */
static __always_inline int attr_read(const struct wire_value_layout *v, u64 *obj, struct dict_query *q)
{
	u64 type = read_u64(*obj + v->ob_type), flags, mro, n, instance = *obj;
	int status;

	if (bpf_probe_read_user(&flags, sizeof(flags), (void *)(type + v->type_flags)))
		return WIRE_ROOT_UNREADABLE;
	q->hint = 0;
	if (flags & TPFLAGS_TYPE) { /* a class: what it and its bases have is all there is */
		type = *obj;
		instance = 0;
	} else if (attrs_open(v, *obj, type, q)) {
		status = dict_find(v, q);
		if (status != WIRE_ROOT_MISSING) {
			*obj = q->found;
			return status;
		}
	}
	mro = read_u64(type + v->type_mro);
	n = read_u64(mro + v->ob_size);
	for (u32 i = 0; i < OPERAND_CLASSES && i < n; i++) {
		q->dict = read_u64(read_u64(mro + v->tuple_items + 8 * i) + v->type_dict);
		if (!q->dict) /* a builtin class (3.12 on) */
			continue;
		q->hint = 0;
		if (dict_find(v, q) == WIRE_ROOT_VALUE)
			return class_attr(v, q->found, instance, obj);
	}
	return WIRE_ROOT_MISSING;
}

/* Whose variables, and which; what is found. */
struct operand_query {
	u64 frame;
	u64 obj;
	u32 slot;
	u32 operand;
};

/* A global, or a builtin. Where it was found is where it is looked for next time. */
__noinline int global_read(const struct wire_value_layout *v, struct operand_query *q)
{
	struct dict_query d = {};
	struct wire_operand *op;
	int status;

	if (!v || !q)
		return WIRE_ROOT_UNREADABLE;
	d.operand = q->operand;
	op = &operands[q->operand & (WIRE_MAX_OPERANDS - 1)];
	d.hint = (u32)op->hint;
	d.dict = read_u64(q->frame + v->frame_globals);
	status = dict_find(v, &d);
	if (status == WIRE_ROOT_VALUE) {
		op->hint = (op->hint >> 32 << 32) | d.hint;
	} else if (status == WIRE_ROOT_MISSING) {
		d.hint = op->hint >> 32;
		d.dict = read_u64(q->frame + v->frame_builtins);
		status = dict_find(v, &d);
		if (status == WIRE_ROOT_VALUE)
			op->hint = (u64)d.hint << 32 | (u32)op->hint;
	}
	q->obj = d.found;
	return status;
}

/* Finds the object that an operand is now. enum wire_root_status. What is returned and what is raised are not here: who
 * knows where they are adds them by seen_value. */
__noinline int operand_read(const struct wire_value_layout *v, struct operand_query *q)
{
	struct dict_query d = {};
	const struct wire_operand *op;
	int status;
	u64 word;

	if (!v || !q)
		return WIRE_ROOT_UNREADABLE;
	op = &operands[q->operand & (WIRE_MAX_OPERANDS - 1)];
	q->obj = 0;
	if (op->masked)
		return WIRE_ROOT_MASKED;
	if (op->kind == WIRE_OPERAND_GLOBAL) {
		status = global_read(v, q);
	} else if (op->kind == WIRE_OPERAND_LOCAL &&
		   !bpf_probe_read_user(&word, sizeof(word),
					(void *)(q->frame + v->frame_localsplus + 8ULL * op->index))) {
		status = local_object(v, q->slot, word, &q->obj);
	} else {
		return WIRE_ROOT_UNREADABLE;
	}
	d.operand = q->operand;
	for (u32 i = 0; i < WIRE_MAX_ATTRS && i < op->nattrs && status == WIRE_ROOT_VALUE; i++) {
		d.attr = i + 1;
		status = attr_read(v, &q->obj, &d);
	}
	return status;
}

/* Adds the value of an operand to the event. */
static __always_inline int seen_operand(struct seen *e, const struct wire_value_layout *v, u64 frame, u32 operand)
{
	struct operand_query q = { .frame = frame, .slot = e->event.slot, .operand = operand };
	int status = operand_read(v, &q);

	return seen_value(e, q.obj, operand, status);
}

/* To 3.10 an argument that inner functions use is moved into a cell behind the variables: the one of the same name. The
 * word that holds the cell, or 0. */
static __noinline u64 arg_in_cell(const struct wire_value_layout *v, u64 code, u64 frame, u32 arg)
{
	u64 names = read_u64(code + v->code_varnames), cells = read_u64(code + v->code_cellvars);
	u64 name = read_u64(names + v->tuple_items + 8 * arg), n = read_u64(cells + v->ob_size);

	for (u32 i = 0; i < OPERAND_CELLS && i < n; i++)
		if (read_u64(cells + v->tuple_items + 8 * i) == name)
			return read_u64(frame + v->frame_localsplus + 8 * (read_u32(code + v->code_nlocals) + i));
	return 0;
}

struct args_walk {
	struct seen *e;
	u64 frame;
	const struct wire_value_layout *v;
	u64 masked;
	u32 n;
};

/* Whether an argument may be in a cell, in its own place: a bit of its kind (3.11 on). */
static __always_inline int arg_is_cell(const struct seen *e, u32 arg)
{
	return e->kinds[arg & (SEEN_WORDS - 1)] & CO_FAST_CELL;
}

/* bpf_loop callback: one argument. */
static long args_step(u64 i, struct args_walk *w)
{
	u64 obj = 0, word = w->e->words[i & (SEEN_WORDS - 1)];
	int status = WIRE_ROOT_VALUE;

	if (i >= w->n)
		return 1;
	if (!word && w->v->code_cellvars >= 0)
		word = arg_in_cell(w->v, w->e->event.code, w->frame, i);
	else if (!arg_is_cell(w->e, i))
		obj = word & ~(u64)w->v->stackref_tag;
	if (w->masked >> (i & 63) & 1)
		status = WIRE_ROOT_MASKED;
	else if (!obj)
		status = local_object(w->v, w->e->event.slot, word, &obj);
	return seen_value(w->e, obj, WIRE_ROOT_ARG | i, status) != 0;
}

/* How many variables of a code object, whose first bytes are in e->words, are arguments. */
static __always_inline u32 args_count(const struct seen *e, const struct wire_build *b,
				      const struct wire_value_layout *v)
{
	const u8 *code = (const u8 *)e->words;
	u32 flags = *(const u32 *)(code + (b->code_flags & (CODE_BYTES - 4)));

	return *(const u32 *)(code + (v->code_argcount & (CODE_BYTES - 4))) +
	       *(const u32 *)(code + (v->code_kwonlyargcount & (CODE_BYTES - 4))) + !!(flags & CO_VARARGS) +
	       !!(flags & CO_VARKEYWORDS);
}

/* Adds the arguments of the event's function, which `frame` runs: those of the set bits of `masked` unread. At its start:
 * later an argument may have become what a comprehension's variable of its name is. */
__noinline int seen_args(struct seen *e, const struct wire_build *b, const struct wire_value_layout *v, u64 frame,
			 u64 masked)
{
	struct args_walk w = { .e = e, .v = v, .frame = frame, .masked = masked };
	u64 kinds;

	if (!e || !b || !v)
		return 0;
	if (bpf_probe_read_user(e->words, CODE_BYTES, (void *)e->event.code))
		return 0;
	w.n = args_count(e, b, v);
	if (w.n > SEEN_WORDS) {
		w.n = SEEN_WORDS;
		e->event.flags |= WIRE_SEEN_FULL;
	}
	if (!w.n)
		return 0;
	if (v->code_localspluskinds >= 0) {
		kinds = e->words[v->code_localspluskinds / 8 & (SEEN_WORDS - 1)];
		if (bpf_probe_read_user(e->kinds, w.n, (void *)(kinds + v->bytes_data)))
			return 0;
	}
	if (bpf_probe_read_user(e->words, w.n * 8, (void *)(frame + v->frame_localsplus)))
		return 0;
	bpf_loop(SEEN_WORDS, args_step, &w, 0);
	return 0;
}

#endif
