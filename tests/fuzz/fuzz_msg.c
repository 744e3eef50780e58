/* fuzz_msg: the fields of a message. The input: the message. */
#include "fuzz.h"
#include "msg.h"
#include "proto.h"

/* Every field, and those of groups. Writes the same ones anew, which is what they were, but for their padding. */
static void read_all(struct msg_in m, struct msg_out *again, unsigned depth)
{
	struct msg_field f;
	size_t at;

	while (msg__next(&m, &f)) {
		fuzz_use(f.data, f.len);
		switch (f.type) {
		case MSG_U64:
			msg__put_u64(again, f.id, f.u64);
			break;
		case MSG_STR:
			if (strlen((const char *)f.data) != f.len)
				abort();
			msg__put_str(again, f.id, (const char *)f.data);
			break;
		case MSG_GROUP:
			at = msg__open(again, f.id);
			if (depth)
				read_all(msg__group(&f), again, depth - 1);
			msg__close(again, at);
			break;
		default:
			msg__put_bytes(again, f.id, f.type, f.data, f.len);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msg_in m = { .data = data, .len = size };
	struct msg_out again = { 0 };
	const char *text = msg__str(&m, PROTO_F_TARGET, NULL);
	bool sound = msg__check(m);

	if (text)
		fuzz_use(text, strlen(text));
	fuzz_used += msg__u64(&m, PROTO_F_PID, 0);
	read_all(m, &again, 9);
	if (again.failed || (sound && again.len != size) ||
	    (sound && !msg__check((struct msg_in){ .data = again.data, .len = again.len })))
		abort();
	msg__free(&again);
	return 0;
}
