/*
 * value_scalar: values that hold no others: numbers, strs, bytes, dates.
 *
 * Sources: Objects/longobject.c, Include/cpython/unicodeobject.h, Include/datetime.h, Modules/_decimal/_decimal.c.
 */
#include "value_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 30
#define DIGITS_MAX (VALUE_TEXT_MAX / 4)
#define INT_TEXT_MAX 5000 /* as many digits as a piece of memory can hold */
#define DECIMAL_DIGITS 19 /* of a word of a Decimal */
#define DECIMAL_WORDS 4	  /* that stand in the object itself */

size_t put_char(char *to, uint32_t c)
{
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (n == 1) {
		to[0] = (char)c;
		return 1;
	}
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)((0xf00 >> n & 0xff) | c);
	return n;
}

/* Where a str's characters are. */
struct str_place {
	uint64_t data, length;
	unsigned kind; /* bytes a character: 1, 2, 4 */
};

static bool find_str(const struct decoding *g, uint64_t obj, struct str_place *place)
{
	const struct layout *lay = g->lay;
	uint32_t state;

	if (!peek_u64(g, obj, lay->unicode_length, &place->length) ||
	    !peek(g, obj, lay->unicode_state, &state, sizeof(state)))
		return false;
	place->kind = state >> lay->unicode_kind_shift & 7;
	/* Kind 0 is a str of 3.11 and older that was never made ready. */
	if (place->length > INT64_MAX / 4 || (place->kind != 1 && place->kind != 2 && place->kind != 4))
		return false;
	if (!(state >> lay->unicode_compact_shift & 1))
		return peek_u64(g, obj, lay->unicode_any_data, &place->data);
	place->data = obj + (uint64_t)(state >> lay->unicode_ascii_shift & 1 ? lay->unicode_ascii_data
									     : lay->unicode_compact_data);
	return true;
}

static uint32_t char_at(const uint8_t *chars, unsigned kind, size_t i)
{
	uint32_t c = 0;

	memcpy(&c, chars + i * kind, kind);
	return c > 0x10ffff ? 0xfffd : c;
}

static void take_chars(struct decoding *g, const struct str_place *place, size_t n, struct str_text *out)
{
	uint8_t chars[256];

	out->text = decoding__alloc(g, 4 * n + 1);
	for (size_t i = 0; i < n && out->text; i++) {
		size_t at = i % (sizeof(chars) / 4);
		uint32_t c;

		if (!at)
			snapshot__read(g->s, place->data + i * place->kind, chars, sizeof(chars) / 4 * place->kind);
		c = char_at(chars, place->kind, at);
		out->surrogates |= c >= 0xd800 && c < 0xe000;
		out->len += put_char(out->text + out->len, c);
	}
}

bool decode_str_text(struct decoding *g, uint64_t obj, struct str_text *out)
{
	const struct value_type *type = peek_type(g, obj);
	struct str_place place;
	uint64_t n;

	memset(out, 0, sizeof(*out));
	if (!type || type->form != FORM_STR || !find_str(g, obj, &place))
		return false;
	n = place.length < g->d->limits.chars ? place.length : g->d->limits.chars;
	if (n > VALUE_TEXT_MAX)
		n = VALUE_TEXT_MAX;
	n = snapshot__span(g->s, place.data, n * place.kind) / place.kind;
	if (!n && place.length && g->d->limits.chars)
		return false;
	out->total = place.length;
	out->cut = n < place.length;
	take_chars(g, &place, n, out);
	return out->text != NULL;
}

const char *decode_name(struct decoding *g, uint64_t obj)
{
	char name[TYPE_NAME_MAX];
	struct str_text text;

	if (decode_str_text(g, obj, &text) && !text.cut)
		return text.text;
	if (pyobj__str(g->d->reader, obj, name, sizeof(name)))
		return NULL;
	return decoding__printf(g, "%s", name);
}

static struct value *decode_str(struct decoding *g, uint64_t obj)
{
	struct str_place place;
	struct str_text text;
	struct value *v;

