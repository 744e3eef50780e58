/* redact: names that look like secrets' names, by a built-in list that a file can extend. */
#ifndef PYLU_REDACT_H
#define PYLU_REDACT_H

#include <stdbool.h>

struct redact;

/* The built-in list, and the words of a file (one a line, # comments), or NULL. 0, or a code that was reported. */
int redact__new(const char *file, struct redact **out);
void redact__free(struct redact *r);

/* Whether a variable, attribute or key of this name is to be masked. NULL for `r` masks nothing. */
bool redact__matches(const struct redact *r, const char *name);

#endif
