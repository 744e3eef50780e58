/* cmd_revert: takes patches back. */
#include <stddef.h>

#include "asking.h"
#include "change_text.h"
#include "opt.h"
#include "proto.h"
#include "wanted.h"

struct config {
	struct peer_opts peers;
	struct wanted wanted;
	int argc;
	char **argv;
};

static const struct opt opts[] = {
	OPT_INCLUDE(peer_opts_table, offsetof(struct config, peers)),
	{ 0 },
};

static bool fill(struct peers *p, struct peer *peer, void *ctx, struct msg_out *request)
{
	const struct config *config = ctx;

	peer_put_who(request, config->argc, config->argv);
	return wanted__put(&config->wanted, p, peer, request);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .argc = argc, .argv = argv };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	const struct asking a = { .cmd = cmd,
				  .opts = &config.peers,
				  .type = PROTO_REVERT,
				  .fill = fill,
				  .ctx = &config,
				  .text = change_text_reverted };

	if (status)
		return status < 0 ? 0 : status;
	status = peer_opts__check(cmd, &config.peers);
	if (!status)
		status = wanted__parse(cmd, &config.peers, argv + first, (size_t)(argc - first), &config.wanted);
	return status ? status : asking__run(&a);
}

const struct command cmd_revert = {
	.name = "revert",
	.usage = "revert (-p PID[,PID...] | --tree PID | --all) (PATCH... | all) [OPTIONS]",
	.summary = "take patches back: the very objects that were there before",
	.notes = "PATCH is a number that 'ls' shows, or the first 8 digits or more of the patch's token, which is the "
		 "same in all\n"
		 "processes that have it.",
	.opts = opts,
	.run = run,
};
