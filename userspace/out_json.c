/*
 * out_json: the whole profile for programs. The form is described by docs/profile.schema.json and docs/json.md, and is
 * stable: fields may be added in a later version, none changes its meaning.
 *
 * jansson writes each object's own fields; the nesting is written here, one call at a time, because jansson refuses to
 * dump deeper than 2,048 levels and would hold the tree in memory a second time.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "out_json_util.h"
#include "out_util.h"
#include "profile.h"

#define FORMAT_VERSION 1
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *name;
	size_t offset;
} call_fields[] = {
	{ "hits", offsetof(struct prof_call, hits) },
	{ "complete", offsetof(struct prof_call, complete) },
	{ "raised", offsetof(struct prof_call, raised) },
	{ "running_at_start", offsetof(struct prof_call, running_at_start) },
	{ "running_at_end", offsetof(struct prof_call, running_at_end) },
	{ "untimed", offsetof(struct prof_call, untimed) },
	{ "suspended_at_end", offsetof(struct prof_call, suspended_at_end) },
	{ "total_ns", offsetof(struct prof_call, total_ns) },
	{ "self_ns", offsetof(struct prof_call, self_ns) },
	{ "complete_ns", offsetof(struct prof_call, complete_ns) },
	{ "elapsed_ns", offsetof(struct prof_call, elapsed_ns) },
	{ "min_ns", offsetof(struct prof_call, min_ns) },
	{ "max_ns", offsetof(struct prof_call, max_ns) },
};

static json_t *strings(char *const *texts, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(array, out_json__string(texts[i]))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* Writes an object without its closing brace, followed by the start of the array `name`; takes the object over. */
static void put_open(struct sink *s, json_t *object, const char *name)
{
	char *text = s->err ? NULL : json_dumps(object, OUT_JSON_FLAGS | JSON_COMPACT);

	if (text) {
		text[strlen(text) - 1] = '\0';
		out_json__put(s, text);
		sink__printf(s, ",\"%s\":[", name);
	} else {
		sink__fail(s, -ENOMEM);
	}
	free(text);
	json_decref(object);
}

static json_t *histogram(const struct prof_call *call)
{
	json_t *array = json_array();
	size_t n = PROFILE_LOG2_BUCKETS;

	while (n && !call->log2_ns[n - 1])
		n--;
	for (size_t i = 0; i < n; i++) {
		if (json_array_append_new(array, out_json__integer(call->log2_ns[i]))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void open_call(struct sink *s, const struct prof_call *call)
{
	json_t *object = json_object();

	out_json__set(s, object, "function", out_json__string(call->function));
	out_json__set(s, object, "file", out_json__string(call->file));
	out_json__set(s, object, "line", out_json__integer(call->line));
	out_json__set(s, object, "generator", json_boolean(call->generator));
	for (size_t i = 0; i < ARRAY_SIZE(call_fields); i++) {
		uint64_t n;

		memcpy(&n, (const char *)call + call_fields[i].offset, sizeof(n));
		out_json__set(s, object, call_fields[i].name, out_json__integer(n));
	}
	out_json__set(s, object, "log2_ns", histogram(call));
	put_open(s, object, "children");
}

static void put_closing(struct sink *s, int levels)
{
	while (levels-- > 0)
		sink__puts(s, "]}");
}

/* A line for each call, without indentation: that would grow with the square of the depth. */
static void put_calls(struct sink *s, const struct prof_call *root)
{
	const struct prof_call *call = root;
	int depth = 0, last = 0;

	while (!s->err && (call = prof_call__next(root, call, &depth))) {
		/* The call before is a caller (deeper now), a sibling, or ends together with its callers. */
		put_closing(s, last - depth + 1);
		sink__puts(s, last >= depth ? ",\n" : "\n");
		open_call(s, call);
		last = depth;
	}
	put_closing(s, last);
}

static void put_thread(struct sink *s, const struct prof_thread *thread)
{
	json_t *object = json_object();

	out_json__set(s, object, "tid", out_json__integer(thread->tid));
	out_json__set(s, object, "name", out_json__string(thread->name));
	put_open(s, object, "calls");
	put_calls(s, thread->root);
	sink__puts(s, "]}");
}

static void put_process(struct sink *s, const struct prof_process *proc)
{
	json_t *object = json_object(), *lost = json_object();

	out_json__set(s, object, "pid", out_json__integer(proc->pid));
	out_json__set(s, object, "command", out_json__string(proc->command));
	out_json__set(s, object, "python", out_json__string(proc->python));
	out_json__set(s, object, "build_id", out_json__string(proc->build_id));
	out_json__set(s, object, "backend", out_json__string(proc->backend));
	out_json__set(s, object, "why", out_json__string(proc->why));
	out_json__set(s, object, "raw", json_boolean(proc->raw));
	out_json__set(s, object, "jit", json_boolean(proc->jit));
	out_json__set(s, object, "interpreter",
		      proc->interpreter < 0 ? json_null() : out_json__integer((uint64_t)proc->interpreter));
	out_json__set(s, object, "ended", json_boolean(proc->ended));
	out_json__set(s, object, "hits_total", out_json__integer(proc->hits_total));
	out_json__set(s, object, "ns_per_hit", out_json__number(proc->ns_per_hit));
	out_json__set(s, object, "overhead_fraction",
		      proc->overhead_fraction >= 0 ? out_json__number(proc->overhead_fraction) : json_null());
	out_json__set(s, lost, "events", out_json__integer(proc->lost.events));
	out_json__set(s, lost, "stack_overflow", out_json__integer(proc->lost.stack_overflow));
	out_json__set(s, lost, "unreadable", out_json__integer(proc->lost.unreadable));
	out_json__set(s, object, "lost", lost);
	out_json__set(s, object, "warnings", strings(proc->warnings, proc->nwarnings));
	put_open(s, object, "threads");
	for (size_t i = 0; i < proc->nthreads && !s->err; i++) {
		sink__puts(s, i ? ",\n" : "\n");
		put_thread(s, proc->threads[i]);
	}
	sink__puts(s, "]}");
}

static int write_json(const struct profile *p, FILE *f, const struct out_options *opts)
{
	json_t *object = json_object();
	struct sink s = { .f = f };
	char started[64];

	(void)opts;
	format_time(started, sizeof(started), &p->started);
	out_json__set(&s, object, "format", out_json__string("pylu-profile"));
	out_json__set(&s, object, "version", out_json__integer(FORMAT_VERSION));
	out_json__set(&s, object, "host", out_json__string(p->host));
	out_json__set(&s, object, "started", out_json__string(started));
	out_json__set(&s, object, "duration_s", out_json__number(p->duration_ns / 1e9));
	out_json__set(&s, object, "patterns", strings(p->patterns, p->npatterns));
	put_open(&s, object, "processes");
	for (size_t i = 0; i < p->nprocesses && !s.err; i++) {
		sink__puts(&s, i ? ",\n" : "\n");
		put_process(&s, p->processes[i]);
	}
	sink__puts(&s, "]}\n");
	return sink__finish(&s);
}

const struct out_format out_json = {
	.name = "json",
	.summary = "everything, for programs (see profile.schema.json)",
	.write = write_json,
};
