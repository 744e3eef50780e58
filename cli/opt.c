/* opt: see opt.h. */
#include "opt.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTS 24

int opt__usage(const struct command *cmd, const char *fmt, ...)
{
	va_list args;

	fputs("pylu-bpf: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry 'pylu-bpf %s --help'.\n", cmd->name);
	return 2;
}

static void help(const struct command *cmd)
{
	printf("Usage: pylu-bpf %s\n\n%s\n\n", cmd->usage, cmd->summary);
	for (const struct opt *o = cmd->opts; o->name; o++) {
		char left[64];

		if (o->letter)
			snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name, o->arg ? " " : "",
				 o->arg ? o->arg : "");
		else
			snprintf(left, sizeof(left), "    --%s%s%s", o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		printf("  %-26s %s\n", left, o->help);
	}
	printf("  %-26s %s\n", "-h, --help", "show this and exit");
	if (cmd->notes)
		printf("\n%s\n", cmd->notes);
}

static int set_pids(struct opt_pids *pids, const char *arg)
{
	char *end;

	do {
		long pid = strtol(arg, &end, 10);

		if (end == arg || (*end && *end != ',') || pid <= 0 || pid > 4194304 || pids->n == OPT_MAX_PIDS)
			return -1;
		pids->pids[pids->n++] = (pid_t)pid;
		arg = end + 1;
	} while (*end);
	return 0;
}

static int set_choice(const struct command *cmd, const struct opt *o, const char **value, const char *arg)
{
	char names[256] = "";

	for (size_t i = 0; o->choice(i); i++) {
		if (!strcmp(o->choice(i), arg)) {
			*value = arg;
			return 0;
		}
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s",
			 i == 0		    ? ""
			 : o->choice(i + 1) ? ", "
					    : " or ",
			 o->choice(i));
	}
	return opt__usage(cmd, "--%s takes %s, not '%s'", o->name, names, arg);
}

static int set(const struct command *cmd, const struct opt *o, char *config, const char *arg)
{
	void *value = config + o->offset;
	char *end;
	double seconds;

	switch (o->type) {
	case OPT_FLAG:
		*(bool *)value = true;
		return 0;
	case OPT_STRING:
		*(const char **)value = arg;
		return 0;
	case OPT_CHOICE:
		return set_choice(cmd, o, value, arg);
	case OPT_SECONDS:
		seconds = strtod(arg, &end);
		if (end == arg || *end || !(seconds > 0) || seconds > 1e7)
			return opt__usage(cmd, "--%s takes a number of seconds above 0, not '%s'", o->name, arg);
		*(double *)value = seconds;
		return 0;
	case OPT_PIDS:
		if (set_pids(value, arg))
			return opt__usage(cmd, "--%s takes process ids separated by commas (at most %d), not '%s'",
					  o->name, OPT_MAX_PIDS, arg);
		return 0;
	}
	return 0;
}

int opt__parse(const struct command *cmd, int argc, char **argv, void *config, int *first)
{
	struct option longs[MAX_OPTS + 2];
	char letters[2 * MAX_OPTS + 4] = ":h";
	int n = 0, c, index, err;

	for (const struct opt *o = cmd->opts; o->name && n < MAX_OPTS; o++, n++) {
		char letter[3] = { o->letter, o->arg ? ':' : 0, 0 };

		longs[n] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, 256 + n };
		if (o->letter)
			strcat(letters, letter);
	}
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n + 1] = (struct option){ 0 };
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 'h') {
			help(cmd);
			return -1;
		}
		if (c == ':')
			return opt__usage(cmd, "'%s' needs a value", argv[optind - 1]);
		if (c == '?')
			return opt__usage(cmd, "unknown option '%s'", argv[optind - 1]);
		index = c - 256;
		for (int i = 0; c < 256 && i < n; i++)
			if (cmd->opts[i].letter == c)
				index = i;
		err = set(cmd, &cmd->opts[index], config, optarg);
		if (err)
			return err;
	}
	*first = optind;
	return 0;
}
