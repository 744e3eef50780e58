/*
 * cmd_attach: brings the agent into processes that were not prepared for it. Knows the order of things; how a library
 * comes into a process is inject's business, what an agent says is link's.
 *
 * Three ends are told apart: the agent reported in; a thread was sent off, which cannot be called back, and nothing
 * was heard yet; nothing was done.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent_file.h"
#include "clock_ns.h"
#include "diag.h"
#include "inject.h"
#include "inject_file.h"
#include "link.h"
#include "msg.h"
#include "opt.h"
#include "program.h"
#include "proto.h"
#include "target.h"

#define WAIT_SECONDS 10
#define CALL_SECONDS 1 /* for the agent of a library that is there already */
#define HELLO_MS 5000
#define LOOK_NS 1000000
#define START_AGAIN "pylu_agent_start_again"

struct config {
	struct opt_pids pids;
	const char *agent;
	double wait;
	bool force;
};

static const struct opt opts[] = {
	{ 'p', "pid", "PID[,PID...]", "the processes", OPT_PIDS, offsetof(struct config, pids) },
	{ 0, "wait", "SECONDS", "look so long for a fitting moment, and then wait so long for the agent (default: 10)",
	  OPT_SECONDS, offsetof(struct config, wait) },
	{ 0, "force", NULL, "also where a seccomp filter may end the process for that", OPT_FLAG,
	  offsetof(struct config, force) },
	{ 0, "agent", "PATH", "the agent's library (default: PYLU_AGENT, or beside pylu-cli)", OPT_STRING,
	  offsetof(struct config, agent) },
	{ 0 },
};

/* Whether there is an agent, and what it is: one line in `text`. 0, -DIAG_NO_AGENT, not reported, or another code,
 * reported. One that is just ending is none. */
static int ask(const struct target *t, char *text, size_t size)
{
	struct msg_out request = { 0 };
	struct diag_capture capture;
	struct link *link = NULL;
	struct msg_in answer;
	int err;

	diag_capture__begin(&capture);
	err = link__open(t->pid, HELLO_MS, &link);
	if (!err)
		err = link__call(link, PROTO_HELLO, &request, HELLO_MS, &answer);
	diag_capture__end(&capture);
	if (err == -DIAG_GONE && target__alive(t))
		err = -DIAG_NO_AGENT;
	if (!err)
		snprintf(text, size, "agent %s, Python %s", msg__str(&answer, PROTO_F_AGENT_TEXT, "?"),
			 msg__str(&answer, PROTO_F_PY_TEXT, "?"));
	else if (err > 0)
		err = diag_error(-DIAG_UNSUPPORTED, "process %d: its agent answers: %s", (int)t->pid,
				 msg__str(&answer, PROTO_F_ERROR, "?"));
	else if (err != -DIAG_NO_AGENT)
		diag_error(err, "%s", *capture.error ? capture.error : diag_strerror(err));
	link__close(link);
	msg__free(&request);
	return err;
}

/* Waits for the agent. As above; -ETIMEDOUT, not reported, when it does not come. */
static int await_agent(const struct target *t, double seconds, char *text, size_t size)
{
	const uint64_t until = monotonic_ns() + (uint64_t)(seconds * 1e9);
	int err;

	while ((err = ask(t, text, size)) == -DIAG_NO_AGENT) {
		if (!target__alive(t))
			return diag_error(-DIAG_GONE, "process %d has ended", (int)t->pid);
		if (monotonic_ns() > until)
			return -ETIMEDOUT;
		nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	return err;
}

static int not_heard(const struct target *t, const struct inject_result *sent, const char *agent, double seconds)
{
	struct diag_capture capture;
	uint64_t addr;
	int err;

	diag_capture__begin(&capture);
	err = inject_find_loaded(t, agent, START_AGAIN, &addr);
	diag_capture__end(&capture);
	return diag_error(-ETIMEDOUT,
			  "process %d: thread %d was sent to load the agent, which did not report in within %g s; the "
			  "library is %s. "
			  "This cannot be called back: the agent may still come, and `pylu-cli ps` shows it then",
			  (int)t->pid, (int)sent->tid, seconds,
			  err == -ENOENT
				  ? "not loaded (yet): the thread may wait for something, or it could not be loaded"
				  : "loaded");
}

/*
 * Sends a thread off, and waits. A library that is there may be just about to end an earlier agent, and then takes no
 * notice: it is called again.
 */
static int send_and_wait(const struct target *t, const struct config *config, const struct inject_options *options,
			 struct inject_result *sent, char *text, size_t size)
{
	const uint64_t until = monotonic_ns() + (uint64_t)(config->wait * 1e9);
	double wait = config->wait;
	int err;

	if (options->call && wait > CALL_SECONDS)
		wait = CALL_SECONDS;
	do {
		err = inject(t, options, sent);
		if (err)
			return err;
		err = await_agent(t, wait, text, size);
	} while (err == -ETIMEDOUT && options->call && monotonic_ns() < until);
	return err == -ETIMEDOUT ? not_heard(t, sent, config->agent, config->wait) : err;
}

/* The file must stay for as long as the thread may still open it. */
static int bring_in(const struct target *t, const struct config *config)
{
	struct inject_options options = { .seconds = config->wait, .force = config->force };
	struct inject_file file = { .dir = -1 };
	struct inject_result sent;
	char text[256];
	int err = inject_find_loaded(t, config->agent, START_AGAIN, &options.call);

	if (err == -ENOENT) {
		err = inject_file__make(t, config->agent, &file);
		options.library = file.path;
	}
	if (!err)
		err = send_and_wait(t, config, &options, &sent, text, sizeof(text));
	if (!err)
		printf("process %d: the agent reported in (%s); thread %d, %s, stood still for %.1f ms\n", (int)t->pid,
		       text, (int)sent.tid, sent.where, sent.stopped_ms);
	inject_file__remove(&file);
	return err;
}

static int attach(pid_t pid, const struct config *config)
{
	struct target *t = NULL;
	char text[256];
	int err = target__open(pid, &t);

	if (!err) {
		err = ask(t, text, sizeof(text));
		if (!err)
			printf("process %d: there is an agent in it already (%s)\n", (int)pid, text);
		else if (err == -DIAG_NO_AGENT)
			err = bring_in(t, config);
	}
	fflush(stdout);
	target__close(t);
	return program_failed(err);
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct config config = { .wait = WAIT_SECONDS };
	int first, status = opt__parse(cmd, argc, argv, &config, &first);
	char agent[PATH_MAX];
	int err;

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	if (!config.pids.n)
		return opt__usage(cmd, "which process? give -p PID");
	err = agent_file__find(config.agent, agent);
	if (err)
		return program_failed(err);
	config.agent = agent;
	for (size_t i = 0; i < config.pids.n; i++) {
		const int one = attach(config.pids.pids[i], &config);

		status = one > status ? one : status;
	}
	return status;
}

const struct command cmd_attach = {
	.name = "attach",
	.usage = "attach -p PID[,PID...] [OPTIONS]",
	.summary = "bring the agent into a running process that was not started with it",
	.notes = "One thread is stopped for a fraction of a millisecond, where that is safe, and sent to load the "
		 "library. If no "
		 "thread\nstands so, nothing is done, and each thread's reason is given. Needs what a debugger needs "
		 "(ptrace); no other "
		 "command does.",
	.opts = opts,
	.run = run,
};
