/*
 * The formats of events: golden files of hand-made events that have everything in them, hostile names, a stream that
 * fails. Values are the test's own here: what real ones look like is value's business.
 *
 * After a wanted change write the golden files anew with PYLU_UPDATE_GOLDEN=1 and read the difference.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "golden.h"
#include "out.h"
#include "seen.h"
#include "value.h"

#define START 1700000000123456789
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Would steer a terminal, start a line of its own, reorder text, and is not UTF-8 at its end. */
#define HOSTILE                                                   \
	"evil\033[2J\033]0;owned\a\n# 0 events shown\x7f\xc2\x9b" \
	"31m\xe2\x80\xae"                                         \
	"gpj\xff\xed\xa0\x80"

struct value {
	const char *text; /* NULL: there is no memory for it */
	const char *json;
};

int value__text(const struct value *v, FILE *f)
{
	if (!v->text)
		return -ENOMEM;
	return fputs(v->text, f) < 0 ? -EIO : 0;
}

json_t *value__json(const struct value *v)
{
	return v->text ? json_loads(v->json, JSON_DECODE_ANY, NULL) : NULL;
}

static struct value order = { "<shop.Order id=3>", "{\"type\": \"shop.Order\", \"attrs\": {\"id\": 3}}" };
static struct value number = { "0.2", "0.30000000000000004" }, none = { NULL };
static struct value hostile = { HOSTILE, "\"evil\\u001b[2J\"" };
static struct value options = {
	"{'tax': [1, \xe2\x80\xa6], 'password': <masked>}",
	"{\"type\": \"dict\", \"total\": 2, \"items\": [[\"tax\", {\"type\": \"list\", \"items\": [1], "
	"\"total\": 9, \"cut\": true}], [\"password\", {\"masked\": true}]]}"
};

static const struct seen_header full_header = {
	.command = "debug",
	.target = "python3 manage.py " HOSTILE,
	.pid = 4510,
	.python = "3.11.2",
	.backend = "watch",
	.why = "nothing else in the process pays",
	.condition = "n > 10 and user == 'x'",
	.no_redact = true,
	.rate = 1000,
	.watched = "6 places take turns, 4 at a time",
	.start_ns = START,
	.cost_ns = 9100.4,
};

/* Of several processes, with all callers. */
static const struct seen_header plain_header = {
	.command = "trace",
	.target = "2 processes",
	.backend = "opcode",
	.stack = true,
	.start_ns = START,
};

static const struct seen_summary full_summary = {
	.events = 7,
	.suppressed = 12,
	.lost = 3,
	.unmatched = 50000,
	.strays = 1,
	.unsure = 4,
	.unreadable = 2,
	.seconds = 10.04,
	.share = 2.0 / 3,
	.ended = "interrupted",
};

static const struct seen_summary plain_summary = { .events = 1, .seconds = 0.5, .share = 1, .ended = "count" };

static struct seen_value arguments[] = { { "order", &order }, { "tax", &number }, { "**kwargs", &options } };
static struct seen_value result[] = { { NULL, &number } };
static struct seen_value hostile_values[] = { { HOSTILE, &hostile } };
static struct seen_value no_memory[] = { { "a", &none } };

static struct seen_frame callers[] = {
	{ "shop.views", "checkout", "/srv/shop/views.py", 88 },
	{ NULL, NULL, NULL, 0 },
	{ "__main__", "<module>", "manage.py", 3 },
};

static const struct seen_event base = {
	.pid = 4510,
	.tid = 4510,
	.thread = "MainThread",
	.interp_id = -1,
	.time_ns = START,
	.call = 7,
	.module = "shop.views",
	.qualname = "total",
	.file = "/srv/shop/views.py",
	.line = 41,
	.stack = callers,
	.nstack = 1,
};

#define EVENT(...)                    \
	({                            \
		struct seen_event e_; \
		e_ = base;            \
		__VA_ARGS__;          \
		e_;                   \
	})

