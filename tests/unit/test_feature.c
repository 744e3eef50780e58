/*
 * feature: made-up /proc and /sys, one fact changed at a time from a host on which all is well; the formats, by golden
 * files; the trials, whatever they find here.
 *
 * After a wanted change write the golden files anew with PYLU_UPDATE_GOLDEN=1 and read the difference.
 */
#include "feature.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "golden.h"
#include "diag.h"
#include "insn.h"
#include "out_doctor.h"

#define ALL_CAPS "000001ffffffffff"

static char root[] = "/tmp/test_feature.XXXXXX";

static void make_folders(char *path)
{
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

/* Writes a file below the root; NULL removes it. */
static void put(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, name);
	unlink(path);
	if (!text)
		return;
	make_folders(path);
	f = fopen(path, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static void put_link(const char *name, const char *to)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, name);
	unlink(path);
	make_folders(path);
	if (to && symlink(to, path))
		abort();
}

static void put_status(const char *effective, const char *permitted, const char *bounding, int uid, int no_new_privs,
		       int seccomp)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "Name:\tx\nUid:\t7\t%d\t7\t7\nCapInh:\t0\nCapPrm:\t%s\nCapEff:\t%s\nCapBnd:\t%s\nNoNewPrivs:\t%d\n"
		 "Seccomp:\t%d\nSeccomp_filters:\t0\n",
		 uid, permitted, effective, bounding, no_new_privs, seccomp);
	put("/proc/self/status", text);
}

static const struct {
	const char *name, *text;
} well[] = {
	{ "/proc/sys/kernel/osrelease", "6.18.44-x\n" },
	{ "/proc/sys/kernel/hostname", "made-up\n" },
	{ "/proc/sys/kernel/yama/ptrace_scope", "1\n" },
	{ "/proc/sys/kernel/perf_event_paranoid", "2\n" },
	{ "/proc/sys/kernel/unprivileged_bpf_disabled", "2\n" },
	{ "/proc/sys/net/core/bpf_jit_enable", "1\n" },
	{ "/proc/sys/net/core/bpf_jit_harden", "0\n" },
	{ "/proc/sys/net/core/bpf_jit_limit", "528482304\n" },
	{ "/proc/self/mountinfo",
	  "21 1 0:5 / / rw - ext4 /dev/a rw\n22 21 0:6 / /proc rw,nosuid shared:1 - proc proc rw\n" },
	{ "/proc/self/attr/current", "unconfined\n" },
	{ "/sys/kernel/btf/vmlinux", "\x9f\xeb" },
	{ "/sys/kernel/security/lockdown", "[none] integrity confidentiality\n" },
	{ "/sys/kernel/security/lsm", "lockdown,capability,yama,apparmor" },
	{ "/sys/bus/event_source/devices/uprobe/type", "9\n" },
};

static void make_well(void)
{
	for (size_t i = 0; i < sizeof(well) / sizeof(well[0]); i++)
		put(well[i].name, well[i].text);
	put_status(ALL_CAPS, ALL_CAPS, ALL_CAPS, 0, 0, 0);
	put_link("/proc/self/ns/user", "user:[4026531837]");
	put_link("/proc/self/ns/pid", "pid:[4026531836]");
	put_link("/proc/self/exe", "/usr/sbin/pylu-bpf");
}

static struct feature_trial good_trial(void)
{
	return (struct feature_trial){
		.loaded = true,
		.multi = true,
		.jited = 1,
		.cost = { .ns_per_hit = 780,
			  .ns_per_dropped_hit = 640,
			  .ns_per_stepped_hit = 3960,
			  .thread_filter = true },
		.breakpoints = 4,
		.breakpoints_err = ENOSPC,
	};
}

static struct feature_trial bad_trial(int err, const char *why)
{
	struct feature_trial t = { .err = err, .jited = -1, .breakpoints = 4, .breakpoints_err = ENOSPC };

