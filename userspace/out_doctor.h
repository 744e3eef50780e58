/*
 * out_doctor: the output formats of `pylu-bpf doctor`, one file each (out_doctor_<name>.c), and the sentence at the end,
 * which they share. They read what feature found out and write to a stream.
 */
#ifndef PYLU_OUT_DOCTOR_H
#define PYLU_OUT_DOCTOR_H

#include <stddef.h>
#include <stdio.h>

#include "out.h"

struct feature_host;
struct feature_target;

struct doctor {
	const struct feature_host *host;
	struct feature_target *const *targets;
	size_t ntargets;
};

struct doctor_format {
	const char *name; /* for -f */
	/* 0, or -errno (not reported) when the stream fails. */
	int (*write)(const struct doctor *d, FILE *f, const struct out_options *opts);
};

extern const struct doctor_format out_doctor_text, out_doctor_json;

/* NULL-terminated. */
extern const struct doctor_format *const out_doctor_formats[];

/* By name, NULL when there is none; with NULL the first. */
const struct doctor_format *out_doctor__find(const char *name);

/* What works, in a sentence. */
void doctor__summary(const struct doctor *d, char *buf, size_t size);

/* 0 when the host and every target can be profiled, else the code that weighs most (diag_exit_status). */
int doctor__code(const struct doctor *d);

#endif
