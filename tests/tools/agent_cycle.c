/*
 * agent_cycle: applies one patch to a process and takes it back, over and over, on one link: what pylu-cli does, without its start and with
 * the compiler run once.
 *
 *   agent_cycle PID PATCH.py CYCLES
 *
 * Prints {"cycles": N, "prepare_us"|"commit_us"|"revert_us": [of each cycle how long the answer took], "hold_us", "gil_wait_us": [of each
 * commit what the agent said]}. Exit status 1 with one sentence when something was refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compile.h"
#include "diag.h"
#include "link.h"
#include "msg.h"
#include "proto.h"
#include "target.h"

#define TIMEOUT_MS 60000
#define WHO "a test"

struct cycle {
	struct link *link;
	struct compile_result patch;
	json_t *out;
	uint64_t id;
};

static double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void note(struct cycle *c, const char *name, json_t *value)
{
	json_t *list = json_object_get(c->out, name);

	if (!list) {
		list = json_array();
		json_object_set_new(c->out, name, list);
	}
	json_array_append_new(list, value);
}

/* Frees the request. 0, or 1 after a sentence. */
static int ask(struct cycle *c, uint16_t type, struct msg_out *request, struct msg_in *answer)
{
	int err = link__call(c->link, type, request, TIMEOUT_MS, answer);

	msg__free(request);
	if (err > 0)
		fprintf(stderr, "agent_cycle: %s\n%s\n", msg__str(answer, PROTO_F_ERROR, "refused"),
			msg__str(answer, PROTO_F_TRACEBACK, ""));
	return err != 0;
}

static int timed(struct cycle *c, const char *name, uint16_t type, struct msg_out *request, struct msg_in *answer)
{
	double begun = now_us();
	int status = ask(c, type, request, answer);

	note(c, name, json_real(now_us() - begun));
	return status;
}

static int resolve(void *ctx, const char *target, json_t **out)
{
	struct msg_out request = { 0 };
	struct msg_in answer;

	msg__put_str(&request, PROTO_F_TARGET, target);
	if (ask(ctx, PROTO_RESOLVE, &request, &answer))
		return -DIAG_BAD_DATA;
	*out = compile__resolved(&answer);
	return *out ? 0 : -ENOMEM;
}

static void put_token(struct msg_out *m, unsigned number)
{
	const uint32_t token[4] = { number, (uint32_t)getpid(), 0, 1 };

	msg__put_bytes(m, PROTO_F_TOKEN, MSG_BYTES, token, sizeof(token));
}

static int apply(struct cycle *c, unsigned number)
{
	struct msg_out prepare = { 0 }, commit = { 0 };
	struct msg_in answer;

	put_token(&prepare, number);
	put_token(&commit, number);
	msg__put_str(&prepare, PROTO_F_WHO, WHO);
	msg__put_str(&prepare, PROTO_F_COMMAND, "cycle");
	msg__put_bytes(&prepare, PROTO_F_BLOB, MSG_BYTES, c->patch.blob, c->patch.len);
	if (timed(c, "prepare_us", PROTO_PREPARE, &prepare, &answer)) {
		msg__free(&commit);
		return 1;
	}
	if (timed(c, "commit_us", PROTO_COMMIT, &commit, &answer))
		return 1;
	c->id = msg__u64(&answer, PROTO_F_ID, 0);
	note(c, "hold_us", json_integer((json_int_t)msg__u64(&answer, PROTO_F_HOLD_US, 0)));
	note(c, "gil_wait_us", json_integer((json_int_t)msg__u64(&answer, PROTO_F_GIL_WAIT_US, 0)));
	return 0;
}

static int take_back(struct cycle *c)
{
	struct msg_out revert = { 0 };
	struct msg_in answer;

	msg__put_u64(&revert, PROTO_F_ID, c->id);
	msg__put_str(&revert, PROTO_F_WHO, WHO);
	msg__put_str(&revert, PROTO_F_COMMAND, "cycle");
	return timed(c, "revert_us", PROTO_REVERT, &revert, &answer);
}

static int compile(struct cycle *c, const struct target *t, const char *path)
{
	struct compile_job job = { .patch = true, .path = path, .resolve = resolve, .ctx = c };
	char *source = malloc(PROTO_SOURCE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;
	ssize_t len = fd < 0 || !source ? -1 : read(fd, source, PROTO_SOURCE_MAX);

	if (len < 0) {
		fprintf(stderr, "agent_cycle: %s: %s\n", path, strerror(errno));
		status = 1;
	} else {
		job.source = source;
		job.source_len = (size_t)len;
		status = compile__run(&job, t, &c->patch) != 0;
	}
	if (fd >= 0)
		close(fd);
	free(source);
	return status;
}

static int cycles(struct cycle *c, unsigned count)
{
	int status = 0;

	for (unsigned i = 0; i < count && !status; i++)
		status = apply(c, i) || take_back(c);
	json_object_set_new(c->out, "cycles", json_integer(count));
	if (!status)
		json_dumpf(c->out, stdout, JSON_REAL_PRECISION(6));
	return status;
}

int main(int argc, char **argv)
{
	struct cycle c = { .out = json_object() };
	struct target *t = NULL;
	int status = 1;

	if (argc != 4)
		return 2;
	if (!target__open(atoi(argv[1]), &t) && !link__open(atoi(argv[1]), TIMEOUT_MS, &c.link) &&
	    !compile(&c, t, argv[2]))
		status = cycles(&c, (unsigned)atoi(argv[3]));
	compile__free(&c.patch);
	link__close(c.link);
	target__close(t);
	json_decref(c.out);
	return status;
}
