/* pattern: the examples of docs/patterns.md, what is refused, the edges of matching, and the distance. */
#include "diag.h"
#include "pattern.h"
#include "check.h"

#include <limits.h>

static char last_message[1024];

static void remember(enum diag_level level, const char *message, void *ctx)
{
	(void)level;
	(void)ctx;
	snprintf(last_message, sizeof(last_message), "%s", message);
}

/* A set from patterns separated by blanks; `<` to `>` may hold blanks. */
static struct pattern_set *parse(const char *patterns)
{
	char text[512], *words[16];
	struct pattern_set *set = NULL;
	size_t n = 0;
	bool blank = true, inside = false;

	snprintf(text, sizeof(text), "%s", patterns);
	for (char *s = text; *s && n < 16; s++) {
		inside = *s == '<' || (inside && *s != '>');
		if (*s == ' ' && !inside) {
			*s = '\0';
			blank = true;
		} else if (blank) {
			words[n++] = s;
			blank = false;
		}
	}
	if (!CHECK_EQ(pattern_set__parse((const char *const *)words, n, &set), 0))
		fprintf(stderr, "'%s': %s\n", patterns, last_message);
	return set;
}

static void expect(const char *patterns, const char *module, const char *qualname, bool want)
{
	struct pattern_set *set = parse(patterns);

	if (!set)
		return;
	if (!CHECK(pattern_set__match(set, module, qualname) == want))
		fprintf(stderr, "'%s' and %s %s: not %s\n", patterns, module, qualname, want ? "yes" : "no");
	CHECK((pattern_set__distance(set, module, qualname) == 0) == want);
	pattern_set__free(set);
}

/* The next text between backticks in a row of a table, cut out of it. */
static char *next_quoted(char **row)
{
	char *start = strchr(*row, '`'), *end = start ? strchr(start + 1, '`') : NULL;

	if (!end)
		return NULL;
	*end = '\0';
	*row = end + 1;
	return start + 1;
}

static void test_documented(void)
{
	FILE *f = fopen(PYLU_SOURCE_DIR "/docs/patterns.md", "r");
	char line[512], *row, *cells[3];
	bool examples = false;
	unsigned rows = 0;

	if (!CHECK(f))
		return;
	while (fgets(line, sizeof(line), f)) {
		examples |= strcmp(line, "## Examples\n") == 0;
		row = line;
		if (!examples || line[0] != '|' || !(cells[0] = next_quoted(&row)))
			continue;
		cells[1] = next_quoted(&row);
		cells[2] = next_quoted(&row);
		if (!CHECK(cells[1] && cells[2] && (strstr(row, "| yes |") || strstr(row, "| no |"))))
			continue;
		expect(cells[0], cells[1], cells[2], strstr(row, "| yes |") != NULL);
		rows++;
	}
	fclose(f);
	CHECK(rows >= 30);
}

static void refuse(const char *pattern, const char *words)
{
	struct pattern_set *set;

	last_message[0] = '\0';
	if (!CHECK_EQ(pattern_set__parse(&pattern, 1, &set), -DIAG_USAGE))
		fprintf(stderr, "'%s'\n", pattern);
	CHECK(set == NULL);
	if (!CHECK(strstr(last_message, words)))
		fprintf(stderr, "'%s' is not in '%s'\n", words, last_message);
}

static void test_refusals(void)
{
	refuse("", "is empty");
	refuse("!", "is empty");
	refuse("a..b", "empty");
	refuse(".a", "empty");
	refuse("a.", "empty");
	refuse(".", "empty");
	refuse("***", "of its own");
	refuse("a.***.b", "of its own");
	refuse("a**", "of its own");
	refuse("a.b**c", "of its own");
	refuse("*", "'*.**'");
	refuse("view*", "'view*.**' or '**.view*'");
	refuse("!test_*", "can match no function");
	refuse("a.b?", "only wildcards");
	refuse("a.[bc]", "only wildcards");
	refuse("a:b", "a dot between levels");
	refuse("a/b.py", "not its file's");
	refuse("a.b()", "without brackets");
	refuse("a.!b", "in front");
	refuse("a b", "wrong character ' '");
	refuse("<a> b", "wrong character ' '");
	refuse("a.b,c.d", "wrong character ','");
	refuse("a.b\n", "wrong character");
}

