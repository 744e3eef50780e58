/* program: what pylu-bpf and pylu-cli share around their tables of commands: help, messages, the choice of the command. */
#ifndef PYLU_PROGRAM_H
#define PYLU_PROGRAM_H

struct command;

struct program {
	const char *name, *intro;
	const struct command *const *commands; /* ends with NULL */
	const char *(*remedy)(int code);       /* instead of diag_remedy where it gives one; or NULL */
};

/* The body of main(). `program` must outlive it. Returns the exit status. */
int program__main(const struct program *program, int argc, char **argv);

/* The program's name, for messages. */
const char *program_name(void);

/* What can be done about an error, or "". */
const char *program_remedy(int err);

/* Adds the remedy to an error that was reported, where there is one. Returns the exit status that belongs to it. */
int program_failed(int err);

#endif
