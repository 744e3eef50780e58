/*
 * The output formats: golden files of a hand-made profile that has everything in it, hostile names, an empty result, a
 * chain of 100,000 calls, a stream that fails, bytes that are no UTF-8.
 *
 * After a wanted change write the golden files anew with PYLU_UPDATE_GOLDEN=1 and read the difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "golden.h"
#include "out.h"
#include "out_util.h"
#include "profile.h"

#define DEEP 100000

/* What a hostile target can call its functions: it would steer a terminal, end a script, an attribute, a CDATA section,
 * a folded frame, reorder text, and is not UTF-8 at its end. */
#define HOSTILE                                                                                                   \
	"evil.\033[2J\033]0;owned\a</script><script>alert(1)</script>]]><img src=x onerror=\"alert('2')\">&amp;;" \
	"\n\x7f\xc2\x9b"                                                                                          \
	"31m\xe2\x80\xae"                                                                                         \
	"gpj\xff\xc0\xaf\xed\xa0\x80"

static char *copy(const char *s)
{
	char *c = strdup(s);

	if (!c)
		abort();
	return c;
}

/* A call of `hits` complete calls of equal time. */
static struct prof_call *add(struct prof_call *parent, const char *function, uint32_t line, uint64_t hits,
			     uint64_t each_ns, uint64_t self_ns)
{
	struct prof_call *call = prof_call__child(parent, function, "/srv/app/views.py", line);
	int bucket = 0;

	if (!call)
		abort();
	while (each_ns >> (bucket + 1))
		bucket++;
	call->hits = call->complete = call->log2_ns[bucket] = hits;
	call->total_ns = call->complete_ns = hits * each_ns;
	call->self_ns = self_ns;
	call->min_ns = each_ns - each_ns / 10;
	call->max_ns = each_ns + each_ns / 5;
	return call;
}

static void fill_worker(struct prof_process *proc)
{
	struct prof_call *root, *call;

	proc->command = copy("/usr/bin/python3 -m gunicorn app");
	proc->python = copy("3.11.2");
	proc->build_id = copy("0123456789abcdef0123456789abcdef01234567");
	proc->backend = copy("opcode");
	proc->why = copy("From 3.11 on only the opcode handlers see every call.");
	proc->hits_total = 912345;
	proc->ns_per_hit = 850;
	proc->overhead_fraction = 0.0321;
	root = prof_process__add_thread(proc, 4515, "Thread-5")->root;
	call = add(root, "views.results", 10, 10, 138562000, 1101530000);
	call->raised = 2;
	call = add(call, "manager.all", 40, 20, 14212000, 265800000);
	add(call, "manager.get_queryset", 44, 20, 922000, 18440000);
	add(root->children[0], "views.\xe7\x95\xaa\xe5\x8f\xb7", 71, 3000, 412, 1236000)->min_ns = 0;
	/* Recursion: fact calls itself. */
	call = add(root, "views.fact", 80, 1, 90000, 30000);
	for (int i = 1; i < 30; i++)
		call = add(call, "views.fact", 80, 1, 90000 - 3000 * i, 3000);
	/* Running calls: one from before, which called others; one that outlived us. */
	root = prof_process__add_thread(proc, 4510, "MainThread")->root;
	call = prof_call__child(root, "app.serve_forever", "", 0);
	call->running_at_start = call->running_at_end = 1;
	call->total_ns = 10000000000;
	call->self_ns = 9500000000;
	call = add(call, "views.index", 5, 5, 100000000, 500000000);
	call->hits++;
	call->running_at_end = 1;
	call->self_ns -= 1000000;
	call = add(call, "views.rows", 30, 7, 1000000, 1000000);
	call->generator = true;
	call->complete = 5;
	call->complete_ns = 1000000;
	call->total_ns = 1400000;
	call->elapsed_ns = 25000000;
	call->suspended_at_end = 2;
	call->untimed = 1;
	prof_process__add_thread(proc, 4516, "Thread-5");
}

static struct profile *sample(void)
{
	struct profile *p = profile__new();
	struct prof_process *proc;
	struct prof_call *call;

