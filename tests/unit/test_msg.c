/* msg: what is put is found, in groups too; what is damaged ends the list; what is too much fails once and for all. */
#include "check.h"

#include <stdlib.h>

#include "msg.h"
#include "proto.h"

static struct msg_in in(const struct msg_out *m)
{
	return (struct msg_in){ .data = m->data, .len = m->len };
}

static void test_round_trip(void)
{
	struct msg_out m = { 0 };
	struct msg_in r, inner;
	struct msg_field f;
	size_t group;

	msg__put_u64(&m, PROTO_F_PID, UINT64_MAX);
	msg__put_str(&m, PROTO_F_TARGET,
		     "p\xc3\xa4"
		     "ckage.name");
	msg__put_str(&m, PROTO_F_WHO, NULL);
	msg__put_str(&m, PROTO_F_MODULE, "");
	group = msg__open(&m, PROTO_F_CHANGE);
	msg__putf(&m, PROTO_F_NOTE, "%d and %s", 7, "more");
	msg__put_bytes(&m, PROTO_F_TOKEN, MSG_BYTES, "\0\1\2", 3);
	msg__close(&m, group);
	msg__put_u64(&m, PROTO_F_ID, 5);
	CHECK(!m.failed && m.len % 8 == 0);
	r = in(&m);
	CHECK(msg__check(r));
	CHECK(msg__u64(&r, PROTO_F_PID, 0) == UINT64_MAX);
	CHECK_STR_EQ(msg__str(&r, PROTO_F_TARGET, NULL), "p\xc3\xa4"
							 "ckage.name");
	CHECK_STR_EQ(msg__str(&r, PROTO_F_MODULE, NULL), "");
	CHECK(!msg__str(&r, PROTO_F_WHO, NULL));
	CHECK_EQ(msg__u64(&r, PROTO_F_ID, 0), 5);
	CHECK_EQ(msg__u64(&r, PROTO_F_TARGET, 9), 9); /* there, and no number */
	CHECK(!msg__str(&r, PROTO_F_NOTE, NULL));     /* in the group, not beside it */
	CHECK(msg__find(&r, PROTO_F_CHANGE, MSG_GROUP, &f));
	inner = msg__group(&f);
	CHECK_STR_EQ(msg__str(&inner, PROTO_F_NOTE, NULL), "7 and more");
	CHECK(msg__find(&inner, PROTO_F_TOKEN, MSG_BYTES, &f) && f.len == 3 && !memcmp(f.data, "\0\1\2", 3));
	CHECK(msg__find(&r, PROTO_F_PID, MSG_U64, &f) && msg__group(&f).len == 0);
	msg__reset(&m);
	CHECK(m.len == 0 && m.room > 0);
	msg__free(&m);
}

/* Each prefix of a message is refused or is shorter by whole fields, and nothing behind its end is read (the sanitizer looks). */
static void test_prefixes(void)
{
	struct msg_out m = { 0 };
	size_t group;
	unsigned whole = 0;

	msg__put_str(&m, PROTO_F_TARGET, "name");
	group = msg__open(&m, PROTO_F_CHANGE);
	msg__put_u64(&m, PROTO_F_ID, 1);
	msg__close(&m, group);
	for (size_t len = 0; len <= m.len; len++) {
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, m.data, len);
		whole += msg__check((struct msg_in){ .data = copy, .len = len });
		free(copy);
	}
	CHECK_EQ(whole, 3); /* nothing, the first field, both */
	msg__free(&m);
}

