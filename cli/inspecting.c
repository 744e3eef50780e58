/* inspecting: see inspecting.h. */
#include "inspecting.h"

#include <stdio.h>

#include "diag.h"
#include "interrupt.h"
#include "program.h"

#define POLL_MS 50

void inspecting_options(const struct seen_opts *o, struct inspect_options *out)
{
	out->pid = o->pids.pids[0];
	out->when = o->when;
	out->backend = o->backend;
	out->depth = o->depth;
	out->items = o->items;
	out->chars = o->chars;
	out->rate = o->rate;
	out->count = o->count;
	out->stack = o->stack;
	out->all = o->all;
	out->children = o->children;
	out->no_redact = o->no_redact;
	out->redact_file = o->redact_file;
}

void inspecting_announce(const struct inspect *s)
{
	const struct seen_header *header = inspect__header(s);

	fprintf(stderr, "pylu-bpf: watching %s; %s; a hit costs %.2f us here\n", inspect__function(s), header->why,
		header->cost_ns / 1000);
	if (header->watched)
		fprintf(stderr, "pylu-bpf: %s\n", header->watched);
}

int inspecting_run(struct inspect *s, double seconds, int (*flush)(void *ctx), void *ctx)
{
	double end = seconds > 0 ? now_s() + seconds : 0, left;
	const char *why = NULL;
	int going = 1, err = 0;

	while (!why && !err) {
		left = end > 0 ? end - now_s() : 1;
		if (interrupted())
			why = "interrupted";
		else if (!going)
			why = "the process ended";
		else if (left <= 0)
			why = "the time was over";
		else
			going = inspect__poll(s, left * 1000 < POLL_MS ? (int)(left * 1000) + 1 : POLL_MS);
		err = going < 0 && going != -EINTR ? going : flush ? flush(ctx) : 0;
	}
	inspect__stop(s, why);
	return err;
}

int inspecting_status(int err)
{
	if (err == -EPIPE)
		return 0;
	return program_failed(err);
}
