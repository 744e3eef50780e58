/*
 * out_seen_json: events for programs, one object a line: a header, the events as they come, a summary. The form is
 * described by docs/events.schema.json and docs/json.md, and is stable: fields may be added in a later version, none
 * changes its meaning. A session that is killed leaves no summary.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "out_json_util.h"
#include "out_util.h"
#include "seen.h"
#include "value.h"

#define FORMAT_VERSION 1
#define NUMBERS JSON_REAL_PRECISION(15) /* of ours */
#define VALUES JSON_REAL_PRECISION(17)	/* a float comes back as the very one that it was */

/* What may be missing is null, not "". */
static json_t *string_or_null(const char *text)
{
	return text ? out_json__string(text) : json_null();
}

static json_t *integer_or_null(bool is, uint64_t n)
{
	return is ? out_json__integer(n) : json_null();
}

/* Writes the object as a line, and takes it over. */
static int put_line(struct sink *s, json_t *object, size_t reals)
{
	char *text = s->err ? NULL : json_dumps(object, JSON_ENSURE_ASCII | JSON_COMPACT | reals);

	if (text) {
		out_json__put(s, text);
		sink__puts(s, "\n");
	} else {
		sink__fail(s, -ENOMEM);
	}
	free(text);
	json_decref(object);
	return s->err;
}

static int begin(const struct seen_header *h, FILE *f, const struct out_options *opts)
{
	struct timespec start = { (time_t)(h->start_ns / 1000000000), (long)(h->start_ns % 1000000000) };
	json_t *object = json_object();
	struct sink s = { .f = f };
	char started[64];

	(void)opts;
	format_time(started, sizeof(started), &start);
	out_json__set(&s, object, "record", out_json__string("header"));
	out_json__set(&s, object, "format", out_json__string("pylu-events"));
	out_json__set(&s, object, "version", out_json__integer(FORMAT_VERSION));
	out_json__set(&s, object, "command", out_json__string(h->command));
	out_json__set(&s, object, "pid", integer_or_null(h->pid, (uint64_t)h->pid));
	out_json__set(&s, object, "target", out_json__string(h->target));
	out_json__set(&s, object, "python", string_or_null(h->python));
	out_json__set(&s, object, "started", out_json__string(started));
	out_json__set(&s, object, "backend", out_json__string(h->backend));
	out_json__set(&s, object, "why", string_or_null(h->why));
	out_json__set(&s, object, "watched", string_or_null(h->watched));
	out_json__set(&s, object, "ns_per_hit", h->cost_ns > 0 ? out_json__number(h->cost_ns) : json_null());
	out_json__set(&s, object, "condition", string_or_null(h->condition));
	out_json__set(&s, object, "rate", integer_or_null(h->rate, h->rate));
	out_json__set(&s, object, "redacted", json_boolean(!h->no_redact));
	return put_line(&s, object, NUMBERS);
}

static void set_function(struct sink *s, json_t *object, const char *module, const char *qualname, const char *file,
			 uint32_t line)
{
	out_json__set(s, object, "module", string_or_null(module));
	out_json__set(s, object, "qualname", string_or_null(qualname));
	out_json__set(s, object, "file", string_or_null(file));
	out_json__set(s, object, "line", integer_or_null(line, line));
}

/* Appends, and takes the item over. */
static void append(struct sink *s, json_t *array, json_t *item)
{
	if (json_array_append_new(array, item))
		sink__fail(s, -ENOMEM);
}

static json_t *values(struct sink *s, const struct seen_event *e)
{
	json_t *array = json_array();

	for (size_t i = 0; i < e->nvalues; i++) {
		json_t *object = json_object();

		out_json__set(s, object, "name", string_or_null(e->values[i].name));
		out_json__set(s, object, "value", value__json(e->values[i].value));
		append(s, array, object);
	}
	return array;
}

static json_t *stack(struct sink *s, const struct seen_event *e)
{
	json_t *array = json_array();

	for (size_t i = 0; i < e->nstack; i++) {
		const struct seen_frame *frame = &e->stack[i];
		json_t *object = json_object();

		set_function(s, object, frame->module, frame->qualname, frame->file, frame->line);
		append(s, array, object);
	}
	return array;
}

static int event(const struct seen_header *h, const struct seen_event *e, FILE *f, const struct out_options *opts)
{
	json_t *object = json_object();
	struct sink s = { .f = f };

	(void)h, (void)opts;
	out_json__set(&s, object, "record", out_json__string("event"));
	out_json__set(&s, object, "event", out_json__string(seen_kind__word(e->kind)));
	out_json__set(&s, object, "time_ns", out_json__integer(e->time_ns));
	out_json__set(&s, object, "pid", out_json__integer((uint64_t)e->pid));
	out_json__set(&s, object, "tid", out_json__integer((uint64_t)e->tid));
	out_json__set(&s, object, "thread", string_or_null(e->thread));
	out_json__set(&s, object, "interpreter", integer_or_null(e->interp_id >= 0, (uint64_t)e->interp_id));
	out_json__set(&s, object, "call", integer_or_null(e->call, e->call));
	set_function(&s, object, e->module, e->qualname, e->file, e->line);
	out_json__set(&s, object, "source", string_or_null(e->source));
	out_json__set(&s, object, "duration_ns", integer_or_null(e->has_duration, e->duration_ns));
	out_json__set(&s, object, "undecided", json_boolean(e->undecided));
	out_json__set(&s, object, "values", values(&s, e));
	out_json__set(&s, object, "stack", stack(&s, e));
	out_json__set(&s, object, "stack_cut", json_boolean(e->stack_cut));
	return put_line(&s, object, VALUES);
}

static int end(const struct seen_header *h, const struct seen_summary *sum, FILE *f, const struct out_options *opts)
{
	json_t *object = json_object();
	struct sink s = { .f = f };

	(void)opts;
	out_json__set(&s, object, "record", out_json__string("summary"));
	out_json__set(&s, object, "ended", string_or_null(sum->ended));
	out_json__set(&s, object, "seconds", out_json__number(sum->seconds));
	out_json__set(&s, object, "events", out_json__integer(sum->events));
	out_json__set(&s, object, "lost", out_json__integer(sum->lost));
	out_json__set(&s, object, "suppressed", out_json__integer(sum->suppressed));
	out_json__set(&s, object, "unmatched", integer_or_null(h->condition, sum->unmatched));
	out_json__set(&s, object, "unreadable", out_json__integer(sum->unreadable));
	out_json__set(&s, object, "strays", out_json__integer(sum->strays));
	out_json__set(&s, object, "unsure", out_json__integer(sum->unsure));
	out_json__set(&s, object, "share", out_json__number(sum->share));
	return put_line(&s, object, NUMBERS);
}

const struct out_seen out_seen_json = { .name = "json", .begin = begin, .event = event, .end = end };
