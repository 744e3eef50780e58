/* cmd_line: how often the lines of a function ran, and how long they took. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "diag.h"
#include "inspecting.h"
#include "interrupt.h"
#include "opt.h"
#include "out_lines.h"
#include "output.h"

struct config {
	struct seen_opts seen;
	struct inspect_options inspect;
};

static const struct opt opts[] = {
	OPT_INCLUDE(seen_opts_session, offsetof(struct config, seen)),
	OPT_INCLUDE(seen_opts_places, offsetof(struct config, seen)),
	{ 0 },
};

static int write_result(const struct inspect *s, struct output *output)
{
	struct out_lines result = {
		.header = inspect__header(s),
		.function = inspect__function(s),
		.file = inspect__file(s),
	};

	inspect__summary(s, &result.summary);
	result.lines = inspect__lines(s, &result.nlines);
	if (!result.lines)
		return diag_error(-ENOMEM, "out of memory");
	return output__put(output, strcmp(output__format(output), "json") ? out_lines__text : out_lines__json, &result);
}

static int measure(const struct config *config, struct output *output)
{
	struct inspect *s;
	int err = inspect__new(&config->inspect, &s);

	if (err)
		return err;
	err = inspect__attach(s);
	if (!err) {
		inspecting_announce(s);
		err = inspecting_run(s, config->seen.seconds, NULL, NULL);
	}
	if (!err)
		err = write_result(s, output);
	inspect__free(s);
	return err;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .seen = SEEN_OPTS_DEFAULTS, .inspect.mode = INSPECT_LINE };
	struct output *output = NULL;
	int first, err = opt__parse(cmd, argc, argv, &config, &first);

	if (!err)
		err = seen_opts__check(cmd, &config.seen, 1);
	if (err)
		return err < 0 ? 0 : err;
	if (first == argc)
		return opt__usage(cmd, "which function?");
	config.inspect.function = argv[first++];
	config.inspect.lines = first < argc ? argv[first++] : NULL;
	if (first < argc)
		return opt__usage(cmd, "what is '%s'? lines are given in one word: 12,14-20", argv[first]);
	inspecting_options(&config.seen, &config.inspect);
	interrupt_catch();
	err = output__open(config.seen.format, config.seen.output, &output);
	if (!err && strcmp(output__format(output), "json") && strcmp(output__format(output), "text"))
		err = diag_error(-DIAG_USAGE, "lines are written as text or json");
	if (!err)
		err = measure(&config, output);
	output__close(output, err);
	return inspecting_status(err);
}

const struct command cmd_line = {
	.name = "line",
	.usage = "line -p PID [OPTIONS] FUNCTION [LINES]",
	.summary = "count and time the lines of a function, next to their text",
	.notes = "FUNCTION is 'module.Class.method', with ':LINE' behind it where several have that name. LINES: 12, "
		 "or\n"
		 "12,14-20; without them all of it, four places at a time by turns.\n"
		 "  pylu-bpf line -p 4510 -d 10 shop.views.total 41-43",
	.opts = opts,
	.run = run,
};
