/*
 * places: which code units have to be watched to see lines entered and left, and what it means when a frame comes from
 * one to another.
 *
 * A line is entered at the instructions to which a step leads of which sys.settrace tells (places_flow.c), and left at
 * the first instruction outside it, at one that returns, or where it is entered again. All of these are watched for a
 * selected line. So what happens between two places that are hit one after the other happens at the latter; what it is
 * follows from the ways that lead from one to the other.
 *
 * One thing cannot be seen: that a frame ends by an exception, and that another begins at the same address. Where that
 * would look like a line being left, the start of the function is watched too.
 */
#include "places.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "places_priv.h"

/* The units of a line. */
struct line_units {
	uint32_t *units; /* to be watched */
	size_t n;
	bool *inside; /* a frame that stands there is in the line */
	bool *taken;  /* is among units */
};

static void line_units__take(struct line_units *l, uint32_t unit)
{
	if (l->taken[unit])
		return;
	l->taken[unit] = true;
	l->units[l->n++] = unit;
}

/* Where the line is entered, and what is in it then. */
static void find_inside(const struct places_flow *flow, uint32_t line, struct line_units *l, uint32_t *todo)
{
	size_t n = 0;

	for (uint32_t i = 0; i <= flow->n; i++) {
		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			uint32_t to = flow->edges[e].to;

			if (!flow->edges[e].event || flow->line[to] != line || (i < flow->n && !flow->reached[i]))
				continue;
			line_units__take(l, to);
			if (!l->inside[to])
				todo[n++] = to;
			l->inside[to] = true;
		}
	}
	while (n) {
		uint32_t i = todo[--n];

		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			uint32_t to = flow->edges[e].to;

			if (flow->line[to] != line || l->inside[to])
				continue;
			l->inside[to] = true;
			todo[n++] = to;
		}
	}
}

/* Where it is left, and with `pauses` where a generator stands still and where it goes on. */
static void find_ends(const struct places_flow *flow, uint32_t line, bool pauses, struct line_units *l)
{
	for (uint32_t i = 0; i < flow->n; i++) {
		if (!l->inside[i])
			continue;
		if (flow->traits[i] & PYCODE_RETURN)
			line_units__take(l, i);
		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			if (flow->line[flow->edges[e].to] != line)
				line_units__take(l, flow->edges[e].to);
		}
	}
	for (uint32_t i = 0; pauses && i < flow->n; i++) {
		uint32_t next = i + 1;

		if (!l->inside[i] || !(flow->traits[i] & PYCODE_YIELD))
			continue;
		next += next < flow->n && flow->traits[next] & PYCODE_RESUME;
		line_units__take(l, i);
		if (next < flow->n && flow->reached[next])
			line_units__take(l, next);
	}
}

/* Whether a frame that ended in the line, and another that begins, could be taken for one that goes on: and is told to
 * leave the line, or to enter it or not. */
static bool is_confusing(struct walk *w, const struct line_units *l, const uint8_t *from_start)
{
	const struct places_flow *flow = w->flow;

	for (size_t i = 0; i < l->n; i++) {
		uint32_t unit = l->units[i];

		walk__clear(w);
		if (!l->inside[unit] || flow->traits[unit] & PYCODE_RETURN)
			continue;
		walk__from(w, unit);
		for (size_t k = 0; w->ends && k < l->n; k++) {
			uint32_t to = l->units[k];
			bool leaves = !l->inside[to] || w->by[to] & BY_EVENT || flow->traits[to] & PYCODE_RETURN;

			if (w->by[to] && from_start[to] && (leaves || w->by[to] != from_start[to]))
				return true;
		}
	}
	return false;
}

/*
 * The start of the function, for a frame that begins to be told from one that goes on. Not its very first instruction,
 * from 3.11 on, when the frame is not always the thread's current one yet.
 *
 * A loop may lead to what is taken instead. With `loops` what leads there is taken too: then a frame that comes from
 * there is one that goes on.
 */
