/* test_pyobj: objects made by hand in each version's layout, sound, damaged, cyclic and absurd. */
#include "check.h"
#include "diag.h"
#include "pyworld.h"

#include <errno.h>

#define FUNC_FLAGS (CO_OPTIMIZED | CO_NEWLOCALS)
#define DAMAGES 200 /* worlds with random damage, a version */

static void silent(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

static void strings(struct world *w)
{
	static const uint16_t two[] = { 'a', 0x65e5, 0xd800, 0x20ac };
	static const uint32_t four[] = { 0x1f600, 0x110000, 'z' };
	static const uint8_t latin[] = { 'c', 0xe9 };
	char buf[64];
	uint64_t str = world_str(w, "plain"), sub, far;

	CHECK_EQ(pyobj__str(w->reader, str, buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "plain");
	CHECK_EQ(pyobj__str(w->reader, str, buf, 4), 0);
	CHECK_STR_EQ(buf, "pla");
	CHECK_EQ(pyobj__str(w->reader, str, buf, 1), 0);
	CHECK_STR_EQ(buf, "");
	CHECK_EQ(pyobj__str(w->reader, str, buf, 0), -EINVAL);
	CHECK_EQ(pyobj__str(w->reader, world_str(w, ""), buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "");
	CHECK_EQ(pyobj__str(w->reader, world_chars(w, latin, 2, 1, 0), buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "c\xc3\xa9");
	CHECK_EQ(pyobj__str(w->reader, world_chars(w, two, 4, 2, 0), buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "a\xe6\x97\xa5\xef\xbf\xbd\xe2\x82\xac");
	CHECK_EQ(pyobj__str(w->reader, world_chars(w, four, 3, 4, 0), buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "\xf0\x9f\x98\x80\xef\xbf\xbdz");
	/* Cut between characters, never inside one. */
	CHECK_EQ(pyobj__str(w->reader, world_chars(w, two, 4, 2, 0), buf, 4), 0);
	CHECK_STR_EQ(buf, "a");
	CHECK_EQ(pyobj__str(w->reader, world_chars(w, "a\0b", 3, 1, 1), buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "a\xef\xbf\xbd"
			  "b");
	/* An instance of a subclass keeps its characters elsewhere. */
	sub = world_alloc(w, 128);
	far = world_alloc(w, 16);
	memcpy(world_at(w, far), "far", 3);
	world_set(w, sub, w->lay->ob_type, world_type(w, TPFLAGS_UNICODE_SUBCLASS, w->sym.types[KIND_STR]));
	world_set(w, sub, w->lay->unicode_length, 3);
	world_set32(w, sub, w->lay->unicode_state,
		    1u << w->lay->unicode_kind_shift | 1u << w->lay->unicode_ascii_shift);
	world_set(w, sub, w->lay->unicode_any_data, far);
	CHECK_EQ(pyobj__str(w->reader, sub, buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "far");
	CHECK(pyobj__str_is(w->reader, sub, "far"));
	CHECK(!pyobj__str_is(w->reader, sub, "fat"));
}

static void bad_strings(struct world *w)
{
	const struct layout *lay = w->lay;
	char buf[64];
	uint64_t str = world_str(w, "text");

	CHECK_EQ(pyobj__str(w->reader, world_int(w, 1), buf, sizeof(buf)), -EINVAL);
	CHECK_EQ(pyobj__str(w->reader, 0, buf, sizeof(buf)), -EFAULT);
	CHECK_EQ(pyobj__str(w->reader, UINT64_MAX - 8, buf, sizeof(buf)), -EFAULT);
	CHECK_EQ(pyobj__str(w->reader, WORLD_BASE + WORLD_SIZE - 8, buf, sizeof(buf)), -EFAULT);
	CHECK_STR_EQ(buf, "");
	world_set(w, str, lay->unicode_length, 1ull << 62);
	CHECK_EQ(pyobj__str(w->reader, str, buf, sizeof(buf)), 0); /* what is there, up to the buffer's end */
	CHECK(strlen(buf) > 4 && strlen(buf) < sizeof(buf));
	world_set(w, str, lay->unicode_length, UINT64_MAX);
	CHECK_EQ(pyobj__str(w->reader, str, buf, sizeof(buf)), -EINVAL);
	world_set(w, str, lay->unicode_length, 4);
	world_set32(w, str, lay->unicode_state, 1u << lay->unicode_compact_shift);
	CHECK_EQ(pyobj__str(w->reader, str, buf, sizeof(buf)), -EINVAL);
	world_set(w, str, lay->ob_type, w->sym.types[KIND_STR] + 8);
	CHECK(pyobj__str(w->reader, str, buf, sizeof(buf)) < 0);
}

struct sum {
	uint64_t keys, values;
	unsigned n, stop_at;
};

static int add(uint64_t key, uint64_t value, void *ctx)
{
	struct sum *s = ctx;

	s->keys += key;
	s->values += value;
	return ++s->n == s->stop_at ? 42 : 0;
}

static void dicts(struct world *w)
{
	struct sum s = { 0 };
	uint64_t dict = world_dict(w, 9, 1), unicode = world_dict(w, 9, 0), value, values;

	for (unsigned i = 0; i < 300; i++) {
		char key[16];

		snprintf(key, sizeof(key), "k%u", i);
		world_put(w, unicode, key, 1000 + i);
		world_add_entry(w, world_dict_keys(w, dict), 16 * (i + 1), i % 3 ? 1 : 0); /* a third was deleted */
	}
	CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), 0);
	CHECK_EQ(s.n, 200);
	s = (struct sum){ .stop_at = 7 };
	CHECK_EQ(pyobj__dict_each(w->reader, unicode, add, &s), 42);
	CHECK_EQ(s.n, 7);
	CHECK_EQ(pyobj__dict_get(w->reader, unicode, "k299", &value), 0);
	CHECK_EQ(value, 1299);
	CHECK_EQ(pyobj__dict_get(w->reader, unicode, "k300", &value), -ENOENT);
	CHECK_EQ(pyobj__dict_get(w->reader, world_str(w, "x"), "x", &value), -EINVAL);
	/* Split: the values are apart. */
	values = world_alloc(w, (size_t)w->lay->dict_values_items + 8 * 300);
	world_set(w, values, w->lay->dict_values_items + 8 * 5, 77);
	world_set(w, unicode, w->lay->dict_values, values);
	s = (struct sum){ 0 };
	CHECK_EQ(pyobj__dict_each(w->reader, unicode, add, &s), 0);
	CHECK_EQ(s.n, 1);
	CHECK_EQ(pyobj__dict_get(w->reader, unicode, "k5", &value), 0);
	CHECK_EQ(value, 77);
}

static void bad_dicts(struct world *w)
{
	const struct layout *lay = w->lay;
	struct sum s = { 0 };
	uint64_t dict = world_dict(w, 3, 0), keys = world_dict_keys(w, dict);

	world_put(w, dict, "a", 1);
	world_set(w, keys, lay->keys_nentries, 1ull << 60);
	CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), 0); /* no more than the table can hold */
	CHECK(s.n <= 5);
	world_set(w, keys, lay->keys_nentries, UINT64_MAX);
	CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), 0);
	if (lay->keys_size != OFF_NONE) {
		world_set(w, keys, lay->keys_size, 7);
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EINVAL);
		world_set(w, keys, lay->keys_size, 0);
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EINVAL);
		world_set(w, keys, lay->keys_size, 1ull << 30);
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EFAULT);
	} else {
		world_at(w, keys)[lay->keys_log2_size] = 200;
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EINVAL);
		world_at(w, keys)[lay->keys_log2_size] = 30;
		world_at(w, keys)[lay->keys_log2_index_bytes] = 255;
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EINVAL);
		world_at(w, keys)[lay->keys_log2_index_bytes] = 32;
		CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EFAULT);
	}
	world_set(w, dict, lay->dict_keys, 0);
	CHECK_EQ(pyobj__dict_each(w->reader, dict, add, &s), -EFAULT);
}