/* Field by field. */
static void test_damage(void)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
	} cases[] = {
		{ "a text without its NUL", "\1\0\2\0\4\0\0\0abcd\0\0\0\0", 16 },
		{ "an empty text without one", "\1\0\2\0\0\0\0\0", 8 },
		{ "a NUL inside", "\1\0\2\0\4\0\0\0a\0b\0\0\0\0\0", 16 },
		{ "no UTF-8", "\1\0\2\0\3\0\0\0\xff\xfe\0\0\0\0\0\0", 16 },
		{ "an overlong form", "\1\0\2\0\3\0\0\0\xc0\x80\0\0\0\0\0\0", 16 },
		{ "a surrogate", "\1\0\2\0\4\0\0\0\xed\xa0\x80\0\0\0\0\0", 16 },
		{ "a cut character", "\1\0\2\0\3\0\0\0a\xc3\0\0\0\0\0\0", 16 },
		{ "a number of 4 bytes", "\1\0\1\0\4\0\0\0abcd\0\0\0\0", 16 },
		{ "a length beyond the end", "\1\0\3\0\x09\0\0\0abcdefgh", 16 },
		{ "the greatest length",
		  "\1\0\3\0\xff\xff\xff\xff"
		  "abcdefgh",
		  16 },
		{ "a group of half a field", "\1\0\4\0\4\0\0\0abcd\0\0\0\0", 16 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!CHECK(!msg__check(
			    (struct msg_in){ .data = (const uint8_t *)cases[i].bytes, .len = cases[i].len })))
			fprintf(stderr, "accepted: %s\n", cases[i].what);
	/* Of a type that is not known here: a newer side may send it. */
	CHECK(msg__check((struct msg_in){ .data = (const uint8_t *)"\1\0\x63\0\4\0\0\0abcd\0\0\0\0", .len = 16 }));
}

static bool nests(unsigned depth)
{
	struct msg_out m = { 0 };
	size_t at[16];
	bool ok;

	for (unsigned i = 0; i < depth; i++)
		at[i] = msg__open(&m, PROTO_F_CHANGE);
	while (depth)
		msg__close(&m, at[--depth]);
	ok = !m.failed && msg__check(in(&m));
	msg__free(&m);
	return ok;
}

static void test_limits(void)
{
	struct msg_out m = { 0 };
	uint8_t *much = calloc(1, PROTO_MESSAGE_MAX);
	size_t group;

	CHECK(nests(8) && !nests(9));
	group = msg__open(&m, PROTO_F_CHANGE);
	msg__put_bytes(&m, PROTO_F_BLOB, MSG_BYTES, much, PROTO_MESSAGE_MAX - 16);
	CHECK(!m.failed && m.len == PROTO_MESSAGE_MAX);
	msg__put_u64(&m, PROTO_F_ID, 1);
	CHECK(m.failed && m.len == PROTO_MESSAGE_MAX);
	msg__put_str(&m, PROTO_F_NOTE, "no more");
	msg__close(&m, group);
	CHECK(m.failed && m.len == PROTO_MESSAGE_MAX);
	msg__reset(&m);
	msg__put_bytes(&m, PROTO_F_BLOB, MSG_BYTES, much, SIZE_MAX);
	CHECK(m.failed && m.len == 0);
	msg__free(&m);
	free(much);
}

static void test_long_text(void)
{
	struct msg_out m = { 0 };
	struct msg_in r;
	char text[5000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	msg__putf(&m, PROTO_F_NOTE, "%s", text);
	r = in(&m);
	CHECK_EQ(strlen(msg__str(&r, PROTO_F_NOTE, "")), 4095);
	/* Cut in the middle of a character: it is a text all the same. */
	msg__reset(&m);
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2);
	msg__putf(&m, PROTO_F_NOTE, "%s", text);
	r = in(&m);
	CHECK(msg__check(r));
	CHECK_STR_EQ(msg__str(&r, PROTO_F_NOTE, "") + 4090, "\xc3\xa4\xc3\xa4?");
	/* A file name that is no text. */
	msg__reset(&m);
	msg__put_str(&m, PROTO_F_FILE, "a\xff\xe4/b\xe2\x82");
	r = in(&m);
	CHECK_STR_EQ(msg__str(&r, PROTO_F_FILE, ""), "a?"
						     "?/b??");
	msg__free(&m);
}

int main(void)
{
	test_round_trip();
	test_prefixes();
	test_damage();
	test_limits();
	test_long_text();
	return check_done();
}