	p->host = copy("web1");
	p->started = (struct timespec){ 1700000000, 123456789 };
	p->duration_ns = 10000500000;
	profile__add_pattern(p, "views.*");
	profile__add_pattern(p, "!views.noise");
	fill_worker(profile__add_process(p, 4510));
	proc = profile__add_process(p, 977);
	proc->command = copy("evil\033[31m; </title><script>alert(3)</script>");
	proc->python = copy("3.8.18");
	proc->backend = copy("frame");
	proc->raw = proc->ended = true;
	proc->hits_total = 5;
	proc->ns_per_hit = 9500.4;
	proc->lost.events = 3;
	proc->lost.unreadable = 1;
	prof_process__add_warning(proc,
				  "2 of 7 sites are single-stepped by the kernel: each hit costs ten times more.");
	call = add(prof_process__add_thread(proc, 977, "Main;\033[1m\n")->root, HOSTILE, 1, 1, 50000000, 20000000);
	call = prof_call__child(call, "evil.inner", HOSTILE ".py", 2);
	call->hits = call->complete = call->log2_ns[24] = 1;
	call->total_ns = call->complete_ns = call->self_ns = call->min_ns = call->max_ns = 30000000;
	add(prof_process__add_thread(proc, 978, "Thread-1")->root, "evil.a", 9, 1, 2000, 2000);
	add(prof_process__add_thread(proc, 979, "Thread-1")->root, "evil.a", 9, 2, 3000, 6000);
	profile__sort(p);
	return p;
}

/* The output in memory; free it. */
static char *render(const struct out_format *format, const struct profile *p, bool color)
{
	struct out_options opts = { .color = color };
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	CHECK_EQ(format->write(p, f, &opts), 0);
	fclose(f);
	CHECK_EQ(strlen(text), len);
	return text;
}

/* No format may pass a control character on, in ASCII or in UTF-8's C1 range, nor bytes that are no UTF-8. */
static void check_clean(const char *text)
{
	size_t bad = 0;

	for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
		bad += (*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7f || *s == 0xff || *s == 0xc0;
		bad += *s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0;
	}
	CHECK_EQ(bad, 0);
	CHECK(!strstr(text, "\xe2\x80\xae"));
	CHECK(!strstr(text, "\xed\xa0\x80"));
}

/* The script and the style are ours and the same in every file: leave them out of the golden one. */
static char *without_embedded(const char *svg)
{
	char *text = copy(svg), *to = text;

	for (const char *s = svg; *s;) {
		const char *end = strncmp(s, "<![CDATA[", 9) ? NULL : strstr(s, "]]>");

		if (end)
			s = end + 3;
		else
			*to++ = *s++;
	}
	*to = '\0';
	return text;
}

static void test_golden(void)
{
	struct profile *p = sample();

	for (size_t i = 0; out_formats[i]; i++) {
		bool is_svg = out_formats[i] == &out_svg;
		char *text = render(out_formats[i], p, false), *part = is_svg ? without_embedded(text) : copy(text);
		char name[64];

		check_clean(text);
		snprintf(name, sizeof(name), "profile.%s", out_formats[i]->name);
		golden_check(name, part);
		if (is_svg && getenv("PYLU_SVG")) {
			FILE *f = fopen(getenv("PYLU_SVG"), "w");

			if (CHECK(f != NULL) && f) {
				fputs(text, f);
				fclose(f);
			}
		}
		free(part);
		free(text);
	}
	profile__free(p);
}

static void test_svg_is_inert(void)
{
	struct profile *p = sample();
	char *svg = render(&out_svg, p, false), *own = without_embedded(svg);

	CHECK(strstr(own, "&#60;script&#62;alert"));
	CHECK(strstr(own, "\\u003cscript\\u003ealert"));
	CHECK(!strstr(own, "<script>alert"));
	CHECK(!strstr(own, "onerror=\""));
	CHECK(!strstr(own, "]]>")); /* and so nothing ends a CDATA section early */
	CHECK(strstr(own, "<style></style>"));
	CHECK(strstr(own, "<script></script>\n</svg>\n"));
	CHECK(!strstr(svg, "http") || !strstr(svg, "src=\"http"));
	free(own);
	free(svg);
	profile__free(p);
}

