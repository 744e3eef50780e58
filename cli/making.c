/* making: see making.h. */
#include "making.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "change_text.h"
#include "diag.h"
#include "elf.h"
#include "proto.h"
#include "target.h"

/* At most a byte more than what is allowed. */
static int read_source(struct making *m, int fd)
{
	const size_t room = PROTO_SOURCE_MAX + 2;
	ssize_t n = 1;

	m->source = malloc(room);
	if (!m->source)
		return diag_error(-ENOMEM, "out of memory");
	while (n > 0 && m->job.source_len < room - 1) {
		n = read(fd, m->source + m->job.source_len, room - 1 - m->job.source_len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			m->job.source_len += (size_t)n;
	}
	if (n < 0)
		return diag_error(-errno, "cannot read %s: %s", m->path, strerror(errno));
	m->source[m->job.source_len] = '\0';
	m->job.source = m->source;
	if (m->job.source_len > PROTO_SOURCE_MAX)
		return diag_error(-EFBIG, "%s is too large: a patch may have %u bytes", m->path, PROTO_SOURCE_MAX);
	return 0;
}

int making__open(void *ctx)
{
	struct making *m = ctx;
	const char *path = m->from;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return diag_error(-errno, "cannot read %s: %s", path, strerror(errno));
	m->path = realpath(path, NULL);
	if (!m->path)
		m->path = strdup(path);
	err = m->path ? read_source(m, fd) : diag_error(-ENOMEM, "out of memory");
	close(fd);
	m->job.path = m->path;
	return err;
}

/* A request of the compiler's. 0, or a negative code that was reported. */
static int ask(struct making *m, uint16_t type, struct msg_out *request, uint64_t extra_ms, struct msg_in *answer)
{
	const int err = peer__call(m->peers, m->peer, type, request, extra_ms, answer);

	msg__free(request);
	if (err <= 0)
		return err;
	m->code = err;
	return diag_error(-DIAG_BAD_DATA, "process %d: %s", (int)m->peer->pid,
			  msg__str(answer, PROTO_F_ERROR, "the agent refused, and did not say why"));
}

static int resolve(void *ctx, const char *target, json_t **out)
{
	struct making *m = ctx;
	struct msg_out request = { 0 };
	struct msg_in answer;
	int err;

	msg__put_str(&request, PROTO_F_TARGET, target);
	err = ask(m, PROTO_RESOLVE, &request, 0, &answer);
	if (err) {
		snprintf(m->refused, sizeof(m->refused), "%s", target);
		return err;
	}
	*out = compile__resolved(&answer);
	if (!*out || json_object_set(m->resolved, target, *out))
		return diag_error(-ENOMEM, "out of memory");
	return 0;
}

static int serve(void *ctx, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	struct making *m = ctx;
	struct msg_out request = { 0 };
	struct msg_in answer;
	struct msg_field f;
	int err;

	msg__put_str(&request, PROTO_F_SCRIPT, compile_script);
	msg__put_bytes(&request, PROTO_F_INPUT, MSG_BYTES, in, len);
	err = ask(m, PROTO_COMPILE, &request, 1000 * COMPILE_SECONDS, &answer);
	if (err)
		return err;
	if (!msg__find(&answer, PROTO_F_OUTPUT, MSG_BYTES, &f))
		return diag_error(-DIAG_BAD_DATA, "process %d: the compiler in it gave no answer", (int)m->peer->pid);
	*out = malloc(f.len ? f.len : 1);
	if (!*out)
		return diag_error(-ENOMEM, "out of memory");
	memcpy(*out, f.data, f.len);
	*out_len = f.len;
	return 0;
}

/* Whether what was compiled last is right for this process: the same interpreter, and the agent says the same of each target. */
static bool fits(struct making *m, const struct target *t)
{
	const json_t *before;
	const char *target;
	json_t *old = m->resolved, *now;
	bool same = m->result.blob && !strcmp(m->build_id, elf_file__build_id(t->elf));

	if (!same)
		return false;
	m->resolved = json_object();
	json_object_foreach(old, target, before)
	{
		now = NULL;
		same = same && !resolve(m, target, &now) && json_equal(before, now);
		json_decref(now);
	}
	json_decref(m->resolved);
	m->resolved = old;
	m->peers->report->capture.error[0] = '\0'; /* compiling anew will say it again */
	m->code = 0;
	return same;
}

static int compile(struct making *m, const struct target *t)
{
	compile__free(&m->result);
	m->result = (struct compile_result){ 0 };
	json_decref(m->resolved);
	m->resolved = json_object();
	snprintf(m->build_id, sizeof(m->build_id), "%s", elf_file__build_id(t->elf));
	m->job.resolve = resolve;
	m->job.serve = serve;
	m->job.ctx = m;
	return compile__run(&m->job, t, &m->result);
}

/* The source's own faults are the same everywhere; the others are of this process. */
static void failed(struct making *m, struct peers *p, struct peer *peer, int err, bool first)
{
	const bool sources = err == -DIAG_BAD_DATA && !m->code && first;
	json_t *where = sources ? p->report->root : peer->out;
	char why[512];

	if (m->code == PROTO_E_NO_MODULE && (p->opts->tree.n || p->opts->all)) {
		snprintf(why, sizeof(why), "it has not loaded the module of %s", m->refused);
		peer__skip(peer, why);
		p->report->capture.error[0] = '\0';
		return;
	}
	report__failed(p->report, where, err);
	if (m->result.traceback)
		json_object_set_new(json_object_get(where, "error"), "traceback", json_string(m->result.traceback));
	peer->failed = !sources;
}

bool making__put(struct peers *p, struct peer *peer, void *ctx, struct msg_out *prepare)
{
	struct making *m = ctx;
	const bool first = !m->result.blob;
	struct target *t = NULL;
	int err = target__open(peer->pid, &t);

	m->peers = p;
	m->peer = peer;
	m->code = 0;
	if (!err && !fits(m, t))
		err = compile(m, t);
	target__close(t);
	if (err) {
		failed(m, p, peer, err, first);
		return false;
	}
	msg__put_bytes(prepare, PROTO_F_BLOB, MSG_BYTES, m->result.blob, m->result.len);
	msg__put_str(prepare, PROTO_F_SOURCE_HASH, answer_text(m->result.summary, "source_hash", NULL));
	return true;
}

/* What the compiler knows of a change and the agent does not say. */
static void add_made(json_t *change, const json_t *made, bool original)
{
	static const char *const names[] = { "line", "last_line", "trampoline" }, *const both[] = { "signature",
												    "function_kind" };
	json_t *value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((value = json_object_get(made, names[i])))
			json_object_set(change, names[i], value);
	for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++) {
		value = json_object_get(made, both[i]);
		if (value && !json_equal(json_object_get(value, "old"), json_object_get(value, "new")))
			json_object_set(change, both[i], value);
	}
	if (original)
		json_object_set(change, "original", json_object_get(made, "original"));
	answer_add_notes(change, json_object_get(made, "notes"));
}

void making__prepared(struct peer *peer, void *ctx)
{
	const struct making *m = ctx;
	json_t *changes = json_object_get(peer->out, "changes");
	const json_t *made = json_object_get(m->result.summary, "changes"), *one;
	size_t i;

	json_array_foreach(made, i, one)
	{
		if (json_array_get(changes, i))
			add_made(json_array_get(changes, i), one, m->job.originals);
	}
	answer_add_notes(peer->out, json_object_get(m->result.summary, "notes"));
	if (m->result.in_target)
		json_object_set_new(peer->out, "compiled_in_target", json_string(m->result.in_target));
	if (m->job.originals && !change_diffs(changes, m->source, answer_text(m->result.summary, "file", m->path)))
		peer__fail(peer, 1, "out of memory");
}

void making__close(struct making *m)
{
	compile__free(&m->result);
	json_decref(m->resolved);
	free(m->source);
	free(m->path);
}
