/* queue: see queue.h. */
#include "queue.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MASK (PROTO_QUEUE_SIZE - 1)
#define ROOM_KEPT (256U << 10) /* bytes that a reader keeps for the next message */

/* Eight bytes at a time: a large message should not take longer to sum up than to copy. */
static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * 0x9e3779b97f4a7c15ULL;
	return sum ^ sum >> 29;
}

uint64_t queue_sum(const struct proto_record *record, const void *data)
{
	const uint8_t *bytes = data;
	uint64_t sum = mix(mix(record->total, record->id), record->type), word;
	size_t i;

	for (i = 0; i + sizeof(word) <= record->total; i += sizeof(word)) {
		memcpy(&word, bytes + i, sizeof(word));
		sum = mix(sum, word);
	}
	word = 0;
	if (i < record->total)
		memcpy(&word, bytes + i, record->total - i);
	return mix(sum, word);
}

void bell__ring(_Atomic uint32_t *bell)
{
	atomic_fetch_add(bell, 1);
	syscall(SYS_futex, bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void bell__wait(_Atomic uint32_t *bell, uint32_t value, uint64_t until_ns)
{
	struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000), .tv_nsec = (long)(until_ns % 1000000000) };

	syscall(SYS_futex, bell, FUTEX_WAIT_BITSET, value, until_ns == UINT64_MAX ? NULL : &until, NULL,
		FUTEX_BITSET_MATCH_ANY);
}

/* What was copied is checked afterwards: the compiler must not read it from the shared memory a second time. */
static void copy_out(const struct proto_queue *q, uint32_t at, void *to, size_t n)
{
	size_t first = PROTO_QUEUE_SIZE - (at & MASK);

	if (first > n)
		first = n;
	memcpy(to, q->data + (at & MASK), first);
	memcpy((uint8_t *)to + first, q->data, n - first);
	__asm__ volatile("" ::: "memory");
}

static void copy_in(struct proto_queue *q, uint32_t at, const void *from, size_t n)
{
	size_t first = PROTO_QUEUE_SIZE - (at & MASK);

	if (first > n)
		first = n;
	memcpy(q->data + (at & MASK), from, first);
	memcpy(q->data, (const uint8_t *)from + first, n - first);
}

static uint32_t padded(uint32_t n)
{
	return (n + 7) & ~7U;
}

static void publish(struct queue_reader *r, uint32_t tail)
{
	r->tail = tail;
	atomic_store_explicit(&r->queue->tail, tail, memory_order_release);
}

static void drop(struct queue_reader *r)
{
	r->begun = false;
	r->len = 0;
	if (r->room <= ROOM_KEPT)
		return;
	free(r->data);
	r->data = NULL;
	r->room = 0;
}

void queue_reader__skip(struct queue_reader *r)
{
	drop(r);
	publish(r, atomic_load_explicit(&r->queue->head, memory_order_acquire));
	bell__ring(r->bell);
}

bool queue_reader__pending(const struct queue_reader *r)
{
	return atomic_load_explicit(&r->queue->head, memory_order_acquire) != r->tail;
}

/* As pieces come, not as they say that more will. */
static int make_room(struct queue_reader *r, size_t more)
{
	size_t room = r->len + more;
	uint8_t *data;

	if (room <= r->room)
		return 0;
	if (room < 2 * r->room)
		room = 2 * r->room;
	data = realloc(r->data, room);
	if (!data)
		return -ENOMEM;
	r->data = data;
	r->room = room;
	return 0;
}

static bool belongs(const struct proto_record *record, const struct proto_record *first)
{
	return record->id == first->id && record->type == first->type && record->total == first->total &&
	       record->sum == first->sum;
}

/* Takes one record of the current session. 1 when its message is whole. */
static int add(struct queue_reader *r, const struct proto_record *record)
{
	int err;

	if (!r->begun)
		r->first = *record;
	r->begun = true;
	if (!belongs(record, &r->first) || record->size > r->first.total - r->len)
		return -EPROTO;
	err = make_room(r, record->size);
	if (err)
		return err;
	if (record->size) /* else there may be no data at all */
		copy_out(r->queue, r->tail + (uint32_t)sizeof(*record), r->data + r->len, record->size);
	r->len += record->size;
	if (r->len < r->first.total)
		return 0;
	return queue_sum(&r->first, r->data) == r->first.sum ? 1 : -EPROTO;
}