	snprintf(t.why, sizeof(t.why), "%s", why);
	return t;
}

static struct feature_trial denied_trial(void)
{
	return bad_trial(-DIAG_NO_CAPABILITY, "not permitted to load BPF programs");
}

static struct feature_host host;

static const struct feature_check *find(const char *name)
{
	static const struct feature_check none = { .name = "(none)" };

	for (size_t i = 0; i < host.list.n; i++)
		if (!strcmp(host.list.checks[i].name, name))
			return &host.list.checks[i];
	fprintf(stderr, "there is no check '%s'\n", name);
	CHECK(false);
	return &none;
}

/* Looks, and expects of one check a status and words in its text and remedy ("" for none). */
static void expect(const struct feature_trial *trial, const char *name, enum feature_status status, const char *words,
		   const char *remedy)
{
	const struct feature_check *c;
	bool ok;

	feature_host__examine(root, trial, &host);
	c = find(name);
	ok = c->status == status && strstr(c->text, words) &&
	     (remedy[0] ? strstr(c->remedy, remedy) != NULL : !c->remedy[0]);
	if (!CHECK(ok))
		fprintf(stderr, "%s: %s, '%s', remedy '%s'; wanted %s, '%s', '%s'\n", name,
			feature_status_name(c->status), c->text, c->remedy, feature_status_name(status), words, remedy);
}

static void test_well(void)
{
	struct feature_trial trial = good_trial();

	make_well();
	feature_host__examine(root, &trial, &host);
	CHECK_EQ(host.err, 0);
	CHECK_STR_EQ(host.why, "");
	CHECK_STR_EQ(host.name, "made-up");
	CHECK(host.list.n >= 28);
	for (size_t i = 0; i < host.list.n; i++) {
		const struct feature_check *c = &host.list.checks[i];

		if (!CHECK(c->status == FEATURE_OK && c->text[0] && !c->remedy[0]))
			fprintf(stderr, "%s: %s\n", c->name, c->text);
	}
	CHECK_STR_EQ(find("kernel")->value, "6.18.44-x");
	CHECK(find("cap_bpf")->type == FEATURE_FLAG && find("cap_bpf")->number == 1);
	CHECK(find("perf_event_paranoid")->type == FEATURE_NUMBER && find("perf_event_paranoid")->number == 2);
}

/* Nothing can be read: every check says so or is left out, none crashes, and the trial decides. */
static void test_nothing(void)
{
	struct feature_trial trial = good_trial(), denied = denied_trial();

	feature_host__examine("/nonexistent", &trial, &host);
	for (size_t i = 0; i < host.list.n; i++)
		CHECK(host.list.checks[i].text[0]);
	CHECK(find("cap_bpf")->status == FEATURE_UNKNOWN);
	CHECK(find("user_namespace")->status == FEATURE_UNKNOWN);
	CHECK(find("programs")->status == FEATURE_OK);
	feature_host__examine("/nonexistent", &denied, &host);
	CHECK_EQ(host.err, -DIAG_NO_CAPABILITY);
	CHECK_STR_EQ(host.why, "not permitted to load BPF programs");
	CHECK(find("uprobes")->status == FEATURE_UNKNOWN);
}

