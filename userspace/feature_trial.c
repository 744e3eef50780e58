/*
 * feature_trial: what can only be found out by trying. Each trial runs in a child: a seccomp filter may kill who makes a
 * system call that it does not like, and what a trial leaves behind ends with the child. The results come back in memory
 * that the two share.
 */
#include "feature.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "probe.h"
#include "programs.h"
#include "skel.h"

#define BREAKPOINTS_MAX 32 /* a processor of today has four */

/* The calls are made with arguments that the kernel refuses with EINVAL before it does anything, so that another error
 * is that of a filter in front of it, or of a kernel that lacks the call. bpf() alone may answer with EPERM first: before
 * Linux 5.19, to those without CAP_BPF. */
static long call_bpf(void)
{
	return syscall(SYS_bpf, -1, NULL, 0);
}

static long call_perf(void)
{
	return syscall(SYS_perf_event_open, NULL, 0, -1, -1, ~0UL);
}

static long call_read(void)
{
	return syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 1UL);
}

static void try_call(struct feature_trial *t, int which)
{
	static long (*const calls[FEATURE_CALLS])(void) = {
		[FEATURE_CALL_BPF] = call_bpf,
		[FEATURE_CALL_PERF] = call_perf,
		[FEATURE_CALL_READ] = call_read,
	};

	t->calls[which] = FEATURE_KILLED;
	t->calls[which] = calls[which]() < 0 && errno != EINVAL ? errno : 0;
}

/* On a variable of our own, until none is left. They go with the child. */
static void try_breakpoints(struct feature_trial *t, int unused)
{
	uint64_t watched = 0;
	struct perf_event_attr attr = {
		.type = PERF_TYPE_BREAKPOINT,
		.size = sizeof(attr),
		.bp_type = HW_BREAKPOINT_W,
		.bp_addr = (uint64_t)(uintptr_t)&watched,
		.bp_len = HW_BREAKPOINT_LEN_8,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	(void)unused;
	t->breakpoints_err = FEATURE_KILLED;
	while (t->breakpoints < BREAKPOINTS_MAX &&
	       syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC) >= 0)
		t->breakpoints++;
	t->breakpoints_err = errno;
}

/* Whether the kernel compiled a program that was loaded. */
static int is_jited(const struct pylu *skel)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(skel->progs.probe), &info, &size))
		return -1;
	return info.jited_prog_len > 0;
}

/* As a session does it, up to the first target. */
static void try_programs(struct feature_trial *t, int unused)
{
	struct diag_capture said;
	struct pylu *skel = NULL;
	struct cost cost;

	(void)unused;
	diag_capture__begin(&said);
	t->err = programs__load(PROGRAMS_COUNT, &skel, &t->multi);
	t->loaded = !t->err;
	if (!t->err) {
		t->jited = is_jited(skel);
		t->err = programs__attach_scheduler(skel, true);
	}
	if (!t->err)
		t->err = cost__measure(skel, t->multi, &cost);
	diag_capture__end(&said);
	snprintf(t->why, sizeof(t->why), "%s", said.error);
	if (t->err)
		return;
	t->cost = cost;
	t->cost.links = NULL;
	probe_links__free(cost.links);
	pylu__destroy(skel);
}

/* Runs a trial in a child. The signal that killed it, 0 none, or -errno when there was no child. */
static int in_child(void (*trial)(struct feature_trial *, int), struct feature_trial *shared, int arg)
{
	const struct rlimit none = { 0, 0 };
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		trial(shared, arg);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void try_all(struct feature_trial *t)
{
	int died;

	for (int i = 0; i < FEATURE_CALLS; i++)
		in_child(try_call, t, i);
	in_child(try_breakpoints, t, 0);
	died = in_child(try_programs, t, 0);
	if (died > 0) {
		t->err = died == SIGSYS ? -DIAG_NO_CAPABILITY : -EIO;
		snprintf(t->why, sizeof(t->why), "the child that loads the BPF programs was killed: %s%s",
			 strsignal(died), died == SIGSYS ? ", by a seccomp filter" : "");
	} else if (died < 0) {
		snprintf(t->why, sizeof(t->why), "no child could be started to load the BPF programs: %s",
			 strerror(-died));
	}
}

void feature_try(struct feature_trial *out)
{
	struct feature_trial *shared;

	*out = (struct feature_trial){ .err = -EIO, .jited = -1, .breakpoints_err = FEATURE_UNTRIED };
	for (int i = 0; i < FEATURE_CALLS; i++)
		out->calls[i] = FEATURE_UNTRIED;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		snprintf(out->why, sizeof(out->why), "no memory for the trials: %s", strerror(errno));
		return;
	}
	*shared = *out;
	try_all(shared);
	*out = *shared;
	munmap(shared, sizeof(*shared));
}
