/*
 * out_seen_text: events for people, one a line: the thread, the time of day, where, what, and the values:
 *
 *   MainThread 12:00:01.123456 shop.views.total:41 parameters order=<shop.Order id=3>, tax=0.2  from shop.views.checkout:88
 *   MainThread 12:00:01.123902 shop.views.total returnvalues 12.5  took 446 us
 *   MainThread 12:00:01.123460 shop.views.total:47 usevalues total=1, price=2.5    | total += price
 *
 * Lines that start with '#' stand above and below. With all callers asked for, they follow an event in lines of their own,
 * indented. What comes from a target is written through sink__put_shown only, so that it cannot steer a terminal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "out_util.h"
#include "seen.h"
#include "value.h"

#define MAX_SOURCE 200 /* characters of a line's text */

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define CYAN "\033[36m"
#define PLAIN "\033[0m"
#define CUT "\xe2\x80\xa6"

struct writer {
	struct sink s;
	bool color;
};

static struct writer writer(FILE *f, const struct out_options *opts)
{
	return (struct writer){ .s.f = f, .color = opts && opts->color };
}

static void put_color(struct writer *w, const char *code)
{
	if (w->color)
		sink__puts(&w->s, code);
}

/* Text of a target in one colour. */
static void put_shown(struct writer *w, const char *code, const char *text)
{
	put_color(w, code);
	sink__put_shown(&w->s, text);
	put_color(w, PLAIN);
}

/* The end of a line of our own, that began with `# `. */
static void end_note(struct writer *w)
{
	put_color(w, PLAIN);
	sink__puts(&w->s, "\n");
}

static void begin_note(struct writer *w, const char *code)
{
	put_color(w, code);
	sink__puts(&w->s, "# ");
}

static void put_note(struct writer *w, const char *code, const char *label, const char *text)
{
	begin_note(w, code);
	sink__puts(&w->s, label);
	sink__put_shown(&w->s, text);
	end_note(w);
}

static void local_time(uint64_t ns, struct tm *tm)
{
	time_t seconds = (time_t)(ns / 1000000000);

	if (!localtime_r(&seconds, tm))
		memset(tm, 0, sizeof(*tm));
}

/* Three significant digits, in the unit that fits. */
static void put_duration(struct writer *w, uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" }, { 1, "ns" } };
	char text[32];
	size_t i = 0;

	while (units[i].ns > 1 && ns < units[i].ns)
		i++;
	format_fixed(text, sizeof(text), (double)ns / (double)units[i].ns,
		     units[i].ns == 1 || ns >= 100 * units[i].ns ? 0
		     : ns >= 10 * units[i].ns			 ? 1
								 : 2);
	sink__printf(&w->s, "%s %s", text, units[i].name);
}

static void put_start(struct writer *w, const struct seen_header *h)
{
	char date[64];
	struct tm tm;

	local_time(h->start_ns, &tm);
	strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S, times are UTC%z", &tm);
	put_note(w, DIM, "started ", date);
}

static void put_backend(struct writer *w, const struct seen_header *h)
{
	char us[32];

	begin_note(w, DIM);
	sink__puts(&w->s, "backend ");
	sink__put_shown(&w->s, h->backend);
	if (h->why) {
		sink__puts(&w->s, ": ");
		sink__put_shown(&w->s, h->why);
	}
	if (h->cost_ns > 0) {
		format_fixed(us, sizeof(us), h->cost_ns / 1000, 2);
		sink__printf(&w->s, "; a hit costs %s us here", us);
	}
	end_note(w);
}

