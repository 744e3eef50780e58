/*
 * snap_piece: what snap is made of: pieces that are copied, objects that are still to be looked at, and what is known of
 * their types.
 */
#ifndef PYLU_SNAP_PIECE_BPF_H
#define PYLU_SNAP_PIECE_BPF_H

#include "pytype.bpf.h"
#include "seen.bpf.h"

#define SNAP_HEAD 56	   /* read of an object before its type is known */
#define SNAP_BASES 16	   /* of a class, until one that is not written in Python */
#define SNAP_TYPE_WORDS 38 /* of PyTypeObject, up to tp_dictoffset: all builds' classes are larger */

enum snap_job_kind {
	SNAP_JOB_OBJECT,
	SNAP_JOB_MAYBE,	  /* a word that may point to an object */
	SNAP_JOB_SHALLOW, /* an object of which only the type is shown */
	SNAP_JOB_ITEMS,	  /* words that do, or are empty */
	SNAP_JOB_PAIRS,	  /* entries of a dict; stride 16, or 24 with the hash in front */
	SNAP_JOB_KEYS,	  /* the same of a table whose values are elsewhere */
	SNAP_JOB_SET,	  /* entries of a set: key and hash */
};

/* A word of what was copied. `at`: of the chunk's contents; bytes behind them are anything. */
static __always_inline u64 snap_word(const struct seen *e, u32 at, u32 offset)
{
	at += offset;
	return at <= SEEN_LIMIT ? *(const u64 *)(e->rest + at) : 0;
}

/* Appends what is at `addr` as a chunk. Where its contents are in rest[]; negative when it could not be read, or there is
 * no room. */
__noinline int snap_copy(struct seen *e, u64 addr, u32 len)
{
	struct wire_chunk *chunk;
	u32 end;

	if (!e || !len)
		return -1;
	if (len > WIRE_SNAP_PIECE)
		len = WIRE_SNAP_PIECE;
	end = e->end;
	if (end > SEEN_LIMIT - sizeof(*chunk) || end + sizeof(*chunk) + ((len + 7) & ~7U) > SEEN_LIMIT) {
		e->event.flags |= WIRE_SEEN_FULL;
		return -1;
	}
	chunk = (struct wire_chunk *)(e->rest + end);
	chunk->addr = addr;
	chunk->len = 0;
	chunk->unreadable = 1;
	e->end = end + sizeof(*chunk);
	if (bpf_probe_read_user(e->rest + end + sizeof(*chunk), len, (void *)addr))
		return -1;
	chunk->len = len;
	chunk->unreadable = 0;
	e->end += (len + 7) & ~7U;
	return end + sizeof(*chunk);
}

/* Makes the last chunk, whose contents are at `at`, so long: shorter, or longer by what is read now. */
static __noinline int snap_resize(struct seen *e, u32 at, u32 len)
{
	struct wire_chunk *chunk;
	u32 have, more;

	if (at < sizeof(*chunk) || at > SEEN_LIMIT)
		return -1;
	barrier_var(at);
	chunk = (struct wire_chunk *)(e->rest + at - sizeof(*chunk));
	have = chunk->len;
	if (len > WIRE_SNAP_PIECE)
		len = WIRE_SNAP_PIECE;
	if (len > have) {
		more = len - have;
		if (have > SNAP_HEAD || at + ((len + 7) & ~7U) > SEEN_LIMIT) {
			e->event.flags |= WIRE_SEEN_FULL;
			return -1;
		}
		if (more > WIRE_SNAP_PIECE ||
		    bpf_probe_read_user(e->rest + at + have, more, (void *)(chunk->addr + have)))
			return -1;
	}
	chunk->len = len;
	e->end = at + ((len + 7) & ~7U);
	return 0;
}

/* Something to look at, after all that is there already: so the depth never falls. */
static __always_inline void snap_push(struct seen *e, u64 addr, u8 kind, u8 depth)
{
	struct snap_job *job;

	if (e->tail >= SNAP_JOBS) {
		e->event.flags |= WIRE_SEEN_FULL;
		return;
	}
	job = &e->jobs[e->tail++ & (SNAP_JOBS - 1)];
	job->addr = addr;
	job->kind = kind;
	job->depth = depth;
}

