/* diff: two texts compared by lines, in the unified form with three lines around each difference. */
#ifndef PYLU_DIFF_H
#define PYLU_DIFF_H

#include <stdint.h>

/* What lies between their common start and end is compared line by line where that is below DIFF_CELLS pairs of lines, and is
 * given as replaced otherwise. */
#define DIFF_CELLS (16U << 20)

struct diff_side {
	const char *text;
	const char *label; /* behind --- or +++ */
	uint64_t line;	   /* number of the text's first line */
};

/* *out is malloc'ed and owned by the caller; "" where the texts are the same. 0 or -ENOMEM, not reported. */
int diff(const struct diff_side *before, const struct diff_side *after, char **out);

#endif
