/*
 * prove: shows that the sites found in a build tell the truth, on a throw-away child of the same interpreter that runs
 * a script whose calls are known: counts, exceptions, parents, generators, threads, signals, monitoring. The target
 * itself is not touched by it.
 */
#ifndef PYLU_PROVE_H
#define PYLU_PROVE_H

#include <stddef.h>

struct elf_file;
struct pattern_set;
struct session;
struct target;

/* Where a build that is to be proved comes from: a process, or a command that has not run yet. */
struct prove_source {
	const struct target *target; /* NULL: a command */
	const char *exe;	     /* of the command: what will be executed, */
	const char *interp_path;     /* and the file that holds its interpreter */
};

/* The patterns that a proof needs. 0, or a code that was reported. The caller frees them. */
int prove_patterns(struct pattern_set **out);

/*
 * Runs a child of the interpreter in `elf` under a session that watches nothing yet and has prove_patterns. 1: proved. 0: no child of this very build
 * could be started, so nothing is known; *why (static storage) says why, in words that follow "could be started: ".
 * -DIAG_NOT_PROVED: it ran and what was counted differs; reported.
 */
int prove_build(struct session *s, size_t build, const struct elf_file *elf, const struct prove_source *source,
		const char **why);

#endif
