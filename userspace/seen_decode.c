/* seen_decode: see seen_decode.h. */
#include "seen_decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "pycode.h"
#include "pyobj.h"
#include "seen_code.h"
#include "skel.h"
#include "target.h"
#include "value.h"

#define THREADS_MAX 4096 /* whose names are kept */
#define THREAD_TRIES 5	 /* at Python's name, which comes after the thread's first call */
#define THREAD_NAME_BYTES 256

struct thread_name {
	pid_t tid;
	unsigned tries;
	bool from_python;
	char *name; /* owned */
};

struct seen_decoder {
	struct seen_source source;
	struct value_decoder *values;
	struct seen_codes *codes;
	struct thread_name *threads;
	size_t nthreads;
	/* Of the event that was decoded last. */
	struct seen_value shown[WIRE_SNAP_ROOTS];
	size_t nshown;
	struct seen_frame stack[WIRE_SNAP_STACK];
	char *strings[WIRE_SNAP_STACK * 3]; /* owned: looking at one code object may push out another */
	size_t nstrings;
};

int seen_decoder__new(const struct seen_source *source, struct seen_decoder **out)
{
	struct seen_decoder *d = calloc(1, sizeof(*d));
	int err = d ? 0 : -ENOMEM;

	if (!err) {
		d->source = *source;
		err = seen_codes__new(source->reader, &d->codes);
	}
	if (!err)
		err = value_decoder__new(source->reader, source->limits, source->redact, &d->values);
	if (err) {
		seen_decoder__free(d);
		return diag_error(err, "cannot prepare for the values of process %d: %s", (int)source->pid,
				  diag_strerror(err));
	}
	*out = d;
	return 0;
}

static void clear(struct seen_decoder *d)
{
	for (size_t i = 0; i < d->nshown; i++)
		value__free(d->shown[i].value);
	for (size_t i = 0; i < d->nstrings; i++)
		free(d->strings[i]);
	d->nshown = d->nstrings = 0;
}

void seen_decoder__free(struct seen_decoder *d)
{
	if (!d)
		return;
	clear(d);
	for (size_t i = 0; i < d->nthreads; i++)
		free(d->threads[i].name);
	free(d->threads);
	seen_codes__free(d->codes);
	value_decoder__free(d->values);
	free(d);
}

/* Where the parts of a record lie. */
struct record {
	struct wire_event_seen event;
	const struct wire_root *roots;
	const struct wire_stack_entry *stack;
	const void *chunks;
};

static void take_apart(const void *data, struct record *r)
{
	memcpy(&r->event, data, sizeof(r->event));
	r->roots = (const void *)((const char *)data + sizeof(r->event));
	r->stack = (const void *)(r->roots + r->event.nroots);
	r->chunks = r->stack + r->event.nstack;
}

bool seen_record__valid(const void *data, size_t size)
{
	struct wire_event_seen event;

	if (size < sizeof(event) || (uintptr_t)data % 8)
		return false;
	memcpy(&event, data, sizeof(event));
	return event.type == WIRE_EVENT_SEEN && event.kind <= WIRE_SEEN_AFTER && event.nroots <= WIRE_SNAP_ROOTS &&
	       event.nstack <= WIRE_SNAP_STACK && event.nbytes <= WIRE_SNAP_BYTES &&
	       size == sizeof(event) + event.nroots * sizeof(struct wire_root) +
			       event.nstack * sizeof(struct wire_stack_entry) + event.nbytes;
}

const struct wire_root *seen_record__roots(const void *data)
{
	struct record r;

	take_apart(data, &r);
	return r.roots;
}

static struct thread_name *thread_entry(struct seen_decoder *d, pid_t tid)
{
	struct thread_name *bigger;

	for (size_t i = 0; i < d->nthreads; i++)
		if (d->threads[i].tid == tid)
			return &d->threads[i];
	if (d->nthreads == THREADS_MAX)
		return NULL;
	bigger = realloc(d->threads, (d->nthreads + 1) * sizeof(*bigger));
	if (!bigger)
		return NULL;
	d->threads = bigger;
	d->threads[d->nthreads] = (struct thread_name){ .tid = tid };
	return &d->threads[d->nthreads++];
}

/* The kernel's name of a thread; of the first one Python's, which it has also where `threading` was not imported. */
static bool first_name(const struct seen_decoder *d, pid_t tid, char *name, size_t size)
{
	if (tid != d->source.pid)
		return !target_thread_comm(d->source.pid, tid, name, size);
	snprintf(name, size, "MainThread");
	return true;
}

/* Python's name of a thread, else the kernel's, else NULL. */
static const char *thread_name(struct seen_decoder *d, pid_t tid, bool *shared)
{
	struct thread_name *t = thread_entry(d, tid);
	char name[THREAD_NAME_BYTES];

	if (!t)
		return NULL;
	if (!t->from_python && t->tries++ < THREAD_TRIES) {
		t->from_python = !pyobj__thread_name(d->source.reader, tid, name, sizeof(name));
		if (t->from_python || (!t->name && first_name(d, tid, name, sizeof(name)))) {
			free(t->name);
			t->name = strdup(name);
		}
	}
	for (size_t i = 0; i < d->nthreads && t->name; i++)
		*shared |= d->threads[i].tid != tid && d->threads[i].name && !strcmp(d->threads[i].name, t->name);
	return t->name;
}

/* A copy of a string that lives as long as the event. */
static const char *keep(struct seen_decoder *d, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (copy)
		d->strings[d->nstrings++] = copy;
	return copy;
}

