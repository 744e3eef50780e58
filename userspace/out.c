/*
 * out: finds an output format, and owns what the formats share (out_util.h). It knows no format's syntax.
 */
#include "out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "out_util.h"
#include "profile.h"

#define REPLACEMENT 0xfffd
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct range {
	uint32_t first, last;
};

const struct out_format *const out_formats[] = { &out_text, &out_json, &out_folded, &out_svg, NULL };

static const struct {
	const char *ending;
	const struct out_format *format;
} endings[] = {
	{ ".txt", &out_text },
	{ ".json", &out_json },
	{ ".folded", &out_folded },
	{ ".svg", &out_svg },
};

bool text_ends(const char *text, const char *ending)
{
	size_t len = strlen(text), n = strlen(ending);

	return len >= n && !strcmp(text + len - n, ending);
}

const struct out_format *out__find(const char *name)
{
	for (size_t i = 0; out_formats[i]; i++) {
		if (!strcmp(out_formats[i]->name, name))
			return out_formats[i];
	}
	return NULL;
}

const struct out_format *out__for_path(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (text_ends(path, endings[i].ending))
			return endings[i].format;
	return NULL;
}

void sink__fail(struct sink *s, int err)
{
	if (!s->err)
		s->err = err;
}

static void stream_failed(struct sink *s)
{
	sink__fail(s, errno ? -errno : -EIO);
}

void sink__write(struct sink *s, const char *data, size_t len)
{
	if (s->err)
		return;
	errno = 0;
	if (fwrite(data, 1, len, s->f) != len)
		stream_failed(s);
}

void sink__puts(struct sink *s, const char *text)
{
	sink__write(s, text, strlen(text));
}

void sink__printf(struct sink *s, const char *fmt, ...)
{
	va_list args;

	if (s->err)
		return;
	errno = 0;
	va_start(args, fmt);
	if (vfprintf(s->f, fmt, args) < 0)
		stream_failed(s);
	va_end(args);
}

int sink__finish(struct sink *s)
{
	errno = 0;
	if (!s->err && (fflush(s->f) || ferror(s->f)))
		stream_failed(s);
	return s->err;
}

static bool in_ranges(uint32_t c, const struct range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/* Controls; characters that reorder or hide what stands beside them; tags; and what XML cannot hold. */
static bool is_unsafe(uint32_t c)
{
	static const struct range unsafe[] = {
		{ 0x00, 0x1f },	    { 0x7f, 0x9f },	{ 0x61c, 0x61c },   { 0x200b, 0x200f }, { 0x2028, 0x202e },
		{ 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0xe0fff },
	};

	return in_ranges(c, unsafe, ARRAY_SIZE(unsafe));
}

/* The ranges that matter of Unicode's East Asian Width and of its combining marks; wcwidth() depends on the locale. */
static uint8_t columns_of(uint32_t c)
{
	static const struct range combining[] = {
		{ 0x300, 0x36f },   { 0x483, 0x489 },	{ 0x591, 0x5bd },   { 0x64b, 0x65f },	{ 0x1ab0, 0x1aff },
		{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f }, { 0xfe20, 0xfe2f },
	};
	static const struct range wide[] = {
		{ 0x1100, 0x115f },   { 0x2e80, 0x303e },   { 0x3041, 0xa4cf },	  { 0xac00, 0xd7a3 },
		{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },	  { 0xffe0, 0xffe6 },
		{ 0x1f300, 0x1f64f }, { 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
	};

	if (c < 0x300)
		return 1;
	if (in_ranges(c, combining, ARRAY_SIZE(combining)))
		return 0;
	return in_ranges(c, wide, ARRAY_SIZE(wide)) ? 2 : 1;
}

/* One character by RFC 3629; overlong forms, surrogates and what lies beyond U+10FFFF are bad. Returns the bytes taken:
 * 1 and U+FFFD for a bad byte, 0 at the end. */
static size_t decode(const char *text, uint32_t *out)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)text;
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c = len == 1 ? s[0] : s[0] & (0x7f >> len);

	if (!s[0])
		return 0;
	*out = REPLACEMENT;
	if (s[0] > 0xf4 || (s[0] >= 0x80 && s[0] < 0xc2))
		return 1;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 1;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 1;
	*out = c;
	return len;
}

