/*
 * feature_host: the list of a host's checks, and those about its kernel. What rights we have is in feature_rights.c, what
 * its settings forbid in feature_policy.c.
 */
#include <errno.h>
#include <linux/capability.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "feature_priv.h"

/* Below this version nothing was tried that works. What a vendor's kernel has is found out by loading the programs. */
#define KERNEL_MAJOR 5
#define KERNEL_MINOR 17

static bool is_older(const char *release)
{
	unsigned major, minor;

	return sscanf(release, "%u.%u", &major, &minor) == 2 &&
	       (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR));
}

static void check_kernel(const struct feature_facts *facts, struct feature_check *c)
{
	char release[128];
	ssize_t err = feature_read(facts, "/proc/sys/kernel/osrelease", release, sizeof(release));

	if (err < 0) {
		feature_check__say(c, FEATURE_UNKNOWN, "the kernel's release cannot be read: %s", strerror((int)-err));
		return;
	}
	feature_check__text(c, release);
	if (facts->trial->loaded || !is_older(release)) {
		feature_check__say(c, FEATURE_OK, "Linux %s", release);
		return;
	}
	feature_check__say(c, facts->trial->err == -DIAG_NO_KERNEL ? FEATURE_NO : FEATURE_UNKNOWN,
			   "Linux %s: what is needed came with %d.%d; whether this kernel has it %s", release,
			   KERNEL_MAJOR, KERNEL_MINOR,
			   facts->trial->err == -DIAG_NO_KERNEL ? "was tried, and it has not" : "could not be tried");
	feature_check__remedy(c, "boot Linux %d.%d or later", KERNEL_MAJOR, KERNEL_MINOR);
}

static void check_btf(const struct feature_facts *facts, struct feature_check *c)
{
	static const char path[] = "/sys/kernel/btf/vmlinux";
	char byte[2];
	ssize_t n = feature_read(facts, path, byte, sizeof(byte));

	feature_check__flag(c, n > 0);
	if (n > 0) {
		feature_check__say(c, FEATURE_OK, "the kernel describes its types in %s", path);
	} else if (n == -ENOENT && !feature_exists(facts, "/sys/kernel")) {
		feature_check__say(c, FEATURE_NO, "sysfs is not mounted on /sys, so the kernel's types are not known");
		feature_check__remedy(c, "mount -t sysfs sysfs /sys");
	} else {
		feature_check__say(c, FEATURE_NO, "%s cannot be read, so the kernel's types are not known: %s", path,
				   n < 0 ? strerror((int)-n) : "it is empty");
		feature_check__remedy(c, "boot a kernel that was built with CONFIG_DEBUG_INFO_BTF");
	}
}

static void check_programs(const struct feature_facts *facts, struct feature_check *c)
{
	const struct feature_trial *t = facts->trial;

	feature_check__flag(c, t->loaded);
	if (t->loaded) {
		feature_check__say(c, FEATURE_OK, "the kernel accepts the BPF programs");
		return;
	}
	feature_check__say(c, FEATURE_NO, "%s", t->why);
	if (t->err == -DIAG_NO_KERNEL)
		feature_check__remedy(c,
				      "boot Linux %d.%d or later with CONFIG_BPF_SYSCALL, CONFIG_BPF_EVENTS and "
				      "CONFIG_UPROBE_EVENTS",
				      KERNEL_MAJOR, KERNEL_MINOR);
	else if (feature_refused_for_unknown_reason(facts))
		feature_check__remedy(c, "look into the kernel's log (dmesg) and the audit log for a security module's "
					 "refusal");
}

static void check_uprobes(const struct feature_facts *facts, struct feature_check *c)
{
	static const char path[] = "/sys/bus/event_source/devices/uprobe";
	const struct feature_trial *t = facts->trial;
	bool there = feature_exists(facts, path);

	if (!t->err || t->err == -DIAG_FOREIGN_PIDS) {
		feature_check__flag(c, true);
		feature_check__say(c, FEATURE_OK, "a probe on ourselves fires");
	} else if (t->loaded) {
		feature_check__flag(c, false);
		feature_check__say(c, FEATURE_NO, "%s", t->why);
		if (!there)
			feature_check__remedy(c, "boot a kernel that was built with CONFIG_UPROBE_EVENTS");
	} else if (there) {
		feature_check__say(c, FEATURE_UNKNOWN,
				   "the kernel has them (%s), but without BPF programs they cannot be tried", path);
	} else {
		feature_check__say(c, FEATURE_UNKNOWN,
				   "%s is not there, and without BPF programs it cannot be tried whether it is needed",
				   path);
	}
}

