/* compile: see compile.h; the conversation is described in agent/python/compiler.py. */
#include "compile.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile_priv.h"
#include "diag.h"
#include "proto.h"

#define ORIGINAL_MAX (4U << 20) /* bytes of a file that originals are in */
#define ORIGINALS_MAX (32U << 20)
#define HEAD 8

__asm__(".pushsection .rodata\n"
	".globl compile_script\n"
	".hidden compile_script\n"
	"compile_script:\n"
	".incbin \"compiler.py\"\n"
	".byte 0\n"
	".popsection\n");

/* What is sent behind the JSON text: pieces that stay where they are until all is put together. */
struct piece {
	const void *data;
	size_t len;
	char *owned;
};

struct run {
	const struct compile_job *job;
	const struct target *t;
	struct compile_child child;
	const char *in_target; /* why there is no child */
	json_t *request;
	struct piece *pieces;
	size_t npieces, bytes;
};

static int no_memory(void)
{
	return diag_error(-ENOMEM, "no memory to compile the patch");
}

static int add_piece(struct run *r, const void *data, size_t len, char *owned)
{
	struct piece *more = realloc(r->pieces, (r->npieces + 1) * sizeof(*more));

	if (!more) {
		free(owned);
		return no_memory();
	}
	r->pieces = more;
	more[r->npieces++] = (struct piece){ data, len, owned };
	r->bytes += len;
	return 0;
}

/* The file that a target's original is in, once. */
static int add_file(struct run *r, const json_t *resolved)
{
	const char *file = json_string_value(json_object_get(resolved, "file"));
	json_t *files = json_object_get(r->request, "files"), *have;
	char *text;
	size_t i, len;

	if (!file || !file[0])
		return 0;
	json_array_foreach(files, i, have) if (!strcmp(json_string_value(json_array_get(have, 0)), file)) return 0;
	text = r->bytes < ORIGINALS_MAX ? compile_file__read(r->t, file, ORIGINAL_MAX, &len) : NULL;
	if (!text)
		return 0;
	if (json_array_append_new(files, json_pack("[s, I]", file, (json_int_t)len))) {
		free(text);
		return no_memory();
	}
	return add_piece(r, text, len, text);
}

static int add_resolved(struct run *r, const char *target)
{
	json_t *all = json_object_get(r->request, "resolved"), *one = NULL;
	int err;

	if (json_object_get(all, target))
		return 0;
	err = r->job->resolve(r->job->ctx, target, &one);
	if (!err && json_object_set_new(all, target, one))
		return no_memory();
	return err ? err : add_file(r, one);
}

/* 0 with the whole request, malloc'ed. */
static int put_together(const struct run *r, uint8_t **out, size_t *len)
{
	/* Without JSON_ENSURE_ASCII: only so is the text a Python expression too, beyond U+FFFF. */
	char *text = json_dumps(r->request, JSON_COMPACT);
	size_t n = text ? strlen(text) : 0;
	uint32_t head[2] = { htole32((uint32_t)n), htole32((uint32_t)r->bytes) };
	uint8_t *p = text && n <= COMPILE_JSON_MAX ? malloc(HEAD + n + r->bytes) : NULL;

	*out = p;
	if (!p) {
		free(text);
		return no_memory();
	}
	*len = HEAD + n + r->bytes;
	p = mempcpy(p, head, HEAD);
	p = mempcpy(p, text, n);
	for (size_t i = 0; i < r->npieces; i++)
		p = mempcpy(p, r->pieces[i].data, r->pieces[i].len);
	free(text);
	return 0;
}

static int serve(struct run *r, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	const struct compile_job *job = r->job;

	if (!r->in_target) {
		int err = compile_child__ask(&r->child, in, len, out, out_len, &r->in_target);

		if (err != -ENOENT)
			return err;
	}
	if (!job->serve)
		return diag_error(-DIAG_UNSUPPORTED, "no child could be started to compile the patch: %s",
				  r->in_target);
	diag_debug("compiling in the target: %s", r->in_target);
	return job->serve(job->ctx, in, len, out, out_len);
}

/* Takes an answer apart: its JSON, and where the data begins. 0, or -DIAG_BAD_DATA, reported. */
static int parse(const uint8_t *answer, size_t len, json_t **said, const uint8_t **data, size_t *data_len)
{
	uint32_t head[2] = { 0, 0 };

	*said = NULL;
	if (len >= HEAD)
		memcpy(head, answer, HEAD);
	head[0] = le32toh(head[0]);
	head[1] = le32toh(head[1]);
	if (len >= HEAD && (uint64_t)HEAD + head[0] + head[1] == len)
		*said = json_loadb((const char *)answer + HEAD, head[0], 0, NULL);
	if (!json_is_object(*said))
		return diag_error(-DIAG_BAD_DATA, "what the compiler answered makes no sense");
	*data = answer + HEAD + head[0];
	*data_len = head[1];
	return 0;
}

