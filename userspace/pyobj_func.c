/*
 * pyobj_func: what a walk over the functions is for: listing them, and naming code objects that have no qualified name.
 *
 * Owns the names kept for pyobj__qualname. The search itself is pyobj_walk.c.
 */
#include "pyobj_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"

#define NAMES_MAX 1000000
#define NAMES_BYTES_MAX (UINT64_C(1) << 27)
#define AGAIN_MS 1000
#define TRIES 5

struct name {
	char *qualname; /* owned */
	uint32_t line;
};

struct pyobj_names {
	struct addrmap codes;	/* code object -> names[] */
	struct addrmap modules; /* globals -> when they were last walked, in ms, modulo 2^32 */
	struct name *names;	/* owned */
	size_t n, cap;
	uint64_t bytes; /* of all names */
};

struct listing {
	struct pyobj_reader *r;
	int (*fn)(const struct pyfunc *f, void *ctx);
	void *ctx;
	bool keep;
	int stopped; /* what fn returned */
};

static int list_one(const struct walk_func *f, void *ctx)
{
	struct listing *l = ctx;
	int err = l->keep ? pyobj_names__keep(l->r, f) : 0;

	if (err || !f->listed || f->body)
		return err;
	l->stopped = l->fn(&f->func, l->ctx);
	return l->stopped;
}

int pyobj_each_function(struct pyobj_reader *r, int (*fn)(const struct pyfunc *f, void *ctx), void *ctx)
{
	struct listing l = { r, fn, ctx, r->lay->code_qualname == OFF_NONE };
	int err;

	/* sys.modules may be moved while we read it. What is said then is said about nothing, so it can be tried again. */
	for (int i = 0; i < TRIES; i++) {
		err = pyobj_walk(r, 0, list_one, &l);
		if (l.stopped || (err != -EFAULT && err != -EINVAL))
			break;
	}
	if (err && !l.stopped)
		return diag_error(err, "cannot read the functions of the process: %s", diag_strerror(err));
	return err;
}

void pyobj_names__free(struct pyobj_names *names)
{
	if (!names)
		return;
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i].qualname);
	free(names->names);
	addrmap__clear(&names->codes);
	addrmap__clear(&names->modules);
	free(names);
}

int pyobj_names__keep(struct pyobj_reader *r, const struct walk_func *f)
{
	struct pyobj_names *names = r->names ? r->names : (r->names = calloc(1, sizeof(*names)));
	size_t len = strlen(f->func.qualname) + 1;
	uint32_t index;
	char *copy;
	int err;

	if (!names)
		return -ENOMEM;
	index = (uint32_t)names->n;
	if ((names->n >= NAMES_MAX && addrmap__get(&names->codes, f->func.code, &index)) ||
	    names->bytes + len > NAMES_BYTES_MAX)
		return 0;
	if (names->n == names->cap) {
		size_t cap = 2 * names->cap + 256;
		struct name *bigger = realloc(names->names, cap * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		names->names = bigger;
		names->cap = cap;
	}
	copy = strdup(f->func.qualname);
	err = copy ? addrmap__add(&names->codes, f->func.code, &index) : -ENOMEM;
	if (err < 0) {
		free(copy);
		return err;
	}
	if (err) {
		names->n++;
	} else {
		names->bytes -= strlen(names->names[index].qualname) + 1;
		free(names->names[index].qualname);
	}
	names->bytes += len;
	names->names[index] = (struct name){ copy, f->func.line };
	return 0;
}

/* Copies a kept name, unless another code object was made at the same address since. 0, -ENOENT. */
static int recall(struct pyobj_reader *r, uint64_t code, char *buf, size_t size)
{
	uint32_t index, line;
	char co_name[1024];
	const char *last;
	uint64_t str;

	if (!r->names || addrmap__get(&r->names->codes, code, &index) ||
	    pyobj__read_u64(r, code + (uint64_t)r->lay->code_name, &str) ||
	    pyobj__str(r, str, co_name, sizeof(co_name)) ||
	    pyobj__read(r, code + (uint64_t)r->lay->code_firstlineno, &line, sizeof(line)))
		return -ENOENT;
	last = r->names->names[index].qualname;
	if (strlen(last) >= strlen(co_name))
		last += strlen(last) - strlen(co_name);
	if (strcmp(last, co_name) || line != r->names->names[index].line)
		return -ENOENT;
	snprintf(buf, size, "%s", r->names->names[index].qualname);
	return 0;
}

static uint32_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)(t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

static int keep_one(const struct walk_func *f, void *ctx)
{
	return pyobj_names__keep(ctx, f);
}

/* Walks the module anew, unless that was done a moment ago. 0, -EAGAIN, or what the walk failed with. */
static int refresh(struct pyobj_reader *r, uint64_t globals)
{
	uint32_t now = now_ms(), last;

	if (!r->names)
		r->names = calloc(1, sizeof(*r->names));
	if (!r->names || (!addrmap__get(&r->names->modules, globals, &last) && now - last < AGAIN_MS))
		return -EAGAIN;
	/* Kept before the walk: a module that cannot be read is not read for every code object either. */
	if (addrmap__set(&r->names->modules, globals, now))
		return -EAGAIN;
	return pyobj_walk(r, globals, keep_one, r);
}

void pyobj_names__expire(struct pyobj_reader *r)
{
	if (r->names)
		addrmap__clear(&r->names->modules);
}

int pyobj__qualname(struct pyobj_reader *r, uint64_t globals, uint64_t code, char *buf, size_t size)
{
	uint64_t str;

	if (r->lay->code_qualname != OFF_NONE) {
		if (pyobj__read_u64(r, code + (uint64_t)r->lay->code_qualname, &str) || pyobj__str(r, str, buf, size))
			return -ENOENT;
		return 0;
	}
	if (!recall(r, code, buf, size))
		return 0;
	return refresh(r, globals) ? -ENOENT : recall(r, code, buf, size);
}
