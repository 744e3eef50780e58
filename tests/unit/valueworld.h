/*
 * valueworld: pyworld's interpreter with the types of values: numbers, bytes, sets and so on, and some objects of them.
 */
#ifndef PYLU_TESTS_VALUEWORLD_H
#define PYLU_TESTS_VALUEWORLD_H

#include "pyworld.h"

/* tp_basicsize: what a snapshot has of an object besides its items. */
static inline void world_size_types(struct world *w)
{
	const struct layout *lay = w->lay;
	const struct {
		uint64_t type;
		int32_t size;
	} sizes[] = {
		{ w->sym.types[KIND_LIST], lay->list_items + 16 },
		{ w->sym.types[KIND_TUPLE], lay->tuple_items },
		{ w->sym.types[KIND_DICT], lay->dict_values + 8 },
		{ w->sym.types[KIND_INT], lay->long_digits },
		{ w->sym.types[KIND_FUNCTION], 160 },
		{ w->sym.types[KIND_MODULE], lay->module_name + 8 },
		{ w->sym.types[KIND_CFUNCTION], 48 },
		{ w->sym.types[KIND_CELL], lay->cell_ref + 8 },
		{ w->sym.objects[PYOBJ_FLOAT], 24 },
		{ w->sym.objects[PYOBJ_COMPLEX], 32 },
		{ w->sym.objects[PYOBJ_BYTES], lay->bytes_data },
		{ w->sym.objects[PYOBJ_BYTEARRAY], 56 },
		{ w->sym.objects[PYOBJ_SET], 200 },
		{ w->sym.objects[PYOBJ_FROZENSET], 200 },
		{ w->sym.objects[PYOBJ_RANGE], 48 },
		{ w->sym.objects[PYOBJ_SLICE], 40 },
		{ w->sym.objects[PYOBJ_METHOD], 48 },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		world_set(w, sizes[i].type, lay->type_basicsize, (uint64_t)sizes[i].size);
}

static inline void world_open_values(struct world *w, uint8_t minor)
{
	world_open(w, minor);
	for (int i = 0; i < PYOBJ_COUNT; i++) {
		w->sym.objects[i] = i < PYOBJ_BOOL ? world_alloc(w, 16) : world_type(w, TPFLAGS_HAVE_GC, 0);
		w->reader->sym.objects[i] = w->sym.objects[i];
	}
	world_size_types(w);
}

static inline uint64_t world_value(struct world *w, enum pyobj_object type, size_t size)
{
	uint64_t obj = world_alloc(w, size);

	world_set(w, obj, w->lay->ob_type, w->sym.objects[type]);
	return obj;
}

static inline uint64_t world_list(struct world *w, size_t n, const uint64_t *items)
{
	uint64_t list = world_obj(w, KIND_LIST, (size_t)w->lay->list_items + 16), at = world_alloc(w, 8 * n);

	if (n)
		memcpy(world_at(w, at), items, 8 * n);
	world_set(w, list, w->lay->ob_size, n);
	world_set(w, list, w->lay->list_items, at);
	return list;
}

static inline uint64_t world_float(struct world *w, double value)
{
	uint64_t obj = world_value(w, PYOBJ_FLOAT, 24);

	memcpy(world_at(w, obj) + w->lay->float_value, &value, sizeof(value));
	return obj;
}

static inline uint64_t world_bytes(struct world *w, const char *text)
{
	uint64_t obj = world_value(w, PYOBJ_BYTES, (size_t)w->lay->bytes_data + strlen(text) + 1);

	world_set(w, obj, w->lay->ob_size, strlen(text));
	memcpy(world_at(w, obj) + w->lay->bytes_data, text, strlen(text));
	return obj;
}

static inline uint64_t world_set_of(struct world *w, enum pyobj_object type, uint64_t item)
{
	uint64_t obj = world_value(w, type, 200), table = world_alloc(w, 8 * 16);

	world_set(w, obj, w->lay->set_used, 1);
	world_set(w, obj, w->lay->set_mask, 7);
	world_set(w, obj, w->lay->set_table, table);
	world_set(w, table, 32, item);
	return obj;
}

/* A class of its own with a name, that builds on `base` (0: nothing), whose instances have `size` bytes. */
static inline uint64_t world_named_class(struct world *w, const char *name, uint32_t flags, uint64_t base, size_t size)
{
	uint64_t class = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC | flags, base), dict = world_dict(w, 4, 0);

	world_put(w, dict, "__module__", world_str(w, "m"));
	world_set(w, class, w->lay->type_dict, dict);
	world_set(w, class, w->lay->type_basicsize, size);
	world_set(w, class, w->lay->heaptype_qualname, world_str(w, name));
	world_set(w, class, w->lay->type_mro, world_tuple(w, base ? 2 : 1, class, base));
	return class;
}

/* An instance of such a class, with a dict at 16. */
static inline uint64_t world_instance(struct world *w, uint64_t class)
{
	uint64_t obj = world_alloc(w, 32), dict = world_dict(w, 4, 0);

	world_set(w, class, w->lay->type_dictoffset, 16);
	world_set(w, obj, w->lay->ob_type, class);
	world_set(w, obj, 16, dict);
	return obj;
}

/* A slot of a class. */
static inline void world_slot(struct world *w, uint64_t class, const char *name, uint64_t offset)
{
	uint64_t member = world_obj(w, KIND_MEMBER_DESCR, 64), def = world_alloc(w, 48);

	world_set(w, member, w->lay->member_def, def);
	world_set32(w, def, w->lay->member_type, (uint32_t)w->lay->member_type_object);
	world_set(w, def, w->lay->member_offset, offset);
	world_put(w, field_u64(world_at(w, class), w->lay->type_dict), name, member);
}

#endif
