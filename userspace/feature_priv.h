/* feature_priv: what the files of feature share. */
#ifndef PYLU_FEATURE_PRIV_H
#define PYLU_FEATURE_PRIV_H

#include "feature.h"

/* The numbers of the namespaces that a host starts with: PROC_USER_INIT_INO and PROC_PID_INIT_INO, fixed in the
 * kernel's include/linux/proc_ns.h since 3.8. */
#define FEATURE_INIT_USER_NS 0xEFFFFFFDu
#define FEATURE_INIT_PID_NS 0xEFFFFFFCu

/* What several checks of a host need. */
struct feature_facts {
	const char *root;
	const struct feature_trial *trial;
	int status_err; /* 0, or -errno of /proc/self/status: then the next six are 0 */
	uint64_t effective, permitted, bounding;
	unsigned uid;
	int no_new_privs, seccomp;
	uint32_t user_ns, pid_ns; /* 0 unknown */
	char self[256];		  /* our own executable */
};

/* Reads a file below the root, without its last line feed. Its length, or -errno (then `buf` is ""). */
ssize_t feature_read(const struct feature_facts *facts, const char *path, char *buf, size_t size);
/* The number that stands in it. 0, or -errno; -EINVAL where there is none. */
int feature_read_number(const struct feature_facts *facts, const char *path, long long *out);
bool feature_exists(const struct feature_facts *facts, const char *path);
/* The number of a namespace behind a link below /proc/PID/ns, 0 unknown. */
uint32_t feature_namespace(const struct feature_facts *facts, const char *path);

/* Whether a capability counts: held, or CAP_SYS_ADMIN for those that are a part of it, in the host's user namespace. */
bool feature_capable(const struct feature_facts *facts, int cap);
/* The programs were refused although nothing that we know of is missing. */
bool feature_refused_for_unknown_reason(const struct feature_facts *facts);

void feature_check__say(struct feature_check *c, enum feature_status status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void feature_check__remedy(struct feature_check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void feature_check__flag(struct feature_check *c, bool value);
void feature_check__number(struct feature_check *c, long long value);
void feature_check__text(struct feature_check *c, const char *value);

/* The next of a list, named; the last one is used again when the list is full. */
struct feature_check *feature_list__add(struct feature_list *list, const char *name);

/* A check of a host: says something, or leaves the text empty where there is nothing to say. */
typedef void (*feature_host_check)(const struct feature_facts *facts, struct feature_check *c);

/* feature_rights.c */
void feature_check_cap_bpf(const struct feature_facts *facts, struct feature_check *c);
void feature_check_cap_perfmon(const struct feature_facts *facts, struct feature_check *c);
void feature_check_cap_sys_ptrace(const struct feature_facts *facts, struct feature_check *c);
void feature_check_cap_dac_read_search(const struct feature_facts *facts, struct feature_check *c);
void feature_check_cap_checkpoint_restore(const struct feature_facts *facts, struct feature_check *c);
void feature_check_no_new_privs(const struct feature_facts *facts, struct feature_check *c);
void feature_check_user_namespace(const struct feature_facts *facts, struct feature_check *c);
void feature_check_pid_namespace(const struct feature_facts *facts, struct feature_check *c);
void feature_check_seccomp(const struct feature_facts *facts, struct feature_check *c);
void feature_check_call_bpf(const struct feature_facts *facts, struct feature_check *c);
void feature_check_call_perf(const struct feature_facts *facts, struct feature_check *c);
void feature_check_call_read(const struct feature_facts *facts, struct feature_check *c);

/* feature_policy.c */
void feature_check_lockdown(const struct feature_facts *facts, struct feature_check *c);
void feature_check_lsm(const struct feature_facts *facts, struct feature_check *c);
void feature_check_yama(const struct feature_facts *facts, struct feature_check *c);
void feature_check_paranoid(const struct feature_facts *facts, struct feature_check *c);
void feature_check_unprivileged_bpf(const struct feature_facts *facts, struct feature_check *c);
void feature_check_hidepid(const struct feature_facts *facts, struct feature_check *c);

#endif
