/*
 * ask_compile: compiles a patch for a process as pylu-cli does, with the answers to RESOLVE from a file instead of from an
 * agent.
 *
 *	ask_compile PID SOURCE ANSWERS BLOB [redefine TARGET] [count] [force] [serve] [limit MS]
 *
 * ANSWERS is a JSON object: {target: answer}. Prints the summary (JSON) or, in case of an error, its code and Python's text for it.
 * With `serve`, what would be compiled in the target is only said.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile.h"
#include "diag.h"
#include "target.h"

static int resolve(void *ctx, const char *target, json_t **out)
{
	json_t *answer = json_object_get(ctx, target);

	*out = json_incref(answer);
	return answer ? 0 : diag_error(-ENOENT, "there is no %s", target);
}

static int serve(void *ctx, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len)
{
	(void)ctx;
	(void)in;
	(void)out;
	(void)out_len;
	return diag_error(-ECANCELED, "%zu bytes for the target", len);
}

static char *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "re");
	char *text = malloc(64 << 20);

	*len = f && text ? fread(text, 1, 64 << 20, f) : 0;
	if (f)
		fclose(f);
	return text;
}

static int write_file(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "we");
	int ok = f && fwrite(data, 1, len, f) == len;

	return f && !fclose(f) && ok ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	struct compile_job job = { .patch = true, .resolve = resolve };
	struct compile_result result = { 0 };
	struct target *t = NULL;
	char *source, *text;
	int err;

	if (argc < 5)
		return 2;
	for (int i = 5; i < argc; i++) {
		if (!strcmp(argv[i], "redefine") && i + 1 < argc) {
			job.patch = false;
			job.target = argv[++i];
		} else if (!strcmp(argv[i], "limit") && i + 1 < argc) {
			job.limit_ms = (uint32_t)atoi(argv[++i]);
		} else if (!strcmp(argv[i], "serve")) {
			job.serve = serve;
		}
		job.count |= !strcmp(argv[i], "count");
		job.force |= !strcmp(argv[i], "force");
	}
	source = read_file(argv[2], &job.source_len);
	job.source = source;
	job.path = argv[2];
	job.ctx = json_load_file(argv[3], 0, NULL);
	err = target__open(atoi(argv[1]), &t);
	err = err ? err : compile__run(&job, t, &result);
	err = err ? err : write_file(argv[4], result.blob, result.len);
	text = err ? NULL : json_dumps(result.summary, JSON_COMPACT);
	printf("%d %s\n", err, text ? text : result.traceback ? result.traceback : "");
	free(text);
	compile__free(&result);
	target__close(t);
	json_decref(job.ctx);
	free(source);
	return err ? 1 : 0;
}
