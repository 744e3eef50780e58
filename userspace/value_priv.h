/*
 * value_priv: what value_*.c share: the tree of a decoded value, types, and reading in a snapshot. Not for anybody else.
 */
#ifndef PYLU_VALUE_PRIV_H
#define PYLU_VALUE_PRIV_H

#include "addrmap.h"
#include "diag.h"
#include "layout.h"
#include "pyobj_priv.h"
#include "redact.h"
#include "skel.h"
#include "snapshot.h"
#include "value.h"

#define VALUE_DEPTH_MAX 32 /* whatever the limits say: decoding and writing recurse */
#define VALUE_NODES_MAX 8192
#define VALUE_TEXT_MAX WIRE_SNAP_BYTES
#define TYPE_NAME_MAX 512
#define TYPE_MRO_MAX 64
#define TYPE_SLOTS_MAX 256

/* X(kind, "type" in the json output where the value has no type of its own). */
#define VALUE_KINDS(X)                                                                      \
	X(NONE, "NoneType")                                                                 \
	X(BOOL, "bool")                                                                     \
	X(INT, "int")                                                                       \
	X(FLOAT, "float")                                                                   \
	X(COMPLEX, "complex")                                                               \
	X(STR, "str")                                                                       \
	X(BYTES, "bytes")                                                                   \
	X(BYTEARRAY, "bytearray")                                                           \
	X(LIST, "list")                                                                     \
	X(TUPLE, "tuple")                                                                   \
	X(DICT, "dict")                                                                     \
	X(SET, "set")                                                                       \
	X(FROZENSET, "frozenset")                                                           \
	X(CALL, "")	    /* type(item, name=item): dataclasses, exceptions, range ... */ \
	X(OBJECT, "object") /* <type name=item> */                                          \
	X(ENUM, "")	    /* <type.text: item> */                                         \
	X(METHOD, "method") /* <bound method text of item> */                               \
	X(CELL, "cell")	    /* <cell: item> */                                              \
	X(WORD, "")	    /* text, as it is */                                            \
	X(MASKED, "")                                                                       \
	X(UNBOUND, "")                                                                      \
	X(MISSING, "")                                                                      \
	X(UNREADABLE, "")                                                                   \
	X(CUT, "")

enum value_kind {
#define VALUE_KIND(kind, type) V_##kind,
	VALUE_KINDS(VALUE_KIND)
#undef VALUE_KIND
};

/* Of a container, with its key (a dict's) or its name (of an attribute or an argument). */
struct value_item {
	struct value *key, *value;
	const char *name;
};

struct value {
	enum value_kind kind;
	bool cut;	   /* STR, BYTES, INT: text is not all of it; of a container: not all items are here */
	bool again;	   /* it stands in itself */
	bool surrogates;   /* STR: text has such, encoded as if they were characters */
	bool fits;	   /* INT: into `number` */
	bool negative;	   /* INT */
	bool about;	   /* INT that is cut: it has no more bits than `total`, maybe fewer */
	bool is_plain_too; /* ENUM: its value is the int or str that it is */
	signed char truth; /* 1, 0, -1 unknown */
	const char *type;  /* "m.Q", where it is no builtin's own */
	const char *shown; /* the part of `type` that is shown, in what Python shows in short */
	const char *text;
	size_t len;	/* of text */
	uint64_t total; /* items; characters, bytes; INT that is cut: bits */
	int64_t number;
	double real, imag;
	struct value_item *items;
	size_t nitems;
	struct value_block *blocks; /* of the root: the memory of all of them */
};

/* What is built upon what. */
enum type_form {
	FORM_OBJECT,
	FORM_NONE,
	FORM_ELLIPSIS,
	FORM_NOT_IMPLEMENTED,
	FORM_BOOL,
	FORM_INT,
	FORM_FLOAT,
	FORM_COMPLEX,
	FORM_STR,
	FORM_BYTES,
	FORM_BYTEARRAY,
	FORM_LIST,
	FORM_TUPLE,
	FORM_DICT,
	FORM_SET,
	FORM_FROZENSET,
	FORM_RANGE,
	FORM_SLICE,
	FORM_FUNCTION,
	FORM_CFUNCTION,
	FORM_METHOD,
	FORM_TYPE,
	FORM_MODULE,
	FORM_CELL,
	FORM_EXCEPTION,
	FORM_DATE,
	FORM_TIME,
	FORM_DATETIME,
	FORM_TIMEDELTA,
	FORM_DECIMAL,
};