static void test_kernel(void)
{
	struct feature_trial trial = good_trial(), denied = denied_trial();
	struct feature_trial refused =
		bad_trial(-DIAG_NO_KERNEL, "the kernel refused the BPF programs: Invalid argument");

	make_well();
	expect(&refused, "kernel", FEATURE_OK, "6.18", "");
	expect(&refused, "programs", FEATURE_NO, "Invalid argument", "CONFIG_BPF");
	CHECK_EQ(host.err, -DIAG_NO_KERNEL);
	put("/proc/sys/kernel/osrelease", "5.14.0-503.el9\n");
	expect(&trial, "kernel", FEATURE_OK, "5.14.0", ""); /* a vendor's, with all that is needed */
	expect(&denied, "kernel", FEATURE_UNKNOWN, "could not be tried", "5.17");
	expect(&refused, "kernel", FEATURE_NO, "it has not", "5.17");
	put("/proc/sys/kernel/osrelease", "strange");
	expect(&refused, "kernel", FEATURE_OK, "strange", "");
	put("/sys/kernel/btf/vmlinux", NULL);
	expect(&refused, "btf", FEATURE_NO, "No such file", "CONFIG_DEBUG_INFO_BTF");
	put("/sys/kernel/btf/vmlinux", "");
	expect(&refused, "btf", FEATURE_NO, "empty", "CONFIG_DEBUG_INFO_BTF");
	trial.multi = trial.cost.thread_filter = false;
	expect(&trial, "uprobe_multi", FEATURE_LIMITED, "perf event", "6.6");
	expect(&trial, "process_filter", FEATURE_LIMITED, "every process", "6.10");
	trial.err = -EBUSY;
	snprintf(trial.why, sizeof(trial.why), "cannot probe: busy");
	expect(&trial, "uprobes", FEATURE_NO, "cannot probe: busy", "");
	expect(&trial, "process_filter", FEATURE_UNKNOWN, "cannot be tried", "");
	CHECK_EQ(host.err, -EBUSY);
	trial = bad_trial(-EIO, "killed");
	expect(&trial, "uprobe_multi", FEATURE_UNKNOWN, "without BPF programs", "");
}

static void test_jit(void)
{
	struct feature_trial trial = good_trial(), denied = denied_trial();

	make_well();
	put("/proc/sys/net/core/bpf_jit_enable", "0\n");
	expect(&trial, "bpf_jit", FEATURE_OK, "compiled", ""); /* what the kernel did counts, not what it says */
	expect(&denied, "bpf_jit", FEATURE_LIMITED, "interpreted", "net.core.bpf_jit_enable=1");
	trial.jited = 0;
	expect(&trial, "bpf_jit", FEATURE_LIMITED, "interpreted", "net.core.bpf_jit_enable=1");
	put("/proc/sys/net/core/bpf_jit_enable", NULL);
	expect(&denied, "bpf_jit", FEATURE_UNKNOWN, "cannot be read", "");
	put("/proc/sys/net/core/bpf_jit_harden", "2\n");
	expect(&trial, "bpf_jit_harden", FEATURE_LIMITED, "2: ", "bpf_jit_harden=1");
	put("/proc/sys/net/core/bpf_jit_harden", "two\n");
	expect(&trial, "bpf_jit_harden", FEATURE_UNKNOWN, "Invalid argument", "");
	put("/proc/sys/net/core/bpf_jit_limit", NULL);
	expect(&trial, "bpf_jit_limit", FEATURE_OK, "the programs fit", "");
	expect(&denied, "bpf_jit_limit", FEATURE_UNKNOWN, "cannot be read", "");
}

static void test_breakpoints(void)
{
	struct feature_trial trial = good_trial();

	make_well();
	trial.breakpoints = 1;
	expect(&trial, "debug_registers", FEATURE_LIMITED, "1 can be set", "end what holds them");
	trial.breakpoints = 0;
	expect(&trial, "debug_registers", FEATURE_LIMITED, "0 can be set", "end what holds them");
	trial.breakpoints_err = EACCES;
	expect(&trial, "debug_registers", FEATURE_UNKNOWN, "Permission denied", "");
	trial.breakpoints_err = FEATURE_KILLED;
	expect(&trial, "debug_registers", FEATURE_UNKNOWN, "kills", "");
	trial.breakpoints_err = FEATURE_UNTRIED;
	expect(&trial, "debug_registers", FEATURE_UNKNOWN, "not tried", "");
	CHECK_EQ(host.err, 0);
}

