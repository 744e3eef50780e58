/*
 * queue: the shared memory's layout, and one queue of records in it, written by one side and read by the other. Both
 * sides use it; no Python.h here.
 *
 * LAYOUT, little-endian, offsets in bytes: the header (struct proto_header, PROTO_HEADER_SIZE), the queue of requests, the
 * queue of answers (struct proto_queue each, 128 bytes and PROTO_QUEUE_SIZE of data). `head` and `tail` count all bytes ever
 * written and read, modulo 2^32; a place is the count modulo PROTO_QUEUE_SIZE. A record is a struct proto_record and `size`
 * bytes, padded to 8; it may wrap around. A message is one record, or several that follow one another, of the same id, type, total and
 * sum, whose sizes add up to the total.
 *
 * MEMORY ORDER. The writer stores the record, then `head` with release; the reader loads `head` with acquire, copies, then stores `tail` with
 * release, which the writer loads with acquire. After that a bell is rung: the word is counted up and FUTEX_WAKE (not private) is
 * called. Who waits loads the bell, then looks whether there is something, and sleeps on the value that it had loaded: no
 * wake-up is missed. The reader rings only where it leaves off in the middle of a message: nobody else waits for room.
 *
 * TRUST. Each side keeps its own count (head of what it writes, tail of what it reads) in memory of its own and only ever publishes
 * it. The other's count is read once, and one that is further away than the queue is long is damage: the reader then skips
 * everything, the writer gives up. Both start anew with a session.
 */
#ifndef PYLU_QUEUE_H
#define PYLU_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

#define PROTO_HEADER_SIZE 4096U
#define PROTO_TEXT_MAX 512U
#define PROTO_PIECE_MAX (32U << 10) /* bytes of a message in one record */

struct proto_header {
	/* Written once, `magic` last; 0 again when the agent has ended. Up to start_time this is the same in all versions. */
	_Atomic uint64_t magic;
	uint32_t version, version_min; /* the agent's, and the lowest that it speaks */
	uint32_t size;		       /* of the whole file */
	uint32_t pid;		       /* the agent's process as it sees itself */
	uint64_t start_time;	       /* as owner__read gives it; 0: unknown */
	uint8_t unused[32];
	_Atomic uint32_t agent_bell;  /* rung by clients */
	_Atomic uint32_t client_bell; /* rung by the agent */
	_Atomic uint32_t session;     /* written by a new client: not 0, another one each time */
	_Atomic uint32_t session_ack; /* written by the agent once it has dropped all that is older */
	_Atomic uint64_t taken;	   /* the last request that the agent acts or acted upon: its session << 32 | its id */
	_Atomic uint32_t state;	   /* enum ring_state of ring.h */
	char text[PROTO_TEXT_MAX]; /* what belongs to the state; ends with a NUL, which a reader does not rely on */
};

struct proto_queue {
	_Atomic uint32_t head;
	uint8_t unused1[60];
	_Atomic uint32_t tail;
	uint8_t unused2[60];
	uint8_t data[PROTO_QUEUE_SIZE];
};

struct proto_memory {
	union {
		struct proto_header header;
		uint8_t page[PROTO_HEADER_SIZE];
	};
	struct proto_queue requests, answers;
};

struct proto_record {
	uint32_t size;	  /* of the piece behind it, at most PROTO_PIECE_MAX */
	uint32_t session; /* others than the current one are skipped */
	uint32_t id;	  /* of the request, and of its answer: 1 and up in each session */
	uint32_t type;	  /* enum proto_type */
	uint32_t total;	  /* bytes of the whole message */
	uint32_t unused;
	uint64_t sum; /* queue_sum() of the whole message */
};

/* A message that comes in pieces. All zeros but for `queue` and `bell` to begin with. */
struct queue_reader {
	struct proto_queue *queue;
	_Atomic uint32_t *bell; /* the other side's */
	uint32_t tail;
	struct proto_record first; /* of the message that is being put together */
	bool begun;
	uint8_t *data; /* owned; NULL is fine for an empty message */
	size_t len, room;
};

/* A message that goes in pieces, as there is room. */
struct queue_writer {
	struct proto_queue *queue;
	_Atomic uint32_t *bell;
	uint32_t head;
	struct proto_record record; /* of the message that is being sent */
	const uint8_t *data;	    /* not owned, read until the message is sent or dropped */
	size_t at;
};

/* Over id, type, length and bytes: tells damage, not malice. */
uint64_t queue_sum(const struct proto_record *record, const void *data);

/* Rings a bell: whoever sleeps on it, in whichever process, wakes. Never blocks. */
void bell__ring(_Atomic uint32_t *bell);
/* Sleeps until the bell no longer has `value`, or CLOCK_MONOTONIC is at `until_ns` (UINT64_MAX: for ever), or earlier for no reason. */
void bell__wait(_Atomic uint32_t *bell, uint32_t value, uint64_t until_ns);

/* Puts as much of what is there into the message as belongs to it, but no more than a queueful at a time. 1: a whole message of
 * `session` lies in r->first and r->data[0..len), until the next call. 0: nothing more for now. -ENOMEM, or -EPROTO for
 * damage; what was there is skipped. */
int queue_reader__take(struct queue_reader *r, uint32_t session);
/* Whether there is something to take. */
bool queue_reader__pending(const struct queue_reader *r);
/* Drops all that is there. */
void queue_reader__skip(struct queue_reader *r);
void queue_reader__free(struct queue_reader *r);

/* Publishes the own count anew, which somebody may have written over, and drops what was being sent. */
void queue_writer__restart(struct queue_writer *w);
/* Begins a message; `data` is not copied. */
void queue_writer__begin(struct queue_writer *w, uint32_t session, uint32_t id, uint16_t type, const void *data,
			 size_t len);
/* Sends as much of it as there is room for. 1: all of it was sent, or there was none. 0: no room. -EPROTO: damage. */
int queue_writer__send(struct queue_writer *w);
/* Whether that would do something, if only give up. */
bool queue_writer__has_room(const struct queue_writer *w);

#endif
