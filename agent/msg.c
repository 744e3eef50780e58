/* msg: see msg.h. */
#include "msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto.h"

#define HEAD 8
#define DEEPEST 8
#define FIRST_ROOM 256

static size_t padded(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* Room for `n` more bytes, zeroed; NULL after a failure. */
static uint8_t *extend(struct msg_out *m, size_t n)
{
	size_t room = m->room ? m->room : FIRST_ROOM;
	uint8_t *data;

	if (m->failed)
		return NULL;
	if (n > PROTO_MESSAGE_MAX || m->len + n > PROTO_MESSAGE_MAX) {
		m->failed = true;
		return NULL;
	}
	while (room < m->len + n)
		room *= 2;
	if (room > m->room) {
		data = realloc(m->data, room);
		if (!data) {
			m->failed = true;
			return NULL;
		}
		m->data = data;
		m->room = room;
	}
	data = m->data + m->len;
	memset(data, 0, n);
	m->len += n;
	return data;
}

/* One UTF-8 character of at most `n` bytes: its length, or 0. Neither overlong forms nor surrogates are any. */
static size_t utf8(const uint8_t *s, size_t n)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80	     ? 1
		     : (s[0] & 0xe0) == 0xc0 ? 2
		     : (s[0] & 0xf0) == 0xe0 ? 3
		     : (s[0] & 0xf8) == 0xf0 ? 4
					     : 0;
	uint32_t c;

	if (len < 2)
		return s[0] ? len : 0;
	if (len > n)
		return 0;
	c = s[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fU);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

static bool is_text(const uint8_t *s, size_t len)
{
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8(s + i, len - i);
		if (!n)
			return false;
	}
	return true;
}

static void put(struct msg_out *m, uint16_t id, enum msg_type type, const void *value, size_t len)
{
	uint16_t kind = (uint16_t)type;
	uint32_t size = (uint32_t)len;
	uint8_t *at;

	if (len > PROTO_MESSAGE_MAX) {
		m->failed = true;
		return;
	}
	at = extend(m, HEAD + padded(len));
	if (!at)
		return;
	memcpy(at, &id, 2);
	memcpy(at + 2, &kind, 2);
	memcpy(at + 4, &size, 4);
	if (len)
		memcpy(at + HEAD, value, len);
}

void msg__put_u64(struct msg_out *m, uint16_t id, uint64_t value)
{
	put(m, id, MSG_U64, &value, sizeof(value));
}

void msg__put_str(struct msg_out *m, uint16_t id, const char *text)
{
	size_t len, n;
	uint8_t *copy;

	if (!text)
		return;
	/* With its NUL, so that a reader can use it where it lies. */
	len = strlen(text);
	put(m, id, MSG_STR, text, len + 1);
	if (m->failed)
		return;
	/* Names of files may be any bytes, and a message that is too long is cut anywhere: the reader would take none of it. */
	copy = m->data + m->len - padded(len + 1);
	for (size_t i = 0; i < len; i += n) {
		n = utf8(copy + i, len - i);
		if (n)
			continue;
		copy[i] = '?';
		n = 1;
	}
}

void msg__put_bytes(struct msg_out *m, uint16_t id, enum msg_type type, const void *data, size_t len)
{
	put(m, id, type, data, len);
}

void msg__putf(struct msg_out *m, uint16_t id, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	msg__put_str(m, id, text);
}

size_t msg__open(struct msg_out *m, uint16_t id)
{
	size_t at = m->len;

	put(m, id, MSG_GROUP, NULL, 0);
	return at;
}

void msg__close(struct msg_out *m, size_t at)
{
	uint32_t size;

	if (m->failed)
		return;
	size = (uint32_t)(m->len - at - HEAD);
	memcpy(m->data + at + 4, &size, 4);
}

void msg__reset(struct msg_out *m)
{
	m->len = 0;
	m->failed = false;
}

void msg__free(struct msg_out *m)
{
	free(m->data);
	memset(m, 0, sizeof(*m));
}

/* What lies at the start of `m`; false when it is no whole field. */
static bool head(const struct msg_in *m, struct msg_field *out, size_t *whole)
{
	uint32_t size;

	memset(out, 0, sizeof(*out));
	if (m->len < HEAD)
		return false;
	memcpy(&out->id, m->data, 2);
	memcpy(&out->type, m->data + 2, 2);
	memcpy(&size, m->data + 4, 4);
	if (size > m->len - HEAD || padded(size) > m->len - HEAD)
		return false;
	out->data = m->data + HEAD;
	out->len = size;
	*whole = HEAD + padded(size);
	return true;
}

bool msg__next(struct msg_in *m, struct msg_field *out)
{
	size_t whole;

	if (!head(m, out, &whole))
		return false;
	switch (out->type) {
	case MSG_U64:
		if (out->len != 8)
			return false;
		memcpy(&out->u64, out->data, 8);
		break;
	case MSG_STR:
		if (!out->len || out->data[out->len - 1] || !is_text(out->data, out->len - 1))
			return false;
		out->len--;
		break;
	}
	m->data += whole;
	m->len -= whole;
	return true;
}

bool msg__find(const struct msg_in *m, uint16_t id, enum msg_type type, struct msg_field *out)
{
	struct msg_in rest = *m;

	while (msg__next(&rest, out))
		if (out->id == id && out->type == type)
			return true;
	return false;
}

uint64_t msg__u64(const struct msg_in *m, uint16_t id, uint64_t absent)
{
	struct msg_field f;

	return msg__find(m, id, MSG_U64, &f) ? f.u64 : absent;
}

const char *msg__str(const struct msg_in *m, uint16_t id, const char *absent)
{
	struct msg_field f;

	return msg__find(m, id, MSG_STR, &f) ? (const char *)f.data : absent;
}

struct msg_in msg__group(const struct msg_field *f)
{
	return (struct msg_in){ .data = f->data, .len = f->type == MSG_GROUP ? f->len : 0 };
}

static bool check(struct msg_in m, unsigned depth)
{
	struct msg_field f;

	while (msg__next(&m, &f))
		if (f.type == MSG_GROUP && (depth == DEEPEST || !check(msg__group(&f), depth + 1)))
			return false;
	return !m.len;
}

bool msg__check(struct msg_in m)
{
	return check(m, 0);
}
