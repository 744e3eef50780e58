/*
 * pattern: which functions a user means. See docs/patterns.md for the user's view.
 *
 * A function's name is its module (the `__name__` of its globals) and its qualified name. In a pattern `*` matches one
 * name (or, inside a name, any run of characters but a dot), `**` any number of levels, also none. A pattern without
 * wildcards that names a module or a class means all that is in it; one that names a function means that function, not
 * the functions nested in it. `<locals>` levels in a qualified name are skipped unless the pattern spells them.
 * A leading `!` excludes. A function matches when some pattern matches and no excluding one does; with excluding
 * patterns only, everything else matches.
 */
#ifndef PYLU_PATTERN_H
#define PYLU_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

struct pattern_set;

/* 0, or -DIAG_USAGE that was reported (empty, empty level, `***`, characters that no name can have ...), -ENOMEM. */
int pattern_set__parse(const char *const *patterns, size_t n, struct pattern_set **out);
void pattern_set__free(struct pattern_set *set);

bool pattern_set__match(const struct pattern_set *set, const char *module, const char *qualname);

/* How near `module.qualname` is to what the patterns name: 0 for a match, else an edit distance that ignores wildcards;
 * for "did you mean". UINT_MAX for what a pattern excludes. */
unsigned pattern_set__distance(const struct pattern_set *set, const char *module, const char *qualname);

/* How many characters have to be changed to make one name of another. */
unsigned name_distance(const char *a, const char *b);

#endif
