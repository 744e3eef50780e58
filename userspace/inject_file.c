/*
 * inject_file: see inject_file.h.
 *
 * The folders are the target's: whoever rules its file system may have put links there. A link is never followed, since
 * an absolute one would lead into our own root, and the file is a new one or none (O_EXCL).
 */
#include "inject_file.h"

#include "diag.h"
#include "proto.h"
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TRIES 16
#define FOLDER O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC

/* In the target's root, one folder after the other. "." is its working folder. */
static const char *const folders[] = { "tmp", "var/tmp", "dev/shm", "run", "." };

static int open_folder(pid_t pid, const char *folder)
{
	char path[64], part[32];
	int dir, next;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, strcmp(folder, ".") ? "root" : "cwd");
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!strcmp(folder, "."))
		return dir < 0 ? -errno : dir;
	while (dir >= 0 && *folder) {
		size_t len = strcspn(folder, "/");

		snprintf(part, sizeof(part), "%.*s", (int)len, folder);
		next = openat(dir, part, FOLDER);
		close(dir);
		dir = next;
		folder += len + (folder[len] == '/');
	}
	return dir < 0 ? -errno : dir;
}

static int copy(int from, int to)
{
	struct stat st;
	off_t done = 0;

	if (fstat(from, &st))
		return -errno;
	while (done < st.st_size) {
		ssize_t n = sendfile(to, from, &done, (size_t)(st.st_size - done));

		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

/* Readable for all and writable for nobody: the target's user may be one that we cannot name. It is given to that user
 * where that can be done, so that a limit on space is that user's. */
static int fill(const struct target *t, int from, int to)
{
	struct statvfs fs;
	int err;

	if (fstatvfs(to, &fs))
		return -errno;
	if (fs.f_flag & ST_NOEXEC)
		return -EACCES;
	err = copy(from, to);
	if (!err && t->uid != geteuid() && fchown(to, t->uid, t->gid))
		err = errno == EPERM || errno == EINVAL ? 0 : -errno;
	if (!err && fchmod(to, 0444))
		err = -errno;
	return err;
}

/* 0, or -errno; -EACCES also for a file system from which nothing may be executed. */
static int make_in(const struct target *t, const char *folder, int from, struct inject_file *out)
{
	char name[48];
	int to = -1, err;

	out->dir = open_folder(t->pid, folder);
	if (out->dir < 0)
		return out->dir;
	for (int i = 0; to < 0 && i < TRIES; i++) {
		uint64_t chance[2];

		if (getrandom(chance, sizeof(chance), 0) != sizeof(chance))
			return -EIO;
		snprintf(name, sizeof(name), PROTO_COPY_NAME "%08lx.so", chance[0]);
		to = openat(out->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (to < 0 && errno != EEXIST)
			break;
	}
	if (to < 0)
		return -errno;
	snprintf(out->path, sizeof(out->path), "%s%s/%s", strcmp(folder, ".") ? "/" : "", folder, name);
	snprintf(out->folder, sizeof(out->folder), "%s", folder);
	out->there = true;
	err = fill(t, from, to);
	close(to);
	return err;
}

int inject_file__make(const struct target *t, const char *from, struct inject_file *out)
{
	char text[512] = "";
	int fd = open(from, O_RDONLY | O_CLOEXEC), err = -ENOENT;

	memset(out, 0, sizeof(*out));
	out->dir = -1;
	if (fd < 0)
		return diag_error(-errno, "the agent's library %s cannot be opened: %s", from, strerror(errno));
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		size_t len = strlen(text);

		err = make_in(t, folders[i], fd, out);
		if (!err)
			break;
		inject_file__remove(out);
		snprintf(text + len, sizeof(text) - len, "%s%s%s: %s", i ? "; " : "",
			 strcmp(folders[i], ".") ? "/" : "its working folder",
			 strcmp(folders[i], ".") ? folders[i] : "",
			 err == -EACCES ? "no file can be made there that may be loaded" : strerror(-err));
	}
	close(fd);
	return err ? diag_error(err, "process %d has no folder from which it could load the agent (%s)", (int)t->pid,
				text)
		   : 0;
}

void inject_file__remove(struct inject_file *file)
{
	const char *name = strrchr(file->path, '/');

	if (file->there && name)
		unlinkat(file->dir, name + 1, 0);
	if (file->dir >= 0)
		close(file->dir);
	file->dir = -1;
	file->there = false;
}
