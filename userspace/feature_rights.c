/*
 * feature_rights: what this process may do: capabilities and the namespaces that they count in, no_new_privs, and the
 * system calls that a seccomp filter lets through.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "diag.h"
#include "feature_priv.h"

#define BIT(cap) (1ULL << (cap))

/* The kernel takes CAP_SYS_ADMIN for these too (perfmon_capable, bpf_capable, checkpoint_restore_ns_capable in
 * include/linux/capability.h). */
#define IN_SYS_ADMIN (BIT(CAP_BPF) | BIT(CAP_PERFMON) | BIT(CAP_CHECKPOINT_RESTORE))

static bool holds(const struct feature_facts *facts, int cap)
{
	return facts->effective & BIT(cap) || (BIT(cap) & IN_SYS_ADMIN && facts->effective & BIT(CAP_SYS_ADMIN));
}

static bool in_own_user_namespace(const struct feature_facts *facts)
{
	return facts->user_ns && facts->user_ns != FEATURE_INIT_USER_NS;
}

bool feature_capable(const struct feature_facts *facts, int cap)
{
	return holds(facts, cap) && !in_own_user_namespace(facts);
}

bool feature_refused_for_unknown_reason(const struct feature_facts *facts)
{
	const struct feature_trial *t = facts->trial;

	return t->err == -DIAG_NO_CAPABILITY && feature_capable(facts, CAP_BPF) &&
	       feature_capable(facts, CAP_PERFMON) && !t->calls[FEATURE_CALL_BPF] &&
	       (t->multi || !t->calls[FEATURE_CALL_PERF]);
}

/* How to come by a capability, by what stands in the way of it. */
static void capability_remedy(const struct feature_facts *facts, int cap, struct feature_check *c)
{
	if (!(facts->bounding & BIT(cap)) && !(BIT(cap) & IN_SYS_ADMIN && facts->bounding & BIT(CAP_SYS_ADMIN)))
		feature_check__remedy(c, "start the session, container or service that pylu-bpf runs in with it "
					 "(docker run --cap-add, CapabilityBoundingSet= of a systemd unit)");
	else if (facts->uid == 0 && !(facts->permitted & BIT(cap)))
		feature_check__remedy(c, "start pylu-bpf from a session of root in which it was not dropped");
	else if (facts->no_new_privs)
		feature_check__remedy(c, "run as root; file capabilities do not help under no_new_privs");
	else
		feature_check__remedy(c,
				      "run as root, or once, as root: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,"
				      "cap_dac_read_search,cap_checkpoint_restore+ep %s",
				      facts->self);
}

static void check_capability(const struct feature_facts *facts, struct feature_check *c, int cap,
			     enum feature_status without, const char *effect)
{
	if (facts->status_err) {
		feature_check__say(c, FEATURE_UNKNOWN, "/proc/self/status cannot be read: %s",
				   strerror(-facts->status_err));
		return;
	}
	feature_check__flag(c, feature_capable(facts, cap));
	if (feature_capable(facts, cap)) {
		feature_check__say(c, FEATURE_OK, "held%s", facts->effective & BIT(cap) ? "" : ", as CAP_SYS_ADMIN");
	} else if (holds(facts, cap)) {
		feature_check__say(c, without, "held in this user namespace only, which does not count: %s", effect);
	} else {
		feature_check__say(c, without, "missing: %s", effect);
		capability_remedy(facts, cap, c);
	}
}

void feature_check_cap_bpf(const struct feature_facts *facts, struct feature_check *c)
{
	check_capability(facts, c, CAP_BPF, FEATURE_NO, "BPF programs cannot be loaded");
}

void feature_check_cap_perfmon(const struct feature_facts *facts, struct feature_check *c)
{
	check_capability(facts, c, CAP_PERFMON, FEATURE_NO, "BPF programs can neither trace nor read user memory");
}

void feature_check_cap_sys_ptrace(const struct feature_facts *facts, struct feature_check *c)
{
	check_capability(facts, c, CAP_SYS_PTRACE, FEATURE_LIMITED,
			 "processes of other users, and of more privilege than ours, cannot be looked at");
}

void feature_check_cap_dac_read_search(const struct feature_facts *facts, struct feature_check *c)
{
	check_capability(facts, c, CAP_DAC_READ_SEARCH, FEATURE_LIMITED,
			 "interpreters in folders that are closed to us cannot be opened");
}

/* For /proc/PID/map_files, the one way to a file that has no name any more. */
void feature_check_cap_checkpoint_restore(const struct feature_facts *facts, struct feature_check *c)
{
	check_capability(facts, c, CAP_CHECKPOINT_RESTORE, FEATURE_LIMITED,
			 "libraries that were deleted or replaced since a process loaded them cannot be opened");
}

