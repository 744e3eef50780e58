/*
 * opt: commands and their options as data; --help is made from the same tables.
 */
#ifndef PYLU_OPT_H
#define PYLU_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum opt_type {
	OPT_FLAG,    /* bool */
	OPT_STRING,  /* const char * */
	OPT_CHOICE,  /* const char *, one of the values of `choice` */
	OPT_SECONDS, /* double, > 0 */
	OPT_PIDS,    /* struct opt_pids; comma-separated, may be given more than once */
	OPT_COUNT,   /* uint32_t, from 1 to `most` */
	OPT_RATE,    /* uint32_t, a second; 0: no limit */
	OPT_PERIOD,  /* uint64_t, ms, > 0: 45s, 10m, 1h30m, 2d */
	OPT_LIST,    /* struct opt_list; may be given more than once */
	OPT_TABLE,   /* no option, but those of `table`; see OPT_INCLUDE */
};

#define OPT_MAX_PIDS 64

struct opt_pids {
	pid_t pids[OPT_MAX_PIDS];
	size_t n;
};

#define OPT_MAX_LIST 16

struct opt_list {
	const char *items[OPT_MAX_LIST];
	size_t n;
};

struct opt {
	char letter; /* 0: none */
	const char *name, *arg, *help;
	enum opt_type type;
	size_t offset;			 /* of the value in the command's configuration */
	const char *(*choice)(size_t i); /* for OPT_CHOICE: the i-th value, NULL behind the last */
	uint32_t most;			 /* for OPT_COUNT; 0: as much as there is room for */
	const struct opt *table;	 /* for OPT_TABLE */
};

/* A row for the options of another table, whose values lie in a member of the command's configuration. */
#define OPT_INCLUDE(other, member_offset)                                                  \
	{                                                                                  \
		.name = "", .type = OPT_TABLE, .offset = (member_offset), .table = (other) \
	}

struct command {
	const char *name, *usage, *summary, *notes;
	const struct opt *opts;					      /* ends with a NULL name */
	int (*run)(const struct command *cmd, int argc, char **argv); /* returns the exit status */
};

/*
 * Reads the options of argv[1..] into `config` and leaves the operands in argv[*first..argc-1]. Reading stops at "--",
 * which is then argv[*first + number of operands before it]. Returns 0; 2 after a message on a usage error; -1 when
 * --help was asked for and printed.
 */
int opt__parse(const struct command *cmd, int argc, char **argv, void *config, int *first);

/* "45s", "10m", "1h30m", "2d" in ms; a number alone is seconds. Up to a year. False where it is nothing of the kind, or 0. */
bool opt_period(const char *text, uint64_t *ms);

/* A usage error: prints the message and how to get help. Returns 2. */
int opt__usage(const struct command *cmd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Those of pylu-bpf. */
extern const struct command cmd_profile, cmd_trace, cmd_line, cmd_debug, cmd_var, cmd_ps, cmd_funcs, cmd_doctor;
/* Those of pylu-cli. */
extern const struct command cmd_redefine, cmd_patch, cmd_ls, cmd_show, cmd_revert, cmd_log, cmd_agents, cmd_reach,
	cmd_run, cmd_attach, cmd_detach;

#endif
