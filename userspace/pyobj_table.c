/*
 * pyobj_table: see pyobj_table.h. Reads code objects and names; where they come from is pyobj_walk.c's business.
 */
#include "pyobj_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 1024
#define FUNCS_MAX 1000000
#define POOL_MAX (UINT64_C(1) << 27)   /* bytes; 28,000 functions have 3 million */
#define REPORT_MAX (UINT64_C(1) << 28) /* bytes: who is told may keep them all */
#define NESTING_MAX 64		       /* of code objects in constants */

struct module {
	uint64_t globals;
	uint32_t name; /* in the pool; 0: unreadable */
	bool listed;
};

void *list__add(struct list *l, size_t size, size_t n)
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

struct entry *table__entry(const struct table *t, uint32_t i)
{
	return (struct entry *)t->entries.items + i;
}

static struct module *module_at(const struct table *t, uint32_t i)
{
	return (struct module *)t->module_list.items + i;
}

static const char *text_at(const struct table *t, uint32_t place)
{
	return place ? (const char *)t->pool.items + place : "";
}

/* Copies a string into the pool. Its place, or 0 for none and for the empty one; *err when memory runs out. */
static uint32_t pool_add(struct table *t, const char *text, int *err)
{
	size_t len = strlen(text) + 1;
	char *to;

	/* Place 0 means none. */
	if (!t->pool.n && !list__add(&t->pool, 1, 1))
		*err = -ENOMEM;
	if (*err || len == 1)
		return 0;
	if (t->pool.n + len > POOL_MAX) {
		t->cut = true;
		return 0;
	}
	to = list__add(&t->pool, 1, len);
	if (!to) {
		*err = -ENOMEM;
		return 0;
	}
	memcpy(to, text, len);
	return (uint32_t)(to - (char *)t->pool.items);
}

/* A str of the target in the pool; 0 when it is none. */
static uint32_t read_text(struct table *t, uint64_t str, int *err)
{
	char text[NAME_MAX_BYTES];

	return !*err && str && !pyobj__str(t->r, str, text, sizeof(text)) ? pool_add(t, text, err) : 0;
}

static uint64_t text_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 0x100000001b3u;
	return hash ? hash : 1;
}

int table__list_module(struct table *t, uint64_t name)
{
	char text[NAME_MAX_BYTES];

	/* Anything may be a key of sys.modules. */
	if (pyobj__str(t->r, name, text, sizeof(text)))
		return 0;
	return addrmap__set(&t->listed, text_hash(text), 1);
}

int64_t table__module(struct table *t, uint64_t globals)
{
	uint32_t index = (uint32_t)t->module_list.n, unused;
	struct module *m;
	uint64_t name;
	int err = addrmap__add(&t->modules, globals, &index);

	if (err < 0)
		return err;
	if (!err)
		return index;
	m = list__add(&t->module_list, sizeof(*m), 1);
	if (!m)
		return -ENOMEM;
	*m = (struct module){ .globals = globals };
	err = 0;
	if (!pyobj__dict_get(t->r, globals, "__name__", &name))
		m->name = read_text(t, name, &err);
	m->listed = m->name && !addrmap__get(&t->listed, text_hash(text_at(t, m->name)), &unused);
	return err ? err : (int64_t)index;
}

int64_t table__code(struct table *t, uint64_t code, uint32_t module)
{
	const struct layout *lay = t->r->lay;
	uint32_t index = (uint32_t)t->entries.n;
	const int32_t fields[] = { lay->code_consts,   lay->code_name,	lay->code_qualname,
				   lay->code_filename, lay->code_flags, lay->code_firstlineno };
	struct pyobj_type type;
	struct entry *e;
	uint8_t buf[LAYOUT_CODE_BYTES];
	int err;

	if (!addrmap__get(&t->codes, code, &index))
		return index;
	if (pyobj__type(t->r, code, &type) || type.kind != KIND_CODE)
		return TABLE_NONE;
	if (t->entries.n >= FUNCS_MAX) {
		t->cut = true;
		return TABLE_NONE;
	}
	if (pyobj__read(t->r, code, buf, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf))))
		return TABLE_NONE;
	err = addrmap__add(&t->codes, code, &index);
	e = err < 0 ? NULL : list__add(&t->entries, sizeof(*e), 1);
	if (!e)
		return -ENOMEM;
	err = 0;
	*e = (struct entry){
		.code = code,
		.module = module,
		.parent = TABLE_NONE,
		.consts = field_u64(buf, lay->code_consts),
		.line = field_u32(buf, lay->code_firstlineno),
		.flags = field_u32(buf, lay->code_flags),
		.co_name = read_text(t, field_u64(buf, lay->code_name), &err),
	};
	if (e->line > INT32_MAX)
		e->line = 0;
	if (lay->code_qualname != OFF_NONE)
		e->co_qualname = read_text(t, field_u64(buf, lay->code_qualname), &err);
	if (addrmap__get(&t->files, field_u64(buf, lay->code_filename), &e->file)) {
		e->file = read_text(t, field_u64(buf, lay->code_filename), &err);
		if (!err && field_u64(buf, lay->code_filename))
			err = addrmap__set(&t->files, field_u64(buf, lay->code_filename), e->file);
	}
	return err ? err : (int64_t)index;
}

