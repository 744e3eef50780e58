/* cmd_funcs: the functions that are loaded now in Python processes, by name. What runs is cmd_profile's business. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "nearest.h"
#include "opt.h"
#include "pattern.h"
#include "program.h"
#include "pyobj.h"
#include "target.h"

#define NAME_COLUMN 60

struct config {
	struct opt_pids pids;
};

static const struct opt opts[] = {
	{ 'p', "pid", "PID[,PID...]", "the processes to look at", OPT_PIDS, offsetof(struct config, pids) },
	{ 0 },
};

struct row {
	char *name; /* module.qualname; owned */
	char *file; /* owned */
	uint32_t line;
};

struct rows {
	const struct pattern_set *set; /* NULL: all */
	struct row *rows;
	size_t n, cap, seen;
	struct nearest near;
};

/* Names come from the target: nothing in them reaches the terminal as a control character. */
static char *clean(char *text)
{
	for (char *c = text; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return text;
}

static int add(const struct pyfunc *f, void *ctx)
{
	struct rows *rows = ctx;
	struct row *row;

	rows->seen++;
	if (rows->set && !pattern_set__match(rows->set, f->module, f->qualname)) {
		if (!rows->n)
			nearest__consider(&rows->near, rows->set, f->module, f->qualname);
		return 0;
	}
	if (rows->n == rows->cap) {
		size_t cap = rows->cap ? 2 * rows->cap : 1024;
		struct row *bigger = realloc(rows->rows, cap * sizeof(*bigger));

		if (!bigger)
			return diag_error(-ENOMEM, "no memory for the list of functions");
		rows->rows = bigger;
		rows->cap = cap;
	}
	row = &rows->rows[rows->n];
	row->file = strdup(f->file);
	row->line = f->line;
	if (!row->file || asprintf(&row->name, "%s.%s", f->module, f->qualname) < 0) {
		free(row->file);
		return diag_error(-ENOMEM, "no memory for the list of functions");
	}
	clean(row->name);
	clean(row->file);
	rows->n++;
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct row *one = a, *other = b;
	int order = strcmp(one->name, other->name);

	if (!order)
		order = strcmp(one->file, other->file);
	return order ? order : (one->line > other->line) - (one->line < other->line);
}

static bool same(const struct row *a, const struct row *b)
{
	return !compare(a, b);
}

static int nothing_matched(const struct rows *rows, pid_t pid)
{
	fprintf(stderr, "pylu-bpf: none of the %zu functions of process %d matches", rows->seen, (int)pid);
	for (size_t i = 0; i < rows->near.n; i++)
		fprintf(stderr, "%s%s", i ? ", " : "; near it: ", rows->near.best[i].name);
	fprintf(stderr, "\n");
	return 1;
}

static int list(pid_t pid, const struct pattern_set *set, bool heading)
{
	struct rows rows = { .set = set };
	struct pyobj_reader *reader = NULL;
	struct target *t = NULL;
	int status, err = target__open(pid, &t);

	if (!err)
		err = pyobj_reader__new(t, &reader);
	if (!err)
		err = pyobj_each_function(reader, add, &rows);
	status = program_failed(err);
	if (err)
		goto out;
	if (heading)
		printf("%d: %s\n", (int)pid, t->command);
	if (rows.n)
		qsort(rows.rows, rows.n, sizeof(*rows.rows), compare);
	for (size_t i = 0; i < rows.n; i++) {
		/* Comprehensions of one line share all that we print. */
		if (!i || !same(&rows.rows[i - 1], &rows.rows[i]))
			printf("%-*s  %s:%u\n", NAME_COLUMN, rows.rows[i].name, rows.rows[i].file, rows.rows[i].line);
	}
	if (!rows.n)
		status = nothing_matched(&rows, pid);
out:
	for (size_t i = 0; i < rows.n; i++) {
		free(rows.rows[i].name);
		free(rows.rows[i].file);
	}
	free(rows.rows);
	pyobj_reader__free(reader);
	target__close(t);
	return status;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	struct pattern_set *set = NULL;
	int first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (!config.pids.n)
		return opt__usage(cmd, "which process? give -p PID");
	if (first < argc) {
		int err = pattern_set__parse((const char *const *)argv + first, (size_t)(argc - first), &set);

		if (err)
			return diag_exit_status(err);
	}
	for (size_t i = 0; i < config.pids.n; i++) {
		int one = list(config.pids.pids[i], set, config.pids.n > 1);

		status = one > status ? one : status;
	}
	pattern_set__free(set);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "pylu-bpf: cannot write the list: %s\n", strerror(errno));
		return 1;
	}
	return status;
}

const struct command cmd_funcs = {
	.name = "funcs",
	.usage = "funcs -p PID[,PID...] [PATTERN...]",
	.summary = "list the functions that are loaded now, with file and line",
	.notes = "Patterns are those of 'pylu-bpf profile'; without one all functions are listed.",
	.opts = opts,
	.run = run,
};
