/*
 * pyobj_dict: dicts, the attributes of instances, and what hangs on them: sys.modules and the threads' names.
 *
 * Sources: Objects/dictobject.c and Objects/dict-common.h (to 3.10), Include/internal/pycore_dict.h and
 * pycore_object.h (3.11 on).
 */
#include "pyobj_priv.h"

#include <errno.h>
#include <string.h>

#define CHUNK 4096
#define KEYS_LOG2_MAX 31 /* far more than DICT_ENTRIES_MAX */
#define INTERPRETERS_MAX 1024
#define THREADS_MAX 100000

/* Entries of a keys table, and their values where those are elsewhere. */
struct dict_view {
	uint64_t entries, count;
	unsigned entry_size, key; /* a value follows its key */
	uint64_t values;	  /* 0: in the entries */
};

typedef int (*pair_fn)(uint64_t key, uint64_t value, void *ctx);

/* The table of 3.10 and older, and of 3.11 and newer. `head` holds the struct up to its indices. */
static int open_old_keys(const struct layout *lay, const uint8_t *head, struct dict_view *view, uint64_t *index_bytes,
			 uint64_t *slots)
{
	*slots = field_u64(head, lay->keys_size);
	if (!*slots || *slots & (*slots - 1) || *slots > (uint64_t)1 << KEYS_LOG2_MAX)
		return -EINVAL;
	*index_bytes = *slots * (*slots <= 0xff ? 1 : *slots <= 0xffff ? 2 : 4);
	view->entry_size = 24;
	return 0;
}

static int open_new_keys(const struct layout *lay, const uint8_t *head, struct dict_view *view, uint64_t *index_bytes,
			 uint64_t *slots)
{
	uint8_t log2 = head[lay->keys_log2_size], log2_bytes = head[lay->keys_log2_index_bytes];

	if (log2 > KEYS_LOG2_MAX || log2_bytes > KEYS_LOG2_MAX + 3)
		return -EINVAL;
	*slots = (uint64_t)1 << log2;
	*index_bytes = (uint64_t)1 << log2_bytes;
	view->entry_size = head[lay->keys_kind] == lay->keys_kind_general ? 24 : 16;
	return 0;
}

static int open_keys(struct pyobj_reader *r, uint64_t keys, struct dict_view *view)
{
	const struct layout *lay = r->lay;
	uint64_t index_bytes, slots, usable;
	uint8_t head[64];
	int err = pyobj__read(r, keys, head, (size_t)lay->keys_indices);

	if (err)
		return err;
	if (lay->keys_size != OFF_NONE)
		err = open_old_keys(lay, head, view, &index_bytes, &slots);
	else
		err = open_new_keys(lay, head, view, &index_bytes, &slots);
	if (err)
		return err;
	view->entries = keys + (uint64_t)lay->keys_indices + index_bytes;
	view->key = view->entry_size - 16; /* behind the hash, where there is one */
	view->count = field_u64(head, lay->keys_nentries);
	usable = (slots << 1) / 3;
	if (view->count > usable)
		view->count = usable;
	if (view->count > DICT_ENTRIES_MAX)
		view->count = DICT_ENTRIES_MAX;
	return 0;
}

static int each_pair(struct pyobj_reader *r, const struct dict_view *view, pair_fn fn, void *ctx)
{
	uint8_t entries[CHUNK / 24 * 24];
	uint64_t values[CHUNK / 16];
	size_t chunk = sizeof(entries) / view->entry_size;
	int err = 0;

	for (uint64_t at = 0; at < view->count && !err; at += chunk) {
		size_t n = view->count - at < chunk ? view->count - at : chunk;

		err = pyobj__read(r, view->entries + at * view->entry_size, entries, n * view->entry_size);
		if (!err && view->values)
			err = pyobj__read(r, view->values + at * 8, values, n * 8);
		for (size_t i = 0; i < n && !err; i++) {
			const uint8_t *entry = entries + i * view->entry_size + view->key;
			uint64_t value = view->values ? values[i] : field_u64(entry, 8);

			if (field_u64(entry, 0) && value)
				err = fn(field_u64(entry, 0), value, ctx);
		}
	}
	return err;
}

