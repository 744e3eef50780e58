/*
 * count: how often the functions of a patch are called and raise. The new code holds two functions of ours (blob.h: "call", "error")
 * that count; they live as long as that code, which running frames may keep after the patch has gone.
 */
#ifndef PYLU_COUNT_H
#define PYLU_COUNT_H

#include "msg.h"
#include "py.h"

#define COUNT_EXCEPT_MAX 16

struct counter;

/* For a patch, with PREPARE's EXCEPT and ERRORS_MAX. NULL: no memory. One owner; to be dropped. */
struct counter *count__new(const struct msg_in *request);
/* No GIL needed. NULL is fine. */
void count__drop(struct counter *c);
/* New references to the two functions; NULL with an exception. */
PyObject *count__call_function(struct counter *c);
PyObject *count__error_function(struct counter *c);
uint64_t count__calls(const struct counter *c);
uint64_t count__errors(const struct counter *c);
/* Any thread, no GIL needed. */
uint64_t count__errors_max(const struct counter *c); /* 0: none */
/* Whether they were too many. */
bool count__is_over(const struct counter *c);

#endif
