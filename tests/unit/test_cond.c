/*
 * Conditions: what is accepted, what is refused and where, the compiled form, and what holds for which values. Values are
 * the test's own here. With --eval it evaluates what cond_oracle.py gives it, which knows from Python what is right.
 */
#include <stdlib.h>

#include "check.h"
#include "cond.h"
#include "diag.h"
#include "skel.h"
#include "value.h"

#define MAX_NAMES 256
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct value {
	enum value_class class;
	int64_t number;
	double real;
	const char *text;
	size_t len;
	int truth;
};

enum value_class value__class(const struct value *v)
{
	return v->class;
}

int64_t value__int(const struct value *v)
{
	return v->number;
}

double value__float(const struct value *v)
{
	return v->real;
}

const char *value__str(const struct value *v, size_t *len)
{
	*len = v->len;
	return v->text;
}

int value__truth(const struct value *v)
{
	return v->truth;
}

/* The messages of a parse, in lines. */
static char messages[4096];

static void collect(enum diag_level level, const char *message, void *ctx)
{
	size_t used = strlen(messages);

	(void)level, (void)ctx;
	snprintf(messages + used, sizeof(messages) - used, "%s\n", message);
}

static struct cond *parse(const char *text)
{
	struct cond *c = NULL;

	messages[0] = '\0';
	CHECK_EQ(cond__parse(text, &c), 0);
	CHECK_STR_EQ(messages, "");
	if (!c)
		abort();
	return c;
}

/* The compiled form as text: `op left right` for each test, `& | !` for the steps between. */
static void check_compiled(const char *text, const char *want)
{
	static const char *const ops[] = { "==", "!=", "<", "<=", ">", ">=", "is", "is-not", "true" };
	struct cond *c = parse(text);
	const char *const *names;
	uint16_t operands[MAX_NAMES];
	struct wire_cond wire;
	char got[1024] = "";
	size_t n = cond__operands(c, &names);

	for (size_t i = 0; i < n; i++)
		operands[i] = (uint16_t)(100 + i);
	cond__compile(c, operands, &wire);
	for (uint32_t i = 0; i < wire.nsteps; i++) {
		char *end = got + strlen(got);
		size_t room = sizeof(got) - strlen(got);
		const struct wire_test *test;
		double real;

		if (wire.steps[i] >= WIRE_STEP_AND) {
			snprintf(end, room, "%c ", "&|!"[wire.steps[i] - WIRE_STEP_AND]);
			continue;
		}
		CHECK(wire.steps[i] < wire.ntests);
		test = &wire.tests[wire.steps[i]];
		memcpy(&real, &test->number, sizeof(real));
		snprintf(end, room, "[%s %u", ops[test->op], test->left);
		end = got + strlen(got);
		room = sizeof(got) - strlen(got);
		if (test->op == WIRE_TEST_TRUE)
			snprintf(end, room, "] ");
		else if (test->const_kind == WIRE_CONST_OPERAND)
			snprintf(end, room, " %u] ", test->right);
		else if (test->const_kind == WIRE_CONST_NONE)
			snprintf(end, room, " None] ");
		else if (test->const_kind == WIRE_CONST_BOOL)
			snprintf(end, room, " bool %lld] ", (long long)test->number);
		else if (test->const_kind == WIRE_CONST_INT)
			snprintf(end, room, " %lld] ", (long long)test->number);
		else if (test->const_kind == WIRE_CONST_FLOAT)
			snprintf(end, room, " float %g] ", real);
		else if (test->const_kind == WIRE_CONST_STR)
			snprintf(end, room, " '%.*s'] ", test->len, test->text);
		else
			snprintf(end, room, " other] ");
	}
	CHECK_STR_EQ(got, want);
	cond__free(c);
}

