/*
 * cond_parse: makes a condition of its text: a tree by recursive descent, then the tests in postfix order. What depends on
 * no variable is decided here.
 *
 *   or_test:    and_test ("or" and_test)*
 *   and_test:   not_test ("and" not_test)*
 *   not_test:   "not" not_test | comparison
 *   comparison: operand (operator operand)*
 *   operand:    NAME | ("+"|"-")* NUMBER | CONSTANT | "(" or_test ")"
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cond.h"
#include "cond_priv.h"
#include "diag.h"

#define MAX_DEPTH 50  /* of brackets */
#define MAX_NODES 256 /* of the tree; the limits for what is left of it are the kernel's */

enum node_kind {
	NODE_CONST, /* it holds or not, whatever the variables are */
	NODE_TEST,
	NODE_NOT,
	NODE_AND,
	NODE_OR,
};

struct node {
	enum node_kind kind;
	bool holds;
	int left, right; /* nodes; NOT has a left one only */
	struct cond_test test;
	const char *at;
};

/* What was parsed: an operand by itself, until it is known whether it is compared with another; or a node. */
struct part {
	bool is_operand;
	struct cond_operand operand;
	int node;
	const char *at;
};

struct parser {
	const char *text;
	struct cond *cond;
	struct cond_token token; /* the next one */
	struct node nodes[MAX_NODES];
	int nnodes, depth;
};

/* Makes room for one more text in a list, and adds it; takes it over, also on failure. */
static int add_text(struct parser *p, char ***list, size_t *n, char *text)
{
	char **bigger;

	/* Each has a place in the tree, or soon will: their number is bounded as that of the nodes is. */
	if (*n == MAX_NODES) {
		free(text);
		return cond_error(p->text, p->token.at, "the condition is too long");
	}
	bigger = text ? reallocarray(*list, *n + 1, sizeof(*bigger)) : NULL;
	if (!bigger) {
		free(text);
		return diag_error(-ENOMEM, "no memory for a condition");
	}
	*list = bigger;
	bigger[(*n)++] = text;
	return 0;
}

static int advance(struct parser *p)
{
	int err = cond_lex(p->text, p->token.at + p->token.len, &p->token);

	if (!err && p->token.constant.text)
		err = add_text(p, &p->cond->texts, &p->cond->ntexts, p->token.constant.text);
	return err;
}

static int new_node(struct parser *p, enum node_kind kind, const char *at, int *out)
{
	if (p->nnodes == MAX_NODES)
		return cond_error(p->text, at, "the condition is too long");
	*out = p->nnodes++;
	p->nodes[*out] = (struct node){ .kind = kind, .at = at };
	return 0;
}

static int new_const(struct parser *p, bool holds, const char *at, int *out)
{
	int err = new_node(p, NODE_CONST, at, out);

	if (!err)
		p->nodes[*out].holds = holds;
	return err;
}

/* A constant goes to the right. */
static int new_test(struct parser *p, enum wire_test_op op, const struct cond_operand *a, const struct cond_operand *b,
		    const char *at, int *out)
{
	static const enum wire_test_op mirrored[] = {
		[WIRE_TEST_EQ] = WIRE_TEST_EQ, [WIRE_TEST_NE] = WIRE_TEST_NE,	      [WIRE_TEST_LT] = WIRE_TEST_GT,
		[WIRE_TEST_LE] = WIRE_TEST_GE, [WIRE_TEST_GT] = WIRE_TEST_LT,	      [WIRE_TEST_GE] = WIRE_TEST_LE,
		[WIRE_TEST_IS] = WIRE_TEST_IS, [WIRE_TEST_IS_NOT] = WIRE_TEST_IS_NOT,
	};
	int err;

	if (a->kind != WIRE_CONST_OPERAND && b->kind != WIRE_CONST_OPERAND)
		return new_const(p, cond_compare(op, a, b), at, out);
	err = new_node(p, NODE_TEST, at, out);
	if (err)
		return err;
	p->nodes[*out].test = a->kind == WIRE_CONST_OPERAND ? (struct cond_test){ *a, *b, op }
							    : (struct cond_test){ *b, *a, mirrored[op] };
	return 0;
}

/* An operand that is compared with nothing is taken for its truth. */
static int to_node(struct parser *p, struct part *part)
{
	int err;

	if (!part->is_operand)
		return 0;
	part->is_operand = false;
	if (part->operand.kind == WIRE_CONST_OPERAND) {
		err = new_node(p, NODE_TEST, part->at, &part->node);
		if (!err)
			p->nodes[part->node].test = (struct cond_test){ .left = part->operand, .op = WIRE_TEST_TRUE };
		return err;
	}
	return new_const(p, cond_truth(&part->operand), part->at, &part->node);
}

