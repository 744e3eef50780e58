/*
 * report: what a command of pylu-cli found and did, for all processes that it concerns: one tree of json, described by
 * docs/patches.schema.json, which is written as it is or as text. The exit status follows from it.
 *
 * Errors of the library are reported through diag; here they are caught and become part of the report.
 */
#ifndef PYLU_REPORT_H
#define PYLU_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "diag.h"

struct sink;

struct report {
	json_t *root;	   /* the whole */
	json_t *processes; /* in it */
	int status;	   /* the exit status is at least this */
	struct diag_capture capture;
};

/* The i-th format's name, for OPT_CHOICE. */
const char *report_format(size_t i);

/* From here to report__write errors are kept. 0, or -ENOMEM, reported. Close it in both cases. */
int report__open(struct report *r, const char *command);
/* A process's object, borrowed. NULL: no memory. */
json_t *report__process(struct report *r, pid_t pid);

/* Puts an error into `object`: the report's root or a process. `text` is a sentence without end mark. */
void report__error(json_t *object, int status, const char *text, const char *remedy, const char *traceback);
/* The same for a negative code of the library, with what was reported. */
void report__failed(struct report *r, json_t *object, int err);
bool report__has_error(const json_t *object);

/* What a process's entry, one without an error, says in the text output. */
typedef void (*report_text)(const struct report *r, const json_t *process, struct sink *s);

/* Whether it is about one process alone. */
bool report__alone(const struct report *r);
/* Text of several lines, each behind `before`; control characters are shown. */
void report_put_lines(struct sink *s, const char *text, const char *before);

/* Writes it: results to standard output, in text errors to standard error. Returns the exit status: 0, or the gravest of its errors'. */
int report__write(struct report *r, const char *format, report_text text);
void report__close(struct report *r);

#endif
