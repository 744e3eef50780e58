/*
 * test_value_live: values on every interpreter that is found: what tests/targets/values.py says of its own values against
 * what is decoded from pieces of its memory.
 */
#include "check.h"
#include "interpreters.h"
#include "live_snapshot.h"
#include "process.h"

#include "target.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIELDS 6

static char *text_of(const struct value *v)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	CHECK_EQ(value__text(v, f), 0);
	fclose(f);
	return text;
}

static void check_json(const struct value *v, const char *expected)
{
	json_t *want = json_loads(expected, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL), *got = value__json(v);

	if (!CHECK(want && got && json_equal(want, got))) {
		char *text = got ? json_dumps(got, JSON_ENCODE_ANY) : NULL;

		fprintf(stderr, "    %s, not %s\n", text ? text : "NULL", expected);
		free(text);
	}
	json_decref(want);
	json_decref(got);
}

/* KIND ADDRESS DEPTH ITEMS CHARS TEXT */
static void check_line(struct pyobj_reader *r, const struct redact *redact, char **f)
{
	struct wire_limits limits = { (u32)atoi(f[2]), (u32)atoi(f[3]), (u32)atoi(f[4]) };
	uint64_t obj = strtoull(f[1], NULL, 10);
	struct value_decoder *d;
	struct snapshot *s;
	struct value *v;
	struct live live;

	live_take(&live, r, &limits, obj);
	CHECK_EQ(value_decoder__new(r, &limits, strcmp(f[0], "masked") ? NULL : redact, &d), 0);
	CHECK_EQ(snapshot__new(live.bytes, live.used, false, &s), 0);
	v = value__decode(d, s, obj, WIRE_ROOT_VALUE, "value");
	if (!CHECK(v))
		return;
	if (!strcmp(f[0], "json")) {
		check_json(v, f[5]);
	} else {
		char *text = text_of(v);

		CHECK_STR_EQ(text, f[5]);
		free(text);
	}
	CHECK_EQ(value__unreadable(v), 0);
	value__free(v);
	snapshot__free(s);
	value_decoder__free(d);
	live_free(&live);
}

/* What was copied can be decoded when the process is gone, as far as its types were met before. */
struct kept {
	uint64_t obj;
	struct value_decoder *d;
	struct live live;
	char *text;
};

static char *decode_kept(struct kept *k)
{
	struct snapshot *s;
	struct value *v;
	char *text;

	CHECK_EQ(snapshot__new(k->live.bytes, k->live.used, false, &s), 0);
	v = value__decode(k->d, s, k->obj, WIRE_ROOT_VALUE, NULL);
	text = v ? text_of(v) : NULL;
	value__free(v);
	snapshot__free(s);
	return text;
}

static void keep(struct kept *k, struct pyobj_reader *r, uint64_t obj)
{
	struct wire_limits limits = { 2, 10, 100 };

	k->obj = obj;
	live_take(&k->live, r, &limits, obj);
	CHECK_EQ(value_decoder__new(r, &limits, NULL, &k->d), 0);
	k->text = decode_kept(k);
}

static void check_kept(struct kept *k)
{
	char *text = decode_kept(k);

	CHECK_STR_EQ(text, k->text);
	free(text);
	free(k->text);
	value_decoder__free(k->d);
	live_free(&k->live);
}

/* Reads what the process says, then looks at it: nothing is freed meanwhile, for it waits for us. */
static void compare(struct process *p, struct pyobj_reader *r, struct kept *kept)
{
	char *line = NULL, *fields[FIELDS];
	unsigned lines = 0, failed = check_failed;
	struct redact *redact;
	size_t size = 0;

	CHECK_EQ(redact__new(NULL, &redact), 0);
	while (getline(&line, &size, p->out) > 0) {
		if (!strcmp(line, "ready\n"))
			break;
		if (CHECK_EQ(process_split(line, fields, FIELDS), FIELDS))
			check_line(r, redact, fields);
		if (!kept->obj && !strcmp(fields[5], "<__main__.Attributes a=1 b='two'>"))
			keep(kept, r, strtoull(fields[1], NULL, 10));
		lines++;
	}
	free(line);
	redact__free(redact);
	CHECK(lines > 800);
	printf("    %u values, %u wrong\n", lines, check_failed - failed);
}

static void look_at(const char *python)
{
	struct pyobj_reader *r = NULL;
	struct target *t = NULL;
	struct process p = { 0 };
	struct kept kept = { 0 };
	const char *why = "";
	int c;

	if (!CHECK_EQ(process_start(python, "values.py", &p), 0))
		return;
	/* Once it speaks, it is a Python process. */
	c = fgetc(p.out);
	ungetc(c, p.out);
	if (c == EOF) {
		CHECK_SKIP("%s does not run the target", python);
	} else if (target__probe(p.pid, &t, &why)) {
		CHECK_SKIP("%s cannot be looked at: %s", python, why ? why : "unknown");
	} else if (!layout__find(t->version.major, t->version.minor, false)) {
		CHECK_SKIP("%s is Python %s, whose layout is not known", python, t->version.text);
	} else if (CHECK_EQ(pyobj_reader__new(t, &r), 0)) {
		printf("%s\n", python);
		fflush(stdout);
		compare(&p, r, &kept);
	}
	process_stop(&p);
	if (r && CHECK(kept.obj))
		check_kept(&kept);
	pyobj_reader__free(r);
	target__close(t);
}

int main(int argc, char **argv)
{
	glob_t found;

	signal(SIGPIPE, SIG_IGN);
	alarm(500);
	if (argc > 1) {
		look_at(argv[1]);
		return check_done();
	}
	interpreters_find(&found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char real[PATH_MAX];

		if (realpath(found.gl_pathv[i], real))
			look_at(found.gl_pathv[i]);
	}
	if (!found.gl_pathc)
		CHECK_SKIP("no interpreter found");
	globfree(&found);
	return check_done();
}
