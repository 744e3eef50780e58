/* cond_priv: what cond.c, cond_parse.c and cond_lex.c share. */
#ifndef PYLU_COND_PRIV_H
#define PYLU_COND_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "skel.h"

/* A side of a comparison. */
struct cond_operand {
	enum wire_const_kind kind; /* WIRE_CONST_OPERAND: the variable of names[name] */
	uint16_t name;
	int64_t number; /* BOOL, INT */
	double real;	/* FLOAT */
	char *text;	/* STR; UTF-8 */
	size_t len;
};

struct cond_test {
	struct cond_operand left, right; /* the left one is a variable */
	enum wire_test_op op;
};

struct cond {
	char **names; /* owned */
	size_t nnames;
	char **texts; /* owned: those of all constants that were read */
	size_t ntexts;
	struct cond_test tests[WIRE_MAX_TESTS];
	uint32_t ntests;
	uint8_t steps[WIRE_MAX_STEPS]; /* as in wire_cond */
	uint32_t nsteps;
};

/* For two constants: 1, 0. Where Python raises TypeError, 0. */
int cond_compare(enum wire_test_op op, const struct cond_operand *a, const struct cond_operand *b);

/* Whether a constant counts as true. */
bool cond_truth(const struct cond_operand *o);

enum cond_token_kind {
	TOKEN_END,
	TOKEN_NAME,  /* dotted too */
	TOKEN_CONST, /* the value is in `constant` */
	TOKEN_COMPARE,
	TOKEN_IS,
	TOKEN_AND,
	TOKEN_OR,
	TOKEN_NOT,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_SIGN, /* + or - */
};

struct cond_token {
	enum cond_token_kind kind;
	const char *at; /* into the text */
	size_t len;
	enum wire_test_op op;	      /* COMPARE */
	struct cond_operand constant; /* CONST; its text is the taker's */
};

/* Reads the token at or behind `s`. 0; -ENOMEM, or -DIAG_USAGE that was reported. */
int cond_lex(const char *text, const char *s, struct cond_token *token);

/* Reports what is wrong at a place in the text; always -DIAG_USAGE. */
int cond_error(const char *text, const char *at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
