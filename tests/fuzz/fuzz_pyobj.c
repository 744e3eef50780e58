/*
 * fuzz_pyobj: the memory of a process, of which everything that pyobj.h offers is asked. The input: the version (a byte),
 * an object to look at, which is a namespace too (3 bytes: its place), a code object (3 bytes), and the patches (fuzz.h)
 * that make the memory out of pyworld's smallest interpreter, which has types and an empty sys.modules.
 */
#include "fuzz.h"
#include "places.h"
#include "pycode.h"
#include "pyworld.h"

#define ITEMS 1000
#define WORK (1u << 20)

static int use_pair(uint64_t key, uint64_t value, void *ctx)
{
	(void)ctx;
	fuzz_used += key ^ value;
	return 0;
}

static int use_item(uint64_t item, void *ctx)
{
	(void)ctx;
	fuzz_used += item;
	return 0;
}

static int use_function(const struct pyfunc *f, void *ctx)
{
	(void)ctx;
	fuzz_use(f->module, strlen(f->module));
	fuzz_use(f->qualname, strlen(f->qualname));
	fuzz_use(f->file, strlen(f->file));
	fuzz_used += f->line + f->flags + f->code;
	return 0;
}

/* One object, whatever it is. */
static void look_at(struct world *w, uint64_t obj)
{
	struct pyobj_type type;
	uint64_t value;
	int64_t number;
	char text[600];

	if (!mem__read_string(w->mem, obj, text, sizeof(text)))
		fuzz_use(text, strlen(text));
	if (!pyobj__str(w->reader, obj, text, sizeof(text)))
		fuzz_use(text, strlen(text));
	if (!pyobj__str(w->reader, obj, text, 7))
		fuzz_use(text, strlen(text));
	if (!pyobj__int(w->reader, obj, &number))
		fuzz_used += (uint64_t)number;
	if (!pyobj__dict_get(w->reader, obj, "name", &value))
		fuzz_used += value;
	if (!pyobj__attr(w->reader, obj, "name", &value))
		fuzz_used += value;
	pyobj__dict_each(w->reader, obj, use_pair, NULL);
	pyobj__items_each(w->reader, obj, ITEMS, use_item, NULL);
	if (!pyobj__type(w->reader, obj, &type))
		pyobj__attrs_each(w->reader, obj, &type, use_pair, NULL);
}

/* What may be code objects, of what may be namespaces. */
static void look_at_names(struct world *w, uint64_t globals, uint64_t code)
{
	char text[600];

	if (!pyobj__qualname(w->reader, globals, code, text, sizeof(text)))
		fuzz_use(text, strlen(text));
	if (!pyobj__qualname(w->reader, w->modules, code, text, 7))
		fuzz_use(text, strlen(text));
}

/* Its instructions, and what its lines are to places. */
static void look_at_code(struct world *w, uint64_t addr)
{
	struct places_set *set;
	struct pycode *code;

	if (pycode__read(w->reader, addr, &code))
		return;
	fuzz_use(code->name, strlen(code->name));
	if (!places_set__new(code, NULL, 0, true, &set)) {
		fuzz_used += set->nplaces;
		places_set__free(set);
	}
	pycode__free(code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t minor = fuzz_minor(&in);
	uint64_t obj = WORLD_BASE + fuzz_number(&in, 3) % WORLD_SIZE;
	uint64_t code = WORLD_BASE + fuzz_number(&in, 3) % WORLD_SIZE;
	struct world w;
	char name[64];
	bool mine;

	fuzz_begin();
	if (!layout__find(3, minor, false))
		return 0;
	world_open(&w, minor);
	fuzz_patch(&in, WORLD_BASE, w.bytes, WORLD_SIZE, &w.used);
	look_at(&w, obj);
	/* One cache for all that follows, and one bound, lower than the usual ones: inputs should run in no time. */
	if (pyobj_cache__begin(w.reader, WORK, &mine))
		abort();
	look_at_names(&w, obj, code);
	look_at_code(&w, code);
	pyobj_each_function(w.reader, use_function, NULL);
	if (!pyobj__thread_name(w.reader, 1, name, sizeof(name)))
		fuzz_use(name, strlen(name));
	pyobj_cache__end(w.reader, mine);
	world_close(&w);
	return 0;
}
