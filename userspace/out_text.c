/*
 * out_text: the summary for people: a header, then a table for each thread in the form that users of PyLiveUpdate know:
 *
 *   4510-Thread-5
 *   function                 hit  time/hit (ms)  ...
 *   views.results             10        138.562
 *     -manager.all            20         14.212
 *
 * Owns the layout of columns. All columns have the same widths in every table of a profile. What comes from a target is
 * written through sink__put_shown only, so that it cannot steer a terminal.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "out.h"
#include "out_util.h"
#include "profile.h"

#define MAX_INDENT 16	     /* levels; deeper calls say how deep they are */
#define MAX_NAME_COLUMNS 72  /* a longer name pushes its own row's numbers to the right, not everybody's */
#define FINE_BELOW_NS 100000 /* shorter times are shown with six decimals of a millisecond */

enum column {
	COL_NAME,
	COL_HIT,
	COL_MEAN,
	COL_TOTAL,
	COL_SELF,
	COL_MIN,
	COL_MAX,
	COL_ELAPSED,
	COL_RAISED,
	COL_NOTES,
	NCOLS
};

static const struct {
	const char *title;
	bool is_time;
} columns[NCOLS] = {
	[COL_NAME] = { "function", false },	[COL_HIT] = { "hit", false },
	[COL_MEAN] = { "time/hit (ms)", true }, [COL_TOTAL] = { "total (ms)", true },
	[COL_SELF] = { "self (ms)", true },	[COL_MIN] = { "min (ms)", true },
	[COL_MAX] = { "max (ms)", true },	[COL_ELAPSED] = { "elapsed/hit (ms)", true },
	[COL_RAISED] = { "raised", false },	[COL_NOTES] = { "notes", false },
};

/* What the first walk over the profile finds out for the second. */
struct table {
	struct sink s;
	bool color;
	size_t width[NCOLS];
	bool fine[NCOLS]; /* a time column that shows six decimals somewhere */
	bool shown[NCOLS];
	bool at_start, at_end, suspended, untimed; /* which notes the legend has to explain */
	size_t calls;
};

struct cells {
	char text[NCOLS][72]; /* but COL_NAME */
	bool fine[NCOLS];
};

#define BOLD "\033[1m"
#define DIM "\033[2m"
#define RED "\033[31m"
#define YELLOW "\033[33m"
#define PLAIN "\033[0m"

static void put_color(struct table *t, const char *code)
{
	if (t->color)
		sink__puts(&t->s, code);
}

