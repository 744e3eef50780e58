/*
 * test_pyobj_live: pyobj on every interpreter that is found: what tests/targets/funcs.py says of itself against what is
 * read from outside.
 */
#include "check.h"
#include "interpreters.h"
#include "process.h"

#include "diag.h"
#include "layout.h"
#include "pyobj.h"
#include "target.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIELDS_MAX 32

struct tally {
	unsigned funcs, named, wrong, other_modules, other_named;
	unsigned texts, attrs, dicts, threads;
};

static int count_entry(uint64_t key, uint64_t value, void *ctx)
{
	(void)key, (void)value;
	++*(unsigned *)ctx;
	return 0;
}

/* func CODE GLOBALS MODULE LINE FILE NAME... */
static void check_func(struct pyobj_reader *r, char **f, size_t n, struct tally *t)
{
	uint64_t code = strtoull(f[1], NULL, 10), globals = strtoull(f[2], NULL, 10);
	char name[1024];
	int ours = !strcmp(f[3], "__main__") || !strcmp(f[3], "funcs_lib"), right = 0;
	int err = pyobj__qualname(r, globals, code, name, sizeof(name));

	t->funcs += ours != 0;
	t->other_modules += !ours;
	for (size_t i = 6; i < n && !err; i++)
		right |= !*f[i] || !strcmp(f[i], name); /* an empty name: it does not know itself */
	t->named += ours && !err;
	t->other_named += !ours && !err;
	if ((ours && err) || (!err && !right)) {
		t->wrong++;
		fprintf(stderr, "%s:%s: %s, not %s\n", f[5], f[4], err ? strerror(-err) : name, n > 6 ? f[6] : "?");
	}
}

static void check_dict(struct pyobj_reader *r, uint64_t dict, char **f, size_t n)
{
	unsigned entries = 0;
	uint64_t value;

	CHECK_EQ(pyobj__dict_each(r, dict, count_entry, &entries), 0);
	CHECK_EQ(entries, atoi(f[2]));
	for (size_t i = 3; i < n; i++)
		CHECK_EQ(pyobj__dict_get(r, dict, f[i], &value), 0);
	CHECK_EQ(pyobj__dict_get(r, dict, "not there", &value), -ENOENT);
}

static void check_line(struct pyobj_reader *r, char **f, size_t n, struct tally *t)
{
	static char text[20000];
	uint64_t addr = n > 1 ? strtoull(f[1], NULL, 10) : 0, value;

	if (!strcmp(f[0], "func") && n >= 6) {
		check_func(r, f, n, t);
	} else if (!strcmp(f[0], "str")) {
		CHECK_EQ(pyobj__str(r, addr, text, sizeof(text)), 0);
		CHECK_STR_EQ(text, f[2]);
		t->texts++;
	} else if (!strcmp(f[0], "attr")) {
		if (CHECK_EQ(pyobj__attr(r, addr, f[2], &value), 0)) {
			CHECK_EQ(pyobj__str(r, value, text, sizeof(text)), 0);
			CHECK_STR_EQ(text, f[3]);
		}
		t->attrs++;
	} else if (!strcmp(f[0], "noattr")) {
		CHECK_EQ(pyobj__attr(r, addr, f[2], &value), -ENOENT);
	} else if (!strcmp(f[0], "dict")) {
		check_dict(r, addr, f, n);
		t->dicts++;
	} else if (!strcmp(f[0], "notdict")) {
		CHECK_EQ(pyobj__dict_get(r, addr, "x", &value), -EINVAL);
	} else if (!strcmp(f[0], "thread")) {
		CHECK_EQ(pyobj__thread_name(r, (pid_t)addr, text, sizeof(text)), 0);
		CHECK_STR_EQ(text, f[2]);
		t->threads++;
	} else {
		CHECK(!"a line that this test knows");
	}
}

/* Reads what the process says, then looks at it: nothing is freed meanwhile, for it waits for us. */
static void compare(struct process *p, struct pyobj_reader *r)
{
	struct tally t = { 0 };
	char *line = NULL, *fields[FIELDS_MAX];
	size_t size = 0;

	while (getline(&line, &size, p->out) > 0) {
		size_t n = process_split(line, fields, FIELDS_MAX);

		if (!strcmp(fields[0], "ready"))
			break;
		check_line(r, fields, n, &t);
	}
	free(line);
	CHECK(t.texts > 10 && t.attrs > 100 && t.dicts > 5 && t.threads == 4);
	CHECK(t.funcs > 80);
	CHECK_EQ(t.named, t.funcs);
	CHECK_EQ(t.wrong, 0);
	CHECK(t.other_modules > 1000);
	/* A few are only reachable in ways that we do not follow. */
	CHECK(t.other_named * 100 > t.other_modules * 98);
	printf("    %u of our functions, %u of %u others\n", t.named, t.other_named, t.other_modules);
}

static void look_at(const char *python)
{
	struct pyobj_reader *r = NULL;
	struct target *t = NULL;
	struct process p = { 0 };
	const char *why = "";
	int c;

	if (!CHECK_EQ(process_start(python, "funcs.py", &p), 0))
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
		compare(&p, r);
	}
	pyobj_reader__free(r);
	target__close(t);
	process_stop(&p);
}

int main(void)
{
	glob_t found;

	signal(SIGPIPE, SIG_IGN);
	alarm(500);
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
