/*
 * redact: whether a name is that of a secret. Owns the words, and how they are found in names: `authToken`, `X-Api-Key`,
 * `DB_PASSWORD2`, `_Session__csrf`. It masks rather too much than too little.
 */
#include "redact.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"

#define NAME_MAX_BYTES 256 /* what lies behind it is not looked at */
#define PARTS_MAX 64
#define WORDS_MAX 1000
#define WORD_MAX 48

/* A word of at least so many letters is found anywhere in a name, a shorter one as a part of it only: `pin` is not in
 * `spinner`, nor `auth` in `author`. */
#define ANYWHERE 5

static const char *const builtin[] = {
	"password",   "passwd",	    "passphrase",    "passcode",      "secret",	    "token",	 "apikey",
	"accesskey",  "privatekey", "authorization", "cookie",	      "credential", "bearer",	 "sessionid",
	"sessionkey", "creditcard", "cardnumber",    "encryptionkey", "signingkey", "masterkey", "pwd",
	"pass",	      "auth",	    "csrf",	     "xsrf",	      "otp",	    "totp",	 "pin",
	"ssn",	      "cvv",	    "cvc",	     "jwt",	      "sid",
};

/* Names that are secrets as they stand, while their words are not wherever else they occur. */
static const char *const whole[] = { "session" };

/* A key is a secret unless the word before it says what else it is. */
static const char *const harmless_keys[] = {
	"cache",  "column", "composite", "dict",    "foreign", "group",	  "lookup", "map",	   "natural",
	"object", "order",  "partition", "primary", "public",  "routing", "sort",   "translation", "unique",
};

struct redact {
	char (*words)[WORD_MAX]; /* of the file: in small letters, without separators; owned */
	size_t n;
};

/* A name, taken apart. */
struct name {
	char squashed[NAME_MAX_BYTES + 1]; /* in small letters, without what separates its parts */
	char parts[PARTS_MAX][WORD_MAX];
	size_t nparts;
};

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* Whether a part begins at this letter, though nothing separates it: authToken, HTTPAuth. */
static bool begins_part(const char *name, const char *at)
{
	if (at == name || !isupper((unsigned char)*at))
		return false;
	return !isupper((unsigned char)at[-1]) || islower((unsigned char)at[1]);
}

/* Digits at a part's end only number it. */
static void end_part(struct name *n, size_t *len)
{
	while (*len && isdigit((unsigned char)n->parts[n->nparts][*len - 1]))
		--*len;
	if (*len && n->nparts < PARTS_MAX - 1) {
		n->parts[n->nparts][*len] = 0;
		n->nparts++;
	}
	*len = 0;
}

static void take_apart(const char *name, struct name *n)
{
	size_t len = 0, squashed = 0;

	n->nparts = 0;
	for (const char *c = name; *c && squashed < NAME_MAX_BYTES; c++) {
		if (!is_word_char(*c) || begins_part(name, c))
			end_part(n, &len);
		if (!is_word_char(*c))
			continue;
		n->squashed[squashed] = (char)tolower((unsigned char)*c);
		if (len < WORD_MAX - 1)
			n->parts[n->nparts][len++] = n->squashed[squashed];
		squashed++;
	}
	end_part(n, &len);
	n->squashed[squashed] = 0;
}

static bool has_word(const struct name *n, const char *word)
{
	if (strlen(word) >= ANYWHERE)
		return strstr(n->squashed, word) != NULL;
	for (size_t i = 0; i < n->nparts; i++) {
		if (!strcmp(n->parts[i], word))
			return true;
	}
	return false;
}

static bool is_one_of(const char *word, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcmp(word, words[i]))
			return true;
	}
	return false;
}

static bool is_key(const struct name *n)
{
	if (!n->nparts || strcmp(n->parts[n->nparts - 1], "key"))
		return false;
	return n->nparts == 1 ||
	       !is_one_of(n->parts[n->nparts - 2], harmless_keys, sizeof(harmless_keys) / sizeof(harmless_keys[0]));
}

bool redact__matches(const struct redact *r, const char *name)
{
	struct name n;

	if (!r)
		return false;
	take_apart(name, &n);
	if (is_key(&n) || is_one_of(n.squashed, whole, sizeof(whole) / sizeof(whole[0])))
		return true;
	for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++) {
		if (has_word(&n, builtin[i]))
			return true;
	}
	for (size_t i = 0; i < r->n; i++) {
		if (has_word(&n, r->words[i]))
			return true;
	}
	return false;
}

static int add_word(struct redact *r, const char *file, unsigned line, const char *word)
{
	struct name n;
	char(*bigger)[WORD_MAX];

	for (const char *c = word; *c; c++) {
		if (!is_word_char(*c) && !strchr("_-.", *c))
			return diag_error(-DIAG_USAGE,
					  "%s:%u: '%s' is no word of a name: one a line, of letters, digits, _ - .",
					  file, line, word);
	}
	take_apart(word, &n);
	if (!*n.squashed || strlen(n.squashed) >= WORD_MAX)
		return diag_error(-DIAG_USAGE, "%s:%u: a word has 1 to %d letters or digits", file, line, WORD_MAX - 1);
	if (r->n == WORDS_MAX)
		return diag_error(-DIAG_USAGE, "%s: more than %d words", file, WORDS_MAX);
	bigger = realloc(r->words, (r->n + 1) * sizeof(*r->words));
	if (!bigger)
		return diag_error(-ENOMEM, "no memory for the words of %s", file);
	r->words = bigger;
	strcpy(r->words[r->n++], n.squashed);
	return 0;
}

/* The line's word without blanks around it and what follows a #; "" where there is none. */
static char *trim(char *line)
{
	line[strcspn(line, "#\n")] = 0;
	line += strspn(line, " \t\r");
	for (size_t n = strlen(line); n && strchr(" \t\r", line[n - 1]);)
		line[--n] = 0;
	return line;
}

static int read_words(struct redact *r, const char *file)
{
	FILE *f = fopen(file, "re");
	char line[512];
	int err = 0;

	if (!f)
		return diag_error(-errno, "cannot open %s: %s", file, strerror(errno));
	for (unsigned number = 1; !err && fgets(line, sizeof(line), f); number++) {
		const char *word;

		if (!strchr(line, '\n') && strlen(line) == sizeof(line) - 1) {
			err = diag_error(-DIAG_USAGE, "%s:%u: the line is too long", file, number);
			break;
		}
		word = trim(line);
		err = *word ? add_word(r, file, number, word) : 0;
	}
	if (!err && ferror(f))
		err = diag_error(-EIO, "cannot read %s: %s", file, strerror(errno));
	fclose(f);
	return err;
}

int redact__new(const char *file, struct redact **out)
{
	struct redact *r = calloc(1, sizeof(*r));
	int err;

	*out = NULL;
	if (!r)
		return diag_error(-ENOMEM, "no memory for the words that are masked");
	err = file ? read_words(r, file) : 0;
	if (err) {
		redact__free(r);
		return err;
	}
	*out = r;
	return 0;
}

void redact__free(struct redact *r)
{
	if (!r)
		return;
	free(r->words);
	free(r);
}
