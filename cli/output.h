/* output: where a result goes. Opened before anything is measured, so that a bad place is found out in time. */
#ifndef PYLU_OUTPUT_H
#define PYLU_OUTPUT_H

struct output;
struct profile;

/* `format` (the name of one) and `path` may be NULL: by the path's ending, else text; standard output. 0, or a code that
 * was reported. */
int output__open(const char *format, const char *path, struct output **out);
/* 0, or a code that was reported. */
int output__write(struct output *o, const struct profile *p);
/* With an error before or in output__write a file that output__open made is removed again. */
void output__close(struct output *o, int err);

#endif
