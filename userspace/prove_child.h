/*
 * prove_child: starts the throw-away child of a proof: the very interpreter file that is to be proved, running a script,
 * without a target's help. Knows namespaces, users and loaders; what the script shows is prove.c's business.
 *
 * An executable that is a python is run itself. A libpython, whichever program has loaded it, is run by a program of our
 * own (runner/runner.c). Both are run by descriptor: a file that was removed or replaced is run all the same.
 */
#ifndef PYLU_PROVE_CHILD_H
#define PYLU_PROVE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct target;

struct prove_child {
	int program;	    /* descriptor of the executable; with the runner of a copy of it in memory */
	int library;	    /* descriptor of the libpython to preload, -1: it has a path, or there is none */
	char *preload;	    /* what LD_PRELOAD is to be, or NULL */
	char *library_path; /* LD_LIBRARY_PATH, or NULL */
	char *name;	    /* the interpreter's path in the child's root: by it Python finds its library */
	char *root;	    /* directory to change the root to, or NULL */
	char *mounts;	    /* with a root: the mount namespace that it is in */
	uid_t uid;	    /* the child runs under these */
	gid_t gid;
};

/*
 * How to start a child of a target's interpreter. 0, or -ENOENT (not reported) where there can be none: then *why (static
 * storage) completes the sentence "no trial child could be started: ...". Close it in both cases.
 */
int prove_child__of_target(const struct target *t, struct prove_child *out, const char **why);

/* The same for a command that has not run yet: `exe` will be executed, `interp_path` is the file that holds its
 * interpreter. It is run as ourselves. */
int prove_child__of_command(const char *exe, const char *interp_path, struct prove_child *out, const char **why);

void prove_child__close(struct prove_child *child);

/*
 * Starts it with `script`, `in` and `out` as its standard input and output. It has no capability and cannot get one
 * (no_new_privs), is in process, network and IPC namespaces of its own, writes no file, and is killed when we end.
 * Its pid, or -errno, not reported.
 */
pid_t prove_child__start(const struct prove_child *child, const char *script, int in, int out);

#endif