int pyobj__dict_each(struct pyobj_reader *r, uint64_t dict, int (*fn)(uint64_t key, uint64_t value, void *ctx),
		     void *ctx)
{
	const struct layout *lay = r->lay;
	const int32_t fields[] = { lay->ob_type, lay->dict_keys, lay->dict_values };
	struct dict_view view = { 0 };
	struct pyobj_type type;
	uint8_t head[LAYOUT_OBJECT_BYTES];
	int err = pyobj__read(r, dict, head, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(head)));

	if (err)
		return err;
	if (field_u64(head, lay->ob_type) != r->sym.types[KIND_DICT]) {
		err = pyobj_type__read(r, field_u64(head, lay->ob_type), &type);
		if (err || type.kind != KIND_DICT)
			return err ? err : -EINVAL;
	}
	err = open_keys(r, field_u64(head, lay->dict_keys), &view);
	if (err)
		return err;
	view.values = field_u64(head, lay->dict_values);
	if (view.values)
		view.values += (uint64_t)lay->dict_values_items;
	return each_pair(r, &view, fn, ctx);
}

/* Finds the dict of an instance, or the values behind or beside it. *dict and view->count are 0 where it has none. */
static int find_managed(struct pyobj_reader *r, uint64_t obj, const struct pyobj_type *type, uint64_t *dict,
			struct dict_view *view)
{
	const struct layout *lay = r->lay;
	uint64_t values = 0, keys;
	uint8_t valid;
	int err = pyobj__read_u64(r, obj + (uint64_t)(int64_t)lay->managed_dict, dict);

	if (!err && lay->managed_values != OFF_NONE) {
		err = pyobj__read_u64(r, obj + (uint64_t)(int64_t)lay->managed_values, &values);
	} else if (!err && lay->managed_values_bias != OFF_NONE) {
		values = *dict & 1 ? *dict + (uint64_t)lay->managed_values_bias : 0;
	} else if (!err && lay->values_valid != OFF_NONE && type->flags & TPFLAGS_INLINE_VALUES) {
		values = obj + (uint64_t)type->basicsize;
		err = pyobj__read(r, values + (uint64_t)lay->values_valid, &valid, 1);
		values = valid ? values : 0;
	}
	if (err || !values)
		return err;
	*dict = 0;
	err = pyobj__read_u64(r, type->addr + (uint64_t)lay->heaptype_cached_keys, &keys);
	if (err || !keys)
		return err;
	view->values = values + (uint64_t)lay->dict_values_items;
	return open_keys(r, keys, view);
}

static int find_dict(struct pyobj_reader *r, uint64_t obj, const struct pyobj_type *type, uint64_t *dict)
{
	int64_t offset = type->dictoffset, items = 0;
	int err;

	*dict = 0;
	if (!offset || offset > INT32_MAX || offset < INT32_MIN || type->basicsize < 0 || type->itemsize < 0)
		return 0;
	/* From the end, which is behind the items of an object of variable size (_PyObject_GetDictPtr). */
	if (offset < 0) {
		err = pyobj__read_u64(r, obj + (uint64_t)r->lay->ob_size, (uint64_t *)&items);
		if (err)
			return err;
		if (items > INT32_MAX || items < -INT32_MAX || type->itemsize > INT32_MAX ||
		    type->basicsize > INT32_MAX)
			return 0;
		items = items < 0 ? -items : items;
		offset += (type->basicsize + items * type->itemsize + 7) & ~7LL;
		if (offset <= 0)
			return 0;
	}
	return pyobj__read_u64(r, obj + (uint64_t)offset, dict);
}

int pyobj__attrs_each(struct pyobj_reader *r, uint64_t obj, const struct pyobj_type *type,
		      int (*fn)(uint64_t key, uint64_t value, void *ctx), void *ctx)
{
	struct dict_view view = { 0 };
	uint64_t dict;
	int err;

	if (r->lay->managed_dict != OFF_NONE && type->flags & TPFLAGS_MANAGED_DICT)
		err = find_managed(r, obj, type, &dict, &view);
	else
		err = find_dict(r, obj, type, &dict);
	if (err)
		return err;
	if (dict)
		return pyobj__dict_each(r, dict, fn, ctx);
	return view.values ? each_pair(r, &view, fn, ctx) : 0;
}

