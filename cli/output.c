/* output: see output.h. */
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "out.h"

struct output {
	const struct out_format *format;
	const char *path; /* NULL: standard output */
	FILE *f;
	bool made; /* the file was not there before */
};

static int open_file(struct output *o)
{
	int fd = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

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

int output__open(const char *format, const char *path, struct output **out)
{
	struct output *o = calloc(1, sizeof(*o));
	int err = 0;

	if (!o)
		return diag_error(-ENOMEM, "out of memory");
	o->path = path && strcmp(path, "-") ? path : NULL;
	o->format = format ? out__find(format) : o->path ? out__for_path(o->path) : NULL;
	if (!o->format)
		o->format = &out_text;
	if (o->path)
		err = open_file(o);
	else
		o->f = stdout;
	if (err) {
		output__close(o, err);
		return err;
	}
	*out = o;
	return 0;
}

const char *output__format(const struct output *o)
{
	return o->format->name;
}

int output__put(struct output *o, output_writer write, const void *what)
{
	const struct out_options opts = { .color = !o->path && isatty(STDOUT_FILENO) && !getenv("NO_COLOR") };
	int err;

	/* Only now is what was in the file given up. /dev/full and pipes cannot be cut, and need not be. */
	if (o->path && ftruncate(fileno(o->f), 0) && errno != EINVAL)
		return diag_error(-errno, "cannot write to %s: %s", o->path, strerror(errno));
	err = write(what, o->f, &opts);
	if (!err && fflush(o->f))
		err = -errno;
	if (err)
		return diag_error(err, "cannot write to %s: %s", o->path ? o->path : "standard output", strerror(-err));
	if (o->path)
		fprintf(stderr, "pylu-bpf: wrote %s\n", o->path);
	return 0;
}

struct job {
	const struct out_format *format;
	const struct profile *profile;
};

static int write_profile(const void *what, FILE *f, const struct out_options *opts)
{
	const struct job *job = what;

	return job->format->write(job->profile, f, opts);
}

int output__write(struct output *o, const struct profile *p)
{
	const struct job job = { o->format, p };

	return output__put(o, write_profile, &job);
}

void output__close(struct output *o, int err)
{
	if (!o)
		return;
	if (o->f && o->f != stdout)
		fclose(o->f);
	if (err && o->path && o->made)
		unlink(o->path);
	free(o);
}