/* All capabilities but one, and but CAP_SYS_ADMIN (21), which stands for some; as /proc shows them. */
static const char *without(int cap)
{
	static char text[2][32];
	static int which;

	which = !which;
	snprintf(text[which], sizeof(text[which]), "%016llx", 0x1ffffffffffULL & ~(1ULL << cap) & ~(1ULL << 21));
	return text[which];
}

static void test_capabilities(void)
{
	static const struct {
		int bit;
		const char *name;
		enum feature_status status;
	} caps[] = {
		{ 39, "cap_bpf", FEATURE_NO },
		{ 38, "cap_perfmon", FEATURE_NO },
		{ 19, "cap_sys_ptrace", FEATURE_LIMITED },
		{ 2, "cap_dac_read_search", FEATURE_LIMITED },
		{ 40, "cap_checkpoint_restore", FEATURE_LIMITED },
	};
	struct feature_trial trial = denied_trial();

	make_well();
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		/* dropped in a session of root; not in the bounding set; of a user, without and with no_new_privs */
		put_status(without(caps[i].bit), without(caps[i].bit), ALL_CAPS, 0, 0, 0);
		expect(&trial, caps[i].name, caps[i].status, "missing", "not dropped");
		CHECK_EQ(find(caps[i].name)->number, 0);
		for (size_t k = 0; k < sizeof(caps) / sizeof(caps[0]); k++)
			CHECK_EQ(find(caps[k].name)->status, k == i ? caps[k].status : FEATURE_OK);
		put_status(without(caps[i].bit), without(caps[i].bit), without(caps[i].bit), 0, 0, 0);
		expect(&trial, caps[i].name, caps[i].status, "missing", "--cap-add");
		put_status("0", "0", ALL_CAPS, 1000, 0, 0);
		expect(&trial, caps[i].name, caps[i].status, "missing", "cap_checkpoint_restore+ep /usr/sbin/pylu-bpf");
		put_status("0", "0", ALL_CAPS, 1000, 1, 0);
		expect(&trial, caps[i].name, caps[i].status, "missing", "no_new_privs");
	}
	expect(&trial, "no_new_privs", FEATURE_LIMITED, "no effect", "NoNewPrivileges");
	/* CAP_SYS_ADMIN alone stands for three of them. */
	put_status("200000", "200000", ALL_CAPS, 0, 0, 0);
	expect(&trial, "cap_bpf", FEATURE_OK, "CAP_SYS_ADMIN", "");
	expect(&trial, "cap_perfmon", FEATURE_OK, "CAP_SYS_ADMIN", "");
	expect(&trial, "cap_checkpoint_restore", FEATURE_OK, "CAP_SYS_ADMIN", "");
	expect(&trial, "cap_sys_ptrace", FEATURE_LIMITED, "missing", "not dropped");
	put_status(ALL_CAPS, ALL_CAPS, ALL_CAPS, 0, 1, 0);
	expect(&trial, "no_new_privs", FEATURE_OK, "held", "");
}

static void test_namespaces(void)
{
	struct feature_trial trial = denied_trial(), pids = good_trial();

	make_well();
	put_link("/proc/self/ns/user", "user:[4026532000]");
	expect(&trial, "user_namespace", FEATURE_NO, "its own", "--userns=host");
	expect(&trial, "cap_bpf", FEATURE_NO, "in this user namespace only", "");
	expect(&trial, "yama", FEATURE_LIMITED, "only children", "CAP_SYS_PTRACE");
	put_link("/proc/self/ns/user", "nonsense");
	expect(&trial, "user_namespace", FEATURE_UNKNOWN, "cannot be read", "");
	make_well();
	put_link("/proc/self/ns/pid", "pid:[4026532001]");
	pids.err = -DIAG_FOREIGN_PIDS;
	expect(&pids, "pid_namespace", FEATURE_NO, "its own", "--pid=host");
	expect(&pids, "uprobes", FEATURE_OK, "fires", "");
	CHECK_EQ(host.err, -DIAG_FOREIGN_PIDS);
}