static int negate(struct parser *p, struct part *part, const char *at)
{
	struct node *node;
	int err = to_node(p, part), inner = part->node;

	if (err)
		return err;
	node = &p->nodes[inner];
	if (node->kind == NODE_CONST) {
		node->holds = !node->holds;
	} else if (node->kind == NODE_NOT) {
		part->node = node->left;
	} else {
		err = new_node(p, NODE_NOT, at, &part->node);
		if (!err)
			p->nodes[part->node].left = inner;
	}
	return err;
}

/* `left` becomes the whole. */
static int join(struct parser *p, enum node_kind kind, struct part *left, struct part *right, const char *at)
{
	int err = to_node(p, left), node = 0;

	if (!err)
		err = to_node(p, right);
	if (err)
		return err;
	for (int i = 0; i < 2; i++) {
		const struct node *one = &p->nodes[i ? right->node : left->node];

		if (one->kind != NODE_CONST)
			continue;
		/* False decides `and`, true decides `or`; else the other one does. */
		if (one->holds == (kind == NODE_AND))
			left->node = i ? left->node : right->node;
		else
			left->node = i ? right->node : left->node;
		return 0;
	}
	err = new_node(p, kind, at, &node);
	if (err)
		return err;
	p->nodes[node].left = left->node;
	p->nodes[node].right = right->node;
	left->node = node;
	return 0;
}

/* The index of a name among those of the condition. */
static int intern(struct parser *p, const struct cond_token *t, uint16_t *index)
{
	struct cond *c = p->cond;

	for (*index = 0; *index < c->nnames; ++*index)
		if (strlen(c->names[*index]) == t->len && !memcmp(c->names[*index], t->at, t->len))
			return 0;
	return add_text(p, &c->names, &c->nnames, strndup(t->at, t->len));
}

static int parse_or(struct parser *p, struct part *out);

/* What does not go on after an operand. */
static int unexpected(struct parser *p, const char *also)
{
	if (p->token.kind == TOKEN_OPEN)
		return cond_error(p->text, p->token.at, "nothing can be called");
	if (p->token.kind == TOKEN_SIGN)
		return cond_error(p->text, p->token.at, "nothing is calculated");
	return cond_error(p->text, p->token.at, "'and', 'or'%s or a comparison belongs here", also);
}

static int parse_brackets(struct parser *p, struct part *out)
{
	const char *open = p->token.at;
	int err;

	if (p->depth == MAX_DEPTH)
		return cond_error(p->text, open, "too many brackets in brackets");
	p->depth++;
	err = advance(p);
	if (!err)
		err = parse_or(p, out);
	p->depth--;
	if (err)
		return err;
	if (p->token.kind == TOKEN_END)
		return cond_error(p->text, open, "this bracket is not closed");
	if (p->token.kind != TOKEN_CLOSE)
		return unexpected(p, ", ')'");
	out->at = open;
	return advance(p);
}

static int parse_number(struct parser *p, struct cond_operand *out)
{
	const char *at = p->token.at;
	bool negative = false;
	int err;

	while (p->token.kind == TOKEN_SIGN) {
		negative ^= *p->token.at == '-';
		err = advance(p);
		if (err)
			return err;
	}
	*out = p->token.constant;
	if (p->token.kind != TOKEN_CONST || (out->kind != WIRE_CONST_INT && out->kind != WIRE_CONST_FLOAT))
		return cond_error(p->text, at, "a sign belongs to a number; nothing is calculated");
	/* What the lexer read as 2**63 is its own negative. */
	if (out->kind == WIRE_CONST_INT && !negative && out->number == INT64_MIN)
		return cond_error(p->text, at, "integers of more than 64 bits cannot be compared");
	if (negative) {
		out->number = (int64_t) - (uint64_t)out->number;
		out->real = -out->real;
	}
	return advance(p);
}

static int parse_operand(struct parser *p, struct part *out)
{
	*out = (struct part){ .is_operand = true, .at = p->token.at };
	switch (p->token.kind) {
	case TOKEN_OPEN:
		return parse_brackets(p, out);
	case TOKEN_NAME:
		out->operand.kind = WIRE_CONST_OPERAND;
		return intern(p, &p->token, &out->operand.name) ?: advance(p);
	case TOKEN_CONST:
		if (p->token.constant.kind == WIRE_CONST_INT || p->token.constant.kind == WIRE_CONST_FLOAT)
			return parse_number(p, &out->operand);
		out->operand = p->token.constant;
		return advance(p);
	case TOKEN_SIGN:
		return parse_number(p, &out->operand);
	case TOKEN_END:
		return cond_error(p->text, p->token.at, p->token.at == p->text ? "it is empty" : "it ends too early");
	default:
		return cond_error(p->text, p->token.at, "a variable or a constant belongs here");
	}
}

/* Reads an operator, if one is next. */
static int parse_operator(struct parser *p, bool *is, enum wire_test_op *op)
{
	int err;

	*is = p->token.kind == TOKEN_COMPARE || p->token.kind == TOKEN_IS;
	*op = p->token.op;
	if (!*is)
		return 0;
	if (p->token.kind != TOKEN_IS)
		return advance(p);
	*op = WIRE_TEST_IS;
	err = advance(p);
	if (err || p->token.kind != TOKEN_NOT)
		return err;
	*op = WIRE_TEST_IS_NOT;
	return advance(p);
}