/* A part of an object, to look at before the next object. */
static __always_inline void snap_push_part(struct seen *e, u64 addr, u8 kind, u8 depth, u32 count, u32 want, u8 stride)
{
	struct snap_job *job;

	if (!addr || e->nparts >= SNAP_PARTS)
		return;
	job = &e->parts[e->nparts++ & (SNAP_PARTS - 1)];
	job->addr = addr;
	job->kind = kind;
	job->depth = depth;
	job->count = count > 0xffff ? 0xffff : count;
	job->want = want > 0xffff ? 0xffff : want;
	job->stride = stride;
}

/* Whether the object was met already; from now on it was. */
static __always_inline int snap_visited(struct seen *e, u64 addr)
{
	u64 stamp = addr | (u64)e->made << 48;
	u32 at = addr * 0x9e3779b97f4a7c15ULL >> 48;

	for (u32 i = 0; i < 8; i++) {
		u64 *p = &e->visited[(at + i) & (SNAP_VISITED - 1)];

		if (*p == stamp)
			return 1;
		if (*p >> 48 != (e->made & 0xffff)) {
			*p = stamp;
			return 0;
		}
	}
	return 0; /* a full neighbourhood: it may be copied twice, no more often than jobs[] has room for */
}

struct base_walk {
	const struct wire_value_layout *v;
	u64 type;
	u64 basicsize; /* of the last */
	u64 name;      /* of the first that is written in C; 0: none was found */
};

/* bpf_loop callback: one base of a class. */
static long base_step(u64 i, struct base_walk *w)
{
	u64 flags;

	if (!w->type || bpf_probe_read_user(&flags, sizeof(flags), (void *)(w->type + w->v->type_flags)))
		return 1;
	if (flags & TPFLAGS_HEAPTYPE) {
		w->type = read_u64(w->type + w->v->type_base);
		return 0;
	}
	w->basicsize = read_u64(w->type + w->v->type_basicsize);
	w->name = read_u64(w->type + w->v->type_name);
	return 1;
}

/* What a type is, into types[]: its index there; negative when it cannot be read. What does not follow from the fields that
 * are read for each event is kept from earlier ones as long as those are the same. */
static __noinline int snap_type(struct seen *e, const struct wire_value_layout *v, u64 type)
{
	u32 at = (type >> 4 ^ type >> 9) & (SNAP_TYPES - 1);
	struct snap_type *t = &e->types[at];
	struct base_walk w = { .v = v };
	u64 flags, base, name;

	if (t->addr == type && t->made == e->made)
		return at;
	if (type & 7 || bpf_probe_read_user(e->words, SNAP_TYPE_WORDS * 8, (void *)type))
		return -1;
#define TYPE_WORD(field) e->words[(u32)(field) / 8 & (SEEN_WORDS - 1)]
	flags = TYPE_WORD(v->type_flags);
	base = TYPE_WORD(v->type_base);
	name = TYPE_WORD(v->type_name);
	t->itemsize = TYPE_WORD(v->type_itemsize);
	t->dictoffset = TYPE_WORD(v->type_dictoffset);
	t->made = e->made;
	if (t->addr == type && t->flags == flags && t->base == base && t->name == name &&
	    t->basicsize == TYPE_WORD(v->type_basicsize))
		return at;
	t->basicsize = TYPE_WORD(v->type_basicsize);
	t->addr = type;
	t->flags = flags;
	t->base = base;
	t->name = name;
	t->is_type = !!(read_u64(TYPE_WORD(v->ob_type) + v->type_flags) & TPFLAGS_TYPE);
#undef TYPE_WORD
	w.type = type;
	bpf_loop(SNAP_BASES, base_step, &w, 0);
	t->body = w.name ? w.basicsize : t->basicsize;
	t->kind = type_kind_flagged(flags);
	if (t->kind == KIND_UNKNOWN && w.name)
		t->kind = type_kind_named(w.name);
	return at;
}

#endif
