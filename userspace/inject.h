/*
 * inject: brings a library into a running process that was never prepared for it, without a breakpoint.
 *
 * One thread is stopped for a moment, at a place where a call of dlopen is safe; a complete signal frame is written
 * below its stack; its registers are set to dlopen, with libc's own return from a signal handler as the return
 * address; it is let go. The kernel restores everything from the frame when dlopen has returned, whether we live or
 * not. Until the registers are set nothing has changed in the process but memory that it does not use; after that
 * nothing can be called back.
 *
 * Knows nothing of the agent or of the ring: whether the library came up is for the caller to find out.
 */
#ifndef PYLU_INJECT_H
#define PYLU_INJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct target;

/* Where a test may look in, or kill us. */
enum inject_step {
	INJECT_SEIZED = 1, /* the thread is traced and runs */
	INJECT_STOPPED,	   /* it stands, nothing was written */
	INJECT_WRITTEN,	   /* the frame is in its stack */
	INJECT_SENT,	   /* its registers are set, it stands still */
	INJECT_DETACHED,   /* it runs */
};

struct inject_options {
	const char *library; /* for dlopen: a path with a slash, as the target sees it, at most 255 bytes */
	uint64_t call;	     /* instead: the address of a function without arguments; 0: none */
	double seconds;	     /* how long a fitting moment is looked for */
	bool force;	     /* also a thread whose seccomp filter ends it for that, or cannot be read */
	void (*step)(enum inject_step step, void *ctx); /* for tests; NULL */
	void *ctx;
};

struct inject_result {
	pid_t tid;	   /* the thread that was sent */
	char where[64];	   /* where it stood: "in the interpreter", "in poll" */
	unsigned stops;	   /* how many times a thread was stopped */
	double stopped_ms; /* how long that thread stood */
};

/*
 * Sends a thread of the target off. 0 and *out, or a negative code that was reported; then nothing was done to the
 * process: -EPERM (with what stands in the way), -DIAG_NO_INJECT (a C library or a processor feature for which this
 * does not work), -EBUSY (no thread stood where it may be sent off; each with its reason), -ESRCH, ...
 *
 * After -ETIMEDOUT a thread that could not be stopped in time is still traced: end soon, which lets it go.
 */
int inject(const struct target *t, const struct inject_options *options, struct inject_result *out);

/* Whether it could be tried: what does not pass by itself is looked at, and nothing is done. 0, or a code as above,
 * reported. */
int inject_possible(const struct target *t);

/*
 * The run-time address of a function that a library of the same kind as the one at `own`, one of our files, exports
 * as `symbol`, when the target has such a library loaded (its name starts as own's does, with or without "lib"). 0;
 * -ENOENT when it has none, not reported; or a code that was reported.
 */
int inject_find_loaded(const struct target *t, const char *own, const char *symbol, uint64_t *addr);

#endif
