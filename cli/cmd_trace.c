/* cmd_trace: the calls of the functions that match, one after the other: arguments, result or exception, time. */
#include <stddef.h>
#include <stdio.h>

#include "backend.h"
#include "diag.h"
#include "inspecting.h"
#include "interrupt.h"
#include "launch.h"
#include "opt.h"
#include "redact.h"
#include "seen_opts.h"
#include "seen_output.h"
#include "session.h"
#include "suggest.h"
#include "targets.h"

#define POLL_MS 50
#define STACK_MAX 64 /* callers that are shown with --stack */

struct config {
	struct seen_opts seen;
	struct targets targets;
	const char *const *patterns;
	size_t npatterns;
};

static const struct opt opts[] = {
	OPT_INCLUDE(seen_opts_session, offsetof(struct config, seen)),
	{ 0, "tree", "PID", "a process, its children, and those forked while we watch", OPT_PIDS,
	  offsetof(struct config, targets.tree) },
	OPT_INCLUDE(seen_opts_events, offsetof(struct config, seen)),
	{ 0, "backend", "NAME", "opcode (Python 3.11 on), usdt (3.15 on) or frame (to 3.10); default: what fits",
	  OPT_CHOICE, offsetof(struct config, seen.backend), backend__name },
	{ 0 },
};

static int on_event(const struct seen_event *event, void *ctx)
{
	return seen_output__event(ctx, event);
}

/* Runs until the time is over, a signal arrives, enough was shown or nothing is left to watch. 0, or a code that was
 * reported; *why says why it ended. */
static int watch(struct session *s, const struct config *config, struct seen_output *output, const char **why)
{
	double end = config->seen.seconds > 0 ? now_s() + config->seen.seconds : 0, left;
	int watched = 1, err = 0;

	for (*why = NULL; !*why && !err;) {
		left = end > 0 ? end - now_s() : 1;
		if (interrupted())
			*why = "interrupted";
		else if (session__told_all(s))
			*why = "the count was reached";
		else if (!watched)
			*why = "the process ended";
		else if (left <= 0)
			*why = "the time was over";
		else
			watched = session__poll(s, left * 1000 < POLL_MS ? (int)(left * 1000) + 1 : POLL_MS);
		err = watched < 0 && watched != -EINTR ? watched : seen_output__flush(output);
	}
	return err;
}

static int show(const struct config *config, struct session *s, struct launch *launch, struct seen_output *output)
{
	struct seen_summary summary = { 0 };
	struct seen_header header = {
		.command = "trace",
		.condition = config->seen.when,
		.no_redact = config->seen.no_redact,
		.stack = config->seen.stack,
	};
	int err = targets__add(&config->targets, s, launch);

	if (!err)
		err = session__attach(s);
	if (err)
		return err;
	session__seen_header(s, &header);
	err = seen_output__begin(output, &header);
	/* Else the header of the events tells it. */
	if (config->seen.output)
		targets__announce(&config->targets, s);
	if (launch && !err)
		err = launch__go(launch);
	if (!err)
		err = watch(s, config, output, &summary.ended);
	session__stop(s);
	if (err)
		return err;
	session__seen_summary(s, &summary);
	err = seen_output__end(output, &summary);
	if (!err && !summary.events && !summary.unmatched && !summary.suppressed)
		suggest(s, config->patterns, config->npatterns);
	return err;
}

static int read_config(const struct command *cmd, int argc, char **argv, struct config *config)
{
	int words, first, status = targets__split(cmd, argc, argv, &config->targets, &words);

	if (!status)
		status = opt__parse(cmd, words, argv, config, &first);
	if (status)
		return status;
	config->targets.pids = config->seen.pids;
	config->patterns = (const char *const *)argv + first;
	config->npatterns = (size_t)(words - first);
	if (!config->npatterns)
		return opt__usage(cmd, "which functions? '__main__.**' means all of the program itself");
	status = seen_opts__check(cmd, &config->seen, 0);
	return status ? status : targets__check(cmd, &config->targets);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .seen = SEEN_OPTS_DEFAULTS };
	struct seen_output *output = NULL;
	struct launch *launch = NULL;
	struct redact *redact = NULL;
	struct session *s = NULL;
	int err = read_config(cmd, argc, argv, &config);

	if (err)
		return err < 0 ? 0 : err;
	struct session_trace trace = {
		.depth = config.seen.depth,
		.items = config.seen.items,
		.chars = config.seen.chars,
		.stack = config.seen.stack ? STACK_MAX : 1,
		.rate = config.seen.rate,
		.count = config.seen.count,
		.when = config.seen.when,
		.event = on_event,
	};
	struct session_options session_opts = {
		.patterns = config.patterns,
		.npatterns = config.npatterns,
		.tree = config.targets.tree.n > 0,
		.backend = config.seen.backend,
		.trace = &trace,
	};

	interrupt_catch();
	err = seen_output__open(config.seen.format, config.seen.output, &output);
	if (!err && !config.seen.no_redact)
		err = redact__new(config.seen.redact_file, &redact);
	if (!err && config.targets.command)
		err = launch__prepare(config.targets.command, &launch);
	trace.redact = redact;
	trace.ctx = output;
	if (!err)
		err = session__new(&session_opts, &s);
	if (!err)
		err = show(&config, s, launch, output);
	session__free(s);
	launch__free(launch);
	redact__free(redact);
	seen_output__close(output);
	return inspecting_status(err);
}

const struct command cmd_trace = {
	.name = "trace",
	.usage = "trace (-p PID[,PID...] | --tree PID | -- COMMAND...) [OPTIONS] FUNCTION...",
	.summary = "show each call of the functions that match: arguments, result or exception, time",
	.notes = "FUNCTION is a pattern as of 'profile': 'module.Class.method', 'module.*', 'module.**', '!PATTERN'. "
		 "Put a\n"
		 "COMMAND last, behind the patterns:\n"
		 "  pylu-bpf trace -p 4510 shop.views.total\n"
		 "  pylu-bpf trace -p 4510 --when 'order.id == 3' --stack 'shop.views.*'",
	.opts = opts,
	.run = run,
};