/* The names of the attributes that a type's instances have values for, from 3.11 on; see value_keys.c. */
struct shared_names {
	uint64_t keys, count; /* the table, and how many entries it had */
	uint64_t checked;     /* as in struct value_type */
	char **names;	      /* owned; NULL: one that could not be read */
};

struct type_slot {
	char *name;
	int64_t offset;
};

/* What is kept of a type. */
struct value_type {
	struct pyobj_type head;
	uint64_t name_at; /* tp_name: another type at the same address has another one */
	uint64_t checked; /* the decoding for which it was last held against the process */
	enum type_form form;
	bool exact; /* the builtin type of that form itself */
	bool is_enum, is_dataclass, is_namedtuple;
	bool asks_truth;	     /* it may have a __bool__ or __len__ that we would have to call */
	char *name;		     /* "m.Q"; a builtin's without module */
	const char *qualname, *last; /* "Q.R" and "R", in it */
	struct type_slot *slots;
	size_t nslots;
	struct shared_names *shared; /* owned */
	char **fields;		     /* of a dataclass or a namedtuple, in order */
	size_t nfields;
};

struct type_cache;
int type_cache__new(struct pyobj_reader *r, struct type_cache **out);
void type_cache__free(struct type_cache *c);
/* From here on the types that are asked for are held against the process once more. Those got before may be gone. */
void type_cache__begin(struct type_cache *c);
/* The type at `addr`, until the next begin; NULL when there is none, or no memory. */
const struct value_type *type_cache__get(struct type_cache *c, uint64_t addr);

struct value_decoder {
	struct pyobj_reader *reader;
	const struct redact *redact;
	struct wire_limits limits;
	struct type_cache *types;
};

/* One value that is being decoded. Whatever runs out of memory sets `failed` and goes on with what is harmless. */
struct decoding {
	struct value_decoder *d;
	const struct layout *lay;
	const struct snapshot *s;
	struct value_block *blocks;
	bool failed;
	size_t nodes;
	uint64_t path[VALUE_DEPTH_MAX + 4]; /* the objects around the one that is decoded */
	unsigned depth;
	bool shallow; /* as if it were the last level */
};