struct wanted {
	struct pyobj_reader *r;
	const char *key;
	uint64_t *value;
};

static int compare_key(uint64_t key, uint64_t value, void *ctx)
{
	struct wanted *w = ctx;

	if (!pyobj__str_is(w->r, key, w->key))
		return 0;
	*w->value = value;
	return 1;
}

int pyobj__dict_get(struct pyobj_reader *r, uint64_t dict, const char *key, uint64_t *value)
{
	struct wanted w = { r, key, value };
	int err = pyobj__dict_each(r, dict, compare_key, &w);

	return err == 1 ? 0 : err ? err : -ENOENT;
}

int pyobj__attr(struct pyobj_reader *r, uint64_t obj, const char *name, uint64_t *value)
{
	struct wanted w = { r, name, value };
	struct pyobj_type type;
	int err = pyobj__type(r, obj, &type);

	if (!err)
		err = pyobj__attrs_each(r, obj, &type, compare_key, &w);
	return err == 1 ? 0 : err ? err : -ENOENT;
}

struct modules {
	int (*fn)(uint64_t name, uint64_t module, void *ctx);
	void *ctx;
	uint32_t seen;
};

/* A damaged list of interpreters may lead to the same large dict again and again. */
static int count_module(uint64_t name, uint64_t module, void *ctx)
{
	struct modules *m = ctx;

	return ++m->seen > DICT_ENTRIES_MAX ? -E2BIG : m->fn(name, module, m->ctx);
}

int pyobj__modules_each(struct pyobj_reader *r, int (*fn)(uint64_t name, uint64_t module, void *ctx), void *ctx)
{
	struct modules m = { fn, ctx };
	uint64_t interp, modules;
	int err = pyobj__read_u64(r, r->sym.runtime + (uint64_t)r->lay->runtime_interp_head, &interp);

	for (int i = 0; !err && interp && i < INTERPRETERS_MAX; i++) {
		err = pyobj__read_u64(r, interp + (uint64_t)r->lay->interp_modules, &modules);
		if (!err && modules) /* NULL while an interpreter starts or ends */
			err = pyobj__dict_each(r, modules, count_module, &m);
		if (!err)
			err = pyobj__read_u64(r, interp + (uint64_t)r->lay->interp_next, &interp);
	}
	return err;
}

uint64_t pyobj__module_dict(struct pyobj_reader *r, uint64_t module)
{
	struct pyobj_type type;
	uint64_t dict = 0;
	int err = pyobj__type(r, module, &type);

	if (!err && type.kind == KIND_MODULE)
		err = pyobj__read_u64(r, module + (uint64_t)r->lay->module_dict, &dict);
	return err ? 0 : dict;
}

struct thread_search {
	struct pyobj_reader *r;
	pid_t tid;
	uint64_t name;
	unsigned seen;
};

static int compare_thread(uint64_t ident, uint64_t thread, void *ctx)
{
	struct thread_search *s = ctx;
	uint64_t native;
	int64_t tid;

	(void)ident;
	if (++s->seen > THREADS_MAX)
		return -E2BIG;
	if (pyobj__attr(s->r, thread, "_native_id", &native) || pyobj__int(s->r, native, &tid) || tid != s->tid)
		return 0;
	return pyobj__attr(s->r, thread, "_name", &s->name) ? 0 : 1;
}

static int search_threads(uint64_t name, uint64_t module, void *ctx)
{
	struct thread_search *s = ctx;
	uint64_t active;

	if (!pyobj__str_is(s->r, name, "threading") ||
	    pyobj__dict_get(s->r, pyobj__module_dict(s->r, module), "_active", &active))
		return 0;
	return pyobj__dict_each(s->r, active, compare_thread, s) == 1;
}

int pyobj__thread_name(struct pyobj_reader *r, pid_t tid, char *buf, size_t size)
{
	struct thread_search s = { .r = r, .tid = tid };
	bool mine;
	int err = pyobj_cache__begin(r, WORK_SMALL_MAX, &mine);

	if (err)
		return err;
	err = pyobj__modules_each(r, search_threads, &s) == 1 ? pyobj__str(r, s.name, buf, size) : -ENOENT;
	pyobj_cache__end(r, mine);
	return err ? -ENOENT : 0;
}
