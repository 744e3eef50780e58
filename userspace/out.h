/*
 * out: the output formats, one file each (out_<name>.c), found by name or by a file's ending. Formats read a profile
 * and write to a stream; they know nothing of sessions or of each other.
 */
#ifndef PYLU_OUT_H
#define PYLU_OUT_H

#include <stdbool.h>
#include <stdio.h>

struct profile;

struct out_options {
	bool color; /* ANSI colours (text only) */
};

struct out_format {
	const char *name;    /* for -f: "text", "json", "folded", "svg" */
	const char *summary; /* one line for --help */
	/* 0, or -errno (not reported) when the stream fails. */
	int (*write)(const struct profile *p, FILE *f, const struct out_options *opts);
};

extern const struct out_format out_text, out_json, out_folded, out_svg;

/* NULL-terminated list of all formats. */
extern const struct out_format *const out_formats[];

/* By name; NULL when there is none. */
const struct out_format *out__find(const char *name);

/* By a path's ending (.txt, .json, .folded, .svg); NULL when it has no ending that we know. */
const struct out_format *out__for_path(const char *path);

#endif
