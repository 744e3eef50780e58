/*
 * cond_lex: the words of a condition, as Python's reference has them ("Lexical analysis"): names, numbers, strings, signs;
 * and how an error in one is shown. What they mean together is cond_parse.c's business.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cond_priv.h"
#include "diag.h"
#include "out_util.h"

#define BLANKS " \t\f\r\n"
#define BEFORE 60 /* characters of the text that are shown before the place of an error, and behind it */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What stands between two places as it may be shown, at most `most` characters of it: its last ones. */
static void show(char *buf, size_t size, const char *from, const char *to, size_t most, size_t *columns)
{
	size_t n = 0, used = 0;
	struct glyph g;

	for (const char *s = from; s && s < to; n++)
		s = glyph__next(&g, s);
	*columns = 0;
	for (const char *s = from; s && s < to && (s = glyph__next(&g, s)); n--) {
		if (n > most || used + g.len >= size)
			continue;
		memcpy(buf + used, g.bytes, g.len);
		used += g.len;
		*columns += g.columns;
	}
	buf[used] = '\0';
}

/* The end of the n-th character from here. */
static const char *skip(const char *s, size_t n)
{
	struct glyph g;
	const char *next;

	while (n-- && (next = glyph__next(&g, s)))
		s = next;
	return s;
}

int cond_error(const char *text, const char *at, const char *fmt, ...)
{
	char message[256], before[BEFORE * 12 + 1], behind[BEFORE * 12 + 1];
	size_t column = 1, columns, ignored;
	va_list args;
	struct glyph g;

	for (const char *s = text; s < at && (s = glyph__next(&g, s)); column++)
		;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	show(before, sizeof(before), text, at, BEFORE, &columns);
	show(behind, sizeof(behind), at, skip(at, BEFORE), BEFORE, &ignored);
	diag_error(-DIAG_USAGE, "the condition is wrong at character %zu: %s", column, message);
	diag_info("  %s%s", before, behind);
	diag_info("  %*s^", (int)columns, "");
	return -DIAG_USAGE;
}

static bool is_digit(char c, int base)
{
	int value = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;

	return value < base;
}

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (unsigned char)c >= 0x80;
}

static bool is_word_start(char c)
{
	return is_word(c) && !(c >= '0' && c <= '9');
}

/* Behind digits that single underscores may part; `s` itself where there are none. */
static const char *digits(const char *s, int base)
{
	while (is_digit(*s, base) || (*s == '_' && is_digit(s[1], base)))
		s++;
	return s;
}

static int lex_integer(const char *text, struct cond_token *t, const char *from, const char *end, int base)
{
	uint64_t n = 0;

	if (base == 10 && *from == '0' && from + strspn(from, "0_") != end)
		return cond_error(text, t->at, "an integer does not begin with 0; octal ones begin with 0o");
	for (const char *s = from; s < end; s++) {
		uint64_t digit = *s <= '9' ? (uint64_t)(*s - '0') : (uint64_t)((*s | 32) - 'a' + 10);

		if (*s == '_')
			continue;
		if (__builtin_mul_overflow(n, (uint64_t)base, &n) || __builtin_add_overflow(n, digit, &n))
			return cond_error(text, t->at, "integers of more than 64 bits cannot be compared");
	}
	/* The sign comes later: its smallest one has no positive one. */
	if (n > (uint64_t)INT64_MAX + 1)
		return cond_error(text, t->at, "integers of more than 64 bits cannot be compared");
	t->constant.kind = WIRE_CONST_INT;
	t->constant.number = (int64_t)n;
	return 0;
}

static int lex_float(struct cond_token *t, const char *end)
{
	char *copy = malloc((size_t)(end - t->at) + 1), *to = copy;

	if (!copy)
		return diag_error(-ENOMEM, "no memory for a condition");
	for (const char *s = t->at; s < end; s++)
		if (*s != '_')
			*to++ = *s;
	*to = '\0';
	t->constant.kind = WIRE_CONST_FLOAT;
	t->constant.real = strtod(copy, NULL);
	free(copy);
	return 0;
}

/* Behind the exponent at `s`, if there is one. */
static const char *exponent(const char *s)
{
	const char *number = s + 1;

	if (*s != 'e' && *s != 'E')
		return s;
	if (*number == '+' || *number == '-')
		number++;
	return is_digit(*number, 10) ? digits(number, 10) : s;
}

