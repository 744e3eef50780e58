/*
 * inject_look: what /proc tells of a thread before it is stopped. Many calls are disturbed by a mere stop (epoll_wait,
 * sigtimedwait and others return EINTR, signal(7)), so a thread that could not be used anyway is not stopped.
 */
#include "inject_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Usable are those that end with -EINTR or are begun again when a handler has run, and in which no lock of the C
 * library or the loader is held. Not futex: it is what all locks sleep in.
 */
static const struct inject_call calls[] = {
	{ SYS_read, "read", true },
	{ SYS_readv, "readv", true },
	{ SYS_poll, "poll", true },
	{ SYS_ppoll, "ppoll", true },
	{ SYS_select, "select", true },
	{ SYS_pselect6, "pselect", true },
	{ SYS_epoll_wait, "epoll_wait", true },
	{ SYS_epoll_pwait, "epoll_pwait", true },
	{ 441, "epoll_pwait2", true },
	{ SYS_nanosleep, "nanosleep", true },
	{ SYS_clock_nanosleep, "clock_nanosleep", true },
	{ SYS_accept, "accept", true },
	{ SYS_accept4, "accept4", true },
	{ SYS_recvfrom, "recvfrom", true },
	{ SYS_recvmsg, "recvmsg", true },
	{ SYS_wait4, "wait4", true },
	{ SYS_waitid, "waitid", true },
	{ SYS_restart_syscall, "poll", true }, /* see resumed_poll() */
	{ SYS_futex, "a lock (futex)", false },
	{ SYS_rt_sigtimedwait, "sigtimedwait", false },
	{ SYS_rt_sigsuspend, "sigsuspend", false },
	{ SYS_pause, "pause", false },
	{ SYS_vfork, "vfork", false },
	{ SYS_clone, "clone", false },
	{ SYS_write, "write", false },
	{ SYS_sendto, "sendto", false },
	{ SYS_connect, "connect", false },
	{ SYS_flock, "flock", false },
	{ SYS_fsync, "fsync", false },
	{ SYS_fcntl, "fcntl", false },
};

const struct inject_call *inject_call__find(int64_t nr)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		if (calls[i].nr == nr)
			return &calls[i];
	}
	return NULL;
}

/* A small file of the thread's in /proc. Its length, or -errno; always terminated. */
static ssize_t read_file(pid_t pid, pid_t tid, const char *name, char *buf, size_t size)
{
	char path[96];
	size_t done = 0;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", (int)pid, (int)tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	buf[0] = '\0';
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (done < size - 1 && (n = read(fd, buf + done, size - 1 - done)) > 0)
		done += (size_t)n;
	n = n < 0 ? -errno : (ssize_t)done;
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

/* The text behind "\nName:", or NULL. */
static const char *line_of(const char *status, const char *name)
{
	const char *s = strstr(status, name);

	return s ? s + strlen(name) : NULL;
}

static uint64_t number_of(const char *status, const char *name, int base)
{
	const char *s = line_of(status, name);

	return s ? strtoull(s, NULL, base) : 0;
}

static void read_call(pid_t pid, pid_t tid, struct inject_look *out)
{
	char buf[256];
	const char *pc;
	ssize_t n = read_file(pid, tid, "syscall", buf, sizeof(buf));

	out->call = -2;
	if (n <= 0)
		return;
	out->running = !strncmp(buf, "running", 7);
	if (out->running)
		return;
	out->call = strtoll(buf, NULL, 10);
	pc = strrchr(buf, ' ');
	out->pc = pc ? strtoull(pc + 1, NULL, 16) : 0;
}

/*
 * restart_syscall is what the kernel makes of poll, nanosleep and futex with a time limit when a thread was stopped
 * in it before (do_restart_poll, hrtimer_nanosleep_restart, futex_wait_restart are all there are): the number is
 * lost. Where in the kernel it sleeps tells whether it is poll.
 */
static bool resumed_poll(pid_t pid, pid_t tid)
{
	char where[128];

	return read_file(pid, tid, "wchan", where, sizeof(where)) > 0 && strstr(where, "poll");
}

int inject_look__at(pid_t pid, pid_t tid, struct inject_look *out)
{
	char status[8192];
	const char *s;
	ssize_t n = read_file(pid, tid, "status", status, sizeof(status));

	memset(out, 0, sizeof(*out));
	if (n < 0)
		return (int)n;
	s = line_of(status, "\nState:");
	out->state = s ? s[strspn(s, " \t")] : '?';
	out->caught = number_of(status, "\nSigCgt:", 16);
	out->tracer = (pid_t)number_of(status, "\nTracerPid:", 10);
	out->seccomp = (unsigned)number_of(status, "\nSeccomp:", 10);
	s = line_of(status, "\nx86_Thread_features:");
	if (s) {
		const char *shadow = strstr(s, "shstk"), *end = strchr(s, '\n');

		out->shadow_stack = shadow && (!end || shadow < end);
	}
	read_call(pid, tid, out);
	out->unknown = out->call == SYS_restart_syscall && !resumed_poll(pid, tid);
	return 0;
}