const char *glyph__next(struct glyph *g, const char *text)
{
	uint32_t c;
	size_t len = decode(text, &c);

	if (!len)
		return NULL;
	if (is_unsafe(c)) {
		g->len = snprintf(g->bytes, sizeof(g->bytes),
				  c < 0x100	? "\\x%02x"
				  : c < 0x10000 ? "\\u%04x"
						: "\\U%08x",
				  c);
		g->columns = g->len;
	} else if (c == REPLACEMENT) {
		g->len = snprintf(g->bytes, sizeof(g->bytes), "\xef\xbf\xbd");
		g->columns = 1;
	} else {
		memcpy(g->bytes, text, len);
		g->len = len;
		g->columns = columns_of(c);
	}
	return text + len;
}

void sink__put_shown(struct sink *s, const char *text)
{
	struct glyph g;

	for (text = text_or_empty(text); (text = glyph__next(&g, text));)
		sink__write(s, g.bytes, g.len);
}

size_t shown_columns(const char *text)
{
	size_t columns = 0;
	struct glyph g;

	for (text = text_or_empty(text); (text = glyph__next(&g, text));)
		columns += g.columns;
	return columns;
}

char *utf8_copy(const char *text)
{
	char *copy = malloc(strlen(text) * 3 + 1), *end = copy;
	uint32_t c;
	size_t len;

	if (!copy)
		return NULL;
	for (; (len = decode(text, &c)); text += len) {
		if (c == REPLACEMENT) {
			memcpy(end, "\xef\xbf\xbd", 3);
			end += 3;
		} else {
			memcpy(end, text, len);
			end += len;
		}
	}
	*end = '\0';
	return copy;
}

const char *text_or_empty(const char *text)
{
	return text ? text : "";
}

void format_time(char *buf, size_t size, const struct timespec *t)
{
	char date[48] = "1970-01-01T00:00:00";
	struct tm tm;

	if (gmtime_r(&t->tv_sec, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, size, "%s.%03uZ", date, (unsigned int)(t->tv_nsec / 1000000) % 1000);
}

void format_fixed(char *buf, size_t size, double value, int decimals)
{
	uint64_t scale = 1, n;

	for (int i = 0; i < decimals; i++)
		scale *= 10;
	if (!(value > 0))
		value = 0;
	if (!(value < 1e12)) /* the product must fit: at most 6 decimals */
		value = 1e12;
	n = value * scale + 0.5;
	if (decimals)
		snprintf(buf, size, "%" PRIu64 ".%0*" PRIu64, n / scale, decimals, n % scale);
	else
		snprintf(buf, size, "%" PRIu64, n);
}

bool thread_name_is_unique(const struct prof_process *proc, const struct prof_thread *thread)
{
	const char *name = text_or_empty(thread->name);

	for (size_t i = 0; i < proc->nthreads; i++) {
		if (proc->threads[i] != thread && !strcmp(text_or_empty(proc->threads[i]->name), name))
			return false;
	}
	return true;
}

void sink__put_cost(struct sink *s, const struct prof_process *proc)
{
	char us[32], percent[32];

	format_fixed(us, sizeof(us), proc->ns_per_hit / 1000, 2);
	sink__printf(s, "%" PRIu64 " probe hits at %s us each, ", proc->hits_total, us);
	if (!(proc->overhead_fraction >= 0)) {
		sink__puts(s, "share of its processor time unknown");
		return;
	}
	format_fixed(percent, sizeof(percent), proc->overhead_fraction * 100, 1);
	sink__printf(s, "about %s %% of its processor time", percent);
}

bool process_lost_something(const struct prof_process *proc)
{
	return proc->lost.events || proc->lost.stack_overflow || proc->lost.unreadable;
}

void sink__put_lost(struct sink *s, const struct prof_process *proc)
{
	const struct {
		uint64_t n;
		const char *one, *many;
	} kinds[] = {
		{ proc->lost.events, "call that is missing from the tree", "calls that are missing from the tree" },
		{ proc->lost.stack_overflow, "call whose caller was too far up the stack, shown without it",
		  "calls whose callers were too far up the stack, shown without them" },
		{ proc->lost.unreadable, "event whose memory could not be read",
		  "events whose memory could not be read" },
	};
	const char *between = "";

	if (!process_lost_something(proc))
		sink__puts(s, "nothing");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!kinds[i].n)
			continue;
		sink__printf(s, "%s%" PRIu64 " %s", between, kinds[i].n,
			     kinds[i].n == 1 ? kinds[i].one : kinds[i].many);
		between = ", ";
	}
}
