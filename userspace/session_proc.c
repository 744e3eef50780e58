/*
 * session_proc: the processes of a session: those that were named, those that they fork, one that we start, and the
 * trial child of a proof.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "elf.h"
#include "prove.h"
#include "pyobj.h"
#include "seen_decode.h"
#include "session_priv.h"
#include "target.h"

struct session_proc *session_proc(const struct session *s, uint32_t slot)
{
	for (size_t i = 0; i < s->nprocs; i++)
		if (s->procs[i]->slot == slot)
			return s->procs[i];
	return NULL;
}

/* Processor time that a process has used, in ns; 0 when unknown. */
static uint64_t cpu_ns(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

void session_proc_end(struct session_proc *proc)
{
	proc->ended = true;
	proc->ended_ns = monotonic_ns();
}

/* Gives back what only a living process needs: a server forks workers all day long. */
static void proc_close(struct session_proc *proc)
{
	seen_decoder__free(proc->decoder);
	pyobj_reader__free(proc->reader);
	target__close(proc->target);
	proc->decoder = NULL;
	proc->reader = NULL;
	proc->target = NULL;
}

void session_proc_free(struct session_proc *proc)
{
	proc_close(proc);
	free(proc->command);
	free(proc->python);
	free(proc->open_path);
	free(proc);
}

bool session_is_trial(const struct session *s, uint32_t slot)
{
	const struct session_proc *proc = session_proc(s, slot);

	return proc && proc->trial;
}

static struct session_proc *proc_new(struct session *s, pid_t pid, size_t build, const char *command,
				     const char *python)
{
	struct session_proc **bigger = realloc(s->procs, (s->nprocs + 1) * sizeof(struct session_proc *));
	struct session_proc *proc;

	if (bigger)
		s->procs = bigger;
	proc = bigger ? calloc(1, sizeof(*proc)) : NULL;
	if (!proc)
		return NULL;
	proc->pid = pid;
	proc->build = build;
	proc->command = strdup(command);
	proc->python = strdup(python);
	proc->cpu_start_ns = cpu_ns(pid);
	s->procs[s->nprocs++] = proc;
	return proc;
}

/* Makes a process known to the programs. 0, or a code that was reported. */
static int watch(struct session *s, struct session_proc *proc, bool launched)
{
	uint32_t tgid = (uint32_t)proc->pid;

	proc->slot = s->skel->data->next_slot++;
	if (proc->slot >= WIRE_MAX_PROCS)
		return diag_error(-E2BIG, "more than %d processes", WIRE_MAX_PROCS);
	s->skel->bss->procs[proc->slot] = (struct wire_proc){ .tgid = tgid, .launched = launched, .home = proc->slot };
	/* A program that embeds the interpreter may hold variables of it itself, by copy relocations. */
	if (proc->target) {
		target__symbol(proc->target, "PyCode_Type", &s->skel->bss->procs[proc->slot].code_type);
		target__symbol(proc->target, "_PyRuntime", &s->skel->bss->procs[proc->slot].runtime);
	}
	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.tgids), &tgid, &proc->slot, BPF_ANY))
		return diag_error(-errno, "cannot watch process %d: %s", (int)proc->pid, strerror(errno));
	return 0;
}

int session__add_target(struct session *s, struct target *t)
{
	const struct prove_source source = { .target = t };
	struct session_proc *proc;
	int build, err;

	build = session_find_build(s, t->elf, &t->version, t->interp_path, &source);
	proc = build < 0 ? NULL : proc_new(s, t->pid, (size_t)build, t->command, t->version.text);
	if (!proc) {
		target__close(t);
		return build < 0 ? build : diag_error(-ENOMEM, "out of memory");
	}
	proc->target = t;
	proc->open_path = strdup(t->open_path);
	if (!proc->open_path)
		return diag_error(-ENOMEM, "out of memory");
	err = watch(s, proc, false);
	if (!err)
		err = session_check_target(s, proc);
	return err ? err : pyobj_reader__new(t, &proc->reader);
}

int session__add_command(struct session *s, pid_t pid, const char *exe, const char *interp_path, const char *command)
{
	const struct prove_source source = { .exe = exe, .interp_path = interp_path };
	struct session_proc *proc;
	struct py_version version;
	struct elf_file *elf;
	int build, err;

	err = elf_file__open(interp_path, &elf);
	if (err)
		return err;
	build = elf_python_version(elf, &version);
	if (build)
		build = diag_error(build, "%s holds no Python whose version can be told", interp_path);
	else
		build = session_find_build(s, elf, &version, interp_path, &source);
	elf_file__close(elf);
	if (build < 0)
		return build;
	proc = proc_new(s, pid, (size_t)build, command, version.text);
	if (proc)
		proc->open_path = strdup(interp_path);
	if (!proc || !proc->open_path)
		return diag_error(-ENOMEM, "out of memory");
	return watch(s, proc, true);
}

