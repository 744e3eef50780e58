/* targets: see targets.h. */
#include "targets.h"

#include <stdio.h>
#include <string.h>

#include "launch.h"
#include "session.h"
#include "target.h"

int targets__split(const struct command *cmd, int argc, char **argv, struct targets *t, int *words)
{
	int split = argc;

	for (int i = 1; i < argc && split == argc; i++)
		if (!strcmp(argv[i], "--"))
			split = i;
	if (split < argc) {
		if (split + 1 == argc)
			return opt__usage(cmd, "no command behind '--'");
		t->command = argv + split + 1;
	}
	argv[split] = NULL;
	*words = split;
	return 0;
}

int targets__check(const struct command *cmd, const struct targets *t)
{
	if (!!t->pids.n + !!t->tree.n + !!t->command != 1)
		return opt__usage(cmd, "name the target by one of -p PID, --tree PID, or -- COMMAND");
	return 0;
}

/* A process in the tree may be no Python, or have ended since: then it is left out. */
static int add_member(pid_t pid, void *ctx)
{
	struct session *s = ctx;
	struct target *t;
	const char *why;

	if (target__probe(pid, &t, &why))
		return 0;
	return session__add_target(s, t);
}

int targets__add(const struct targets *targets, struct session *s, struct launch *launch)
{
	struct target *t;
	int err = 0;

	if (launch)
		return session__add_command(s, launch__pid(launch), launch__exe(launch), launch__interpreter(launch),
					    launch__text(launch));
	for (size_t i = 0; i < targets->pids.n && !err; i++) {
		err = target__open(targets->pids.pids[i], &t);
		if (!err)
			err = session__add_target(s, t);
	}
	for (size_t i = 0; i < targets->tree.n && !err; i++) {
		err = target__open(targets->tree.pids[i], &t);
		if (!err)
			err = session__add_target(s, t);
		if (!err)
			err = target_for_each_descendant(targets->tree.pids[i], add_member, s);
	}
	return err;
}

void targets__announce(const struct targets *t, const struct session *s)
{
	size_t n = t->command ? 1 : t->pids.n + t->tree.n;
	struct session_status status;

	session__status(s, &status);
	fprintf(stderr, "pylu-bpf: watching %zu process%s; %s; a hit costs %.2f us here\n",
		status.processes > n ? status.processes : n, status.processes > 1 ? "es" : "", session__why(s),
		status.ns_per_hit / 1000);
}
