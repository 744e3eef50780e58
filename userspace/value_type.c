/*
 * value_type: what the types of values are: their names, what they build upon, their slots and fields. Read from the
 * process, since it does not change while a type lives, and kept by the type's address; held against the process again for
 * each event, because another type may come to stand there.
 *
 * Sources: Include/cpython/object.h, Objects/typeobject.c (type_new), Lib/enum.py, Lib/dataclasses.py, Lib/collections.
 */
#include "value_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPES_MAX 4096
#define FIELDS_MAX 1024
/* The bits of tp_flags that stay as they are (Include/object.h). */
#define STABLE_FLAGS (TPFLAGS_INLINE_VALUES | TPFLAGS_MANAGED_DICT | TPFLAGS_HEAPTYPE | TPFLAGS_HAVE_GC | 0xff000000u)

struct type_cache {
	struct pyobj_reader *r;
	uint64_t round;
	struct addrmap index;	   /* address -> index in types */
	struct value_type **types; /* TYPES_MAX; owned, with what they point to */
	size_t n;
};

struct builtin {
	enum type_form form;
	const char *name;
	int kind;   /* enum pyobj_kind, or 0 */
	int object; /* enum pyobj_object otherwise */
};

static const struct builtin builtins[] = {
	{ FORM_BOOL, "bool", 0, PYOBJ_BOOL }, /* before int, upon which it builds */
	{ FORM_INT, "int", KIND_INT, 0 },
	{ FORM_FLOAT, "float", 0, PYOBJ_FLOAT },
	{ FORM_COMPLEX, "complex", 0, PYOBJ_COMPLEX },
	{ FORM_STR, "str", KIND_STR, 0 },
	{ FORM_BYTES, "bytes", 0, PYOBJ_BYTES },
	{ FORM_BYTEARRAY, "bytearray", 0, PYOBJ_BYTEARRAY },
	{ FORM_LIST, "list", KIND_LIST, 0 },
	{ FORM_TUPLE, "tuple", KIND_TUPLE, 0 },
	{ FORM_DICT, "dict", KIND_DICT, 0 },
	{ FORM_SET, "set", 0, PYOBJ_SET },
	{ FORM_FROZENSET, "frozenset", 0, PYOBJ_FROZENSET },
	{ FORM_RANGE, "range", 0, PYOBJ_RANGE },
	{ FORM_SLICE, "slice", 0, PYOBJ_SLICE },
	{ FORM_FUNCTION, "function", KIND_FUNCTION, 0 },
	{ FORM_CFUNCTION, "builtin_function_or_method", KIND_CFUNCTION, 0 },
	{ FORM_METHOD, "method", 0, PYOBJ_METHOD },
	{ FORM_TYPE, "type", KIND_TYPE, 0 },
	{ FORM_MODULE, "module", KIND_MODULE, 0 },
	{ FORM_CELL, "cell", KIND_CELL, 0 },
	{ FORM_OBJECT, "object", 0, PYOBJ_OBJECT },
};

/* Types that are no builtins, and written in C: found by their names, which nobody else's static types have. */
static const struct {
	enum type_form form;
	const char *name;
} by_name[] = {
	{ FORM_DATE, "datetime.date" },		{ FORM_TIME, "datetime.time" },
	{ FORM_DATETIME, "datetime.datetime" }, { FORM_TIMEDELTA, "datetime.timedelta" },
	{ FORM_DECIMAL, "decimal.Decimal" },
};

int type_cache__new(struct pyobj_reader *r, struct type_cache **out)
{
	struct type_cache *c = calloc(1, sizeof(*c));

	*out = c;
	if (c)
		c->types = calloc(TYPES_MAX, sizeof(struct value_type *));
	if (!c || !c->types) {
		free(c);
		*out = NULL;
		return -ENOMEM;
	}
	c->r = r;
	return 0;
}

static void clear_type(struct value_type *type)
{
	struct shared_names *shared = type->shared;

	shared_names__clear(shared);
	for (size_t i = 0; i < type->nslots; i++)
		free(type->slots[i].name);
	for (size_t i = 0; i < type->nfields; i++)
		free(type->fields[i]);
	free(type->slots);
	free(type->fields);
	free(type->name);
	memset(type, 0, sizeof(*type));
	type->shared = shared;
}

static void clear_all(struct type_cache *c)
{
	for (size_t i = 0; i < c->n; i++) {
		clear_type(c->types[i]);
		free(c->types[i]->shared);
		free(c->types[i]);
	}
	c->n = 0;
	addrmap__clear(&c->index);
}

void type_cache__free(struct type_cache *c)
{
	if (!c)
		return;
	clear_all(c);
	free(c->types);
	free(c);
}

