/*
 * pyobj_walk: finds functions and code objects from the modules on.
 *
 * Owns the search; what was found and how it is called is pyobj_table.c's, what comes of it pyobj_func.c's. The search is wide: modules, classes and their
 * bases, closures, attributes of functions, code objects in constants, and, up to a few steps and in small containers,
 * the data that hangs on these (dispatch tables, partials, decorators written as classes). It stops at bounds, never at
 * the target's word: each object is visited once, and counts and depths are limited.
 */
#include "pyobj_priv.h"
#include "pyobj_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"

#define NAME_MAX_BYTES 1024
#define VISITS_MAX 2000000
#define DATA_MAX 300000 /* objects that are neither code nor classes */
#define DATA_DEPTH 3	/* steps from a module, class or closure into data */
#define DATA_ITEMS 256	/* of one container: a larger one is data, not a table of functions */
#define RAW_BYTES 256	/* of an instance without attributes that we can name: functools.partial and its like */
#define FUNC_BYTES 256	/* of a function, up to the last field that we read */
#define USER_END (1ull << 47)

struct item {
	uint64_t obj;
	uint8_t depth;
};

struct walk {
	struct pyobj_reader *r;
	const struct layout *lay;
	uint64_t only; /* globals of the only module wanted, 0 for all */
	const char *only_name;
	struct table table;
	struct addrmap visited;
	struct list classes; /* struct item: functions, classes, and the small objects that wrap them; a stack */
	struct list data;    /* struct item, a queue */
	size_t data_next;
	size_t entries_next; /* of the table: whose constants were not looked at yet */
};

struct nested {
	struct walk *w;
	uint32_t parent;
};

static int look_at_const(uint64_t obj, void *ctx)
{
	struct nested *n = ctx;
	int64_t index;
	struct entry *e;
	uint64_t type;

	/* Most constants are none, and the type's address alone tells. */
	if (pyobj__read_u64(n->w->r, obj + (uint64_t)n->w->lay->ob_type, &type) ||
	    type != n->w->r->sym.types[KIND_CODE])
		return 0;
	index = table__code(&n->w->table, obj, table__entry(&n->w->table, n->parent)->module);
	if (index < 0 || index == TABLE_NONE)
		return index < 0 ? (int)index : 0;
	e = table__entry(&n->w->table, (uint32_t)index);
	if (e->parent == TABLE_NONE && index != n->parent)
		e->parent = n->parent;
	return 0;
}

/* Only damage of the target's memory ends here: it is not an error, the search goes on elsewhere. */
static int only_ours(int err)
{
	return err == -ENOMEM || err == -ESRCH || err == -EPERM ? err : 0;
}

static int push(struct walk *w, struct list *to, uint64_t obj, unsigned depth)
{
	struct item *item;
	int err;

	if (w->visited.used >= VISITS_MAX) {
		w->table.cut = true;
		return 0;
	}
	err = addrmap__add(&w->visited, obj, NULL);
	if (err <= 0)
		return only_ours(err);
	item = list__add(to, sizeof(*item), 1);
	if (!item)
		return -ENOMEM;
	*item = (struct item){ obj, (uint8_t)depth };
	return 0;
}

/* Notes an object for a visit if it may lead to functions. `depth`: steps through data so far. */
static int look(struct walk *w, uint64_t obj, unsigned depth)
{
	struct pyobj_type type;

	if (!obj || obj % 8 || obj >= USER_END || pyobj__type(w->r, obj, &type))
		return 0;
	switch (type.kind) {
	case KIND_FUNCTION:
	case KIND_CELL:
	case KIND_CLASSMETHOD:
	case KIND_STATICMETHOD:
	case KIND_PROPERTY:
	case KIND_TYPE:
		return push(w, &w->classes, obj, depth);
	case KIND_DICT:
	case KIND_LIST:
	case KIND_TUPLE:
		break;
	case KIND_OTHER:
		if (type.flags & TPFLAGS_HAVE_GC)
			break;
		return 0;
	default:
		return 0;
	}
	return depth < DATA_DEPTH && w->data.n < DATA_MAX ? push(w, &w->data, obj, depth + 1) : 0;
}

struct looker {
	struct walk *w;
	unsigned depth;
	unsigned left; /* entries still to be looked at */
	bool wrapped;  /* a `__wrapped__` was among the keys */
};

static int look_at_item(uint64_t obj, void *ctx)
{
	struct looker *l = ctx;

	return look(l->w, obj, l->depth);
}

static int look_at_value(uint64_t key, uint64_t value, void *ctx)
{
	struct looker *l = ctx;

	(void)key;
	return l->left-- ? look(l->w, value, l->depth) : 1;
}

static int look_at_func_attr(uint64_t key, uint64_t value, void *ctx)
{
	struct looker *l = ctx;

	if (pyobj__str_is(l->w->r, key, "__wrapped__"))
		l->wrapped = true;
	return look_at_value(key, value, ctx);
}

