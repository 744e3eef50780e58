/* inspect_find: which code object a user means by a function's name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "inspect_priv.h"
#include "nearest.h"
#include "pattern.h"
#include "pycode.h"
#include "pyobj.h"

#define FOUND_MAX 8 /* are listed */

struct found {
	uint64_t code;
	uint32_t line;
	char *name, *file;
};

struct search {
	const char *wanted;
	uint32_t line; /* 0: any */
	struct pattern_set *set;
	struct found found[FOUND_MAX];
	size_t nfound;
	struct nearest near;
};

static int on_function(const struct pyfunc *f, void *ctx)
{
	struct search *q = ctx;
	struct found *found = &q->found[q->nfound < FOUND_MAX ? q->nfound : 0];

	if (!pattern_set__match(q->set, f->module, f->qualname)) {
		nearest__consider(&q->near, q->set, f->module, f->qualname);
		return 0;
	}
	if (q->line && f->line != q->line)
		return 0;
	if (q->nfound++ >= FOUND_MAX)
		return 0;
	found->code = f->code;
	found->line = f->line;
	found->file = strdup(f->file);
	if (!found->file || asprintf(&found->name, "%s.%s", f->module, f->qualname) < 0) {
		found->name = NULL;
		return diag_error(-ENOMEM, "out of memory");
	}
	return 0;
}

static int report_none(const struct search *q, pid_t pid)
{
	char near[sizeof(q->near) + 64] = "";
	size_t used = 0;

	for (size_t i = 0; i < q->near.n; i++)
		used += (size_t)snprintf(near + used, sizeof(near) - used, "%s%s",
					 i ? ", " : "; near it: ", q->near.best[i].name);
	if (q->line)
		return diag_error(-ENOENT, "process %d has no function '%s' that starts at line %u%s", (int)pid,
				  q->wanted, q->line, near);
	return diag_error(-ENOENT, "process %d has no function '%s'%s", (int)pid, q->wanted, near);
}

static int report_many(const struct search *q, pid_t pid)
{
	char list[4096] = "";
	size_t used = 0;

	for (size_t i = 0; i < q->nfound && i < FOUND_MAX && used < sizeof(list); i++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s:%u (%s)", i ? ", " : "",
					 q->found[i].name, q->found[i].line, q->found[i].file);
	return diag_error(-DIAG_USAGE,
			  "'%s' names %zu functions of process %d, and one is looked at; name one of them: %s%s",
			  q->wanted, q->nfound, (int)pid, list, q->nfound > FOUND_MAX ? ", ..." : "");
}

/* Splits "name:LINE". A line that is none is part of the name. */
static int split_line(const char *text, char **name, uint32_t *line)
{
	const char *colon = strrchr(text, ':');
	unsigned long n = 0;
	char *end;

	*line = 0;
	if (colon && colon[1] >= '1' && colon[1] <= '9') {
		n = strtoul(colon + 1, &end, 10);
		if (*end || n > UINT32_MAX)
			n = 0;
	}
	*name = n ? strndup(text, (size_t)(colon - text)) : strdup(text);
	*line = (uint32_t)n;
	return *name ? 0 : diag_error(-ENOMEM, "out of memory");
}

static int take(struct inspect *s, const struct search *q)
{
	int err;

	if (!q->nfound)
		return report_none(q, s->opts.pid);
	if (q->nfound > 1)
		return report_many(q, s->opts.pid);
	err = pycode__read(s->reader, q->found[0].code, &s->code);
	if (err)
		return diag_error(err, "cannot read the bytecode of %s: %s", q->found[0].name, diag_strerror(err));
	s->name = strdup(q->found[0].name);
	return s->name ? 0 : diag_error(-ENOMEM, "out of memory");
}

int inspect_find(struct inspect *s)
{
	struct search q = { .wanted = s->opts.function };
	const char *patterns[1];
	char *name;
	int err = split_line(s->opts.function, &name, &q.line);

	if (err)
		return err;
	patterns[0] = name;
	err = name[0] == '!' ? diag_error(-DIAG_USAGE, "'%s' names no function", name)
			     : pattern_set__parse(patterns, 1, &q.set);
	if (!err)
		err = pyobj_each_function(s->reader, on_function, &q);
	if (!err)
		err = take(s, &q);
	for (size_t i = 0; i < q.nfound && i < FOUND_MAX; i++) {
		free(q.found[i].name);
		free(q.found[i].file);
	}
	pattern_set__free(q.set);
	free(name);
	return err;
}
