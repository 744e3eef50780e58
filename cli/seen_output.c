/* seen_output: see seen_output.h. */
#include "seen_output.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag.h"
#include "out.h"
#include "out_file.h"

struct seen_output {
	const struct out_seen *format;
	struct out_file file;
	struct out_options opts;
	struct seen_header header;
	bool begun, terminal;
};

/* Events have values in them: a file is for its owner alone. */
int seen_output__open(const char *format, const char *path, struct seen_output **out)
{
	struct seen_output *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return diag_error(-ENOMEM, "out of memory");
	err = out_file__open(&o->file, path, 0600);
	if (err) {
		free(o);
		return err;
	}
	o->format = format ? out_seen__find(format) : o->file.path ? out_seen__for_path(o->file.path) : NULL;
	if (!o->format)
		o->format = &out_seen_text;
	o->terminal = isatty(fileno(o->file.f));
	o->opts.color = o->terminal && !getenv("NO_COLOR");
	*out = o;
	return 0;
}

static int check(const struct seen_output *o, int err)
{
	/* Who reads a pipe and has seen enough closes it. */
	return err == -EPIPE && !o->file.path ? err : out_file__check(&o->file, err);
}

int seen_output__begin(struct seen_output *o, const struct seen_header *header)
{
	int err = out_file__begin(&o->file);

	if (err)
		return err;
	o->begun = true;
	o->header = *header;
	err = check(o, o->format->begin(&o->header, o->file.f, &o->opts));
	return err ? err : seen_output__flush(o);
}

int seen_output__event(struct seen_output *o, const struct seen_event *event)
{
	int err = check(o, o->format->event(&o->header, event, o->file.f, &o->opts));

	return err || !o->terminal ? err : seen_output__flush(o);
}

int seen_output__flush(struct seen_output *o)
{
	return check(o, fflush(o->file.f) ? -errno : 0);
}

int seen_output__end(struct seen_output *o, const struct seen_summary *summary)
{
	int err = check(o, o->format->end(&o->header, summary, o->file.f, &o->opts));

	if (!err)
		err = seen_output__flush(o);
	if (!err)
		out_file__announce(&o->file);
	return err;
}

void seen_output__close(struct seen_output *o)
{
	if (!o)
		return;
	out_file__close(&o->file, o->begun);
	free(o);
}
