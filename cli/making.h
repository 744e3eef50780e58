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
	const char *from; /* the source, as it was named */
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
	int code;	   /* the agent's, when it refused */
	char refused[256]; /* of which target */
};

/* For struct change: reads the source. 0, or a negative code that was reported. `ctx` is a struct making, here and below, in which `from` and what
 * is to be made of it are set; close it in any case. */
int making__open(void *ctx);

/* Puts BLOB and SOURCE_HASH for this process. False: the error is in the process's part of the report, or, where it is the source's fault, in the report's
 * root. */
bool making__put(struct peers *p, struct peer *peer, void *ctx, struct msg_out *prepare);
/* For struct change too: completes the report of a process in which the change is prepared. */
void making__prepared(struct peer *peer, void *ctx);

void making__close(struct making *m);

#endif
