/* link_priv: what the files of link share. */
#ifndef PYLU_LINK_PRIV_H
#define PYLU_LINK_PRIV_H

#include <stdint.h>
#include <sys/types.h>

#include "queue.h"

struct link {
	pid_t pid;
	uint64_t start_time;
	int fd;
	struct proto_memory *memory;
	uint32_t session; /* 0: one has to be begun */
	uint32_t id;	  /* of the last request */
	struct queue_writer requests;
	struct queue_reader answers;
};

/* State and start time of a process (owner.h). 0 or -ESRCH, also when it has ended and nobody has looked yet. */
int link_find__process(pid_t pid, char *state, uint64_t *start_time);

/* Opens and maps the agent's memory in link->pid. 0 or a code as of link__open, reported. */
int link_find__open(struct link *link);

/* Another process that holds the lock on the memory, or 0 where that cannot be told. */
pid_t link_find__holder(const struct link *link);

#endif
