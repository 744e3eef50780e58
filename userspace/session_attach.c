/*
 * session_attach: the links of a session: which sites are probed, in which processes, and when.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "diag.h"
#include "probe.h"
#include "pattern.h"
#include "pyobj.h"
#include "session_priv.h"
#include "target.h"

int session_keep_links(struct session *s, struct probe_links *links)
{
	struct probe_links **bigger = realloc(s->links, (s->nlinks + 1) * sizeof(struct probe_links *));

	if (!bigger) {
		probe_links__free(links);
		return diag_error(-ENOMEM, "out of memory");
	}
	s->links = bigger;
	s->links[s->nlinks++] = links;
	return 0;
}

/* Attaches the sites of a build that do, or do not, see yields, in a process's file, for that process or for all. */
int session_attach_sites(struct session *s, const struct session_proc *proc, pid_t pid, bool yields)
{
	const struct session_build *build = &s->builds[proc->build];
	struct probe_point points[SITE_MAX];
	struct probe_links *links;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < build->sites.n; i++)
		if ((build->sites.sites[i].kind == SITE_OPCODE_YIELD) == yields)
			points[n++] = (struct probe_point){
				.file_offset = build->sites.sites[i].file_offset,
				.cookie = build->first_site + i,
				.ref_ctr_offset = build->sites.sites[i].semaphore_offset,
			};
	if (!n)
		return 0;
	err = probe_links__attach(proc->open_path, pid, s->skel->progs.probe, points, n, s->multi, &links);
	return err ? err : session_keep_links(s, links);
}

static bool can_attach(const struct session_proc *proc, size_t build)
{
	return proc->build == build && !proc->ended && !proc->interp && proc->open_path;
}

/* Whether the file of process `i` is that of one before it: of a build there may be several copies. */
static bool has_links(const struct session *s, size_t build, size_t i)
{
	struct stat mine, other;

	if (stat(s->procs[i]->open_path, &mine))
		return false;
	while (i-- > 0)
		if (can_attach(s->procs[i], build) && !stat(s->procs[i]->open_path, &other) &&
		    mine.st_dev == other.st_dev && mine.st_ino == other.st_ino)
			return true;
	return false;
}

/* All processes of one build share its sites; each gets links of its own where the kernel can limit a probe to a
 * process, so that no other one pays. Children forked later are reached by unlimited probes only: these are one set for
 * each file, by way of any process that lives. */
static int attach_build(struct session *s, size_t build, bool yields)
{
	bool attached = false;
	pid_t gone = 0;
	int err = 0;

	for (size_t i = 0; i < s->nprocs && !err; i++) {
		if (!can_attach(s->procs[i], build))
			continue;
		if (s->procs[i]->target && !target__alive(s->procs[i]->target)) {
			gone = s->procs[i]->pid;
		} else if (s->limited || !has_links(s, build, i)) {
			err = session_attach_sites(s, s->procs[i], s->limited ? s->procs[i]->pid : 0, yields);
			attached = true;
		}
	}
	/* Whoever ends while it is watched takes nothing with it. */
	if (!err && gone && !yields && (s->limited || !attached))
		return diag_error(-DIAG_GONE, "process %d ended before it could be watched", (int)gone);
	return err;
}

static int on_loaded_generator(const struct pyfunc *f, void *ctx)
{
	const struct session *s = ctx;

	return f->flags & WIRE_CO_GENERATORS && pattern_set__match(s->patterns, f->module, f->qualname);
}

/* Whether generators that are loaded now match. A process that cannot be asked yet may hold some. */
static bool has_generators(struct session *s, size_t build)
{
	for (size_t i = 0; i < s->nprocs; i++)
		if (s->procs[i]->build == build && !s->procs[i]->ended &&
		    (!s->procs[i]->reader || pyobj_each_function(s->procs[i]->reader, on_loaded_generator, s) > 0))
			return true;
	return false;
}

/* The probes that see yields are single-stepped in many builds, and paid by all generators of the process: they are
 * attached only once a generator matches. From then on generators can be timed. */
int session_attach_yields(struct session *s, size_t build)
{
	int err = attach_build(s, build, true);

	if (!err)
		__atomic_store_n(&s->skel->bss->builds[build].yields_live, 1, __ATOMIC_RELEASE);
	return err;
}

/* Whether a backend sees yields at sites of their own, rather than where it sees starts and ends. */
static bool has_yield_sites(const struct session_build *build)
{
	for (size_t i = 0; i < build->sites.n; i++)
		if (build->sites.sites[i].kind == SITE_OPCODE_YIELD)
			return true;
	return false;
}

int session_attach_all(struct session *s)
{
	int err = 0;

	s->limited = s->cost.thread_filter && !s->opts.tree;
	for (size_t b = 0; b < s->nbuilds && !err; b++) {
		s->builds[b].wants_yields = s->builds[b].yields_attached = !has_yield_sites(&s->builds[b]) ||
									   has_generators(s, b);
		err = attach_build(s, b, false);
		if (!err && s->builds[b].yields_attached)
			err = session_attach_yields(s, b);
	}
	return err;
}

void session_detach(struct session *s)
{
	probe_links__free_all(s->links, s->nlinks);
	free(s->links);
	s->links = NULL;
	s->nlinks = 0;
}
