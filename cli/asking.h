/* asking: the commands that put one question to each process and show the answers. */
#ifndef PYLU_ASKING_H
#define PYLU_ASKING_H

#include "peers.h"
#include "report.h"

struct asking {
	const struct command *cmd;
	const struct peer_opts *opts;
	uint16_t type; /* of the request */
	/* Puts the request's fields. False: this process is not asked, which is in its part of the report. */
	bool (*fill)(struct peers *p, struct peer *peer, void *ctx, struct msg_out *request);
	/* Completes its part of the report; or NULL. */
	void (*done)(struct peer *peer, void *ctx);
	void *ctx;
	report_text text;
};

/* Asks all. Returns the exit status; where every process was skipped, that is a failure. */
int asking__run(const struct asking *a);

#endif
