/*
 * making: from a source file to the request that prepares it in a process: reads the file once, has it compiled for the process's
 * interpreter and functions, and compiles again only where these differ.
 */
#ifndef PYLU_MAKING_H
#define PYLU_MAKING_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "compile.h"
#include "peers.h"

struct making {
	struct compile_job job;
	char *path;   /* of the source; absolute */
	char *source; /* its bytes, and a NUL */
	/* What was compiled last, and for what. */
	char build_id[130];
	json_t *resolved; /* {target: RESOLVE's answer} */
	struct compile_result result;
	/* Only during a compilation. */
	struct peers *peers;
	struct peer *peer;
	int code; /* the agent's, when it refused */
};

/* Reads the source. job.target and so on are the caller's to set. 0, or a negative code that was reported; close it in both cases. */
int making__open(struct making *m, const char *path);

/* Puts BLOB and SOURCE_HASH for this process. False: the error is in the process's part of the report, or, where it is the source's fault, in the report's root. `ctx`
 * is a struct making; for struct change. */
bool making__put(struct peers *p, struct peer *peer, void *ctx, struct msg_out *prepare);
/* For struct change too: completes the report of a process in which the change is prepared. */
void making__prepared(struct peer *peer, void *ctx);

void making__close(struct making *m);

#endif
