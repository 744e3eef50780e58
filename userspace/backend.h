/*
 * backend: the ways to see Python calls, as data. Which of them fits a build is found out by site.c; how its probes are
 * read is the business of the BPF programs.
 */
#ifndef PYLU_BACKEND_H
#define PYLU_BACKEND_H

#include <stddef.h>

struct backend {
	const char *name;
	const char *why;     /* it is used where it fits */
	const char *why_not; /* it is not used where it does not fit */
};

/* Ends with a NULL name. */
extern const struct backend backends[];

/* By name; NULL when there is none. */
const struct backend *backend__find(const char *name);

/* The name of the i-th, NULL behind the last. */
const char *backend__name(size_t i);

#endif