static bool is_body(const struct entry *e)
{
	return !(e->flags & (CO_OPTIMIZED | CO_NEWLOCALS));
}

/* Puts the name of an entry together, from the outermost function on. Cut where it is too long. */
static void name_entry(const struct table *t, uint32_t index, char *buf, size_t size)
{
	uint32_t chain[NESTING_MAX];
	const char *name, *glue = "";
	size_t n = 0, used = 0;

	buf[0] = 0;
	for (; index != TABLE_NONE && n < NESTING_MAX; index = table__entry(t, index)->parent) {
		chain[n++] = index;
		if (table__entry(t, index)->co_qualname || table__entry(t, index)->trusted)
			break;
	}
	for (size_t i = n; i-- > 0;) {
		const struct entry *e = table__entry(t, chain[i]);

		name = text_at(t, e->co_qualname ? e->co_qualname : e->co_name);
		if (!e->co_qualname && i == n - 1 && e->func_qualname)
			name = text_at(t, e->func_qualname);
		used += (size_t)snprintf(buf + used, size - used, "%s%s", glue, name);
		if (used >= size)
			break;
		glue = is_body(e) ? "." : ".<locals>.";
	}
}

int table__report(struct table *t, int (*fn)(const struct walk_func *f, void *ctx), void *ctx)
{
	char qualname[NAME_MAX_BYTES];
	uint64_t said = 0;
	int err = 0;

	for (uint32_t i = 0; i < t->entries.n && !err; i++) {
		const struct entry *e = table__entry(t, i);
		const struct module *m = module_at(t, e->module);
		struct walk_func f = {
			.func = { text_at(t, m->name), qualname, text_at(t, e->file), e->line, e->flags, e->code },
			.listed = m->listed,
			.body = is_body(e),
		};

		name_entry(t, i, qualname, sizeof(qualname));
		said += strlen(f.func.module) + strlen(qualname) + strlen(f.func.file);
		if (said > REPORT_MAX) {
			t->cut = true;
			break;
		}
		if (qualname[0])
			err = fn(&f, ctx);
	}
	return err;
}

/* functools.wraps gives the wrapper the wrapped function's __qualname__: its last level is another name then, or there
 * is a `__wrapped__`. */
static bool own_name(const char *qualname, const char *co_name)
{
	size_t n = strlen(qualname), m = strlen(co_name);

	return n >= m && m && !strcmp(qualname + n - m, co_name) && (n == m || qualname[n - m - 1] == '.');
}

int table__set_func_name(struct table *t, uint32_t i, uint64_t qualname, bool wraps)
{
	struct entry *e = table__entry(t, i);
	uint32_t name;
	int err = 0;

	if (t->r->lay->code_qualname != OFF_NONE || e->trusted)
		return 0;
	name = read_text(t, qualname, &err);
	if (name && own_name(text_at(t, name), text_at(t, e->co_name))) {
		e->func_qualname = name;
		e->trusted = !wraps && !strcmp(text_at(t, name), text_at(t, e->co_name));
	}
	return err;
}

void table__clear(struct table *t)
{
	struct addrmap *maps[] = { &t->codes, &t->files, &t->modules, &t->listed };
	struct list *lists[] = { &t->entries, &t->module_list, &t->pool };

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		addrmap__clear(maps[i]);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		free(lists[i]->items);
}