/* An instance that keeps its attributes in the way of its version without a dict. */
static uint64_t instance(struct world *w, uint64_t value)
{
	const struct layout *lay = w->lay;
	uint32_t flags = TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC | TPFLAGS_MANAGED_DICT;
	uint64_t keys = world_keys(w, 3, 0), room = world_alloc(w, 256), obj = room + 64, type, values;

	world_add_entry(w, keys, world_str(w, "other"), 0);
	world_add_entry(w, keys, world_str(w, "name"), 0);
	type = world_type(w, flags | (lay->values_valid == OFF_NONE ? 0 : TPFLAGS_INLINE_VALUES), 0);
	world_set(w, type, lay->heaptype_cached_keys, keys);
	world_set(w, obj, lay->ob_type, type);
	values = lay->values_valid == OFF_NONE ? world_alloc(w, 64) : obj + 16;
	world_set(w, values, lay->dict_values_items + 8, value);
	if (lay->values_valid != OFF_NONE)
		world_at(w, values)[lay->values_valid] = 1;
	world_set(w, obj, lay->managed_values, values);
	if (lay->managed_values_bias != OFF_NONE)
		world_set(w, obj, lay->managed_dict, values - (uint64_t)lay->managed_values_bias);
	return obj;
}

static void attributes(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t type = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC, 0), obj = world_alloc(w, 128), value;
	uint64_t dict = world_dict(w, 3, 0);

	world_put(w, dict, "name", 55);
	world_set(w, obj, lay->ob_type, type);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), -ENOENT);
	world_set(w, type, lay->type_dictoffset, 32);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), -ENOENT); /* none yet */
	world_set(w, obj, 32, dict);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), 0);
	CHECK_EQ(value, 55);
	CHECK_EQ(pyobj__attr(w->reader, obj, "nam", &value), -ENOENT);
	/* Behind the items of an object of variable size: 16 + 3 * 8 = 40, and 8 from there back. */
	world_set(w, type, lay->type_itemsize, 8);
	world_set(w, type, lay->type_dictoffset, (uint64_t)-8);
	world_set(w, obj, lay->ob_size, 3);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), 0);
	world_set(w, obj, lay->ob_size, 1ull << 63);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), -ENOENT);
	world_set(w, type, lay->type_itemsize, 1ull << 62);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), -ENOENT);
	if (lay->managed_dict == OFF_NONE)
		return;
	obj = instance(w, 66);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), 0);
	CHECK_EQ(value, 66);
	CHECK_EQ(pyobj__attr(w->reader, obj, "other", &value), -ENOENT);
	/* The same once it has a dict. */
	if (lay->managed_values != OFF_NONE)
		memset(world_at(w, obj) + lay->managed_values, 0, 8);
	if (lay->values_valid != OFF_NONE)
		world_at(w, obj)[16 + lay->values_valid] = 0;
	memcpy(world_at(w, obj) + lay->managed_dict, &dict, 8);
	CHECK_EQ(pyobj__attr(w->reader, obj, "name", &value), 0);
	CHECK_EQ(value, 55);
}

