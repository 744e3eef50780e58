/*
 * prove: shows that the sites found in a build tell the truth, on a throw-away child of the same interpreter that runs
 * a script whose calls are known: counts, exceptions, parents, generators, threads, signals, monitoring. The target
 * itself is not touched by it.
 */
#ifndef PYLU_PROVE_H
#define PYLU_PROVE_H

#include <stddef.h>
#include <sys/types.h>

struct pattern_set;
struct session;
struct target;

struct prove_child {
	const char *exe;  /* the interpreter's executable, as the child's root has it */
	const char *root; /* directory to change the root to, or NULL */
	uid_t uid;	  /* the child runs under these, without capabilities, no_new_privs */
	gid_t gid;
	const char *library_path; /* LD_LIBRARY_PATH, or NULL */
};

/* How to start a child of a target's interpreter. 0, or -ENOENT (not reported) when its executable is no interpreter but
 * a program that embeds one. The strings are the caller's: prove_child__free. */
int prove_child_of(const struct target *t, struct prove_child *out);
void prove_child__free(struct prove_child *child);

/* The patterns that a proof needs. 0, or a code that was reported. The caller frees them. */
int prove_patterns(struct pattern_set **out);

/*
 * Runs the child under a session that watches nothing yet and has prove_patterns. 1: proved. 0: no child could be
 * started (said with diag_debug), so nothing is known. -DIAG_NOT_PROVED: it ran and what was counted differs; reported.
 */
int prove_build(struct session *s, size_t build, const struct prove_child *child);

#endif
