/* output: see output.h. */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag.h"
#include "out.h"
#include "out_file.h"

struct output {
	const struct out_format *format;
	struct out_file file;
};

int output__open(const char *format, const char *path, struct output **out)
{
	struct output *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return diag_error(-ENOMEM, "out of memory");
	err = out_file__open(&o->file, path, 0644);
	if (err) {
		free(o);
		return err;
	}
	o->format = format ? out__find(format) : o->file.path ? out__for_path(o->file.path) : NULL;
	if (!o->format)
		o->format = &out_text;
	*out = o;
	return 0;
}

const char *output__format(const struct output *o)
{
	return o->format->name;
}

int output__put(struct output *o, output_writer write, const void *what)
{
	const struct out_options opts = { .color = !o->file.path && isatty(STDOUT_FILENO) && !getenv("NO_COLOR") };
	int err = out_file__begin(&o->file);

	if (err)
		return err;
	err = write(what, o->file.f, &opts);
	if (!err && fflush(o->file.f))
		err = -errno;
	err = out_file__check(&o->file, err);
	if (!err)
		out_file__announce(&o->file);
	return err;
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
	out_file__close(&o->file, !err);
	free(o);
}
