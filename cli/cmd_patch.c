/* cmd_patch: any number of changes to running processes, from a patch file, applied as one. */
#include "change.h"
#include "making.h"
#include "opt.h"
#include "program.h"

static int run(const struct command *cmd, int argc, char **argv)
{
	struct change_opts config = { 0 };
	struct making m;
	const struct change change = { .opts = &config,
				       .argc = argc,
				       .argv = argv,
				       .make = making__put,
				       .prepared = making__prepared,
				       .ctx = &m };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	status = change_opts__check(cmd, &config);
	if (status)
		return status;
	if (argc - first != 1)
		return opt__usage(cmd, "which patch file? name one");
	status = program_failed(making__open(&m, argv[first]));
	m.job.patch = true;
	m.job.count = config.count || config.errors_max;
	m.job.force = config.force;
	m.job.originals = config.dry_run;
	if (!status)
		status = change__run(&change);
	making__close(&m);
	return status;
}

const struct command cmd_patch = {
	.name = "patch",
	.usage = "patch (-p PID[,PID...] | --tree PID | --all) FILE [OPTIONS]",
	.summary = "make all changes of a patch file as one",
	.notes = "A patch file is Python. Its line 'from pylu import redefine, add, set_value' says which of these it "
		 "uses: functions under\n"
		 "@redefine('module.function') or @add('module'), values by add('module', NAME=value) and "
		 "set_value('module', NAME=value).\n"
		 "All else in it, imports and helpers, is theirs to use. All is done or nothing, and one revert takes "
		 "it back.",
	.opts = change_opts_table,
	.run = run,
};