/* What a function holds: its attributes, closure, defaults and what makes its annotations. */
static int look_around_function(struct walk *w, const uint8_t *func, struct looker *l)
{
	const struct layout *lay = w->lay;
	uint64_t attrs = field_u64(func, lay->func_dict), keywords = field_u64(func, lay->func_kwdefaults);
	uint64_t tuples[] = { field_u64(func, lay->func_closure), field_u64(func, lay->func_defaults) };
	int err = attrs ? only_ours(pyobj__dict_each(w->r, attrs, look_at_func_attr, l)) : 0;

	if (!err && keywords)
		err = only_ours(pyobj__dict_each(w->r, keywords, look_at_value, l));
	for (int i = 0; i < 2 && !err; i++) {
		if (tuples[i])
			err = only_ours(pyobj__items_each(w->r, tuples[i], DATA_ITEMS, look_at_item, l));
	}
	if (!err && lay->func_annotate != OFF_NONE)
		err = look(w, field_u64(func, lay->func_annotate), 0);
	return err;
}

static int visit_function(struct walk *w, uint64_t func)
{
	const struct layout *lay = w->lay;
	const int32_t fields[] = { lay->func_code,     lay->func_globals,    lay->func_qualname, lay->func_dict,
				   lay->func_defaults, lay->func_kwdefaults, lay->func_closure,	 lay->func_annotate };
	struct looker l = { w, 0, DATA_ITEMS };
	uint8_t buf[FUNC_BYTES];
	uint64_t globals;
	int64_t module, index;
	int err = pyobj__read(w->r, func, buf, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf)));

	if (err)
		return only_ours(err);
	err = look_around_function(w, buf, &l);
	if (err)
		return err;
	globals = field_u64(buf, lay->func_globals);
	if (w->only && globals != w->only)
		return 0;
	module = globals ? table__module(&w->table, globals) : 0;
	if (module < 0 || !globals)
		return (int)module;
	index = table__code(&w->table, field_u64(buf, lay->func_code), (uint32_t)module);
	if (index < 0 || index == TABLE_NONE)
		return index < 0 ? (int)index : 0;
	return table__set_func_name(&w->table, (uint32_t)index, field_u64(buf, lay->func_qualname), l.wrapped);
}

static int is_own_function(uint64_t key, uint64_t value, void *ctx)
{
	struct walk *w = ctx;
	struct pyobj_type type;
	uint64_t globals;

	(void)key;
	return !pyobj__type(w->r, value, &type) && type.kind == KIND_FUNCTION &&
	       !pyobj__read_u64(w->r, value + (uint64_t)w->lay->func_globals, &globals) && globals == w->only;
}

/* Where one module is wanted, other modules' classes are none of our business. A `__module__` may have been set, or be
 * older than the module's name (importlib._bootstrap): a method of the module tells too. */
static bool of_only_module(struct walk *w, const struct pyobj_type *class)
{
	char name[NAME_MAX_BYTES];
	uint64_t str;

	if (!pyobj__dict_get(w->r, class->dict, "__module__", &str) && !pyobj__str(w->r, str, name, sizeof(name)) &&
	    !strcmp(name, w->only_name))
		return true;
	return pyobj__dict_each(w->r, class->dict, is_own_function, w) == 1;
}

static int visit_class(struct walk *w, uint64_t class)
{
	struct looker l = { w, 0, UINT32_MAX };
	struct pyobj_type type;
	uint64_t meta;
	int err = pyobj_type__read(w->r, class, &type);

	/* What was not made by a class statement has no functions in Python. */
	if (err || !(type.flags & TPFLAGS_HEAPTYPE))
		return only_ours(err);
	if (w->only && !of_only_module(w, &type))
		return 0;
	err = look(w, type.base, 0);
	if (!err && !pyobj__read_u64(w->r, class + (uint64_t)w->lay->ob_type, &meta))
		err = look(w, meta, 0);
	return err ? err : only_ours(pyobj__dict_each(w->r, type.dict, look_at_value, &l));
}

/* Functions among the words of a C struct that we do not know. */
static int look_at_words(struct walk *w, uint64_t obj, const struct pyobj_type *type)
{
	uint64_t words[RAW_BYTES / 8], of_word;
	size_t n = type->basicsize < 16 ? 0 : type->basicsize > RAW_BYTES ? RAW_BYTES / 8 : (size_t)type->basicsize / 8;
	int err = 0;

	if (!n || pyobj__read(w->r, obj, words, n * 8))
		return 0;
	for (size_t i = 2; i < n && !err; i++) {
		if (words[i] % 8 || words[i] < 0x10000 || words[i] >= USER_END)
			continue;
		if (!pyobj__read_u64(w->r, words[i] + (uint64_t)w->lay->ob_type, &of_word) &&
		    of_word == w->r->sym.types[KIND_FUNCTION])
			err = push(w, &w->classes, words[i], 0);
	}
	return err;
}

