/*
 * golden: what is written, held against the files of tests/golden. With PYLU_UPDATE_GOLDEN=1 they are written anew.
 */
#ifndef PYLU_TESTS_GOLDEN_H
#define PYLU_TESTS_GOLDEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define GOLDEN PYLU_SOURCE_DIR "/tests/golden/"

/* The whole of a text file, or NULL; free it. */
static inline char *golden_read(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!f)
		return NULL;
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

/* `name`: of the file, its ending included. */
static inline void golden_check(const char *name, const char *got)
{
	char path[512], *want;

	snprintf(path, sizeof(path), GOLDEN "%s", name);
	if (getenv("PYLU_UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "w");

		if (CHECK(f != NULL) && f) {
			fputs(got, f);
			CHECK_EQ(fclose(f), 0);
		}
		return;
	}
	want = golden_read(path);
	if (!CHECK(want && !strcmp(got, want))) {
		size_t line = 1;

		for (size_t i = 0; want && got[i] && got[i] == want[i]; i++)
			line += got[i] == '\n';
		fprintf(stderr, "%s differs in line %zu from what is written now:\n%s", path, line, got);
	}
	free(want);
}

#endif