static void test_matching(void)
{
	/* Backtracking: the first place where a wildcard could stop is not the right one. */
	expect("a.**.b.**.c", "a.b.x", "b.y.c", true);
	expect("a.**.b.c", "a.b.b", "b.c", true);
	expect("a.**.b.c", "a.b.b", "b.d", false);
	expect("m.*ab*ab", "m", "xabyabzab", true);
	expect("m.*ab*ab", "m", "xabyabzaba", false);
	expect("m.a*", "m", "a", true);
	expect("**.**", "m", "f", true);
	expect("**.**.**.f", "m", "f", true);
	expect("*.*.*", "m", "f", false);
	/* The boundary between module and qualified name is no more than a dot. */
	expect("a.b.c", "a.b", "c", true);
	expect("a.b.c", "a", "b.c", true);
	expect("a.*", "a.b", "c", false);
	/* Classes inside functions, functions inside methods. */
	expect("m.f", "m", "f.<locals>.C.g", false);
	expect("m.f.C", "m", "f.<locals>.C.g", true);
	expect("m.C.g", "m", "C.g.<locals>.h", false);
	expect("m.C", "m", "C.g.<locals>.h", true);
	expect("m.f.<locals>", "m", "f.<locals>.g", true);
	expect("m.f.<locals>.g", "m", "f.<locals>.g.<locals>.h", false);
	expect("m.*.<locals>.*", "m", "f.<locals>.g", true);
	expect("m.*.<locals>.*", "m", "f.g", false);
	expect("m.**.<locals>.**", "m", "f.<locals>.g.<locals>.h", true);
	expect("m.f.g.h", "m", "f.<locals>.g.<locals>.h", true);
	/* Names as CPython and users make them. */
	expect("m.<generic parameters of f>.f", "m", "<generic parameters of f>.f", true);
	expect("m.<*>", "m", "<lambda>", true);
	expect("my-script.f", "my-script", "f", true);
	expect("m.größe", "m", "größe", true);
	expect("m.gr*e", "m", "größe", true);
	/* What a damaged target may show. */
	expect("m.f", "", "", false);
	expect("**", "", "", true);
	expect("m.f", "m", "", false);
	expect("m", "m", "", true);
	expect("m.f", "m", "f.", true);
	expect("m.f", "m", "..f", false);
	expect("**", "m", "<locals>", true);
	/* Only exclusions, and exclusion against a nearer inclusion. */
	expect("!a !b", "c", "f", true);
	expect("!a !b", "b", "f", false);
	expect("a.b.c !a.**", "a.b", "c", false);
}

static void test_deep_names(void)
{
	static char name[8192];
	const char *whole = name;
	struct pattern_set *set = parse("**.a.a.z m.a*");

	for (size_t i = 0; i + 3 < sizeof(name); i += 2)
		memcpy(name + i, "a.", 3);
	if (!set)
		return;
	CHECK(!pattern_set__match(set, "m", name));
	CHECK(pattern_set__distance(set, "m", name) > 0);
	CHECK(!pattern_set__match(set, name, name));
	pattern_set__free(set);
	/* As long a pattern: it matches its name, and the distance looks at the beginnings only. */
	name[sizeof(name) - 2] = 'z';
	if (!CHECK_EQ(pattern_set__parse(&whole, 1, &set), 0))
		return;
	CHECK(pattern_set__match(set, NULL, name + 2) == false);
	CHECK(pattern_set__distance(set, "m", "f") > 100);
	CHECK(pattern_set__distance(set, name, "f") > 0);
	pattern_set__free(set);
}

static unsigned distance(const char *patterns, const char *module, const char *qualname)
{
	struct pattern_set *set = parse(patterns);
	unsigned d = set ? pattern_set__distance(set, module, qualname) : 0;

	pattern_set__free(set);
	return d;
}

static void test_distance(void)
{
	CHECK_EQ(distance("__main__.bar", "__main__", "bar"), 0);
	CHECK_EQ(distance("__main__.baz", "__main__", "bar"), 1);
	CHECK_EQ(distance("__main__.ba", "__main__", "bar"), 1);
	CHECK_EQ(distance("main.bar", "__main__", "bar"), 4);
	CHECK_EQ(distance("shp.*", "shop", "pay"), 1);
	CHECK_EQ(distance("shp.**", "shop.cart", "Cart.add"), 1);
	CHECK_EQ(distance("shp", "shop.cart", "Cart.add"), 1);
	CHECK_EQ(distance("shop.**.ad", "shop", "add"), 1);
	CHECK_EQ(distance("**.gett", "m.n", "get"), 1);
	CHECK_EQ(distance("m.f", "m", "f.<locals>.g"), 1); /* as near as can be, and no match */
	CHECK_EQ(distance("m.f.g", "m", "f.<locals>.h"), 1);
	CHECK_EQ(distance("zzz a.c", "a", "b"), 1);
	CHECK_EQ(distance("a.* !a.b", "a", "b"), UINT_MAX);
	CHECK_EQ(distance("!a", "a", "b"), UINT_MAX);
	CHECK(distance("__main__.bar", "__main__", "completely_different") > 10);
}

int main(void)
{
	diag_set_callback(remember, NULL);
	test_documented();
	test_refusals();
	test_matching();
	test_deep_names();
	test_distance();
	return check_done();
}
