/*
 * session_check: what must hold in the target itself, from its first hits to the last, whatever was proved elsewhere: the
 * register holds a frame, its code object is one and has strings for names, calls end. The programs count what does not
 * fit; here it is judged. A session that fails gives no result.
 */
#include "diag.h"
#include "layout.h"
#include "mem.h"
#include "interps.h"
#include "pyobj.h"
#include "session_priv.h"
#include "target.h"

#define CODES_CHECKED 64     /* code objects of a process whose strings are looked at */
#define LOOKS 4		     /* at what is found wrong */
#define UNREADABLE_MIN 4     /* fewer are shown as lost: memory may be swapped out */
#define UNREADABLE_MOST 4    /* at most one of so many hits may meet memory that cannot be read */
#define UNCLOSED_MOST 20     /* without a trial, at most one of so many hits may tell of a call not seen to end */
#define UNCLOSED_HITS_MIN 40 /* from so many hits on */

/* Whether what a code object has at `field` is the object that was announced, and no string: each time that one looks,
 * because both may be gone and come back between the two. */
static bool is_bad(const struct session_proc *proc, uint64_t code, int32_t field, uint64_t announced)
{
	bool bad = true;
	uint64_t now;
	char byte[8];

	for (int i = 0; i < LOOKS && bad; i++)
		bad = !mem__read_u64(proc->target->mem, code + (uint64_t)field, &now) && now == announced &&
		      pyobj__str(proc->reader, announced, byte, sizeof(byte)) == -EINVAL;
	return bad;
}

/* A code object keeps its strings as long as it lives: where they are none, it was no code object. It may be gone, though,
 * and another that is compiled from the same text have its place, with some of its strings. */
void session_check_code(const struct session *s, struct session_proc *proc, const struct wire_event_code *event)
{
	const struct layout *l = &s->builds[proc->build].layout;
	int32_t name = l->code_qualname != OFF_NONE ? l->code_qualname : l->code_name;

	if (proc->codes_checked >= CODES_CHECKED || proc->bad_names || !proc->reader)
		return;
	proc->codes_checked++;
	proc->bad_names = (is_bad(proc, event->code, name, event->name_obj) ||
			   is_bad(proc, event->code, l->code_filename, event->file_obj)) &&
			  session_code_lives(s, event);
}

/* Compiled traces pass no static probes, neither where calls start nor where they end: nothing would be amiss in a result
 * but that most calls are missing. The other backends see the ends. */
static int refuse_jit(const struct session *s, const struct session_proc *proc)
{
	return diag_error(s->opts.backend ? -DIAG_BACKEND : -DIAG_NOT_PROVED,
			  "process %d%s: the JIT compiler is on, and what it compiles passes none of the static probes "
			  "by which the backend 'usdt' sees calls",
			  (int)proc->pid, proc->trial ? ", a trial of this interpreter" : "");
}

int session_check_target(const struct session *s, const struct session_proc *proc)
{
	const struct session_build *build = &s->builds[proc->build];
	unsigned n, jit;

	return session_by_usdt(build) && !interps_count(proc->target, &build->layout, &n, &jit) && jit
		       ? refuse_jit(s, proc)
		       : 0;
}

int session_check_jit(const struct session *s, const struct session_proc *proc)
{
	return session_by_usdt(&s->builds[proc->build]) && s->skel->bss->procs[proc->slot].jit ? refuse_jit(s, proc)
											       : 0;
}

static int check_proc(const struct session *s, const struct session_proc *proc)
{
	const struct wire_proc *wire = &s->skel->bss->procs[proc->slot];
	const struct wire_stats *stats = &wire->stats;
	unsigned long long hits = wire->hits;

	if (stats->bad_code)
		return diag_error(-DIAG_NOT_PROVED,
				  "process %d: at %llu of %llu probe hits the frame's code object was none",
				  (int)proc->pid, (unsigned long long)stats->bad_code, hits);
	if (proc->bad_names)
		return diag_error(-DIAG_NOT_PROVED, "process %d: the name of a code object that was met is no string",
				  (int)proc->pid);
	if (stats->unstarted)
		return diag_error(
			-DIAG_NOT_PROVED,
			"process %d: of one in %d calls that ended, %llu had not been seen to start, though their "
			"callers had: something hides calls from the probes (compiled code?), so the counts would "
			"be wrong, and none is shown",
			(int)proc->pid, WIRE_UNSTARTED_SAMPLE, (unsigned long long)stats->unstarted);
	if (stats->unreadable >= UNREADABLE_MIN && stats->unreadable * UNREADABLE_MOST > hits)
		return diag_error(-DIAG_NOT_PROVED,
				  "process %d: at %llu of %llu probe hits the frame could not be read", (int)proc->pid,
				  (unsigned long long)stats->unreadable, hits);
	if (s->builds[proc->build].unproved && hits >= UNCLOSED_HITS_MIN && stats->unclosed * UNCLOSED_MOST > hits)
		return diag_error(-DIAG_NOT_PROVED,
				  "process %d: %llu calls were not seen to end, of %llu probe hits, and no trial child "
				  "of its interpreter could be started: %s",
				  (int)proc->pid, (unsigned long long)stats->unclosed, hits,
				  s->builds[proc->build].unproved);
	return session_check_jit(s, proc);
}

int session_check(const struct session *s)
{
	int err = 0;

	for (size_t i = 0; i < s->nprocs && !err; i++)
		if (!s->procs[i]->trial)
			err = check_proc(s, s->procs[i]);
	return err;
}
