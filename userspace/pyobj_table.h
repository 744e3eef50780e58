/*
 * pyobj_table: the code objects that a walk found, their modules, and how they are called. For pyobj_walk.c only.
 */
#ifndef PYLU_PYOBJ_TABLE_H
#define PYLU_PYOBJ_TABLE_H

#include "pyobj_priv.h"

#define TABLE_NONE UINT32_MAX

struct list {
	void *items;
	size_t n, cap;
};

/* A code object. Names are places in the pool, 0 for none. */
struct entry {
	uint64_t code, consts;
	uint32_t module, parent; /* indexes, TABLE_NONE */
	uint32_t co_name, co_qualname, func_qualname, file;
	uint32_t line, flags;
	bool trusted; /* func_qualname is right even where another function's constants hold the code object */
};

struct table {
	struct pyobj_reader *r;
	struct addrmap codes, files, modules;
	struct addrmap listed;	 /* hashes of the names in sys.modules */
	struct list entries;	 /* struct entry */
	struct list module_list; /* struct module */
	struct list pool;	 /* char: strings, each with its NUL */
	bool cut;		 /* a bound was reached: something may be missing */
};

/* Adds `n` items of `size` bytes: where they are, or NULL when memory runs out. */
void *list__add(struct list *l, size_t size, size_t n);

/* Valid until the next entry is added. */
struct entry *table__entry(const struct table *t, uint32_t i);

/* Notes that a module of this name (a str) is in sys.modules. To be done before table__module. 0, -ENOMEM. */
int table__list_module(struct table *t, uint64_t name);

/* The index of the module with this namespace, added where it is new. -ENOMEM. */
int64_t table__module(struct table *t, uint64_t globals);

/* The index of a code object's entry, added where it is new; TABLE_NONE when it is none. -ENOMEM. */
int64_t table__code(struct table *t, uint64_t code, uint32_t module);

/*
 * Tells the __qualname__ of a function whose code object entry `i` is. `wraps`: it has a `__wrapped__`. 0, -ENOMEM.
 *
 * From 3.11 on the code object itself tells its name. Before, a function's __qualname__ may have been set: by
 * functools.wraps, by namedtuple for its methods, whose code objects all its classes share. So where the code object was
 * found among another's constants, that one's name and co_name win; but not over a name without levels, which a nested
 * function has when it is declared global.
 */
int table__set_func_name(struct table *t, uint32_t i, uint64_t qualname, bool wraps);

/* Calls fn for each code object, in the order in which they were found, with its name put together. Ends early, and says
 * so in t->cut, where that would be more text than any program's. */
int table__report(struct table *t, int (*fn)(const struct walk_func *f, void *ctx), void *ctx);

void table__clear(struct table *t);

#endif
