/* agent_file: see agent_file.h. */
#include "agent_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"

#define NAME "libpylu_agent.so"

static int use(const char *path, const char *named_by, char out[PATH_MAX])
{
	if (!realpath(path, out) || access(out, R_OK))
		return diag_error(-errno, "the agent's library %s%s cannot be read: %s", path, named_by,
				  strerror(errno));
	return 0;
}

int agent_file__find(const char *named, char out[PATH_MAX])
{
	static const char *const places[] = { "", "../lib/pylu/", "../agent/" };
	const char *environment = getenv("PYLU_AGENT");
	char exe[PATH_MAX - 64], path[PATH_MAX];
	ssize_t n;

	if (named)
		return use(named, " (--agent)", out);
	if (environment && *environment)
		return use(environment, " (PYLU_AGENT)", out);
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (strrchr(exe, '/'))
		strrchr(exe, '/')[1] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path, sizeof(path), "%s%s" NAME, exe, places[i]);
		if (realpath(path, out) && !access(out, R_OK))
			return 0;
	}
	return diag_error(
		-ENOENT,
		"the agent's library " NAME " was not found beside %s; name it by --agent PATH or in PYLU_AGENT", exe);
}
