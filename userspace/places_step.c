/*
 * places_step: following the ways from one place to the next, and what it means that a frame has come along one of them.
 *
 * All that may have happened is looked at: each way that there is, and that the frame has ended unseen and another has begun at
 * its address. Where they do not agree it cannot be told.
 */
#include "places_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int walk__init(struct walk *w, const struct places_flow *flow, const bool *live)
{
	*w = (struct walk){ .flow = flow, .live = live };
	w->by = calloc(flow->n + 1, sizeof(*w->by));
	w->seen = calloc(flow->n + 1, sizeof(*w->seen));
	w->todo = calloc(flow->n + 2, sizeof(*w->todo));
	return w->by && w->seen && w->todo ? 0 : -ENOMEM;
}

void walk__free(struct walk *w)
{
	free(w->by);
	free(w->seen);
	free(w->todo);
}

void walk__clear(struct walk *w)
{
	memset(w->by, 0, w->flow->n + 1);
	memset(w->seen, 0, w->flow->n + 1);
	w->ends = false;
}

void walk__from(struct walk *w, uint32_t from)
{
	const struct places_flow *flow = w->flow;
	size_t n = 0;

	w->todo[n++] = from;
	while (n) {
		uint32_t i = w->todo[--n];

		w->ends |= i < flow->n && (flow->dies[i] || flow->traits[i] & PYCODE_RETURN);
		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			uint32_t to = flow->edges[e].to;

			w->by[to] |= flow->edges[e].event ? BY_EVENT : BY_OTHER;
			if (w->live[to] || w->seen[to])
				continue;
			w->seen[to] = true;
			w->todo[n++] = to;
		}
	}
}

void walk__from_anywhere(struct walk *w)
{
	const struct places_flow *flow = w->flow;

	for (uint32_t i = 0; i <= flow->n; i++) {
		if (i < flow->n && (!flow->reached[i] || w->live[i]))
			continue;
		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++)
			w->by[flow->edges[e].to] |= flow->edges[e].event ? BY_EVENT : BY_OTHER;
	}
}

/* Whether everything of a line is being watched. */
static bool is_watched(const struct places_set *set, const bool *live, uint32_t line)
{
	for (size_t i = 0; i < set->nwindows; i++) {
		const struct places_window *window = &set->windows[i];

		if (window->line != line)
			continue;
		for (size_t k = 0; k < window->nplaces; k++) {
			if (!live[window->places[k]])
				return false;
		}
		return true;
	}
	return false;
}

/* What may have happened on the ways to a place: the same each time, or it cannot be told. */
struct verdict {
	struct places_step step;
	bool any;
};

/* Where a way begins. */
struct origin {
	uint32_t in;  /* the frame was in this line, 0: in none that is watched */
	bool yielded; /* and may have stood still */
};

/* A way that comes to place `to` by steps of the kinds `by`. */
static void judge(const struct places_set *set, const bool *live, int to, struct origin from, uint8_t by,
		  struct verdict *v)
{
	const struct places_flow *flow = set->flow;
	uint32_t unit = set->units[to], line = flow->line[unit];
	bool returns = flow->traits[unit] & PYCODE_RETURN;

	for (uint8_t kind = BY_EVENT; kind <= BY_OTHER; kind++) {
		struct places_step s = { .ends = returns, .resumes = from.in && from.yielded };
		bool stays = from.in == line && kind != BY_EVENT;

		if (!(by & kind))
			continue;
		s.leaves = !stays || returns ? from.in : 0;
		s.enters = kind == BY_EVENT && is_watched(set, live, line) ? line : 0;
		s.pauses = flow->traits[unit] & PYCODE_YIELD && (s.enters || (from.in && !s.leaves));
		if (!v->any)
			v->step = s;
		else if (s.leaves != v->step.leaves || s.enters != v->step.enters || s.pauses != v->step.pauses ||
			 s.resumes != v->step.resumes)
			v->step.unsure = true;
		v->any = true;
	}
}

static void judge_every(const struct places_set *set, const struct walk *w, const bool *live, struct origin from,
			struct verdict *verdicts)
{
	for (int to = 0; to < (int)set->nplaces; to++)
		judge(set, live, to, from, w->by[set->units[to]], &verdicts[to]);
}

/* From place `from`, or -1, to all others. */
static void judge_all(const struct places_set *set, struct walk *w, const bool *live, int from,
		      struct verdict *verdicts)
{
	const struct places_flow *flow = set->flow;
	uint32_t unit = from < 0 ? flow->n : set->units[from];
	uint16_t traits = from < 0 ? 0 : flow->traits[unit];
	const struct origin nowhere = { 0 };
	struct origin origin = { 0, traits & PYCODE_YIELD };
	bool ends = from < 0 || traits & PYCODE_RETURN;

	if (from < 0) {
		walk__from_anywhere(w);
		judge_every(set, w, live, nowhere, verdicts);
	} else if (!ends) {
		if (set->inside[from] && is_watched(set, live, flow->line[unit]))
			origin.in = flow->line[unit];
		walk__from(w, unit);
		ends = w->ends;
		judge_every(set, w, live, origin, verdicts);
	}
	if (ends) {
		walk__clear(w);
		walk__from(w, flow->n);
		judge_every(set, w, live, nowhere, verdicts);
	}
	for (int to = 0; to < (int)set->nplaces; to++) {
		if (origin.in && verdicts[to].step.leaves && set->mixed[from])
			verdicts[to].step.unsure = true;
	}
}

void places_set__steps(const struct places_set *set, const bool *live, int from, struct places_step *out)
{
	const struct places_flow *flow = set->flow;
	struct verdict verdicts[PLACES_MAX] = { 0 };
	bool *units = calloc(flow->n + 1, sizeof(*units));
	struct walk w;
	bool failed = walk__init(&w, flow, units) || !units;

	if (!failed) {
		for (size_t i = 0; i < set->nplaces; i++)
			units[set->units[i]] = live[i];
		judge_all(set, &w, live, from, verdicts);
	}
	for (size_t i = 0; i < set->nplaces; i++) {
		out[i] = verdicts[i].step;
		out[i].unsure |= failed || !verdicts[i].any;
	}
	walk__free(&w);
	free(units);
}

struct places_step places_set__step(const struct places_set *set, const bool *live, int from, int to)
{
	struct places_step steps[PLACES_MAX];

	places_set__steps(set, live, from, steps);
	return steps[to];
}
