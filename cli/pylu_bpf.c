/* pylu-bpf: the table of commands. Everything else is in cmd_<name>.c and in the library. */
#include <stddef.h>

#include "opt.h"
#include "program.h"

int main(int argc, char **argv)
{
	static const struct command *const commands[] = { &cmd_profile, &cmd_trace, &cmd_line,	 &cmd_debug, &cmd_var,
							  &cmd_ps,	&cmd_funcs, &cmd_doctor, NULL };
	static const struct program program = {
		.name = "pylu-bpf",
		.intro = "Looks at running Python processes from outside. Nothing of pylu-bpf runs in them and it "
			 "writes nothing "
			 "to them.",
		.commands = commands,
	};

	return program__main(&program, argc, argv);
}
