/* out_lines: see out_lines.h. */
#include "out_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "out_json_util.h"
#include "out_util.h"

/* What is less than `least` cannot be told from nothing. */
static void put_time(struct sink *out, double ns, double least)
{
	const char *less = ns < least ? "<" : "";
	char text[32];

	ns = ns < least ? least : ns;
	if (ns < 1e3)
		snprintf(text, sizeof(text), "%s%.0f ns", less, ns);
	else if (ns < 1e6)
		snprintf(text, sizeof(text), "%s%.1f us", less, ns / 1e3);
	else if (ns < 1e9)
		snprintf(text, sizeof(text), "%s%.2f ms", less, ns / 1e6);
	else
		snprintf(text, sizeof(text), "%s%.2f s", less, ns / 1e9);
	sink__printf(out, " %10s", text);
}

/* Hits and times of lines that were watched for different shares of the time can be compared by what they would have been. */
static void put_line(struct sink *out, const struct inspect_line *line, double whole, double least, bool turns)
{
	sink__printf(out, "%6u", line->line);
	if (line->share <= 0) {
		sink__printf(out, "  %12s %10s %10s %7s%s", "not watched", "", "", "", turns ? "        " : "");
	} else {
		sink__printf(out, "  %12llu", (unsigned long long)line->hits);
		if (line->timed) {
			put_time(out, (double)line->total_ns, least * (double)line->timed);
			put_time(out, (double)line->total_ns / (double)line->timed, least);
		} else {
			sink__printf(out, " %10s %10s", "-", "-");
		}
		sink__printf(out, " %6.1f%%", whole > 0 ? 100 * (double)line->total_ns / line->share / whole : 0.0);
		if (turns)
			sink__printf(out, " %6.1f%%", 100 * line->share);
	}
	sink__puts(out, "  ");
	sink__put_shown(out, line->source);
	sink__puts(out, "\n");
}

int out_lines__text(const void *what, FILE *f, const struct out_options *opts)
{
	const struct out_lines *r = what;
	const char *bold = opts->color ? "\033[1m" : "", *plain = opts->color ? "\033[0m" : "";
	struct sink out = { .f = f };
	bool turns = false;
	double whole = 0;

	for (size_t i = 0; i < r->nlines; i++) {
		turns |= r->lines[i].share > 0 && r->lines[i].share < 0.999;
		whole += r->lines[i].share > 0 ? (double)r->lines[i].total_ns / r->lines[i].share : 0;
	}
	sink__puts(&out, bold);
	sink__put_shown(&out, r->function);
	sink__puts(&out, plain);
	sink__puts(&out, "  ");
	sink__put_shown(&out, r->file);
	sink__printf(&out, "\nprocess %d, %.1f s; times without what watching added (%.1f us a hit)\n",
		     (int)r->header->pid, r->summary.seconds, r->header->cost_ns / 1e3);
	if (r->header->watched)
		sink__printf(&out, "%s\n", r->header->watched);
	sink__printf(&out, "%6s  %12s %10s %10s %7s%s  %s\n", "line", "hits", "total", "per hit", "share",
		     turns ? " watched" : "", "source");
	for (size_t i = 0; i < r->nlines; i++)
		put_line(&out, &r->lines[i], whole, r->header->cost_ns / 4, turns);
	if (turns)
		sink__puts(&out,
			   "hits and times are those seen while a line was watched; `watched` is how much of the time "
			   "that was\n");
	if (r->summary.lost || r->summary.strays)
		sink__printf(&out, "lost: %llu hits; %llu reads of the bytecode that were no execution of it\n",
			     (unsigned long long)r->summary.lost, (unsigned long long)r->summary.strays);
	else
		sink__puts(&out, "lost: nothing\n");
	if (r->summary.unsure)
		sink__printf(&out, "of %llu hits it cannot be told whether a line begins or ends there\n",
			     (unsigned long long)r->summary.unsure);
	sink__printf(&out, "ended: %s\n", text_or_empty(r->summary.ended));
	return sink__finish(&out);
}

static json_t *line_object(struct sink *out, const struct inspect_line *line)
{
	json_t *o = json_object();

	out_json__set(out, o, "line", out_json__integer(line->line));
	out_json__set(out, o, "source", line->source ? out_json__string(line->source) : json_null());
	out_json__set(out, o, "watched", out_json__number(line->share));
	out_json__set(out, o, "hits", line->share > 0 ? out_json__integer(line->hits) : json_null());
	out_json__set(out, o, "timed", line->share > 0 ? out_json__integer(line->timed) : json_null());
	out_json__set(out, o, "total_ns", line->timed ? out_json__integer(line->total_ns) : json_null());
	out_json__set(out, o, "min_ns", line->timed ? out_json__integer(line->min_ns) : json_null());
	out_json__set(out, o, "max_ns", line->timed ? out_json__integer(line->max_ns) : json_null());
	return o;
}

int out_lines__json(const void *what, FILE *f, const struct out_options *opts)
{
	const struct out_lines *r = what;
	struct sink out = { .f = f };
	json_t *root = json_object(), *lines = json_array();
	char *text;

	(void)opts;
	out_json__set(&out, root, "format", out_json__string("pylu-lines"));
	out_json__set(&out, root, "version", out_json__integer(1));
	out_json__set(&out, root, "pid", out_json__integer((uint64_t)r->header->pid));
	out_json__set(&out, root, "target", out_json__string(r->header->target));
	out_json__set(&out, root, "python", out_json__string(r->header->python));
	out_json__set(&out, root, "function", out_json__string(r->function));
	out_json__set(&out, root, "file", out_json__string(r->file));
	out_json__set(&out, root, "backend", out_json__string(r->header->backend));
	out_json__set(&out, root, "duration_s", out_json__number(r->summary.seconds));
	out_json__set(&out, root, "ns_per_hit", out_json__number(r->header->cost_ns));
	out_json__set(&out, root, "lost", out_json__integer(r->summary.lost));
	out_json__set(&out, root, "strays", out_json__integer(r->summary.strays));
	out_json__set(&out, root, "unsure", out_json__integer(r->summary.unsure));
	out_json__set(&out, root, "ended", out_json__string(r->summary.ended));
	for (size_t i = 0; i < r->nlines; i++)
		if (json_array_append_new(lines, line_object(&out, &r->lines[i])))
			sink__fail(&out, -ENOMEM);
	out_json__set(&out, root, "lines", lines);
	text = json_dumps(root, JSON_INDENT(1) | OUT_JSON_FLAGS);
	if (text) {
		out_json__put(&out, text);
		sink__puts(&out, "\n");
	} else {
		sink__fail(&out, -ENOMEM);
	}
	free(text);
	json_decref(root);
	return sink__finish(&out);
}