static void test_compile(void)
{
	check_compiled("n", "[true 100] ");
	check_compiled("n > 10 and user == \"x\"", "[> 100 10] [== 101 'x'] & ");
	check_compiled("not a or b and c", "[true 100] ! [true 101] [true 102] & | ");
	check_compiled("not (a or b) and c", "[true 100] [true 101] | ! [true 102] & ");
	check_compiled("not not a", "[true 100] ");
	check_compiled("not a == b", "[== 100 101] ! ");
	check_compiled("1 < n <= m != 3", "[> 100 1] [<= 100 101] & [!= 101 3] & ");
	check_compiled("None is not self.x.y", "[is-not 100 None] ");
	check_compiled("(a) == ((b))", "[== 100 101] ");
	check_compiled("a is a", "[is 100 100] ");
	check_compiled("a == -0x_fF and a == - 1_000 and a != 0b101 and a != 0o17 and a != 00",
		       "[== 100 -255] [== 100 -1000] & [!= 100 5] & [!= 100 15] & [!= 100 0] & ");
	check_compiled("a == 9223372036854775807 or a == -9223372036854775808",
		       "[== 100 9223372036854775807] [== 100 -9223372036854775808] | ");
	check_compiled("a < 1.5 or a < .5e1 or a < -1e-3 or a < 2. or a < 1_0.0_1",
		       "[< 100 float 1.5] [< 100 float 5] | [< 100 float -0.001] | [< 100 float 2] | "
		       "[< 100 float 10.01] | ");
	check_compiled("a is True or a == False", "[is 100 bool 1] [== 100 bool 0] | ");
	/* What is decided by constants is decided at once. */
	check_compiled("a and 1 < 2", "[true 100] ");
	check_compiled("0 or 'x' and a or not 3 == 3.0", "[true 100] ");
	check_compiled("(a or True) and (b and '' or c)", "[true 102] ");
	/* What the kernel's programs do not compare. */
	check_compiled("a == '0123456789abcdef0123456789abcdef'", "[== 100 '0123456789abcdef0123456789abcdef'] ");
	check_compiled("a == '0123456789abcdef0123456789abcdef0'", "[== 100 other] ");
	check_compiled("a == 'caf\xc3\xa9'", "[== 100 other] ");
	check_compiled("a == '\\x41\\u0042\\U00000043\\104\\'\\\"\\q\\\n'", "[== 100 'ABCD'\"\\q'] ");
}

static void check_refused(const char *text, const char *want)
{
	struct cond *c = NULL;

	messages[0] = '\0';
	CHECK_EQ(cond__parse(text, &c), -DIAG_USAGE);
	CHECK(c == NULL);
	if (!CHECK(strstr(messages, want)))
		fprintf(stderr, "'%s': '%s' is not in:\n%s", text, want, messages);
}