static void test_seccomp(void)
{
	struct feature_trial trial = denied_trial(), good = good_trial();

	make_well();
	put_status(ALL_CAPS, ALL_CAPS, ALL_CAPS, 0, 1, 2);
	trial.calls[FEATURE_CALL_BPF] = EPERM;
	expect(&trial, "seccomp", FEATURE_OK, "filter", "");
	CHECK_STR_EQ(find("seccomp")->value, "filter");
	expect(&trial, "call_bpf", FEATURE_NO, "probably by the seccomp filter", "seccomp=unconfined");
	trial.calls[FEATURE_CALL_BPF] = FEATURE_KILLED;
	expect(&trial, "call_bpf", FEATURE_NO, "kills", "seccomp=unconfined");
	trial.calls[FEATURE_CALL_BPF] = FEATURE_UNTRIED;
	expect(&trial, "call_bpf", FEATURE_UNKNOWN, "not tried", "");
	/* An older kernel's own refusal. */
	trial.calls[FEATURE_CALL_BPF] = EPERM;
	put_status("0", "0", ALL_CAPS, 1000, 0, 0);
	expect(&trial, "call_bpf", FEATURE_UNKNOWN, "as without CAP_BPF", "");
	make_well();
	trial.calls[FEATURE_CALL_BPF] = ENOSYS;
	expect(&trial, "call_bpf", FEATURE_NO, "by the kernel", "");
	good.calls[FEATURE_CALL_PERF] = FEATURE_KILLED;
	expect(&good, "call_perf_event_open", FEATURE_LIMITED, "no backend needs", "seccomp=unconfined");
	CHECK_EQ(host.err, 0);
	good.multi = false;
	expect(&good, "call_perf_event_open", FEATURE_NO, "probes cannot be attached", "seccomp=unconfined");
	/* The trial needs no other's memory, targets do. */
	good = good_trial();
	good.calls[FEATURE_CALL_READ] = ENOSYS;
	expect(&good, "call_process_vm_readv", FEATURE_NO, "memory of processes", "");
	CHECK_EQ(host.err, -DIAG_NO_CAPABILITY);
	CHECK(strstr(host.why, "memory of processes"));
}