/* Opens a process that was only announced: forked, or started by us. */
void session_proc_open(struct session_proc *proc)
{
	const char *why;

	if (proc->target || proc->ended || target__probe(proc->pid, &proc->target, &why))
		return;
	if (pyobj_reader__new(proc->target, &proc->reader))
		proc->reader = NULL;
	free(proc->command);
	proc->command = strdup(proc->target->command);
}

/* A process that was forked by a watched one: same build, same addresses. */
void session_on_fork(struct session *s, const struct wire_event_proc *event)
{
	struct session_proc *parent = session_proc(s, event->parent_slot), *proc;
	if (!parent)
		return;
	proc = proc_new(s, (pid_t)event->pid, parent->build, parent->command, parent->python);
	if (!proc)
		return;
	proc->slot = event->slot;
	proc->parent_slot = event->parent_slot;
	proc->cpu_start_ns = 0;
	session_proc_open(proc);
}

/* Another interpreter of a watched process: its functions and counts are its own. */
void session_on_interp(struct session *s, const struct wire_event_proc *event)
{
	struct session_proc *home = session_proc(s, event->parent_slot), *proc;

	proc = home ? proc_new(s, home->pid, home->build, home->command, home->python) : NULL;
	if (!proc)
		return;
	proc->slot = event->slot;
	proc->interp = true;
	proc->interp_id = (int64_t)event->interp;
	proc->trial = home->trial;
	session_proc_open(proc);
}

int session_prove_begin(struct session *s, size_t build, const struct elf_file *elf, pid_t pid, uint32_t *slot,
			const char **why)
{
	struct session_proc *proc;
	struct target *t;
	int err;

	if (target__probe(pid, &t, why)) {
		diag_debug("the trial child cannot be looked at: %s", *why ? *why : "unknown");
		*why = "its child cannot be looked at";
		return 1;
	}
	/* Its file may have been replaced since the process loaded it. */
	if (!elf_file__same(t->elf, elf)) {
		target__close(t);
		*why = "another build has taken its file's place";
		return 1;
	}
	proc = proc_new(s, pid, build, t->command, t->version.text);
	if (!proc) {
		target__close(t);
		return diag_error(-ENOMEM, "out of memory");
	}
	proc->target = t;
	proc->trial = true;
	proc->open_path = strdup(t->open_path);
	if (!proc->open_path)
		return diag_error(-ENOMEM, "out of memory");
	err = watch(s, proc, false);
	*slot = proc->slot;
	if (!err)
		err = pyobj_reader__new(t, &proc->reader);
	if (!err)
		err = session_attach_sites(s, proc, s->cost.thread_filter ? pid : 0, false);
	if (!err)
		err = session_attach_sites(s, proc, s->cost.thread_filter ? pid : 0, true);
	if (err)
		return err;
	s->skel->bss->builds[build].yields_live = 1;
	__atomic_store_n(&s->skel->bss->live, 1, __ATOMIC_SEQ_CST);
	return 0;
}

/* Ends it; the result holds the child only. 0, or a code that was reported. */
int session_prove_end(struct session *s, size_t build, uint32_t slot, struct profile **out)
{
	struct session_proc *proc = session_proc(s, slot);
	uint32_t tgid = (uint32_t)proc->pid;
	int err;

	__atomic_store_n(&s->skel->bss->live, 0, __ATOMIC_SEQ_CST);
	s->stop_ns = s->live_ns = monotonic_ns();
	/* Probes of one dead process harm nobody and are slow to take out; those of all processes would count twice. */
	if (!s->cost.thread_filter)
		session_detach(s);
	ring_buffer__consume(s->ring);
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.tgids), &tgid);
	s->skel->bss->builds[build].yields_live = 0;
	session_proc_end(proc);
	s->live_ns = 0;
	err = session_check_jit(s, proc);
	return err ? err : session_collect(s, slot, out);
}

/* Processor time is counted from now on. */
void session_start_clocks(struct session *s)
{
	for (size_t i = 0; i < s->nprocs; i++)
		s->procs[i]->cpu_start_ns = cpu_ns(s->procs[i]->pid);
}

void session_check_procs(struct session *s)
{
	for (size_t i = 0; i < s->nprocs; i++) {
		struct session_proc *proc = s->procs[i];
		uint64_t cpu;

		/* Not in the round that finds it ended: what it announced before may still be in the ring buffer, and
		 * the reader remembers names. */
		if (proc->ended) {
			proc_close(proc);
			continue;
		}
		cpu = proc->interp ? 0 : cpu_ns(proc->pid);
		if (cpu)
			proc->cpu_end_ns = cpu;
		if (proc->target ? !target__alive(proc->target) : kill(proc->pid, 0) && errno == ESRCH)
			session_proc_end(proc);
	}
}