static void put_line(struct table *t, const char *code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A line of our own words in one colour. */
static void put_line(struct table *t, const char *code, const char *fmt, ...)
{
	char line[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	put_color(t, code);
	sink__puts(&t->s, line);
	put_color(t, PLAIN);
	sink__puts(&t->s, "\n");
}

static void format_ms(struct cells *c, enum column col, uint64_t ns)
{
	c->fine[col] = ns && ns < FINE_BELOW_NS;
	if (!c->fine[col])
		ns = ns / 1000 + (ns % 1000 >= 500);
	snprintf(c->text[col], sizeof(c->text[col]), c->fine[col] ? "%" PRIu64 ".%06" PRIu64 : "%" PRIu64 ".%03" PRIu64,
		 ns / (c->fine[col] ? 1000000 : 1000), ns % (c->fine[col] ? 1000000 : 1000));
}

/* A mean over calls that ended while we watched; there may be none. */
static void format_mean(struct cells *c, enum column col, uint64_t ns, uint64_t n)
{
	if (n)
		format_ms(c, col, ns / n + (ns % n >= n - n / 2));
}

static void format_note(char *notes, size_t size, char mark, uint64_t n)
{
	size_t len = strlen(notes);

	if (n)
		snprintf(notes + len, size - len, "%s%c%" PRIu64, len ? " " : "", mark, n);
}

static void format_cells(const struct prof_call *call, struct cells *c)
{
	char *notes = c->text[COL_NOTES];
	size_t size = sizeof(c->text[COL_NOTES]);

	memset(c, 0, sizeof(*c));
	snprintf(c->text[COL_HIT], sizeof(c->text[COL_HIT]), "%" PRIu64, call->hits);
	snprintf(c->text[COL_RAISED], sizeof(c->text[COL_RAISED]), "%" PRIu64, call->raised);
	format_ms(c, COL_TOTAL, call->total_ns);
	format_ms(c, COL_SELF, call->self_ns);
	format_mean(c, COL_MEAN, call->complete_ns, call->complete);
	format_mean(c, COL_MIN, call->min_ns, !!call->complete);
	format_mean(c, COL_MAX, call->max_ns, !!call->complete);
	if (call->generator)
		format_mean(c, COL_ELAPSED, call->elapsed_ns, call->complete);
	format_note(notes, size, '<', call->running_at_start);
	format_note(notes, size, '>', call->running_at_end);
	format_note(notes, size, '~', call->suspended_at_end);
	format_note(notes, size, '?', call->untimed);
}

/* How a call's name is led in: `level` is 0 for a call without a matching caller. */
static void format_lead(char *buf, size_t size, int level)
{
	if (level > MAX_INDENT)
		snprintf(buf, size, "%*s\xe2\x80\xa6 %d deep -", 2 * MAX_INDENT, "", level);
	else
		snprintf(buf, size, "%*s%s", 2 * level, "", level ? "-" : "");
}

static void measure_call(struct table *t, const struct prof_call *call, int level)
{
	struct cells c;
	char lead[80];
	size_t name;

	t->calls++;
	t->at_start |= !!call->running_at_start;
	t->at_end |= !!call->running_at_end;
	t->suspended |= !!call->suspended_at_end;
	t->untimed |= !!call->untimed;
	format_lead(lead, sizeof(lead), level);
	name = shown_columns(lead) + shown_columns(call->function);
	if (name > MAX_NAME_COLUMNS)
		name = MAX_NAME_COLUMNS;
	if (name > t->width[COL_NAME])
		t->width[COL_NAME] = name;
	format_cells(call, &c);
	for (int col = COL_HIT; col < NCOLS; col++) {
		size_t len = strlen(c.text[col]);

		/* The width before the last three decimals, which put_cells adds where a column needs them. */
		len -= c.fine[col] ? 3 : 0;
		t->fine[col] |= c.fine[col];
		if (len > t->width[col])
			t->width[col] = len;
	}
}

static void measure(struct table *t, const struct profile *p)
{
	for (size_t i = 0; i < p->nprocesses; i++) {
		for (size_t j = 0; j < p->processes[i]->nthreads; j++) {
			const struct prof_call *root = p->processes[i]->threads[j]->root, *call = root;
			int depth = 0;

			while ((call = prof_call__next(root, call, &depth)))
				measure_call(t, call, depth - 1);
		}
	}
	for (int col = 0; col < NCOLS; col++) {
		size_t title = strlen(columns[col].title);

		t->shown[col] = (col != COL_ELAPSED && col != COL_NOTES) || t->width[col];
		t->width[col] += t->fine[col] ? 3 : 0;
		if (title > t->width[col])
			t->width[col] = title;
	}
}

static void put_blanks(struct table *t, size_t n)
{
	sink__printf(&t->s, "%*s", (int)n, "");
}

static void put_titles(struct table *t)
{
	put_color(t, DIM);
	sink__printf(&t->s, "%-*s", (int)t->width[COL_NAME], columns[COL_NAME].title);
	for (int col = COL_HIT; col < COL_NOTES; col++) {
		if (t->shown[col])
			sink__printf(&t->s, "  %*s", (int)t->width[col], columns[col].title);
	}
	if (t->shown[COL_NOTES])
		sink__printf(&t->s, "  %s", columns[COL_NOTES].title);
	put_color(t, PLAIN);
	sink__puts(&t->s, "\n");
}

static void put_cells(struct table *t, const struct prof_call *call)
{
	struct cells c;

	format_cells(call, &c);
	for (int col = COL_HIT; col < COL_NOTES; col++) {
		/* Numbers with three decimals and with six stand with their points below each other. */
		size_t after = t->fine[col] && !c.fine[col] ? 3 : 0;
		const char *text = columns[col].is_time && !*c.text[col] ? "-" : c.text[col];

		if (!t->shown[col])
			continue;
		if (col == COL_RAISED && call->raised)
			put_color(t, RED);
		sink__printf(&t->s, "  %*s", (int)(t->width[col] - after), text);
		if (col == COL_RAISED && call->raised)
			put_color(t, PLAIN);
		put_blanks(t, after);
	}
	if (*c.text[COL_NOTES])
		sink__printf(&t->s, "  %s", c.text[COL_NOTES]);
	sink__puts(&t->s, "\n");
}

static void put_call(struct table *t, const struct prof_call *call, int level)
{
	char lead[80];
	size_t taken;

	format_lead(lead, sizeof(lead), level);
	sink__puts(&t->s, lead);
	sink__put_shown(&t->s, call->function);
	taken = shown_columns(lead) + shown_columns(call->function);
	if (taken < t->width[COL_NAME])
		put_blanks(t, t->width[COL_NAME] - taken);
	put_cells(t, call);
}

static void put_thread(struct table *t, const struct prof_process *proc, const struct prof_thread *thread)
{
	const struct prof_call *call = thread->root;
	const char *name = text_or_empty(thread->name);
	int depth = 0;

	if (!thread->root->nchildren)
		return;
	sink__puts(&t->s, "\n");
	put_color(t, BOLD);
	sink__printf(&t->s, "%d", proc->pid);
	if (proc->interpreter >= 0)
		sink__printf(&t->s, ":%" PRId64, proc->interpreter);
	sink__puts(&t->s, "-");
	sink__put_shown(&t->s, name);
	if (!*name)
		sink__printf(&t->s, "%d", thread->tid);
	else if (!thread_name_is_unique(proc, thread))
		sink__printf(&t->s, " [%d]", thread->tid);
	put_color(t, PLAIN);
	sink__puts(&t->s, "\n");
	put_titles(t);
	while (!t->s.err && (call = prof_call__next(thread->root, call, &depth)))
		put_call(t, call, depth - 1);
}

static void put_process_tables(struct table *t, const struct prof_process *proc)
{
	bool any = false;

	for (size_t i = 0; i < proc->nthreads; i++) {
		any |= proc->threads[i]->root->nchildren > 0;
		put_thread(t, proc, proc->threads[i]);
	}
	if (!any)
		sink__printf(&t->s, "\n%d: no call of a function that matches was seen.\n", proc->pid);
}

static void put_warning(struct table *t, const char *warning)
{
	put_color(t, YELLOW);
	sink__puts(&t->s, "  warning: ");
	sink__put_shown(&t->s, warning);
	put_color(t, PLAIN);
	sink__puts(&t->s, "\n");
}

static void put_process_head(struct table *t, const struct prof_process *proc)
{
	const char *build_id = text_or_empty(proc->build_id), *why = text_or_empty(proc->why);

	sink__puts(&t->s, "\n");
	put_color(t, BOLD);
	sink__printf(&t->s, "process %d", proc->pid);
	if (proc->interpreter >= 0)
		sink__printf(&t->s, ", interpreter %" PRId64, proc->interpreter);
	sink__puts(&t->s, ": ");
	sink__put_shown(&t->s, proc->command);
	put_color(t, PLAIN);
	sink__puts(&t->s, "\n  Python ");
	sink__put_shown(&t->s, proc->python);
	sink__puts(&t->s, *build_id ? ", build-id " : ", no build-id");
	sink__put_shown(&t->s, build_id);
	sink__puts(&t->s, "\n  backend ");
	sink__put_shown(&t->s, proc->backend);
	sink__puts(&t->s, *why ? ": " : "");
	sink__put_shown(&t->s, why);
	sink__puts(&t->s, "\n  cost: ");
	sink__put_cost(&t->s, proc);
	sink__puts(&t->s, proc->jit ? "; no times" : proc->raw ? "; times are raw" : "; times are corrected for it");
	sink__puts(&t->s, "\n  ");
	put_color(t, process_lost_something(proc) ? RED : "");
	sink__puts(&t->s, "lost: ");
	sink__put_lost(&t->s, proc);
	put_color(t, process_lost_something(proc) ? PLAIN : "");
	sink__puts(&t->s, "\n");
	if (proc->ended)
		sink__puts(&t->s, "  The process ended, or ran another program, while we watched.\n");
	for (size_t i = 0; i < proc->nwarnings; i++)
		put_warning(t, proc->warnings[i]);
}

static void put_head(struct table *t, const struct profile *p)
{
	char started[64], seconds[32];

	format_time(started, sizeof(started), &p->started);
	format_fixed(seconds, sizeof(seconds), p->duration_ns / 1e9, 3);
	put_color(t, BOLD);
	sink__puts(&t->s, "Calls of");
	for (size_t i = 0; i < p->npatterns; i++) {
		sink__puts(&t->s, i ? ", " : " ");
		sink__put_shown(&t->s, p->patterns[i]);
	}
	put_color(t, PLAIN);
	sink__puts(&t->s, "\non ");
	sink__put_shown(&t->s, p->host);
	sink__printf(&t->s, ", from %s, for %s s\n", started, seconds);
	for (size_t i = 0; i < p->nprocesses; i++)
		put_process_head(t, p->processes[i]);
}

static void put_legend(struct table *t)
{
	if (t->at_start || t->at_end || t->suspended || t->untimed || t->shown[COL_ELAPSED])
		sink__puts(&t->s, "\n");
	if (t->at_start)
		put_line(t, DIM,
			 "<N  N calls were running already when we attached: no hits; their time since then counts in "
			 "total and self");
	if (t->at_end)
		put_line(t, DIM,
			 ">N  N calls were still running when we stopped: their time so far counts in total and self");
	if (t->suspended)
		put_line(t, DIM,
			 "~N  N generators or coroutines were suspended when we stopped: their time so far counts in "
			 "total and self");
	if (t->untimed)
		put_line(t, DIM,
			 "?N  N calls could not be timed (generators that started before their suspensions were "
			 "watched; "
			 "any call under the JIT): hits, but in no time");
	if (t->shown[COL_ELAPSED])
		put_line(t, DIM,
			 "elapsed/hit: of generators and coroutines, from start to end; all other times leave out the "
			 "time suspended");
}

static int write_text(const struct profile *p, FILE *f, const struct out_options *opts)
{
	struct table t = { .s.f = f, .color = opts && opts->color };

	measure(&t, p);
	put_head(&t, p);
	if (!p->nprocesses)
		sink__puts(&t.s, "\nNo process was watched.\n");
	else if (!t.calls)
		sink__puts(
			&t.s,
			"\nNo call of a function that matches was seen, neither a new one nor one that was running.\n");
	else
		for (size_t i = 0; i < p->nprocesses; i++)
			put_process_tables(&t, p->processes[i]);
	put_legend(&t);
	return sink__finish(&t.s);
}

const struct out_format out_text = {
	.name = "text",
	.summary = "a table for each thread, to read",
	.write = write_text,
};
