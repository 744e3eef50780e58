/*
 * watch_floor: what hardware watchpoints at the places of `pylu-bpf debug` cost at least. Attaches a BPF program that does
 * nothing to the very bytes that `debug` watches for these lines, in the same way, until its standard input is closed. The
 * benchmark's other side; it measures nothing itself.
 *
 *   bench-watch-floor PID FUNCTION LINES      prints 'places N', then 'attached'
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "inspect_priv.h"
#include "skel.h"
#include "watch.h"

/* Loads `empty` alone, as a program for perf events. */
static int load(struct pylu **out)
{
	struct pylu *skel = pylu__open();
	struct bpf_program *prog;
	int err;

	if (!skel)
		return diag_error(-errno, "cannot open the BPF programs: %s", strerror(errno));
	*out = skel;
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, prog == skel->progs.empty);
	bpf_program__set_type(skel->progs.empty, BPF_PROG_TYPE_PERF_EVENT);
	err = pylu__load(skel);
	return err ? diag_error(err, "the kernel refused the BPF program: %s", strerror(-err)) : 0;
}

static int watch(const struct inspect *s, const struct pylu *skel)
{
	const struct inspect_group *g = &s->groups[0];
	struct watch_set *set = NULL;
	uint64_t addrs[WATCH_MAX];
	char c;
	int err;

	if (s->ngroups != 1 || g->nplaces > WATCH_MAX)
		return diag_error(-DIAG_USAGE, "these lines need more than %d places", WATCH_MAX);
	for (size_t i = 0; i < g->nplaces; i++)
		addrs[i] = s->skel->bss->places[g->places[i]].addr;
	printf("places %zu\n", g->nplaces);
	err = watch_set__attach(s->opts.pid, addrs, g->nplaces, bpf_program__fd(skel->progs.empty), false, &set);
	if (err)
		return err;
	printf("attached\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	watch_set__free(set);
	return 0;
}

static int run(const struct inspect_options *opts)
{
	struct inspect *s = NULL;
	struct pylu *skel = NULL;
	int err = inspect__new(opts, &s);

	if (!err)
		err = load(&skel);
	if (!err)
		err = watch(s, skel);
	pylu__destroy(skel);
	inspect__free(s);
	return err;
}

int main(int argc, char **argv)
{
	struct inspect_options opts = { .mode = INSPECT_DEBUG, .depth = 2, .items = 10, .chars = 256 };

	opts.pid = argc == 4 ? atoi(argv[1]) : 0;
	if (opts.pid <= 0) {
		fprintf(stderr, "Usage: bench-watch-floor PID FUNCTION LINES\n");
		return 2;
	}
	opts.function = argv[2];
	opts.lines = argv[3];
	return diag_exit_status(run(&opts));
}
