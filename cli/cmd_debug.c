/* cmd_debug: `debug` and `var`: the values of variables before and after the lines of a function. */
#include <stddef.h>
#include <stdio.h>

#include "diag.h"
#include "inspecting.h"
#include "interrupt.h"
#include "opt.h"
#include "seen_output.h"

struct config {
	struct seen_opts seen;
	struct inspect_options inspect;
};

static const struct opt opts[] = {
	OPT_INCLUDE(seen_opts_session, offsetof(struct config, seen)),
	OPT_INCLUDE(seen_opts_events, offsetof(struct config, seen)),
	OPT_INCLUDE(seen_opts_places, offsetof(struct config, seen)),
	{ 0 },
};

static int on_event(const struct seen_event *event, void *ctx)
{
	return seen_output__event(ctx, event);
}

static int flush(void *ctx)
{
	return seen_output__flush(ctx);
}

static int show(const struct config *config, struct seen_output *output)
{
	struct seen_summary summary;
	struct inspect *s;
	int err = inspect__new(&config->inspect, &s);

	if (err)
		return err;
	err = inspect__attach(s);
	if (!err)
		err = seen_output__begin(output, inspect__header(s));
	/* Else the header of the events tells it. */
	if (!err && config->seen.output)
		inspecting_announce(s);
	if (!err)
		err = inspecting_run(s, config->seen.seconds, flush, output);
	if (!err) {
		inspect__summary(s, &summary);
		err = seen_output__end(output, &summary);
	}
	inspect__free(s);
	return err;
}

static int watch(const struct command *cmd, int argc, char **argv, struct config *config)
{
	struct seen_output *output = NULL;
	int first, err = opt__parse(cmd, argc, argv, config, &first);

	if (!err)
		err = seen_opts__check(cmd, &config->seen, 1);
	if (err)
		return err < 0 ? 0 : err;
	if (first == argc)
		return opt__usage(cmd, "which function?");
	config->inspect.function = argv[first++];
	if (config->inspect.mode == INSPECT_VAR) {
		if (first == argc)
			return opt__usage(cmd, "which variables of %s?", config->inspect.function);
		config->inspect.names = (const char *const *)argv + first;
		config->inspect.nnames = (size_t)(argc - first);
	} else if (first < argc) {
		config->inspect.lines = argv[first++];
		if (first < argc)
			return opt__usage(cmd, "what is '%s'? lines are given in one word: 12,14-20", argv[first]);
	}
	inspecting_options(&config->seen, &config->inspect);
	interrupt_catch();
	err = seen_output__open(config->seen.format, config->seen.output, &output);
	config->inspect.on_event = on_event;
	config->inspect.ctx = output;
	if (!err)
		err = show(config, output);
	seen_output__close(output);
	return inspecting_status(err);
}

static int run_debug(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .seen = SEEN_OPTS_DEFAULTS, .inspect.mode = INSPECT_DEBUG };

	return watch(cmd, argc, argv, &config);
}

static int run_var(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .seen = SEEN_OPTS_DEFAULTS, .inspect.mode = INSPECT_VAR };

	return watch(cmd, argc, argv, &config);
}

const struct command cmd_debug = {
	.name = "debug",
	.usage = "debug -p PID [OPTIONS] FUNCTION [LINES]",
	.summary = "show the variables that each line of a function uses, before it, and those it defines, after it",
	.notes = "FUNCTION is 'module.Class.method', with ':LINE' behind it where several have that name. LINES: 12, "
		 "or\n"
		 "12,14-20; without them all of it. At most four places can be watched at a time, so name few lines.\n"
		 "  pylu-bpf debug -p 4510 shop.views.total 41-43\n"
		 "  pylu-bpf debug -p 4510 --when 'order.id == 3' shop.views.total 42",
	.opts = opts,
	.run = run_debug,
};

const struct command cmd_var = {
	.name = "var",
	.usage = "var -p PID [OPTIONS] FUNCTION NAME...",
	.summary = "show a variable's value wherever a function uses or defines it",
	.notes = "NAME is a variable, or an attribute of one: self.x\n"
		 "  pylu-bpf var -p 4510 shop.views.total total order.items",
	.opts = opts,
	.run = run_var,
};
