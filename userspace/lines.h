/*
 * lines: which lines and which variables of a function a user means, and what to say where it has none such. Knows nothing
 * of code objects: what there is comes in as lists.
 */
#ifndef PYLU_LINES_H
#define PYLU_LINES_H

#include <stddef.h>
#include <stdint.h>

struct line_range {
	uint32_t first, last;
};

/* Sorted, and none touches the next. */
struct lines {
	struct line_range *ranges;
	size_t n;
};

/* "12", "12,14", "11-20", also mixed. 0; -ENOMEM, or -DIAG_USAGE that was reported. */
int lines__parse(const char *text, struct lines **out);
void lines__free(struct lines *lines);

/* Those of `available` (ascending, each once) that are meant; NULL for `lines` means all. *selected is malloc'ed. A range
 * has to hold one that is available, and a line by itself to be one: else -DIAG_USAGE, reported with what there is in
 * `function`. */
int lines__select(const struct lines *lines, const char *function, const uint32_t *available, size_t n,
		  uint32_t **selected, size_t *nselected);

/* Whether each of the names is one of `known`. 0, or -DIAG_USAGE, reported with the nearest one and what there is. */
int names__check(const char *const *names, size_t n, const char *function, char *const *known, size_t nknown);

#endif
