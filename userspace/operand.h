/* operand: a variable by its name in a function, in the form that the BPF programs read. */
#ifndef PYLU_OPERAND_H
#define PYLU_OPERAND_H

#include <stdbool.h>

struct pycode;
struct redact;
struct wire_operand;

/* `name` as a user writes it: "a", "self.x". What is none of the code's variables is a global. False when the name is too
 * long, or has too many parts. */
bool operand_fill(const struct pycode *code, const struct redact *redact, const char *name, struct wire_operand *out);

#endif
