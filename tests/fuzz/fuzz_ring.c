/*
 * fuzz_ring: a queue whose whole contents come from the input, read by one side and written by the other. The memory is exactly as large as a queue, so
 * that the address sanitizer sees what is touched beside it.
 *
 * The input: where the reader and the writer stand (4 bytes each), then steps: a byte, of whose value modulo 8
 * - 0: so many bytes (1 byte), which are put at the head;
 * - 1, 2: a record: flags (1 byte: bit 0 the right session, bit 1 the right checksum, bit 2 the head moves by what it should), id (1), type (1), size
 *   (2), total (3), and `size` bytes behind it as far as there are; the head moves behind them, or by another number (4);
 * - 3: the head is at another place (4 bytes);
 * - 4: the tail is (4 bytes), and a message of so many bytes (3) is sent;
 * - 5: what there is is skipped;
 * - 6, 7: what there is is taken.
 */
#include "fuzz.h"
#include "msg.h"
#include "queue.h"

#define SESSION 0x5e5510a1U
#define MASK (PROTO_QUEUE_SIZE - 1)
#define SENT_MAX (PROTO_QUEUE_SIZE + PROTO_PIECE_MAX)

struct fuzz {
	struct fuzz_input in;
	struct proto_queue *queue;
	uint32_t head;
	struct queue_reader reader;
	struct queue_writer writer;
};

static void put(struct fuzz *z, const void *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		z->queue->data[(z->head + i) & MASK] = ((const uint8_t *)bytes)[i];
	z->head += (uint32_t)n;
}

static void put_bytes(struct fuzz *z)
{
	size_t n = fuzz_number(&z->in, 1);
	const uint8_t *bytes = fuzz_bytes(&z->in, n);

	if (bytes)
		put(z, bytes, n);
}

static void put_record(struct fuzz *z)
{
	unsigned flags = (unsigned)fuzz_number(&z->in, 1);
	struct proto_record r = { .session = flags & 1 ? SESSION : SESSION + 1 };
	const uint8_t *bytes;
	uint8_t *copy;
	uint32_t before;

	r.id = (uint32_t)fuzz_number(&z->in, 1);
	r.type = (uint32_t)fuzz_number(&z->in, 1);
	r.size = (uint32_t)fuzz_number(&z->in, 2);
	r.total = (uint32_t)fuzz_number(&z->in, 3);
	bytes = fuzz_bytes(&z->in, r.size);
	if (flags & 2 && bytes && r.total == r.size) {
		r.sum = queue_sum(&r, bytes);
	} else if (flags & 2 && r.total <= SENT_MAX) {
		/* Of a message of zeros: what comes in several pieces. */
		copy = calloc(1, r.total + 1);
		if (!copy)
			abort();
		r.sum = queue_sum(&r, copy);
		free(copy);
	}
	before = z->head;
	put(z, &r, sizeof(r));
	if (bytes)
		put(z, bytes, r.size);
	z->head = before + (flags & 4 ? (uint32_t)sizeof(r) + ((r.size + 7) & ~7U) : (uint32_t)fuzz_number(&z->in, 4));
}

static void send_some(struct fuzz *z)
{
	uint32_t tail = (uint32_t)fuzz_number(&z->in, 4);
	size_t len = fuzz_number(&z->in, 3) % SENT_MAX;
	uint8_t *bytes = calloc(1, len + 1);
	int sent;

	if (!bytes)
		abort();
	atomic_store(&z->queue->tail, tail);
	queue_writer__restart(&z->writer);
	queue_writer__begin(&z->writer, SESSION, 1, 1, bytes, len);
	sent = queue_writer__send(&z->writer);
	if (z->writer.at > len || (sent == 1) != !z->writer.data || (sent == 0 && queue_writer__has_room(&z->writer)))
		abort();
	queue_writer__restart(&z->writer);
	free(bytes);
}

static void take(struct fuzz *z)
{
	int taken;

	atomic_store(&z->queue->head, z->head);
	/* As long as it says that there is something, but never without end: each time it has gone on, or there is nothing. */
	for (unsigned i = 0; i < 100; i++) {
		uint32_t before = z->reader.tail;

		taken = queue_reader__take(&z->reader, SESSION);
		if (z->reader.tail - before > PROTO_QUEUE_SIZE && taken >= 0)
			abort();
		if (taken == 1) {
			if (z->reader.len != z->reader.first.total ||
			    queue_sum(&z->reader.first, z->reader.data) != z->reader.first.sum)
				abort();
			fuzz_use(z->reader.data, z->reader.len);
			fuzz_used += msg__check((struct msg_in){ .data = z->reader.data, .len = z->reader.len });
		} else if (!queue_reader__pending(&z->reader)) {
			return;
		} else if (z->reader.tail == before) {
			abort();
		}
	}
}

static void step(struct fuzz *z)
{
	switch (fuzz_number(&z->in, 1) % 8) {
	case 0:
		put_bytes(z);
		break;
	case 1:
	case 2:
		put_record(z);
		break;
	case 3:
		z->head = (uint32_t)fuzz_number(&z->in, 4);
		break;
	case 4:
		send_some(z);
		break;
	case 5:
		atomic_store(&z->queue->head, z->head);
		queue_reader__skip(&z->reader);
		if (queue_reader__pending(&z->reader))
			abort();
		break;
	default:
		take(z);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_Atomic uint32_t bell = 0;
	struct fuzz z = { .in = { data, size } };

	fuzz_begin();
	z.queue = calloc(1, sizeof(*z.queue));
	if (!z.queue)
		abort();
	z.reader = (struct queue_reader){ .queue = z.queue, .bell = &bell, .tail = (uint32_t)fuzz_number(&z.in, 4) };
	z.writer = (struct queue_writer){ .queue = z.queue, .bell = &bell, .head = (uint32_t)fuzz_number(&z.in, 4) };
	z.head = z.reader.tail;
	while (z.in.left)
		step(&z);
	queue_reader__free(&z.reader);
	free(z.queue);
	return 0;
}