/* value.c */
void *decoding__alloc(struct decoding *g, size_t size); /* zeroed; freed with the value; NULL: no memory */
char *decoding__printf(struct decoding *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
struct value *decoding__value(struct decoding *g, enum value_kind kind);
struct value *decoding__missing(struct decoding *g, uint64_t addr); /* that should stand there */
/* Whether the object that is decoded lies as deep as the limit: what is in it is not shown. */
bool decoding__too_deep(const struct decoding *g);
bool decoding__room(const struct decoding *g); /* for another node */
void decoding__name_type(struct decoding *g, struct value *v, const struct value_type *type, const char *shown);
bool decoding__masks(const struct decoding *g, const char *name);
/* The object at `obj`, one level further down. NULL is never returned. */
struct value *decoding__object(struct decoding *g, uint64_t obj);

/* Fields of what lies at `obj` in the snapshot: false where they are not there. */
bool peek(const struct decoding *g, uint64_t obj, int64_t offset, void *buf, size_t len);
bool peek_u64(const struct decoding *g, uint64_t obj, int64_t offset, uint64_t *out);
const struct value_type *peek_type(const struct decoding *g, uint64_t obj);

/* value_scalar.c */
struct str_text {
	char *text; /* UTF-8, surrogates among it as if they were characters */
	size_t len;
	uint64_t total; /* characters */
	bool cut, surrogates;
};
/* A str, as far as it is there and within the limits. False: it is none, or nothing of it is there. */
bool decode_str_text(struct decoding *g, uint64_t obj, struct str_text *out);
/* What does not change while an object lives: a name; from the snapshot, else from the process. NULL: unknown. */
const char *decode_name(struct decoding *g, uint64_t obj);
struct value *decode_scalar(struct decoding *g, uint64_t obj, const struct value_type *type);

/* value_container.c */
struct value *decode_sequence(struct decoding *g, uint64_t obj, const struct value_type *type);
struct value *decode_dict(struct decoding *g, uint64_t obj, const struct value_type *type);
struct value *decode_set(struct decoding *g, uint64_t obj, const struct value_type *type);
/* Puts items of a tuple at `obj` into `v`, which has their number already. */
void decode_items(struct decoding *g, struct value *v, uint64_t at, const struct value_type *type);

/* Entries of a keys table. A key stands behind the hash, where there is one, and a value follows it. */
struct keys_view {
	uint64_t entries, count;
	unsigned entry_size, key;
};
/* `shared`: it is read from the process where it is not in the snapshot. */
bool decode_open_keys(const struct decoding *g, uint64_t keys, bool shared, struct keys_view *view);
/* Where pairs are: in a keys table, or their values beside it. */
struct pair_source {
	uint64_t keys, values; /* values 0: they are in the entries */
	uint64_t order;	       /* 0, or where the first of bytes is that tell in which order the values were set, */
	int order_step;	       /* how far it is to the next one, */
	uint64_t norder;       /* and how many there are */
};
/* Finds them for a dict; false: its fields are not there. */
bool decode_dict_source(const struct decoding *g, uint64_t dict, struct pair_source *out);
/* Finds the order of values that were found. */
void decode_source_order(const struct decoding *g, struct pair_source *source);
/* Calls fn for each pair until it returns false. What the first piece that is missing is like, or SNAPSHOT_PRESENT. */
enum snapshot_state decode_pairs(struct decoding *g, const struct pair_source *from,
				 bool (*fn)(struct decoding *g, uint64_t key, uint64_t value, void *ctx), void *ctx);

/* value_keys.c */
/* NULL: they cannot be read. They are the type's. */
const struct shared_names *decode_shared_names(struct decoding *g, const struct value_type *type);
void shared_names__clear(struct shared_names *shared);

/* value_attrs.c */
struct attr {
	const char *name; /* NULL: unknown */
	uint64_t value;
};

struct attrs {
	struct attr *list; /* owned */
	size_t n, cap;
	enum snapshot_state state; /* PRESENT: these are all */
};
/* All that can be found, into an empty list, whose memory the caller frees. */
void decode_attrs(struct decoding *g, uint64_t obj, const struct value_type *type, struct attrs *attrs);
const struct attr *attrs__named(const struct attrs *attrs, const char *name);

/* value_object.c */
struct value *decode_instance(struct decoding *g, uint64_t obj, const struct value_type *type);
struct value *decode_exception(struct decoding *g, uint64_t obj, const struct value_type *type);
/* See value__raised; _PyErr_NormalizeException of Python/errors.c says what becomes of the argument. */
struct value *decode_raised(struct decoding *g, uint64_t class, uint64_t argument);
struct value *decode_enum(struct decoding *g, uint64_t obj, const struct value_type *type, struct value *plain);
struct value *decode_callable(struct decoding *g, uint64_t obj, const struct value_type *type);
struct value *decode_small(struct decoding *g, uint64_t obj, const struct value_type *type);

/* value_number.c */
#define DOUBLE_TEXT 48
/* As Python's repr; `whole`: with ".0" where nothing else tells that it is no int. */
void format_double(char buf[DOUBLE_TEXT], double value, bool whole);
/* Decimal digits of a number in digits of 30 bits, the lowest first, which are used up. Returns where they begin in `buf`
 * (at its end, terminated), or NULL when they are too many. */
const char *format_digits(char *buf, size_t size, uint32_t *digits, size_t n);

/* unprintable_table.c: whether Python's repr shows a character as it is. */
bool char_is_printable(uint32_t c);

/* Takes one character of UTF-8 that we made; surrogates may be among it. */
uint32_t take_char(const char **at, const char *end);
/* Appends one; up to 4 bytes. */
size_t put_char(char *to, uint32_t c);

#endif