static void test_refused(void)
{
	check_refused("", "it is empty\n  \n  ^\n");
	check_refused("n > ", "at character 5: it ends too early\n  n > \n      ^\n");
	check_refused("n > 10 )", "character 8: 'and', 'or' or a comparison belongs here\n  n > 10 )\n         ^\n");
	check_refused("(n > 10 ", "character 1: this bracket is not closed\n  (n > 10 \n  ^\n");
	check_refused("(n > 10 n)", "character 9: 'and', 'or', ')' or a comparison belongs here\n");
	check_refused("n = 3", "character 3: '=' assigns; equality is '=='");
	check_refused("a && b", "the words for this are 'and', 'or' and 'not'");
	check_refused("a in b", "character 3: 'in' cannot be used here");
	check_refused("a not in b", "character 3: 'and', 'or' or a comparison belongs here");
	check_refused("len(a) > 3", "character 4: nothing can be called");
	check_refused("a + 1 > 3", "character 3: nothing is calculated");
	check_refused("a[0]", "items of a container cannot be looked at");
	check_refused("a == -b", "a sign belongs to a number");
	check_refused("(a < b) == c", "character 1: only variables and constants can be compared");
	check_refused("a == (b and c)", "character 6: only variables and constants can be compared");
	check_refused("a is 3", "character 6: 'is' asks for the same object; equality is '=='");
	check_refused("a == 9223372036854775808", "more than 64 bits");
	check_refused("a == 0x1ffffffffffffffff", "more than 64 bits");
	check_refused("a == 012", "does not begin with 0");
	check_refused("a == 1__0", "this is no number");
	check_refused("a == 1j", "this is no number");
	check_refused("a == 0x", "this is no number");
	check_refused("a == 'x", "the string does not end");
	check_refused("a == 'x\\", "the string does not end");
	check_refused("a == '\\ud800'", "this is no character");
	check_refused("a == '\\x4'", "this is no character");
	check_refused("a == b'x'", "a string has no prefix");
	check_refused("a == 'x' 'y'", "belongs here");
	check_refused("a.b.c.d.e", "more than 3 dots");
	check_refused("a..b", "an attribute's name belongs here");
	check_refused("a.b234567890123456789012345678901234567890123456789", "47 bytes at most");
	check_refused("not 1 == 2", "it is always true");
	check_refused("n and 0", "it is always false");
	check_refused("\xe7\x95\xaa == ", "character 6: it ends too early\n  \xe7\x95\xaa == \n        ^\n");
	check_refused("a == \033[2J", "  a == \\x1b[2J\n       ^\n");
}

/* `unit` n times, with `between` between them, in a buffer of its own. */
static const char *repeated(const char *before, const char *unit, const char *between, int n, const char *behind)
{
	static char text[1 << 16];
	char *to = text + sprintf(text, "%s", before);

	for (int i = 0; i < n; i++)
		to += sprintf(to, "%s%s", i ? between : "", unit);
	sprintf(to, "%s", behind);
	return text;
}

static void test_limits(void)
{
	const char *const *names;
	struct cond *c;

	cond__free(parse(repeated("", "a", " and ", WIRE_MAX_TESTS, "")));
	check_refused(repeated("", "a", " and ", WIRE_MAX_TESTS + 1, ""), "more than 16 comparisons");
	cond__free(parse(repeated("", "not (not a and not b)", " or ", WIRE_MAX_TESTS / 2, "")));
	check_refused(repeated("", "a", " and ", 5000, ""), "the condition is too long");
	check_refused(repeated("", "'x'", " or ", 5000, ""), "the condition is too long");
	check_refused(repeated("", "(", "", 60000, ""), "too many brackets");
	cond__free(parse(repeated("", "not ", "", 10000, "a")));
	/* What constants decide costs nothing. */
	c = parse(repeated("", "1 < 2", " and ", 20, " and a.b == 1 and a.b == 2 and a"));
	CHECK_EQ(cond__operands(c, &names), 2);
	CHECK_STR_EQ(names[0], "a.b");
	CHECK_STR_EQ(names[1], "a");
	cond__free(c);
}

