/* change_text: see change_text.h. */
#include "change_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "diff.h"
#include "out_json_util.h"
#include "out_util.h"
#include "report.h"

static void put(struct sink *s, const json_t *object, const char *name, const char *before)
{
	const char *text = answer_text(object, name, "");

	if (*text) {
		sink__puts(s, before);
		sink__put_shown(s, text);
	}
}

/* "redefine shop.views.total (method)" in the tense that is asked for. */
static void put_change(struct sink *s, const json_t *change, bool done)
{
	const char *kind = answer_text(change, "change", "redefine");
	const json_t *layer;
	size_t i;

	if (!strcmp(kind, "add"))
		sink__puts(s, done ? "added " : "add ");
	else if (!strcmp(kind, "set"))
		sink__puts(s, "set ");
	else
		sink__puts(s, done ? "redefined " : "redefine ");
	put(s, change, "target", "");
	json_array_foreach(json_object_get(change, "layers"), i, layer)
		put(s, layer, "qualname", i ? ", " : ", behind ");
}

static void put_changes(struct sink *s, const json_t *process, bool done)
{
	const json_t *changes = json_object_get(process, "changes"), *change;
	size_t i;

	json_array_foreach(changes, i, change)
	{
		sink__puts(s, i == 0 ? "" : i + 1 == json_array_size(changes) ? " and " : ", ");
		put_change(s, change, done);
	}
}

static void put_notes(struct sink *s, const json_t *object)
{
	const json_t *note;
	size_t i;

	json_array_foreach(json_object_get(object, "notes"), i, note)
	{
		sink__puts(s, "  note: ");
		sink__put_shown(s, json_string_value(note) ? json_string_value(note) : "");
		sink__puts(s, "\n");
	}
}

static void put_all_notes(struct sink *s, const json_t *process)
{
	const json_t *change;
	size_t i;

	put_notes(s, process);
	json_array_foreach(json_object_get(process, "changes"), i, change) put_notes(s, change);
}

static void put_running(struct sink *s, const json_t *process, bool done)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(process, "running"), i, one)
	{
		const uint64_t thread = answer_number(one, "thread", 0);

		if (!i)
			sink__printf(s, "  %s with the old code:\n",
				     done ? "Still inside, will finish" : "Inside now, would finish");
		put(s, one, "kind", "    ");
		put(s, one, "name", " ");
		if (thread)
			sink__printf(s, " (%" PRIu64 ")", thread);
		put(s, one, "target", " in ");
		if (answer_number(one, "line", 0))
			sink__printf(s, ", line %" PRIu64, answer_number(one, "line", 0));
		sink__puts(s, "\n");
	}
}

static void put_ms(struct sink *s, const json_t *process, const char *name, const char *what)
{
	const json_t *value = json_object_get(process, name);

	if (value)
		sink__printf(s, "%s%.2f ms", what, (double)json_integer_value(value) / 1000);
}

static void put_times(struct sink *s, const json_t *process)
{
	if (!json_object_get(process, "hold_us"))
		return;
	put_ms(s, process, "hold_us", "  The change held the GIL for ");
	put_ms(s, process, "gil_wait_us", ", after a wait for it of ");
	put_ms(s, process, "prepare_hold_us", "; preparing it, for ");
	sink__puts(s, ".\n");
}

/* Most often it is the same in all processes: then once. */
static void put_diffs(struct sink *s, const struct report *r, const json_t *process)
{
	const json_t *before, *change;
	size_t i;

	json_array_foreach(r->processes, i, before)
	{
		if (before == process)
			break;
		if (json_equal(json_object_get(before, "changes"), json_object_get(process, "changes")))
			return;
	}
	json_array_foreach(json_object_get(process, "changes"), i, change)
		report_put_lines(s, answer_text(change, "diff", ""), "");
}

static void put_skipped(struct sink *s, const json_t *process)
{
	sink__printf(s, "%" PRIu64 ": left out:", answer_number(process, "pid", 0));
	put(s, process, "skipped", " ");
	sink__puts(s, "\n");
}

void change_text(const struct report *r, const json_t *process, struct sink *s)
{
	const char *outcome = answer_text(process, "outcome", "");
	const uint64_t pid = answer_number(process, "pid", 0);

	if (!strcmp(outcome, "skipped")) {
		put_skipped(s, process);
	} else if (!strcmp(outcome, "changed")) {
		sink__printf(s, "%" PRIu64 ": ", pid);
		put_changes(s, process, true);
		sink__printf(s, "; patch %" PRIu64 "%s\n", answer_number(process, "id", 0),
			     json_is_true(json_object_get(process, "inherited")) ? ", inherited at its fork" : "");
		put_running(s, process, true);
		put_all_notes(s, process);
		put_times(s, process);
	} else if (!strcmp(outcome, "prepared")) {
		sink__printf(s, "%" PRIu64 ": would ", pid);
		put_changes(s, process, false);
		sink__puts(s, "; nothing was changed\n");
		put_running(s, process, false);
		put_all_notes(s, process);
		put_diffs(s, r, process);
	} else if (!report__alone(r)) {
		sink__printf(s, "%" PRIu64 ": left as it was\n", pid);
	}
}

/* Local time, to the second. */
static void put_time(struct sink *s, uint64_t ns, const char *before)
{
	const time_t seconds = (time_t)(ns / 1000000000);
	struct tm tm;
	char text[64];

	if (!ns || !localtime_r(&seconds, &tm))
		return;
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	sink__printf(s, "%s%s", before, text);
}

