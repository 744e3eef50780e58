/*
 * snapshot: the pieces of memory that were copied at one event, found by address.
 *
 * Owns the order of the pieces and nothing else: what stands in them is value.c's business. Pieces may touch, overlap
 * and lie about anything; where several hold a byte, the one that starts nearest before it counts.
 */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "skel.h"

struct piece {
	uint64_t addr, len;
	const uint8_t *bytes; /* NULL: unreadable */
};

struct snapshot {
	bool full;
	size_t n;
	uint64_t longest;
	struct piece pieces[]; /* sorted by address */
};

static int by_addr(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->len < y->len ? -1 : x->len > y->len;
}

/* The next record; how many bytes it takes with what follows it, or 0 when it is none. */
static size_t take_chunk(const uint8_t *at, size_t left, struct piece *piece)
{
	struct wire_chunk chunk;
	size_t len;

	if (left < sizeof(chunk))
		return 0;
	memcpy(&chunk, at, sizeof(chunk));
	len = chunk.unreadable ? 0 : ((size_t)chunk.len + 7) & ~(size_t)7;
	if (len > left - sizeof(chunk))
		return 0;
	/* What could not be read has no length where it was given up. */
	if (chunk.unreadable && !chunk.len)
		chunk.len = 1;
	/* Nothing lies at the end of the address space: something was taken for a pointer. */
	if (chunk.addr + chunk.len < chunk.addr)
		chunk.len = 0;
	*piece = (struct piece){ chunk.addr, chunk.len, chunk.unreadable ? NULL : at + sizeof(chunk) };
	return sizeof(chunk) + len;
}

int snapshot__new(const void *chunks, size_t nbytes, bool full, struct snapshot **out)
{
	size_t max = nbytes / sizeof(struct wire_chunk), used = 0, n;
	struct snapshot *s = calloc(1, sizeof(*s) + max * sizeof(s->pieces[0]));

	*out = NULL;
	if (!s)
		return -ENOMEM;
	s->full = full;
	for (; used < nbytes; used += n) {
		struct piece *piece = &s->pieces[s->n];

		n = take_chunk((const uint8_t *)chunks + used, nbytes - used, piece);
		if (!n) {
			free(s);
			return -EINVAL;
		}
		if (piece->len > s->longest)
			s->longest = piece->len;
		s->n += piece->len != 0;
	}
	qsort(s->pieces, s->n, sizeof(s->pieces[0]), by_addr);
	*out = s;
	return 0;
}

void snapshot__free(struct snapshot *s)
{
	free(s);
}

/* The piece that holds `addr`, or NULL. One that could be read is preferred. */
static const struct piece *find(const struct snapshot *s, uint64_t addr)
{
	const struct piece *unreadable = NULL;
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->pieces[middle].addr <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	while (low-- && addr - s->pieces[low].addr < s->longest) {
		const struct piece *piece = &s->pieces[low];

		if (addr - piece->addr >= piece->len)
			continue;
		if (piece->bytes)
			return piece;
		unreadable = piece;
	}
	return unreadable;
}

enum snapshot_state snapshot__state(const struct snapshot *s, uint64_t addr)
{
	const struct piece *piece = find(s, addr);

	if (!piece)
		return s->full ? SNAPSHOT_CUT : SNAPSHOT_ABSENT;
	return piece->bytes ? SNAPSHOT_PRESENT : SNAPSHOT_UNREADABLE;
}

size_t snapshot__read(const struct snapshot *s, uint64_t addr, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const struct piece *piece = find(s, addr + done);
		uint64_t from, n;

		if (!piece || !piece->bytes)
			break;
		from = addr + done - piece->addr;
		n = piece->len - from;
		if (n > len - done)
			n = len - done;
		if (buf)
			memcpy((uint8_t *)buf + done, piece->bytes + from, n);
		done += n;
	}
	return done;
}

size_t snapshot__span(const struct snapshot *s, uint64_t addr, size_t max)
{
	return snapshot__read(s, addr, NULL, max);
}