static size_t make_events(struct seen_event *events)
{
	struct seen_event *e = events;

	*e++ = EVENT(e_.kind = SEEN_CALL, e_.values = arguments, e_.nvalues = 3);
	*e++ = EVENT(e_.kind = SEEN_BEFORE, e_.line = 47, e_.values = arguments, e_.nvalues = 2,
		     e_.source = "\t    total += item.price  \n", e_.time_ns += 999876544);
	*e++ = EVENT(e_.kind = SEEN_AFTER, e_.line = 47, e_.values = arguments + 1, e_.nvalues = 1,
		     e_.undecided = true);
	*e++ = EVENT(e_.kind = SEEN_YIELD, e_.values = result, e_.nvalues = 1, e_.thread_shared = true, e_.tid = 4515);
	*e++ = EVENT(e_.kind = SEEN_RESUME, e_.thread = NULL, e_.tid = 4515, e_.interp_id = 2);
	*e++ = EVENT(e_.kind = SEEN_RETURN, e_.values = result, e_.nvalues = 1, e_.has_duration = true,
		     e_.duration_ns = 446123);
	*e++ = EVENT(e_.kind = SEEN_RAISE, e_.values = result, e_.nvalues = 1, e_.has_duration = true, e_.call = 0,
		     e_.nstack = 0);
	*e++ = EVENT(e_.kind = SEEN_CALL, e_.module = e_.qualname = e_.file = NULL, e_.line = 0, e_.nstack = 3,
		     e_.stack_cut = true);
	*e++ = EVENT(e_.kind = SEEN_BEFORE, e_.thread = e_.module = e_.qualname = e_.file = e_.source = HOSTILE,
		     e_.values = hostile_values, e_.nvalues = 1);
	return (size_t)(e - events);
}

static char *render(const struct out_seen *format, const struct seen_header *h, const struct seen_event *events,
		    size_t n, const struct seen_summary *sum, bool color)
{
	const struct out_options opts = { .color = color };
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	CHECK_EQ(format->begin(h, f, &opts), 0);
	for (size_t i = 0; i < n; i++)
		CHECK_EQ(format->event(h, &events[i], f, &opts), 0);
	CHECK_EQ(format->end(h, sum, f, &opts), 0);
	fclose(f);
	CHECK_EQ(strlen(text), len);
	return text;
}

static void check_golden(const char *name, const char *ending, const char *got)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.%s", name, ending);
	golden_check(file, got);
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == c;
	return n;
}

/* No control character but the line feeds, nor one that reorders, nor bytes that are no UTF-8. */
static void check_clean(const char *text)
{
	size_t bad = 0;

	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		bad += (*s < 0x20 && *s != '\n') || *s == 0x7f || *s == 0xff;
		bad += *s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0;
	}
	CHECK_EQ(bad, 0);
	CHECK(!strstr(text, "\xe2\x80\xae"));
	CHECK(!strstr(text, "\xed\xa0\x80"));
}

static void test_golden(void)
{
	struct seen_event events[16];
	size_t n = make_events(events);

	for (size_t i = 0; out_seen_formats[i]; i++) {
		const struct out_seen *format = out_seen_formats[i];
		char *full = render(format, &full_header, events, n, &full_summary, false);
		char *plain = render(format, &plain_header, events, n, &plain_summary, false);

		check_clean(full);
		check_golden("events", format->name, full);
		check_golden("events-stack", format->name, plain);
		free(full);
		free(plain);
	}
}

static void test_text(void)
{
	struct seen_event events[16];
	size_t n = make_events(events);
	char *text = render(&out_seen_text, &full_header, events, n, &full_summary, false);
	char *color = render(&out_seen_text, &full_header, events, n, &full_summary, true);
	char *quiet = render(&out_seen_text, &plain_header, events, 1, &plain_summary, false);

	/* An event is one line, whatever is in it. */
	CHECK_EQ(count(text, '\n'), n + 14);
	CHECK(strstr(
		text,
		"\nMainThread 22:13:20.123456 shop.views.total:41 parameters order=<shop.Order id=3>, "
		"tax=0.2, **kwargs={'tax': [1, \xe2\x80\xa6], 'password': <masked>}  from shop.views.checkout:88\n"));
	CHECK(strstr(text, "\n# values are not masked (--no-redact)\n"));
	CHECK(!strstr(quiet, "not masked"));
	CHECK(strstr(text, " 3 lost ") && strstr(text, ", 12 suppressed "));
	CHECK(strstr(quiet, "# 1 event shown, nothing lost\n"));
	CHECK(!strstr(quiet, "suppressed"));
	CHECK(!strchr(text, '\033'));
	CHECK(strstr(color, "\033[1mshop.views.total:41\033[0m"));
	CHECK(!strstr(color, "\033[2J"));
	free(quiet);
	free(color);
	free(text);
}