static void put_count(struct sink *s, const json_t *patch, const char *name)
{
	if (json_object_get(patch, name))
		sink__printf(s, "  %8" PRIu64, answer_number(patch, name, 0));
	else
		sink__printf(s, "  %8s", "-");
}

static void put_row(struct sink *s, const json_t *patch)
{
	const json_t *changes = json_object_get(patch, "changes"), *change;
	char time_text[32] = "-";
	const time_t seconds = (time_t)(answer_number(patch, "applied_ns", 0) / 1000000000);
	struct tm tm;
	size_t i;

	if (seconds && localtime_r(&seconds, &tm))
		strftime(time_text, sizeof(time_text), "%Y-%m-%d %H:%M:%S", &tm);
	sink__printf(s, "%5" PRIu64 "  %-9s  %-19s", answer_number(patch, "id", 0), answer_text(patch, "state", "?"),
		     time_text);
	put_count(s, patch, "calls");
	put_count(s, patch, "errors");
	sink__printf(s, "  %.8s  ", answer_text(patch, "token", ""));
	json_array_foreach(changes, i, change) put(s, change, "target", i ? ", " : "");
	sink__puts(s, "\n");
	put(s, patch, "who", "       by ");
	put(s, patch, "why", "; ended: ");
	put_time(s, answer_number(patch, "reverted_ns", 0), " at ");
	if (json_object_get(patch, "ttl_left_ms"))
		sink__printf(s, "; ends by itself in %" PRIu64 " s",
			     (answer_number(patch, "ttl_left_ms", 0) + 999) / 1000);
	if (json_object_get(patch, "errors_max") && !json_object_get(patch, "why"))
		sink__printf(s, "; is taken back at %" PRIu64 " errors", answer_number(patch, "errors_max", 0));
	sink__puts(s, "\n");
}

void change_text_list(const struct report *r, const json_t *process, struct sink *s)
{
	const json_t *patches = json_object_get(process, "patches"), *patch;
	size_t i;

	if (!report__alone(r) || !json_array_size(patches))
		sink__printf(s, "%" PRIu64 ":%s\n", answer_number(process, "pid", 0),
			     json_array_size(patches) ? "" : " no patches");
	if (json_array_size(patches))
		sink__puts(s, "   ID  STATE      APPLIED                 CALLS    ERRORS  TOKEN     TARGETS\n");
	json_array_foreach(patches, i, patch) put_row(s, patch);
}

void change_text_reverted(const struct report *r, const json_t *process, struct sink *s)
{
	const json_t *patch, *change;
	size_t i, k;

	(void)r;
	if (json_object_get(process, "skipped"))
		return;
	json_array_foreach(json_object_get(process, "patches"), i, patch)
	{
		sink__printf(s, "%" PRIu64 ": took back patch %" PRIu64 ":", answer_number(process, "pid", 0),
			     answer_number(patch, "id", 0));
		json_array_foreach(json_object_get(patch, "changes"), k, change)
			put(s, change, "target", k ? ", " : " ");
		sink__puts(s, "\n");
	}
	put_notes(s, process);
}

void change_text_show(const struct report *r, const json_t *process, struct sink *s)
{
	const json_t *patch = json_array_get(json_object_get(process, "patches"), 0);
	const json_t *changes = json_object_get(process, "changes"), *change;
	size_t i;

	if (json_object_get(process, "skipped"))
		return;
	change_text_list(r, process, s);
	put(s, patch, "command", "       pylu-cli ");
	put(s, patch, "source_hash", "\n       source: SHA-256 ");
	sink__puts(s, "\n");
	json_array_foreach(changes, i, change)
	{
		report_put_lines(s, answer_text(change, "diff", ""), "");
		put_notes(s, change);
	}
}

/* Lines first..last of a text, from 1 on; to be freed. */
static char *lines_of(const char *text, uint64_t first, uint64_t last)
{
	const char *end;

	for (uint64_t n = 1; n < first && *text; n++)
		text += strcspn(text, "\n") + (text[strcspn(text, "\n")] == '\n');
	end = text;
	for (uint64_t n = first; n <= last && *end; n++)
		end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
	return strndup(text, (size_t)(end - text));
}

static bool make_diff(json_t *change, const char *source, const char *file)
{
	const uint64_t line = answer_number(change, "line", 1), last = answer_number(change, "last_line", 0);
	char label[512], new_label[512], *text = lines_of(source, line, last), *out = NULL;
	const struct diff_side before = { answer_text(change, "original", ""), label, 1 };
	const struct diff_side after = { text ? text : "", new_label, line };
	bool ok;

	snprintf(label, sizeof(label), "%s", answer_text(change, "target", ""));
	snprintf(new_label, sizeof(new_label), "%s", file);
	if (!json_is_string(json_object_get(change, "original")) &&
	    !strcmp(answer_text(change, "change", ""), "redefine"))
		answer_add_note(change, "the original's source is not known");
	ok = text && !diff(&before, &after, &out) && !json_object_set_new(change, "diff", out_json__string(out));
	json_object_del(change, "original");
	free(text);
	free(out);
	return ok;
}

bool change_diffs(const json_t *changes, const char *source, const char *file)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change)
	{
		if (!make_diff(change, source, file))
			return false;
	}
	return true;
}