static void test_text(void)
{
	struct profile *p = sample();
	char *plain = render(&out_text, p, false), *color = render(&out_text, p, true);

	CHECK(strstr(plain, "\n4510-Thread-5 [4515]\nfunction "));
	CHECK(strstr(plain, "\nviews.results "));
	CHECK(strstr(plain, "\n  -manager.all "));
	CHECK(strstr(plain, "\n    -manager.get_queryset "));
	CHECK(strstr(plain, "\xe2\x80\xa6 29 deep -views.fact "));
	CHECK(strstr(plain, "lost: 3 calls that are missing from the tree, 1 event "));
	CHECK(strstr(plain, "lost: nothing"));
	CHECK(strstr(plain, "\n<N "));
	CHECK(strstr(plain, "\n>N "));
	CHECK(strstr(plain, "\n~N "));
	CHECK(!strchr(plain, '\033'));
	CHECK(strstr(color, "\033[1m"));
	CHECK(!strstr(color, "\033[2J"));
	free(color);
	free(plain);
	profile__free(p);
}

static void test_legend_only_when_needed(void)
{
	struct profile *p = profile__new();
	char *text;

	add(prof_process__add_thread(profile__add_process(p, 1), 1, "t")->root, "m.f", 1, 2, 138562000, 1);
	text = render(&out_text, p, false);
	CHECK(strstr(text, "\nm.f         2        138.562"));
	CHECK(!strstr(text, "\n<N "));
	CHECK(!strstr(text, "notes"));
	CHECK(!strstr(text, "elapsed"));
	free(text);
	profile__free(p);
}

static void test_empty(void)
{
	struct profile *p = profile__new();
	char *text = render(&out_text, p, false);

	CHECK(strstr(text, "No process was watched."));
	free(text);
	profile__add_process(p, 7);
	prof_process__add_thread(p->processes[0], 7, NULL);
	text = render(&out_text, p, false);
	CHECK(strstr(text, "No call of a function that matches was seen"));
	free(text);
	text = render(&out_svg, p, false);
	CHECK(strstr(text, "No call of a function that matches"));
	free(text);
	text = render(&out_json, p, false);
	CHECK(strstr(text, "\"overhead_fraction\":null"));
	CHECK(strstr(text, "{\"tid\":7,\"name\":\"\",\"calls\":[]}"));
	free(text);
	text = render(&out_folded, p, false);
	CHECK(text[0] == '#' && strchr(text, '\n')[1] == '\0');
	free(text);
	profile__free(p);
}

static struct profile *deep(void)
{
	struct profile *p = profile__new();
	struct prof_call *call = prof_process__add_thread(profile__add_process(p, 1), 1, "t")->root;

	for (uint64_t i = 0; i < DEEP; i++)
		call = add(call, "m.recurse", 1, 1, 1000 * (DEEP - i), 1000);
	add(prof_process__add_thread(p->processes[0], 2, "after")->root, "m.last", 1, 1, 7, 7);
	profile__sort(p);
	return p;
}

static uint64_t sum_of_weights(const char *folded)
{
	uint64_t sum = 0;

	for (const char *line = folded; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n');

		while (end > line && end[-1] >= '0' && end[-1] <= '9')
			end--;
		if (*line != '#')
			sum += strtoull(end, NULL, 10);
	}
	return sum;
}

static void test_deep(void)
{
	struct profile *p = deep();

	for (size_t i = 0; out_formats[i]; i++) {
		char *text = render(out_formats[i], p, false);
		size_t len = strlen(text);

		/* In proportion to the number of calls, not to its square. */
		CHECK(len > 1000 && len < 64u << 20);
		CHECK(strstr(text, "m.last"));
		if (out_formats[i] == &out_folded)
			CHECK_EQ(sum_of_weights(text), DEEP * 1000ull + 7);
		free(text);
	}
	profile__free(p);
}

