/* cmd_agents: pylu-cli's ps: the Python processes of this host, whose they are, and whether there is an agent in them. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "opt.h"
#include "proto.h"
#include "target.h"
#include "user.h"

static const struct opt opts[] = { { 0 } };

static bool has_agent(pid_t pid)
{
	static const char wanted[] = "/memfd:" PROTO_MEMFD_NAME;
	char path[300], link[sizeof(wanted)];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link));

		found = n >= (ssize_t)sizeof(wanted) - 1 && !memcmp(link, wanted, sizeof(wanted) - 1);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void silent(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

static int list(pid_t pid, void *ctx)
{
	int *found = ctx;
	const char *why;
	struct target *t;
	char user[64];

	if (target__probe(pid, &t, &why))
		return 0;
	if (!(*found)++)
		printf("%7s  %-8s  %-5s  %-12s  %s\n", "PID", "PYTHON", "AGENT", "USER", "COMMAND");
	printf("%7d  %-8s  %-5s  %-12s  %.200s\n", (int)pid, t->version.text, has_agent(pid) ? "yes" : "no",
	       user_name(t->uid, user, sizeof(user)), t->command);
	target__close(t);
	return 0;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	int found = 0, first, status = opt__parse(cmd, argc, argv, NULL, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	diag_set_callback(silent, NULL); /* what cannot be looked at is left out */
	target_for_each_pid(list, &found);
	if (!found)
		puts("no Python process that you may look at");
	return 0;
}

const struct command cmd_agents = {
	.name = "ps",
	.usage = "ps",
	.summary = "list Python processes: pid, version, whether there is an agent, user, command",
	.opts = opts,
	.run = run,
};
