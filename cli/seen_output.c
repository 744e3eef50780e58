/* seen_output: see seen_output.h. */
#include "seen_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "out.h"

struct seen_output {
	const struct out_seen *format;
	const char *path; /* NULL: standard output */
	FILE *f;
	struct out_options opts;
	struct seen_header header;
	bool made; /* the file was not there before */
	bool begun, terminal;
};

static int open_file(struct seen_output *o)
{
	int fd = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

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

int seen_output__open(const char *format, const char *path, struct seen_output **out)
{
	struct seen_output *o = calloc(1, sizeof(*o));
	int err = 0;

	if (!o)
		return diag_error(-ENOMEM, "out of memory");
	o->path = path && strcmp(path, "-") ? path : NULL;
	o->format = format ? out_seen__find(format) : o->path ? out_seen__for_path(o->path) : NULL;
	if (!o->format)
		o->format = &out_seen_text;
	if (o->path)
		err = open_file(o);
	else
		o->f = stdout;
	if (err) {
		seen_output__close(o);
		return err;
	}
	o->terminal = isatty(fileno(o->f));
	o->opts.color = o->terminal && !getenv("NO_COLOR");
	*out = o;
	return 0;
}

static int check(const struct seen_output *o, int err)
{
	/* Who reads a pipe and has seen enough closes it. */
	if (!err || (err == -EPIPE && !o->path))
		return err;
	return diag_error(err, "cannot write to %s: %s", o->path ? o->path : "standard output", strerror(-err));
}

int seen_output__begin(struct seen_output *o, const struct seen_header *header)
{
	int err;

	/* Only now is what was in the file given up. /dev/full and pipes cannot be cut, and need not be. */
	if (o->path && ftruncate(fileno(o->f), 0) && errno != EINVAL)
		return check(o, -errno);
	o->begun = true;
	o->header = *header;
	err = check(o, o->format->begin(&o->header, o->f, &o->opts));
	return err ? err : seen_output__flush(o);
}

int seen_output__event(struct seen_output *o, const struct seen_event *event)
{
	int err = check(o, o->format->event(&o->header, event, o->f, &o->opts));

	return err || !o->terminal ? err : seen_output__flush(o);
}

int seen_output__flush(struct seen_output *o)
{
	return check(o, fflush(o->f) ? -errno : 0);
}

int seen_output__end(struct seen_output *o, const struct seen_summary *summary)
{
	int err = check(o, o->format->end(&o->header, summary, o->f, &o->opts));

	if (!err)
		err = seen_output__flush(o);
	if (!err && o->path)
		fprintf(stderr, "pylu-bpf: wrote %s\n", o->path);
	return err;
}

void seen_output__close(struct seen_output *o)
{
	if (!o)
		return;
	if (o->f && o->f != stdout)
		fclose(o->f);
	if (!o->begun && o->path && o->made)
		unlink(o->path);
	free(o);
}
