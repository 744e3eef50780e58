/*
 * peers: the processes that a command of pylu-cli talks to: how they are named, who among them has an agent, the talk itself. What
 * goes wrong becomes part of the report.
 */
#ifndef PYLU_PEERS_H
#define PYLU_PEERS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"
#include "opt.h"
#include "report.h"

struct link;

struct peer_opts {
	struct opt_pids pids, tree;
	bool all;
	double timeout; /* s, for each answer; 0: PEER_TIMEOUT */
	const char *format;
};

#define PEER_TIMEOUT 30

extern const struct opt peer_opts_table[];

struct peer {
	pid_t pid;
	struct link *link; /* NULL: not open */
	json_t *out;	   /* its part of the report, borrowed */
	bool failed;	   /* its part of the report has the error */
	bool optional;	   /* found as one of a tree or of all: its end is no error */
	bool skipped;	   /* it has no part in this, and its part of the report says why */
	int stage;	   /* the command's */
};

struct peers {
	struct peer *items;
	size_t n, room;
	struct report *report;
	const struct peer_opts *opts;
};

/* Whether processes are named in exactly one way. 0, or 2 after a message. */
int peer_opts__check(const struct command *cmd, const struct peer_opts *o);

/* Opens the links to all that are named, parents before their children. Processes of a tree that are no Python are left out, and with
 * --all those without an agent. False when none is left; the report tells. */
bool peers__open(struct peers *p, struct report *r, const struct peer_opts *o);
/* Adds those of the tree, or of all, that came since. How many; those that cannot be talked to are among them. */
size_t peers__add_new(struct peers *p);
/* Whether one of them failed. */
bool peers__failed(const struct peers *p);
/* The processes as the options name them, for messages that tell how to go on: "-p 4510", "--tree 4510", "--all". */
const char *peer_opts__text(const struct peer_opts *o, char *buf, size_t size);
void peers__close(struct peers *p);

/* Asks and puts the answer into the peer's part of the report, and into *answer, which lives until the next request, where that is not NULL. With `extra_ms`
 * the answer may take that much longer. False on failure, which is the peer's error then. */
bool peer__ask(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request, uint64_t extra_ms,
	       struct msg_in *answer);
/* The request alone: 0, a negative code, reported, or one of proto.h's, with what the agent said of it in *answer. */
int peer__call(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request, uint64_t extra_ms,
	       struct msg_in *answer);
/* The same, and nothing of it becomes part of the report. The code of the failure: 0, negative, or one of proto.h's. */
int peer__tell(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request);

/* It has no part in this. */
void peer__skip(struct peer *peer, const char *why);
/* It failed, with an exit status and a sentence. */
void peer__fail(struct peer *peer, int status, const char *why);

/* Fields that more than one request has. */
void peer_put_who(struct msg_out *m, int argc, char **argv);

#endif
