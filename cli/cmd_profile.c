/* cmd_profile: exact call counts and times of the functions that match, as a call tree. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "backend.h"
#include "diag.h"
#include "interrupt.h"
#include "launch.h"
#include "opt.h"
#include "out.h"
#include "output.h"
#include "profile.h"
#include "program.h"
#include "session.h"
#include "suggest.h"
#include "targets.h"

struct config {
	struct targets targets;
	double seconds;
	const char *format, *output, *backend;
	bool raw;
	const char *const *patterns;
	size_t npatterns;
};

static const char *format_name(size_t i)
{
	return out_formats[i] ? out_formats[i]->name : NULL;
}

static const struct opt opts[] = {
	{ 'p', "pid", "PID[,PID...]", "processes to watch", OPT_PIDS, offsetof(struct config, targets.pids) },
	{ 0, "tree", "PID", "a process, its children, and those forked while we watch", OPT_PIDS,
	  offsetof(struct config, targets.tree) },
	{ 'd', "duration", "SECONDS", "stop after this time (default: Ctrl-C, or when the processes end)", OPT_SECONDS,
	  offsetof(struct config, seconds) },
	{ 'f', "format", "FORMAT", "text, json, folded or svg (default: by the file's ending, else text)", OPT_CHOICE,
	  offsetof(struct config, format), format_name },
	{ 'o', "output", "FILE", "write the result there instead of to the terminal", OPT_STRING,
	  offsetof(struct config, output) },
	{ 0, "backend", "NAME", "opcode (Python 3.11 on), usdt (3.15 on) or frame (to 3.10); default: what fits",
	  OPT_CHOICE, offsetof(struct config, backend), backend__name },
	{ 0, "raw", NULL, "do not take the cost of the probes out of the times", OPT_FLAG,
	  offsetof(struct config, raw) },
	{ 0 },
};

static void progress(const struct session *s, double seconds, bool last)
{
	static const double every = 0.2;
	static double shown;
	struct session_status status;

	if (!isatty(STDERR_FILENO))
		return;
	if (last) {
		if (shown > 0)
			fputs("\r\033[K", stderr);
		return;
	}
	if (seconds - shown < every)
		return;
	shown = seconds;
	session__status(s, &status);
	fprintf(stderr, "\r\033[K%.1f s  %llu hits  %zu functions  %zu process%s  (Ctrl-C ends and shows the result)",
		seconds, (unsigned long long)status.hits, status.functions, status.processes,
		status.processes == 1 ? "" : "es");
}

/* Runs until the time is over, a signal arrives or nothing is left to watch. */
static int watch(struct session *s, const struct config *config)
{
	double start = now_s(), spent;
	int watched = 1;

	for (;;) {
		spent = now_s() - start;
		if (interrupted() || watched == 0 || (config->seconds > 0 && spent >= config->seconds))
			break;
		progress(s, spent, false);
		watched = session__poll(s, config->seconds > 0 && config->seconds - spent < 0.05
						   ? (int)((config->seconds - spent) * 1000) + 1
						   : 50);
		if (watched == -EINTR)
			watched = 1;
		if (watched < 0)
			return watched;
	}
	progress(s, spent, true);
	return 0;
}

static bool profile_empty(const struct profile *p)
{
	for (size_t i = 0; i < p->nprocesses; i++)
		for (size_t k = 0; k < p->processes[i]->nthreads; k++)
			if (p->processes[i]->threads[k]->root->nchildren)
				return false;
	return true;
}

static int measure(const struct config *config, struct session *s, struct launch *launch, struct output *output)
{
	struct profile *p = NULL;
	int err = targets__add(&config->targets, s, launch);

	if (!err)
		err = session__attach(s);
	if (err)
		return err;
	targets__announce(&config->targets, s);
	if (launch)
		err = launch__go(launch);
	if (!err)
		err = watch(s, config);
	session__stop(s);
	if (err)
		return err;
	err = session__profile(s, &p);
	if (!err)
		err = output__write(output, p);
	if (!err && profile_empty(p))
		suggest(s, config->patterns, config->npatterns);
	profile__free(p);
	return err;
}

static int read_config(const struct command *cmd, int argc, char **argv, struct config *config)
{
	int words, first, status = targets__split(cmd, argc, argv, &config->targets, &words);

	if (!status)
		status = opt__parse(cmd, words, argv, config, &first);
	if (status)
		return status;
	config->patterns = (const char *const *)argv + first;
	config->npatterns = (size_t)(words - first);
	if (!config->npatterns)
		return opt__usage(
			cmd, "no pattern; '__main__.**' means all functions of the program itself, '**' all there are");
	return targets__check(cmd, &config->targets);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { 0 };
	struct session *s = NULL;
	struct launch *launch = NULL;
	struct output *output = NULL;
	int err = read_config(cmd, argc, argv, &config);

	if (err)
		return err < 0 ? 0 : err;
	struct session_options session_opts = {
		.patterns = config.patterns,
		.npatterns = config.npatterns,
		.raw = config.raw,
		.tree = config.targets.tree.n > 0,
		.backend = config.backend,
	};

	interrupt_catch();
	err = output__open(config.format, config.output, &output);
	if (!err && config.targets.command)
		err = launch__prepare(config.targets.command, &launch);
	if (!err)
		err = session__new(&session_opts, &s);
	if (!err)
		err = measure(&config, s, launch, output);
	session__free(s);
	launch__free(launch);
	output__close(output, err);
	return program_failed(err);
}

const struct command cmd_profile = {
	.name = "profile",
	.usage = "profile (-p PID[,PID...] | --tree PID | -- COMMAND...) [OPTIONS] PATTERN...",
	.summary = "count and time every call of the functions that match, exactly, as a call tree",
	.notes = "PATTERN names functions: 'module.Class.method', 'module.*' (one level), 'module.**' (any depth), a "
		 "plain\n"
		 "module or class name (all that is in it); '!PATTERN' excludes. Put a COMMAND last, behind the "
		 "patterns:\n"
		 "  pylu-bpf profile -p 4510 'shop.**' '!shop.models.**'\n"
		 "  pylu-bpf profile -o flame.svg '__main__.**' -- python3 app.py",
	.opts = opts,
	.run = run,
};
