/*
 * target_maps: the files that a process has mapped as code, from /proc/PID/maps, in the order in which target.c looks
 * for an interpreter in them. For target.c, and for those who look for other files in a target.
 */
#ifndef PYLU_TARGET_MAPS_H
#define PYLU_TARGET_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct elf_file;

enum rank { RANK_EXE, RANK_LIBPYTHON, RANK_PYTHON, RANK_OTHER, RANK_COUNT };

/* One executable mapping of a file. */
struct mapping {
	uint64_t start, end, offset;
	uint64_t dev, inode;
	char *path;   /* as the process names it, " (deleted)" taken off; owned */
	bool deleted; /* the file was removed or replaced since */
	bool tried;   /* for the search: this file was looked at, through this mapping or another */
	enum rank rank;
};

struct mappings {
	struct mapping *items; /* by address */
	size_t n;
	uint64_t exe_start; /* where the executable's first byte is mapped, 0 unknown */
};

/* Takes " (deleted)" off a path as the kernel shows it; whether it was there. */
bool path_strip_deleted(char *path);

/* Reads the mappings of a process whose executable is `exe` (without " (deleted)"). *fd is the open maps file, which
 * belongs to this image of the process: it reads as empty once the image is gone. On failure -errno, not reported, and
 * *fd is -1. Free with mappings__free in either case. */
int mappings__read(pid_t pid, const char *exe, bool exe_deleted, struct mappings *maps, int *fd);
/* The same from the text of maps. 0 or -ENOMEM; free with mappings__free in either case. */
int mappings__parse(FILE *text, const char *exe, bool exe_deleted, struct mappings *maps);
void mappings__free(struct mappings *maps);

/* Opens the very file behind a mapping, by the surest way that we are allowed. *path is how it was opened, malloc'ed.
 * 0, or a negative code that was not reported. Compare the file with the process's memory before it is believed. */
int mapping__open(pid_t pid, const struct mapping *m, struct elf_file **elf, char **path);

bool mapping__same_file(const struct mapping *a, const struct mapping *b);

#endif
