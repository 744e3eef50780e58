/*
 * value_text: a decoded value as a line of text, in the form of Python's repr where that is known.
 *
 * Sources: Objects/unicodeobject.c (unicode_repr), Objects/bytesobject.c (PyBytes_Repr), Objects/complexobject.c.
 */
#include "value_priv.h"

#include <errno.h>
#include <math.h>
#include <string.h>

static void write_value(const struct value *v, FILE *f);

uint32_t take_char(const char **at, const char *end)
{
	const uint8_t *c = (const uint8_t *)*at;
	size_t left = (size_t)(end - *at), n = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
	uint32_t value = n == 1 ? *c : *c & (0x7f >> n);

	if (n > left || (*c >= 0x80 && *c < 0xc2) || *c > 0xf4) {
		++*at;
		return 0xfffd;
	}
	for (size_t i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80) {
			++*at;
			return 0xfffd;
		}
		value = value << 6 | (c[i] & 0x3f);
	}
	*at += n;
	return value;
}

static void write_escaped(uint32_t c, FILE *f)
{
	if (c < 0x100)
		fprintf(f, "\\x%02x", c);
	else if (c < 0x10000)
		fprintf(f, "\\u%04x", c);
	else
		fprintf(f, "\\U%08x", c);
}

static void write_char(uint32_t c, char quote, FILE *f)
{
	char utf8[4];

	if (quote && (c == '\\' || c == (uint8_t)quote))
		fprintf(f, "\\%c", (char)c);
	else if (c == '\n' || c == '\t' || c == '\r')
		fprintf(f, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
	else if (char_is_printable(c))
		fwrite(utf8, 1, put_char(utf8, c), f);
	else
		write_escaped(c, f);
}

/* Names: without quotes, but with nothing that a terminal would act upon. */
static void write_name(const char *text, FILE *f)
{
	const char *end;

	if (!text)
		text = "?";
	for (end = text + strlen(text); text < end;)
		write_char(take_char(&text, end), 0, f);
}

/* Double quotes serve only where they spare an escape. */
static char quote_for(const struct value *v)
{
	return memchr(v->text, '\'', v->len) && !memchr(v->text, '"', v->len) ? '"' : '\'';
}

static void write_thousands(uint64_t n, FILE *f)
{
	char digits[32];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++)
		fprintf(f, "%s%c", i && (len - i) % 3 == 0 ? "," : "", digits[i]);
}

static void write_total(const struct value *v, const char *unit, FILE *f)
{
	if (!v->cut)
		return;
	fputs("... ", f);
	write_thousands(v->total, f);
	fprintf(f, " %s%s", unit, v->total == 1 ? "" : "s");
}

static void write_str(const struct value *v, FILE *f)
{
	const char *at = v->text, *end = v->text + v->len;
	char quote = quote_for(v);

	fputc(quote, f);
	while (at < end)
		write_char(take_char(&at, end), quote, f);
	fputc(quote, f);
	write_total(v, "char", f);
}

static void write_bytes(const struct value *v, FILE *f)
{
	char quote = quote_for(v);

	fprintf(f, "b%c", quote);
	for (size_t i = 0; i < v->len; i++) {
		uint8_t c = (uint8_t)v->text[i];

		if (c < 0x7f)
			write_char(c, quote, f);
		else
			write_escaped(c, f);
	}
	fputc(quote, f);
	write_total(v, "byte", f);
}

static void write_int(const struct value *v, FILE *f)
{
	if (v->cut) {
		fprintf(f, "<%sint of %s", v->negative ? "negative " : "", v->about ? "up to " : "");
		write_thousands(v->total, f);
		fputs(" bits>", f);
	} else if (v->text) {
		fputs(v->text, f);
	} else {
		fprintf(f, "%lld", (long long)v->number);
	}
}

static void write_complex(const struct value *v, FILE *f)
{
	bool both = v->real != 0 || signbit(v->real);
	char text[DOUBLE_TEXT];

	if (both) {
		format_double(text, v->real, false);
		fprintf(f, "(%s", text);
	}
	format_double(text, v->imag, false);
	fprintf(f, "%s%sj%s", both && *text != '-' ? "+" : "", text, both ? ")" : "");
}

static void write_item(const struct value_item *item, FILE *f)
{
	if (item->name) {
		write_name(item->name, f);
		fputc('=', f);
	} else if (item->key) {
		write_value(item->key, f);
		fputs(": ", f);
	}
	write_value(item->value, f);
}

