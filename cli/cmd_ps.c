/* cmd_ps: the Python processes of this host, and whether and how they can be looked at. */
#include <stdio.h>
#include <string.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "opt.h"
#include "site.h"
#include "target.h"

static const struct opt opts[] = { { 0 } };

struct listing {
	int found;
	bool denied;
	char build_id[64]; /* the last build that was looked at, and what came out: most processes share one */
	char how[96];
};

/* In a few words: the backend that works, or what stands in the way. */
static void how(const struct target *t, char *buf, size_t size)
{
	const struct opmap *opmap = opmap__find(t->version.major, t->version.minor);
	struct layout layout;
	struct site_set sites;
	size_t stepped = 0;

	if (layout__of_file(t->elf, &t->version, &layout, NULL) || !opmap) {
		snprintf(buf, size, "no: this version is not supported");
		return;
	}
	if (site_set__find(t->elf, &layout, opmap, NULL, &sites)) {
		snprintf(buf, size, "no: its sites were not found");
		return;
	}
	for (size_t i = 0; i < sites.n; i++)
		stepped += !sites.sites[i].emulated;
	if (stepped)
		snprintf(buf, size, "%s (%zu of %zu sites single-stepped)", sites.backend, stepped, sites.n);
	else
		snprintf(buf, size, "%s", sites.backend);
}

static void row(const char *pid, const char *version, const char *build, const char *how_text, const char *command)
{
	printf("%7s  %-8s  %-12.12s  %-12s  %.200s\n", pid, version, build, how_text, command);
}

static int list(pid_t pid, void *ctx)
{
	struct listing *listing = ctx;
	const char *why = NULL;
	char number[16];
	struct target *t;
	int err = target__probe(pid, &t, &why);

	if (err) {
		listing->denied |= err == -DIAG_NO_CAPABILITY;
		return 0;
	}
	if (!listing->found++)
		row("PID", "PYTHON", "BUILD", "LOOK", "COMMAND");
	if (strcmp(listing->build_id, elf_file__build_id(t->elf)) || !listing->how[0]) {
		snprintf(listing->build_id, sizeof(listing->build_id), "%s", elf_file__build_id(t->elf));
		how(t, listing->how, sizeof(listing->how));
	}
	snprintf(number, sizeof(number), "%d", (int)pid);
	row(number, t->version.text, listing->build_id, listing->how, t->command);
	target__close(t);
	return 0;
}

static void silent(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

static int run(const struct command *cmd, int argc, char **argv)
{
	struct listing listing = { 0 };
	int first, status = opt__parse(cmd, argc, argv, NULL, &first);

	if (status)
		return status < 0 ? 0 : status;
	if (first < argc)
		return opt__usage(cmd, "unexpected '%s'", argv[first]);
	diag_set_callback(silent, NULL); /* what cannot be looked at is said in its row */
	target_for_each_pid(list, &listing);
	if (!listing.found)
		printf("no Python process%s\n", listing.denied ? " that you may look at" : "");
	if (listing.denied)
		fprintf(stderr,
			"pylu-bpf: some processes were left out: CAP_SYS_PTRACE (or root) is needed to look at them\n");
	return 0;
}

const struct command cmd_ps = {
	.name = "ps",
	.usage = "ps",
	.summary = "list Python processes: pid, version, build, how they can be looked at, command",
	.opts = opts,
	.run = run,
};
