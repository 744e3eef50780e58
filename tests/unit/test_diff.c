/* diff: what it writes is what difflib writes of these, and applied to the one text it always gives the other. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "diff.h"

static const struct {
	const char *before, *after, *want;
} cases[] = {
	{ "a\nb\n", "a\nb\n", "" },
	{ "", "", "" },
	{ "a\n", "b\n", "--- old\n+++ new\n@@ -1 +1 @@\n-a\n+b\n" },
	{ "", "a\n", "--- old\n+++ new\n@@ -0,0 +1 @@\n+a\n" },
	{ "a\n", "", "--- old\n+++ new\n@@ -1 +0,0 @@\n-a\n" },
	{ "1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nx\n6\n", "--- old\n+++ new\n@@ -2,5 +2,5 @@\n 2\n 3\n 4\n-5\n+x\n 6\n" },
	/* Six lines between: one hunk; seven: two. */
	{ "a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
	  "--- old\n+++ new\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n" },
	{ "a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
	  "--- old\n+++ new\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n" },
	{ "no end", "no end\n", "" },
};

static void test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct diff_side before = { cases[i].before, "old", 1 }, after = { cases[i].after, "new", 1 };
		char *out = NULL;

		CHECK_EQ(diff(&before, &after, &out), 0);
		CHECK_STR_EQ(out, cases[i].want);
		free(out);
	}
}

/* Text of lines "0" to "3". */
static void make(char *text, unsigned *seed, size_t lines)
{
	for (; lines; lines--) {
		*seed = *seed * 1103515245 + 12345;
		*text++ = (char)('0' + ((*seed >> 16) & 3));
		*text++ = '\n';
	}
	*text = '\0';
}

/* Applies it to `before`; all lines are of one character. */
static void apply(const char *before, const char *patch, char *after)
{
	const char *line = before;

	patch = strstr(patch, "@@");
	while (patch && *patch) {
		const char *end = strchr(patch, '\n');

		if (*patch == '@') {
			const char *to = before + 2 * (size_t)(strtoul(strchr(patch, '-') + 1, NULL, 10) - 1);

			if (strstr(patch, ",0 +") && strstr(patch, ",0 +") < end)
				to += 2;
			for (; line < to; line += 2)
				after = (char *)memcpy(after, line, 2) + 2;
		} else if (*patch == '+') {
			after = (char *)memcpy(after, patch + 1, 2) + 2;
		} else {
			CHECK_EQ(patch[1], *line);
			if (*patch == ' ')
				after = (char *)memcpy(after, line, 2) + 2;
			line += 2;
		}
		patch = end + 1;
	}
	strcpy(after, line);
}

static void test_applied(void)
{
	unsigned seed = 1;
	char before[128], after[128], got[256], *out;

	for (int i = 0; i < 2000; i++) {
		const struct diff_side one = { before, "old", 1 }, other = { after, "new", 1 };

		make(before, &seed, (size_t)(i % 40));
		make(after, &seed, (size_t)(i % 37));
		CHECK_EQ(diff(&one, &other, &out), 0);
		apply(before, out, got);
		if (!CHECK_STR_EQ(got, after))
			break;
		free(out);
	}
}

/* Beyond the table's size all between the common ends is replaced. */
static void test_large(void)
{
	const size_t n = 20000;
	char *before = malloc(2 * n + 1), *after = malloc(2 * n + 1), *out = NULL;
	unsigned seed = 7;
	struct diff_side one = { before, "old", 1 }, other = { after, "new", 1 };

	make(before, &seed, n);
	make(after, &seed, n);
	memcpy(before, "=\na\n", 4);
	memcpy(after, "=\nb\n", 4);
	CHECK_EQ(diff(&one, &other, &out), 0);
	CHECK(strstr(out, "\n =\n-a\n"));
	free(out);
	free(before);
	free(after);
}

int main(void)
{
	test_cases();
	test_applied();
	test_large();
	return check_done();
}