static int lex_number(const char *text, struct cond_token *t)
{
	const char prefix = *t->at == '0' ? t->at[1] | 32 : 0;
	const int base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
	const char *from = base == 10 ? t->at : t->at + 2, *end = digits(from, base), *whole = end;
	int err;

	if (base == 10 && *end == '.')
		end = is_digit(end[1], 10) ? digits(end + 1, 10) : end + 1;
	if (base == 10)
		end = exponent(end);
	if (end == from || is_word(*end))
		return cond_error(text, end, "this is no number, or none that can be compared");
	err = end == whole ? lex_integer(text, t, from, end, base) : lex_float(t, end);
	t->kind = TOKEN_CONST;
	t->len = (size_t)(end - t->at);
	return err;
}

/* One character as UTF-8; the number of its bytes. */
static size_t encode(uint32_t c, char *to)
{
	static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	const size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)(lead[n] | c);
	return n;
}

/* So many hexadecimal digits at `s`; -1: there are fewer, or it is no character. */
static int64_t code_point(const char *s, int n)
{
	int64_t c = 0;

	while (n-- && c <= 0x10ffff) {
		if (!is_digit(*s, 16))
			return -1;
		c = c * 16 + (*s <= '9' ? *s - '0' : (*s | 32) - 'a' + 10);
		s++;
	}
	return c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? -1 : c;
}

/* An escape whose backslash is at s[0]. Advances both; 0, or an error that was reported. */
static int lex_escape(const char *text, const char **s, char **to)
{
	static const char letters[] = "\\'\"abfnrtv", meanings[] = "\\'\"\a\b\f\n\r\t\v";
	const char *at = *s, *letter;
	int64_t c = 0;
	int n = 0;

	if (at[1] == '\n') {
		*s = at + 2;
		return 0;
	}
	letter = at[1] ? strchr(letters, at[1]) : NULL;
	if (letter) {
		*(*to)++ = meanings[letter - letters];
		*s = at + 2;
		return 0;
	}
	if (at[1] >= '0' && at[1] <= '7') {
		for (; n < 3 && is_digit(at[1 + n], 8); n++)
			c = c * 8 + (at[1 + n] - '0');
		n--;
	} else if (at[1] == 'x' || at[1] == 'u' || at[1] == 'U') {
		n = at[1] == 'x' ? 2 : at[1] == 'u' ? 4 : 8;
		c = code_point(at + 2, n);
	} else if (at[1] == 'N') {
		return cond_error(text, at, "characters by name cannot be written here");
	} else {
		*(*to)++ = '\\'; /* as Python does */
		*s = at + 1;
		return 0;
	}
	if (c < 0)
		return cond_error(text, at, "this is no character");
	*to += encode((uint32_t)c, *to);
	*s = at + 2 + n;
	return 0;
}

static int lex_string(const char *text, struct cond_token *t)
{
	const char quote = *t->at, *s = t->at + 1;
	char *to;
	int err = 0;

	/* No escape becomes longer than it was. */
	to = t->constant.text = malloc(strlen(s) + 1);
	if (!to)
		return diag_error(-ENOMEM, "no memory for a condition");
	while (!err && *s != quote) {
		if (!*s || *s == '\n' || (*s == '\\' && !s[1]))
			err = cond_error(text, t->at, "the string does not end");
		else if (*s == '\\')
			err = lex_escape(text, &s, &to);
		else
			*to++ = *s++;
	}
	if (err) {
		free(t->constant.text);
		t->constant.text = NULL;
		return err;
	}
	*to = '\0';
	t->kind = TOKEN_CONST;
	t->constant.kind = WIRE_CONST_STR;
	t->constant.len = (size_t)(to - t->constant.text);
	t->len = (size_t)(s + 1 - t->at);
	return 0;
}

static bool word_is(const char *at, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(at, word, len);
}

