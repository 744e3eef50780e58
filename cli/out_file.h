/* out_file: the file, or standard output, that a result goes to. Opened before anything is measured, so that a bad place is found
 * out in time; what was in it is given up only when there is something to write. */
#ifndef PYLU_OUT_FILE_H
#define PYLU_OUT_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

struct out_file {
	const char *path; /* NULL: standard output */
	FILE *f;
	bool made; /* it was not there before */
};

/* `path` may be NULL, or "-": standard output; a file that is made gets `mode`. 0, or a code that was reported; then there is
 * nothing to close. */
int out_file__open(struct out_file *o, const char *path, mode_t mode);

/* Empties it. 0, or a code that was reported. */
int out_file__begin(struct out_file *o);

/* Reports a negative errno of a write; passes 0 on. */
int out_file__check(const struct out_file *o, int err);

/* Says on standard error that a file was written. */
void out_file__announce(const struct out_file *o);

/* Without `keep` a file that was made is removed again. */
void out_file__close(struct out_file *o, bool keep);

#endif
