/* code: new code objects from old ones by co_consts and names: placeholders filled in, a nested code exchanged. It sets no function's code. */
#ifndef PYLU_CODE_H
#define PYLU_CODE_H

#include "py.h"

/* All return a new reference, or NULL with an exception, and leave the code that they are given alone. */

/* With its placeholders (blob.h) replaced by what the dict has for them, also in nested ones. */
PyObject *code__fill(PyObject *code, PyObject *values);
/* With `was`, a code object somewhere among the constants, replaced by `now`. */
PyObject *code__exchange(PyObject *code, PyObject *was, PyObject *now);
/* A gate for a function with the code `of`: the names, free variables and kind are that one's. It uses none of them. */
PyObject *code__gate_for(PyObject *gate, PyObject *of);

/* Puts what a placeholder, named without its mark, stands for. 0, or -1 with an exception. */
int code__put_mark(PyObject *values, const char *mark, PyObject *value);
/* Puts what the placeholders "name:NAME:N" of a code and of those inside it stand for: the value that `names` has. 0, or -1 with an exception. */
int code__put_names(PyObject *code, PyObject *names, PyObject *values);

#endif
