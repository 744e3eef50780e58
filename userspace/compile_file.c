/*
 * compile_file: the text of an original, for `show`. It goes into the target: so nothing may be read that the target's own
 * user could not read, nor anything outside its root, whatever name or link it offers.
 */
#include "compile_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target.h"

static int open_at(const struct target *t, int dir, const char *file, bool absolute)
{
	/* O_NONBLOCK: it may be a pipe, which nobody writes to. */
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
				.resolve = absolute ? RESOLVE_IN_ROOT : RESOLVE_BENEATH };
	int uid, gid;
	long fd;

	how.resolve |= RESOLVE_NO_MAGICLINKS;
	gid = setfsgid(t->gid);
	uid = setfsuid(t->uid);
	fd = syscall(SYS_openat2, dir, file, &how, sizeof(how));
	setfsuid((uid_t)uid);
	setfsgid((gid_t)gid);
	return (int)fd;
}

char *compile_file__read(const struct target *t, const char *file, size_t max, size_t *len)
{
	bool absolute = file[0] == '/';
	char dir[64], *text = NULL;
	int at, fd;
	struct stat st;

	snprintf(dir, sizeof(dir), "/proc/%d/%s", (int)t->pid, absolute ? "root" : "cwd");
	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return NULL;
	fd = open_at(t, at, file, absolute);
	close(at);
	if (fd < 0)
		return NULL;
	*len = 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && (size_t)st.st_size <= max)
		text = malloc((size_t)st.st_size + 1);
	while (text && *len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + *len, (size_t)st.st_size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	close(fd);
	return text;
}
