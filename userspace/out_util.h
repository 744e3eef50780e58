/*
 * out_util: what the output formats share: a stream that remembers its first error, untrusted text made fit to be
 * shown, and the sentences that every format has to carry. For out_*.c only.
 */
#ifndef PYLU_OUT_UTIL_H
#define PYLU_OUT_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct prof_process;
struct prof_thread;

/* After the first failure nothing more is written, and `err` (0 or -errno) tells why. */
struct sink {
	FILE *f;
	int err;
};

void sink__write(struct sink *s, const char *data, size_t len);
void sink__puts(struct sink *s, const char *text);
void sink__printf(struct sink *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Remembers a failure that is not the stream's, such as -ENOMEM; an earlier one stays. */
void sink__fail(struct sink *s, int err);
/* Flushes. Returns what failed first: 0 or -errno. */
int sink__finish(struct sink *s);

/* One character of untrusted text as it may be shown: valid UTF-8, never a control, an invisible or a reordering
 * character (those become \x1b or \u202e), bytes that are no UTF-8 become U+FFFD. */
struct glyph {
	char bytes[12];
	uint8_t len;
	uint8_t columns; /* on a terminal: 0 for combining characters, 2 for wide ones */
};

/* Takes the first character of `text`; returns what follows it, or NULL when `text` is at its end. */
const char *glyph__next(struct glyph *g, const char *text);
/* Writes the whole text so. NULL counts as empty. */
void sink__put_shown(struct sink *s, const char *text);
/* The columns that it takes. */
size_t shown_columns(const char *text);

/* A malloc'ed copy that is valid UTF-8 and otherwise unchanged, controls included; NULL when memory runs out. */
char *utf8_copy(const char *text);

bool text_ends(const char *text, const char *ending);
/* NULL as "". */
const char *text_or_empty(const char *text);
/* RFC 3339 in UTC with milliseconds. */
void format_time(char *buf, size_t size, const struct timespec *t);
/* A decimal number without the locale's separators; what is negative or not finite counts as 0. */
void format_fixed(char *buf, size_t size, double value, int decimals);

/* A thread is named by its name alone when no other thread of the process has the same. */
bool thread_name_is_unique(const struct prof_process *proc, const struct prof_thread *thread);
/* "912345 probe hits at 0.85 us each, about 3.2 % of its processor time" */
void sink__put_cost(struct sink *s, const struct prof_process *proc);
/* "nothing", or what and how much. */
void sink__put_lost(struct sink *s, const struct prof_process *proc);
bool process_lost_something(const struct prof_process *proc);

#endif
