/* Lines and names as a user writes them: what is meant, and what is said where there is no such thing. */
#include <stdlib.h>

#include "check.h"
#include "diag.h"
#include "lines.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const uint32_t available[] = { 11, 12, 13, 14, 16, 20, 21, 22, 23 };
static char message[8192];

static void keep(enum diag_level level, const char *text, void *ctx)
{
	(void)level, (void)ctx;
	snprintf(message, sizeof(message), "%s", text);
}

static void check_parsed(const char *text, const char *want)
{
	struct lines *lines = NULL;
	char got[256] = "";

	if (!CHECK_EQ(lines__parse(text, &lines), 0))
		return;
	for (size_t i = 0; i < lines->n; i++) {
		size_t used = strlen(got);

		snprintf(got + used, sizeof(got) - used, "%s%u-%u", i ? " " : "", lines->ranges[i].first,
			 lines->ranges[i].last);
	}
	CHECK_STR_EQ(got, want);
	lines__free(lines);
}

static void check_refused(const char *text, const char *want)
{
	struct lines *lines;

	CHECK_EQ(lines__parse(text, &lines), -DIAG_USAGE);
	CHECK_STR_EQ(message, want);
}

static void test_parse(void)
{
	check_parsed("12", "12-12");
	check_parsed("12,14", "12-12 14-14");
	check_parsed("14,12", "12-12 14-14");
	check_parsed("20-30,11-19", "11-30");
	check_parsed("1-100,5,7-200,300", "1-200 300-300");
	check_parsed("12,12,13", "12-13");
	check_parsed("2147483647", "2147483647-2147483647");
	check_parsed("2147483646-2147483647,1", "1-1 2147483646-2147483647");
	check_refused("", "'' names no lines: write 12, or 12,14, or 11-20");
	check_refused("12,", "'12,' names no lines: write 12, or 12,14, or 11-20");
	check_refused("12 ", "'12 ' names no lines: write 12, or 12,14, or 11-20");
	check_refused("0", "'0' names no lines: write 12, or 12,14, or 11-20");
	check_refused("-5", "'-5' names no lines: write 12, or 12,14, or 11-20");
	check_refused("5-", "'5-' names no lines: write 12, or 12,14, or 11-20");
	check_refused("1-2-3", "'1-2-3' names no lines: write 12, or 12,14, or 11-20");
	check_refused("2147483648", "'2147483648' names no lines: write 12, or 12,14, or 11-20");
	check_refused("18446744073709551628", "'18446744073709551628' names no lines: write 12, or 12,14, or 11-20");
	check_refused("4,9-7", "lines '4,9-7': 9-7 runs backwards");
}

/* `want`: the lines with a blank behind each, or the message. */
static void check_selected(const char *text, int status, const char *want)
{
	struct lines *lines = NULL;
	uint32_t *selected = NULL;
	size_t n = 0;
	char got[256] = "";

	if (text && !CHECK_EQ(lines__parse(text, &lines), 0))
		return;
	CHECK_EQ(lines__select(lines, "shop.total", available, ARRAY_SIZE(available), &selected, &n), status);
	for (size_t i = 0; i < n; i++)
		sprintf(got + strlen(got), "%u ", selected[i]);
	CHECK_STR_EQ(status ? message : got, want);
	free(selected);
	lines__free(lines);
}

static void test_select(void)
{
	uint32_t *selected, *many = calloc(10000, sizeof(*many));
	struct lines *lines;
	size_t n;

	check_selected(NULL, 0, "11 12 13 14 16 20 21 22 23 ");
	check_selected("12", 0, "12 ");
	check_selected("23,11", 0, "11 23 ");
	check_selected("1-12,15-20", 0, "11 12 16 20 ");
	check_selected("15", -DIAG_USAGE, "shop.total has no code in line 15; it has in: 11-14, 16, 20-23");
	check_selected("12,24", -DIAG_USAGE, "shop.total has no code in line 24; it has in: 11-14, 16, 20-23");
	check_selected("17-19", -DIAG_USAGE, "shop.total has no code in lines 17-19; it has in: 11-14, 16, 20-23");
	CHECK_EQ(lines__select(NULL, "f", NULL, 0, &selected, &n), 0);
	CHECK_EQ(n, 0);
	free(selected);

	/* A list that fits into no message is cut. */
	for (uint32_t i = 0; i < 10000; i++)
		many[i] = 1000000 + 2 * i;
	CHECK_EQ(lines__parse("1", &lines), 0);
	CHECK_EQ(lines__select(lines, "f", many, 10000, &selected, &n), -DIAG_USAGE);
	CHECK(strlen(message) < 2000 && !strcmp(message + strlen(message) - 5, ", ..."));
	lines__free(lines);
	free(many);
}

static void test_names(void)
{
	static char *const known[] = { "item", "order", "self.x", "self.total", "total" };
	const char *good[] = { "total", "self.x" }, *near[] = { "item", "totl" }, *far[] = { "password" };
	char *many[1000], text[32];

	CHECK_EQ(names__check(good, 2, "shop.total", known, 5), 0);
	CHECK_EQ(names__check(near, 2, "shop.total", known, 5), -DIAG_USAGE);
	CHECK_STR_EQ(message, "shop.total has no variable 'totl'; did you mean 'total'? It has: item, order, self.x, "
			      "self.total, total");
	CHECK_EQ(names__check(far, 1, "shop.total", known, 5), -DIAG_USAGE);
	CHECK_STR_EQ(message, "shop.total has no variable 'password'; it has: item, order, self.x, self.total, total");
	CHECK_EQ(names__check(far, 1, "f", NULL, 0), -DIAG_USAGE);
	CHECK_STR_EQ(message, "f has no variable 'password'; it has: none at all");
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "variable%d", i);
		many[i] = strdup(text);
	}
	CHECK_EQ(names__check(far, 1, "f", many, 1000), -DIAG_USAGE);
	CHECK(strlen(message) < 2000 && !strcmp(message + strlen(message) - 5, ", ..."));
	for (int i = 0; i < 1000; i++)
		free(many[i]);
}

int main(void)
{
	diag_set_callback(keep, NULL);
	test_parse();
	test_select();
	test_names();
	return check_done();
}
