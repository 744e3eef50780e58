/*
 * prove: see prove.h. The proof is an ordinary session on the child; nothing of the measuring is written twice.
 */
#include "prove.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "pattern.h"
#include "profile.h"
#include "prove_child.h"
#include "prove_script.h"
#include "session_priv.h"
#include "target.h"

#define START_MS 5000 /* for the child's interpreter to start, on a loaded machine */
#define RUN_MS 20000
#define PROVE_EXPECTED (sizeof(prove_expected) / sizeof(prove_expected[0]))

struct child {
	pid_t pid;
	int in, out; /* our ends of its standard input and output */
};

static int start(const struct prove_child *how, struct child *child)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err;

	child->pid = -1;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		goto fail;
	child->pid = prove_child__start(how, prove_script, in[0], out[1]);
	if (child->pid < 0) {
		errno = -child->pid;
		goto fail;
	}
	close(in[0]);
	close(out[1]);
	child->in = in[1];
	child->out = out[0];
	return 0;
fail:
	err = errno;
	for (int i = 0; i < 2; i++) {
		if (in[i] >= 0)
			close(in[i]);
		if (out[i] >= 0)
			close(out[i]);
	}
	diag_debug("cannot start a child for the proof: %s", strerror(err));
	return -err;
}

/* Ends the child. What waitpid says of it. */
static int finish(struct child *child)
{
	int status = 0;

	close(child->in);
	close(child->out);
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Waits for one character of the child, handling the session's events meanwhile. */
static bool await(const struct child *child, char want, int ms, struct session *s)
{
	struct pollfd fd = { .fd = child->out, .events = POLLIN };
	char c;

	for (int waited = 0; waited < ms; waited += 20) {
		if (s)
			session__poll(s, 0);
		if (poll(&fd, 1, 20) > 0)
			return read(child->out, &c, 1) == 1 && c == want;
	}
	return false;
}

struct counted {
	uint64_t hits, raised, suspended, wrong_caller, wrong_place;
	const struct prof_call *last; /* of those, one */
};

static void count_call(const struct prof_call *call, const struct prove_expected *want, struct counted *got)
{
	const char *caller = call->parent->function;

	if (strcmp(call->function, want->name))
		return;
	got->hits += call->hits;
	got->raised += call->raised;
	got->suspended += call->suspended_at_end;
	if (want->caller && (!caller || strcmp(caller, want->caller))) {
		got->wrong_caller += call->hits;
		got->last = call;
	}
	if (want->file && (strcmp(call->file, want->file) || call->line != want->line)) {
		got->wrong_place += call->hits;
		got->last = call;
	}
}

/* 1, or -DIAG_NOT_PROVED, reported. */
static int check_counted(const struct prove_expected *want, const struct counted *got)
{
	if (got->hits != want->hits || got->raised != want->raised)
		return diag_error(-DIAG_NOT_PROVED,
				  "on a trial of this interpreter, %s was counted %llu times (%llu raised), but ran "
				  "%llu times (%llu raised)",
				  want->name, (unsigned long long)got->hits, (unsigned long long)got->raised,
				  (unsigned long long)want->hits, (unsigned long long)want->raised);
	if (got->suspended)
		return diag_error(-DIAG_NOT_PROVED,
				  "on a trial of this interpreter, %llu of %llu calls of %s were not seen to end, but "
				  "all did",
				  (unsigned long long)got->suspended, (unsigned long long)got->hits, want->name);
	if (got->wrong_caller)
		return diag_error(
			-DIAG_NOT_PROVED,
			"on a trial of this interpreter, %llu of %llu calls of %s were taken for calls by %s, "
			"but all were made by %s",
			(unsigned long long)got->wrong_caller, (unsigned long long)got->hits, want->name,
			got->last->parent->function ? got->last->parent->function : "nobody", want->caller);
	if (got->wrong_place)
		return diag_error(-DIAG_NOT_PROVED,
				  "on a trial of this interpreter, %s was said to be at %s:%u, but is at %s:%u",
				  want->name, got->last->file, got->last->line, want->file, want->line);
	return 1;
}

static int check_calls(const struct profile *p)
{
	struct counted counted[PROVE_EXPECTED] = { { 0 } };
	int result = 1;

	for (size_t i = 0; i < p->nprocesses; i++)
		for (size_t t = 0; t < p->processes[i]->nthreads; t++) {
			const struct prof_call *root = p->processes[i]->threads[t]->root, *call = root;
			int depth = 0;

			while ((call = prof_call__next(root, call, &depth)))
				for (size_t e = 0; e < PROVE_EXPECTED; e++)
					count_call(call, &prove_expected[e], &counted[e]);
		}
	for (size_t e = 0; e < PROVE_EXPECTED && result > 0; e++)
		result = check_counted(&prove_expected[e], &counted[e]);
	return result;
}

/* What the programs themselves found odd. None of it may happen in the script. */
static int check_stats(const struct wire_stats *stats)
{
	const struct {
		uint64_t n;
		const char *what;
	} found[] = {
		{ stats->bad_code, "frames had no code object" },  { stats->unreadable, "frames could not be read" },
		{ stats->unclosed, "calls were not seen to end" }, { stats->lost_events, "calls were lost" },
		{ stats->stack_overflow, "calls had no caller" },
	};

	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
		if (found[i].n)
			return diag_error(-DIAG_NOT_PROVED, "on a trial of this interpreter, %llu %s",
					  (unsigned long long)found[i].n, found[i].what);
	return 1;
}

static int measure(struct session *s, size_t build, const struct elf_file *elf, struct child *child, const char **why)
{
	struct profile *p = NULL;
	uint32_t slot = 0;
	int err = session_prove_begin(s, build, elf, child->pid, &slot, why), late;

	if (err)
		return err < 0 ? err : 0;
	if (write(child->in, "g", 1) != 1)
		err = diag_error(-errno, "the trial child ended early");
	if (!err && !await(child, 'd', RUN_MS, s))
		err = diag_error(-DIAG_NOT_PROVED, "the trial child did not finish");
	late = session_prove_end(s, build, slot, &p);
	if (!err)
		err = late ? late : check_stats(&s->skel->bss->procs[slot].stats);
	if (err > 0)
		err = check_calls(p);
	profile__free(p);
	return err;
}

int prove_patterns(struct pattern_set **out)
{
	static const char *const everything[] = { "__main__.**", "pylu_trial.**" };

	return pattern_set__parse(everything, 2, out);
}

int prove_build(struct session *s, size_t build, const struct elf_file *elf, const struct prove_source *source,
		const char **why)
{
	struct child child = { .pid = -1, .in = -1, .out = -1 };
	uint64_t begun = monotonic_ns();
	struct prove_child how;
	bool ready;
	int status, err = source->target ? prove_child__of_target(source->target, &how, why)
					 : prove_child__of_command(source->exe, source->interp_path, &how, why);

	*why = err ? *why : "the interpreter does not start by itself";
	if (err || start(&how, &child)) {
		prove_child__close(&how);
		return 0;
	}
	ready = await(&child, 'r', START_MS, NULL);
	err = ready ? measure(s, build, elf, &child, why) : 0;
	status = finish(&child);
	prove_child__close(&how);
	if (ready)
		diag_debug("the trial of a child took %.1f ms", (double)(monotonic_ns() - begun) / 1e6);
	else if (WIFEXITED(status))
		diag_debug("the child of the trial ended with exit status %d", WEXITSTATUS(status));
	else
		diag_debug("the child of the trial did not start within %d ms", START_MS);
	return err;
}