/* What is there, and how much is not. */
static void write_items(const struct value *v, const char *between, FILE *f)
{
	for (size_t i = 0; i < v->nitems; i++) {
		fputs(i ? between : "", f);
		write_item(&v->items[i], f);
	}
	if (!v->cut)
		return;
	fprintf(f, "%s...", v->nitems ? between : "");
	if (v->total > v->nitems) {
		fputc(' ', f);
		write_thousands(v->total - v->nitems, f);
		fputs(v->nitems ? " more" : v->total == 1 ? " item" : " items", f);
	}
}

static void write_object(const struct value *v, FILE *f)
{
	fputc('<', f);
	write_name(v->shown, f);
	fputs(v->nitems || v->cut ? " " : " object", f);
	write_items(v, " ", f);
	fputc('>', f);
}

static void write_enum(const struct value *v, FILE *f)
{
	fputc('<', f);
	write_name(v->shown, f);
	if (v->text) {
		fputc('.', f);
		write_name(v->text, f);
	}
	fputs(": ", f);
	write_value(v->items[0].value, f);
	fputc('>', f);
}

static void write_container(const struct value *v, FILE *f)
{
	const char *open = v->kind == V_LIST ? "[" : v->kind == V_TUPLE ? "(" : "{";
	const char *close = v->kind == V_LIST ? "]" : v->kind == V_TUPLE ? ")" : "}";

	if ((v->kind == V_SET || v->kind == V_FROZENSET) && !v->total) {
		/* {} is a dict. */
		fputs(v->type ? "" : v->kind == V_SET ? "set()" : "frozenset()", f);
		return;
	}
	if (v->kind == V_FROZENSET && !v->type)
		fputs("frozenset(", f);
	fputs(open, f);
	write_items(v, ", ", f);
	if (v->kind == V_TUPLE && v->nitems == 1 && !v->cut)
		fputc(',', f);
	fputs(close, f);
	if (v->kind == V_FROZENSET && !v->type)
		fputc(')', f);
}

static void write_plain(const struct value *v, FILE *f)
{
	char text[DOUBLE_TEXT];

	switch (v->kind) {
	case V_NONE:
		fputs("None", f);
		break;
	case V_BOOL:
		fputs(v->number ? "True" : "False", f);
		break;
	case V_INT:
		write_int(v, f);
		break;
	case V_FLOAT:
		format_double(text, v->real, true);
		fputs(text, f);
		break;
	case V_COMPLEX:
		write_complex(v, f);
		break;
	case V_STR:
		write_str(v, f);
		break;
	case V_BYTES:
		write_bytes(v, f);
		break;
	case V_BYTEARRAY:
		fputs("bytearray(", f);
		write_bytes(v, f);
		fputc(')', f);
		break;
	default:
		write_container(v, f);
	}
}

static void write_method(const struct value *v, FILE *f)
{
	fputs("<bound method ", f);
	write_name(v->text, f);
	fputs(" of ", f);
	write_value(v->items[0].value, f);
	fputc('>', f);
}

static void write_cell(const struct value *v, FILE *f)
{
	fputs("<cell: ", f);
	if (v->nitems)
		write_value(v->items[0].value, f);
	else
		fputs("empty", f);
	fputc('>', f);
}

static void write_value(const struct value *v, FILE *f)
{
	bool wrapped = v->kind <= V_FROZENSET && v->type;

	switch (v->kind) {
	case V_CALL:
		write_name(v->shown, f);
		fputc('(', f);
		write_items(v, ", ", f);
		fputc(')', f);
		break;
	case V_OBJECT:
		write_object(v, f);
		break;
	case V_ENUM:
		write_enum(v, f);
		break;
	case V_METHOD:
		write_method(v, f);
		break;
	case V_CELL:
		write_cell(v, f);
		break;
	case V_WORD:
		write_name(v->text, f);
		break;
	case V_MASKED:
		fputs("<masked>", f);
		break;
	case V_UNBOUND:
		fputs("<unbound>", f);
		break;
	case V_MISSING:
		fputs("<missing>", f);
		break;
	case V_UNREADABLE:
		fputs("<unreadable>", f);
		break;
	case V_CUT:
		fputs(v->text ? v->text : "...", f);
		break;
	default:
		/* A subclass of a builtin: MyList([1]). */
		if (wrapped) {
			write_name(v->shown, f);
			fputc('(', f);
		}
		write_plain(v, f);
		if (wrapped)
			fputc(')', f);
	}
}

int value__text(const struct value *v, FILE *f)
{
	write_value(v, f);
	return ferror(f) ? -EIO : 0;
}
