/*
 * pyworld: a small interpreter's memory made by hand, for the tests of pyobj: types, strings, dicts, functions, modules,
 * laid out as a version has them.
 */
#ifndef PYLU_TESTS_PYWORLD_H
#define PYLU_TESTS_PYWORLD_H

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pyobj_priv.h"

#define WORLD_BASE 0x100000u
#ifndef WORLD_SIZE
#define WORLD_SIZE (1u << 20)
#endif

struct world {
	const struct layout *lay;
	uint8_t *bytes;
	size_t used;
	struct pyobj_symbols sym;
	struct mem *mem;
	struct pyobj_reader *reader;
	uint64_t modules; /* the dict sys.modules */
	uint64_t interp;
};

static inline uint64_t world_alloc(struct world *w, size_t size)
{
	uint64_t at = WORLD_BASE + w->used;

	w->used += (size + 15) & ~(size_t)15;
	if (w->used > WORLD_SIZE)
		abort();
	return at;
}

static inline uint8_t *world_at(struct world *w, uint64_t addr)
{
	return w->bytes + (addr - WORLD_BASE);
}

static inline void world_set(struct world *w, uint64_t obj, int32_t offset, uint64_t value)
{
	if (offset != OFF_NONE)
		memcpy(world_at(w, obj) + offset, &value, 8);
}

static inline void world_set32(struct world *w, uint64_t obj, int32_t offset, uint32_t value)
{
	memcpy(world_at(w, obj) + offset, &value, 4);
}

static inline uint64_t world_obj(struct world *w, enum pyobj_kind kind, size_t size)
{
	uint64_t obj = world_alloc(w, size);

	world_set(w, obj, w->lay->ob_type, w->sym.types[kind]);
	return obj;
}

/* Characters of `kind` bytes each; kind 1 is ASCII when `ascii`. */
static inline uint64_t world_chars(struct world *w, const void *chars, size_t n, unsigned kind, int ascii)
{
	const struct layout *lay = w->lay;
	int32_t data = ascii ? lay->unicode_ascii_data : lay->unicode_compact_data;
	uint64_t obj = world_obj(w, KIND_STR, (size_t)data + (n + 1) * kind);

	world_set(w, obj, lay->unicode_length, n);
	world_set32(w, obj, lay->unicode_state,
		    kind << lay->unicode_kind_shift | 1u << lay->unicode_compact_shift |
			    (unsigned)ascii << lay->unicode_ascii_shift);
	memcpy(world_at(w, obj) + data, chars, n * kind);
	return obj;
}

static inline uint64_t world_str(struct world *w, const char *text)
{
	return world_chars(w, text, strlen(text), 1, 1);
}

static inline uint64_t world_tuple(struct world *w, size_t n, ...)
{
	uint64_t obj = world_obj(w, KIND_TUPLE, (size_t)w->lay->tuple_items + 8 * n);
	va_list items;

	world_set(w, obj, w->lay->ob_size, n);
	va_start(items, n);
	for (size_t i = 0; i < n; i++)
		world_set(w, obj, w->lay->tuple_items + (int32_t)(8 * i), va_arg(items, uint64_t));
	va_end(items);
	return obj;
}

/* A keys table of 2^log2 slots with room for its entries; `general`: with hashes, as all are to 3.10. */
static inline uint64_t world_keys(struct world *w, unsigned log2, int general)
{
	const struct layout *lay = w->lay;
	size_t slots = (size_t)1 << log2, index = slots * (slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4);
	uint64_t keys = world_alloc(w, (size_t)lay->keys_indices + index + slots * 24);

	if (lay->keys_size != OFF_NONE) {
		world_set(w, keys, lay->keys_size, slots);
		return keys;
	}
	world_at(w, keys)[lay->keys_log2_size] = (uint8_t)log2;
	world_at(w, keys)[lay->keys_log2_index_bytes] = (uint8_t)__builtin_ctzll(index);
	world_at(w, keys)[lay->keys_kind] = (uint8_t)(general ? lay->keys_kind_general : lay->keys_kind_general + 1);
	return keys;
}

static inline uint64_t world_entries(struct world *w, uint64_t keys)
{
	const struct layout *lay = w->lay;
	uint64_t slots;

	if (lay->keys_size == OFF_NONE)
		return keys + (uint64_t)lay->keys_indices + (1u << world_at(w, keys)[lay->keys_log2_index_bytes]);
	memcpy(&slots, world_at(w, keys) + lay->keys_size, 8);
	return keys + (uint64_t)lay->keys_indices + slots * (slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4);
}

static inline void world_add_entry(struct world *w, uint64_t keys, uint64_t key, uint64_t value)
{
	const struct layout *lay = w->lay;
	int general = lay->keys_kind == OFF_NONE || world_at(w, keys)[lay->keys_kind] == lay->keys_kind_general;
	uint64_t n, entry;

	memcpy(&n, world_at(w, keys) + lay->keys_nentries, 8);
	entry = world_entries(w, keys) + n * (general ? 24 : 16) + (general ? 8 : 0);
	world_set(w, entry, 0, key);
	world_set(w, entry, 8, value);
	world_set(w, keys, lay->keys_nentries, n + 1);
}

/* An empty dict with room for two thirds of 2^log2 entries. */
static inline uint64_t world_dict(struct world *w, unsigned log2, int general)
{
	uint64_t dict = world_obj(w, KIND_DICT, (size_t)w->lay->dict_values + 8);

	world_set(w, dict, w->lay->dict_keys, world_keys(w, log2, general));
	return dict;
}

