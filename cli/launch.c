/* launch: see launch.h. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "target.h"

struct launch {
	pid_t pid;
	int gate; /* written to when the child may go */
	bool gone;
	char *exe, *interpreter, *text;
};

/* The file that a command name means, by PATH; malloc'ed, or NULL. */
static char *find_file(const char *name)
{
	const char *path = getenv("PATH"), *end;
	char file[4096];

	if (strchr(name, '/'))
		return access(name, X_OK) ? NULL : strdup(name);
	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		snprintf(file, sizeof(file), "%.*s/%s", (int)(end - path), path, name);
		if (!access(file, X_OK))
			return strdup(file);
	}
	return NULL;
}

/* Our own end of the gate is closed in the child: else it would wait for itself when we give up. */
static void run_child(char **command, const char *file, const int gate[2])
{
	char c;

	signal(SIGPIPE, SIG_DFL);
	close(gate[1]);
	if (read(gate[0], &c, 1) != 1)
		_exit(125);
	execv(file, command);
	fprintf(stderr, "pylu-bpf: cannot run %s: %s\n", command[0], strerror(errno));
	_exit(127);
}

static char *join(char **words)
{
	size_t size = 1;
	char *text;

	for (int i = 0; words[i]; i++)
		size += strlen(words[i]) + 1;
	text = calloc(1, size);
	for (int i = 0; text && words[i]; i++) {
		strcat(text, words[i]);
		if (words[i + 1])
			strcat(text, " ");
	}
	return text;
}

int launch__prepare(char **command, struct launch **out)
{
	struct launch *l = calloc(1, sizeof(*l));
	int gate[2], err = 0;

	if (!l)
		return diag_error(-ENOMEM, "out of memory");
	l->pid = -1;
	l->gate = -1;
	l->exe = find_file(command[0]);
	l->text = join(command);
	if (!l->exe)
		err = diag_error(-ENOENT, "no command '%s'", command[0]);
	else if (target_find_interpreter(l->exe, &l->interpreter))
		err = diag_error(
			-DIAG_NOT_PYTHON,
			"it cannot be told which Python '%s' will run; name the interpreter, or start it and use -p",
			command[0]);
	else if (pipe2(gate, O_CLOEXEC))
		err = diag_error(-errno, "cannot start '%s': %s", command[0], strerror(errno));
	if (err) {
		launch__free(l);
		return err;
	}
	l->gate = gate[1];
	l->pid = fork();
	if (l->pid == 0)
		run_child(command, l->exe, gate);
	close(gate[0]);
	if (l->pid < 0) {
		err = diag_error(-errno, "cannot start '%s': %s", command[0], strerror(errno));
		launch__free(l);
		return err;
	}
	*out = l;
	return 0;
}

pid_t launch__pid(const struct launch *l)
{
	return l->pid;
}

const char *launch__exe(const struct launch *l)
{
	return l->exe;
}

const char *launch__interpreter(const struct launch *l)
{
	return l->interpreter;
}

const char *launch__text(const struct launch *l)
{
	return l->text;
}

int launch__go(struct launch *l)
{
	if (write(l->gate, "g", 1) != 1)
		return diag_error(-errno, "cannot start '%s': %s", l->text, strerror(errno));
	l->gone = true;
	return 0;
}

void launch__free(struct launch *l)
{
	if (!l)
		return;
	if (l->gate >= 0)
		close(l->gate); /* a child that waits ends */
	if (l->pid > 0)
		waitpid(l->pid, NULL, l->gone ? WNOHANG : 0);
	free(l->exe);
	free(l->interpreter);
	free(l->text);
	free(l);
}
