/*
 * pattern: parses patterns and matches functions' names against them.
 *
 * Owns copies of the patterns. Knows nothing of processes: names come in as text, as the target's module and code
 * object spell them.
 *
 * A name is matched as a list of levels, the module's followed by the qualified name's. Whether a level is a function
 * shows in the qualified name itself: CPython writes a `<locals>` level behind it.
 */
#include "pattern.h"

#include "diag.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Names with more levels than this keep the rest in their last one. CPython nests no deeper than 100 in source. */
#define NAME_LEVELS_MAX 256
#define DISTANCE_TEXT_MAX 512 /* for suggestions the first characters will do */

static const char locals[] = "<locals>";

struct level {
	const char *text; /* not terminated */
	size_t len;
	bool function; /* in a name: a `<locals>` level follows */
};

struct name {
	struct level levels[NAME_LEVELS_MAX];
	size_t n;
};

struct pattern {
	char *text; /* owned; without the leading `!` */
	struct level *levels;
	size_t n;
	bool exclude;
	bool wild;	    /* some level has a `*` */
	bool spells_locals; /* some level is `<locals>` */
};

struct pattern_set {
	struct pattern *items;
	size_t n;
	bool includes; /* some pattern does not exclude */
};

static bool level_is(const struct level *level, const char *text)
{
	return level->len == strlen(text) && memcmp(level->text, text, level->len) == 0;
}

/* What is wrong with one character of a pattern; NULL: nothing. */
static const char *bad_character(unsigned char c)
{
	if (c == '?' || c == '[' || c == ']' || c == '{' || c == '}')
		return "`*` and `**` are the only wildcards";
	if (c == '/' || c == ':' || c == '\\')
		return "write the module's name, not its file's, and a dot between levels";
	if (c == '(' || c == ')')
		return "write the name without brackets";
	if (c == '!')
		return "`!` stands in front of the whole pattern";
	if (c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    strchr("_-<>*.", c))
		return NULL;
	return "no name has such a character";
}

static int check_characters(const char *given, const char *text)
{
	bool inside = false; /* between `<` and `>`, where CPython writes blanks: `<generic parameters of f>` */
	const char *wrong;

	for (const char *s = text; *s; s++) {
		wrong = inside && *s == ' ' ? NULL : bad_character((unsigned char)*s);
		if (wrong)
			return diag_error(-DIAG_USAGE, "pattern '%s': wrong character '%c': %s", given, *s, wrong);
		inside = *s == '<' || (inside && *s != '>' && *s != '.');
	}
	return 0;
}

static int check_levels(const char *given, const struct pattern *p)
{
	bool any_levels = false;

	for (size_t i = 0; i < p->n; i++) {
		const struct level *level = &p->levels[i];
		bool any = level_is(level, "**");

		if (level->len == 0)
			return diag_error(-DIAG_USAGE, "pattern '%s': a level is empty: two dots, or one at an end",
					  given);
		for (size_t k = 0; !any && k + 1 < level->len; k++)
			if (level->text[k] == '*' && level->text[k + 1] == '*')
				return diag_error(-DIAG_USAGE,
						  "pattern '%s': `**` must be a level of its own, between dots", given);
		any_levels |= any;
	}
	if (p->wild && p->n == 1 && !any_levels)
		return diag_error(-DIAG_USAGE,
				  "pattern '%s' can match no function, whose name has at least a module and a name: "
				  "write '%s.**' or '**.%s'",
				  given, p->text, p->text);
	return 0;
}

static int parse(const char *given, struct pattern *p)
{
	const char *s;
	size_t dots = 0;
	int err;

	p->exclude = given[0] == '!';
	p->text = strdup(given + p->exclude);
	if (!p->text)
		return diag_error(-ENOMEM, "no memory for the patterns");
	if (!p->text[0])
		return diag_error(-DIAG_USAGE, "pattern '%s' is empty", given);
	err = check_characters(given, p->text);
	if (err)
		return err;
	for (s = p->text; *s; s++)
		dots += *s == '.';
	p->levels = calloc(dots + 1, sizeof(*p->levels));
	if (!p->levels)
		return diag_error(-ENOMEM, "no memory for the patterns");
	for (s = p->text; p->n <= dots; p->n++) {
		struct level *level = &p->levels[p->n];

		level->text = s;
		level->len = strcspn(s, ".");
		p->wild |= memchr(s, '*', level->len) != NULL;
		p->spells_locals |= level_is(level, locals);
		s += level->len + 1;
	}
	return check_levels(given, p);
}

