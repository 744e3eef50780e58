/* cmd_log: the agents' journals: each request, who made it, and what came of it. */
#include <stddef.h>

#include "asking.h"
#include "opt.h"
#include "out_util.h"
#include "proto.h"

struct config {
	struct peer_opts peers;
	uint32_t count;
};

static const struct opt opts[] = {
	OPT_INCLUDE(peer_opts_table, offsetof(struct config, peers)),
	{ 'n', "count", "N", "only the last N entries", OPT_COUNT, offsetof(struct config, count) },
	{ 0 },
};

static bool fill(struct peers *p, struct peer *peer, void *ctx, struct msg_out *request)
{
	const struct config *config = ctx;

	(void)p, (void)peer;
	if (config->count)
		msg__put_u64(request, PROTO_F_MAX, config->count);
	return true;
}

static void text(const struct report *r, const json_t *process, struct sink *s)
{
	const json_t *entries = json_object_get(process, "entries"), *entry;
	size_t i;

	if (!report__alone(r))
		sink__printf(s, "%d:\n", (int)json_integer_value(json_object_get(process, "pid")));
	json_array_foreach(entries, i, entry)
	{
		sink__put_shown(s, json_string_value(entry) ? json_string_value(entry) : "");
		sink__puts(s, "\n");
	}
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	const struct asking a = {
		.cmd = cmd, .opts = &config.peers, .type = PROTO_LOG, .fill = fill, .ctx = &config, .text = text
	};

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	status = peer_opts__check(cmd, &config.peers);
	return status ? status : asking__run(&a);
}

const struct command cmd_log = {
	.name = "log",
	.usage = "log (-p PID[,PID...] | --tree PID | --all) [OPTIONS]",
	.summary = "show what was asked of the agent: when, who, what, the source's hash, the result",
	.opts = opts,
	.run = run,
};
