/*
 * feature_policy: what the host's settings and security modules forbid. Whether one that could stand in the way does is
 * told by the trial: where the programs run, it does not.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feature_priv.h"

#define SECURITYFS "/sys/kernel/security"

/* securityfs has at least "lsm" where it is mounted. What to say where a file of it is missing. */
static void without_securityfs(const struct feature_facts *facts, struct feature_check *c, const char *what)
{
	if (feature_exists(facts, SECURITYFS "/lsm")) {
		feature_check__say(c, FEATURE_OK, "this kernel has no %s", what);
	} else if (!facts->trial->err) {
		feature_check__say(c, FEATURE_OK, "not shown, because securityfs is not mounted; nothing is refused");
	} else {
		feature_check__say(c, FEATURE_UNKNOWN, "not shown, because securityfs is not mounted");
		feature_check__remedy(c, "mount -t securityfs securityfs " SECURITYFS);
	}
}

/*
 * "none integrity [confidentiality]". Integrity forbids BPF programs to write to user memory, confidentiality also to
 * read the kernel's (security/security.c, lockdown_reasons): neither is what ours do.
 */
void feature_check_lockdown(const struct feature_facts *facts, struct feature_check *c)
{
	char text[128], *word, *end;
	ssize_t n = feature_read(facts, SECURITYFS "/lockdown", text, sizeof(text));

	if (n < 0) {
		without_securityfs(facts, c, "lockdown");
		return;
	}
	word = strchr(text, '[');
	end = word ? strchr(word, ']') : NULL;
	if (!end) {
		feature_check__say(c, FEATURE_UNKNOWN, SECURITYFS "/lockdown has no mode that is known: %s", text);
		return;
	}
	*end = '\0';
	word++;
	feature_check__text(c, word);
	if (!strcmp(word, "none")) {
		feature_check__say(c, FEATURE_OK, "none");
	} else if (!facts->trial->err || !feature_refused_for_unknown_reason(facts)) {
		feature_check__say(c, FEATURE_OK, "%s: BPF programs may not %s, which ours do not", word,
				   strcmp(word, "integrity") ? "read the kernel's memory" : "write to user memory");
	} else {
		feature_check__say(c, FEATURE_LIMITED, "%s: may be the reason for which the programs are refused",
				   word);
		feature_check__remedy(c, "boot without lockdown=%s", word);
	}
}

/* The list, and by which profile a module confines us. */
void feature_check_lsm(const struct feature_facts *facts, struct feature_check *c)
{
	char names[256], profile[160];
	bool confined;
	ssize_t n = feature_read(facts, SECURITYFS "/lsm", names, sizeof(names));

	if (n < 0) {
		without_securityfs(facts, c, "security modules");
		return;
	}
	confined = feature_read(facts, "/proc/self/attr/current", profile, sizeof(profile)) > 0 &&
		   strncmp(profile, "unconfined", 10) && !strstr(profile, "unconfined_t");
	if (!names[0])
		snprintf(names, sizeof(names), "none");
	feature_check__text(c, names);
	if (!feature_refused_for_unknown_reason(facts)) {
		feature_check__say(c, FEATURE_OK, "%s%s%s", names, confined ? "; we run as " : "",
				   confined ? profile : "");
		return;
	}
	feature_check__say(c, FEATURE_LIMITED,
			   "%s: one of them may be the reason for which the programs are refused%s%s", names,
			   confined ? "; we run as " : "", confined ? profile : "");
	feature_check__remedy(
		c, "allow it in the module's policy, or run outside of its profile (docker run --security-opt "
		   "apparmor=unconfined)");
}

/* Documentation/admin-guide/LSM/Yama.rst. It binds who attaches by ptrace, and who reads memory as that may. */
void feature_check_yama(const struct feature_facts *facts, struct feature_check *c)
{
	static const char path[] = "/proc/sys/kernel/yama/ptrace_scope";
	bool capable = feature_capable(facts, CAP_SYS_PTRACE);
	long long scope;
	int err = feature_read_number(facts, path, &scope);

	if (err == -ENOENT && feature_exists(facts, "/proc/sys/kernel")) {
		feature_check__say(c, FEATURE_OK, "this kernel has no Yama");
		return;
	}
	if (err) {
		feature_check__say(c, FEATURE_UNKNOWN, "kernel.yama.ptrace_scope cannot be read: %s", strerror(-err));
		return;
	}
	feature_check__number(c, scope);
	if (scope >= 3) {
		feature_check__say(c, FEATURE_NO, "ptrace_scope is %lld: no process may read another's memory", scope);
		feature_check__remedy(c, "boot with kernel.yama.ptrace_scope=1 in sysctl.d: it cannot be lowered while "
					 "the system runs");
	} else if (scope <= 0 || capable) {
		feature_check__say(c, FEATURE_OK, "ptrace_scope is %lld%s", scope,
				   scope > 0 ? ", which does not bind who holds CAP_SYS_PTRACE" : "");
	} else {
		feature_check__say(c, FEATURE_LIMITED,
				   "ptrace_scope is %lld: without CAP_SYS_PTRACE %s can be looked at", scope,
				   scope == 1 ? "only children of pylu-bpf" : "no process");
		feature_check__remedy(c,
				      "hold CAP_SYS_PTRACE, or for own processes: sysctl kernel.yama.ptrace_scope=0");
	}
}

