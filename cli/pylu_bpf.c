/* pylu-bpf: the table of commands. Everything else is in cmd_<name>.c and in the library. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "opt.h"

static const struct command *const commands[] = { &cmd_profile, &cmd_trace, &cmd_line,	 &cmd_debug, &cmd_var,
						  &cmd_ps,	&cmd_funcs, &cmd_doctor, NULL };

static void help(FILE *f)
{
	fputs("Usage: pylu-bpf COMMAND [OPTIONS] ...\n\n"
	      "Looks at running Python processes from outside. Nothing of pylu-bpf runs in them and it writes nothing "
	      "to them.\n\n",
	      f);
	for (int i = 0; commands[i]; i++)
		fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs("\n'pylu-bpf COMMAND --help' tells more; 'pylu-bpf --version' the version.\n"
	      "Exit status: 0 done, 1 failed, 2 usage, 3 not supported here, 4 not permitted.\n",
	      f);
}

static void print(enum diag_level level, const char *message, void *ctx)
{
	static const char *const colors[] = { "\033[31m", "\033[33m", "", "\033[2m" };
	const bool *color = ctx;

	if (level == DIAG_LEVEL_DEBUG && !getenv("PYLU_DEBUG"))
		return;
	fprintf(stderr, "%spylu-bpf: %s%s%s\n", *color ? colors[level] : "",
		level == DIAG_LEVEL_WARN ? "warning: " : "", message, *color ? "\033[0m" : "");
}

int main(int argc, char **argv)
{
	static bool color;

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
		puts("pylu-bpf " PYLU_VERSION);
		return 0;
	}
	for (int i = 0; commands[i]; i++)
		if (!strcmp(argv[1], commands[i]->name))
			return commands[i]->run(commands[i], argc - 1, argv + 1);
	fprintf(stderr, "pylu-bpf: unknown command '%s'\nTry 'pylu-bpf --help'.\n", argv[1]);
	return 2;
}