static int visit_data(struct walk *w, const struct item *item)
{
	struct looker l = { w, item->depth, DATA_ITEMS };
	struct pyobj_type type;
	uint64_t used;
	int err = pyobj__type(w->r, item->obj, &type);

	if (err)
		return only_ours(err);
	switch (type.kind) {
	case KIND_LIST:
	case KIND_TUPLE:
		err = pyobj__items_each(w->r, item->obj, DATA_ITEMS, look_at_item, &l);
		break;
	case KIND_DICT:
		err = pyobj__read_u64(w->r, item->obj + (uint64_t)w->lay->dict_used, &used);
		if (!err && used <= DATA_ITEMS)
			err = pyobj__dict_each(w->r, item->obj, look_at_value, &l);
		break;
	default:
		err = pyobj__attrs_each(w->r, item->obj, &type, look_at_value, &l);
		if (only_ours(err))
			return err;
		err = look_at_words(w, item->obj, &type);
	}
	if (!only_ours(err) && type.flags & TPFLAGS_HEAPTYPE)
		err = look(w, type.addr, 0);
	return only_ours(err);
}

static int visit(struct walk *w, const struct item *item)
{
	const struct layout *lay = w->lay;
	struct pyobj_type type;
	uint64_t refs[3];
	size_t n = 1;
	int32_t at = lay->method_callable;
	int err = pyobj__type(w->r, item->obj, &type);

	if (err)
		return only_ours(err);
	if (type.kind == KIND_FUNCTION)
		return visit_function(w, item->obj);
	if (type.kind == KIND_TYPE)
		return visit_class(w, item->obj);
	if (type.kind == KIND_CELL)
		at = lay->cell_ref;
	if (type.kind == KIND_PROPERTY)
		at = lay->property_get, n = 3;
	err = only_ours(pyobj__read(w->r, item->obj + (uint64_t)at, refs, n * 8));
	for (size_t i = 0; i < n && !err; i++)
		err = look(w, refs[i], item->depth);
	return err;
}

/* Visits all that was noted: code first, so that masses of data cannot crowd it out. */
static int drain(struct walk *w)
{
	struct item item;
	int err = 0;

	while (!err) {
		if (w->classes.n) {
			item = ((struct item *)w->classes.items)[--w->classes.n];
			err = visit(w, &item);
		} else if (w->entries_next < w->table.entries.n) {
			struct nested n = { w, (uint32_t)w->entries_next++ };

			err = only_ours(pyobj__items_each(w->r, table__entry(&w->table, n.parent)->consts,
							  TUPLE_ITEMS_MAX, look_at_const, &n));
		} else if (w->data_next < w->data.n) {
			item = ((struct item *)w->data.items)[w->data_next++];
			err = visit_data(w, &item);
		} else {
			break;
		}
	}
	return err;
}

static int look_at_module(uint64_t name, uint64_t module, void *ctx)
{
	struct walk *w = ctx;
	struct looker l = { w, 0, UINT32_MAX };
	uint64_t dict = pyobj__module_dict(w->r, module);

	(void)name;
	/* Anything may stand in sys.modules: what is no module is looked at as data. */
	if (!dict)
		return look(w, module, 0);
	return only_ours(pyobj__dict_each(w->r, dict, look_at_value, &l));
}

static int list_module(uint64_t name, uint64_t module, void *ctx)
{
	struct walk *w = ctx;

	(void)module;
	return table__list_module(&w->table, name);
}

static int walk_one(struct walk *w)
{
	struct looker l = { w, 0, UINT32_MAX };
	char name[NAME_MAX_BYTES];
	uint64_t str;
	int err = pyobj__dict_get(w->r, w->only, "__name__", &str);

	if (!err)
		err = pyobj__str(w->r, str, name, sizeof(name));
	if (err)
		return err;
	w->only_name = name;
	err = only_ours(pyobj__dict_each(w->r, w->only, look_at_value, &l));
	if (!err)
		err = drain(w);
	w->only_name = NULL;
	return err;
}

int pyobj_walk(struct pyobj_reader *r, uint64_t globals, int (*fn)(const struct walk_func *f, void *ctx), void *ctx)
{
	struct walk w = { .r = r, .lay = r->lay, .table = { .r = r }, .only = globals };
	bool mine;
	int err = pyobj_cache__begin(r, globals ? WORK_SMALL_MAX : WORK_MAX, &mine);

	if (err)
		return err;
	if (globals) {
		err = walk_one(&w);
	} else {
		err = pyobj__modules_each(r, list_module, &w);
		if (!err)
			err = pyobj__modules_each(r, look_at_module, &w);
		if (!err)
			err = drain(&w);
	}
	/* Behind the bound everything is unreadable, which may have ended the search. */
	if (pyobj_cache__spent(r)) {
		w.table.cut = true;
		err = only_ours(err);
	}
	if (!err)
		err = table__report(&w.table, fn, ctx);
	if (w.table.cut)
		diag_warn("there is too much in the memory of the process to look at all of it: functions may be "
			  "missing");
	table__clear(&w.table);
	addrmap__clear(&w.visited);
	free(w.classes.items);
	free(w.data.items);
	pyobj_cache__end(r, mine);
	return err;
}
