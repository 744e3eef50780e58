/*
 * pyobj_walk: finds functions and code objects from the modules on.
 *
 * Owns the search and the naming; what comes of it is pyobj_func.c's. The search is wide: modules, classes and their
 * bases, closures, attributes of functions, code objects in constants, and, up to a few steps and in small containers,
 * the data that hangs on these (dispatch tables, partials, decorators written as classes). It stops at bounds, never at
 * the target's word: each object is visited once, and counts and depths are limited.
 */
#include "pyobj_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 1024
#define VISITS_MAX 2000000
#define FUNCS_MAX 1000000
#define DATA_MAX 300000	 /* objects that are neither code nor classes */
#define DATA_DEPTH 3	 /* steps from a module, class or closure into data */
#define DATA_ITEMS 256	 /* of one container: a larger one is data, not a table of functions */
#define RAW_BYTES 256	 /* of an instance without attributes that we can name: functools.partial and its like */
#define STRUCT_BYTES 256 /* of a function or code object */
#define NESTING_MAX 64	 /* of code objects in constants */
#define NONE UINT32_MAX
#define USER_END (1ull << 47)

struct module {
	uint64_t globals;
	uint32_t name; /* in the pool; 0: unreadable */
	bool listed;
};

/* A code object. Names are places in the pool, 0 for none. */
struct entry {
	uint64_t code, consts;
	uint32_t module, parent; /* indexes, NONE */
	uint32_t co_name, co_qualname, func_qualname, file;
	uint32_t line, flags;
	bool trusted; /* func_qualname is the function's own, not a wrapped one's */
};

struct item {
	uint64_t obj;
	uint8_t depth;
};

struct list {
	void *items;
	size_t n, cap;
};

struct walk {
	struct pyobj_reader *r;
	const struct layout *lay;
	uint64_t only; /* globals of the only module wanted, 0 for all */
	const char *only_name;
	struct addrmap visited, codes, files, modules, listed;
	struct list classes; /* struct item: functions, classes, and the small objects that wrap them; a stack */
	struct list data;    /* struct item, a queue */
	size_t data_next;
	struct list entries;	 /* struct entry */
	struct list module_list; /* struct module */
	struct list pool;	 /* char: strings, each with its NUL */
	size_t entries_next;	 /* whose constants were not looked at yet */
};

static void *list_add(struct list *l, size_t size, size_t n)
{
	void *at;

	if (l->n + n > l->cap) {
		size_t cap = 2 * l->cap + n + 64;
		void *items = realloc(l->items, cap * size);

		if (!items)
			return NULL;
		l->items = items;
		l->cap = cap;
	}
	at = (char *)l->items + l->n * size;
	l->n += n;
	return at;
}

static struct entry *entry_at(struct walk *w, uint32_t i)
{
	return (struct entry *)w->entries.items + i;
}

static struct module *module_at(struct walk *w, uint32_t i)
{
	return (struct module *)w->module_list.items + i;
}

static const char *text_at(const struct walk *w, uint32_t place)
{
	return place ? (const char *)w->pool.items + place : "";
}

/* Copies a string into the pool. Its place, or 0 for none and for the empty one; *err when memory runs out. */
static uint32_t pool_add(struct walk *w, const char *text, int *err)
{
	size_t len = strlen(text) + 1;
	char *to;

	/* Place 0 means none; places are 32 bits wide. */
	if (!w->pool.n && !list_add(&w->pool, 1, 1))
		*err = -ENOMEM;
	if (*err || len == 1 || w->pool.n + len > UINT32_MAX)
		return 0;
	to = list_add(&w->pool, 1, len);
	if (!to) {
		*err = -ENOMEM;
		return 0;
	}
	memcpy(to, text, len);
	return (uint32_t)(to - (char *)w->pool.items);
}

/* A str of the target in the pool; 0 when it is none. */
static uint32_t read_text(struct walk *w, uint64_t str, int *err)
{
	char text[NAME_MAX_BYTES];

	return !*err && str && !pyobj__str(w->r, str, text, sizeof(text)) ? pool_add(w, text, err) : 0;
}

static uint64_t text_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
	return hash ? hash : 1;
}

/* The index of the module with this namespace, added where it is new. Negative when memory runs out. */
static int64_t module_of(struct walk *w, uint64_t globals)
{
	uint32_t index = (uint32_t)w->module_list.n, unused;
	struct module *m;
	uint64_t name;
	int err = addrmap__add(&w->modules, globals, &index);

	if (err < 0)
		return err;
	if (!err)
		return index;
	m = list_add(&w->module_list, sizeof(*m), 1);
	if (!m)
		return -ENOMEM;
	*m = (struct module){ .globals = globals };
	err = 0;
	if (!pyobj__dict_get(w->r, globals, "__name__", &name))
		m->name = read_text(w, name, &err);
	m->listed = m->name && !addrmap__get(&w->listed, text_hash(text_at(w, m->name)), &unused);
	return err ? err : (int64_t)index;
}

