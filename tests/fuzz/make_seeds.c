/*
 * make_seeds: writes inputs for the fuzzers to start from, into a folder for each below the one that is named: small and
 * sound ELF files, programs, process images. All of them are made here; the corpus comes out of them and of what the
 * fuzzers found from there (scripts/fuzz --corpus).
 */
#include "elf_image.h"
#include "fuzz.h"
#include "msg.h"
#include "proto.h"
#include "queue.h"
#include "valueworld.h"

#include <limits.h>
#include <sys/stat.h>

#define SEED_MAX 65536
#define FUNC_FLAGS (CO_OPTIMIZED | CO_NEWLOCALS)

static const char *root;

struct seed {
	uint8_t bytes[SEED_MAX];
	size_t n;
};

static void write_seed(const char *fuzzer, const char *name, unsigned number, const void *bytes, size_t n)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, fuzzer);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/%s/%s-%u", root, fuzzer, name, number);
	f = fopen(path, "wb");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
		perror(path);
		exit(1);
	}
}

static void put(struct seed *seed, const void *bytes, size_t n)
{
	if (n > SEED_MAX - seed->n)
		abort();
	memcpy(seed->bytes + seed->n, bytes, n);
	seed->n += n;
}

static void put_number(struct seed *seed, uint64_t number, size_t bytes)
{
	put(seed, &number, bytes);
}

static void elf_files(void)
{
	static const struct elf_image images[] = {
		{ .minor = 0 },
		{ .minor = 0, .fixed = true, .needed = "libpython3.9.so.1.0", .runpath = "$ORIGIN" },
		{ .minor = 0, .stripped = true, .needed = "libpython3.9.so.1.0", .runpath = "/lib:${ORIGIN}/." },
		{ .minor = 9, .small = true },
		{ .minor = 10, .small = true, .fixed = true, .stripped = true },
		{ .minor = 12, .small = true, .stripped = true },
	};
	static uint8_t bytes[ELF_IMAGE_MAX];

	for (unsigned i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		size_t n = elf_image__make(&images[i], bytes);

		if (images[i].minor == 0)
			write_seed("elf", "image", i, bytes, n);
		write_seed("target_file", "image", i, bytes, n);
	}
}

