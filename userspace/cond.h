/*
 * cond: conditions on variables, as a user writes them: a part of Python's expressions.
 *
 *   n > 10 and user.name == "x"      0 < i <= 9      not (done or retries)      error is not None
 *
 * Comparisons (== != < <= > >= is, is not; also chained), and, or, not, brackets; names, dotted names, and the constants
 * None, True, False, integers of 64 bits, floats, strings. A variable alone is taken for its truth. Compiled for the BPF
 * programs, which decide what they can, and evaluated here for the rest. It calls nothing in a process: what a class makes
 * of `==` is not known.
 *
 * Where it differs from Python: a comparison with a variable that does not exist, or has no value now, is false, and so is
 * one of a number with a string by `<`. Where Python raises, that is.
 */
#ifndef PYLU_COND_H
#define PYLU_COND_H

#include <stddef.h>
#include <stdint.h>

struct cond;
struct value;
struct wire_cond;

/* 0; -ENOMEM, or -DIAG_USAGE that was reported, with a mark below the place. */
int cond__parse(const char *text, struct cond **out);
void cond__free(struct cond *c);

/* The variables in it, each once; they live as long as the condition. An attribute's name fits into wire_operand. */
size_t cond__operands(const struct cond *c, const char *const **names);

/* operands[i]: the index of the wire_operand that stands for the i-th name. */
void cond__compile(const struct cond *c, const uint16_t *operands, struct wire_cond *out);

/* values[i]: of the i-th name; NULL: it does not exist or has no value now. 1 it holds, 0 it does not, -1 it cannot be
 * told. */
int cond__eval(const struct cond *c, const struct value *const *values);

#endif