int pattern_set__parse(const char *const *patterns, size_t n, struct pattern_set **out)
{
	struct pattern_set *set = calloc(1, sizeof(*set));
	int err = 0;

	*out = NULL;
	if (set)
		set->items = calloc(n + 1, sizeof(*set->items));
	if (!set || !set->items)
		err = diag_error(-ENOMEM, "no memory for the patterns");
	for (size_t i = 0; !err && i < n; i++) {
		set->n++;
		err = parse(patterns[i], &set->items[i]);
		set->includes |= !set->items[i].exclude;
	}
	if (err)
		pattern_set__free(set);
	else
		*out = set;
	return err;
}

void pattern_set__free(struct pattern_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n; i++) {
		free(set->items[i].text);
		free(set->items[i].levels);
	}
	free(set->items);
	free(set);
}

static void add_levels(struct name *name, const char *text, bool keep_locals)
{
	while (text && *text) {
		struct level level = { text, strcspn(text, "."), false };

		if (name->n == NAME_LEVELS_MAX - 1)
			level.len = strlen(text);
		text += level.len;
		text += *text == '.';
		if (level_is(&level, locals) && name->n > 0) {
			name->levels[name->n - 1].function = true;
			if (!keep_locals)
				continue;
		}
		name->levels[name->n++] = level;
		if (name->n == NAME_LEVELS_MAX)
			return;
	}
}

static void split_name(struct name *name, const char *module, const char *qualname, bool keep_locals)
{
	name->n = 0;
	add_levels(name, module, true);
	if (name->n < NAME_LEVELS_MAX)
		add_levels(name, qualname, keep_locals);
}

/* Whether `glob`, in which each `*` stands for any run of characters, matches the whole text. On a mismatch the last
 * star takes one character more: earlier stars never need to. */
static bool match_level(const struct level *glob, const struct level *text)
{
	size_t g = 0, t = 0, star = SIZE_MAX, star_t = 0;

	while (t < text->len) {
		if (g < glob->len && glob->text[g] == '*') {
			star = g++;
			star_t = t;
		} else if (g < glob->len && glob->text[g] == text->text[t]) {
			g++;
			t++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			t = ++star_t;
		} else {
			return false;
		}
	}
	while (g < glob->len && glob->text[g] == '*')
		g++;
	return g == glob->len;
}

/* The same one floor up: `**` among levels as `*` among characters. */
static bool match_levels(const struct pattern *p, const struct name *name)
{
	size_t i = 0, k = 0, star = SIZE_MAX, star_k = 0;

	while (k < name->n) {
		if (i < p->n && level_is(&p->levels[i], "**")) {
			star = i++;
			star_k = k;
		} else if (i < p->n && match_level(&p->levels[i], &name->levels[k])) {
			i++;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++star_k;
		} else {
			return false;
		}
	}
	while (i < p->n && level_is(&p->levels[i], "**"))
		i++;
	return i == p->n;
}

/* Without wildcards: the function of that name, or what is in the module, package or class of that name. */
static bool match_plain(const struct pattern *p, const struct name *name)
{
	if (p->n > name->n)
		return false;
	for (size_t i = 0; i < p->n; i++)
		if (p->levels[i].len != name->levels[i].len ||
		    memcmp(p->levels[i].text, name->levels[i].text, p->levels[i].len) != 0)
			return false;
	return p->n == name->n || !name->levels[p->n - 1].function;
}

static bool match_pattern(const struct pattern *p, const char *module, const char *qualname)
{
	struct name name;

	split_name(&name, module, qualname, p->spells_locals);
	return p->wild ? match_levels(p, &name) : match_plain(p, &name);
}

static bool is_excluded(const struct pattern_set *set, const char *module, const char *qualname)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].exclude && match_pattern(&set->items[i], module, qualname))
			return true;
	return false;
}

