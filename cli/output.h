/* output: where a result goes. Opened before anything is measured, so that a bad place is found out in time. */
#ifndef PYLU_OUTPUT_H
#define PYLU_OUTPUT_H

#include <stdio.h>

struct out_options;
struct output;
struct profile;

/* `format` (the name of one) and `path` may be NULL: by the path's ending, else text; standard output. 0, or a code that
 * was reported. */
int output__open(const char *format, const char *path, struct output **out);
/* 0, or a code that was reported. */
int output__write(struct output *o, const struct profile *p);
/* The format's name. */
const char *output__format(const struct output *o);
/* What is no profile. The writer returns 0 or a negative errno, not reported. 0, or a code that was reported. */
typedef int (*output_writer)(const void *what, FILE *f, const struct out_options *opts);
int output__put(struct output *o, output_writer write, const void *what);
/* With an error before or in output__write a file that output__open made is removed again. */
void output__close(struct output *o, int err);

#endif