/* One record, of whichever session. 1 when a message is whole, 0 when there is more to come, -EAGAIN when nothing is there. */
static int take_one(struct queue_reader *r, uint32_t session)
{
	uint32_t there = atomic_load_explicit(&r->queue->head, memory_order_acquire) - r->tail;
	struct proto_record record;
	int whole;

	if (!there)
		return -EAGAIN;
	if (there > PROTO_QUEUE_SIZE || there < sizeof(record))
		return -EPROTO;
	copy_out(r->queue, r->tail, &record, sizeof(record));
	if (record.size > PROTO_PIECE_MAX || record.total > PROTO_MESSAGE_MAX || (!record.size && record.total) ||
	    sizeof(record) + padded(record.size) > there)
		return -EPROTO;
	whole = record.session == session ? add(r, &record) : 0;
	if (whole >= 0)
		publish(r, r->tail + (uint32_t)sizeof(record) + padded(record.size));
	return whole;
}

int queue_reader__take(struct queue_reader *r, uint32_t session)
{
	const uint32_t before = r->tail;
	int whole;

	if (r->begun && r->len == r->first.total)
		drop(r); /* the last one was given away */
	do
		whole = take_one(r, session);
	while (!whole && r->tail - before < PROTO_QUEUE_SIZE);
	if (whole == 1)
		return 1;
	if (whole == 0 || whole == -EAGAIN) {
		if (r->tail != before)
			bell__ring(r->bell);
		return 0;
	}
	queue_reader__skip(r);
	return whole;
}

void queue_reader__free(struct queue_reader *r)
{
	free(r->data);
	r->data = NULL;
	r->len = r->room = 0;
	r->begun = false;
}

void queue_writer__restart(struct queue_writer *w)
{
	w->record.total = 0;
	w->data = NULL;
	atomic_store_explicit(&w->queue->head, w->head, memory_order_release);
}

void queue_writer__begin(struct queue_writer *w, uint32_t session, uint32_t id, uint16_t type, const void *data,
			 size_t len)
{
	w->record = (struct proto_record){ .session = session, .id = id, .type = type, .total = (uint32_t)len };
	w->record.sum = queue_sum(&w->record, data);
	w->data = len ? data : (const void *)"";
	w->at = 0;
}

static uint32_t next_size(const struct queue_writer *w)
{
	size_t left = w->record.total - w->at;

	return left < PROTO_PIECE_MAX ? (uint32_t)left : PROTO_PIECE_MAX;
}

/* Whether there is room for so many bytes behind a record. 1, 0, or -EPROTO. */
static int room_for(const struct queue_writer *w, uint32_t size)
{
	uint32_t used = w->head - atomic_load_explicit(&w->queue->tail, memory_order_acquire);

	if (used > PROTO_QUEUE_SIZE)
		return -EPROTO;
	return sizeof(w->record) + padded(size) <= PROTO_QUEUE_SIZE - used;
}

bool queue_writer__has_room(const struct queue_writer *w)
{
	return room_for(w, next_size(w)) != 0;
}

/* One piece. 1, 0 (no room), or -EPROTO. */
static int put(struct queue_writer *w)
{
	int room;

	w->record.size = next_size(w);
	room = room_for(w, w->record.size);
	if (room != 1)
		return room;
	copy_in(w->queue, w->head, &w->record, sizeof(w->record));
	copy_in(w->queue, w->head + (uint32_t)sizeof(w->record), w->data + w->at, w->record.size);
	w->head += (uint32_t)sizeof(w->record) + padded(w->record.size);
	w->at += w->record.size;
	atomic_store_explicit(&w->queue->head, w->head, memory_order_release);
	return 1;
}

int queue_writer__send(struct queue_writer *w)
{
	const uint32_t before = w->head;
	int done = 1;

	while (w->data && done == 1) {
		done = put(w);
		if (done == 1 && w->at == w->record.total)
			w->data = NULL;
	}
	if (w->head != before)
		bell__ring(w->bell);
	return done;
}