void feature_check_no_new_privs(const struct feature_facts *facts, struct feature_check *c)
{
	bool needed = !feature_capable(facts, CAP_BPF) || !feature_capable(facts, CAP_PERFMON);

	if (facts->status_err)
		return;
	feature_check__flag(c, facts->no_new_privs);
	if (!facts->no_new_privs) {
		feature_check__say(c, FEATURE_OK, "not set");
		return;
	}
	feature_check__say(c, needed ? FEATURE_LIMITED : FEATURE_OK,
			   "set: sudo and file capabilities have no effect here%s",
			   needed ? "" : ", but what is needed is held");
	if (needed)
		feature_check__remedy(c, "use a session without it (NoNewPrivileges= of a systemd unit, docker's "
					 "--security-opt no-new-privileges)");
}

void feature_check_user_namespace(const struct feature_facts *facts, struct feature_check *c)
{
	if (!facts->user_ns) {
		feature_check__say(c, FEATURE_UNKNOWN, "/proc/self/ns/user cannot be read");
		return;
	}
	feature_check__flag(c, !in_own_user_namespace(facts));
	if (!in_own_user_namespace(facts)) {
		feature_check__say(c, FEATURE_OK, "the host's");
		return;
	}
	feature_check__say(c, FEATURE_NO, "one of its own: capabilities do not count for BPF, nor root");
	feature_check__remedy(
		c, "run pylu-bpf in the host's (as root outside of the container; docker run --userns=host)");
}

/* BPF programs see the numbers that the host has for processes. */
void feature_check_pid_namespace(const struct feature_facts *facts, struct feature_check *c)
{
	if (!facts->pid_ns) {
		feature_check__say(c, FEATURE_UNKNOWN, "/proc/self/ns/pid cannot be read");
		return;
	}
	feature_check__flag(c, facts->pid_ns == FEATURE_INIT_PID_NS);
	if (facts->pid_ns == FEATURE_INIT_PID_NS) {
		feature_check__say(c, FEATURE_OK, "the host's");
		return;
	}
	feature_check__say(c, FEATURE_NO, "one of its own: the kernel's numbers of processes are others than ours");
	feature_check__remedy(c, "run pylu-bpf in the host's (outside of the container; docker run --pid=host)");
}

void feature_check_seccomp(const struct feature_facts *facts, struct feature_check *c)
{
	static const char *const modes[] = { "none", "strict", "filter" };

	if (facts->status_err)
		return;
	feature_check__text(c, facts->seccomp >= 0 && facts->seccomp < 3 ? modes[facts->seccomp] : "unknown");
	feature_check__say(c, FEATURE_OK,
			   facts->seccomp ? "a filter is active; what it lets through is below" : "no filter");
}

static void check_call(const struct feature_facts *facts, struct feature_check *c, enum feature_call call,
		       enum feature_status without, const char *effect)
{
	int result = facts->trial->calls[call];

	if (result == FEATURE_UNTRIED) {
		feature_check__say(c, FEATURE_UNKNOWN, "not tried: no child could be started");
		return;
	}
	feature_check__flag(c, result == 0);
	if (result == 0) {
		feature_check__say(c, FEATURE_OK, "the call reaches the kernel");
		return;
	}
	if (result == FEATURE_KILLED)
		feature_check__say(c, without, "a seccomp filter kills who makes the call: %s", effect);
	else if (facts->seccomp)
		feature_check__say(c, without, "refused, probably by the seccomp filter (%s): %s", strerror(result),
				   effect);
	else
		feature_check__say(c, without, "refused by the kernel (%s): %s", strerror(result), effect);
	if (facts->seccomp || result == FEATURE_KILLED)
		feature_check__remedy(c, "start it without the filter (docker run --security-opt seccomp=unconfined, "
					 "SystemCallFilter= of a systemd unit)");
}

/* Older kernels refuse whatever command it is to those without CAP_BPF, so that no filter need be the reason. */
void feature_check_call_bpf(const struct feature_facts *facts, struct feature_check *c)
{
	if (facts->trial->calls[FEATURE_CALL_BPF] == EPERM && !feature_capable(facts, CAP_BPF)) {
		feature_check__say(c, FEATURE_UNKNOWN, "refused (%s), as without CAP_BPF", strerror(EPERM));
		return;
	}
	check_call(facts, c, FEATURE_CALL_BPF, FEATURE_NO, "BPF programs cannot be loaded");
}

/* Links of uprobe_multi do without it. */
void feature_check_call_perf(const struct feature_facts *facts, struct feature_check *c)
{
	check_call(facts, c, FEATURE_CALL_PERF, facts->trial->multi ? FEATURE_LIMITED : FEATURE_NO,
		   facts->trial->multi ? "hardware breakpoints cannot be set, which no backend needs"
				       : "probes cannot be attached");
}

void feature_check_call_read(const struct feature_facts *facts, struct feature_check *c)
{
	check_call(facts, c, FEATURE_CALL_READ, FEATURE_NO, "the memory of processes cannot be read");
}