/* The index of a code object's entry, added where it is new; NONE when it is none. Negative on failure. */
static int64_t code_entry(struct walk *w, uint64_t code, uint32_t module)
{
	const struct layout *lay = w->lay;
	uint32_t index = (uint32_t)w->entries.n;
	const int32_t fields[] = { lay->code_consts,   lay->code_name,	lay->code_qualname,
				   lay->code_filename, lay->code_flags, lay->code_firstlineno };
	struct pyobj_type type;
	struct entry *e;
	uint8_t buf[STRUCT_BYTES];
	int err;

	if (!addrmap__get(&w->codes, code, &index))
		return index;
	if (pyobj__type(w->r, code, &type) || type.kind != KIND_CODE || w->entries.n >= FUNCS_MAX)
		return NONE;
	if (pyobj__read(w->r, code, buf, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf))))
		return NONE;
	err = addrmap__add(&w->codes, code, &index);
	e = err < 0 ? NULL : list_add(&w->entries, sizeof(*e), 1);
	if (!e)
		return -ENOMEM;
	err = 0;
	*e = (struct entry){
		.code = code,
		.module = module,
		.parent = NONE,
		.consts = field_u64(buf, lay->code_consts),
		.line = field_u32(buf, lay->code_firstlineno),
		.flags = field_u32(buf, lay->code_flags),
		.co_name = read_text(w, field_u64(buf, lay->code_name), &err),
	};
	if (e->line > INT32_MAX)
		e->line = 0;
	if (lay->code_qualname != OFF_NONE)
		e->co_qualname = read_text(w, field_u64(buf, lay->code_qualname), &err);
	if (addrmap__get(&w->files, field_u64(buf, lay->code_filename), &e->file)) {
		e->file = read_text(w, field_u64(buf, lay->code_filename), &err);
		if (!err && field_u64(buf, lay->code_filename))
			err = addrmap__set(&w->files, field_u64(buf, lay->code_filename), e->file);
	}
	return err ? err : (int64_t)index;
}

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
	index = code_entry(n->w, obj, entry_at(n->w, n->parent)->module);
	if (index < 0 || index == NONE)
		return index < 0 ? (int)index : 0;
	e = entry_at(n->w, (uint32_t)index);
	if (e->parent == NONE && index != n->parent)
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
	int err = w->visited.used < VISITS_MAX ? addrmap__add(&w->visited, obj, NULL) : 0;

	if (err <= 0)
		return only_ours(err);
	item = list_add(to, sizeof(*item), 1);
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

/* functools.wraps gives the wrapper the wrapped function's __qualname__: its last level is another name then, or there
 * is a `__wrapped__`. */
static bool own_name(const char *qualname, const char *co_name)
{
	size_t n = strlen(qualname), m = strlen(co_name);

	return n >= m && m && !strcmp(qualname + n - m, co_name) && (n == m || qualname[n - m - 1] == '.');
}

static int visit_function(struct walk *w, uint64_t func)
{
	const struct layout *lay = w->lay;
	const int32_t fields[] = { lay->func_code, lay->func_globals, lay->func_qualname, lay->func_closure,
				   lay->func_dict };
	struct looker l = { w, 0, DATA_ITEMS };
	struct entry *e;
	uint8_t buf[STRUCT_BYTES];
	uint64_t globals;
	int64_t module, index;
	int err = pyobj__read(w->r, func, buf, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf)));

	if (err)
		return only_ours(err);
	if (field_u64(buf, lay->func_dict)) {
		err = only_ours(pyobj__dict_each(w->r, field_u64(buf, lay->func_dict), look_at_func_attr, &l));
		if (err)
			return err;
	}
	if (field_u64(buf, lay->func_closure)) {
		err = only_ours(
			pyobj__items_each(w->r, field_u64(buf, lay->func_closure), DATA_ITEMS, look_at_item, &l));
		if (err)
			return err;
	}
	globals = field_u64(buf, lay->func_globals);
	if (w->only && globals != w->only)
		return 0;
	module = globals ? module_of(w, globals) : 0;
	if (module < 0 || !globals)
		return (int)module;
	index = code_entry(w, field_u64(buf, lay->func_code), (uint32_t)module);
	if (index < 0 || index == NONE)
		return index < 0 ? (int)index : 0;
	e = entry_at(w, (uint32_t)index);
	/* From 3.11 on the code object tells. */
	if (lay->code_qualname == OFF_NONE && !e->trusted) {
		uint32_t name = read_text(w, field_u64(buf, lay->func_qualname), &err);

		if (name && own_name(text_at(w, name), text_at(w, e->co_name))) {
			e->func_qualname = name;
			e->trusted = !l.wrapped;
		}
	}
	return err;
}

