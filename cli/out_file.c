/* out_file: see out_file.h. */
#include "out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "program.h"

int out_file__open(struct out_file *o, const char *path, mode_t mode)
{
	int fd;

	*o = (struct out_file){ .path = path && strcmp(path, "-") ? path : NULL, .f = stdout };
	if (!o->path)
		return 0;
	fd = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	o->made = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(o->path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return diag_error(-EIO, "cannot write to %s: %s", o->path, strerror(errno));
	o->f = fdopen(fd, "w");
	if (!o->f) {
		close(fd);
		return diag_error(-ENOMEM, "out of memory");
	}
	return 0;
}

int out_file__begin(struct out_file *o)
{
	/* /dev/full and pipes cannot be cut, and need not be. */
	if (o->path && ftruncate(fileno(o->f), 0) && errno != EINVAL)
		return out_file__check(o, -errno);
	return 0;
}

int out_file__check(const struct out_file *o, int err)
{
	if (!err)
		return 0;
	return diag_error(err, "cannot write to %s: %s", o->path ? o->path : "standard output", strerror(-err));
}

void out_file__announce(const struct out_file *o)
{
	if (o->path)
		fprintf(stderr, "%s: wrote %s\n", program_name(), o->path);
}

void out_file__close(struct out_file *o, bool keep)
{
	if (o->f != stdout)
		fclose(o->f);
	if (!keep && o->made)
		unlink(o->path);
}
