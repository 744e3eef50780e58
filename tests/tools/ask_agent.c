/*
 * ask_agent: one request to the agent of a process, and its answer, in words. Its names are those of agent/proto.h, without PROTO_ and PROTO_F_, and
 * known from there (agent_fields.h and agent_types.h are made of it).
 *
 *	ask_agent PID TYPE [FIELD=VALUE]...
 *	ask_agent PID HELLO
 *	ask_agent 4711 RESOLVE TARGET=shop.total
 *
 * A value is a number, a text, or for bytes hex digits, as the field has it; TYPE may be a number. Prints a line for each field
 * of the answer, NAME=VALUE, those of a group below it, one more blank in. Texts as they are, with \n and \\ for line ends and
 * backslashes. Exit status 0, 1 when there was no answer (and why on stderr), 3 when the answer is an error.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "msg.h"
#include "proto.h"

#define TIMEOUT_MS 30000

struct name {
	const char *name;
	uint16_t number;
	char kind; /* of a field: u, s, b, g */
};

#define F(name, kind) { #name, PROTO_F_##name, #kind[0] },
#define T(name) { #name, PROTO_##name, 0 },
static const struct name fields[] = {
#include "agent_fields.h"
};
static const struct name types[] = {
#include "agent_types.h"
};
#undef F
#undef T

static const struct name *find(const struct name *names, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(names[i].name) == len && !memcmp(names[i].name, name, len))
			return &names[i];
	return NULL;
}

static void put_hex(struct msg_out *m, uint16_t id, const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = malloc(len + 1);
	unsigned byte;

	for (size_t i = 0; bytes && i < len; i++)
		bytes[i] = sscanf(hex + 2 * i, "%2x", &byte) == 1 ? (uint8_t)byte : 0;
	if (bytes)
		msg__put_bytes(m, id, MSG_BYTES, bytes, len);
	m->failed |= !bytes;
	free(bytes);
}

/* FIELD=VALUE. False when there is no such field. */
static bool put(struct msg_out *m, const char *word)
{
	size_t len = strcspn(word, "=");
	const struct name *f = find(fields, sizeof(fields) / sizeof(fields[0]), word, len);
	const char *value = word + len + 1;

	if (!f || !word[len])
		return false;
	switch (f->kind) {
	case 'u':
		msg__put_u64(m, f->number, strtoull(value, NULL, 0));
		return true;
	case 's':
		msg__put_str(m, f->number, value);
		return true;
	case 'b':
		put_hex(m, f->number, value);
		return true;
	}
	return false;
}

static void print_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", stdout);
		else if (*text == '\\')
			fputs("\\\\", stdout);
		else
			putchar(*text);
	}
	putchar('\n');
}

static void print(struct msg_in m, int depth)
{
	const struct name *name;
	struct msg_field f;

	while (msg__next(&m, &f)) {
		name = NULL;
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
			if (fields[i].number == f.id)
				name = &fields[i];
		printf("%*s", depth, "");
		if (name)
			printf("%s=", name->name);
		else
			printf("%u=", f.id);
		if (f.type == MSG_U64) {
			printf("%" PRIu64 "\n", f.u64);
		} else if (f.type == MSG_STR) {
			print_text((const char *)f.data);
		} else if (f.type == MSG_GROUP) {
			putchar('\n');
			print(msg__group(&f), depth + 1);
		} else {
			for (size_t i = 0; i < f.len; i++)
				printf("%02x", f.data[i]);
			putchar('\n');
		}
	}
}

static int ask(pid_t pid, uint16_t type, struct msg_out *request)
{
	struct link *link = NULL;
	struct msg_in answer;
	int err = link__open(pid, TIMEOUT_MS, &link);

	if (!err)
		err = link__call(link, type, request, TIMEOUT_MS, &answer);
	if (err >= 0)
		print(answer, 0);
	link__close(link);
	return err < 0 ? 1 : err ? 3 : 0;
}

int main(int argc, char **argv)
{
	const struct name *named = argc < 3 ? NULL
					    : find(types, sizeof(types) / sizeof(types[0]), argv[2], strlen(argv[2]));
	struct msg_out request = { 0 };
	int status;

	if (argc < 3 || (!named && !isdigit((unsigned char)argv[2][0]))) {
		fprintf(stderr, "usage: ask_agent PID TYPE [FIELD=VALUE]...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		if (put(&request, argv[i]))
			continue;
		fprintf(stderr, "ask_agent: there is no such field: %s\n", argv[i]);
		return 2;
	}
	status = ask(atoi(argv[1]), named ? named->number : (uint16_t)strtoul(argv[2], NULL, 0), &request);
	msg__free(&request);
	return status;
}
