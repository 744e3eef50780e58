/*
 * The result of `line` as text and as json: golden files, hostile text, a stream that fails.
 *
 * After a wanted change write the golden files anew with PYLU_UPDATE_GOLDEN=1 and read the difference.
 */
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "golden.h"
#include "out.h"
#include "out_lines.h"

#define HOSTILE "evil\033[2J\n99\x7f\xe2\x80\xae\xff"

typedef int writer_fn(const void *what, FILE *f, const struct out_options *opts);

static const struct seen_header header = {
	.command = "line",
	.target = "python3 manage.py",
	.pid = 4510,
	.python = "3.11.2",
	.backend = "watch",
	.watched = "3 lines take turns at the four debug registers",
	.cost_ns = 9100.4,
};

static const struct inspect_line lines[] = {
	{ 41, 10, 10, 12345678, 1000, 9000000, 1, "total = 0" },
	{ 42, 4000000000, 4000000000, 59999999999999, 300, 2000000000, 0.5, "for item in order.items:" },
	{ 43, 5000, 5000, 1000000, 0, 9000, 0.5, "total += item.price" }, /* less than can be told */
	{ 44, 7, 0, 0, 0, 0, 0.5, "raise ValueError" },
	{ 45, 0, 0, 0, 0, 0, 0.5, NULL },
	{ 46, 0, 0, 0, 0, 0, 0, HOSTILE },
};

static struct out_lines sample(void)
{
	return (struct out_lines){
		.header = &header,
		.function = "shop.views.total",
		.file = "/srv/shop/" HOSTILE,
		.summary = { .seconds = 10.04, .lost = 3, .strays = 1, .unsure = 2, .share = 0.5, .ended = "time" },
		.lines = lines,
		.nlines = sizeof(lines) / sizeof(lines[0]),
	};
}

static char *render(writer_fn *write, const struct out_lines *result, bool color)
{
	const struct out_options opts = { .color = color };
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	CHECK_EQ(write(result, f, &opts), 0);
	fclose(f);
	return text;
}

static void check_clean(const char *text)
{
	for (const unsigned char *s = (const unsigned char *)text; *s; s++)
		CHECK((*s >= 0x20 || *s == '\n') && *s != 0x7f && *s != 0xff);
	CHECK(!strstr(text, "\xe2\x80\xae"));
}

static void test_golden(void)
{
	struct out_lines result = sample();
	char *text = render(out_lines__text, &result, false), *json = render(out_lines__json, &result, false);

	check_clean(text);
	check_clean(json);
	golden_check("lines.text", text);
	golden_check("lines.json", json);
	free(text);
	free(json);
}

static void test_whole(void)
{
	struct out_lines result = sample();
	char *text;

	result.nlines = 1;
	result.summary.lost = result.summary.strays = result.summary.unsure = 0;
	text = render(out_lines__text, &result, true);
	CHECK(strstr(text, "\033[1mshop.views.total\033[0m"));
	CHECK(strstr(text, "lost: nothing\n"));
	CHECK(!strstr(text, "watched  ") && !strstr(text, "while a line was watched"));
	free(text);
}

static void test_failing_stream(void)
{
	static writer_fn *const writers[] = { out_lines__text, out_lines__json };
	struct out_lines result = sample();
	const struct out_options opts = { 0 };

	for (size_t i = 0; i < 2; i++) {
		FILE *f = fopen("/dev/full", "w");

		if (!f) {
			CHECK_SKIP("/dev/full cannot be opened");
			continue;
		}
		CHECK_EQ(writers[i](&result, f, &opts), -ENOSPC);
		fclose(f);
	}
}

int main(void)
{
	test_golden();
	test_whole();
	test_failing_stream();
	return check_done();
}