void type_cache__begin(struct type_cache *c)
{
	c->round++;
	/* Room for what one value can need: each node of it has one. */
	if (c->n > TYPES_MAX / 2)
		clear_all(c);
}

static const struct builtin *builtin_at(const struct pyobj_reader *r, uint64_t addr)
{
	for (size_t i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++) {
		const struct builtin *b = &builtins[i];

		if (addr && addr == (b->kind ? r->sym.types[b->kind] : r->sym.objects[b->object]))
			return b;
	}
	return NULL;
}

/* A class that is being read: what its bases and itself define. */
struct reading {
	struct pyobj_reader *r;
	struct value_type *type;
	uint64_t module, fields, dataclass; /* values in the dicts, the nearest class's; 0: none */
	int err;
};

static void add_slot(struct reading *g, uint64_t key, uint64_t member)
{
	const struct layout *lay = g->r->lay;
	struct value_type *type = g->type;
	uint64_t def, offset;
	char name[TYPE_NAME_MAX];
	uint32_t kind;

	if (type->nslots >= TYPE_SLOTS_MAX || pyobj__read_u64(g->r, member + (uint64_t)lay->member_def, &def) ||
	    pyobj__read(g->r, def + (uint64_t)lay->member_type, &kind, sizeof(kind)) ||
	    kind != (uint32_t)lay->member_type_object ||
	    pyobj__read_u64(g->r, def + (uint64_t)lay->member_offset, &offset) || offset > INT32_MAX ||
	    pyobj__str(g->r, key, name, sizeof(name)))
		return;
	if (!type->slots)
		type->slots = calloc(TYPE_SLOTS_MAX, sizeof(*type->slots));
	if (!type->slots || !(type->slots[type->nslots].name = strdup(name)))
		g->err = -ENOMEM;
	else
		type->slots[type->nslots++].offset = (int64_t)offset;
}

static int look_at_entry(uint64_t key, uint64_t value, void *ctx)
{
	struct reading *g = ctx;
	struct pyobj_reader *r = g->r;
	uint64_t of;

	if (pyobj__read_u64(r, value + (uint64_t)r->lay->ob_type, &of))
		return 0;
	if (of == r->sym.types[KIND_MEMBER_DESCR])
		add_slot(g, key, value);
	else if (pyobj__str_is(r, key, "__module__"))
		g->module = value;
	else if (pyobj__str_is(r, key, "__dataclass_fields__"))
		g->dataclass = value;
	else if (pyobj__str_is(r, key, "_fields"))
		g->fields = value;
	else if (pyobj__str_is(r, key, "__bool__") || pyobj__str_is(r, key, "__len__"))
		g->type->asks_truth = true;
	return g->err;
}

struct mro {
	uint64_t types[TYPE_MRO_MAX];
	size_t n;
};

static int keep_class(uint64_t item, void *ctx)
{
	struct mro *mro = ctx;

	mro->types[mro->n++] = item;
	return mro->n == TYPE_MRO_MAX;
}

/* From the class itself to its last base. */
static void read_mro(struct pyobj_reader *r, const struct pyobj_type *head, struct mro *mro)
{
	uint64_t tuple;

	mro->n = 0;
	if (!pyobj__read_u64(r, head->addr + (uint64_t)r->lay->type_mro, &tuple) && tuple)
		pyobj__items_each(r, tuple, TYPE_MRO_MAX, keep_class, mro);
	if (!mro->n)
		mro->types[mro->n++] = head->addr;
}

/* The name of a static type: "module.name", or a builtin's. */
static bool read_tp_name(struct pyobj_reader *r, uint64_t type, char *buf, size_t size)
{
	uint64_t name;

	return !pyobj__read_u64(r, type + (uint64_t)r->lay->type_name, &name) && name &&
	       !mem__read_string(r->mem, name, buf, size);
}

/* By the nearest base that is known, unless its kind is told by a flag. */
static void find_form(struct pyobj_reader *r, struct value_type *type, const struct mro *mro)
{
	char name[TYPE_NAME_MAX];

	if (type->head.flags & TPFLAGS_EXCEPTION_SUBCLASS) {
		type->form = FORM_EXCEPTION;
		return;
	}
	for (size_t i = 0; i < mro->n; i++) {
		const struct builtin *b = builtin_at(r, mro->types[i]);
		struct pyobj_type base;

		if (b && (b->form != FORM_OBJECT || i + 1 == mro->n)) {
			type->form = b->form;
			return;
		}
		if (b || pyobj_type__read(r, mro->types[i], &base) || !read_tp_name(r, base.addr, name, sizeof(name)))
			continue;
		for (size_t k = 0; k < sizeof(by_name) / sizeof(by_name[0]); k++) {
			if (!strcmp(name, by_name[k].name) && !type->nslots) {
				type->form = by_name[k].form;
				return;
			}
		}
	}
}

