/*
 * ring: the agent's side of the shared memory (queue.h). It makes it, waits, takes whole messages and answers; what they
 * mean is dispatch's business. One thread uses a ring, but for ring__kick and ring__set_state, which any may call.
 *
 * Nothing here blocks for a client: an answer that there is no room for waits in the ring, and is sent on by ring__receive and
 * ring__wait as the client reads; until then no other request is taken.
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
/* Takes it away, and with it what is left of an answer. The descriptor is closed only when it is still ours: programs close numbers that they do not know, and use them again. */
void ring__close(struct ring *ring);
/* In a forked child: drops the parent's ring, whose memory is not mapped here. */
void ring__forget(struct ring *ring);
/* Whether clients can still find it: false when the program closed our descriptor. */
bool ring__is_reachable(const struct ring *ring);
/* `text` is cut at RING_TEXT_MAX - 1 bytes. */
void ring__set_state(struct ring *ring, enum ring_state state, const char *text);
/*
 * Sleeps until there may be something to take, ring__kick was called, or CLOCK_MONOTONIC is at `deadline` ns (UINT64_MAX: for ever). May
 * return for no reason, but not often: after some of these it sleeps a little first, whatever the bell does, longer each time.
 */
void ring__wait(struct ring *ring, uint64_t deadline);
/*
 * Ends ring__wait, or the next one. Never blocks; does nothing in a forked child. Who turns back the bell in the memory at the
 * very moment can make the thread sleep on: a caller that cannot do without calls again until it sees that it was heard.
 */
void ring__kick(struct ring *ring);
/* Whether ring__receive has something to do. */
bool ring__is_pending(const struct ring *ring);
/* A whole message, valid until the next call, which is now taken (proto.h). False: there is none now. */
bool ring__receive(struct ring *ring, uint16_t *type, struct msg_in *request);
/* Answers the request that was received last, unless its client has gone. The answer is copied where that is necessary. */
void ring__answer(struct ring *ring, uint16_t type, const struct msg_out *answer);

#endif
