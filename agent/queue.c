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

uint64_t queue_sum(uint32_t type, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (unsigned i = 0; i < 4; i++)
		sum = (sum ^ (type >> 8 * i & 0xff)) * 0x100000001b3ULL;
	for (size_t i = 0; i < len; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3ULL;
	return sum;
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

static void copy_out(const struct proto_queue *q, uint32_t at, void *to, size_t n)
{
	size_t first = PROTO_QUEUE_SIZE - (at & MASK);

	if (first > n)
		first = n;
	memcpy(to, q->data + (at & MASK), first);
	memcpy((uint8_t *)to + first, q->data, n - first);
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
	bell__ring(r->bell);
}

void queue_reader__skip(struct queue_reader *r)
{
	r->len = 0;
	r->first.total = 0;
	publish(r, atomic_load_explicit(&r->queue->head, memory_order_acquire));
}

bool queue_reader__pending(const struct queue_reader *r)
{
	return atomic_load_explicit(&r->queue->head, memory_order_acquire) != r->tail;
}

static int make_room(struct queue_reader *r, uint32_t total)
{
	uint8_t *data;

	if (total <= r->room)
		return 0;
	data = realloc(r->data, total);
	if (!data)
		return -ENOMEM;
	r->data = data;
	r->room = total;
	return 0;
}

/* Takes one record of the current session. 1 when its message is whole. */
static int add(struct queue_reader *r, const struct proto_record *record)
{
	int err;

	if (!r->len && !r->first.total) {
		err = make_room(r, record->total);
		if (err)
			return err;
		r->first = *record;
	}
	if (record->type != r->first.type || record->total != r->first.total || record->sum != r->first.sum ||
	    record->size > r->first.total - r->len)
		return -EPROTO;
	copy_out(r->queue, r->tail + sizeof(*record), r->data + r->len, record->size);
	r->len += record->size;
	return r->len == r->first.total;
}

int queue_reader__take(struct queue_reader *r, uint32_t session)
{
	struct proto_record record;
	uint32_t there;
	int err = 0;

	if (r->first.total && r->len == r->first.total)
		r->len = r->first.total = 0; /* the last one was given away */
	for (;;) {
		there = atomic_load_explicit(&r->queue->head, memory_order_acquire) - r->tail;
		if (!there)
			return 0;
		err = -EPROTO;
		if (there > PROTO_QUEUE_SIZE || there < sizeof(record))
			break;
		copy_out(r->queue, r->tail, &record, sizeof(record));
		if (record.size > PROTO_PIECE_MAX || record.total > PROTO_MESSAGE_MAX || !record.total ||
		    !record.size || sizeof(record) + padded(record.size) > there)
			break;
		err = record.session == session ? add(r, &record) : 0;
		if (err < 0)
			break;
		publish(r, r->tail + (uint32_t)sizeof(record) + padded(record.size));
		if (!err)
			continue;
		err = queue_sum(r->first.type, r->data, r->first.total) == r->first.sum ? 1 : -EPROTO;
		if (err == 1)
			return 1;
		r->len = r->first.total = 0;
		return err;
	}
	queue_reader__skip(r);
	return err;
}

void queue_reader__free(struct queue_reader *r)
{
	free(r->data);
	r->data = NULL;
	r->len = r->room = 0;
}

int queue_writer__put(struct queue_writer *w, const struct proto_record *record, const void *piece)
{
	uint32_t used = w->head - atomic_load_explicit(&w->queue->tail, memory_order_acquire);
	uint32_t need = (uint32_t)sizeof(*record) + padded(record->size);

	if (used > PROTO_QUEUE_SIZE)
		return -EPROTO;
	if (need > PROTO_QUEUE_SIZE - used)
		return 0;
	copy_in(w->queue, w->head, record, sizeof(*record));
	copy_in(w->queue, w->head + (uint32_t)sizeof(*record), piece, record->size);
	w->head += need;
	atomic_store_explicit(&w->queue->head, w->head, memory_order_release);
	bell__ring(w->bell);
	return 1;
}
