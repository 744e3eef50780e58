/*
 * interpreters: finds the Python interpreters of this machine for the tests that use what they find: pyenv's (from
 * PYENV_ROOT, else asked of pyenv) and the distribution's.
 */
#ifndef PYLU_TESTS_INTERPRETERS_H
#define PYLU_TESTS_INTERPRETERS_H

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Adds what pyenv's versions hold under `tail`, a glob below each version's folder. */
static inline void interpreters_add_pyenv(glob_t *found, const char *tail)
{
	char root[4096] = "", pattern[5000];
	const char *env = getenv("PYENV_ROOT");
	FILE *f;

	if (env) {
		snprintf(root, sizeof(root), "%s", env);
	} else if ((f = popen("pyenv root 2>/dev/null", "r"))) {
		if (!fgets(root, sizeof(root), f))
			root[0] = '\0';
		pclose(f);
		root[strcspn(root, "\n")] = '\0';
	}
	if (!root[0])
		return;
	snprintf(pattern, sizeof(pattern), "%s/versions/*/%s", root, tail);
	glob(pattern, found->gl_pathc ? GLOB_APPEND : 0, NULL, found);
}

/* The executables; python3.8 to python3.99. Free with globfree. */
static inline void interpreters_find(glob_t *found)
{
	memset(found, 0, sizeof(*found));
	interpreters_add_pyenv(found, "bin/python3.[89]");
	interpreters_add_pyenv(found, "bin/python3.[1-9][0-9]");
	glob("/usr/bin/python3.[89]", found->gl_pathc ? GLOB_APPEND : 0, NULL, found);
	glob("/usr/bin/python3.[1-9][0-9]", found->gl_pathc ? GLOB_APPEND : 0, NULL, found);
}

/* The files that may hold an interpreter: shared libraries and executables. */
static inline void interpreters_find_files(glob_t *found)
{
	interpreters_find(found);
	interpreters_add_pyenv(found, "lib/libpython3.[0-9]*.so.1.0");
}

#endif
