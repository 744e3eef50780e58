/*
 * ring: the agent's side of the shared memory (queue.h). It makes it, waits, takes whole messages and answers; what they
 * mean is dispatch's business. One thread uses a ring, but for ring__kick and ring__set_state, which any may call.
 */
#ifndef PYLU_RING_H
#define PYLU_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"
#include "queue.h"

#define RING_TEXT_MAX PROTO_TEXT_MAX

enum ring_state {
	RING_READY = 1,
	RING_BUSY,    /* with a request */
	RING_STUCK,   /* with a request whose code does not end; the text says with what */
	RING_REFUSED, /* the agent does not work in this process; the text says why */
};

struct ring;

/* Makes and maps it: from now on clients can find it. 0 or -errno. */
int ring__make(struct ring **out);
/* Takes it away. The descriptor is closed only when it is still ours: programs close numbers that they do not know, and use them again. */
void ring__close(struct ring *ring);
/* In a forked child: drops the parent's ring, whose memory is not mapped here. */
void ring__forget(struct ring *ring);
/* Whether clients can still find it: false when the program closed our descriptor. */
bool ring__is_reachable(const struct ring *ring);
/* `text` is cut at RING_TEXT_MAX - 1 bytes. */
void ring__set_state(struct ring *ring, enum ring_state state, const char *text);
/* Sleeps until there may be something to take, ring__kick was called, or CLOCK_MONOTONIC is at `deadline` ns (UINT64_MAX: for ever). */
void ring__wait(struct ring *ring, uint64_t deadline);
void ring__kick(struct ring *ring);
/* A whole message, valid until the next call. False: there is none now. */
bool ring__receive(struct ring *ring, uint16_t *type, struct msg_in *request);
/* Sends the answer to the client that asked. One that does not read is given up after some seconds; one that is gone, at once when another comes. */
void ring__answer(struct ring *ring, uint16_t type, const struct msg_out *answer);

#endif
