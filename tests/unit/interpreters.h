/*
 * interpreters: finds the Python interpreters of this machine for the tests that use what they find: pyenv's (from
 * PYENV_ROOT, else asked of pyenv), the distribution's, and those of tests/interpreters that pylu-bpf supports.
 */
#ifndef PYLU_TESTS_INTERPRETERS_H
#define PYLU_TESTS_INTERPRETERS_H

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERPRETERS_TESTS PYLU_SOURCE_DIR "/tests"
#define INTERPRETERS_MAX 64
#define INTERPRETERS_ARGS 3 /* the most words of a command, without what the caller adds */

/* A line of tests/interpreters --list. */
struct interpreters_row {
	char path[1024], root[1024], inside[1024];
};

/* Those that can be started and that pylu-bpf supports; how many there are. Asked once. */
static inline size_t interpreters_provided(const struct interpreters_row **out)
{
	static struct interpreters_row rows[INTERPRETERS_MAX];
	static size_t n;
	static int asked;
	char line[8192], build[128], support[16];
	FILE *f = asked++ ? NULL : popen(INTERPRETERS_TESTS "/interpreters --list", "r");

	while (f && n < INTERPRETERS_MAX && fgets(line, sizeof(line), f)) {
		/* PATH ROOT INSIDE VERSION FROM BUILD SUPPORT */
		int fields = sscanf(line, "%1023[^\t]\t%1023[^\t]\t%1023[^\t]\t%*[^\t]\t%*[^\t]\t%127[^\t]\t%15s",
				    rows[n].path, rows[n].root, rows[n].inside, build, support);

#ifdef __SANITIZE_ADDRESS__
		/* Other builds of the same versions would take minutes, and no new ways through our code. */
		if (fields == 5 && strcmp(build, "as shipped"))
			continue;
#endif
		n += fields == 5 && !strcmp(support, "yes");
	}
	if (f)
		pclose(f);
	*out = rows;
	return n;
}

/* How an interpreter that was found is started: the first words of argv; how many. */
static inline size_t interpreters_command(const char *path, const char *argv[INTERPRETERS_ARGS])
{
	const struct interpreters_row *rows;
	size_t n = interpreters_provided(&rows);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(rows[i].path, path) || !strcmp(rows[i].root, "/"))
			continue;
		argv[0] = INTERPRETERS_TESTS "/in-root";
		argv[1] = rows[i].root;
		argv[2] = rows[i].inside;
		return 3;
	}
	argv[0] = path;
	return 1;
}

static inline void interpreters_add(glob_t *found, const char *pattern)
{
	glob(pattern, found->gl_pathc ? GLOB_APPEND : 0, NULL, found);
}

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
	interpreters_add(found, pattern);
}

/* The executables, of Python 3.8 or later, as this host sees them; interpreters_command() tells how they are started.
 * Free with globfree. */
static inline void interpreters_find(glob_t *found)
{
	const struct interpreters_row *rows;
	size_t n = interpreters_provided(&rows);

	memset(found, 0, sizeof(*found));
	interpreters_add_pyenv(found, "bin/python3.[89]");
	interpreters_add_pyenv(found, "bin/python3.[1-9][0-9]");
	interpreters_add(found, "/usr/bin/python3.[89]");
	interpreters_add(found, "/usr/bin/python3.[1-9][0-9]");
	interpreters_add(found, "/usr/bin/python3.[1-9][0-9]-dbg");
	for (size_t i = 0; i < n; i++)
		interpreters_add(found, rows[i].path);
}

/* The files that may hold an interpreter: shared libraries and executables. */
static inline void interpreters_find_files(glob_t *found)
{
	const struct interpreters_row *rows;
	size_t n = interpreters_provided(&rows);
	char pattern[1100];

	interpreters_find(found);
	interpreters_add_pyenv(found, "lib/libpython3.[0-9]*.so.1.0");
	for (size_t i = 0; i < n; i++) {
		/* A root's rows follow upon each other. */
		if (i && !strcmp(rows[i].root, rows[i - 1].root))
			continue;
		snprintf(pattern, sizeof(pattern), "%s/usr/lib/x86_64-linux-gnu/libpython3.*[0-9].so.1.0",
			 rows[i].root);
		interpreters_add(found, pattern);
	}
}

#endif