/* Python's keywords; most are only known, so as to be refused. */
static const struct keyword {
	const char *word;
	enum cond_token_kind kind; /* END: refused */
	enum wire_const_kind constant;
	int64_t number;
} keywords[] = {
	{ "and", TOKEN_AND },
	{ "or", TOKEN_OR },
	{ "not", TOKEN_NOT },
	{ "is", TOKEN_IS },
	{ "None", TOKEN_CONST, WIRE_CONST_NONE, 0 },
	{ "True", TOKEN_CONST, WIRE_CONST_BOOL, 1 },
	{ "False", TOKEN_CONST, WIRE_CONST_BOOL, 0 },
	{ "as" },
	{ "assert" },
	{ "async" },
	{ "await" },
	{ "break" },
	{ "class" },
	{ "continue" },
	{ "def" },
	{ "del" },
	{ "elif" },
	{ "else" },
	{ "except" },
	{ "finally" },
	{ "for" },
	{ "from" },
	{ "global" },
	{ "if" },
	{ "import" },
	{ "in" },
	{ "lambda" },
	{ "nonlocal" },
	{ "pass" },
	{ "raise" },
	{ "return" },
	{ "try" },
	{ "while" },
	{ "with" },
	{ "yield" },
};

static const struct keyword *find_keyword(const char *at, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(keywords); i++)
		if (word_is(at, len, keywords[i].word))
			return &keywords[i];
	return NULL;
}

/* An attribute's name has to fit into an operand. */
static int lex_dotted(const char *text, struct cond_token *t)
{
	const char *s = t->at + t->len, *name;
	int n = 0;

	while (*s == '.') {
		name = ++s;
		if (is_word_start(*s))
			while (is_word(*s))
				s++;
		if (s == name || find_keyword(name, (size_t)(s - name)))
			return cond_error(text, name, "an attribute's name belongs here");
		if (s - name >= WIRE_NAME_BYTES)
			return cond_error(text, name, "an attribute's name can have %d bytes at most",
					  WIRE_NAME_BYTES - 1);
		if (++n > WIRE_MAX_ATTRS)
			return cond_error(text, name, "more than %d dots", WIRE_MAX_ATTRS);
	}
	t->len = (size_t)(s - t->at);
	return 0;
}

static int lex_word(const char *text, struct cond_token *t)
{
	const struct keyword *keyword;

	while (is_word(t->at[t->len]))
		t->len++;
	keyword = find_keyword(t->at, t->len);
	if (keyword) {
		t->kind = keyword->kind;
		t->constant.kind = keyword->constant;
		t->constant.number = keyword->number;
		return t->kind ? 0 : cond_error(text, t->at, "'%s' cannot be used here", keyword->word);
	}
	if (t->at[t->len] == '"' || t->at[t->len] == '\'')
		return cond_error(text, t->at, "a string has no prefix here");
	t->kind = TOKEN_NAME;
	return lex_dotted(text, t);
}

static int lex_sign(const char *text, struct cond_token *t)
{
	static const struct {
		const char *sign;
		enum cond_token_kind kind;
		enum wire_test_op op;
	} signs[] = {
		{ "==", TOKEN_COMPARE, WIRE_TEST_EQ },
		{ "!=", TOKEN_COMPARE, WIRE_TEST_NE },
		{ "<=", TOKEN_COMPARE, WIRE_TEST_LE },
		{ ">=", TOKEN_COMPARE, WIRE_TEST_GE },
		{ "<", TOKEN_COMPARE, WIRE_TEST_LT },
		{ ">", TOKEN_COMPARE, WIRE_TEST_GT },
		{ "(", TOKEN_OPEN, 0 },
		{ ")", TOKEN_CLOSE, 0 },
		{ "+", TOKEN_SIGN, 0 },
		{ "-", TOKEN_SIGN, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(signs); i++) {
		size_t len = strlen(signs[i].sign);

		if (strncmp(t->at, signs[i].sign, len) != 0)
			continue;
		t->kind = signs[i].kind;
		t->op = signs[i].op;
		t->len = len;
		return 0;
	}
	switch (*t->at) {
	case '=':
		return cond_error(text, t->at, "'=' assigns; equality is '=='");
	case '&':
	case '|':
	case '!':
		return cond_error(text, t->at, "the words for this are 'and', 'or' and 'not'");
	case '[':
		return cond_error(text, t->at, "items of a container cannot be looked at");
	default:
		return cond_error(text, t->at, "this cannot be used in a condition");
	}
}

int cond_lex(const char *text, const char *s, struct cond_token *token)
{
	s += strspn(s, BLANKS);
	*token = (struct cond_token){ .kind = TOKEN_END, .at = s };
	if (!*s)
		return 0;
	if (is_digit(*s, 10) || (*s == '.' && is_digit(s[1], 10)))
		return lex_number(text, token);
	if (*s == '"' || *s == '\'')
		return lex_string(text, token);
	if (is_word_start(*s))
		return lex_word(text, token);
	return lex_sign(text, token);
}
