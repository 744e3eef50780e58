/* opt: see opt.h. */
#include "opt.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define MAX_OPTS 32

int opt__usage(const struct command *cmd, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "%s: ", program_name());
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "\nTry '%s %s --help'.\n", program_name(), cmd->name);
	return 2;
}

struct flat {
	struct opt opts[MAX_OPTS];
	int n;
};

/* Tables in tables become one list; offsets are from the configuration's start. */
static void flatten(struct flat *flat, const struct opt *opts, size_t offset)
{
	for (const struct opt *o = opts; o->name && flat->n < MAX_OPTS; o++) {
		if (o->type == OPT_TABLE) {
			flatten(flat, o->table, offset + o->offset);
			continue;
		}
		flat->opts[flat->n] = *o;
		flat->opts[flat->n++].offset += offset;
	}
}

static void help(const struct command *cmd, const struct flat *flat)
{
	printf("Usage: %s %s\n\n%s\n\n", program_name(), cmd->usage, cmd->summary);
	for (const struct opt *o = flat->opts; o < flat->opts + flat->n; o++) {
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

/* Decimal digits only: strtoul would take "-1", " 1" and "1,000" or stop in their midst. Returns what follows the number,
 * NULL where there is none or it does not fit. */
static const char *digits(const char *arg, uint32_t *value)
{
	const char *s = arg;
	uint64_t n = 0;

	for (; *s >= '0' && *s <= '9' && n <= UINT32_MAX; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	*value = (uint32_t)n;
	return s == arg || n > UINT32_MAX ? NULL : s;
}

static int set_count(const struct command *cmd, const struct opt *o, uint32_t *value, const char *arg)
{
	const uint32_t most = o->most ? o->most : UINT32_MAX;
	const char *end = digits(arg, value);

	if (!end || *end || !*value || *value > most)
		return opt__usage(cmd, "--%s takes a whole number from 1 to %u, in digits only, not '%s'", o->name,
				  most, arg);
	return 0;
}

static int set_rate(const struct command *cmd, const struct opt *o, uint32_t *value, const char *arg)
{
	const char *end = digits(arg, value);

	if (!end || (*end && strcmp(end, "/s") != 0))
		return opt__usage(cmd,
				  "--%s takes a number a second, such as 100/s or 100, or 0 for no limit, not '%s'",
				  o->name, arg);
	return 0;
}

bool opt_period(const char *text, uint64_t *ms)
{
	static const struct unit {
		char letter;
		uint64_t ms;
	} units[] = { { 'd', 86400000 }, { 'h', 3600000 }, { 'm', 60000 }, { 's', 1000 }, { 0, 1000 } };
	const uint64_t year = 365 * units[0].ms;
	size_t next = 0;
	uint32_t n;

	*ms = 0;
	do {
		const char *end = digits(text, &n);

		while (end && next < 5 && units[next].letter != *end)
			next++;
		if (!end || next == 5 || (!*end && *ms))
			return false;
		*ms += n * units[next++].ms;
		text = *end ? end + 1 : end;
	} while (*text && *ms <= year);
	return *ms && *ms <= year;
}

static int set_list(const struct command *cmd, const struct opt *o, struct opt_list *list, const char *arg)
{
	if (list->n == OPT_MAX_LIST)
		return opt__usage(cmd, "--%s may be given %d times at most", o->name, OPT_MAX_LIST);
	list->items[list->n++] = arg;
	return 0;
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
	case OPT_COUNT:
		return set_count(cmd, o, value, arg);
	case OPT_RATE:
		return set_rate(cmd, o, value, arg);
	case OPT_PERIOD:
		if (!opt_period(arg, value))
			return opt__usage(cmd, "--%s takes a time such as 45s, 10m or 1h30m, at most a year, not '%s'",
					  o->name, arg);
		return 0;
	case OPT_LIST:
		return set_list(cmd, o, value, arg);
	case OPT_TABLE: /* flatten() left none */
		break;
	}
	return 0;
}

int opt__parse(const struct command *cmd, int argc, char **argv, void *config, int *first)
{
	struct flat flat = { .n = 0 };
	struct option longs[MAX_OPTS + 2] = { 0 };
	char letters[2 * MAX_OPTS + 4] = ":h";
	int n = 0, c, index, err;

	flatten(&flat, cmd->opts, 0);
	for (const struct opt *o = flat.opts; n < flat.n; o++, n++) {
		char letter[3] = { o->letter, o->arg ? ':' : 0, 0 };

		longs[n] = (struct option){ o->name, o->arg ? required_argument : no_argument, NULL, 256 + n };
		if (o->letter)
			strcat(letters, letter);
	}
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == 'h') {
			help(cmd, &flat);
			return -1;
		}
		if (c == ':')
			return opt__usage(cmd, "'%s' needs a value", argv[optind - 1]);
		if (c == '?')
			return opt__usage(cmd, "unknown option '%s'", argv[optind - 1]);
		index = c - 256;
		for (int i = 0; c < 256 && i < n; i++)
			if (flat.opts[i].letter == c)
				index = i;
		err = set(cmd, &flat.opts[index], config, optarg);
		if (err)
			return err;
	}
	*first = optind;
	return 0;
}