static void test_security_modules(void)
{
	struct feature_trial trial = good_trial(), denied = denied_trial();

	make_well();
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	expect(&denied, "lockdown", FEATURE_LIMITED, "may be the reason", "without lockdown=integrity");
	expect(&trial, "lockdown", FEATURE_OK, "may not write", "");
	CHECK_STR_EQ(find("lockdown")->value, "integrity");
	put("/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
	expect(&trial, "lockdown", FEATURE_OK, "may not read the kernel's memory", "");
	expect(&denied, "lockdown", FEATURE_LIMITED, "may be the reason", "without lockdown=confidentiality");
	expect(&denied, "lsm", FEATURE_LIMITED, "one of them", "apparmor=unconfined");
	expect(&denied, "programs", FEATURE_NO, "not permitted", "audit log");
	put("/proc/self/attr/current", "docker-default (enforce)\n");
	expect(&trial, "lsm", FEATURE_OK, "we run as docker-default (enforce)", "");
	/* Where a capability is missing, that is the reason. */
	put_status("0", "0", ALL_CAPS, 1000, 0, 0);
	expect(&denied, "lockdown", FEATURE_OK, "which ours do not", "");
	expect(&denied, "lsm", FEATURE_OK, "docker-default", "");
	put("/sys/kernel/security/lockdown", "none [integrity");
	expect(&trial, "lockdown", FEATURE_UNKNOWN, "no mode that is known", "");
	put("/sys/kernel/security/lockdown", NULL);
	expect(&denied, "lockdown", FEATURE_OK, "has no lockdown", "");
	put("/sys/kernel/security/lsm", NULL);
	expect(&denied, "lockdown", FEATURE_UNKNOWN, "not mounted", "mount -t securityfs");
	expect(&trial, "lockdown", FEATURE_OK, "nothing is refused", "");
}

static void test_settings(void)
{
	struct feature_trial trial = good_trial(), denied = denied_trial();

	make_well();
	put("/proc/sys/kernel/yama/ptrace_scope", "3\n");
	expect(&trial, "yama", FEATURE_NO, "ptrace_scope is 3", "cannot be lowered");
	CHECK_EQ(host.err, -DIAG_NO_CAPABILITY);
	put("/proc/sys/kernel/yama/ptrace_scope", "2\n");
	expect(&trial, "yama", FEATURE_OK, "does not bind", "");
	put_status("0", "0", ALL_CAPS, 1000, 0, 0);
	expect(&denied, "yama", FEATURE_LIMITED, "no process", "ptrace_scope=0");
	put("/proc/sys/kernel/yama/ptrace_scope", "0\n");
	expect(&denied, "yama", FEATURE_OK, "ptrace_scope is 0", "");
	put("/proc/sys/kernel/yama/ptrace_scope", NULL);
	expect(&denied, "yama", FEATURE_OK, "no Yama", "");
	put("/proc/sys/kernel/perf_event_paranoid", "-1\n");
	expect(&denied, "perf_event_paranoid", FEATURE_OK, "-1: no level", "");
	CHECK_EQ(find("perf_event_paranoid")->number, -1);
	expect(&denied, "unprivileged_bpf", FEATURE_OK, "need CAP_BPF at any level", "");
	make_well();
	put("/proc/sys/kernel/perf_event_paranoid", "4\n");
	trial.breakpoints = 0;
	trial.breakpoints_err = EACCES;
	expect(&trial, "perf_event_paranoid", FEATURE_LIMITED, "4: ", "perf_event_paranoid=2");
}

static void test_hidepid(void)
{
	static const struct {
		const char *options;
		bool hides;
	} mounts[] = {
		{ "rw", false },
		{ "rw,hidepid=0", false },
		{ "rw,hidepid=off,gid=5", false },
		{ "rw,gid=5,hidepid=2", true },
		{ "rw,hidepid=invisible", true },
		{ "rw,hidepid=ptraceable,subset=pid", true },
		{ "rw,nothidepid=2", false },
	};
	struct feature_trial trial = good_trial();
	char text[512];

	make_well();
	put_status("0", "0", ALL_CAPS, 1000, 0, 0);
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		/* Another proc elsewhere, and one below that is covered by the one that counts. */
		snprintf(text, sizeof(text),
			 "22 21 0:6 / /proc rw - proc proc rw,hidepid=1\n22 21 0:6 / /proc rw - proc proc %s\n"
			 "23 21 0:7 / /srv/proc rw - proc proc rw,hidepid=4\n24 21 0:8 / /x\n",
			 mounts[i].options);
		put("/proc/self/mountinfo", text);
		expect(&trial, "hidepid", mounts[i].hides ? FEATURE_LIMITED : FEATURE_OK, "",
		       mounts[i].hides ? "hidepid=0" : "");
	}
	put("/proc/self/mountinfo", "22 21 0:6 / /proc rw - proc proc rw,hidepid=2\n");
	put_status(ALL_CAPS, ALL_CAPS, ALL_CAPS, 0, 0, 0);
	expect(&trial, "hidepid", FEATURE_OK, "does not bind", "");
	CHECK_STR_EQ(find("hidepid")->value, "2");
	put("/proc/self/mountinfo", "22 21 0:6 /\n - \n");
	expect(&trial, "hidepid", FEATURE_UNKNOWN, "cannot be read", "");
	put("/proc/self/mountinfo", NULL);
	expect(&trial, "hidepid", FEATURE_UNKNOWN, "cannot be read", "");
}