static void ints(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t obj = world_int(w, 123456);
	int64_t value;

	CHECK_EQ(pyobj__int(w->reader, obj, &value), 0);
	CHECK_EQ(value, 123456);
	world_set(w, obj, lay->long_tag == OFF_NONE ? lay->ob_size : lay->long_tag,
		  lay->long_tag == OFF_NONE ? (uint64_t)-1 : (1 << 3 | 2));
	CHECK_EQ(pyobj__int(w->reader, obj, &value), 0);
	CHECK_EQ(value, -123456);
	world_set(w, obj, lay->long_tag == OFF_NONE ? lay->ob_size : lay->long_tag, 1ull << 60);
	CHECK_EQ(pyobj__int(w->reader, obj, &value), -ERANGE);
	CHECK_EQ(pyobj__int(w->reader, w->modules, &value), -EINVAL);
}

static void threads(struct world *w)
{
	uint64_t module = world_module(w, "threading"), active = world_dict(w, 3, 1), dict = world_dict(w, 3, 0);
	uint64_t type = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC, 0), thread = world_alloc(w, 64);
	char buf[32];

	world_put(w, dict, "_native_id", world_int(w, 4711));
	world_put(w, dict, "_name", world_str(w, "Thread-1 (work)"));
	world_set(w, type, w->lay->type_dictoffset, 32);
	world_set(w, thread, w->lay->ob_type, type);
	world_set(w, thread, 32, dict);
	world_add_entry(w, world_dict_keys(w, active), world_int(w, 1), world_int(w, 2)); /* no thread at all */
	world_add_entry(w, world_dict_keys(w, active), world_int(w, 1), thread);
	CHECK_EQ(pyobj__thread_name(w->reader, 4711, buf, sizeof(buf)), -ENOENT);
	world_put(w, module, "_active", active);
	CHECK_EQ(pyobj__thread_name(w->reader, 4711, buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "Thread-1 (work)");
	CHECK_EQ(pyobj__thread_name(w->reader, 4712, buf, sizeof(buf)), -ENOENT);
}

