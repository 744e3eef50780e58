/* program: see program.h. */
#include "program.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "opt.h"

static const struct program *self;

const char *program_name(void)
{
	return self ? self->name : "pylu";
}

static void help(FILE *f)
{
	fprintf(f, "Usage: %s COMMAND [OPTIONS] ...\n\n%s\n\n", self->name, self->intro);
	for (int i = 0; self->commands[i]; i++)
		fprintf(f, "  %-10s %s\n", self->commands[i]->name, self->commands[i]->summary);
	fprintf(f,
		"\n'%s COMMAND --help' tells more; '%s --version' the version.\n"
		"Exit status: 0 done, 1 failed, 2 usage, 3 not supported here, 4 not permitted.\n",
		self->name, self->name);
}

static void print(enum diag_level level, const char *message, void *ctx)
{
	static const char *const colors[] = { "\033[31m", "\033[33m", "", "\033[2m" };
	const bool *color = ctx;

	if (level == DIAG_LEVEL_DEBUG && !getenv("PYLU_DEBUG"))
		return;
	fprintf(stderr, "%s%s: %s%s%s\n", *color ? colors[level] : "", self->name,
		level == DIAG_LEVEL_WARN ? "warning: " : "", message, *color ? "\033[0m" : "");
}

const char *program_remedy(int err)
{
	const char *remedy = self->remedy ? self->remedy(err) : NULL;

	return remedy ? remedy : diag_remedy(err);
}

int program_failed(int err)
{
	const char *remedy = program_remedy(err);

	if (err && remedy[0])
		fprintf(stderr, "%s: %s\n", self->name, remedy);
	return diag_exit_status(err);
}

int program__main(const struct program *program, int argc, char **argv)
{
	static bool color;

	self = program;
	color = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
	diag_set_callback(print, &color);
	if (argc < 2) {
		help(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("%s %s\n", self->name, PYLU_VERSION);
		return 0;
	}
	for (int i = 0; self->commands[i]; i++)
		if (!strcmp(argv[1], self->commands[i]->name))
			return self->commands[i]->run(self->commands[i], argc - 1, argv + 1);
	fprintf(stderr, "%s: unknown command '%s'\nTry '%s --help'.\n", self->name, argv[1], self->name);
	return 2;
}
