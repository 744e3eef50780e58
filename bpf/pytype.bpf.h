/*
 * pytype: what kind of object a type makes, as far as the kernel side has to know.
 */
#ifndef PYLU_PYTYPE_BPF_H
#define PYLU_PYTYPE_BPF_H

#include "core.bpf.h"

/* tp_flags, Include/object.h */
#define TPFLAGS_INLINE_VALUES (1ULL << 2)
#define TPFLAGS_MANAGED_DICT (1ULL << 4)
#define TPFLAGS_HEAPTYPE (1ULL << 9)
#define TPFLAGS_LONG (1ULL << 24)
#define TPFLAGS_LIST (1ULL << 25)
#define TPFLAGS_TUPLE (1ULL << 26)
#define TPFLAGS_BYTES (1ULL << 27)
#define TPFLAGS_UNICODE (1ULL << 28)
#define TPFLAGS_DICT (1ULL << 29)
#define TPFLAGS_BASE_EXC (1ULL << 30)
#define TPFLAGS_TYPE (1ULL << 31)

enum type_kind { /* of a type, by its flags or else by the name of its nearest base that is written in C */
		 KIND_UNKNOWN,
		 KIND_INT,
		 KIND_LIST,
		 KIND_TUPLE,
		 KIND_BYTES,
		 KIND_STR,
		 KIND_DICT,
		 KIND_EXCEPTION,
		 KIND_CLASS,
		 KIND_SET,
		 KIND_CELL,
		 KIND_FUNCTION,
		 KIND_METHOD,
		 KIND_MODULE,
		 KIND_BYTEARRAY,
		 KIND_FLOAT,
		 KIND_NONE,
		 KIND_MEMBER, /* what a slot of a class is */
};

static __always_inline u32 type_kind_flagged(u64 flags)
{
	return flags & TPFLAGS_LONG	  ? KIND_INT
	       : flags & TPFLAGS_UNICODE  ? KIND_STR
	       : flags & TPFLAGS_TUPLE	  ? KIND_TUPLE
	       : flags & TPFLAGS_LIST	  ? KIND_LIST
	       : flags & TPFLAGS_DICT	  ? KIND_DICT
	       : flags & TPFLAGS_BYTES	  ? KIND_BYTES
	       : flags & TPFLAGS_BASE_EXC ? KIND_EXCEPTION
	       : flags & TPFLAGS_TYPE	  ? KIND_CLASS
					  : KIND_UNKNOWN;
}

#define NAME8(a, b, c, d, e, f, g, h)                                                                   \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | \
	 (u64)(g) << 48 | (u64)(h) << 56)

/* The kind of a type that is written in C, by its name: one that is in a module has a dot in it. An address would not do: a
 * program that embeds the interpreter may hold the type itself. */
static __noinline u32 type_kind_named(u64 name)
{
	u64 w[2] = {};

	if (bpf_probe_read_user_str(w, sizeof(w), (void *)name) < 0)
		return KIND_UNKNOWN;
	if (!(w[0] >> 56)) /* what is behind the end is whatever was there */
		w[1] = 0;
	if (w[0] == NAME8('f', 'r', 'o', 'z', 'e', 'n', 's', 'e') && w[1] == 't')
		return KIND_SET;
	if (w[0] == NAME8('b', 'y', 't', 'e', 'a', 'r', 'r', 'a') && w[1] == 'y')
		return KIND_BYTEARRAY;
	if (w[0] == NAME8('N', 'o', 'n', 'e', 'T', 'y', 'p', 'e') && !w[1])
		return KIND_NONE;
	if (w[0] == NAME8('f', 'u', 'n', 'c', 't', 'i', 'o', 'n') && !w[1])
		return KIND_FUNCTION;
	if (w[0] == NAME8('m', 'e', 'm', 'b', 'e', 'r', '_', 'd'))
		return KIND_MEMBER;
	switch (w[0]) {
	case NAME8('s', 'e', 't', 0, 0, 0, 0, 0):
		return KIND_SET;
	case NAME8('c', 'e', 'l', 'l', 0, 0, 0, 0):
		return KIND_CELL;
	case NAME8('f', 'l', 'o', 'a', 't', 0, 0, 0):
		return KIND_FLOAT;
	case NAME8('m', 'e', 't', 'h', 'o', 'd', 0, 0):
		return KIND_METHOD;
	case NAME8('m', 'o', 'd', 'u', 'l', 'e', 0, 0):
		return KIND_MODULE;
	}
	return KIND_UNKNOWN;
}

#endif
