/* lines: see lines.h. */
#include "lines.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "pattern.h"

#define LINE_MAX_NUMBER 0x7fffffffu /* CPython's are int */
#define LISTED 1500		    /* bytes of what there is, in a message */

static int no_memory(void)
{
	return diag_error(-ENOMEM, "no memory for a list");
}

/* A line's number at *s, which is advanced. 0: there is none. */
static uint32_t take_number(const char **s)
{
	uint64_t n = 0;

	for (; **s >= '0' && **s <= '9' && n <= LINE_MAX_NUMBER; ++*s)
		n = n * 10 + (uint64_t)(**s - '0');
	return n <= LINE_MAX_NUMBER ? (uint32_t)n : 0;
}

static int take_range(const char *text, const char **s, struct line_range *range)
{
	range->first = range->last = take_number(s);
	if (range->first && **s == '-') {
		++*s;
		range->last = take_number(s);
	}
	if (!range->first || !range->last || (**s && **s != ','))
		return diag_error(-DIAG_USAGE, "'%s' names no lines: write 12, or 12,14, or 11-20", text);
	if (range->last < range->first)
		return diag_error(-DIAG_USAGE, "lines '%s': %u-%u runs backwards", text, range->first, range->last);
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct line_range *one = a, *other = b;

	return (one->first > other->first) - (one->first < other->first);
}

/* Joins those that overlap or touch. */
static void join(struct lines *lines)
{
	size_t kept = 0;

	qsort(lines->ranges, lines->n, sizeof(*lines->ranges), compare_ranges);
	for (size_t i = 1; i < lines->n; i++) {
		struct line_range *last = &lines->ranges[kept];
		const struct line_range *next = &lines->ranges[i];

		if (next->first > last->last + 1)
			lines->ranges[++kept] = *next;
		else if (next->last > last->last)
			last->last = next->last;
	}
	lines->n = kept + 1;
}

int lines__parse(const char *text, struct lines **out)
{
	struct lines *lines = calloc(1, sizeof(*lines));
	const char *s = text;
	size_t most = 1;
	int err = 0;

	for (const char *comma = text; (comma = strchr(comma, ',')); comma++)
		most++;
	if (lines)
		lines->ranges = calloc(most, sizeof(*lines->ranges));
	if (!lines || !lines->ranges)
		err = no_memory();
	while (!err) {
		err = take_range(text, &s, &lines->ranges[lines->n++]);
		if (err || !*s)
			break;
		s++;
	}
	if (err) {
		lines__free(lines);
		return err;
	}
	join(lines);
	*out = lines;
	return 0;
}

void lines__free(struct lines *lines)
{
	if (!lines)
		return;
	free(lines->ranges);
	free(lines);
}

/* "11-14, 16, 20-23"; ends with "..." where there are too many. */
static void list_lines(char *buf, size_t size, const uint32_t *lines, size_t n)
{
	size_t used = 0;

	*buf = '\0';
	for (size_t i = 0; i < n; i++) {
		size_t last = i;

		while (last + 1 < n && lines[last + 1] == lines[last] + 1)
			last++;
		if (size - used < sizeof(", 2147483647-2147483647, ...")) {
			snprintf(buf + used, size - used, ", ...");
			return;
		}
		used += (size_t)snprintf(buf + used, size - used, last > i ? "%s%u-%u" : "%s%u", i ? ", " : "",
					 lines[i], lines[last]);
		i = last;
	}
}

static int no_such_line(const struct line_range *range, const char *function, const uint32_t *available, size_t n)
{
	char list[LISTED];

	list_lines(list, sizeof(list), available, n);
	if (range->first == range->last)
		return diag_error(-DIAG_USAGE, "%s has no code in line %u; it has in: %s", function, range->first,
				  list);
	return diag_error(-DIAG_USAGE, "%s has no code in lines %u-%u; it has in: %s", function, range->first,
			  range->last, list);
}

int lines__select(const struct lines *lines, const char *function, const uint32_t *available, size_t n,
		  uint32_t **selected, size_t *nselected)
{
	const struct line_range all = { 0, UINT32_MAX };
	const struct lines everything = { (struct line_range *)&all, 1 };
	uint32_t *list = malloc((n ? n : 1) * sizeof(*list));
	size_t kept = 0, at = 0;

	if (!list)
		return no_memory();
	if (!lines)
		lines = &everything;
	for (size_t i = 0; i < lines->n; i++) {
		const struct line_range *range = &lines->ranges[i];
		size_t before = kept;

		while (at < n && available[at] < range->first)
			at++;
		while (at < n && available[at] <= range->last)
			list[kept++] = available[at++];
		if (kept == before && range != &all) {
			free(list);
			return no_such_line(range, function, available, n);
		}
	}
	*selected = list;
	*nselected = kept;
	return 0;
}

static int no_such_name(const char *name, const char *function, char *const *known, size_t nknown)
{
	unsigned least = UINT_MAX, distance;
	const char *nearest = NULL;
	char list[LISTED] = "";
	size_t used = 0;

	for (size_t i = 0; i < nknown; i++) {
		distance = name_distance(name, known[i]);
		if (distance < least) {
			least = distance;
			nearest = known[i];
		}
		if (used + strlen(known[i]) + sizeof(", , ...") > sizeof(list)) {
			snprintf(list + used, sizeof(list) - used, ", ...");
			used = sizeof(list);
		} else if (used < sizeof(list)) {
			used += (size_t)sprintf(list + used, "%s%s", i ? ", " : "", known[i]);
		}
	}
	/* What has little in common with it was not meant. */
	if (nearest && least <= strlen(name) / 3 + 1)
		return diag_error(-DIAG_USAGE, "%s has no variable '%s'; did you mean '%s'? It has: %s", function, name,
				  nearest, list);
	return diag_error(-DIAG_USAGE, "%s has no variable '%s'; it has: %s", function, name,
			  nknown ? list : "none at all");
}

int names__check(const char *const *names, size_t n, const char *function, char *const *known, size_t nknown)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;

		for (size_t k = 0; k < nknown && !found; k++)
			found = !strcmp(names[i], known[k]);
		if (!found)
			return no_such_name(names[i], function, known, nknown);
	}
	return 0;
}