static void check_multi(const struct feature_facts *facts, struct feature_check *c)
{
	if (!facts->trial->loaded) {
		feature_check__say(c, FEATURE_UNKNOWN, "cannot be tried without BPF programs");
		return;
	}
	feature_check__flag(c, facts->trial->multi);
	if (facts->trial->multi) {
		feature_check__say(c, FEATURE_OK, "all probes are attached and detached in one step");
		return;
	}
	feature_check__say(c, FEATURE_LIMITED,
			   "each probe is a perf event of its own: slow to detach, and a hit costs more");
	feature_check__remedy(c, "boot Linux 6.6 or later");
}

static void check_filter(const struct feature_facts *facts, struct feature_check *c)
{
	if (facts->trial->err) {
		feature_check__say(c, FEATURE_UNKNOWN, "cannot be tried without a probe on ourselves");
		return;
	}
	feature_check__flag(c, facts->trial->cost.thread_filter);
	if (facts->trial->cost.thread_filter) {
		feature_check__say(c, FEATURE_OK, "probes can be limited to one process with all its threads");
		return;
	}
	feature_check__say(c, FEATURE_LIMITED,
			   "probes are in every process that runs the same interpreter file: the others pay too");
	feature_check__remedy(c, "boot Linux 6.10 or later");
}

/* Only root may read these sysctls; in another network namespace they are not there at all. */
static void check_jit(const struct feature_facts *facts, struct feature_check *c)
{
	long long enabled = -1;
	int err = feature_read_number(facts, "/proc/sys/net/core/bpf_jit_enable", &enabled);
	bool jited = facts->trial->jited > 0 || (facts->trial->jited < 0 && enabled > 0);

	if (facts->trial->jited < 0 && err) {
		feature_check__say(c, FEATURE_UNKNOWN, "net.core.bpf_jit_enable cannot be read: %s", strerror(-err));
		return;
	}
	feature_check__flag(c, jited);
	if (jited) {
		feature_check__say(c, FEATURE_OK, "BPF programs are compiled");
		return;
	}
	feature_check__say(c, FEATURE_LIMITED, "BPF programs are interpreted, which makes every hit slower");
	feature_check__remedy(c, "sysctl net.core.bpf_jit_enable=1");
}

/* 1 concerns programs of users without CAP_BPF only. */
static void check_jit_harden(const struct feature_facts *facts, struct feature_check *c)
{
	long long level;
	int err = feature_read_number(facts, "/proc/sys/net/core/bpf_jit_harden", &level);

	if (err) {
		feature_check__say(c, FEATURE_UNKNOWN, "net.core.bpf_jit_harden cannot be read: %s", strerror(-err));
		return;
	}
	feature_check__number(c, level);
	if (level < 2) {
		feature_check__say(c, FEATURE_OK, "%lld: programs of those who hold CAP_BPF are compiled as they are",
				   level);
		return;
	}
	feature_check__say(c, FEATURE_LIMITED, "%lld: constants in programs are hidden, which makes every hit slower",
			   level);
	feature_check__remedy(c, "sysctl net.core.bpf_jit_harden=1");
}

static void check_jit_limit(const struct feature_facts *facts, struct feature_check *c)
{
	long long bytes;
	int err = feature_read_number(facts, "/proc/sys/net/core/bpf_jit_limit", &bytes);

	if (err) {
		feature_check__say(c, facts->trial->loaded ? FEATURE_OK : FEATURE_UNKNOWN,
				   "net.core.bpf_jit_limit cannot be read: %s%s", strerror(-err),
				   facts->trial->loaded ? "; the programs fit" : "");
		return;
	}
	feature_check__number(c, bytes);
	feature_check__say(c, FEATURE_OK, "%lld bytes for the compiled programs of the host%s", bytes,
			   facts->trial->loaded ? ": ours fit" : "");
}

static void check_breakpoints(const struct feature_facts *facts, struct feature_check *c)
{
	int n = facts->trial->breakpoints, err = facts->trial->breakpoints_err;

	if (!n && err != ENOSPC) {
		feature_check__say(c, FEATURE_UNKNOWN, "none can be set on ourselves: %s",
				   err > 0		   ? strerror(err)
				   : err == FEATURE_KILLED ? "a seccomp filter kills who tries"
							   : "not tried");
		return;
	}
	feature_check__number(c, n);
	feature_check__say(c, n < 4 ? FEATURE_LIMITED : FEATURE_OK, "%d can be set on a thread of ours%s", n,
			   n < 4 ? ": a debugger, perf or another tool may hold the others" : "");
	if (n < 4)
		feature_check__remedy(c,
				      "end what holds them, for instance `perf record -e mem:...` on all processors");
}