static int begin(const struct seen_header *h, FILE *f, const struct out_options *opts)
{
	struct writer w = writer(f, opts);

	begin_note(&w, DIM);
	sink__puts(&w.s, "pylu-bpf ");
	sink__puts(&w.s, h->command);
	if (h->pid)
		sink__printf(&w.s, " of process %d", (int)h->pid);
	sink__puts(&w.s, ": ");
	sink__put_shown(&w.s, h->target);
	if (h->python) {
		sink__puts(&w.s, " (Python ");
		sink__put_shown(&w.s, h->python);
		sink__puts(&w.s, ")");
	}
	end_note(&w);
	put_backend(&w, h);
	if (h->watched)
		put_note(&w, DIM, "", h->watched);
	if (h->condition)
		put_note(&w, DIM, "only when ", h->condition);
	begin_note(&w, DIM);
	if (h->rate)
		sink__printf(&w.s, "at most %" PRIu32 " events a second", h->rate);
	else
		sink__puts(&w.s, "no limit to the events a second");
	end_note(&w);
	if (h->no_redact)
		put_note(&w, YELLOW, "values are not masked (--no-redact)", "");
	put_start(&w, h);
	return w.s.err;
}

static void put_function(struct writer *w, const char *code, const char *module, const char *qualname, uint32_t line)
{
	put_color(w, code);
	if (module) {
		sink__put_shown(&w->s, module);
		sink__puts(&w->s, ".");
	}
	sink__put_shown(&w->s, qualname ? qualname : "?");
	if (line)
		sink__printf(&w->s, ":%" PRIu32, line);
	put_color(w, PLAIN);
}

static void put_thread(struct writer *w, const struct seen_header *h, const struct seen_event *e)
{
	if (!h->pid)
		sink__printf(&w->s, "%d-", (int)e->pid);
	if (e->thread && *e->thread)
		sink__put_shown(&w->s, e->thread);
	if (!e->thread || !*e->thread || e->thread_shared)
		sink__printf(&w->s, "[%d]", (int)e->tid);
	if (e->interp_id >= 0)
		sink__printf(&w->s, " (interpreter %" PRId64 ")", e->interp_id);
}

static void put_time(struct writer *w, uint64_t ns)
{
	struct tm tm;

	local_time(ns, &tm);
	put_color(w, DIM);
	sink__printf(&w->s, " %02d:%02d:%02d.%06u ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		     (unsigned int)(ns % 1000000000 / 1000));
	put_color(w, PLAIN);
}

/* By way of memory, since a value writes to a stream and is not to be trusted with ours. */
static void put_value(struct writer *w, const struct value *value)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int err;

	if (!f) {
		sink__fail(&w->s, -ENOMEM);
		return;
	}
	err = value__text(value, f);
	if (fclose(f) && !err)
		err = -ENOMEM;
	if (err)
		sink__fail(&w->s, err);
	else
		sink__put_shown(&w->s, text);
	free(text);
}

static void put_values(struct writer *w, const struct seen_event *e)
{
	for (size_t i = 0; i < e->nvalues; i++) {
		sink__puts(&w->s, i ? ", " : " ");
		if (e->values[i].name) {
			put_shown(w, CYAN, e->values[i].name);
			sink__puts(&w->s, "=");
		}
		put_value(w, e->values[i].value);
	}
}

/* A line's text without the blanks around it, cut where it is long. */
static void put_source(struct writer *w, const char *source)
{
	size_t len, n = 0;
	struct glyph g;
	char *text;

	source += strspn(source, " \t\f");
	len = strcspn(source, "\r\n");
	while (len && strchr(" \t\f", source[len - 1]))
		len--;
	text = strndup(source, len);
	if (!text) {
		sink__fail(&w->s, -ENOMEM);
		return;
	}
	put_color(w, DIM);
	sink__puts(&w->s, "    | ");
	for (const char *s = text; n <= MAX_SOURCE && (s = glyph__next(&g, s)); n++) {
		if (n < MAX_SOURCE)
			sink__write(&w->s, g.bytes, g.len);
		else
			sink__puts(&w->s, CUT);
	}
	put_color(w, PLAIN);
	free(text);
}

static void put_frame(struct writer *w, const struct seen_frame *frame)
{
	put_function(w, DIM, frame->module, frame->qualname, frame->line);
}

static void put_stack(struct writer *w, const struct seen_event *e)
{
	for (size_t i = 0; i < e->nstack; i++) {
		sink__puts(&w->s, "    from ");
		put_frame(w, &e->stack[i]);
		sink__puts(&w->s, "\n");
	}
	if (e->stack_cut)
		sink__puts(&w->s, "    from " CUT "\n");
}

