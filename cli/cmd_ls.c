/* cmd_ls: the patches of processes. */
#include "asking.h"
#include "change_text.h"
#include "opt.h"
#include "proto.h"

static int run(const struct command *cmd, int argc, char **argv)
{
	struct peer_opts config = { 0 };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	const struct asking a = { .cmd = cmd, .opts = &config, .type = PROTO_LS, .text = change_text_list };

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	status = peer_opts__check(cmd, &config);
	return status ? status : asking__run(&a);
}

const struct command cmd_ls = {
	.name = "ls",
	.usage = "ls (-p PID[,PID...] | --tree PID | --all) [OPTIONS]",
	.summary = "list patches: number, state, when, by whom, calls and errors since, targets",
	.notes = "Calls and errors are counted where --count or --revert-on-errors asked for it.",
	.opts = peer_opts_table,
	.run = run,
};