/* Levels above 2 are Debian's and others' own: they refuse perf_event_open() to all without CAP_PERFMON. */
void feature_check_paranoid(const struct feature_facts *facts, struct feature_check *c)
{
	bool capable = feature_capable(facts, CAP_PERFMON);
	long long level;
	int err = feature_read_number(facts, "/proc/sys/kernel/perf_event_paranoid", &level);

	if (err) {
		feature_check__say(c, FEATURE_UNKNOWN, "kernel.perf_event_paranoid cannot be read: %s", strerror(-err));
		return;
	}
	feature_check__number(c, level);
	if (capable && facts->trial->breakpoints_err == EACCES && level > 2) {
		feature_check__say(c, FEATURE_LIMITED, "%lld: this kernel refuses perf events also with CAP_PERFMON",
				   level);
		feature_check__remedy(c, "sysctl kernel.perf_event_paranoid=2");
	} else if (capable) {
		feature_check__say(c, FEATURE_OK, "%lld, which does not bind who holds CAP_PERFMON", level);
	} else {
		feature_check__say(c, FEATURE_OK, "%lld: no level allows uprobes to those without CAP_PERFMON", level);
	}
}

void feature_check_unprivileged_bpf(const struct feature_facts *facts, struct feature_check *c)
{
	long long level;
	int err = feature_read_number(facts, "/proc/sys/kernel/unprivileged_bpf_disabled", &level);

	if (err) {
		feature_check__say(c, FEATURE_UNKNOWN, "kernel.unprivileged_bpf_disabled cannot be read: %s",
				   strerror(-err));
		return;
	}
	feature_check__number(c, level);
	feature_check__say(c, FEATURE_OK, "%lld, which %s", level,
			   feature_capable(facts, CAP_BPF)
				   ? "does not bind who holds CAP_BPF"
				   : "does not matter: tracing programs need CAP_BPF at any level");
}

/* The options of the file system that is mounted on /proc now: the last such line of mountinfo, proc_pid_mountinfo(5). */
static bool proc_options(const struct feature_facts *facts, char *options, size_t size)
{
	static char text[1 << 16];
	char *line, *rest = NULL, type[32], where[256];
	bool found = false;

	if (feature_read(facts, "/proc/self/mountinfo", text, sizeof(text)) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *tail = strstr(line, " - ");
		const char *super;

		if (!tail || sscanf(line, "%*s %*s %*s %*s %255s", where) != 1 || strcmp(where, "/proc") ||
		    sscanf(tail, " - %31s", type) != 1 || strcmp(type, "proc"))
			continue;
		super = strrchr(tail, ' ');
		snprintf(options, size, ",%s,", super + 1);
		found = true;
	}
	return found;
}

/* Documentation/filesystems/proc.rst, mount options. 1 or "noaccess" shows the ids of others' processes, nothing more. */
void feature_check_hidepid(const struct feature_facts *facts, struct feature_check *c)
{
	char options[512], value[32] = "off";
	const char *at;
	bool set;

	if (!proc_options(facts, options, sizeof(options))) {
		feature_check__say(c, FEATURE_UNKNOWN, "the options with which /proc is mounted cannot be read");
		return;
	}
	at = strstr(options, ",hidepid=");
	if (at)
		sscanf(at, ",hidepid=%31[^,]", value);
	set = at && strcmp(value, "0") && strcmp(value, "off");
	feature_check__text(c, value);
	if (!set || feature_capable(facts, CAP_SYS_PTRACE)) {
		feature_check__say(c, FEATURE_OK, set ? "%s, which does not bind who holds CAP_SYS_PTRACE" : "%s",
				   value);
		return;
	}
	feature_check__say(c, FEATURE_LIMITED, "%s: processes of other users cannot be seen without CAP_SYS_PTRACE",
			   value);
	feature_check__remedy(c, "hold CAP_SYS_PTRACE, or mount -o remount,hidepid=0 /proc");
}