/* Files that are longer than anything sane, or without an end. */
static void test_garbage(void)
{
	struct feature_trial trial = good_trial();
	static char lots[200000];

	make_well();
	memset(lots, 'x', sizeof(lots) - 1);
	for (size_t i = 0; i < sizeof(well) / sizeof(well[0]); i++)
		put(well[i].name, lots);
	put("/proc/self/status", lots);
	feature_host__examine(root, &trial, &host);
	CHECK(host.list.n >= 28);
	for (size_t i = 0; i < sizeof(well) / sizeof(well[0]); i++)
		put(well[i].name, "\n");
	put("/proc/self/status", "\nCapEff:\nCapPrm:");
	feature_host__examine(root, &trial, &host);
	CHECK(host.list.n >= 28);
	CHECK_EQ(find("cap_bpf")->status, FEATURE_NO);
}

/* A process whose names would steer a terminal. */
static struct feature_target *a_target(void)
{
	struct feature_target *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->pid = 4510;
	t->command = strdup("/usr/bin/python3 app.py \033[31m\x7f\xff");
	t->path = strdup("/usr/bin/python3.11");
	snprintf(t->python, sizeof(t->python), "3.11.2");
	snprintf(t->build_id, sizeof(t->build_id), "571d98e01096d5c1c32420d229a6731a0a50d2a0");
	t->stripped = true;
	t->bias = 4096;
	t->backend = t->sites.backend = "opcode";
	t->backends = 1;
	t->sites.n = 2;
	t->sites.sites[0] = (struct site){ .kind = SITE_OPCODE_RESUME,
					   .what = "RESUME",
					   .addr = 0x52f5e4,
					   .file_offset = 0x12f5e4,
					   .frame_reg = 3,
					   .tstate_reg = SITE_REG_NONE,
					   .emulated = true };
	t->sites.sites[1] = (struct site){ .kind = SITE_CODE_DEALLOC,
					   .what = "code_dealloc",
					   .addr = 0x55b7b0,
					   .file_offset = 0x15b7b0,
					   .frame_reg = 7,
					   .tstate_reg = 6 };
	t->list.n = 3;
	t->list.checks[0] = (struct feature_check){ .name = "version",
						    .status = FEATURE_OK,
						    .type = FEATURE_TEXT,
						    .value = "3.11.2",
						    .text = "Python 3.11.2" };
	t->list.checks[1] = (struct feature_check){ .name = "backend",
						    .status = FEATURE_OK,
						    .type = FEATURE_TEXT,
						    .value = "opcode",
						    .text = "opcode would be chosen" };
	t->list.checks[2] = (struct feature_check){
		.name = "proof", .status = FEATURE_LIMITED, .type = FEATURE_FLAG, .text = "cannot be tried \033[31m"
	};
	return t;
}

static void compare_golden(const struct doctor *d, const struct doctor_format *format, const char *name)
{
	const struct out_options opts = { 0 };
	char file[64], *got = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&got, &size);

	if (!f)
		abort();
	CHECK_EQ(format->write(d, f, &opts), 0);
	fclose(f);
	snprintf(file, sizeof(file), "%s.%s", name, format->name);
	golden_check(file, got);
	CHECK(!strpbrk(got, "\033\x7f"));
	free(got);
}