static void test_durations(void)
{
	static const struct {
		uint64_t ns;
		const char *want;
	} cases[] = {
		{ 0, "took 0 ns\n" },
		{ 999, "took 999 ns\n" },
		{ 1000, "took 1.00 us\n" },
		{ 12345, "took 12.3 us\n" },
		{ 123456, "took 123 us\n" },
		{ 9876543, "took 9.88 ms\n" },
		{ 1234567890, "took 1.23 s\n" },
		{ 3600000000000, "took 3600 s\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct seen_event e =
			EVENT(e_.kind = SEEN_RETURN, e_.has_duration = true, e_.duration_ns = cases[i].ns);
		char *text = render(&out_seen_text, &plain_header, &e, 1, &plain_summary, false);

		if (!CHECK(strstr(text, cases[i].want)))
			fprintf(stderr, "%s: %s", cases[i].want, text);
		free(text);
	}
}

/* A line of source that does not end is cut. */
static void test_long_source(void)
{
	char source[5000];
	struct seen_event e = EVENT(e_.kind = SEEN_BEFORE, e_.source = source);
	char *text, *at;

	memset(source, 'x', sizeof(source) - 1);
	source[sizeof(source) - 1] = '\0';
	text = render(&out_seen_text, &full_header, &e, 1, &plain_summary, false);
	at = strstr(text, "    | x");
	CHECK(at && strchr(at, '\n') - at == 6 + 200 + 3);
	free(text);
}

/* Times of day are the local ones, and the header tells of which zone. */
static void test_zone(void)
{
	struct seen_event e = EVENT(e_.kind = SEEN_CALL);
	char *text;

	setenv("TZ", "XXX-5:30", 1);
	tzset();
	text = render(&out_seen_text, &full_header, &e, 1, &plain_summary, false);
	CHECK(strstr(text, "# started 2023-11-15 03:43:20, times are UTC+0530\n"));
	CHECK(strstr(text, "MainThread 03:43:20.123456 "));
	free(text);
	setenv("TZ", "UTC0", 1);
	tzset();
}

static int write_all(const struct out_seen *format, FILE *f, const struct seen_event *e)
{
	int err = format->begin(&full_header, f, NULL);

	if (!err)
		err = format->event(&full_header, e, f, NULL);
	if (!err)
		err = format->end(&full_header, &full_summary, f, NULL);
	if (!err && fflush(f))
		err = -errno;
	return err;
}

static void test_failures(void)
{
	const struct seen_event e = EVENT(e_.values = arguments, e_.nvalues = 1);
	const struct seen_event bad = EVENT(e_.values = no_memory, e_.nvalues = 1);
	static char buffer[1 << 16]; /* with NULL glibc would ignore the size */
	FILE *null = fopen("/dev/null", "w");

	for (size_t i = 0; out_seen_formats[i]; i++) {
		for (size_t size = 0; size <= sizeof(buffer); size += sizeof(buffer)) {
			FILE *f = fopen("/dev/full", "w");

			if (!f) {
				CHECK_SKIP("/dev/full cannot be opened");
				continue;
			}
			setvbuf(f, buffer, size ? _IOFBF : _IONBF, size);
			CHECK_EQ(write_all(out_seen_formats[i], f, &e), -ENOSPC);
			CHECK_EQ(write_all(out_seen_formats[i], f, &bad) != 0, 1);
			fclose(f);
		}
		CHECK_EQ(out_seen_formats[i]->event(&full_header, &bad, null, NULL), -ENOMEM);
	}
	fclose(null);
}

static void test_find(void)
{
	CHECK(out_seen__find("json") == &out_seen_json);
	CHECK(out_seen__find("svg") == NULL);
	CHECK(out_seen__for_path("a/b.jsonl") == &out_seen_json);
	CHECK(out_seen__for_path("a.json/b.txt") == &out_seen_text);
	CHECK(out_seen__for_path("json") == NULL);
}

int main(void)
{
	setenv("TZ", "UTC0", 1);
	test_find();
	test_golden();
	test_text();
	test_durations();
	test_long_source();
	test_zone();
	test_failures();
	return check_done();
}