/* Whether a class's own type, or one upon which that builds, is enum's. */
static bool is_enum(struct pyobj_reader *r, uint64_t addr)
{
	char name[TYPE_NAME_MAX];
	uint64_t meta;

	if (pyobj__read_u64(r, addr + (uint64_t)r->lay->ob_type, &meta))
		return false;
	for (int i = 0; i < TYPE_MRO_MAX && meta && meta != r->sym.types[KIND_TYPE]; i++) {
		if (read_tp_name(r, meta, name, sizeof(name)) &&
		    (!strcmp(name, "EnumMeta") || !strcmp(name, "EnumType")))
			return true;
		if (pyobj__read_u64(r, meta + (uint64_t)r->lay->type_base, &meta))
			break;
	}
	return false;
}

static int add_field(struct reading *g, uint64_t name_at)
{
	struct value_type *type = g->type;
	char name[TYPE_NAME_MAX];

	if (type->nfields == FIELDS_MAX || pyobj__str(g->r, name_at, name, sizeof(name)))
		return 1;
	if (!type->fields)
		type->fields = calloc(FIELDS_MAX, sizeof(*type->fields));
	if (!type->fields || !(type->fields[type->nfields] = strdup(name)))
		g->err = -ENOMEM;
	else
		type->nfields++;
	return g->err;
}

static int add_namedtuple_field(uint64_t item, void *ctx)
{
	return add_field(ctx, item);
}

struct slot_search {
	struct pyobj_reader *r;
	const char *name;
	uint64_t offset;
};

static int find_slot(uint64_t key, uint64_t value, void *ctx)
{
	struct slot_search *s = ctx;
	const struct layout *lay = s->r->lay;
	uint64_t def;

	if (!pyobj__str_is(s->r, key, s->name))
		return 0;
	return !pyobj__read_u64(s->r, value + (uint64_t)lay->member_def, &def) &&
	       !pyobj__read_u64(s->r, def + (uint64_t)lay->member_offset, &s->offset);
}

/* A dataclass says field(repr=False) of what is not to be shown. */
static int add_dataclass_field(uint64_t key, uint64_t field, void *ctx)
{
	struct reading *g = ctx;
	struct slot_search search = { g->r, "repr", 0 };
	struct pyobj_type of;
	uint64_t shown;

	if (!pyobj__type(g->r, field, &of) && of.dict && pyobj__dict_each(g->r, of.dict, find_slot, &search) == 1 &&
	    !pyobj__read_u64(g->r, field + search.offset, &shown) && shown == g->r->sym.objects[PYOBJ_FALSE])
		return 0;
	return add_field(g, key);
}

static int read_fields(struct reading *g)
{
	struct value_type *type = g->type;

	if (g->fields && type->form == FORM_TUPLE) {
		pyobj__items_each(g->r, g->fields, FIELDS_MAX, add_namedtuple_field, g);
		type->is_namedtuple = type->nfields != 0;
	} else if (g->dataclass && type->form == FORM_OBJECT) {
		type->is_dataclass = pyobj__dict_each(g->r, g->dataclass, add_dataclass_field, g) == 0;
	}
	return g->err;
}

static int set_name(struct value_type *type, const char *module, const char *qualname)
{
	bool bare = !*module || !strcmp(module, "builtins");
	size_t at = bare ? 0 : strlen(module) + 1, len = at + strlen(qualname) + 1;

	type->name = malloc(len);
	if (!type->name)
		return -ENOMEM;
	snprintf(type->name, len, "%s%s%s", bare ? "" : module, bare ? "" : ".", qualname);
	type->qualname = type->name + at;
	type->last = strrchr(type->qualname, '.');
	type->last = type->last ? type->last + 1 : type->qualname;
	return 0;
}

static int read_name(struct reading *g)
{
	struct pyobj_reader *r = g->r;
	struct value_type *type = g->type;
	char module[TYPE_NAME_MAX] = "", name[TYPE_NAME_MAX] = "?", *dot;
	uint64_t str;

	if (type->head.flags & TPFLAGS_HEAPTYPE) {
		if (g->module)
			pyobj__str(r, g->module, module, sizeof(module));
		if (pyobj__read_u64(r, type->head.addr + (uint64_t)r->lay->heaptype_qualname, &str) ||
		    pyobj__str(r, str, name, sizeof(name)))
			read_tp_name(r, type->head.addr, name, sizeof(name));
		return set_name(type, module, name);
	}
	if (!read_tp_name(r, type->head.addr, name, sizeof(name)))
		return -EINVAL;
	dot = strrchr(name, '.');
	if (!dot)
		return set_name(type, "", name);
	*dot = 0;
	return set_name(type, name, dot + 1);
}

