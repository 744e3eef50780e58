/*
 * limit: foreign code is run with a time limit.
 *
 * When the time is over, a second native thread sends an exception (LimitExceeded, a BaseException) into the calling thread, and again
 * every 50 ms for a second, then every second, until the code ends. It is raised between two bytecodes: code that waits in a C function
 * does not see it. Until the code ends the agent answers nothing; that it is stuck, and where, is written into
 * the ring's header (agent__stuck) for clients to tell.
 */
#ifndef PYLU_LIMIT_H
#define PYLU_LIMIT_H

#include <stdbool.h>

#include "py.h"

/* PyEval_EvalCode and PyObject_Call, for at most `ms` milliseconds. With the GIL held. A new reference, or NULL with an exception set: that of the code,
 * LimitExceeded, or RuntimeError where no thread could be started. Code that ends by itself after its time has ended well. Not nested. */
PyObject *limit__eval(PyObject *code, PyObject *globals, PyObject *locals, unsigned ms);
PyObject *limit__call(PyObject *callable, PyObject *args, PyObject *kwargs, unsigned ms);

/* Whether the exception that is set came from the limit. */
bool limit__was_exceeded(void);

#endif