	if (!decode_str_text(g, obj, &text))
		return decoding__missing(g, find_str(g, obj, &place) ? place.data
								     : obj + (uint64_t)g->lay->unicode_length);
	v = decoding__value(g, V_STR);
	v->text = text.text;
	v->len = text.len;
	v->total = text.total;
	v->cut = text.cut;
	v->surrogates = text.surrogates;
	v->truth = text.total != 0;
	return v;
}

static struct value *decode_bytes(struct decoding *g, uint64_t obj, enum type_form form)
{
	const struct layout *lay = g->lay;
	uint64_t length, data = obj + (uint64_t)lay->bytes_data, n;
	struct value *v;
	char *copy;

	if (!peek_u64(g, obj, lay->ob_size, &length))
		return decoding__missing(g, obj + (uint64_t)lay->ob_size);
	if (form == FORM_BYTEARRAY && length && !peek_u64(g, obj, lay->bytearray_start, &data))
		return decoding__missing(g, obj + (uint64_t)lay->bytearray_start);
	n = length < g->d->limits.chars ? length : g->d->limits.chars;
	n = snapshot__span(g->s, data, n < VALUE_TEXT_MAX ? n : VALUE_TEXT_MAX);
	if (length > INT64_MAX)
		return decoding__value(g, V_UNREADABLE);
	if (!n && length && g->d->limits.chars)
		return decoding__missing(g, data);
	v = decoding__value(g, form == FORM_BYTES ? V_BYTES : V_BYTEARRAY);
	copy = decoding__alloc(g, n + 1);
	if (!copy)
		return v;
	snapshot__read(g->s, data, copy, n);
	v->text = copy;
	v->len = n;
	v->total = length;
	v->cut = n < length;
	v->truth = length != 0;
	return v;
}

/* Size and sign, which 3.12 moved from ob_size to lv_tag: digits << 3 | 0 positive, 1 zero, 2 negative. */
static bool find_digits(const struct decoding *g, uint64_t obj, uint64_t *n, bool *negative)
{
	const struct layout *lay = g->lay;
	uint64_t word;

	if (!peek_u64(g, obj, lay->long_tag == OFF_NONE ? lay->ob_size : lay->long_tag, &word))
		return false;
	if (lay->long_tag == OFF_NONE) {
		*negative = (int64_t)word < 0;
		*n = *negative ? -word : word;
	} else {
		*negative = (word & 3) == 2;
		*n = (word & 3) == 1 ? 0 : word >> 3;
	}
	return *n <= INT64_MAX / DIGIT_BITS;
}

/* A small int into `number`; of a larger one the decimal digits, if they are not too many. */
static void set_int(struct decoding *g, struct value *v, uint32_t *digits, size_t n)
{
	char text[INT_TEXT_MAX];
	const char *at;
	size_t room;

	v->fits = n <= 2 || (n == 3 && digits[2] < 8);
	for (size_t i = n; i-- && v->fits;)
		v->number = (int64_t)((uint64_t)v->number << DIGIT_BITS | digits[i]);
	if (v->negative)
		v->number = -v->number;
	if (v->fits)
		return;
	room = (size_t)g->d->limits.chars + 1 < sizeof(text) ? (size_t)g->d->limits.chars + 1 : sizeof(text);
	v->total = n * DIGIT_BITS - (uint64_t)(__builtin_clz(digits[n - 1]) - (32 - DIGIT_BITS));
	at = v->total / 4 > room ? NULL : format_digits(text, room, digits, n);
	v->cut = !at;
	if (at)
		v->text = decoding__printf(g, "%s%s", v->negative ? "-" : "", at);
}

static struct value *decode_int(struct decoding *g, uint64_t obj)
{
	uint64_t n, at = obj + (uint64_t)g->lay->long_digits;
	bool negative;
	struct value *v;
	uint32_t *digits;

