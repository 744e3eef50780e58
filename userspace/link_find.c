/*
 * link_find: finds the agent's memory among a process's descriptors, and says why there is none for us. Whether it is the process's own, and not
 * its parent's from before a fork, is told by what stands in it and by what the kernel says of the process.
 */
#include "link_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "diag.h"
#include "link.h"
#include "owner.h"

#define NAME "/memfd:" PROTO_MEMFD_NAME " (deleted)"
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* What is the same in all versions, copied. */
struct prefix {
	uint64_t magic;
	uint32_t version, version_min, size, pid;
	uint64_t start_time;
};
_Static_assert(sizeof(struct prefix) == offsetof(struct proto_header, unused), "as in the header");

int link_find__process(pid_t pid, char *state, uint64_t *start_time)
{
	char folder[64];

	snprintf(folder, sizeof(folder), "/proc/%d", (int)pid);
	return owner__read(folder, state, start_time) || strchr("ZX", *state) ? -ESRCH : 0;
}

/* The last number of a line of /proc/PID/status that is separated by tabs, or `absent`. */
static uint32_t status_number(pid_t pid, const char *name, unsigned column, uint32_t absent)
{
	char path[64], line[512];
	const char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, name, strlen(name)))
			continue;
		at = line;
		for (unsigned i = 0; i < column && strchr(at, '\t'); i++)
			at = strchr(at, '\t') + 1;
		absent = at == line ? absent : (uint32_t)strtoul(at, NULL, 10);
		break;
	}
	if (f)
		fclose(f);
	return absent;
}

/* The next descriptor with the ring's name. False when there is no more. */
static bool next_named(DIR *dir, char *path, size_t size, pid_t pid)
{
	char target[PATH_MAX];
	struct dirent *entry;
	ssize_t n;

	while ((entry = readdir(dir))) {
		snprintf(path, size, "/proc/%d/fd/%.20s", (int)pid, entry->d_name);
		n = readlink(path, target, sizeof(target));
		if (n == (ssize_t)strlen(NAME) && !memcmp(target, NAME, (size_t)n))
			return true;
	}
	return false;
}

static DIR *open_folder(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return opendir(path);
}

bool link_exists(pid_t pid)
{
	DIR *dir = open_folder(pid);
	char path[64];
	bool found = dir && next_named(dir, path, sizeof(path), pid);

	if (dir)
		closedir(dir);
	return found;
}

/* Whether it is memory of this process's own agent that cannot change its size under us: touching what was cut off would end this process. */
static bool is_its_own(const struct link *link, int fd, const struct prefix *p)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && p->magic == PROTO_MAGIC &&
	       p->pid == status_number(link->pid, "NSpid:", UINT_MAX, (uint32_t)link->pid) &&
	       owner__same(p->start_time, link->start_time);
}

static int other_version(const struct link *link, const struct prefix *p)
{
	return diag_error(-DIAG_AGENT_VERSION,
			  "process %d: its agent speaks versions %u to %u of the protocol, this program version %u",
			  (int)link->pid, p->version_min, p->version, PROTO_VERSION);
}

/* One that has the name. 0, -ENOENT when it is not this process's own, or a code that was reported. */
static int try_one(struct link *link, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct prefix p;
	struct stat st;

	if (fd < 0)
		return errno == EACCES || errno == EPERM ? -EACCES : -ENOENT;
	if (pread(fd, &p, sizeof(p), 0) != sizeof(p) || fstat(fd, &st) || !is_its_own(link, fd, &p))
		err = -ENOENT;
	else if (p.version_min > PROTO_VERSION || p.version < PROTO_VERSION || p.size != sizeof(*link->memory) ||
		 st.st_size != (off_t)p.size)
		err = other_version(link, &p);
	if (!err) {
		link->memory = mmap(NULL, sizeof(*link->memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (link->memory != MAP_FAILED) {
			link->fd = fd;
			return 0;
		}
		link->memory = NULL;
		err = diag_error(-errno, "process %d: its agent's memory cannot be mapped: %s", (int)link->pid,
				 strerror(errno));
	}
	close(fd);
	return err;
}

/* The kernel does not let us look. Whose process is it, and does that help? */
static int denied(pid_t pid)
{
	uint32_t user = status_number(pid, "Uid:", 2, UINT32_MAX);

	if (geteuid() == 0)
		return diag_error(-EPERM, "process %d: its agent may not be reached: CAP_SYS_PTRACE is missing here",
				  (int)pid);
	if (user == geteuid())
		return diag_error(-EPERM,
				  "process %d: only root may reach its agent, because the process changed its user id, "
				  "holds capabilities or is not dumpable",
				  (int)pid);
	if (user == UINT32_MAX)
		return diag_error(-DIAG_NO_CAPABILITY, "process %d: its agent may not be reached", (int)pid);
	return diag_error(-DIAG_NO_CAPABILITY,
			  "process %d belongs to user %u: only that user and root may reach its agent", (int)pid, user);
}

int link_find__open(struct link *link)
{
	DIR *dir = open_folder(link->pid);
	bool no = !dir && (errno == EACCES || errno == EPERM);
	char path[64];
	int err = -ENOENT;

	while (dir && (err == -ENOENT || err == -EACCES) && next_named(dir, path, sizeof(path), link->pid)) {
		err = try_one(link, path);
		no |= err == -EACCES;
	}
	if (dir)
		closedir(dir);
	if (err != -ENOENT && err != -EACCES)
		return err;
	if (no)
		return denied(link->pid);
	return diag_error(-DIAG_NO_AGENT, "process %d has no agent", (int)link->pid);
}

pid_t link_find__holder(const struct link *link)
{
	FILE *f = fopen("/proc/locks", "re");
	unsigned long long ino;
	char line[256];
	struct stat st;
	int pid, holder = 0;

	if (f && !fstat(link->fd, &st))
		while (!holder && fgets(line, sizeof(line), f))
			if (sscanf(line, "%*d: FLOCK %*s WRITE %d %*x:%*x:%llu", &pid, &ino) == 2 && ino == st.st_ino &&
			    pid > 0)
				holder = pid;
	if (f)
		fclose(f);
	return holder;
}
