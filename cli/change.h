/*
 * change: a change of one or more processes, all or nothing: prepare everywhere, commit with a lease, look for processes that were forked
 * meanwhile, confirm. What the change is, is the caller's business.
 */
#ifndef PYLU_CHANGE_H
#define PYLU_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "opt.h"
#include "peers.h"

struct change_opts {
	struct peer_opts peers;
	const char *when;
	uint64_t ttl_ms;
	uint32_t errors_max;
	struct opt_list except;
	bool count, scan, force, partial, dry_run;
	/* What `when` says, from change_opts__check. */
	bool quiescent;
	uint64_t quiescent_ms;
};

extern const struct opt change_opts_table[];

/* 0, or 2 after a message. */
int change_opts__check(const struct command *cmd, struct change_opts *o);

struct change {
	const struct change_opts *opts;
	int argc; /* what was asked for, for the journal */
	char **argv;
	/* Puts BLOB and SOURCE_HASH for this process. False: it is the peer's error. */
	bool (*make)(struct peers *p, struct peer *peer, void *ctx, struct msg_out *prepare);
	/* Completes the report of a process in which it is prepared; or NULL. */
	void (*prepared)(struct peer *peer, void *ctx);
	void *ctx;
};

/* Does all of it, and writes the report. Returns the exit status. */
int change__run(const struct change *c);

#endif
