/* diff: see diff.h. The longest common subsequence by its table: functions are short, and their common start and end are
 * taken off before. */
#include "diff.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTEXT 3

struct line {
	const char *text;
	size_t len;
};

struct lines {
	struct line *items;
	size_t n;
};

/* What becomes of the lines, in order: ' ' in both, '-' only before, '+' only after. */
struct edits {
	char *ops;
	size_t n;
};

static int split(const char *text, struct lines *out)
{
	size_t room = 1;

	for (const char *s = text; *s; s++)
		room += *s == '\n';
	out->n = 0;
	out->items = calloc(room, sizeof(*out->items));
	if (!out->items)
		return -ENOMEM;
	while (*text) {
		size_t len = strcspn(text, "\n");

		out->items[out->n++] = (struct line){ text, len };
		text += len + (text[len] == '\n');
	}
	return 0;
}

static bool same(const struct line *a, const struct line *b)
{
	return a->len == b->len && !memcmp(a->text, b->text, a->len);
}

static void put(struct edits *e, char op, size_t n)
{
	memset(e->ops + e->n, op, n);
	e->n += n;
}

/* table[i][j]: length of the longest common subsequence of a[i..] and b[j..]. */
static int compare(const struct line *a, size_t na, const struct line *b, size_t nb, struct edits *e)
{
	const size_t width = nb + 1;
	uint32_t *table = NULL;
	size_t i = 0, j = 0;

	if (na && nb && (na + 1) <= DIFF_CELLS / width) {
		table = calloc((na + 1) * width, sizeof(*table));
		if (!table)
			return -ENOMEM;
		for (i = na; i-- > 0;)
			for (j = nb; j-- > 0;) {
				uint32_t down = table[(i + 1) * width + j], right = table[i * width + j + 1];

				table[i * width + j] = same(&a[i], &b[j]) ? table[(i + 1) * width + j + 1] + 1
						       : down > right	  ? down
									  : right;
			}
		for (i = j = 0; i < na && j < nb;) {
			if (same(&a[i], &b[j])) {
				put(e, ' ', 1);
				i++, j++;
			} else if (table[(i + 1) * width + j] >= table[i * width + j + 1]) {
				put(e, '-', 1);
				i++;
			} else {
				put(e, '+', 1);
				j++;
			}
		}
		free(table);
	}
	put(e, '-', na - i);
	put(e, '+', nb - j);
	return 0;
}

static int make_edits(const struct lines *a, const struct lines *b, struct edits *e)
{
	size_t head = 0, tail = 0;
	int err;

	e->n = 0;
	e->ops = malloc(a->n + b->n + 1);
	if (!e->ops)
		return -ENOMEM;
	while (head < a->n && head < b->n && same(&a->items[head], &b->items[head]))
		head++;
	while (tail < a->n - head && tail < b->n - head && same(&a->items[a->n - 1 - tail], &b->items[b->n - 1 - tail]))
		tail++;
	put(e, ' ', head);
	err = compare(a->items + head, a->n - head - tail, b->items + head, b->n - head - tail, e);
	put(e, ' ', tail);
	return err;
}

/* The end of the hunk that starts at `from`: where more than twice the context is the same, or the end. */
static size_t hunk_end(const struct edits *e, size_t from)
{
	size_t end = from, equal = 0;

	for (size_t i = from; i < e->n && equal <= (size_t)2 * CONTEXT; i++) {
		equal = e->ops[i] == ' ' ? equal + 1 : 0;
		if (!equal)
			end = i + 1;
	}
	return end + CONTEXT < e->n ? end + CONTEXT : e->n;
}

static void write_range(FILE *f, char mark, uint64_t start, size_t n)
{
	/* An empty range is named by the line before it. */
	fprintf(f, n == 1 ? " %c%llu" : " %c%llu,%zu", mark, (unsigned long long)(n ? start : start - 1), n);
}

static void write_hunks(FILE *f, const struct edits *e, const struct lines *a, const struct lines *b,
			const struct diff_side *before, const struct diff_side *after)
{
	size_t ia = 0, ib = 0, at = 0;

	while (at < e->n) {
		size_t first = at, end, na = 0, nb = 0;

		while (first < e->n && e->ops[first] == ' ')
			first++;
		if (first == e->n)
			break;
		end = hunk_end(e, first);
		first = first - at > CONTEXT ? first - CONTEXT : at;
		ia += first - at;
		ib += first - at;
		for (size_t i = first; i < end; i++) {
			na += e->ops[i] != '+';
			nb += e->ops[i] != '-';
		}
		fputs("@@", f);
		write_range(f, '-', before->line + ia, na);
		write_range(f, '+', after->line + ib, nb);
		fputs(" @@\n", f);
		for (size_t i = first; i < end; i++) {
			const struct line *line = e->ops[i] == '+' ? &b->items[ib] : &a->items[ia];

			fprintf(f, "%c%.*s\n", e->ops[i], (int)line->len, line->text);
			ia += e->ops[i] != '+';
			ib += e->ops[i] != '-';
		}
		at = end;
	}
}

int diff(const struct diff_side *before, const struct diff_side *after, char **out)
{
	struct lines a = { 0 }, b = { 0 };
	struct edits e = { 0 };
	size_t size;
	FILE *f = NULL;
	int err = split(before->text, &a);

	*out = NULL;
	if (!err)
		err = split(after->text, &b);
	if (!err)
		err = make_edits(&a, &b, &e);
	if (!err) {
		f = open_memstream(out, &size);
		err = f ? 0 : -ENOMEM;
	}
	if (!err && (memchr(e.ops, '-', e.n) || memchr(e.ops, '+', e.n))) {
		fprintf(f, "--- %s\n+++ %s\n", before->label, after->label);
		write_hunks(f, &e, &a, &b, before, after);
	}
	if (f && fclose(f))
		err = -ENOMEM;
	if (err) {
		free(*out);
		*out = NULL;
	}
	free(a.items);
	free(b.items);
	free(e.ops);
	return err;
}
