/* cmd_doctor: what this host and these processes allow. Changes nothing. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "feature.h"
#include "opt.h"
#include "out_doctor.h"

struct config {
	struct opt_pids pids;
	const char *format;
};

static const char *format_name(size_t i)
{
	return out_doctor_formats[i] ? out_doctor_formats[i]->name : NULL;
}

static const struct opt opts[] = {
	{ 'p', "pid", "PID[,PID...]", "processes to look at too", OPT_PIDS, offsetof(struct config, pids) },
	{ 'f', "format", "FORMAT", "text or json (default: text)", OPT_CHOICE, offsetof(struct config, format),
	  format_name },
	{ 0 },
};

static int write_out(const struct doctor *d, const char *format)
{
	const struct out_options out = { .color = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") };
	int err = out_doctor__find(format)->write(d, stdout, &out);

	if (err)
		return diag_exit_status(diag_error(err, "cannot write to standard output: %s", strerror(-err)));
	return diag_exit_status(doctor__code(d));
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct feature_target *targets[OPT_MAX_PIDS];
	struct config config = { 0 };
	struct feature_trial trial;
	struct feature_host host;
	struct doctor doctor = { .host = &host, .targets = targets };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	signal(SIGPIPE, SIG_IGN);
	feature_try(&trial);
	feature_host__examine("", &trial, &host);
	for (; doctor.ntargets < config.pids.n; doctor.ntargets++) {
		targets[doctor.ntargets] = feature_target__examine(config.pids.pids[doctor.ntargets], &trial);
		if (!targets[doctor.ntargets]) {
			status = diag_exit_status(diag_error(-ENOMEM, "out of memory"));
			break;
		}
	}
	if (!status)
		status = write_out(&doctor, config.format);
	for (size_t i = 0; i < doctor.ntargets; i++)
		feature_target__free(targets[i]);
	return status;
}

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "doctor [-p PID[,PID...]] [-f FORMAT]",
	.summary = "say what this host and these processes allow, why, and what can be done; changes nothing",
	.notes = "Exit status: 0 profiling works here and with every process named, 3 not supported here,\n"
		 "4 not permitted, 1 failed.",
	.opts = opts,
	.run = run,
};