/* An error is returned whether the stream fails early, in the middle or in the last flush. */
static void test_failing_stream(void)
{
	struct profile *p = sample();
	static char buffer[1 << 20]; /* with NULL glibc would ignore the size */

	for (size_t i = 0; out_formats[i]; i++) {
		static const size_t sizes[] = { 0, 64, sizeof(buffer) };

		for (size_t j = 0; j < 3; j++) {
			FILE *f = fopen("/dev/full", "w");

			if (!f) {
				CHECK_SKIP("/dev/full cannot be opened");
				continue;
			}
			setvbuf(f, buffer, sizes[j] ? _IOFBF : _IONBF, sizes[j]);
			CHECK_EQ(out_formats[i]->write(p, f, NULL), -ENOSPC);
			fclose(f);
		}
	}
	profile__free(p);
}

static void check_shown(const char *text, const char *want, size_t columns)
{
	char got[256] = "";
	struct glyph g;
	size_t len = 0;

	CHECK_EQ(shown_columns(text), columns);
	while ((text = glyph__next(&g, text)) && len + g.len < sizeof(got)) {
		memcpy(got + len, g.bytes, g.len);
		len += g.len;
	}
	CHECK_STR_EQ(got, want);
}

static void test_shown(void)
{
	check_shown("plain", "plain", 5);
	check_shown("\x1b[0m", "\\x1b[0m", 7);
	check_shown("\xc2\x9b", "\\x9b", 4);
	check_shown("caf\xc3\xa9", "caf\xc3\xa9", 4);
	check_shown("\xe7\x95\xaa", "\xe7\x95\xaa", 2);
	check_shown("e\xcc\x81", "e\xcc\x81", 1);
	check_shown("\xe2\x80\xae", "\\u202e", 6);
	check_shown("\xf3\xa0\x80\x81", "\\U000e0001", 10);
	check_shown("\xef\xbf\xbf", "\\uffff", 6);
	check_shown("\xf0\x9f\x90\x8d", "\xf0\x9f\x90\x8d", 2);
	check_shown("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 4); /* beyond U+10FFFF */
	check_shown("\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", 3);			/* overlong */
	check_shown("\xe7\x95", "\xef\xbf\xbd\xef\xbf\xbd", 2);					/* cut off by the end */
	check_shown("\xe7y", "\xef\xbf\xbdy", 2);
}

static void test_numbers(void)
{
	static const struct {
		double value;
		int decimals;
		const char *want;
	} fixed[] = { { 0.85, 2, "0.85" }, { 3.21, 1, "3.2" }, { 9.96, 1, "10.0" },
		      { -1, 1, "0.0" },	   { 7, 0, "7" },      { 0.0 / 0.0, 2, "0.00" } };
	char buf[64];

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		format_fixed(buf, sizeof(buf), fixed[i].value, fixed[i].decimals);
		CHECK_STR_EQ(buf, fixed[i].want);
	}
	format_time(buf, sizeof(buf), &(struct timespec){ 1700000000, 999999999 });
	CHECK_STR_EQ(buf, "2023-11-14T22:13:20.999Z");
}

static void test_find(void)
{
	CHECK(out__find("json") == &out_json);
	CHECK(out__find("") == NULL);
	CHECK(out__find("xml") == NULL);
	CHECK(out__for_path("a/b.svg") == &out_svg);
	CHECK(out__for_path("a.json/b.txt") == &out_text);
	CHECK(out__for_path("x.folded") == &out_folded);
	CHECK(out__for_path("a.json/b") == NULL);
	CHECK(out__for_path("json") == NULL);
	CHECK(out__for_path("") == NULL);
}

int main(void)
{
	/* Recursion over a tree of 100,000 levels would overflow this stack. */
	setrlimit(RLIMIT_STACK, &(struct rlimit){ 256 << 10, RLIM_INFINITY });
	test_find();
	test_shown();
	test_numbers();
	test_golden();
	test_text();
	test_legend_only_when_needed();
	test_svg_is_inert();
	test_empty();
	test_deep();
	test_failing_stream();
	return check_done();
}
