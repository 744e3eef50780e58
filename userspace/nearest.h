/* nearest: the names that are nearest to what was asked for, where nothing has that name. */
#ifndef PYLU_NEAREST_H
#define PYLU_NEAREST_H

#include <stddef.h>

#define NEAREST_MAX 3

struct pattern_set;

/* Starts empty: all 0. */
struct nearest {
	struct {
		unsigned distance;
		char name[256]; /* module.qualname */
	} best[NEAREST_MAX];
	size_t n;
};

/* Takes a function's name in if it is near enough, each once. Control characters, which come from a target, become '?'. */
void nearest__consider(struct nearest *near, const struct pattern_set *wanted, const char *module,
		       const char *qualname);

#endif
