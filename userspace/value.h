/*
 * value: a Python value as it was at an event: decoded from the pieces of memory that the BPF programs copied then, by the
 * layout of its build. What a type is (its name, its slots, the names of shared keys) is read from the live process, since
 * that does not change; everything else comes from the copy alone. Nothing in the target is called.
 */
#ifndef PYLU_VALUE_H
#define PYLU_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct pyobj_reader;
struct redact;
struct wire_limits;

/* The copied pieces of one event; sorted by address, owned by the caller for as long as the snapshot is used. */
struct snapshot;

/* `chunks` is what follows the stack in a wire_event_seen: wire_chunk records of `nbytes` bytes in all. Nothing in it is
 * trusted: lengths are checked. `full`: WIRE_SEEN_FULL. 0 or -ENOMEM or -EINVAL, not reported. */
int snapshot__new(const void *chunks, size_t nbytes, bool full, struct snapshot **out);
void snapshot__free(struct snapshot *s);

struct value;

/* What decoding needs beside the snapshot; lives as long as the session, and caches what it learns of types. */
struct value_decoder;
int value_decoder__new(struct pyobj_reader *reader, const struct wire_limits *limits, const struct redact *redact,
		       struct value_decoder **out);
void value_decoder__free(struct value_decoder *d);

/* The value at `obj`. `status` is enum wire_root_status: what is no value becomes a value that says so. `name` is that of the
 * variable, for masking; NULL: none. Always yields a value unless memory runs out (NULL). */
struct value *value__decode(struct value_decoder *d, const struct snapshot *s, uint64_t obj, int status,
			    const char *name);
/* An exception of which only the class and the argument (0, a tuple of them, or the one) are known: Python up to 3.11 makes it
 * of them when it is caught. */
struct value *value__raised(struct value_decoder *d, const struct snapshot *s, uint64_t type, uint64_t argument);
void value__free(struct value *v);

/* As Python's repr writes it where that is known, cut parts marked; never more than one line. */
int value__text(const struct value *v, FILE *f);

/* For the json output; a new reference, or NULL when memory ran out. */
json_t *value__json(const struct value *v);

/* How many parts of it could not be read. */
size_t value__unreadable(const struct value *v);

/* Whether it is a function, a class or a module: what a program's text defines, rather than its data. */
bool value__is_definition(const struct value *v);

/* For conditions. */
enum value_class {
	VALUE_NONE,
	VALUE_BOOL,
	VALUE_INT, /* that fits into 64 bits */
	VALUE_FLOAT,
	VALUE_STR,     /* whole */
	VALUE_OTHER,   /* known, but none of these; value__truth may be known */
	VALUE_UNKNOWN, /* unreadable, cut, masked */
};
enum value_class value__class(const struct value *v);
int64_t value__int(const struct value *v);		    /* BOOL, INT */
double value__float(const struct value *v);		    /* FLOAT */
const char *value__str(const struct value *v, size_t *len); /* STR, UTF-8 */
int value__truth(const struct value *v);		    /* 1, 0, or -1 unknown */

#endif