static void take_start(const struct places_flow *flow, struct line_units *l, bool loops)
{
	bool first = flow->traits[0] & PYCODE_RESUME;

	for (uint32_t e = flow->first[flow->n]; e < flow->first[flow->n + 1]; e++) {
		uint32_t unit = flow->edges[e].to + (first && !flow->edges[e].to);

		if (unit >= flow->n)
			continue;
		line_units__take(l, unit);
		for (uint32_t i = 0; loops && i < flow->n; i++) {
			for (uint32_t k = flow->first[i]; flow->reached[i] && k < flow->first[i + 1]; k++) {
				if (flow->edges[k].to == unit && !(flow->traits[i] & PYCODE_RESUME))
					line_units__take(l, i);
			}
		}
	}
}

/* Whether the first place that a frame comes to can be one at which nothing could be told of a frame that was there before. */
static bool is_unsure(struct walk *w, const struct line_units *l, const uint8_t *from_start, uint32_t line)
{
	walk__clear(w);
	walk__from_anywhere(w);
	for (size_t i = 0; i < l->n; i++) {
		uint32_t unit = l->units[i];

		if (w->flow->line[unit] == line && from_start[unit] && from_start[unit] != w->by[unit])
			return true;
	}
	return false;
}

/* Adds the start of the function where it is needed. */
static int add_start(const struct places_flow *flow, struct line_units *l, uint32_t line)
{
	uint8_t *from_start = calloc(flow->n + 1, 1);
	struct walk w;
	int err = walk__init(&w, flow, l->taken);

	for (int step = 0; !err && from_start && step < 2; step++) {
		walk__clear(&w);
		walk__from(&w, flow->n);
		memcpy(from_start, w.by, flow->n + 1);
		if (is_confusing(&w, l, from_start))
			take_start(flow, l, step);
	}
	/* Without it no more is missed than the first time in a frame: not worth it where there is no room. */
	if (!err && from_start && l->n < PLACES_FEW && is_unsure(&w, l, from_start, line))
		take_start(flow, l, false);
	err = from_start ? err : -ENOMEM;
	walk__free(&w);
	free(from_start);
	return err;
}

static int line_units__init(struct line_units *l, const struct places_flow *flow)
{
	l->n = 0;
	l->units = calloc(flow->n + 1, sizeof(*l->units));
	l->inside = calloc(flow->n + 1, sizeof(*l->inside));
	l->taken = calloc(flow->n + 1, sizeof(*l->taken));
	return l->units && l->inside && l->taken ? 0 : -ENOMEM;
}

static void line_units__free(struct line_units *l)
{
	free(l->units);
	free(l->inside);
	free(l->taken);
}

static int line_units__find(struct line_units *l, const struct places_flow *flow, uint32_t line, bool pauses)
{
	uint32_t *todo = calloc(flow->n + 1, sizeof(*todo));

	if (!todo)
		return -ENOMEM;
	find_inside(flow, line, l, todo);
	find_ends(flow, line, pauses, l);
	free(todo);
	return add_start(flow, l, line);
}

static int compare_lines(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int lines_of(const struct places_flow *flow, uint32_t **lines, size_t *n)
{
	size_t unique = 0;

	*n = 0;
	*lines = calloc(flow->nedges + 1, sizeof(**lines));
	if (!*lines)
		return -ENOMEM;
	for (uint32_t i = 0; i <= flow->n; i++) {
		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			if (flow->edges[e].event && (i == flow->n || flow->reached[i]))
				(*lines)[(*n)++] = flow->line[flow->edges[e].to];
		}
	}
	qsort(*lines, *n, sizeof(**lines), compare_lines);
	for (size_t i = 0; i < *n; i++) {
		if (!i || (*lines)[i] != (*lines)[i - 1])
			(*lines)[unique++] = (*lines)[i];
	}
	*n = unique;
	return 0;
}

int places__lines(const struct pycode *code, uint32_t **lines, size_t *n)
{
	struct places_flow *flow;
	int err = places_flow__new(code, &flow);

	*lines = NULL;
	*n = 0;
	err = err ? err : lines_of(flow, lines, n);
	places_flow__free(flow);
	return err;
}

/* The index of a place, which is added where it is new. */
static int place_of(struct places_set *set, uint32_t unit)
{
	for (size_t i = 0; i < set->nplaces; i++) {
		if (set->offsets[i] == set->flow->offset[unit])
			return (int)i;
	}
	if (set->nplaces == PLACES_MAX)
		return -E2BIG;
	set->offsets[set->nplaces] = set->flow->offset[unit];
	set->units[set->nplaces] = unit;
	return (int)set->nplaces++;
}

