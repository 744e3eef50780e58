/*
 * inject_file: a library made visible to a process that may have another root than we: a copy in a folder of its own
 * file system, under a name that nobody can foretell, for as long as it is needed.
 */
#ifndef PYLU_INJECT_FILE_H
#define PYLU_INJECT_FILE_H

#include <stdbool.h>

struct target;

struct inject_file {
	char path[64];	 /* as the target sees it: for dlopen */
	char folder[32]; /* for messages */
	int dir;	 /* descriptor of the folder */
	bool there;
};

/* Copies the library at `from`, one of ours, to where the target can load it from. 0, or a negative code that was
 * reported. Remove it in both cases. */
int inject_file__make(const struct target *t, const char *from, struct inject_file *out);

/* Unlinks it: what has been mapped stays. */
void inject_file__remove(struct inject_file *file);

#endif
