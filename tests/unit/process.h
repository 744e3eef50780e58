/*
 * process: a target of the unit tests: a script that says what it knows of itself, a line each, fields between tabs, and ends
 * when its input does.
 */
#ifndef PYLU_TESTS_PROCESS_H
#define PYLU_TESTS_PROCESS_H

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "interpreters.h"

struct process {
	pid_t pid;
	int in;	   /* closing it ends the process */
	FILE *out; /* what it says */
};

/* Starts a script of tests/targets with an interpreter. 0 or a negative errno. */
static inline int process_start(const char *python, const char *script, struct process *p)
{
	const char *argv[INTERPRETERS_ARGS + 2] = { NULL };
	char path[512];
	int in[2], out[2];

	snprintf(path, sizeof(path), PYLU_SOURCE_DIR "/tests/targets/%s", script);
	argv[interpreters_command(python, argv)] = path;
	if (pipe(in) || pipe(out))
		return -errno;
	p->pid = fork();
	if (!p->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[0]), close(in[1]), close(out[0]), close(out[1]);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	p->in = in[1];
	p->out = fdopen(out[0], "r");
	return p->pid < 0 || !p->out ? -ECHILD : 0;
}

/* It must end well. */
static inline void process_stop(struct process *p)
{
	char rest[4096];
	int status;

	close(p->in);
	/* To its end: else it would die of what it still has to say. */
	while (fread(rest, 1, sizeof(rest), p->out) > 0)
		;
	fclose(p->out);
	CHECK(waitpid(p->pid, &status, 0) == p->pid && WIFEXITED(status) && !WEXITSTATUS(status));
}

/* Splits a line at its tabs, into at most `most` fields, and takes the escapes back. */
static inline size_t process_split(char *line, char **fields, size_t most)
{
	size_t n = 0;
	char *to = line;

	line[strcspn(line, "\n")] = 0;
	fields[n++] = line;
	for (char *c = line; *c; c++) {
		if (*c == '\t' && n < most) {
			*to++ = 0;
			fields[n++] = to;
		} else if (*c == '\\' && c[1]) {
			c++;
			*to++ = *c == 't' ? '\t' : *c == 'n' ? '\n' : *c;
		} else {
			*to++ = *c;
		}
	}
	*to = 0;
	return n;
}

#endif
