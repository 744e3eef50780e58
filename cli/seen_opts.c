/* seen_opts: see seen_opts.h. */
#include "seen_opts.h"

#include "seen.h"

static const char *format_name(size_t i)
{
	return out_seen_formats[i] ? out_seen_formats[i]->name : NULL;
}

const struct opt seen_opts_session[] = {
	{ 'p', "pid", "PID", "process to watch", OPT_PIDS, offsetof(struct seen_opts, pids) },
	{ 'd', "duration", "SECONDS", "stop after this time (default: Ctrl-C, or when the process ends)", OPT_SECONDS,
	  offsetof(struct seen_opts, seconds) },
	{ 'f', "format", "FORMAT", "text, or json: one object a line (default: by the file's ending, else text)",
	  OPT_CHOICE, offsetof(struct seen_opts, format), format_name },
	{ 'o', "output", "FILE", "write there instead of to the terminal", OPT_STRING,
	  offsetof(struct seen_opts, output) },
	{ 0 },
};

const struct opt seen_opts_events[] = {
	{ 'n', "count", "N", "stop after this many events (trace: calls)", OPT_COUNT,
	  offsetof(struct seen_opts, count) },
	{ 0, "rate", "N/s", "show no more events a second, count the rest; 0: show all (default: 1000/s)", OPT_RATE,
	  offsetof(struct seen_opts, rate) },
	{ 0, "when", "CONDITION", "only events for which it holds: 'n > 10 and user.name == \"x\"'", OPT_STRING,
	  offsetof(struct seen_opts, when) },
	{ 0, "depth", "N", "levels of containers and attributes to show of a value (default: 2)", OPT_COUNT,
	  offsetof(struct seen_opts, depth), .most = 10 },
	{ 0, "items", "N", "items to show of a container (default: 10)", OPT_COUNT, offsetof(struct seen_opts, items),
	  .most = 512 },
	{ 0, "chars", "N", "characters to show of a str or bytes (default: 256)", OPT_COUNT,
	  offsetof(struct seen_opts, chars), .most = 2048 },
	{ 0, "stack", NULL, "show the callers, up to the outermost (trace shows the direct one anyway)", OPT_FLAG,
	  offsetof(struct seen_opts, stack) },
	{ 0, "redact-file", "FILE", "more names whose values are masked, one a line", OPT_STRING,
	  offsetof(struct seen_opts, redact_file) },
	{ 0, "no-redact", NULL, "show the values of passwords, tokens, keys, ... as they are", OPT_FLAG,
	  offsetof(struct seen_opts, no_redact) },
	{ 0 },
};

static const char *place_backend(size_t i)
{
	static const char *const names[] = { "watch", "opcode", NULL };

	return names[i];
}

const struct opt seen_opts_places[] = {
	{ 0, "backend", "NAME", "watch (debug registers) or opcode (probes on opcode handlers); default: what fits",
	  OPT_CHOICE, offsetof(struct seen_opts, backend), place_backend },
	{ 0, "children", NULL, "also the processes that it forks from now on (watch only)", OPT_FLAG,
	  offsetof(struct seen_opts, children) },
	{ 0, "all", NULL, "every hit, also of more than four places: slower, the cost is told first", OPT_FLAG,
	  offsetof(struct seen_opts, all) },
	{ 0 },
};

int seen_opts__check(const struct command *cmd, const struct seen_opts *o, size_t most_pids)
{
	if (most_pids && !o->pids.n)
		return opt__usage(cmd, "which process? give -p PID");
	if (most_pids && o->pids.n > most_pids)
		return opt__usage(cmd, "at most %zu process%s, not %zu", most_pids, most_pids == 1 ? "" : "es",
				  o->pids.n);
	if (o->no_redact && o->redact_file)
		return opt__usage(cmd, "--no-redact masks nothing, --redact-file masks more: give one of them");
	return 0;
}
