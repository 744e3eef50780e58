/* cmd_reach: pylu-cli's doctor: whether processes can be changed, why not, and what can be done. Changes nothing. */
#include <stddef.h>

#include "answer.h"
#include "diag.h"
#include "opt.h"
#include "out_util.h"
#include "program.h"
#include "reach.h"

#define ANSWER_MS 5000

struct config {
	struct opt_pids pids;
	const char *format;
};

static const struct opt opts[] = {
	{ 'p', "pid", "PID[,PID...]", "the processes", OPT_PIDS, offsetof(struct config, pids) },
	{ 'f', "format", "FORMAT", "text or json (default: text)", OPT_CHOICE, offsetof(struct config, format),
	  report_format },
	{ 0 },
};

static void text(const struct report *r, const json_t *process, struct sink *s)
{
	const json_t *check;
	size_t i;

	(void)r;
	sink__printf(s, "Process %d ", (int)answer_number(process, "pid", 0));
	sink__put_shown(s, answer_text(process, "command", ""));
	sink__puts(s, "\n");
	json_array_foreach(json_object_get(process, "checks"), i, check)
	{
		const char *remedy = answer_text(check, "remedy", "");

		sink__printf(s, "  %-8s %-8s ", answer_text(check, "status", ""), answer_text(check, "name", ""));
		sink__put_shown(s, answer_text(check, "text", ""));
		sink__printf(s, "%s%s\n", *remedy ? "\n                    -> " : "", remedy);
	}
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
	if (!config.pids.n)
		return opt__usage(cmd, "which process? give -p PID");
	err = report__open(&report, cmd->name);
	status = diag_exit_status(err);
	for (size_t i = 0; i < config.pids.n && !err; i++) {
		json_t *out = report__process(&report, config.pids.pids[i]);
		const struct reach found = reach__examine(&report, out, config.pids.pids[i], ANSWER_MS);

		if (found.err)
			report.status = diag_exit_status(found.err) > report.status ? diag_exit_status(found.err)
										    : report.status;
	}
	if (!err)
		status = report__write(&report, config.format, text);
	report__close(&report);
	return status;
}

const struct command cmd_reach = {
	.name = "doctor",
	.usage = "doctor -p PID[,PID...] [-f FORMAT]",
	.summary = "say whether processes can be changed, why not, and what can be done; changes nothing",
	.notes = "Exit status: 0 there is an agent that answers, or one can be attached; 3 not supported, 4 not "
		 "permitted, 1 failed.",
	.opts = opts,
	.run = run,
};
