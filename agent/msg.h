/*
 * msg: a message's fields, written and read. Both sides use it; it knows neither Python nor the ring. What is read may be
 * damaged or hostile: every length is checked, and what does not fit ends the list.
 *
 * A field is: u16 id, u16 type, u32 length of the value in bytes, the value, padding with zeros to 8 bytes; little-endian.
 */
#ifndef PYLU_MSG_H
#define PYLU_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum msg_type {
	MSG_U64 = 1, /* 8 bytes */
	MSG_STR,     /* UTF-8, no NUL inside */
	MSG_BYTES,
	MSG_GROUP, /* fields */
};

/* A message being written: a buffer that grows up to PROTO_MESSAGE_MAX. All zeros is an empty one. After a failure (no memory, too long)
 * `failed` is set and everything else does nothing, so that only the end need be checked. */
struct msg_out {
	uint8_t *data; /* owned */
	size_t len, room;
	bool failed;
};

void msg__put_u64(struct msg_out *m, uint16_t id, uint64_t value);
void msg__put_str(struct msg_out *m, uint16_t id,
		  const char *text); /* NULL: nothing is put; what is no UTF-8 becomes '?' */
void msg__put_bytes(struct msg_out *m, uint16_t id, enum msg_type type, const void *data, size_t len);
/* Printf into a MSG_STR field, cut at 4,095 bytes. */
void msg__putf(struct msg_out *m, uint16_t id, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A group holds all fields put between open and close; groups nest. `at` is what open returned. */
size_t msg__open(struct msg_out *m, uint16_t id);
void msg__close(struct msg_out *m, size_t at);
void msg__reset(struct msg_out *m); /* empty again, keeps the buffer */
void msg__free(struct msg_out *m);

/* Fields being read. Does not own the bytes. */
struct msg_in {
	const uint8_t *data;
	size_t len;
};

struct msg_field {
	uint16_t id, type;
	uint64_t u64;	     /* MSG_U64 */
	const uint8_t *data; /* the others: in the message; MSG_STR is followed by a NUL that is not in `len` */
	size_t len;
};

/* The next field, which is taken off `m`. False at the end, and where what is left is no field (then m->len stays > 0). */
bool msg__next(struct msg_in *m, struct msg_field *out);
/* The first field `id` of type `type`; `m` stays as it is. */
bool msg__find(const struct msg_in *m, uint16_t id, enum msg_type type, struct msg_field *out);
/* The same, with a value for absence. The text lives as long as the message. */
uint64_t msg__u64(const struct msg_in *m, uint16_t id, uint64_t absent);
const char *msg__str(const struct msg_in *m, uint16_t id, const char *absent);
struct msg_in msg__group(const struct msg_field *f);
/* Whether all of it, groups included, is made of whole fields, texts are UTF-8, and no group is nested deeper than 8. */
bool msg__check(struct msg_in m);

#endif
