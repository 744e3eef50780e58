/* watch: see watch.h. */
#include "watch.h"

#include <dirent.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diag.h"

/* A thread that is started while the events are opened may have inherited some of them or none, and which cannot be told.
 * So all is done again until no thread was started meanwhile. */
#define WATCH_TRIES 100
#define WATCH_THREADS_MAX (1 << 15)

struct watch_set {
	pid_t pid;
	bool children;
	pid_t *tids; /* ascending, as the kernel lists them */
	size_t ntids;
	int *fds;
	size_t nfds;
};

static void close_all(struct watch_set *set)
{
	for (size_t i = 0; i < set->nfds; i++)
		close(set->fds[i]);
	set->nfds = 0;
}

void watch_set__free(struct watch_set *set)
{
	if (!set)
		return;
	close_all(set);
	free(set->fds);
	free(set->tids);
	free(set);
}

size_t watch_set__threads(const struct watch_set *set)
{
	return set->ntids;
}

static int compare(const void *a, const void *b)
{
	const pid_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

/* The threads of a process, malloc'ed, ascending. Their number, or a negative code that was reported. */
static ssize_t list_threads(pid_t pid, pid_t **out)
{
	char path[64];
	struct dirent *entry;
	size_t n = 0, room = 0;
	pid_t *tids = NULL, *bigger;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return diag_error(-DIAG_GONE, "process %d ended before it could be watched", (int)pid);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || n == WATCH_THREADS_MAX)
			continue;
		if (n == room) {
			room = room ? 2 * room : 64;
			bigger = realloc(tids, room * sizeof(*tids));
			if (!bigger)
				break;
			tids = bigger;
		}
		tids[n++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	closedir(dir);
	if (entry || !n) {
		free(tids);
		return entry ? diag_error(-ENOMEM, "out of memory")
			     : diag_error(-DIAG_GONE, "process %d ended before it could be watched", (int)pid);
	}
	qsort(tids, n, sizeof(*tids), compare);
	*out = tids;
	return (ssize_t)n;
}

static int report(pid_t pid, pid_t tid, size_t nth, int err)
{
	if (err == -ENOSPC && nth)
		return diag_error(err,
				  "%zu of the four debug registers, no more, could be had for thread %d of process %d: "
				  "a debugger or "
				  "another tool holds the others",
				  nth, (int)tid, (int)pid);
	if (err == -ENOSPC)
		return diag_error(
			err,
			"none of the four debug registers was free for thread %d of process %d: a debugger or another "
			"tool holds them",
			(int)tid, (int)pid);
	if (err == -EPERM || err == -EACCES)
		return diag_error(-DIAG_NO_CAPABILITY, "not permitted to watch process %d", (int)pid);
	if (err == -EMFILE || err == -ENFILE)
		return diag_error(err, "too few file descriptors for the threads of process %d (ulimit -n)", (int)pid);
	if (err == -ENOENT || err == -EOPNOTSUPP || err == -ENODEV || err == -ENOSYS || err == -EINVAL)
		return diag_error(-DIAG_NO_KERNEL, "this kernel, or machine, has no hardware watchpoints: %s",
				  strerror(-err));
	return diag_error(err, "cannot watch process %d: %s", (int)pid, strerror(-err));
}

static int open_event(pid_t tid, uint64_t addr, int prog_fd, bool children)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_BREAKPOINT,
		.bp_type = HW_BREAKPOINT_RW, /* x86 has none for reads alone */
		.bp_addr = addr,
		.bp_len = HW_BREAKPOINT_LEN_1,
		.sample_period = 1,
		.exclude_kernel = 1,
		.exclude_hv = 1,
		.inherit = 1,
		.inherit_thread = !children,
		.remove_on_exec = 1,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Opens all events in the threads of set->tids; one that has ended is passed over. */
static int open_all(struct watch_set *set, const uint64_t *addrs, size_t n, int prog_fd)
{
	for (size_t i = 0; i < set->ntids; i++)
		for (size_t k = 0; k < n; k++) {
			int fd = open_event(set->tids[i], addrs[k], prog_fd, set->children);

			if (fd == -ESRCH)
				break;
			if (fd < 0)
				return report(set->pid, set->tids[i], k, fd);
			set->fds[set->nfds++] = fd;
		}
	return 0;
}

/* Whether every thread of `now` was there before. */
static bool none_new(const struct watch_set *set, const pid_t *now, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!bsearch(&now[i], set->tids, set->ntids, sizeof(*set->tids), compare))
			return false;
	return true;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* One try. 1 when it is done, 0 when a thread was started meanwhile, or a negative code that was reported. */
static int attach_once(struct watch_set *set, const uint64_t *addrs, size_t n, int prog_fd)
{
	pid_t *now = NULL;
	int *fds = realloc(set->fds, set->ntids * n * sizeof(*fds)), err;
	ssize_t nnow;
	bool done;

	if (!fds)
		return diag_error(-ENOMEM, "out of memory");
	set->fds = fds;
	err = open_all(set, addrs, n, prog_fd);
	nnow = err ? err : list_threads(set->pid, &now);
	if (nnow < 0)
		return (int)nnow;
	done = none_new(set, now, (size_t)nnow);
	free(set->tids);
	set->tids = now;
	set->ntids = (size_t)nnow;
	return done;
}

int watch_set__attach(pid_t pid, const uint64_t *addrs, size_t n, int prog_fd, bool children, struct watch_set **out)
{
	struct watch_set *set = calloc(1, sizeof(*set));
	ssize_t ntids;
	int err = 0;

	if (!set)
		return diag_error(-ENOMEM, "out of memory");
	raise_file_limit();
	set->pid = pid;
	set->children = children;
	ntids = list_threads(pid, &set->tids);
	if (ntids < 0) {
		watch_set__free(set);
		return (int)ntids;
	}
	set->ntids = (size_t)ntids;
	for (int i = 0; i < WATCH_TRIES && !err; i++) {
		close_all(set);
		err = attach_once(set, addrs, n, prog_fd);
	}
	if (err > 0) {
		*out = set;
		return 0;
	}
	watch_set__free(set);
	return err ? err
		   : diag_error(-EAGAIN, "process %d starts threads so fast that they cannot all be watched", (int)pid);
}
