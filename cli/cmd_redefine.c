/* cmd_redefine: one function of running processes gets the body of a function in a file. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "change.h"
#include "making.h"
#include "opt.h"
#include "program.h"

/* SOURCE[:NAME]; a file of just that name goes first. Cuts the word. */
static char *split_name(char *word)
{
	char *colon = strrchr(word, ':');

	if (!colon || !colon[1] || strchr(colon, '/') || !access(word, F_OK))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static int redefine(const struct change_opts *config, int argc, char **argv, const char *target, const char *word)
{
	struct making m = { 0 };
	const struct change change = {
		.opts = config, .argc = argc, .argv = argv, .make = making__put, .prepared = making__prepared, .ctx = &m
	};
	char *path = strdup(word);
	const char *name = path ? split_name(path) : NULL;
	int status = program_failed(path ? making__open(&m, path) : -ENOMEM);

	m.job.target = target;
	m.job.name = name;
	m.job.count = config->count || config->errors_max;
	m.job.force = config->force;
	m.job.originals = config->dry_run;
	if (!status)
		status = change__run(&change);
	making__close(&m);
	free(path);
	return status;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct change_opts config = { 0 };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	status = change_opts__check(cmd, &config);
	if (status)
		return status;
	if (argc - first != 2)
		return opt__usage(cmd, "what is to become of what? give TARGET (module.function) and SOURCE[:NAME]");
	return redefine(&config, argc, argv, argv[first], argv[first + 1]);
}

const struct command cmd_redefine = {
	.name = "redefine",
	.usage = "redefine (-p PID[,PID...] | --tree PID | --all) TARGET SOURCE[:NAME] [OPTIONS]",
	.summary = "give a function of running processes a new body, from a file",
	.notes = "TARGET is module.qualname, as in shop.views.total or shop.models.Order.total; behind it '@N' names a "
		 "layer of\n"
		 "decorators, 0 the outermost; without it the innermost function is taken. NAME is the new function's "
		 "name in SOURCE\n"
		 "when it is not the target's.\n\n"
		 "Without --partial it is done in all processes or in none. When pylu-cli is killed before the end, it "
		 "is taken\n"
		 "back by itself.\n\n"
		 "  pylu-cli redefine --tree 4510 --ttl 1h shop.pricing.cart_totals fix.py\n"
		 "  pylu-cli redefine -p 4510 --dry-run shop.pricing.cart_totals fix.py",
	.opts = change_opts_table,
	.run = run,
};