	if (!find_digits(g, obj, &n, &negative))
		return decoding__missing(
			g, obj + (uint64_t)(g->lay->long_tag == OFF_NONE ? g->lay->ob_size : g->lay->long_tag));
	v = decoding__value(g, V_INT);
	v->negative = negative;
	v->truth = n != 0;
	if (n > DIGITS_MAX || snapshot__span(g->s, at, n * 4) < n * 4) {
		/* Without the highest digit the bits are known to the digit only. */
		if (n < 4)
			return decoding__missing(g, at + snapshot__span(g->s, at, n * 4));
		v->cut = v->about = true;
		v->total = n * DIGIT_BITS;
		return v;
	}
	digits = decoding__alloc(g, n * 4 + 4);
	if (!digits)
		return v;
	snapshot__read(g->s, at, digits, n * 4);
	for (uint64_t i = 0; i < n; i++) {
		if (digits[i] >> DIGIT_BITS)
			return decoding__value(g, V_UNREADABLE);
	}
	while (n && !digits[n - 1])
		n--;
	set_int(g, v, digits, n);
	return v;
}

static struct value *decode_float(struct decoding *g, uint64_t obj)
{
	struct value *v = decoding__value(g, V_FLOAT);

	if (!peek(g, obj, g->lay->float_value, &v->real, sizeof(v->real)))
		return decoding__missing(g, obj + (uint64_t)g->lay->float_value);
	v->truth = v->real != 0;
	return v;
}

static struct value *decode_complex(struct decoding *g, uint64_t obj)
{
	struct value *v = decoding__value(g, V_COMPLEX);
	double parts[2];

	if (!peek(g, obj, g->lay->complex_value, parts, sizeof(parts)))
		return decoding__missing(g, obj + (uint64_t)g->lay->complex_value);
	v->real = parts[0];
	v->imag = parts[1];
	v->truth = v->real != 0 || v->imag != 0;
	return v;
}

static struct value *word_of(struct decoding *g, const struct value_type *type, const char *text, int truth)
{
	struct value *v = decoding__value(g, V_WORD);

	decoding__name_type(g, v, type, type->last);
	v->text = text;
	v->truth = (signed char)truth;
	return v;
}

/* ", 7" for what is not left out; what is zero is, unless something follows. */
static const char *clock_text(struct decoding *g, unsigned second, unsigned micro)
{
	if (micro)
		return decoding__printf(g, ", %u, %u", second, micro);
	return second ? decoding__printf(g, ", %u", second) : "";
}

static struct value *decode_date(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	const struct layout *lay = g->lay;
	static const char *const zone[] = { "", ", tzinfo=..." };
	uint8_t data[10] = { 0 }, has_zone = 0;
	size_t n = type->form == FORM_DATE ? 4 : type->form == FORM_TIME ? 6 : 10;
	const uint8_t *clock = type->form == FORM_TIME ? data : data + 4;
	const char *text, *rest;

	if (!peek(g, obj, lay->datetime_data, data, n) || !peek(g, obj, lay->datetime_has_tzinfo, &has_zone, 1))
		return decoding__missing(g, obj + (uint64_t)lay->datetime_data);
	if (type->form == FORM_DATE) {
		text = decoding__printf(g, "%s(%u, %u, %u)", type->name, data[0] << 8 | data[1], data[2], data[3]);
		return word_of(g, type, text, 1);
	}
	rest = clock_text(g, clock[2], (unsigned)clock[3] << 16 | (unsigned)clock[4] << 8 | clock[5]);
	if (type->form == FORM_TIME)
		text = decoding__printf(g, "%s(%u, %u%s%s)", type->name, clock[0], clock[1], rest, zone[!!has_zone]);
	else
		text = decoding__printf(g, "%s(%u, %u, %u, %u, %u%s%s)", type->name, data[0] << 8 | data[1], data[2],
					data[3], clock[0], clock[1], rest, zone[!!has_zone]);
	return word_of(g, type, text, 1);
}

static struct value *decode_timedelta(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	static const char *const names[] = { "days", "seconds", "microseconds" };
	const char *parts[3] = { "", "", "" };
	int32_t n[3];
	bool any = false;

	if (!peek(g, obj, g->lay->timedelta_days, n, sizeof(n)))
		return decoding__missing(g, obj + (uint64_t)g->lay->timedelta_days);
	for (int i = 0; i < 3; i++) {
		if (n[i])
			parts[i] = decoding__printf(g, "%s%s=%d", any ? ", " : "", names[i], n[i]);
		any |= n[i] != 0;
	}
	return word_of(g, type,
		       decoding__printf(g, "%s(%s%s%s%s)", type->name, parts[0], parts[1], parts[2], any ? "" : "0"),
		       any);
}