/* What can be compared, and by which operator. */
static int check_side(struct parser *p, const struct part *side, enum wire_test_op op)
{
	if (!side->is_operand)
		return cond_error(p->text, side->at, "only variables and constants can be compared");
	if ((op == WIRE_TEST_IS || op == WIRE_TEST_IS_NOT) &&
	    (side->operand.kind == WIRE_CONST_INT || side->operand.kind == WIRE_CONST_FLOAT ||
	     side->operand.kind == WIRE_CONST_STR))
		return cond_error(p->text, side->at, "'is' asks for the same object; equality is '=='");
	return 0;
}

/* a < b < c: a < b and b < c. `left` becomes the whole. */
static int parse_comparisons(struct parser *p, struct part *left)
{
	struct part whole, test, right;
	enum wire_test_op op;
	bool any = false, is;
	const char *at;
	int err;

	for (;; *left = right, any = true) {
		at = p->token.at;
		err = parse_operator(p, &is, &op);
		if (err || !is)
			break;
		test = (struct part){ .at = at };
		err = check_side(p, left, op) ?: parse_operand(p, &right) ?: check_side(p, &right, op) ?:
		      new_test(p, op, &left->operand, &right.operand, at, &test.node);
		if (!err && any)
			err = join(p, NODE_AND, &whole, &test, at);
		else
			whole = test;
		if (err)
			break;
	}
	if (any)
		*left = whole;
	return err;
}

static int parse_not(struct parser *p, struct part *out)
{
	const char *at = p->token.at;
	bool negative = false;
	int err = 0;

	for (; !err && p->token.kind == TOKEN_NOT; negative = !negative)
		err = advance(p);
	/* Even twice it is no operand any more. */
	at = at == p->token.at ? NULL : at;
	if (!err)
		err = parse_operand(p, out);
	if (!err)
		err = parse_comparisons(p, out);
	if (!err && at)
		err = negative ? negate(p, out, at) : to_node(p, out);
	return err;
}

static int parse_and(struct parser *p, struct part *out)
{
	struct part right;
	const char *at;
	int err = parse_not(p, out);

	while (!err && p->token.kind == TOKEN_AND) {
		at = p->token.at;
		err = to_node(p, out) ?: advance(p) ?: parse_not(p, &right) ?: join(p, NODE_AND, out, &right, at);
	}
	return err;
}

static int parse_or(struct parser *p, struct part *out)
{
	struct part right;
	const char *at;
	int err = parse_and(p, out);

	while (!err && p->token.kind == TOKEN_OR) {
		at = p->token.at;
		err = to_node(p, out) ?: advance(p) ?: parse_and(p, &right) ?: join(p, NODE_OR, out, &right, at);
	}
	return err;
}

/* Writes a node and what is below it in postfix order, and gives its tests to the condition. */
static int emit(struct parser *p, int index)
{
	static const uint8_t steps[] = {
		[NODE_NOT] = WIRE_STEP_NOT, [NODE_AND] = WIRE_STEP_AND, [NODE_OR] = WIRE_STEP_OR
	};
	struct node *node = &p->nodes[index];
	struct cond *c = p->cond;
	uint8_t step;
	int err = 0;

	if (node->kind == NODE_TEST) {
		if (c->ntests == WIRE_MAX_TESTS)
			return cond_error(p->text, node->at, "more than %d comparisons", WIRE_MAX_TESTS);
		step = (uint8_t)c->ntests;
		c->tests[c->ntests++] = node->test;
	} else {
		err = emit(p, node->left);
		if (!err && node->kind != NODE_NOT)
			err = emit(p, node->right);
		step = steps[node->kind];
	}
	if (err)
		return err;
	if (c->nsteps == WIRE_MAX_STEPS)
		return cond_error(p->text, node->at, "the condition is too long");
	c->steps[c->nsteps++] = step;
	return 0;
}

static int parse_whole(struct parser *p)
{
	struct part part = { 0 };
	int err = advance(p) ?: parse_or(p, &part);

	if (!err && p->token.kind != TOKEN_END)
		return unexpected(p, "");
	if (!err)
		err = to_node(p, &part);
	if (!err && p->nodes[part.node].kind == NODE_CONST)
		err = cond_error(p->text, p->text, "it is always %s, whatever the variables are",
				 p->nodes[part.node].holds ? "true" : "false");
	return err ?: emit(p, part.node);
}

int cond__parse(const char *text, struct cond **out)
{
	struct parser *p = calloc(1, sizeof(*p));
	struct cond *c = calloc(1, sizeof(*c));
	int err = -ENOMEM;

	if (p && c) {
		p->text = p->token.at = text;
		p->cond = c;
		err = parse_whole(p);
	} else {
		diag_error(err, "no memory for a condition");
	}
	free(p);
	if (err)
		cond__free(c);
	else
		*out = c;
	return err;
}
