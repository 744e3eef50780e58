/*
 * session_jit: refuses to watch compiled traces by static probes, which they do not pass, neither where calls start nor
 * where they end: nothing would be amiss in a result but that most calls are missing. Other backends see the ends.
 */
#include <string.h>

#include "diag.h"
#include "mem.h"
#include "session_priv.h"
#include "target.h"

static bool hides_calls(const struct session *s, const struct session_proc *proc)
{
	return !strcmp(s->builds[proc->build].sites.backend, "usdt");
}

static int refuse(const struct session *s, const struct session_proc *proc)
{
	return diag_error(s->opts.backend ? -DIAG_BACKEND : -DIAG_NOT_PROVED,
			  "%s %d: the JIT compiler is on, and what it compiles passes none of the static probes that the backend "
			  "'usdt' sees calls by",
			  proc->trial ? "a trial of this interpreter, process" : "process", (int)proc->pid);
}

int session_refuse_jit_target(const struct session *s, const struct session_proc *proc)
{
	const struct layout *l = &s->builds[proc->build].layout;
	uint64_t interp;
	uint8_t jit;

	if (!hides_calls(s, proc) || target__symbol(proc->target, "_PyRuntime", &interp) ||
	    mem__read_u64(proc->target->mem, interp + (uint64_t)l->runtime_interp_head, &interp))
		return 0;
	for (int i = 0; i < WIRE_MAX_INTERPS && interp; i++) {
		if (mem__read_u8(proc->target->mem, interp + (uint64_t)l->interp_jit, &jit))
			return 0;
		if (jit)
			return refuse(s, proc);
		if (mem__read_u64(proc->target->mem, interp + (uint64_t)l->interp_next, &interp))
			return 0;
	}
	return 0;
}

int session_refuse_jit(const struct session *s)
{
	for (size_t i = 0; i < s->nprocs; i++)
		if (hides_calls(s, s->procs[i]) && s->skel->bss->procs[s->procs[i]->slot].jit)
			return refuse(s, s->procs[i]);
	return 0;
}
