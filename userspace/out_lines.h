/* out_lines: the result of `line`: each line's hits and times next to its text. */
#ifndef PYLU_OUT_LINES_H
#define PYLU_OUT_LINES_H

#include "inspect.h"

struct out_options;

struct out_lines {
	const struct seen_header *header;
	const char *function, *file;
	struct seen_summary summary;
	const struct inspect_line *lines;
	size_t nlines;
};

/* `what` is a struct out_lines. 0 or a negative errno, not reported. */
int out_lines__text(const void *what, FILE *f, const struct out_options *opts);
int out_lines__json(const void *what, FILE *f, const struct out_options *opts);

#endif
