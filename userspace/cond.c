/*
 * cond: what a parsed condition is used for: its variables, its form for the BPF programs, and its evaluation, with
 * Python's rules for what equals what and what is less. Parsing is in cond_parse.c.
 */
#include "cond.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cond_priv.h"
#include "value.h"

void cond__free(struct cond *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nnames; i++)
		free(c->names[i]);
	for (size_t i = 0; i < c->ntexts; i++)
		free(c->texts[i]);
	free(c->texts);
	free(c->names);
	free(c);
}

size_t cond__operands(const struct cond *c, const char *const **names)
{
	*names = (const char *const *)c->names;
	return c->nnames;
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

static void compile_constant(const struct cond_operand *o, struct wire_test *out)
{
	out->const_kind = (u8)o->kind;
	out->number = o->number;
	if (o->kind == WIRE_CONST_FLOAT) {
		memcpy(&out->number, &o->real, sizeof(out->number));
	} else if (o->kind == WIRE_CONST_STR) {
		if (o->len <= WIRE_TEST_BYTES && is_ascii(o->text, o->len)) {
			out->len = (u16)o->len;
			memcpy(out->text, o->text, o->len);
		} else {
			out->const_kind = WIRE_CONST_OTHER;
		}
	}
}

void cond__compile(const struct cond *c, const uint16_t *operands, struct wire_cond *out)
{
	*out = (struct wire_cond){ .nsteps = c->nsteps, .ntests = c->ntests };
	memcpy(out->steps, c->steps, c->nsteps);
	for (uint32_t i = 0; i < c->ntests; i++) {
		const struct cond_test *test = &c->tests[i];

		out->tests[i].op = (u8)test->op;
		out->tests[i].left = operands[test->left.name];
		if (test->op == WIRE_TEST_TRUE)
			continue;
		if (test->right.kind == WIRE_CONST_OPERAND)
			out->tests[i].right = operands[test->right.name];
		else
			compile_constant(&test->right, &out->tests[i]);
	}
}

/* The numbers: bool is one too. */
static bool is_number(const struct cond_operand *o)
{
	return o->kind == WIRE_CONST_BOOL || o->kind == WIRE_CONST_INT || o->kind == WIRE_CONST_FLOAT;
}

/* How an integer and a float stand to each other, exactly, as Python compares them; the float is a number. */
static int order_mixed(int64_t n, double real)
{
	const double limit = 9223372036854775808.0; /* 2**63 */
	double whole;

	if (real >= limit)
		return -1;
	if (real < -limit)
		return 1;
	whole = trunc(real);
	if (n != (int64_t)whole)
		return n < (int64_t)whole ? -1 : 1;
	return real > whole ? -1 : real < whole;
}

/* Less, equal, greater: -1, 0, 1. False: they have no order. */
static bool order(const struct cond_operand *a, const struct cond_operand *b, int *out)
{
	const bool a_real = a->kind == WIRE_CONST_FLOAT, b_real = b->kind == WIRE_CONST_FLOAT;

	if (a->kind == WIRE_CONST_STR && b->kind == WIRE_CONST_STR) {
		/* The order of UTF-8's bytes is that of the characters. */
		*out = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
		if (!*out)
			*out = (a->len > b->len) - (a->len < b->len);
		return true;
	}
	if (!is_number(a) || !is_number(b) || (a_real && isnan(a->real)) || (b_real && isnan(b->real)))
		return false;
	if (a_real && b_real)
		*out = (a->real > b->real) - (a->real < b->real);
	else if (a_real)
		*out = -order_mixed(b->number, a->real);
	else if (b_real)
		*out = order_mixed(a->number, b->real);
	else
		*out = (a->number > b->number) - (a->number < b->number);
	return true;
}

static bool equal(const struct cond_operand *a, const struct cond_operand *b)
{
	int sign;

	if (a->kind == WIRE_CONST_NONE || b->kind == WIRE_CONST_NONE)
		return a->kind == b->kind;
	return order(a, b, &sign) && !sign;
}

int cond_compare(enum wire_test_op op, const struct cond_operand *a, const struct cond_operand *b)
{
	int sign = 0;

	switch (op) {
	case WIRE_TEST_EQ:
		return equal(a, b);
	case WIRE_TEST_NE:
		return !equal(a, b);
	case WIRE_TEST_IS: /* of these there is one each: the parser allows no other constants */
		return a->kind == b->kind && a->number == b->number;
	case WIRE_TEST_IS_NOT:
		return a->kind != b->kind || a->number != b->number;
	case WIRE_TEST_LT:
		return order(a, b, &sign) && sign < 0;
	case WIRE_TEST_LE:
		return order(a, b, &sign) && sign <= 0;
	case WIRE_TEST_GT:
		return order(a, b, &sign) && sign > 0;
	case WIRE_TEST_GE:
		return order(a, b, &sign) && sign >= 0;
	default:
		return 0;
	}
}

bool cond_truth(const struct cond_operand *o)
{
	if (o->kind == WIRE_CONST_FLOAT)
		return o->real != 0;
	if (o->kind == WIRE_CONST_STR)
		return o->len > 0;
	return o->number != 0;
}

/* A value as a constant, which lives as long as the value. False: it is none that there are constants for. */
static bool as_constant(const struct value *v, struct cond_operand *out)
{
	*out = (struct cond_operand){ 0 };
	switch (value__class(v)) {
	case VALUE_NONE:
		out->kind = WIRE_CONST_NONE;
		return true;
	case VALUE_BOOL:
		out->kind = WIRE_CONST_BOOL;
		out->number = value__int(v);
		return true;
	case VALUE_INT:
		out->kind = WIRE_CONST_INT;
		out->number = value__int(v);
		return true;
	case VALUE_FLOAT:
		out->kind = WIRE_CONST_FLOAT;
		out->real = value__float(v);
		return true;
	case VALUE_STR:
		out->kind = WIRE_CONST_STR;
		out->text = (char *)value__str(v, &out->len); /* only read */
		return true;
	default:
		return false;
	}
}

static bool is_singleton(const struct cond_operand *o)
{
	return o->kind == WIRE_CONST_NONE || o->kind == WIRE_CONST_BOOL;
}

/* Objects that are equal may be one or two; those that differ in type or value are two. */
static int eval_is(const struct cond_operand *a, const struct cond_operand *b)
{
	if (is_singleton(a) || is_singleton(b))
		return cond_compare(WIRE_TEST_IS, a, b);
	return a->kind == b->kind && equal(a, b) ? -1 : 0;
}

/* One of them, `other`, is of a type that there are no constants for. */
static int eval_other(enum wire_test_op op, const struct value *other, bool known, const struct cond_operand *constant)
{
	bool negative = op == WIRE_TEST_IS_NOT || op == WIRE_TEST_NE;

	if (value__class(other) != VALUE_OTHER || !known)
		return -1;
	/* What is no None is not None; nor is it equal to it. */
	if (op == WIRE_TEST_IS || op == WIRE_TEST_IS_NOT)
		return is_singleton(constant) ? negative : -1;
	if (op == WIRE_TEST_EQ || op == WIRE_TEST_NE)
		return constant->kind == WIRE_CONST_NONE ? negative : -1;
	return -1;
}

static int eval_test(const struct cond_test *test, const struct value *const *values)
{
	const struct value *left = values[test->left.name], *right = NULL;
	struct cond_operand a, b = test->right;
	bool a_known, b_known = true;
	int is;

	if (test->op == WIRE_TEST_TRUE)
		return left ? value__truth(left) : 0;
	if (test->right.kind == WIRE_CONST_OPERAND)
		right = values[test->right.name];
	if (!left || (test->right.kind == WIRE_CONST_OPERAND && !right))
		return 0;
	a_known = as_constant(left, &a);
	if (right)
		b_known = as_constant(right, &b);
	if (!a_known)
		return eval_other(test->op, left, b_known, &b);
	if (!b_known)
		return eval_other(test->op, right, true, &a);
	if (test->op != WIRE_TEST_IS && test->op != WIRE_TEST_IS_NOT)
		return cond_compare(test->op, &a, &b);
	is = eval_is(&a, &b);
	return is < 0 || test->op == WIRE_TEST_IS ? is : !is;
}

/* Of three values, with -1 for what cannot be told. */
static int not3(int a)
{
	return a < 0 ? a : !a;
}

static int and3(int a, int b)
{
	if (!a || !b)
		return 0;
	return a < 0 || b < 0 ? -1 : 1;
}

int cond__eval(const struct cond *c, const struct value *const *values)
{
	int stack[WIRE_MAX_STEPS], top = -1;

	for (uint32_t i = 0; i < c->nsteps; i++) {
		switch (c->steps[i]) {
		case WIRE_STEP_NOT:
			stack[top] = not3(stack[top]);
			break;
		case WIRE_STEP_AND:
			top--;
			stack[top] = and3(stack[top], stack[top + 1]);
			break;
		case WIRE_STEP_OR:
			top--;
			stack[top] = not3(and3(not3(stack[top]), not3(stack[top + 1])));
			break;
		default:
			stack[++top] = eval_test(&c->tests[c->steps[i]], values);
		}
	}
	return stack[0];
}
