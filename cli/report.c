/* report: see report.h. */
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "out_json_util.h"
#include "out_util.h"
#include "program.h"

#define FORMAT_VERSION 1

const char *report_format(size_t i)
{
	static const char *const names[] = { "text", "json" };

	return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

int report__open(struct report *r, const char *command)
{
	*r = (struct report){ .root = json_pack("{ss si ss}", "format", "pylu-patches", "version", FORMAT_VERSION,
						"command", command),
			      .processes = json_array() };
	if (!r->root || json_object_set(r->root, "processes", r->processes))
		return diag_error(-ENOMEM, "out of memory");
	diag_capture__begin(&r->capture);
	return 0;
}

json_t *report__process(struct report *r, pid_t pid)
{
	json_t *process = json_pack("{si}", "pid", (int)pid);

	return json_array_append_new(r->processes, process) ? NULL : process;
}

void report__error(json_t *object, int status, const char *text, const char *remedy, const char *traceback)
{
	json_t *error = json_object();

	json_object_set_new(error, "status", json_integer(status));
	json_object_set_new(error, "text", out_json__string(text));
	json_object_set_new(error, "remedy", remedy && remedy[0] ? out_json__string(remedy) : json_null());
	json_object_set_new(error, "traceback", traceback && traceback[0] ? out_json__string(traceback) : json_null());
	json_object_set_new(object, "error", error);
}

void report__failed(struct report *r, json_t *object, int err)
{
	report__error(object, diag_exit_status(err), r->capture.error[0] ? r->capture.error : diag_strerror(err),
		      program_remedy(err), NULL);
	r->capture.error[0] = '\0';
}

bool report__has_error(const json_t *object)
{
	return json_is_object(json_object_get(object, "error"));
}

bool report__alone(const struct report *r)
{
	return json_array_size(r->processes) == 1;
}

static int status_of(const json_t *object)
{
	return (int)answer_number(json_object_get(object, "error"), "status", 0);
}

/* Completes an object by what all have. */
static int settle(json_t *object)
{
	const int status = status_of(object);

	if (!report__has_error(object))
		json_object_set_new(object, "error", json_null());
	json_object_set_new(object, "done", json_boolean(!status));
	return status;
}

static int settle_all(struct report *r)
{
	int status = status_of(r->root) > r->status ? status_of(r->root) : r->status;
	json_t *process;
	size_t i;

	json_array_foreach(r->processes, i, process)
	{
		const int one = settle(process);

		status = one > status ? one : status;
	}
	settle(r->root);
	json_object_set_new(r->root, "done", json_boolean(!status));
	json_object_set_new(r->root, "exit_status", json_integer(status));
	return status;
}

void report_put_lines(struct sink *s, const char *text, const char *before)
{
	while (*text) {
		const size_t len = strcspn(text, "\n");
		char *line = strndup(text, len);

		if (!line) {
			sink__fail(s, -ENOMEM);
			return;
		}
		sink__puts(s, before);
		sink__put_shown(s, line);
		sink__puts(s, "\n");
		free(line);
		text += len + (text[len] == '\n');
	}
}

static void put_error(struct sink *s, const json_t *object)
{
	const json_t *error = json_object_get(object, "error");

	if (!json_is_object(error))
		return;
	sink__printf(s, "%s: ", program_name());
	sink__put_shown(s, answer_text(error, "text", ""));
	sink__puts(s, "\n");
	report_put_lines(s, answer_text(error, "traceback", ""), "    ");
}

/* Each remedy once, behind all errors. */
static void put_remedies(struct sink *s, const struct report *r)
{
	const char *last = answer_text(json_object_get(r->root, "error"), "remedy", "");
	const json_t *process;
	size_t i;

	if (*last)
		sink__printf(s, "%s: %s\n", program_name(), last);
	json_array_foreach(r->processes, i, process)
	{
		const char *remedy = answer_text(json_object_get(process, "error"), "remedy", "");

		if (*remedy && strcmp(remedy, last) != 0) {
			sink__printf(s, "%s: %s\n", program_name(), remedy);
			last = remedy;
		}
	}
}

static int write_text(const struct report *r, report_text text)
{
	struct sink out = { .f = stdout }, errors = { .f = stderr };
	const json_t *process;
	size_t i;

	json_array_foreach(r->processes, i, process)
	{
		if (!report__has_error(process))
			text(r, process, &out);
	}
	if (json_object_get(r->root, "take_back"))
		sink__printf(&out, "Take it back with: %s\n", answer_text(r->root, "take_back", ""));
	out.err = sink__finish(&out);
	json_array_foreach(r->processes, i, process) put_error(&errors, process);
	put_error(&errors, r->root);
	put_remedies(&errors, r);
	return out.err;
}

static int write_json(const struct report *r)
{
	char *text = json_dumps(r->root, JSON_INDENT(1) | OUT_JSON_FLAGS);
	struct sink out = { .f = stdout };

	if (!text)
		return -ENOMEM;
	out_json__put(&out, text);
	sink__puts(&out, "\n");
	free(text);
	return sink__finish(&out);
}

int report__write(struct report *r, const char *format, report_text text)
{
	const int status = settle_all(r);
	int err;

	diag_capture__end(&r->capture);
	r->capture.outer = NULL;
	if (format && !strcmp(format, "json"))
		err = write_json(r);
	else
		err = write_text(r, text);
	if (err) {
		diag_error(err, "cannot write to standard output: %s", diag_strerror(err));
		return status ? status : 1;
	}
	return status;
}

void report__close(struct report *r)
{
	if (r->capture.outer)
		diag_capture__end(&r->capture);
	json_decref(r->root);
	json_decref(r->processes);
}