static void scripts(void)
{
	static const char *const lines[] = {
		"#!python3\n", "#! /usr/bin/env -S A=b python3 -I\n", "#!/bin/sh\n", "#!env\tpython3", "\177ELF",
	};

	for (unsigned i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		write_seed("target_file", "script", i, lines[i], strlen(lines[i]));
}

/* The images as they are, of each version and kind, and with one place overwritten. */
static void site_images(void)
{
	for (uint8_t minor = 8; minor < 16; minor++)
		for (uint8_t kind = 0; kind < 16; kind += minor % 2 ? 3 : 5) {
			struct seed seed = { .n = 0 };

			put_number(&seed, minor - 8, 1);
			put_number(&seed, kind, 1);
			write_seed("site", "image", minor * 100u + kind, seed.bytes, seed.n);
			put_number(&seed, 0x400u + 64u * minor, 3);
			put_number(&seed, 2, 1);
			put(&seed, "\xeb\xfe", 2);
			write_seed("site", "patched", minor * 100u + kind, seed.bytes, seed.n);
		}
}

static void code(void)
{
	static const char *const texts[] = {
		"\xf3\x0f\x1e\xfa\x48\x89\x43\x38\x0f\x84\x10\x00\x00\x00\xff\xe0",
		"\x80\x7b\x45\x00\x75\x10\x55\x41\x57\xe8\x01\x02\x03\x04\xc3\x0f\x0b",
		"\x48\x8b\x43\x18\x49\x89\x47\x18\x48\x89\xc7\xff\xd0\xf2\xff\x25\x01\x02\x03\x04",
		"\xc4\xe2\x79\x18\xc1\x62\xf1\x7c\x48\x58\xc1\x66\x0f\x38\xf0\x06\xf0\x48\x0f\xb1\x0f",
	};

	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		write_seed("insn", "code", i, texts[i], strlen(texts[i]));
}

static void patterns(void)
{
	static const struct {
		const char *text;
		size_t n;
	} seeds[] = {
#define SEED(text) { text, sizeof(text) }
		SEED("shop.views\0C.method\0shop.**"),
		SEED("a.b\0f.<locals>.g\0a.b.f.<locals>.*\0!**.h"),
		SEED("m\0<lambda>\0m.<lambda>\0*.<generic parameters of f>"),
		SEED("m\0f\0m.f?\0m..f\0m.***"),
		SEED("aaaa\0aaab\0*a*a*b.**.*b"),
#undef SEED
	};

	for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		write_seed("pattern", "set", i, seeds[i].text, seeds[i].n - 1);
}

static void conditions(void)
{
	static const struct {
		const char *text;
		size_t n;
	} seeds[] = {
#define SEED(text) { text, sizeof(text) }
		SEED("n > 10 and user.name == \"x\"\0\x80\x81"),
		SEED("not (a or b) and -1 < c <= 0x_1f is not None\0\1\2\3"),
		SEED("a == 'it\\'s\\x41\\u00e9\\101\\n' or b != 1_0.5e-3 or c is True\0\4\7\1"),
		SEED("((((a)))) == b.c.d.e or 9223372036854775807 >= a or not not '' or 1 < 2\0\3\5"),
		SEED("a = 3"),
		SEED("a in b[0] + f(x) && !c"),
#undef SEED
	};

	for (unsigned i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		write_seed("cond", "text", i, seeds[i].text, seeds[i].n - 1);
}

static void maps(void)
{
	static const char text[] =
		"1"
		"55d0c0a00000-55d0c0a6c000 r--p 00000000 08:01 393449                     /usr/bin/python3 (deleted)\n"
		"55d0c0a6c000-55d0c0d1a000 r-xp 0006c000 08:01 393449                     /usr/bin/python3 (deleted)\n"
		"55d0c1f00000-55d0c2000000 rw-p 00000000 00:00 0                          [heap]\n"
		"7f00c0000000-7f00c0200000 r-xp 00000000 fd:00 12                         "
		"/o\\012dd/libpython3.12.so.1.0\n"
		"7f00c1000000-7f00c1001000 r-xp 00000000 00:00 0                          [vdso]\n"
		"7f00c2000000-7f00c2001000 r-xp 00001000 00:2e 9                          /x/pythonic.so\n";

	write_seed("maps", "process", 0, text, sizeof(text) - 1);
	write_seed("maps", "process", 1, text + 1, sizeof(text) - 2);
}

/* --- process images: what is different from the smallest interpreter, as patches --- */

static void put_differences(struct seed *seed, const struct world *w, const struct world *small)
{
	for (size_t at = 0; at < w->used;) {
		uint64_t word = 0;
		size_t n = 0;

		if (w->bytes[at] == small->bytes[at]) {
			at++;
			continue;
		}
		put_number(seed, at, 3);
		memcpy(&word, w->bytes + at, at + 8 <= w->used ? 8 : 0);
		if (at % 8 == 0 && word >= WORLD_BASE && word < WORLD_BASE + WORLD_SIZE && word % 8 == 0) {
			put_number(seed, 0, 1);
			put_number(seed, word - WORLD_BASE, 3);
			at += 8;
			continue;
		}
		while (n < 127 && at + n < w->used && w->bytes[at + n] != small->bytes[at + n])
			n++;
		put_number(seed, n, 1);
		put(seed, w->bytes + at, n);
		at += n;
	}
}

static uint64_t new_func(struct world *w, uint64_t mod, const char *name, uint64_t consts)
{
	return world_func(w, world_code(w, name, name, FUNC_FLAGS, 1, consts), mod, name);
}

/* What fills an image tells what is to be looked at: an object, or a namespace and a code object. */
struct interest {
	uint64_t obj, code;
};

static struct interest functions(struct world *w)
{
	uint64_t mod = world_module(w, "m"), inner = world_code(w, "g", "f.<locals>.g", FUNC_FLAGS, 2, 0);

	world_put(w, mod, "f", new_func(w, mod, "f", world_tuple(w, 1, inner)));
	return (struct interest){ mod, inner };
}

static struct interest classes(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t mod = world_module(w, "m"), class = world_class(w), obj = world_obj(w, KIND_PROPERTY, 64), func;

	world_put(w, mod, "C", class);
	world_set(w, obj, lay->property_get, new_func(w, mod, "C.p", 0));
	world_put(w, world_class_dict(w, class), "p", obj);
	obj = world_obj(w, KIND_STATICMETHOD, 32);
	func = new_func(w, mod, "C.s", 0);
	world_set(w, obj, lay->method_callable, func);
	world_put(w, world_class_dict(w, class), "s", obj);
	world_put(w, world_class_dict(w, class), "__module__", world_str(w, "m"));
	return (struct interest){ mod, field_u64(world_at(w, func), lay->func_code) };
}

static struct interest around(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t mod = world_module(w, "m"), f = new_func(w, mod, "f", 0), cell = world_obj(w, KIND_CELL, 32);
	uint64_t dict = world_dict(w, 3, 1), list = world_obj(w, KIND_LIST, 64), items = world_alloc(w, 16);

	world_put(w, mod, "f", f);
	world_set(w, cell, lay->cell_ref, new_func(w, mod, "g", 0));
	world_set(w, f, lay->func_closure, world_tuple(w, 1, cell));
	world_put(w, dict, "__wrapped__", new_func(w, mod, "h", 0));
	world_set(w, f, lay->func_dict, dict);
	world_set(w, items, 0, new_func(w, mod, "i", 0));
	world_set(w, list, lay->ob_size, 1);
	world_set(w, list, lay->list_items, items);
	world_put(w, mod, "l", list);
	return (struct interest){ list, 0 };
}

/* An instance that keeps its attributes in the way of its version without a dict; the layouts' comments say how. */
static struct interest attributes(struct world *w)
{
	const struct layout *lay = w->lay;
	uint32_t flags = TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC | TPFLAGS_MANAGED_DICT | TPFLAGS_INLINE_VALUES;
	uint64_t mod = world_module(w, "m"), keys = world_keys(w, 3, 0), type = world_type(w, flags, 0);
	uint64_t obj = world_alloc(w, 256) + 64, values = lay->values_valid == OFF_NONE ? world_alloc(w, 64) : obj + 16;

	world_put(w, mod, "o", obj);
	world_add_entry(w, keys, world_str(w, "name"), 0);
	world_set(w, type, lay->heaptype_cached_keys, keys);
	world_set(w, obj, lay->ob_type, type);
	if (lay->dict_values_items != OFF_NONE)
		world_set(w, values, lay->dict_values_items, new_func(w, mod, "f", 0));
	if (lay->values_valid != OFF_NONE)
		world_at(w, values)[lay->values_valid] = 1;
	world_set(w, obj, lay->managed_values, values);
	if (lay->managed_values_bias != OFF_NONE)
		world_set(w, obj, lay->managed_dict, values - (uint64_t)lay->managed_values_bias);
	return (struct interest){ obj, type };
}

static struct interest threads(struct world *w)
{
	uint64_t mod = world_module(w, "threading"), active = world_dict(w, 3, 1), dict = world_dict(w, 3, 0);
	uint64_t type = world_type(w, TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC, 0), thread = world_alloc(w, 64);

	world_put(w, mod, "_active", active);
	world_put(w, dict, "_native_id", world_int(w, 1));
	world_put(w, dict, "_name", world_chars(w, "T\0\xac\x20", 2, 2, 0));
	world_set(w, type, w->lay->type_dictoffset, 32);
	world_set(w, thread, w->lay->ob_type, type);
	world_set(w, thread, 32, dict);
	world_add_entry(w, world_dict_keys(w, active), world_int(w, 1), thread);
	return (struct interest){ thread, mod };
}

/* Values; what fills the image tells which one is looked at. */
static uint64_t containers(struct world *w)
{
	uint64_t dict = world_dict(w, 3, 1), items[6];

	world_put(w, dict, "password", world_int(w, 5));
	world_put(w, dict, "it's", world_float(w, 0.1));
	items[0] = dict;
	items[1] = world_tuple(w, 2, world_bytes(w, "cookie"), w->sym.objects[PYOBJ_NONE]);
	items[2] = world_set_of(w, PYOBJ_SET, world_chars(w, "\xac\x20\0\xd8", 2, 2, 0));
	items[3] = world_set_of(w, PYOBJ_FROZENSET, w->sym.objects[PYOBJ_TRUE]);
	items[4] = world_value(w, PYOBJ_COMPLEX, 32);
	items[5] = w->sym.objects[PYOBJ_ELLIPSIS];
	return world_list(w, 6, items);
}

static uint64_t instances(struct world *w)
{
	uint64_t class = world_named_class(w, "C", 0, 0, 32), obj = world_instance(w, class);
	uint64_t slots = world_named_class(w, "S", 0, 0, 24), with_slot = world_alloc(w, 24), items[2];

	world_put(w, field_u64(world_at(w, obj), 16), "a", world_int(w, 7));
	world_slot(w, slots, "token", 16);
	world_set(w, with_slot, w->lay->ob_type, slots);
	world_set(w, with_slot, 16, world_str(w, "x"));
	items[0] = obj;
	items[1] = with_slot;
	return world_list(w, 2, items);
}

static uint64_t builtin_subclasses(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t named =
		world_named_class(w, "N", TPFLAGS_TUPLE_SUBCLASS, w->sym.types[KIND_TUPLE], (size_t)lay->tuple_items);
	uint64_t tuple = world_tuple(w, 2, world_int(w, 1), world_int(w, 2)), items[3];
	uint64_t error = world_named_class(w, "E", TPFLAGS_EXCEPTION_SUBCLASS, 0, 96), raised = world_alloc(w, 96);

	world_put(w, field_u64(world_at(w, named), lay->type_dict), "_fields",
		  world_tuple(w, 2, world_str(w, "x"), world_str(w, "pin")));
	world_set(w, tuple, lay->ob_type, named);
	world_set(w, raised, lay->ob_type, error);
	world_set(w, raised, lay->exc_args, world_tuple(w, 1, tuple));
	items[0] = tuple;
	items[1] = raised;
	items[2] = named;
	return world_list(w, 3, items);
}

static uint64_t callables(struct world *w)
{
	const struct layout *lay = w->lay;
	uint64_t mod = world_module(w, "m"), func = new_func(w, mod, "f", 0), method = world_value(w, PYOBJ_METHOD, 64);
	uint64_t range = world_value(w, PYOBJ_RANGE, 48), slice = world_value(w, PYOBJ_SLICE, 48), items[4];

	world_set(w, func, lay->func_module, world_str(w, "m"));
	world_set(w, method, lay->method_func, func);
	world_set(w, method, lay->method_self, func);
	for (int i = 0; i < 3; i++) {
		world_set(w, range, lay->range_start + 8 * i, world_int(w, 1));
		world_set(w, slice, lay->slice_start + 8 * i, w->sym.objects[PYOBJ_NONE]);
	}
	items[0] = func;
	items[1] = method;
	items[2] = range;
	items[3] = slice;
	return world_list(w, 4, items);
}

static void snapshots(void)
{
	static uint64_t (*const fill[])(struct world *) = { containers, instances, builtin_subclasses, callables };

	for (uint8_t minor = 8; minor < 16; minor++)
		for (unsigned i = 0; layout__find(3, minor, false) && i < sizeof(fill) / sizeof(fill[0]); i++) {
			struct seed seed = { .n = 0 };
			struct world w, small;

			world_open_values(&w, minor);
			world_open_values(&small, minor);
			put_number(&seed, minor - 8, 1);
			put_number(&seed, fill[i](&w) - WORLD_BASE, 3);
			put_number(&seed, 0x803204, 3); /* depth 4, items 50, chars 128 */
			put_number(&seed, i & 1 ? 128 : 0, 1);
			put_differences(&seed, &w, &small);
			write_seed("value", "snapshot", minor * 10u + i, seed.bytes, seed.n);
			world_close(&w);
			world_close(&small);
		}
}

static void process_images(void)
{
	static struct interest (*const fill[])(struct world *) = { functions, classes, around, attributes, threads };

	for (uint8_t minor = 8; minor < 16; minor++)
		for (unsigned i = 0; layout__find(3, minor, false) && i < sizeof(fill) / sizeof(fill[0]); i++) {
			struct seed seed = { .n = 0 };
			struct world w, small;
			struct interest interest;

			world_open(&w, minor);
			world_open(&small, minor);
			put_number(&seed, minor - 8, 1);
			interest = fill[i](&w);
			put_number(&seed, interest.obj - WORLD_BASE, 3);
			put_number(&seed, interest.code - WORLD_BASE, 3);
			put_differences(&seed, &w, &small);
			write_seed("pyobj", "image", minor * 10u + i, seed.bytes, seed.n);
			world_close(&w);
			world_close(&small);
		}
}

static void messages(void)
{
	struct msg_out m = { 0 };
	size_t group, inner;

	msg__put_u64(&m, PROTO_F_PID, 4711);
	msg__put_str(&m, PROTO_F_TARGET, "shop.Order.total");
	msg__put_bytes(&m, PROTO_F_TOKEN, MSG_BYTES, "0123456789abcdef", 16);
	write_seed("msg", "flat", 0, m.data, m.len);
	group = msg__open(&m, PROTO_F_PATCH);
	inner = msg__open(&m, PROTO_F_CHANGE);
	msg__put_str(&m, PROTO_F_NOTE, "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x8d");
	msg__close(&m, inner);
	msg__put_u64(&m, PROTO_F_ID, 1);
	msg__close(&m, group);
	write_seed("msg", "groups", 0, m.data, m.len);
	msg__free(&m);
}

/* A record as fuzz_ring describes it. */
static void put_ring_record(struct seed *seed, unsigned flags, unsigned size, unsigned total)
{
	static const uint8_t zeros[4096];

	put_number(seed, 1, 1);
	put_number(seed, flags, 1);
	put_number(seed, 7, 1);
	put_number(seed, 2, 1);
	put_number(seed, size, 2);
	put_number(seed, total, 3);
	put(seed, zeros, size);
	if (!(flags & 4))
		put_number(seed, 0xffffff00, 4);
}

static void rings(void)
{
	static const struct {
		uint32_t at;
		unsigned flags, size, total, times;
	} all[] = {
		{ 0, 7, 0, 0, 1 },
		{ 0, 7, 24, 24, 2 },
		{ PROTO_QUEUE_SIZE - 60, 7, 100, 100, 1 },
		{ UINT32_MAX - 20, 7, 50, 150, 3 },
		{ 8, 6, 24, 24, 1 },
		{ 8, 5, 24, 24, 1 },
		{ 8, 3, 24, 24, 1 },
		{ 8, 7, 24, 20, 1 },
		{ 8, 7, 0, 20, 1 },
	};
	struct seed seed;

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		seed.n = 0;
		put_number(&seed, all[i].at, 4);
		put_number(&seed, 0, 4);
		for (unsigned n = 0; n < all[i].times; n++)
			put_ring_record(&seed, all[i].flags, all[i].size, all[i].total);
		put_number(&seed, 6, 1);
		put_number(&seed, 4, 1);
		put_number(&seed, i % 2 ? 0 : UINT32_MAX - 7 * i, 4);
		put_number(&seed, 300000 * i + i, 3);
		put_number(&seed, 6, 1);
		write_seed("ring", "records", i, seed.bytes, seed.n);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_seeds FOLDER\n");
		return 2;
	}
	root = argv[1];
	elf_files();
	scripts();
	site_images();
	code();
	patterns();
	conditions();
	maps();
	process_images();
	snapshots();
	messages();
	rings();
	return 0;
}