static void test_formats(void)
{
	struct feature_target *targets[2] = { a_target(), calloc(1, sizeof(*targets[1])) };
	struct doctor d = { .host = &host, .targets = targets, .ntargets = 1 };
	struct feature_trial trial = good_trial();
	char summary[2 * FEATURE_TEXT_MAX];

	make_well();
	trial.multi = false;
	feature_host__examine(root, &trial, &host);
	compare_golden(&d, &out_doctor_text, "doctor-limited");
	compare_golden(&d, &out_doctor_json, "doctor-limited");
	CHECK_EQ(doctor__code(&d), 0);

	targets[1]->pid = 7;
	targets[1]->err = -DIAG_NOT_PYTHON;
	snprintf(targets[1]->why, sizeof(targets[1]->why), "process 7 holds no CPython interpreter");
	targets[1]->list.n = 1;
	targets[1]->list.checks[0] = (struct feature_check){
		.name = "process", .status = FEATURE_NO, .text = "no Python", .remedy = "name another"
	};
	d.ntargets = 2;
	doctor__summary(&d, summary, sizeof(summary));
	CHECK_STR_EQ(summary, "Profiling works here, with 1 of the 2 processes.");
	CHECK_EQ(doctor__code(&d), -DIAG_NOT_PYTHON);
	d.targets = targets + 1;
	d.ntargets = 1;
	doctor__summary(&d, summary, sizeof(summary));
	CHECK_STR_EQ(summary, "Profiling works here, but not this process: process 7 holds no CPython interpreter.");

	put_status("0", "0", ALL_CAPS, 1000, 0, 0);
	trial = denied_trial();
	feature_host__examine(root, &trial, &host);
	compare_golden(&d, &out_doctor_text, "doctor-denied");
	compare_golden(&d, &out_doctor_json, "doctor-denied");
	CHECK_EQ(diag_exit_status(doctor__code(&d)), 4);
	feature_target__free(targets[0]);
	feature_target__free(targets[1]);
}

static void test_colors(void)
{
	const struct out_options opts = { .color = true };
	struct doctor d = { .host = &host };
	char *got = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&got, &size);

	if (!f)
		abort();
	CHECK_EQ(out_doctor_text.write(&d, f, &opts), 0);
	fclose(f);
	CHECK(strstr(got, "\033[32mok       \033[0m"));
	free(got);
}

static void test_stream_fails(void)
{
	struct doctor d = { .host = &host };
	const struct out_options opts = { 0 };

	for (size_t i = 0; out_doctor_formats[i]; i++) {
		FILE *f = fopen("/dev/full", "w");

		if (CHECK(f != NULL)) {
			CHECK_EQ(out_doctor_formats[i]->write(&d, f, &opts), -ENOSPC);
			fclose(f);
		}
	}
	CHECK(out_doctor__find("json") == &out_doctor_json && !out_doctor__find("svg"));
	CHECK(out_doctor__find(NULL) == &out_doctor_text);
}

/* Whatever this host allows: a result that agrees with itself. */
static void test_trial(void)
{
	struct feature_trial t;

	feature_try(&t);
	CHECK_EQ(t.err == 0, t.why[0] == '\0');
	CHECK(t.err || (t.loaded && t.cost.ns_per_hit > 0 && t.cost.ns_per_hit >= t.cost.ns_per_dropped_hit));
	CHECK(!t.err || t.cost.ns_per_hit == 0);
	CHECK(t.cost.links == NULL);
	CHECK(t.breakpoints >= 0 && t.breakpoints_err > 0);
	for (int i = 0; i < FEATURE_CALLS; i++)
		CHECK(t.calls[i] >= 0);
	if (t.err)
		CHECK_SKIP("cost of a hit: %s", t.why);
}

static void test_registers(void)
{
	CHECK_STR_EQ(insn_reg_name(0), "rax");
	CHECK_STR_EQ(insn_reg_name(3), "rbx");
	CHECK_STR_EQ(insn_reg_name(7), "rdi");
	CHECK_STR_EQ(insn_reg_name(15), "r15");
	CHECK_STR_EQ(insn_reg_name(16), "none");
	CHECK_STR_EQ(insn_reg_name(SITE_REG_NONE), "none");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(root))
		abort();
	test_nothing();
	test_well();
	test_kernel();
	test_jit();
	test_breakpoints();
	test_capabilities();
	test_namespaces();
	test_seccomp();
	test_security_modules();
	test_settings();
	test_hidepid();
	test_garbage();
	test_formats();
	test_colors();
	test_stream_fails();
	test_trial();
	test_registers();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return check_done();
}