static const char *color_of(enum seen_kind kind)
{
	switch (kind) {
	case SEEN_RAISE:
		return RED;
	case SEEN_CALL:
	case SEEN_BEFORE:
	case SEEN_RESUME:
		return GREEN;
	default:
		return YELLOW;
	}
}

static int event(const struct seen_header *h, const struct seen_event *e, FILE *f, const struct out_options *opts)
{
	struct writer w = writer(f, opts);
	bool has_line = e->kind == SEEN_CALL || e->kind == SEEN_BEFORE || e->kind == SEEN_AFTER;

	put_thread(&w, h, e);
	put_time(&w, e->time_ns);
	put_function(&w, BOLD, e->module, e->qualname, has_line ? e->line : 0);
	sink__puts(&w.s, " ");
	put_color(&w, color_of(e->kind));
	sink__puts(&w.s, seen_kind__word(e->kind));
	put_color(&w, PLAIN);
	put_values(&w, e);
	if (e->has_duration) {
		sink__puts(&w.s, "  took ");
		put_duration(&w, e->duration_ns);
	}
	if (e->kind == SEEN_CALL && e->nstack && !h->stack) {
		sink__puts(&w.s, "  from ");
		put_frame(&w, &e->stack[0]);
	}
	if (e->undecided)
		sink__puts(&w.s, "  (whether the condition holds is not known)");
	if (e->source)
		put_source(&w, e->source);
	sink__puts(&w.s, "\n");
	if (h->stack)
		put_stack(&w, e);
	return w.s.err;
}

static void put_counts(struct writer *w, const struct seen_header *h, const struct seen_summary *sum)
{
	begin_note(w, sum->lost || sum->suppressed ? YELLOW : DIM);
	sink__printf(&w->s, "%" PRIu64 " event%s shown, ", sum->events, sum->events == 1 ? "" : "s");
	if (sum->lost)
		sink__printf(&w->s, "%" PRIu64 " lost (they came faster than they could be taken)", sum->lost);
	else
		sink__puts(&w->s, "nothing lost");
	if (sum->suppressed)
		sink__printf(&w->s, ", %" PRIu64 " suppressed by the limit of %" PRIu32 " a second (--rate)",
			     sum->suppressed, h->rate);
	end_note(w);
	if (h->condition) {
		begin_note(w, DIM);
		sink__printf(&w->s, "%" PRIu64 " did not match the condition", sum->unmatched);
		end_note(w);
	}
}

static int end(const struct seen_header *h, const struct seen_summary *sum, FILE *f, const struct out_options *opts)
{
	struct writer w = writer(f, opts);
	char text[32];

	begin_note(&w, DIM);
	format_fixed(text, sizeof(text), sum->seconds, 1);
	sink__printf(&w.s, "ended after %s s", text);
	if (sum->ended) {
		sink__puts(&w.s, ": ");
		sink__put_shown(&w.s, sum->ended);
	}
	end_note(&w);
	put_counts(&w, h, sum);
	if (sum->unreadable) {
		begin_note(&w, YELLOW);
		sink__printf(&w.s, "%" PRIu64 " value%s could not be read, or not in full", sum->unreadable,
			     sum->unreadable == 1 ? "" : "s");
		end_note(&w);
	}
	if (sum->strays) {
		begin_note(&w, DIM);
		sink__printf(&w.s, "%" PRIu64 " read%s of watched bytecode that ran nothing, not shown", sum->strays,
			     sum->strays == 1 ? "" : "s");
		end_note(&w);
	}
	if (sum->unsure) {
		begin_note(&w, DIM);
		sink__printf(&w.s, "%" PRIu64 " hit%s of which it cannot be told whether a line begins or ends there",
			     sum->unsure, sum->unsure == 1 ? "" : "s");
		end_note(&w);
	}
	if (sum->share < 1) {
		begin_note(&w, YELLOW);
		format_fixed(text, sizeof(text), sum->share * 100, 1);
		sink__printf(&w.s, "each place was watched for %s %% of the time", text);
		end_note(&w);
	}
	return w.s.err;
}

const struct out_seen out_seen_text = { .name = "text", .begin = begin, .event = event, .end = end };