/* The classes' dicts, from the last base to the class itself: what is nearer comes later and counts. */
static int read_classes(struct reading *g, const struct mro *mro)
{
	struct pyobj_type class;

	for (size_t i = mro->n; i-- && !g->err;) {
		uint64_t inherited = g->module;

		g->module = 0;
		if (pyobj_type__read(g->r, mro->types[i], &class))
			continue;
		if (class.flags & TPFLAGS_HEAPTYPE)
			pyobj__dict_each(g->r, class.dict, look_at_entry, g);
		else if (!builtin_at(g->r, class.addr) && !(class.flags & TPFLAGS_EXCEPTION_SUBCLASS))
			g->type->asks_truth = true;
		if (!g->module)
			g->module = inherited;
	}
	return g->err;
}

static int read_all(struct pyobj_reader *r, struct value_type *type)
{
	struct reading g = { .r = r, .type = type };
	struct mro mro;
	int err;

	read_mro(r, &type->head, &mro);
	err = read_classes(&g, &mro);
	if (err)
		return err;
	find_form(r, type, &mro);
	type->is_enum = is_enum(r, type->head.addr);
	err = read_fields(&g);
	return err ? err : read_name(&g);
}

static int read_type(struct type_cache *c, uint64_t addr, struct value_type *type)
{
	const struct builtin *b = builtin_at(c->r, addr);
	bool mine;
	int err;

	if (b) {
		type->exact = true;
		type->form = b->form;
		type->head.addr = addr;
		return set_name(type, "", b->name);
	}
	err = pyobj_cache__begin(c->r, WORK_SMALL_MAX, &mine);
	if (err)
		return err;
	err = pyobj_type__read(c->r, addr, &type->head);
	if (!err)
		err = pyobj__read_u64(c->r, addr + (uint64_t)c->r->lay->type_name, &type->name_at);
	if (!err)
		err = read_all(c->r, type);
	pyobj_cache__end(c->r, mine);
	return err;
}

/* Whether what is kept is still what stands there: one read. A process that is gone cannot say otherwise. */
static bool still_right(struct type_cache *c, const struct value_type *type)
{
	const struct layout *lay = c->r->lay;
	const int32_t fields[] = { lay->type_name, lay->type_flags, lay->type_basicsize,
				   lay->type_base, lay->type_dict,  lay->type_dictoffset };
	uint8_t buf[LAYOUT_TYPE_BYTES];
	int err = pyobj__read(c->r, type->head.addr, buf,
			      fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf)));

	if (err)
		return err == -ESRCH;
	return field_u64(buf, lay->type_name) == type->name_at && field_u64(buf, lay->type_dict) == type->head.dict &&
	       field_u64(buf, lay->type_base) == type->head.base &&
	       (int64_t)field_u64(buf, lay->type_basicsize) == type->head.basicsize &&
	       (int64_t)field_u64(buf, lay->type_dictoffset) == type->head.dictoffset &&
	       ((field_u64(buf, lay->type_flags) ^ type->head.flags) & STABLE_FLAGS) == 0;
}

/* A place for a new type, or NULL. */
static struct value_type *add_type(struct type_cache *c, uint64_t addr)
{
	struct value_type *type = c->n < TYPES_MAX ? calloc(1, sizeof(*type)) : NULL;
	uint32_t index = (uint32_t)c->n;

	if (type)
		type->shared = calloc(1, sizeof(*type->shared));
	if (!type || !type->shared || addrmap__add(&c->index, addr, &index) < 0) {
		free(type ? type->shared : NULL);
		free(type);
		return NULL;
	}
	return c->types[c->n++] = type;
}

const struct value_type *type_cache__get(struct type_cache *c, uint64_t addr)
{
	struct value_type *type;
	uint32_t index;

	if (!addr)
		return NULL;
	if (!addrmap__get(&c->index, addr, &index)) {
		type = c->types[index];
		if (type->exact || type->checked == c->round || (type->name && still_right(c, type))) {
			type->checked = c->round;
			return type->name ? type : NULL;
		}
		clear_type(type);
	} else {
		type = add_type(c, addr);
		if (!type)
			return NULL;
	}
	/* What cannot be read has no name; it is asked for again at the next event. */
	if (read_type(c, addr, type))
		clear_type(type);
	type->head.addr = addr;
	type->checked = c->round;
	return type->name ? type : NULL;
}
