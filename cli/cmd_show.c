/* cmd_show: one patch: what is known of it, and its source against the original, as a diff. */
#include <stddef.h>

#include "answer.h"
#include "asking.h"
#include "change_text.h"
#include "opt.h"
#include "proto.h"
#include "wanted.h"

struct config {
	struct peer_opts peers;
	struct wanted wanted;
};

static const struct opt opts[] = {
	OPT_INCLUDE(peer_opts_table, offsetof(struct config, peers)),
	{ 0 },
};

static bool fill(struct peers *p, struct peer *peer, void *ctx, struct msg_out *request)
{
	const struct config *config = ctx;

	return wanted__put(&config->wanted, p, peer, request);
}

static void done(struct peer *peer, void *ctx)
{
	(void)ctx;
	if (!change_diffs(json_object_get(peer->out, "changes"), answer_text(peer->out, "source", ""),
			  answer_text(peer->out, "file", "")))
		peer__fail(peer, 1, "out of memory");
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	const struct asking a = { .cmd = cmd,
				  .opts = &config.peers,
				  .type = PROTO_SHOW,
				  .fill = fill,
				  .done = done,
				  .ctx = &config,
				  .text = change_text_show };

	if (status)
		return status < 0 ? 0 : status;
	status = peer_opts__check(cmd, &config.peers);
	if (!status)
		status = wanted__parse(cmd, &config.peers, argv + first, (size_t)(argc - first), &config.wanted);
	if (!status && (config.wanted.all || config.wanted.n > 1))
		return opt__usage(cmd, "one patch at a time");
	return status ? status : asking__run(&a);
}

const struct command cmd_show = {
	.name = "show",
	.usage = "show (-p PID[,PID...] | --tree PID | --all) PATCH [OPTIONS]",
	.summary = "show a patch: what is known of it, and its source against the original, as a diff",
	.notes = "PATCH is a number that 'ls' shows, or the first 8 digits or more of the patch's token.",
	.opts = opts,
	.run = run,
};
