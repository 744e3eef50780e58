/* suggest: see suggest.h. */
#include "suggest.h"

#include <stdbool.h>
#include <stdio.h>

#include "nearest.h"
#include "pattern.h"
#include "session.h"

struct search {
	const struct pattern_set *wanted;
	struct nearest near;
};

static void consider(const char *module, const char *qualname, void *ctx)
{
	struct search *q = ctx;

	nearest__consider(&q->near, q->wanted, module, qualname);
}

void suggest(struct session *s, const char *const *patterns, size_t n)
{
	struct search q = { 0 };
	struct pattern_set *set;
	bool ran = true;

	if (pattern_set__parse(patterns, n, &set))
		return;
	q.wanted = set;
	session__each_unmatched(s, consider, &q);
	if (!q.near.n) {
		ran = false;
		session__each_loaded(s, consider, &q);
	}
	fprintf(stderr, "pylu-bpf: no function that matches was called");
	for (size_t i = 0; i < q.near.n; i++)
		fprintf(stderr, "%s%s",
			i     ? ", "
			: ran ? "; near it, these were: "
			      : "; near it, these are loaded: ",
			q.near.best[i].name);
	fprintf(stderr, "\n");
	pattern_set__free(set);
}