static int visit_class(struct walk *w, uint64_t class)
{
	struct looker l = { w, 0, UINT32_MAX };
	struct pyobj_type type;
	uint64_t meta, name;
	int err = pyobj_type__read(w->r, class, &type);

	/* What was not made by a class statement has no functions in Python. */
	if (err || !(type.flags & TPFLAGS_HEAPTYPE))
		return only_ours(err);
	/* Where one module is wanted, other modules' classes are none of our business. */
	if (w->only &&
	    (pyobj__dict_get(w->r, type.dict, "__module__", &name) || !pyobj__str_is(w->r, name, w->only_name)))
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
		} else if (w->entries_next < w->entries.n) {
			struct nested n = { w, (uint32_t)w->entries_next++ };

			err = only_ours(pyobj__items_each(w->r, entry_at(w, n.parent)->consts, TUPLE_ITEMS_MAX,
							  look_at_const, &n));
		} else if (w->data_next < w->data.n) {
			item = ((struct item *)w->data.items)[w->data_next++];
			err = visit_data(w, &item);
		} else {
			break;
		}
	}
	return err;
}

static bool is_body(const struct entry *e)
{
	return !(e->flags & (CO_OPTIMIZED | CO_NEWLOCALS));
}

/* Puts the name of an entry together, from the outermost function on. Cut where it is too long. */
static void name_entry(struct walk *w, uint32_t index, char *buf, size_t size)
{
	uint32_t chain[NESTING_MAX];
	const char *name, *glue = "";
	size_t n = 0, used = 0;

	buf[0] = 0;
	for (; index != NONE && n < NESTING_MAX; index = entry_at(w, index)->parent) {
		chain[n++] = index;
		if (entry_at(w, index)->co_qualname || entry_at(w, index)->trusted)
			break;
	}
	for (size_t i = n; i-- > 0;) {
		const struct entry *e = entry_at(w, chain[i]);

		name = text_at(w, e->co_qualname ? e->co_qualname : e->co_name);
		if (!e->co_qualname && i == n - 1 && e->func_qualname)
			name = text_at(w, e->func_qualname);
		used += (size_t)snprintf(buf + used, size - used, "%s%s", glue, name);
		if (used >= size)
			break;
		glue = is_body(e) ? "." : ".<locals>.";
	}
}

static int report(struct walk *w, int (*fn)(const struct walk_func *f, void *ctx), void *ctx)
{
	char qualname[NAME_MAX_BYTES];
	int err = 0;

	for (uint32_t i = 0; i < w->entries.n && !err; i++) {
		const struct entry *e = entry_at(w, i);
		const struct module *m = module_at(w, e->module);
		struct walk_func f = {
			.func = { text_at(w, m->name), qualname, text_at(w, e->file), e->line, e->flags, e->code },
			.listed = m->listed,
			.body = is_body(e),
		};

		name_entry(w, i, qualname, sizeof(qualname));
		if (qualname[0])
			err = fn(&f, ctx);
	}
	return err;
}

static int note_module_name(uint64_t name, uint64_t module, void *ctx)
{
	struct walk *w = ctx;
	char text[NAME_MAX_BYTES];
	int err = 0;

	(void)module;
	if (!pyobj__str(w->r, name, text, sizeof(text)))
		err = addrmap__set(&w->listed, text_hash(text), 1);
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

static void clear(struct walk *w)
{
	struct addrmap *maps[] = { &w->visited, &w->codes, &w->files, &w->modules, &w->listed };
	struct list *lists[] = { &w->classes, &w->data, &w->entries, &w->module_list, &w->pool };

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		addrmap__clear(maps[i]);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		free(lists[i]->items);
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
	struct walk w = { .r = r, .lay = r->lay, .only = globals };
	bool mine;
	int err = pyobj_cache__begin(r, &mine);

	if (err)
		return err;
	if (globals) {
		err = walk_one(&w);
	} else {
		err = pyobj__modules_each(r, note_module_name, &w);
		if (!err)
			err = pyobj__modules_each(r, look_at_module, &w);
		if (!err)
			err = drain(&w);
	}
	if (!err)
		err = report(&w, fn, ctx);
	clear(&w);
	pyobj_cache__end(r, mine);
	return err;
}
