/*
 * floor: what any uprobe at pylu-bpf's sites costs at least. Attaches a BPF program that does nothing to the very sites
 * at which `pylu-bpf profile` attaches, in the same way, until its standard input is closed. The benchmark's other side;
 * it measures nothing itself.
 *
 *   bench-floor PID [BACKEND]      prints one line for each site, then 'attached'
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "probe.h"
#include "site.h"
#include "skel.h"
#include "target.h"

static int find_sites(const struct target *t, const char *backend, struct site_set *sites)
{
	struct layout layout;
	const struct opmap *opmap = opmap__find(t->version.major, t->version.minor);

	if (layout__of_file(t->elf, &t->version, &layout, NULL) || !opmap)
		return diag_error(-DIAG_UNSUPPORTED, "%s is Python %s, which is not known", t->interp_path,
				  t->version.text);
	return site_set__find(t->elf, &layout, opmap, backend, sites);
}

/* Loads `empty` alone: the other programs are not what is compared. */
static int load(struct pylu **out, bool multi)
{
	struct pylu *skel = pylu__open();
	struct bpf_program *prog;
	int err;

	if (!skel)
		return diag_error(-errno, "cannot open the BPF programs: %s", strerror(errno));
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, prog == skel->progs.empty);
	if (multi)
		bpf_program__set_expected_attach_type(skel->progs.empty, PROBE_ATTACH_TYPE_MULTI);
	err = pylu__load(skel);
	*out = skel;
	return err ? diag_error(err, "the kernel refused the BPF program: %s", strerror(-err)) : 0;
}

static int run(pid_t pid, const char *backend)
{
	bool multi = probe_multi_supported();
	struct probe_point points[SITE_MAX];
	struct probe_links *links = NULL;
	struct site_set sites = { 0 };
	struct pylu *skel = NULL;
	struct target *t;
	char c;
	int err = target__open(pid, &t);

	if (err)
		return err;
	err = find_sites(t, backend, &sites);
	if (err)
		goto out;
	for (size_t i = 0; i < sites.n; i++) {
		points[i] = (struct probe_point){
			.file_offset = sites.sites[i].file_offset,
			.cookie = i,
			.ref_ctr_offset = sites.sites[i].semaphore_offset,
		};
		printf("site %s %s\n", sites.sites[i].what, sites.sites[i].emulated ? "emulated" : "single-stepped");
	}
	err = load(&skel, multi);
	if (!err)
		err = probe_links__attach(t->open_path, pid, skel->progs.empty, points, sites.n, multi, &links);
	if (err)
		goto out;
	printf("attached\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
out:
	probe_links__free(links);
	pylu__destroy(skel);
	target__close(t);
	return err;
}

int main(int argc, char **argv)
{
	int pid = argc == 2 || argc == 3 ? atoi(argv[1]) : 0;

	if (pid <= 0) {
		fprintf(stderr, "Usage: bench-floor PID [BACKEND]\n");
		return 2;
	}
	return diag_exit_status(run(pid, argc == 3 ? argv[2] : NULL));
}