/* What cond_oracle.py does not do: values of which something is not known. */
static void test_unknown(void)
{
	static const struct value unknown = { .class = VALUE_UNKNOWN, .truth = -1 };
	static const struct value list = { .class = VALUE_OTHER, .truth = 1 };
	static const struct value none = { .class = VALUE_NONE };
	static const struct value one = { .class = VALUE_INT, .number = 1, .truth = 1 };
	static const struct {
		const char *text;
		const struct value *a, *b;
		int want;
	} cases[] = {
		{ "a", &unknown, NULL, -1 },
		{ "a == 1", &unknown, NULL, -1 },
		{ "a is None", &unknown, NULL, -1 },
		{ "not a", &unknown, NULL, -1 },
		{ "a and b", &unknown, &one, -1 },
		{ "a and b", &unknown, &none, 0 },
		{ "b and a", &unknown, &none, 0 },
		{ "a or b", &unknown, &one, 1 },
		{ "a or b", &unknown, &none, -1 },
		{ "a or b", &unknown, NULL, -1 },
		{ "a", &list, NULL, 1 },
		{ "a == 1", &list, NULL, -1 }, /* its class may have an opinion */
		{ "a < 1", &list, NULL, -1 },
		{ "1 != a", &list, NULL, -1 },
		{ "a is None", &list, NULL, 0 },
		{ "a is not None", &list, NULL, 1 },
		{ "a == None", &list, NULL, 0 },
		{ "b != a", &list, &none, 1 },
		{ "a is b", &list, &list, -1 },
		{ "a is b", &list, &one, -1 },
		{ "a is b", &list, &unknown, -1 },
		{ "a == b", &unknown, NULL, 0 }, /* it does not exist */
		{ "a is b", &one, &one, -1 },	 /* equal ones may be two */
		{ "a is not b", &one, &none, 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cond *c = parse(cases[i].text);
		const char *const *names;
		const struct value *values[2];
		size_t n = cond__operands(c, &names);

		for (size_t k = 0; k < n; k++)
			values[k] = *names[k] == 'a' ? cases[i].a : cases[i].b;
		if (!CHECK(cond__eval(c, values) == cases[i].want))
			fprintf(stderr, "%s (case %zu): %d\n", cases[i].text, i, cond__eval(c, values));
		cond__free(c);
	}
}

/* A value as cond_oracle.py writes one: its class and what is in it. */
static void read_value(const char *kind, const char *text, struct value *v)
{
	static char decoded[64][256];
	static size_t next;
	char *to = decoded[next++ % 64];

	*v = (struct value){ .class = VALUE_NONE };
	if (*kind == 'b')
		*v = (struct value){ .class = VALUE_BOOL, .number = atoi(text), .truth = atoi(text) };
	if (*kind == 'i')
		*v = (struct value){ .class = VALUE_INT, .number = strtoll(text, NULL, 10) };
	if (*kind == 'f')
		*v = (struct value){ .class = VALUE_FLOAT, .real = strtod(text, NULL) };
	if (*kind == 's') {
		*v = (struct value){ .class = VALUE_STR, .text = to, .len = strlen(text) / 2 };
		for (size_t i = 0; i < v->len && i < sizeof(decoded[0]); i++) {
			unsigned int byte = 0;

			sscanf(text + 2 * i, "%2x", &byte);
			to[i] = (char)byte;
		}
	}
	v->truth = v->number || v->real != 0 || v->len;
}

/* Lines: `x CONDITION` after the variables that it is evaluated with, `v NAME KIND TEXT`. Answers with a line each: 1, 0,
 * -1, or E: refused. */
static int eval_stdin(void)
{
	static struct value known[64];
	static char known_names[64][64];
	char *line = NULL, kind[8], text[600];
	size_t size = 0, nknown = 0;

	while (getline(&line, &size, stdin) > 0) {
		const struct value *values[MAX_NAMES] = { 0 };
		const char *const *names;
		struct cond *c;

		line[strcspn(line, "\n")] = '\0';
		if (*line == 'v' && nknown < ARRAY_SIZE(known)) {
			*text = '\0';
			if (sscanf(line, "v %63s %7s %599s", known_names[nknown], kind, text) < 2)
				return 1;
			read_value(kind, text, &known[nknown++]);
			continue;
		}
		if (cond__parse(line + 2, &c)) {
			puts("E");
			nknown = 0;
			continue;
		}
		for (size_t i = 0, n = cond__operands(c, &names); i < n; i++)
			for (size_t k = 0; k < nknown; k++)
				if (!strcmp(names[i], known_names[k]))
					values[i] = &known[k];
		printf("%d\n", cond__eval(c, values));
		cond__free(c);
		nknown = 0;
	}
	free(line);
	return 0;
}

int main(int argc, char **argv)
{
	diag_set_callback(collect, NULL);
	if (argc > 1 && !strcmp(argv[1], "--eval"))
		return eval_stdin();
	test_compile();
	test_refused();
	test_limits();
	test_unknown();
	return check_done();
}