/* What a frame can have come to without having entered the line, although it was outside it: settrace does not tell of
 * all jumps (3.8, 3.9). */
static void find_mixed(const struct places_flow *flow, const struct line_units *l, bool *mixed)
{
	bool more = true;

	for (uint32_t i = 0; i < flow->n; i++) {
		for (uint32_t e = flow->first[i]; flow->reached[i] && e < flow->first[i + 1]; e++) {
			if (!flow->edges[e].event && l->inside[flow->edges[e].to] && !l->inside[i])
				mixed[flow->edges[e].to] = true;
		}
	}
	while (more) {
		more = false;
		for (uint32_t i = 0; i < flow->n; i++) {
			for (uint32_t e = flow->first[i]; mixed[i] && e < flow->first[i + 1]; e++) {
				uint32_t to = flow->edges[e].to;

				if (flow->edges[e].event || !l->inside[to] || mixed[to])
					continue;
				mixed[to] = more = true;
			}
		}
	}
}

/* What is known of a frame that stands at a place, for those in a line that is selected: whichever line asked for them. */
static int know_places(struct places_set *set, uint32_t line)
{
	const struct places_flow *flow = set->flow;
	uint32_t *todo = calloc(flow->n + 1, sizeof(*todo));
	bool *mixed = calloc(flow->n + 1, sizeof(*mixed));
	struct line_units l;
	int err = line_units__init(&l, flow);

	if (!err && todo && mixed) {
		find_inside(flow, line, &l, todo);
		find_mixed(flow, &l, mixed);
		for (size_t i = 0; i < set->nplaces; i++) {
			set->inside[i] |= l.inside[set->units[i]];
			set->mixed[i] |= mixed[set->units[i]];
		}
	}
	err = todo && mixed ? err : -ENOMEM;
	line_units__free(&l);
	free(todo);
	free(mixed);
	return err;
}

static int add_window(struct places_set *set, const struct pycode *code, uint32_t line, bool pauses)
{
	struct places_window *window = &set->windows[set->nwindows];
	struct line_units l;
	int err = line_units__init(&l, set->flow);

	set->nwindows++;
	window->line = line;
	err = err ? err : line_units__find(&l, set->flow, line, pauses);
	if (!err && !l.n)
		err = -ENOENT;
	window->places = err ? NULL : calloc(l.n, sizeof(*window->places));
	if (!err && !window->places)
		err = -ENOMEM;
	for (size_t i = 0; !err && i < l.n; i++) {
		int place = place_of(set, l.units[i]);

		if (place < 0) {
			err = place;
			continue;
		}
		window->places[window->nplaces++] = (uint16_t)place;
	}
	line_units__free(&l);
	return err ? err : places_vars(code, set->flow, line, window);
}

static int add_windows(struct places_set *set, const struct pycode *code, const uint32_t *lines, size_t n, bool pauses)
{
	int err = 0;

	if (n > PLACES_WINDOWS)
		return -E2BIG;
	set->windows = calloc(n + 1, sizeof(*set->windows));
	if (!set->windows)
		return -ENOMEM;
	for (size_t i = 0; !err && i < n; i++)
		err = add_window(set, code, lines[i], pauses);
	for (size_t i = 0; !err && i < n; i++)
		err = know_places(set, lines[i]);
	return err;
}

int places_set__new(const struct pycode *code, const uint32_t *lines, size_t nlines, bool pauses,
		    struct places_set **out)
{
	struct places_set *set = calloc(1, sizeof(*set));
	uint32_t *all = NULL;
	int err;

	*out = NULL;
	if (!set)
		return -ENOMEM;
	err = places_flow__new(code, &set->flow);
	if (!err && !nlines) {
		err = lines_of(set->flow, &all, &nlines);
		lines = all;
	}
	err = err ? err : add_windows(set, code, lines, nlines, pauses);
	free(all);
	if (err)
		places_set__free(set);
	else
		*out = set;
	return err;
}

static void free_vars(struct places_var *vars, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(vars[i].name);
	free(vars);
}

void places_set__free(struct places_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->nwindows; i++) {
		free(set->windows[i].places);
		free_vars(set->windows[i].uses, set->windows[i].nuses);
		free_vars(set->windows[i].defs, set->windows[i].ndefs);
	}
	free(set->windows);
	places_flow__free(set->flow);
	free(set);
}