bool pattern_set__match(const struct pattern_set *set, const char *module, const char *qualname)
{
	bool included = !set->includes;

	for (size_t i = 0; !included && i < set->n; i++)
		included = !set->items[i].exclude && match_pattern(&set->items[i], module, qualname);
	return included && !is_excluded(set, module, qualname);
}

static size_t join_name(char *text, const char *module, const char *qualname, bool keep_locals)
{
	struct name name;
	size_t len = 0;

	split_name(&name, module, qualname, keep_locals);
	for (size_t i = 0; i < name.n; i++) {
		if (i && len < DISTANCE_TEXT_MAX)
			text[len++] = '.';
		for (size_t k = 0; k < name.levels[i].len && len < DISTANCE_TEXT_MAX; k++)
			text[len++] = name.levels[i].text[k];
	}
	return len;
}

/* A pattern's text for the distance. `**` becomes one character that takes a dot with it, since it may stand for no
 * level at all. */
#define ANY_LEVELS '\1'

static size_t flatten(char *text, const struct pattern *p)
{
	size_t len = 0;

	for (size_t i = 0; i < p->n && len < DISTANCE_TEXT_MAX - 1; i++) {
		const struct level *level = &p->levels[i];
		bool any = level_is(level, "**");

		if (any)
			text[len++] = ANY_LEVELS;
		for (size_t k = 0; !any && k < level->len && len < DISTANCE_TEXT_MAX - 1; k++)
			text[len++] = level->text[k];
		if (!any && i + 1 < p->n)
			text[len++] = '.';
	}
	return len;
}

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, in which wildcards take what they can stand for at no cost. One row at a time: row[k] is the
 * distance between the pattern so far and the first k characters of the name. */
static unsigned text_distance(const char *pattern, size_t npattern, const char *text, size_t ntext)
{
	unsigned row[DISTANCE_TEXT_MAX + 1], diagonal, above;

	for (size_t k = 0; k <= ntext; k++)
		row[k] = (unsigned)k;
	for (size_t i = 0; i < npattern; i++) {
		bool wild = pattern[i] == '*' || pattern[i] == ANY_LEVELS;

		diagonal = row[0];
		row[0] += !wild;
		for (size_t k = 1; k <= ntext; k++) {
			above = row[k];
			if (wild)
				row[k] = min(above, row[k - 1] + (pattern[i] == '*' && text[k - 1] == '.'));
			else
				row[k] = min(min(above, row[k - 1]) + 1, diagonal + (pattern[i] != text[k - 1]));
			diagonal = above;
		}
	}
	return row[ntext];
}

unsigned name_distance(const char *a, const char *b)
{
	return text_distance(a, strnlen(a, DISTANCE_TEXT_MAX), b, strnlen(b, DISTANCE_TEXT_MAX));
}

/* The length of the first n levels of a name, or of all of it. */
static size_t prefix_length(const char *text, size_t ntext, size_t n)
{
	size_t len = 0;

	while (len < ntext && (text[len] != '.' || --n > 0))
		len++;
	return len;
}

unsigned pattern_set__distance(const struct pattern_set *set, const char *module, const char *qualname)
{
	char text[DISTANCE_TEXT_MAX], pattern[DISTANCE_TEXT_MAX];
	unsigned nearest = UINT_MAX;
	size_t ntext, npattern;

	if (pattern_set__match(set, module, qualname))
		return 0;
	if (is_excluded(set, module, qualname))
		return UINT_MAX;
	for (size_t i = 0; i < set->n; i++) {
		const struct pattern *p = &set->items[i];

		if (p->exclude)
			continue;
		ntext = join_name(text, module, qualname, p->spells_locals);
		npattern = flatten(pattern, p);
		nearest = min(nearest, text_distance(pattern, npattern, text, ntext));
		/* A plain pattern may name the module or class that holds the function. */
		if (!p->wild)
			nearest =
				min(nearest, text_distance(pattern, npattern, text, prefix_length(text, ntext, p->n)));
	}
	/* It is no match, whatever the wildcards may have swallowed. */
	return nearest ? nearest : 1;
}