struct found {
	char text[4096];
	unsigned n;
};

static int collect(const struct pyfunc *f, void *ctx)
{
	struct found *found = ctx;
	size_t used = strlen(found->text);

	found->n++;
	snprintf(found->text + used, sizeof(found->text) - used, "%s:%s:%s:%u\n", f->module, f->qualname, f->file,
		 f->line);
	return 0;
}

/*
 * def f(): [class C: def m(self)], g = <lambda> with a closure over h; class K: s = staticmethod(f2), p = property(f3)
 */
static void populate(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t mod = world_module(w, "mod"), other = world_module(w, "other"), class = world_class(w), cell, func,
		 obj;
	uint64_t m = world_code(w, "m", "f.<locals>.C.m", FUNC_FLAGS, 3, world_tuple(w, 0));
	uint64_t body = world_code(w, "C", "f.<locals>.C", 0, 2, world_tuple(w, 2, world_str(w, "C"), m));
	uint64_t f = world_code(w, "f", "f", FUNC_FLAGS, 1, world_tuple(w, 2, world_int(w, 0), body));

	world_put(w, mod, "f", world_func(w, f, mod, "f"));
	world_put(w, other, "f", world_func(w, f, mod, "f"));
	world_put(w, mod, "imported",
		  world_func(w, world_code(w, "theirs", "theirs", FUNC_FLAGS, 9, world_tuple(w, 0)), other, "theirs"));
	/* g closes over h. */
	cell = world_obj(w, KIND_CELL, 32);
	world_set(w, cell, lay->cell_ref,
		  world_func(w, world_code(w, "h", "h", FUNC_FLAGS, 5, world_tuple(w, 0)), mod, "h"));
	func = world_func(w, world_code(w, "<lambda>", "<lambda>", FUNC_FLAGS, 4, world_tuple(w, 0)), mod, "<lambda>");
	world_set(w, func, lay->func_closure, world_tuple(w, 1, cell));
	world_put(w, mod, "g", func);
	world_put(w, mod, "K", class);
	obj = world_obj(w, KIND_STATICMETHOD, 32);
	world_set(w, obj, lay->method_callable,
		  world_func(w, world_code(w, "s", "K.s", FUNC_FLAGS, 6, world_tuple(w, 0)), mod, "K.s"));
	world_put(w, world_class_dict(w, class), "s", obj);
	obj = world_obj(w, KIND_PROPERTY, 64);
	world_set(w, obj, lay->property_get + 8,
		  world_func(w, world_code(w, "p", "K.p", FUNC_FLAGS, 7, world_tuple(w, 0)), mod, "K.p"));
	world_put(w, world_class_dict(w, class), "p", obj);
	/* A function of a namespace that is no module's is not listed. */
	obj = world_dict(w, 3, 0);
	world_put(w, obj, "__name__", world_str(w, "no_module"));
	world_put(w, mod, "stray", world_func(w, world_code(w, "x", "x", FUNC_FLAGS, 8, world_tuple(w, 0)), obj, "x"));
}

