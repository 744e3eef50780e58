/* cmd_agents: pylu-cli's ps: the Python processes of this host, whose they are, whether there is an agent in them or can be. */
#include <stddef.h>

#include "answer.h"
#include "diag.h"
#include "opt.h"
#include "out_util.h"
#include "reach.h"
#include "target.h"

#define ANSWER_MS 1000

struct config {
	const char *format;
};

static const struct opt opts[] = {
	{ 'f', "format", "FORMAT", "text or json (default: text)", OPT_CHOICE, offsetof(struct config, format),
	  report_format },
	{ 0 },
};

static int list(pid_t pid, void *ctx)
{
	struct report *report = ctx;
	const char *why;
	struct target *t;
	struct reach found;
	json_t *out;

	if (target__probe(pid, &t, &why))
		return 0;
	target__close(t);
	out = report__process(report, pid);
	if (!out)
		return -ENOMEM;
	found = reach__examine(report, out, pid, ANSWER_MS);
	json_object_set_new(out, "attachable", json_boolean(found.attachable));
	return 0;
}

static void text(const struct report *r, const json_t *process, struct sink *s)
{
	const bool agent = json_is_string(json_object_get(process, "agent"));

	if (process == json_array_get(r->processes, 0))
		sink__printf(s, "%7s  %-9s  %-10s  %7s  %-12s  %s\n", "PID", "PYTHON", "AGENT", "PATCHES", "USER",
			     "COMMAND");
	sink__printf(s, "%7d  %-9s  %-10s  ", (int)answer_number(process, "pid", 0),
		     answer_text(process, "python", "?"),
		     agent						    ? "yes"
		     : json_is_true(json_object_get(process, "attachable")) ? "attachable"
									    : "no");
	if (agent)
		sink__printf(s, "%7d  ", (int)answer_number(process, "applied", 0));
	else
		sink__printf(s, "%7s  ", "-");
	sink__printf(s, "%-12s  ", answer_text(process, "user", "?"));
	sink__put_shown(s, answer_text(process, "command", ""));
	sink__puts(s, "\n");
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	struct report report;
	int err, first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	err = report__open(&report, cmd->name);
	if (!err)
		err = target_for_each_pid(list, &report);
	status = err ? diag_exit_status(err) : report__write(&report, config.format, text);
	if (!status && !json_array_size(report.processes) && (!config.format || *config.format == 't'))
		puts("no Python process that you may look at");
	report__close(&report);
	return status;
}

const struct command cmd_agents = {
	.name = "ps",
	.usage = "ps [-f FORMAT]",
	.summary = "list Python processes: pid, version, agent or whether it can be attached, patches, user, command",
	.notes = "'doctor -p PID' says why a process has no agent and cannot be given one.",
	.opts = opts,
	.run = run,
};
