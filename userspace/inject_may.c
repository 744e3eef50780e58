/*
 * inject_may: what stands in the way of bringing a library into a process, and does not pass by itself. Stops nothing.
 */
#include "inject_priv.h"

#include "diag.h"
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int inject_refuse_trace(const struct target *t, pid_t tid, int err)
{
	const int pid = (int)t->pid;
	struct inject_look look;
	char scope = '0';
	FILE *f;

	if (!inject_look__at(t->pid, tid, &look) && look.tracer)
		return diag_error(-EPERM,
				  "process %d is traced by process %d already (a debugger, strace); one can at a time",
				  pid, (int)look.tracer);
	f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
	if (f) {
		if (fread(&scope, 1, 1, f) != 1)
			scope = '0';
		fclose(f);
	}
	if (scope == '3')
		return diag_error(-EPERM,
				  "process %d: kernel.yama.ptrace_scope is 3: nobody may trace a process until this "
				  "host is started again",
				  pid);
	if (geteuid() != t->uid && geteuid() != 0)
		return diag_error(-EPERM, "process %d belongs to user %u: run this as that user or as root", pid,
				  (unsigned)t->uid);
	if (scope != '0')
		return diag_error(
			-EPERM,
			"process %d may not be traced, because kernel.yama.ptrace_scope is %c: run this as root%s", pid,
			scope, scope == '1' ? ", or set it to 0 for the moment" : "");
	return diag_error(
		-EPERM,
		"process %d may not be traced (%s): it changed its user id or is not dumpable, or CAP_SYS_PTRACE is "
		"missing; run this as root",
		pid, strerror(err));
}

int inject_check_process(const struct target *t)
{
	struct inject_look look;
	const int pid = (int)t->pid;

	if (inject_look__at(t->pid, t->pid, &look))
		return diag_error(-ESRCH, "process %d has ended", pid);
	if (look.shadow_stack)
		return diag_error(-DIAG_NO_INJECT,
				  "process %d has a shadow stack (CET): a thread cannot be sent off and come back",
				  pid);
	if (look.seccomp == 1)
		return diag_error(-DIAG_NO_INJECT, "process %d may make hardly any system call (strict seccomp)", pid);
	return 0;
}

int inject_possible(const struct target *t)
{
	struct inject_plan plan;
	struct inject_look look;
	char path[64];
	int fd, err = inject_check_process(t);

	if (!err)
		err = inject_plan__make(t, 0, &plan);
	if (err)
		return err;
	if (!inject_look__at(t->pid, t->pid, &look) && look.tracer)
		return inject_refuse_trace(t, t->pid, EPERM);
	/* The kernel asks here what it asks of a tracer (PTRACE_MODE_ATTACH, Yama). */
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)t->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return inject_refuse_trace(t, t->pid, errno);
	close(fd);
	return 0;
}