static void functions(struct world *w)
{
	struct found found = { 0 };
	char name[64];
	uint64_t mod, module, f, code;

	populate(w);
	CHECK_EQ(pyobj_each_function(w->reader, collect, &found), 0);
	CHECK_EQ(found.n, 7);
	CHECK(strstr(found.text, "mod:f:file.py:1\n"));
	CHECK(strstr(found.text, "mod:f.<locals>.C.m:file.py:3\n"));
	CHECK(strstr(found.text, "mod:<lambda>:file.py:4\n"));
	CHECK(strstr(found.text, "mod:h:file.py:5\n"));
	CHECK(strstr(found.text, "mod:K.s:file.py:6\n"));
	CHECK(strstr(found.text, "mod:K.p:file.py:7\n"));
	CHECK(strstr(found.text, "other:theirs:file.py:9\n"));
	/* One by one. */
	CHECK_EQ(pyobj__dict_get(w->reader, w->modules, "mod", &module), 0);
	mod = pyobj__module_dict(w->reader, module);
	CHECK_EQ(pyobj__dict_get(w->reader, mod, "f", &f), 0);
	code = field_u64(world_at(w, f), w->lay->func_code);
	CHECK_EQ(pyobj__qualname(w->reader, mod, code, name, sizeof(name)), 0);
	CHECK_STR_EQ(name, "f");
	CHECK_EQ(pyobj__qualname(w->reader, mod, world_str(w, "no code"), name, sizeof(name)), -ENOENT);
	if (w->lay->code_qualname != OFF_NONE)
		return;
	/* Another code object at the same address: the name that was kept is not its name. */
	world_set32(w, code, w->lay->code_firstlineno, 77);
	CHECK_EQ(pyobj__qualname(w->reader, mod, code, name, sizeof(name)), -ENOENT);
}

/* Things that lead back to themselves. */
static void cycles(struct world *w)
{
	const struct layout *lay = w->lay;
	struct found found = { 0 };
	uint64_t mod = world_module(w, "mod"), code, func, cell, class = world_class(w), list, items;

	code = world_code(w, "f", "f", FUNC_FLAGS, 1, 0);
	world_set(w, code, lay->code_consts, world_tuple(w, 1, code));
	func = world_func(w, code, mod, "f");
	cell = world_obj(w, KIND_CELL, 32);
	world_set(w, cell, lay->cell_ref, func);
	world_set(w, func, lay->func_closure, world_tuple(w, 2, cell, cell));
	world_put(w, mod, "f", func);
	world_put(w, mod, "self", mod);
	world_set(w, cell, lay->ob_type, w->sym.types[KIND_CELL]);
	world_set(w, class, lay->type_base, class);
	world_put(w, world_class_dict(w, class), "me", class);
	world_put(w, mod, "class", class);
	list = world_obj(w, KIND_LIST, 64);
	items = world_alloc(w, 16);
	world_set(w, items, 0, list);
	world_set(w, items, 8, mod);
	world_set(w, list, lay->ob_size, 2);
	world_set(w, list, lay->list_items, items);
	world_put(w, mod, "list", list);
	world_set(w, w->interp, lay->interp_next, w->interp);
	CHECK_EQ(pyobj_each_function(w->reader, collect, &found), 0);
	CHECK_STR_EQ(found.text, "mod:f:file.py:1\n");
}

/* Sizes that no process can have. */
static void absurd(struct world *w)
{
	const struct layout *lay = w->lay;
	struct found found = { 0 };
	uint64_t mod = world_module(w, "mod"), tuple = world_tuple(w, 1, mod), list = world_obj(w, KIND_LIST, 64), type,
		 obj;

	populate(w);
	world_set(w, tuple, lay->ob_size, 1ull << 61);
	world_put(w, mod, "tuple", tuple);
	world_set(w, list, lay->ob_size, UINT64_MAX);
	world_set(w, list, lay->list_items, UINT64_MAX - 7);
	world_put(w, mod, "list", list);
	type = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC | TPFLAGS_MANAGED_DICT | TPFLAGS_INLINE_VALUES, 0);
	world_set(w, type, lay->type_basicsize, INT64_MAX);
	world_set(w, type, lay->type_itemsize, INT64_MIN);
	world_set(w, type, lay->type_dictoffset, INT64_MIN);
	obj = world_alloc(w, 64);
	world_set(w, obj, lay->ob_type, type);
	world_put(w, mod, "object", obj);
	world_put(w, mod, "odd", 0x1001);
	world_put(w, mod, "far", 0xffffffffffff0000u);
	world_put(w, mod, "consts", world_func(w, world_code(w, "c", "c", FUNC_FLAGS, UINT32_MAX, tuple), mod, "c"));
	CHECK_EQ(pyobj_each_function(w->reader, collect, &found), 0);
	CHECK_EQ(found.n, 8);
	CHECK(strstr(found.text, "mod:c:file.py:0\n"));
}

/* 900 modules that have one dict of 20,000 modules as their namespace, in an interpreter that is its own successor: all
 * counts are bounded, their product is not. */