static void decode_stack(struct seen_decoder *d, const struct record *r, struct seen_event *out)
{
	for (size_t i = 0; i < r->event.nstack; i++) {
		const struct seen_code *c = seen_codes__get(d->codes, r->stack[i].code, r->stack[i].globals);
		struct seen_frame *frame = &d->stack[i];

		*frame = (struct seen_frame){ 0 };
		if (!c || !seen_code__has(c, r->stack[i].instr))
			continue;
		frame->module = keep(d, c->module);
		frame->qualname = keep(d, c->qualname);
		frame->file = keep(d, c->code ? c->code->file : NULL);
		frame->line = seen_code__line(c, r->stack[i].instr);
	}
	out->stack = d->stack;
	out->nstack = r->event.nstack;
	out->stack_cut = r->event.flags & WIRE_SEEN_STACK_CUT;
}

/* The name under which a root is shown; NULL: it has none. */
static const char *name_of(const struct seen_decoder *d, const struct wire_root *root, const struct seen_code *c)
{
	size_t at = root->operand & ~WIRE_ROOT_ARG;

	if (root->operand & WIRE_ROOT_ARG)
		return c && c->names && at < c->code->nlocals ? c->names[at] : "?";
	return root->operand < WIRE_MAX_OPERANDS && d->source.operand_name
		       ? d->source.operand_name(root->operand, d->source.ctx)
		       : NULL;
}

/* A call's result or exception may come in two roots; see trace_return and trace_exception of the programs. */
static struct value *decode_result(struct seen_decoder *d, const struct record *r, const struct snapshot *s,
				   const struct seen_code *c)
{
	const struct wire_root *root = &r->roots[0], *second = r->event.nroots > 1 ? &r->roots[1] : NULL;

	if (second && second->operand == WIRE_ROOT_RAISED_TYPE)
		return value__raised(d->values, s, second->obj, root->obj);
	if (second && second->operand == WIRE_ROOT_RESULT && c && seen_code__arg(c, r->event.instr) > UINT8_MAX)
		root = second;
	return value__decode(d->values, s, root->obj, root->status, NULL);
}

static int decode_values(struct seen_decoder *d, const struct record *r, const struct snapshot *s,
			 const struct seen_code *c)
{
	bool result = r->event.nroots && r->roots[0].operand == WIRE_ROOT_RESULT;

	for (size_t i = 0; i < (result ? 1 : r->event.nroots); i++) {
		const char *name = result ? NULL : name_of(d, &r->roots[i], c);
		/* Names that look like secrets' have no stars before them. */
		const char *plain = name ? name + strspn(name, "*") : NULL;

		d->shown[i].name = name;
		d->shown[i].value = result ? decode_result(d, r, s, c)
					   : value__decode(d->values, s, r->roots[i].obj, r->roots[i].status, plain);
		if (!d->shown[i].value)
			return -ENOMEM;
		d->nshown = i + 1;
	}
	return 0;
}

static enum seen_kind kind_of(uint16_t kind)
{
	static const enum seen_kind kinds[] = {
		[WIRE_SEEN_CALL] = SEEN_CALL,	[WIRE_SEEN_RETURN] = SEEN_RETURN, [WIRE_SEEN_RAISE] = SEEN_RAISE,
		[WIRE_SEEN_YIELD] = SEEN_YIELD, [WIRE_SEEN_RESUME] = SEEN_RESUME, [WIRE_SEEN_BEFORE] = SEEN_BEFORE,
		[WIRE_SEEN_AFTER] = SEEN_AFTER,
	};

	return kinds[kind];
}

int seen_decoder__decode(struct seen_decoder *d, const void *record, struct seen_event *out)
{
	const struct seen_code *c;
	struct snapshot *snapshot;
	struct record r;
	int err;

	clear(d);
	take_apart(record, &r);
	*out = (struct seen_event){
		.kind = kind_of(r.event.kind),
		.pid = d->source.pid,
		.tid = (pid_t)r.event.tid,
		.interp_id = d->source.interp_id,
		.time_ns = r.event.time_ns + (uint64_t)d->source.realtime_ns,
		.duration_ns = r.event.duration_ns,
		.has_duration = (r.event.kind == WIRE_SEEN_RETURN || r.event.kind == WIRE_SEEN_RAISE) &&
				!(r.event.flags & WIRE_SEEN_PARTIAL),
		.call = r.event.call,
		.undecided = r.event.flags & WIRE_SEEN_UNDECIDED,
	};
	out->thread = thread_name(d, out->tid, &out->thread_shared);
	decode_stack(d, &r, out);
	err = snapshot__new(r.chunks, r.event.nbytes, r.event.flags & WIRE_SEEN_FULL, &snapshot);
	if (err)
		return diag_error(err, "cannot take in the values of an event: %s", diag_strerror(err));
	/* Behind the stack: the entry must not be pushed out while its strings are shown. */
	c = seen_codes__get(d->codes, r.event.code, r.event.globals);
	if (c && !seen_code__has(c, r.event.instr))
		c = NULL;
	err = decode_values(d, &r, snapshot, c);
	snapshot__free(snapshot);
	if (c) {
		out->module = c->module;
		out->qualname = c->qualname;
		out->file = c->code ? c->code->file : NULL;
		out->line = c->line;
	}
	out->values = d->shown;
	out->nvalues = d->nshown;
	return err ? diag_error(err, "out of memory") : 0;
}

const struct pycode *seen_decoder__code(struct seen_decoder *d, uint64_t code, uint64_t globals)
{
	const struct seen_code *c = seen_codes__get(d->codes, code, globals);

	return c ? c->code : NULL;
}
