/* reach: what stands between us and the agent of a process, or, where there is none, between a process and an agent. Changes nothing. */
#ifndef PYLU_REACH_H
#define PYLU_REACH_H

#include "peers.h"

struct reach {
	bool agent;	 /* there is one, and it answers */
	bool attachable; /* there is none, and one could be brought in */
	int err;	 /* a code, where neither is so */
};

/* Puts into `out`: python, uid, user, command, agent (its version, or null), applied (how many patches), and checks. */
struct reach reach__examine(struct report *r, json_t *out, pid_t pid, unsigned timeout_ms);

#endif
