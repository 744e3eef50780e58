/* cmd_detach: ends the agent in processes; the library stays, asleep. */
#include <stddef.h>

#include "asking.h"
#include "opt.h"
#include "out_util.h"
#include "proto.h"

struct config {
	struct peer_opts peers;
	bool revert;
	int argc;
	char **argv;
};

static const struct opt opts[] = {
	OPT_INCLUDE(peer_opts_table, offsetof(struct config, peers)),
	{ 0, "revert", NULL, "take all patches back first; without it patches are a reason to refuse", OPT_FLAG,
	  offsetof(struct config, revert) },
	{ 0 },
};

static bool fill(struct peers *p, struct peer *peer, void *ctx, struct msg_out *request)
{
	const struct config *config = ctx;

	(void)p, (void)peer;
	peer_put_who(request, config->argc, config->argv);
	if (config->revert)
		msg__put_u64(request, PROTO_F_REVERT, 1);
	return true;
}

static void text(const struct report *r, const json_t *process, struct sink *s)
{
	(void)r;
	sink__printf(s, "process %d: the agent has ended\n", (int)json_integer_value(json_object_get(process, "pid")));
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .argc = argc, .argv = argv };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	const struct asking a = {
		.cmd = cmd, .opts = &config.peers, .type = PROTO_DETACH, .fill = fill, .ctx = &config, .text = text
	};

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	status = peer_opts__check(cmd, &config.peers);
	return status ? status : asking__run(&a);
}

const struct command cmd_detach = {
	.name = "detach",
	.usage = "detach (-p PID[,PID...] | --tree PID | --all) [OPTIONS]",
	.summary = "end the agent in processes",
	.notes = "The library stays loaded, and asleep: 'attach' starts the agent again. Where patches are applied it "
		 "is refused, unless "
		 "--revert\ntakes them back.",
	.opts = opts,
	.run = run,
};
