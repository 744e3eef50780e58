/*
 * cmd_run: starts a program with the agent in it, and in the Python programs that it starts, by preloading the
 * library. Nothing of pylu-cli is left in it: it becomes the program.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "agent_file.h"
#include "diag.h"
#include "elf.h"
#include "opt.h"
#include "program.h"

#define SCRIPTS_MAX 4

struct config {
	const char *agent, *log;
};

static const struct opt opts[] = {
	{ 0, "log", "FILE", "the agents append a line to it for each request", OPT_STRING,
	  offsetof(struct config, log) },
	{ 0, "agent", "PATH", "the agent's library (default: PYLU_AGENT, or beside pylu-cli)", OPT_STRING,
	  offsetof(struct config, agent) },
	{ 0 },
};

/* The file that a command's name means, by PATH. */
static bool find_file(const char *name, char out[PATH_MAX])
{
	const char *path = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return snprintf(out, PATH_MAX, "%s", name) < PATH_MAX && !access(out, X_OK);
	for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		if (snprintf(out, PATH_MAX, "%.*s/%s", (int)(end - path), path, name) < PATH_MAX && !access(out, X_OK))
			return true;
	}
	return false;
}

/* A script's interpreter takes the script's place in `file`; "env NAME" is followed by PATH. False: it is no script. */
static bool follow_script(char file[PATH_MAX])
{
	char line[512] = "", *word, *next, *rest;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);

	if (fd >= 0)
		close(fd);
	if (n < 3 || strncmp(line, "#!", 2))
		return false;
	line[strcspn(line, "\n")] = '\0';
	word = strtok_r(line + 2, " \t", &rest);
	next = strtok_r(NULL, " \t", &rest);
	if (!word)
		return false;
	if (next && strlen(word) > 4 && !strcmp(word + strlen(word) - 4, "/env"))
		return find_file(next, file);
	snprintf(file, PATH_MAX, "%s", word);
	return true;
}

/* Why the loader will not preload anything into this executable; NULL when it will. */
static const char *why_not(const char *file)
{
	struct elf_file *elf;
	struct elf_section s;
	bool dynamic = false;
	struct stat st;

	if (stat(file, &st))
		return NULL;
	if ((st.st_mode & S_ISUID && st.st_uid != getuid()) || (st.st_mode & S_ISGID && st.st_gid != getgid()))
		return "runs under another user's or group's id";
	if (getuid() && getxattr(file, "security.capability", NULL, 0) > 0)
		return "gets capabilities of its own";
	if (elf_file__probe(file, &elf))
		return NULL;
	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		dynamic |= !elf_file__section(elf, i, &s) && !strcmp(s.name, ".interp");
	dynamic |= !elf_file__section_count(elf);
	elf_file__close(elf);
	return dynamic ? NULL : "is linked statically";
}

/* LD_PRELOAD, with ours in front of what is there. */
static int preload(const char *agent)
{
	const char *before = getenv("LD_PRELOAD");
	char *all = NULL;
	int err = 0;

	/* ld.so(8): there is no way to write these. */
	if (strpbrk(agent, " :"))
		return diag_error(
			-EINVAL,
			"the agent's library cannot be preloaded from %s: blanks and colons separate names there",
			agent);
	if (asprintf(&all, "%s%s%s", agent, before && *before ? ":" : "", before ? before : "") < 0 ||
	    setenv("LD_PRELOAD", all, 1))
		err = diag_error(-ENOMEM, "no memory for the environment");
	free(all);
	return err;
}

/* Absolute: programs change their folder. */
static int set_log(const char *log)
{
	char folder[PATH_MAX], path[2 * PATH_MAX];

	if (*log == '/')
		snprintf(path, sizeof(path), "%s", log);
	else if (getcwd(folder, sizeof(folder)))
		snprintf(path, sizeof(path), "%s/%s", folder, log);
	else
		return diag_error(-errno, "the current folder cannot be told: %s", strerror(errno));
	return setenv("PYLU_AGENT_LOG", path, 1) ? diag_error(-ENOMEM, "no memory for the environment") : 0;
}

static int start(const struct config *config, char **command)
{
	char agent[PATH_MAX], file[PATH_MAX], program[PATH_MAX];
	const char *why;
	int err;

	if (!find_file(command[0], file)) {
		diag_error(-ENOENT, "there is no command '%s'", command[0]);
		return 127;
	}
	strcpy(program, file);
	for (int i = 0; i < SCRIPTS_MAX && follow_script(program); i++)
		;
	why = why_not(program);
	if (why)
		return diag_exit_status(
			diag_error(-DIAG_UNSUPPORTED, "%s %s: nothing can be preloaded into it", program, why));
	err = agent_file__find(config->agent, agent);
	if (!err)
		err = preload(agent);
	if (!err && config->log)
		err = set_log(config->log);
	if (err)
		return program_failed(err);
	execv(file, command);
	diag_error(-errno, "'%s' cannot be run: %s", command[0], strerror(errno));
	return 126;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (first == argc)
		return opt__usage(cmd, "which command? give it behind --");
	return start(&config, argv + first);
}

const struct command cmd_run = {
	.name = "run",
	.usage = "run [OPTIONS] -- COMMAND [ARGUMENT...]",
	.summary = "start a program with the agent in it",
	.notes = "Python programs that it starts get an agent, too, unless they are started with an emptied "
		 "environment, run under "
		 "another\nuser's id, or are linked statically. Other programs are not changed. The exit status is the "
		 "command's; 126 or 127 "
		 "when it\ncannot be run.",
	.opts = opts,
	.run = run,
};
