/* suggest: see suggest.h. */
#include "suggest.h"

#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "session.h"

#define NEAREST 3

struct nearest {
	const struct pattern_set *set;
	struct {
		unsigned distance;
		char name[256];
	} best[NEAREST];
	size_t n;
};

static void consider(const char *module, const char *qualname, void *ctx)
{
	struct nearest *near = ctx;
	unsigned distance = pattern_set__distance(near->set, module, qualname);
	char name[sizeof(near->best[0].name)];
	size_t at = near->n;

	snprintf(name, sizeof(name), "%s.%s", module, qualname);
	for (size_t i = 0; i < near->n; i++)
		if (!strcmp(near->best[i].name, name))
			return;
	while (at > 0 && near->best[at - 1].distance > distance)
		at--;
	if (at == NEAREST)
		return;
	memmove(&near->best[at + 1], &near->best[at],
		((near->n < NEAREST ? near->n : NEAREST - 1) - at) * sizeof(near->best[0]));
	near->best[at].distance = distance;
	snprintf(near->best[at].name, sizeof(near->best[at].name), "%s", name);
	if (near->n < NEAREST)
		near->n++;
}

void suggest(struct session *s, const char *const *patterns, size_t n)
{
	struct nearest near = { 0 };
	struct pattern_set *set;
	bool ran = true;

	if (pattern_set__parse(patterns, n, &set))
		return;
	near.set = set;
	session__each_unmatched(s, consider, &near);
	if (!near.n) {
		ran = false;
		session__each_loaded(s, consider, &near);
	}
	fprintf(stderr, "pylu-bpf: no function that matches was called");
	for (size_t i = 0; i < near.n; i++)
		fprintf(stderr, "%s%s",
			i     ? ", "
			: ran ? "; near it, these were: "
			      : "; near it, these are loaded: ",
			near.best[i].name);
	fprintf(stderr, "\n");
	pattern_set__free(set);
}
