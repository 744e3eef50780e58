/* seen_output: where events go, one after the other, in one of their formats. Opened before anything is watched, so that a bad
 * place is found out in time. */
#ifndef PYLU_SEEN_OUTPUT_H
#define PYLU_SEEN_OUTPUT_H

#include "seen.h"

struct seen_output;

/* `format` (the name of one) and `path` may be NULL: by the path's ending, else text; standard output. All functions: 0, or a
 * code that was reported, but for -EPIPE: the reader has gone away. */
int seen_output__open(const char *format, const char *path, struct seen_output **out);
int seen_output__begin(struct seen_output *o, const struct seen_header *header);
/* On a terminal each is shown at once, elsewhere at seen_output__flush. */
int seen_output__event(struct seen_output *o, const struct seen_event *event);
int seen_output__flush(struct seen_output *o);
int seen_output__end(struct seen_output *o, const struct seen_summary *summary);
/* With an error before seen_output__begin a file that seen_output__open made is removed again. */
void seen_output__close(struct seen_output *o);

#endif
