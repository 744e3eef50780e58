/*
 * compile: from a patch's source to the blob that the agent carries out (agent/blob.h), by agent/python/compiler.py, which
 * this library holds. It runs in a child of the target's own interpreter file, without rights (prove_child.h), so that neither the
 * application waits for a compiler nor what is in the source can harm whoever runs us; where no child can be started, in
 * the target. Knows nothing of the ring: it asks for what it needs through two functions.
 */
#ifndef PYLU_COMPILE_H
#define PYLU_COMPILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct msg_in;
struct target;

struct compile_job {
	bool patch;	    /* a patch file; else one function of an ordinary source file */
	const char *target; /* that one's target, as the user or RESOLVE names it */
	const char *name;   /* the new function's name in the source, or NULL: as the target's */
	const char *path;   /* what the source is called in messages and tracebacks */
	const void *source; /* its bytes: at most PROTO_SOURCE_MAX, which is checked */
	size_t source_len;
	bool count;	/* calls and errors are to be counted */
	bool force;	/* changes of signature or kind too */
	bool originals; /* the summary is to hold the originals' texts */
	/* RESOLVE's answer for a target, as compile__resolved() makes it: a new reference in *out. 0, or a negative code, reported. */
	int (*resolve)(void *ctx, const char *target, json_t **out);
	/* Has the target itself run serve(in) of compile_script (PROTO_COMPILE). *out is malloc'ed. 0, or a negative code, reported. NULL: a
	 * target of which no child can be started is an error. */
	int (*serve)(void *ctx, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len);
	void *ctx;
};

struct compile_result {
	uint8_t *blob;
	size_t len;
	/* {file, source_hash (SHA-256, hex), home, notes: [...], changes: [{kind, target, line, last_line, notes: [...], trampoline,
	 * original (text, or null where it is not known or was not asked for), and of a redefined function signature: {old, new}, function_kind: {old, new}}]} */
	json_t *summary;
	char *traceback;       /* Python's text for the error that was reported, where it has one; else NULL */
	const char *in_target; /* why it was compiled in the target, or NULL */
};

/*
 * Compiles. Takes at most COMPILE_SECONDS. 0, or a negative code, reported: -DIAG_BAD_DATA the source is wrong or is refused,
 * -DIAG_UNSUPPORTED no child could be started, -ETIMEDOUT, -EIO the child ended, what `resolve` and `serve` returned. Call
 * compile__free() in any case.
 */
#define COMPILE_SECONDS 60
int compile__run(const struct compile_job *job, const struct target *t, struct compile_result *out);
void compile__free(struct compile_result *result);

/* The answer to RESOLVE as JSON: the names of the fields in lower case (layers, free, argnames, kwdefaults, notes are lists,
 * defaults is a number). A new reference, or NULL without memory. */
json_t *compile__resolved(const struct msg_in *answer);

/* The compiler's text; ends with a NUL. */
extern const char compile_script[];

#endif
