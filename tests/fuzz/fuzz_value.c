/*
 * fuzz_value: a snapshot of a process's objects, damaged or not, decoded and written. The input: the version (a byte), the
 * object (3 bytes: its place), depth, items and chars (a byte each), what is left out of the snapshot (a byte), and the
 * patches (fuzz.h) that make the memory out of valueworld's interpreter. Where the byte before them is 255, the pieces
 * themselves come instead.
 */
#include "fuzz.h"
#include "live_snapshot.h"
#include "valueworld.h"

#define LEAVE_OUT_RAW 255
#define WORK (1u << 20)

/* Copies the pieces without those that are left out: each so-manieth, or half of it. */
static size_t thin(struct live *live, unsigned left_out)
{
	unsigned i = 0, each = left_out & 31;
	size_t to = 0, n;

	for (size_t at = 0; at < live->used; at += n) {
		struct wire_chunk chunk;

		memcpy(&chunk, live->bytes + at, sizeof(chunk));
		n = sizeof(chunk) + (chunk.unreadable ? 0 : (chunk.len + 7) & ~7U);
		if (each && i++ % each == each - 1) {
			if (left_out & 64 || chunk.unreadable)
				continue;
			chunk.len = left_out & 32 ? chunk.len / 2 : chunk.len;
			chunk.unreadable = !(left_out & 32);
		}
		memmove(live->bytes + to + sizeof(chunk), live->bytes + at + sizeof(chunk),
			chunk.unreadable ? 0 : chunk.len);
		memcpy(live->bytes + to, &chunk, sizeof(chunk));
		to += sizeof(chunk) + (chunk.unreadable ? 0 : (chunk.len + 7) & ~7U);
	}
	return to;
}

static void use_value(const struct value *v)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	json_t *json = value__json(v);
	size_t len;

	if (!f || value__text(v, f) || fclose(f))
		abort();
	/* Whatever was read, it is one line, and nothing that a terminal acts upon. */
	for (size_t i = 0; i < size; i++) {
		if ((uint8_t)text[i] < 0x20 || text[i] == 0x7f)
			abort();
	}
	free(text);
	if (!json)
		abort();
	text = json_dumps(json, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
	if (!text)
		abort();
	fuzz_use(text, strlen(text));
	free(text);
	json_decref(json);
	fuzz_used += value__unreadable(v) + (uint64_t)value__truth(v) + (uint64_t)value__class(v);
	if (value__class(v) == VALUE_STR) {
		const char *str = value__str(v, &len);

		fuzz_use(str, len);
	}
}

static void decode(struct world *w, const struct wire_limits *limits, const struct redact *redact, const void *chunks,
		   size_t nbytes, uint64_t obj)
{
	struct value_decoder *d;
	struct snapshot *s;

	if (snapshot__new(chunks, nbytes, nbytes & 8, &s))
		return;
	if (value_decoder__new(w->reader, limits, redact, &d))
		abort();
	/* Twice: the second time what types are is known. */
	for (int i = 0; i < 2; i++) {
		struct value *v = value__decode(d, s, obj, WIRE_ROOT_VALUE, "name");

		if (!v)
			abort();
		use_value(v);
		value__free(v);
	}
	value_decoder__free(d);
	snapshot__free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	uint8_t minor = fuzz_minor(&in);
	uint64_t obj = WORLD_BASE + (fuzz_number(&in, 3) % WORLD_SIZE & ~7ULL);
	struct wire_limits limits = { (u32)fuzz_number(&in, 1) % 40, (u32)fuzz_number(&in, 1),
				      (u32)fuzz_number(&in, 1) };
	unsigned left_out = (unsigned)fuzz_number(&in, 1);
	struct redact *redact;
	struct live live;
	struct world w;
	bool mine;

	fuzz_begin();
	if (!layout__find(3, minor, false))
		return 0;
	world_open_values(&w, minor);
	if (redact__new(NULL, &redact))
		abort();
	if (left_out == LEAVE_OUT_RAW) {
		decode(&w, &limits, redact, in.at, in.left, obj);
	} else {
		fuzz_patch(&in, WORLD_BASE, w.bytes, WORLD_SIZE, &w.used);
		if (pyobj_cache__begin(w.reader, WORK, &mine))
			abort();
		live_take(&live, w.reader, &limits, obj);
		pyobj_cache__end(w.reader, mine);
		decode(&w, &limits, left_out & 128 ? redact : NULL, live.bytes, thin(&live, left_out & 127), obj);
		live_free(&live);
	}
	redact__free(redact);
	world_close(&w);
	return 0;
}
