/* wanted: patches as a command line names them: by a process's own number, by the start of the token that they have in all processes, or all. */
#ifndef PYLU_WANTED_H
#define PYLU_WANTED_H

#include <stdbool.h>
#include <stddef.h>

#include "peers.h"

struct wanted {
	char **words; /* borrowed */
	size_t n;
	bool all;
	bool tokens; /* there is one among them */
};

/* Reads the words. 0, or 2 after a message. */
int wanted__parse(const struct command *cmd, const struct peer_opts *o, char **words, size_t n, struct wanted *out);

/* Puts the ID of each, which takes a look at this process's patches where tokens are named, or ALL. False when it has none of them, and is
 * skipped, or failed. */
bool wanted__put(const struct wanted *w, struct peers *p, struct peer *peer, struct msg_out *request);

#endif