/* As the specification of decimal arithmetic has it: to-scientific-string. */
static const char *decimal_text(struct decoding *g, const char *digits, int64_t exp, bool negative)
{
	int64_t n = (int64_t)strlen(digits), left = n + exp; /* digits before the point */
	const char *sign = negative ? "-" : "";

	if (exp > 0 || left < -5)
		return decoding__printf(g, "%s%c%s%sE%+lld", sign, digits[0], n > 1 ? "." : "", digits + 1,
					(long long)(left - 1));
	if (left <= 0)
		return decoding__printf(g, "%s0.%.*s%s", sign, (int)-left, "00000", digits);
	return decoding__printf(g, "%s%.*s%s%s", sign, (int)left, digits, exp ? "." : "", digits + left);
}

static struct value *decode_decimal(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	enum { NEGATIVE = 1, INFINITE = 2, NOT_A_NUMBER = 4, SIGNALS = 8 }; /* MPD_NEG ... of mpdecimal.h */
	const struct layout *lay = g->lay;
	char digits[DECIMAL_WORDS * DECIMAL_DIGITS + 1];
	uint64_t exp, len, data, words[DECIMAL_WORDS];
	const char *text, *at = digits;
	uint8_t flags;
	bool zero;

	if (!peek(g, obj, lay->decimal_flags, &flags, 1) || !peek_u64(g, obj, lay->decimal_exp, &exp) ||
	    !peek_u64(g, obj, lay->decimal_len, &len) || !peek_u64(g, obj, lay->decimal_data, &data))
		return decoding__missing(g, obj + (uint64_t)lay->decimal_data);
	if (flags & (INFINITE | NOT_A_NUMBER | SIGNALS)) {
		text = decoding__printf(g, "%s('%s%s')", type->last, flags & NEGATIVE ? "-" : "",
					flags & INFINITE       ? "Infinity"
					: flags & NOT_A_NUMBER ? "NaN"
							       : "sNaN");
		return word_of(g, type, text, flags & SIGNALS ? -1 : 1);
	}
	if (!len || len > DECIMAL_WORDS || (int64_t)exp > INT32_MAX || (int64_t)exp < INT32_MIN)
		return decode_instance(g, obj, type);
	if (!peek(g, data, 0, words, len * 8))
		return decoding__missing(g, data);
	for (uint64_t i = 0; i < len; i++) {
		uint64_t word = words[len - 1 - i];

		for (int k = DECIMAL_DIGITS; k--; word /= 10)
			digits[i * DECIMAL_DIGITS + (uint64_t)k] = (char)('0' + word % 10);
	}
	digits[len * DECIMAL_DIGITS] = 0;
	while (*at == '0' && at[1])
		at++;
	zero = *at == '0';
	text = decimal_text(g, at, (int64_t)exp, flags & NEGATIVE);
	return word_of(g, type, decoding__printf(g, "%s('%s')", type->last, text ? text : ""), !zero);
}

static struct value *decode_plain(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	switch (type->form) {
	case FORM_BOOL:
	case FORM_INT:
		return decode_int(g, obj);
	case FORM_FLOAT:
		return decode_float(g, obj);
	case FORM_COMPLEX:
		return decode_complex(g, obj);
	case FORM_STR:
		return decode_str(g, obj);
	case FORM_BYTES:
	case FORM_BYTEARRAY:
		return decode_bytes(g, obj, type->form);
	case FORM_DATE:
	case FORM_TIME:
	case FORM_DATETIME:
		return decode_date(g, obj, type);
	case FORM_TIMEDELTA:
		return decode_timedelta(g, obj, type);
	case FORM_DECIMAL:
		return decode_decimal(g, obj, type);
	default:
		return decoding__value(g, V_UNREADABLE);
	}
}

struct value *decode_scalar(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	struct value *v = decode_plain(g, obj, type);

	if (type->exact || v->kind == V_UNREADABLE || v->kind == V_CUT || v->type)
		return v;
	decoding__name_type(g, v, type, type->last);
	/* A subclass may say of itself what it likes. */
	if (type->asks_truth)
		v->truth = -1;
	return v;
}