static inline uint64_t world_dict_keys(struct world *w, uint64_t dict)
{
	return field_u64(world_at(w, dict), w->lay->dict_keys);
}

static inline void world_put(struct world *w, uint64_t dict, const char *key, uint64_t value)
{
	world_add_entry(w, world_dict_keys(w, dict), world_str(w, key), value);
	world_set(w, dict, w->lay->dict_used, field_u64(world_at(w, dict), w->lay->dict_used) + 1);
}

static inline uint64_t world_int(struct world *w, uint32_t value)
{
	uint64_t obj = world_obj(w, KIND_INT, (size_t)w->lay->long_digits + 8);

	if (w->lay->long_tag == OFF_NONE)
		world_set(w, obj, w->lay->ob_size, 1);
	else
		world_set(w, obj, w->lay->long_tag, 1 << 3);
	world_set32(w, obj, w->lay->long_digits, value);
	return obj;
}

static inline uint64_t world_type(struct world *w, uint32_t flags, uint64_t base)
{
	uint64_t type = world_obj(w, KIND_TYPE, (size_t)w->lay->type_size + 16);

	world_set(w, type, w->lay->type_flags, flags);
	world_set(w, type, w->lay->type_base, base);
	world_set(w, type, w->lay->type_basicsize, 16);
	return type;
}

static inline uint64_t world_class(struct world *w)
{
	uint64_t class = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC, 0);

	world_set(w, class, w->lay->type_dict, world_dict(w, 4, 0));
	return class;
}

static inline uint64_t world_class_dict(struct world *w, uint64_t class)
{
	return field_u64(world_at(w, class), w->lay->type_dict);
}

static inline uint64_t world_code(struct world *w, const char *name, const char *qualname, uint32_t flags,
				  uint32_t line, uint64_t consts)
{
	const struct layout *lay = w->lay;
	uint64_t code = world_obj(w, KIND_CODE, 256);

	world_set(w, code, lay->code_name, world_str(w, name));
	world_set(w, code, lay->code_qualname, world_str(w, qualname));
	world_set(w, code, lay->code_filename, world_str(w, "file.py"));
	world_set(w, code, lay->code_consts, consts);
	world_set32(w, code, lay->code_flags, flags);
	world_set32(w, code, lay->code_firstlineno, line);
	return code;
}

static inline uint64_t world_func(struct world *w, uint64_t code, uint64_t globals, const char *qualname)
{
	const struct layout *lay = w->lay;
	uint64_t func = world_obj(w, KIND_FUNCTION, 256);

	world_set(w, func, lay->func_code, code);
	world_set(w, func, lay->func_globals, globals);
	world_set(w, func, lay->func_qualname, world_str(w, qualname));
	return func;
}

/* A module in sys.modules; returns its dict. */
static inline uint64_t world_module(struct world *w, const char *name)
{
	uint64_t dict = world_dict(w, 6, 0), module = world_obj(w, KIND_MODULE, 64);

	world_put(w, dict, "__name__", world_str(w, name));
	world_set(w, module, w->lay->module_dict, dict);
	world_put(w, w->modules, name, module);
	return dict;
}

static inline uint32_t world_type_flags(enum pyobj_kind kind)
{
	switch (kind) {
	case KIND_TYPE:
		return TPFLAGS_TYPE_SUBCLASS | TPFLAGS_HAVE_GC;
	case KIND_STR:
		return TPFLAGS_UNICODE_SUBCLASS;
	case KIND_DICT:
		return TPFLAGS_DICT_SUBCLASS | TPFLAGS_HAVE_GC;
	case KIND_LIST:
		return TPFLAGS_LIST_SUBCLASS | TPFLAGS_HAVE_GC;
	case KIND_TUPLE:
		return TPFLAGS_TUPLE_SUBCLASS | TPFLAGS_HAVE_GC;
	case KIND_INT:
		return TPFLAGS_LONG_SUBCLASS;
	case KIND_CODE:
		return 0;
	default:
		return TPFLAGS_HAVE_GC;
	}
}

static inline void world_open(struct world *w, uint8_t minor)
{
	*w = (struct world){ .lay = layout__find(3, minor, false), .bytes = calloc(1, WORLD_SIZE) };
	if (!w->lay || !w->bytes || mem__open_buffer(WORLD_BASE, w->bytes, WORLD_SIZE, &w->mem))
		abort();
	w->sym.types[KIND_TYPE] = WORLD_BASE; /* the first thing to be made, and its own type */
	for (int i = KIND_OTHER + 1; i < KIND_COUNT; i++)
		w->sym.types[i] = world_type(w, world_type_flags((enum pyobj_kind)i), 0);
	w->sym.runtime = world_alloc(w, (size_t)w->lay->runtime_interp_head + 8);
	w->interp = world_alloc(w, (size_t)w->lay->interp_modules + 8);
	world_set(w, w->sym.runtime, w->lay->runtime_interp_head, w->interp);
	w->modules = world_dict(w, 6, 0);
	world_set(w, w->interp, w->lay->interp_modules, w->modules);
	if (pyobj_reader__new_at(w->mem, w->lay, &w->sym, &w->reader))
		abort();
}

static inline void world_close(struct world *w)
{
	pyobj_reader__free(w->reader);
	mem__close(w->mem);
	free(w->bytes);
}

#endif
