/* suggest: what to say when nothing matched. */
#ifndef PYLU_SUGGEST_H
#define PYLU_SUGGEST_H

#include <stddef.h>

struct session;

/* Prints to stderr that nothing matched, and the functions with the nearest names: of those that ran, else of those that
 * are loaded. */
void suggest(struct session *s, const char *const *patterns, size_t n);

#endif