static uint64_t multiply(struct world *w)
{
	uint64_t dict = world_dict(w, 15, 0), modules = world_dict(w, 11, 0), module = world_obj(w, KIND_MODULE, 64);
	uint64_t name = world_str(w, "threading");

	world_set(w, module, w->lay->module_dict, dict);
	for (int i = 0; i < 20000; i++)
		world_add_entry(w, world_dict_keys(w, dict), name, module);
	for (int i = 0; i < 900; i++)
		world_add_entry(w, world_dict_keys(w, modules), name, module);
	world_set(w, w->interp, w->lay->interp_modules, modules);
	world_set(w, w->interp, w->lay->interp_next, w->interp);
	return dict;
}

static void multiplied(struct world *w)
{
	struct found found = { 0 };
	uint64_t dict = multiply(w);
	char buf[16];
	bool mine;

	diag_set_callback(silent, NULL); /* that functions may be missing */
	/* Bounded further, so that it does not take long. */
	CHECK_EQ(pyobj_cache__begin(w->reader, 100000, &mine), 0);
	CHECK_EQ(pyobj_each_function(w->reader, collect, &found), 0);
	CHECK(pyobj_cache__spent(w->reader));
	CHECK_EQ(pyobj__read(w->reader, WORLD_BASE, buf, 1), -E2BIG);
	CHECK_EQ(pyobj__thread_name(w->reader, 1, buf, sizeof(buf)), -ENOENT);
	pyobj_cache__end(w->reader, mine);
	CHECK_EQ(pyobj__read(w->reader, WORLD_BASE, buf, 1), 0);
	CHECK_EQ(pyobj__qualname(w->reader, dict, dict, buf, sizeof(buf)), -ENOENT);
	CHECK_EQ(pyobj__thread_name(w->reader, 1, buf, sizeof(buf)), -ENOENT);
	CHECK_EQ(found.n, 0);
	diag_set_callback(NULL, NULL);
}

#ifndef __SANITIZE_ADDRESS__
/* The same within the bound that is set for real: some seconds, and ten times as many under the sanitizers. */
static void longest(void)
{
	struct found found = { 0 };
	struct world w;

	world_open(&w, 12);
	multiply(&w);
	CHECK_EQ(pyobj_each_function(w.reader, collect, &found), 0);
	CHECK_EQ(found.n, 0);
	world_close(&w);
}
#endif

/* Random bytes everywhere: nothing may hang, crash, or read outside (which the sanitizers would see). */
static void damaged(uint8_t minor)
{
	unsigned seed = 1, lived = 0;

	for (int round = 0; round < DAMAGES; round++) {
		struct found found = { 0 };
		struct world w;
		char buf[16];

		world_open(&w, minor);
		populate(&w);
		for (int i = 0; i < 1 + round / 4; i++) {
			size_t at = (size_t)rand_r(&seed) % w.used;

			/* Half of the damage is a pointer to somewhere else inside. */
			if (rand_r(&seed) % 2)
				w.bytes[at] = (uint8_t)rand_r(&seed);
			else
				world_set(&w, WORLD_BASE + (at & ~7ull), 0,
					  WORLD_BASE + ((uint64_t)rand_r(&seed) % w.used & ~7ull));
		}
		lived += !pyobj_each_function(w.reader, collect, &found);
		pyobj__thread_name(w.reader, 1, buf, sizeof(buf));
		pyobj__qualname(w.reader, w.modules, w.interp, buf, sizeof(buf));
		world_close(&w);
	}
	CHECK(lived > 0);
}

int main(void)
{
	static void (*const tests[])(struct world *) = {
		strings, bad_strings, dicts,  bad_dicts, attributes, ints,
		threads, functions,   cycles, absurd,	 multiplied,
	};

	check_processor_seconds(100); /* a hang is a failure */
	for (uint8_t minor = 8; minor <= 15; minor++) {
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
			unsigned failed = check_failed;
			struct world w;

			world_open(&w, minor);
			tests[i](&w);
			world_close(&w);
			if (check_failed != failed)
				fprintf(stderr, "... in the layout of 3.%d\n", minor);
		}
		diag_set_callback(silent, NULL);
		damaged(minor);
		diag_set_callback(NULL, NULL);
	}
#ifndef __SANITIZE_ADDRESS__
	diag_set_callback(silent, NULL);
	longest();
#endif
	return check_done();
}