/* In the order of the list. */
static const struct {
	const char *name;
	feature_host_check check;
} checks[] = {
	{ "kernel", check_kernel },
	{ "btf", check_btf },
	{ "programs", check_programs },
	{ "uprobes", check_uprobes },
	{ "uprobe_multi", check_multi },
	{ "process_filter", check_filter },
	{ "bpf_jit", check_jit },
	{ "bpf_jit_harden", check_jit_harden },
	{ "bpf_jit_limit", check_jit_limit },
	{ "debug_registers", check_breakpoints },
	{ "cap_bpf", feature_check_cap_bpf },
	{ "cap_perfmon", feature_check_cap_perfmon },
	{ "cap_sys_ptrace", feature_check_cap_sys_ptrace },
	{ "cap_dac_read_search", feature_check_cap_dac_read_search },
	{ "cap_checkpoint_restore", feature_check_cap_checkpoint_restore },
	{ "no_new_privs", feature_check_no_new_privs },
	{ "user_namespace", feature_check_user_namespace },
	{ "pid_namespace", feature_check_pid_namespace },
	{ "seccomp", feature_check_seccomp },
	{ "call_bpf", feature_check_call_bpf },
	{ "call_perf_event_open", feature_check_call_perf },
	{ "call_process_vm_readv", feature_check_call_read },
	{ "lockdown", feature_check_lockdown },
	{ "lsm", feature_check_lsm },
	{ "yama", feature_check_yama },
	{ "perf_event_paranoid", feature_check_paranoid },
	{ "unprivileged_bpf", feature_check_unprivileged_bpf },
	{ "hidepid", feature_check_hidepid },
};

static uint64_t status_field(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	return at ? strtoull(at + strlen(name), NULL, base) : 0;
}

static void read_facts(const char *root, const struct feature_trial *trial, struct feature_facts *facts)
{
	char status[8192], path[PATH_MAX];
	const char *uid;
	ssize_t n;

	*facts = (struct feature_facts){ .root = root, .trial = trial };
	status[0] = '\n';
	n = feature_read(facts, "/proc/self/status", status + 1, sizeof(status) - 1);
	if (n < 0)
		facts->status_err = (int)n;
	facts->effective = status_field(status, "\nCapEff:", 16);
	facts->permitted = status_field(status, "\nCapPrm:", 16);
	facts->bounding = status_field(status, "\nCapBnd:", 16);
	facts->no_new_privs = (int)status_field(status, "\nNoNewPrivs:", 10);
	facts->seccomp = (int)status_field(status, "\nSeccomp:", 10);
	uid = strstr(status, "\nUid:");
	if (uid)
		sscanf(uid + 5, "%*u %u", &facts->uid); /* the second is the effective one */
	facts->user_ns = feature_namespace(facts, "/proc/self/ns/user");
	facts->pid_ns = feature_namespace(facts, "/proc/self/ns/pid");
	snprintf(path, sizeof(path), "%s/proc/self/exe", root);
	n = readlink(path, facts->self, sizeof(facts->self) - 1);
	if (n <= 0 || n == (ssize_t)sizeof(facts->self) - 1)
		snprintf(facts->self, sizeof(facts->self), "pylu-bpf");
}

void feature_host__examine(const char *root, const struct feature_trial *trial, struct feature_host *out)
{
	struct feature_facts facts;

	*out = (struct feature_host){ .err = trial->err, .cost = trial->cost };
	snprintf(out->why, sizeof(out->why), "%s", trial->why);
	read_facts(root, trial, &facts);
	feature_read(&facts, "/proc/sys/kernel/hostname", out->name, sizeof(out->name));
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct feature_check *c = feature_list__add(&out->list, checks[i].name);

		checks[i].check(&facts, c);
		if (!c->text[0])
			out->list.n--;
		/* What the trial does not need, a target will: its memory. */
		if (c->status == FEATURE_NO && !out->err) {
			out->err = -DIAG_NO_CAPABILITY;
			snprintf(out->why, sizeof(out->why), "%s", c->text);
		}
	}
}