/* One question and its answer. 1 when the targets in *want are to be resolved first. */
static int turn(struct run *r, struct compile_result *out, json_t **want)
{
	uint8_t *in = NULL, *answer = NULL;
	const uint8_t *data = NULL;
	size_t len = 0, answer_len = 0, data_len = 0;
	json_t *said = NULL;
	const char *text;
	int err;

	err = put_together(r, &in, &len);
	err = err ? err : serve(r, in, len, &answer, &answer_len);
	err = err ? err : parse(answer, answer_len, &said, &data, &data_len);
	if (err)
		goto out;
	*want = json_incref(json_object_get(said, "resolve"));
	if (*want) {
		err = 1;
	} else if (json_is_object(json_object_get(said, "summary")) && data_len) {
		out->summary = json_incref(json_object_get(said, "summary"));
		out->blob = malloc(data_len);
		out->len = data_len;
		if (out->blob)
			memcpy(out->blob, data, data_len);
		else
			err = no_memory();
	} else {
		text = json_string_value(json_object_get(said, "traceback"));
		out->traceback = text ? strdup(text) : NULL;
		text = json_string_value(json_object_get(said, "error"));
		err = diag_error(-DIAG_BAD_DATA, "%s", text ? text : "the compiler failed");
	}
out:
	json_decref(said);
	free(answer);
	free(in);
	return err;
}

static int add_all_resolved(struct run *r, const json_t *want)
{
	json_t *one;
	size_t i;
	int err = 0;

	if (json_object_set_new(r->request, "resolved", json_object()) ||
	    json_object_set_new(r->request, "files", json_array()))
		return no_memory();
	json_array_foreach(want, i, one)
	{
		if (!json_is_string(one))
			return diag_error(-DIAG_BAD_DATA, "what the compiler answered makes no sense");
		err = err ? err : add_resolved(r, json_string_value(one));
	}
	return err;
}

/* One function's target is known at once; those of a patch file are in the file. */
static int converse(struct run *r, struct compile_result *out)
{
	json_t *want = NULL;
	int err = 0;

	if (!r->job->patch) {
		want = json_pack("[s]", r->job->target);
		err = want ? add_all_resolved(r, want) : no_memory();
		json_decref(want);
	}
	err = err ? err : turn(r, out, &want);
	if (err == 1) {
		err = r->job->patch ? add_all_resolved(r, want)
				    : diag_error(-DIAG_BAD_DATA, "what the compiler answered makes no sense");
		json_decref(want);
		err = err ? err : turn(r, out, &want);
		if (err == 1) {
			json_decref(want);
			err = diag_error(-DIAG_BAD_DATA, "what the compiler answered makes no sense");
		}
	}
	return err;
}

int compile__run(const struct compile_job *job, const struct target *t, struct compile_result *out)
{
	struct run r = { .job = job, .t = t, .child.pid = -1 };
	int err;

	memset(out, 0, sizeof(*out));
	if (job->source_len > PROTO_SOURCE_MAX)
		return diag_error(-DIAG_BAD_DATA, "%s is too large: it has %zu bytes, and a patch may have %u",
				  job->path, job->source_len, PROTO_SOURCE_MAX);
	r.request = json_pack("{s:s, s:s, s:I, s:b, s:b, s:b, s:s?, s:s?}", "mode", job->patch ? "patch" : "redefine",
			      "path", job->path, "source", (json_int_t)job->source_len, "count", job->count, "force",
			      job->force, "originals", job->originals, "target", job->target, "name", job->name);
	if (!r.request)
		return diag_error(-EINVAL, "the source's name or the target's is no UTF-8");
	err = add_piece(&r, job->source, job->source_len, NULL);
	err = err ? err : compile_child__start(t, &r.child, &r.in_target);
	if (!err || err == -ENOENT)
		err = converse(&r, out);
	out->in_target = r.in_target;
	compile_child__end(&r.child);
	json_decref(r.request);
	for (size_t i = 0; i < r.npieces; i++)
		free(r.pieces[i].owned);
	free(r.pieces);
	return err;
}

void compile__free(struct compile_result *result)
{
	free(result->blob);
	json_decref(result->summary);
	free(result->traceback);
	memset(result, 0, sizeof(*result));
}
