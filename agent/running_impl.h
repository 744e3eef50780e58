/*
 * running_impl: what running.c and running_scan.c share: the set of codes, vectors of references, and questions to objects that run
 * no code written in Python. Not for others.
 */
#ifndef PYLU_RUNNING_IMPL_H
#define PYLU_RUNNING_IMPL_H

#include <stddef.h>

#include "running.h"

/* Addresses to numbers: open addressing, never more than half full. All zeros is an empty one. */
struct map {
	struct map_entry {
		const void *key; /* NULL: free */
		size_t value;
	} * entries; /* owned */
	size_t room, used;
};

int map__put(struct map *m, const void *key, size_t value); /* a new key; 0 or -ENOMEM */
bool map__get(const struct map *m, const void *key, size_t *value);
void map__free(struct map *m);

/* References. All zeros is an empty one. */
struct refs {
	PyObject **items; /* owned, and the references too */
	size_t count, room;
};

int refs__add(struct refs *r, PyObject *object); /* takes a reference of its own; 0 or -ENOMEM */
void refs__free(struct refs *r);

struct code_entry {
	PyObject *code;	    /* a reference */
	char *name;	    /* owned */
	bool nested;	    /* not a target itself */
	unsigned stamp;	    /* the stack on which it was found last */
	uint64_t functions; /* of this scan */
};

struct running_targets {
	struct code_entry *codes; /* owned */
	size_t count, room;
	struct map by_code; /* index in codes */
	struct map known;   /* functions that a scan does not report */
	struct refs held;   /* the same, as references */
	unsigned stamp;
};

struct code_entry *running__find(const struct running_targets *t, const PyObject *code);

/* A report under way. */
struct report {
	struct running_targets *targets;
	struct msg_out *out;
	unsigned groups, left_out;
	bool too_deep;
};

/* One RUNNING group, or counts it when there are too many. `thread` 0 and `name` NULL: not known. */
void report__put(struct report *r, const char *kind, const char *name, const char *target, int line, uint64_t thread);

/* Calls `found` for each code of the set on the stack that starts with `frame` (borrowed), once per code, with the line of its innermost
 * frame. `found` returns whether to go on. */
struct found {
	bool (*call)(struct found *self, struct code_entry *code, int line);
};
void running__walk(struct running_targets *t, PyObject *frame, struct found *found, bool *too_deep);

/* A function of a C module, `sys` or `gc`, or NULL if there is none or it was replaced. A reference. */
PyObject *running__builtin(const char *module, const char *name);
/* What is bound to a name in a module that is loaded: no import, no __getattr__. Borrowed, or NULL. */
PyObject *running__global(const char *module, const char *name);
/* What stands in an object's own dict, classes not asked. A reference, or NULL. */
PyObject *running__own(PyObject *object, const char *name);
/* An attribute of an object whose exact type is one of the interpreter's own. A reference; NULL also for None. */
PyObject *running__attr(PyObject *object, const char *name);
/* A str as UTF-8, as long as it lives; NULL if it is none. */
const char *running__text(PyObject *object);
/* PyErr_Clear if there is an error. */
void running__calm(void);

/* running_scan.c */
void running__scan(struct report *r);

#endif
