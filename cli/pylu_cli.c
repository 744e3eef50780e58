/* pylu-cli: the table of commands. Everything else is in cmd_<name>.c and in the library. */
#include <stddef.h>

#include "diag.h"
#include "opt.h"
#include "program.h"

/* Reaching an agent takes less than pylu-bpf needs. */
static const char *remedy(int code)
{
	return code == -DIAG_NO_CAPABILITY
		       ? "Run as root or as the process's own user; `pylu-cli doctor -p PID` shows what is missing."
		       : NULL;
}

int main(int argc, char **argv)
{
	static const struct command *const commands[] = { &cmd_redefine, &cmd_patch,  &cmd_ls,	   &cmd_revert,
							  &cmd_show,	 &cmd_log,    &cmd_agents, &cmd_run,
							  &cmd_attach,	 &cmd_detach, &cmd_reach,  NULL };
	static const struct program program = {
		.name = "pylu-cli",
		.intro = "Changes functions in running Python processes, and takes it back, through the agent in them.",
		.commands = commands,
		.remedy = remedy,
	};

	return program__main(&program, argc, argv);
}
