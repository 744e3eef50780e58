/*
 * session: see session.h. Owns the loaded programs and the links; names are in session_names.c, the reading of the maps
 * at the end in session_collect.c, the proof in prove.c.
 */
#include "session_priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "pattern.h"
#include "probe.h"
#include "prove.h"
#include "pyobj.h"
#include "target.h"
#include "verdict.h"

#define CHECK_NS 100000000ULL	       /* how often we look whether the targets live */
#define FRAMES_HIGH ((1ULL << 20) / 2) /* entries in the frames map from which ended frames leave it at once */

uint64_t monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

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

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	diag_debug("%s", line);
	return 0;
}

static int load(struct session *s)
{
	struct bpf_program *prog;
	int err;

	libbpf_set_print(print_libbpf);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return diag_error(-DIAG_NO_KERNEL, "this kernel has no BTF (/sys/kernel/btf/vmlinux)");
	s->skel = pylu__open();
	if (!s->skel)
		return diag_error(-errno, "cannot open the BPF programs: %s", strerror(errno));
	s->multi = probe_multi_supported();
	if (s->multi)
		bpf_object__for_each_program(prog, s->skel->obj) if (bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_expected_attach_type(prog, PROBE_ATTACH_TYPE_MULTI);
	err = pylu__load(s->skel);
	if (err == -EPERM || err == -EACCES)
		return diag_error(-DIAG_NO_CAPABILITY, "not permitted to load BPF programs");
	if (err)
		return diag_error(-DIAG_NO_KERNEL, "the kernel refused the BPF programs: %s", strerror(-err));
	return 0;
}

static void open_late(struct session_proc *proc);

static void detach(struct session *s)
{
	for (size_t i = 0; i < s->nlinks; i++)
		probe_links__free(s->links[i]);
	free(s->links);
	s->links = NULL;
	s->nlinks = 0;
}

static void end_proc(struct session_proc *proc)
{
	proc->ended = true;
	proc->ended_ns = monotonic_ns();
}

static int on_event(void *ctx, void *data, size_t size)
{
	struct session *s = ctx;
	uint32_t type;

	if (size < sizeof(struct wire_event_thread))
		return 0;
	memcpy(&type, data, sizeof(type));
	if (type == WIRE_EVENT_THREAD) {
		const struct wire_event_thread *event = data;
		struct session_proc *proc = session_proc(s, event->slot);

		if (proc)
			open_late(proc);
		session_on_thread(s, data);
	} else if (type == WIRE_EVENT_CODE && size >= sizeof(struct wire_event_code)) {
		session_on_code(s, data);
	} else if (type == WIRE_EVENT_FORK) {
		session_on_fork(s, data);
	} else if (type == WIRE_EVENT_EXEC) {
		const struct wire_event_proc *event = data;
		struct session_proc *proc = session_proc(s, event->slot);

		if (proc)
			end_proc(proc);
	}
	return 0;
}

/* What cost__measure announced is nobody's. */
static int on_nothing(void *ctx, void *data, size_t size)
{
	(void)ctx, (void)data, (void)size;
	return 0;
}

static int measure_cost(struct session *s)
{
	struct ring_buffer *ring;
	int err = cost__measure(s->skel, s->multi, &s->cost);

	if (err)
		return err;
	ring = ring_buffer__new(bpf_map__fd(s->skel->maps.events), on_nothing, NULL, NULL);
	if (!ring)
		return diag_error(-errno, "cannot map the BPF ring buffer: %s", strerror(errno));
	ring_buffer__consume(ring);
	ring_buffer__free(ring);
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.events), on_event, s, NULL);
	if (!s->ring)
		return diag_error(-errno, "cannot map the BPF ring buffer: %s", strerror(errno));
	return 0;
}

int session__new(const struct session_options *opts, struct session **out)
{
	struct session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return diag_error(-ENOMEM, "out of memory");
	s->opts = *opts;
	err = pattern_set__parse(opts->patterns, opts->npatterns, &s->patterns);
	if (!err)
		err = load(s);
	if (!err)
		err = measure_cost(s);
	if (err) {
		session__free(s);
		return err;
	}
	s->skel->bss->raw = opts->raw;
	s->skel->bss->match_ns = (uint32_t)(s->cost.ns_per_hit - s->cost.ns_per_dropped_hit);
	s->skel->bss->follow_forks = opts->tree;
	*out = s;
	return 0;
}

static void proc_free(struct session_proc *proc)
{
	pyobj_reader__free(proc->reader);
	target__close(proc->target);
	free(proc->command);
	free(proc->python);
	free(proc->open_path);
	free(proc);
}

void session__free(struct session *s)
{
	if (!s)
		return;
	session__stop(s);
	for (size_t i = 0; i < s->nprocs; i++)
		proc_free(s->procs[i]);
	for (size_t i = 0; i < s->nbuilds; i++) {
		free(s->builds[i].build_id);
		free(s->builds[i].why);
	}
	session_names_free(s);
	ring_buffer__free(s->ring);
	pylu__destroy(s->skel);
	pattern_set__free(s->patterns);
	free(s->procs);
	free(s);
}

static void fill_build(struct wire_build *b, const struct layout *l)
{
	int32_t low = l->frame_code < l->frame_previous ? l->frame_code : l->frame_previous;

	*b = (struct wire_build){
		.head = low,
		.head_code = (uint32_t)(l->frame_code - low) / 8,
		.head_previous = (uint32_t)(l->frame_previous - low) / 8,
		.frame_globals = l->frame_globals,
		.frame_owner = l->frame_owner,
		.frame_owner_c = l->frame_owner_c,
		.frame_instr = l->frame_instr,
		.frame_lasti = l->frame_lasti,
		.frame_stacktop = l->frame_stacktop,
		.frame_state = l->frame_state,
		.frame_state_suspended = l->frame_state_suspended,
		.code_flags = l->code_flags,
		.code_firstlineno = l->code_firstlineno,
		.code_filename = l->code_filename,
		.code_name = l->code_name,
		.code_qualname = l->code_qualname,
		.unicode_length = l->unicode_length,
		.unicode_state = l->unicode_state,
		.unicode_kind_shift = l->unicode_kind_shift,
		.unicode_compact_shift = l->unicode_compact_shift,
		.unicode_ascii_shift = l->unicode_ascii_shift,
		.unicode_ascii_data = l->unicode_ascii_data,
		.unicode_compact_data = l->unicode_compact_data,
		.dict_keys = l->dict_keys,
		.keys_size = l->keys_size,
		.keys_log2_index_bytes = l->keys_log2_index_bytes,
		.keys_kind = l->keys_kind,
		.keys_kind_general = l->keys_kind_general,
		.keys_nentries = l->keys_nentries,
		.keys_indices = l->keys_indices,
		.tstate_exc = l->tstate_exc,
		.ob_type = l->ob_type,
	};
}

/* The addresses of the interpreter's own objects. 0, or a code that was reported. */
static int fill_addresses(struct wire_build *b, const struct elf_file *elf)
{
	struct elf_symbol sym;

	if (elf_file__symbol(elf, "PyCode_Type", &sym))
		return diag_error(-DIAG_NO_SITE, "PyCode_Type is not exported by build %s", elf_file__build_id(elf));
	b->code_type = sym.addr;
	return 0;
}

static const char *why_backend(const struct site_set *sites)
{
	return strcmp(sites->backend, "frame") ? "opcode handlers see every call of Python 3.11 and later"
					       : "up to Python 3.10 every call passes the evaluation function";
}

/* A site as the programs know it. */
static struct wire_site wire_site(const struct session *s, size_t build, const struct site *site)
{
	static const struct {
		uint8_t kind, outcome;
	} kinds[SITE_KINDS] = {
		[SITE_OPCODE_RESUME] = { WIRE_SITE_RESUME, WIRE_OUTCOME_ASK },
		[SITE_OPCODE_YIELD] = { WIRE_SITE_YIELD, WIRE_OUTCOME_ASK },
		[SITE_FRAME_END] = { WIRE_SITE_END, WIRE_OUTCOME_ASK },
		[SITE_FRAME_RETURN] = { WIRE_SITE_END, WIRE_OUTCOME_RETURNED },
		[SITE_FRAME_UNWIND] = { WIRE_SITE_END, WIRE_OUTCOME_RAISED },
		[SITE_FRAME_ENTER] = { WIRE_SITE_ENTER, WIRE_OUTCOME_ASK },
		[SITE_FRAME_LEAVE] = { WIRE_SITE_LEAVE, WIRE_OUTCOME_ASK },
		[SITE_CODE_DEALLOC] = { WIRE_SITE_DEALLOC, WIRE_OUTCOME_ASK },
	};

	return (struct wire_site){
		.build = (uint8_t)build,
		.kind = kinds[site->kind].kind,
		.outcome = kinds[site->kind].outcome,
		.frame_reg = site->frame_reg,
		.tstate_reg = site->tstate_reg,
		.cost_ns = (uint32_t)(site->emulated ? s->cost.ns_per_dropped_hit : s->cost.ns_per_stepped_hit),
		.addr = site->addr,
	};
}

static int set_sites(struct session *s, size_t b)
{
	struct session_build *build = &s->builds[b];

	if (s->next_site + build->sites.n > WIRE_MAX_SITES - COST_SITES)
		return diag_error(-E2BIG, "too many different Python builds at once");
	build->first_site = s->next_site;
	s->next_site += build->sites.n;
	for (size_t i = 0; i < build->sites.n; i++)
		s->skel->bss->sites[build->first_site + i] = wire_site(s, b, &build->sites.sites[i]);
	return 0;
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
	s->skel->bss->procs[proc->slot] = (struct wire_proc){ .tgid = tgid, .launched = launched };
	if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.tgids), &tgid, &proc->slot, BPF_ANY))
		return diag_error(-errno, "cannot watch process %d: %s", (int)proc->pid, strerror(errno));
	return 0;
}

/* Attaches the sites of a build that do, or do not, see yields, in a process's file, for that process or for all. */
static int attach_sites(struct session *s, const struct session_proc *proc, pid_t pid, bool yields)
{
	const struct session_build *build = &s->builds[proc->build];
	struct probe_point points[SITE_MAX];
	struct probe_links **bigger, *links;
	size_t n = 0;
	int err;

	for (size_t i = 0; i < build->sites.n; i++)
		if ((build->sites.sites[i].kind == SITE_OPCODE_YIELD) == yields)
			points[n++] = (struct probe_point){
				.file_offset = build->sites.sites[i].file_offset,
				.cookie = build->first_site + i,
			};
	if (!n)
		return 0;
	bigger = realloc(s->links, (s->nlinks + 1) * sizeof(*bigger));
	if (!bigger)
		return diag_error(-ENOMEM, "out of memory");
	s->links = bigger;
	err = probe_links__attach(proc->open_path, pid, s->skel->progs.probe, points, n, s->multi, &links);
	if (!err)
		s->links[s->nlinks++] = links;
	return err;
}

/* Watches the child of a proof, alone. 0, or a code that was reported; 1 when it cannot be looked at. */
int session_prove_begin(struct session *s, size_t build, pid_t pid, uint32_t *slot)
{
	struct session_proc *proc;
	struct target *t;
	const char *why;
	int err;

	if (target__probe(pid, &t, &why)) {
		diag_debug("the trial child cannot be looked at: %s", why ? why : "unknown");
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
		err = attach_sites(s, proc, s->cost.thread_filter ? pid : 0, false);
	if (!err)
		err = attach_sites(s, proc, s->cost.thread_filter ? pid : 0, true);
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

	__atomic_store_n(&s->skel->bss->live, 0, __ATOMIC_SEQ_CST);
	s->stop_ns = s->live_ns = monotonic_ns();
	/* Probes of one dead process harm nobody and are slow to take out; those of all processes would count twice. */
	if (!s->cost.thread_filter)
		detach(s);
	ring_buffer__consume(s->ring);
	bpf_map_delete_elem(bpf_map__fd(s->skel->maps.tgids), &tgid);
	s->skel->bss->builds[build].yields_live = 0;
	end_proc(proc);
	s->live_ns = 0;
	return session_collect(s, slot, out);
}

/* Proves the sites of a build: known from before, or on a throw-away child. Its index, or a code that was reported. */
static int prove(struct session *s, size_t b, const struct prove_child *child)
{
	struct session_build *build = &s->builds[b];
	struct pattern_set *patterns = s->patterns;
	int err;

	if (verdict_known(build->build_id, &build->sites))
		return (int)b;
	err = prove_patterns(&s->patterns);
	if (!err) {
		err = prove_build(s, b, child);
		pattern_set__free(s->patterns);
	}
	s->patterns = patterns;
	if (err < 0)
		return err;
	build->unproved = err == 0;
	if (err)
		verdict_store(build->build_id, &build->sites);
	return (int)b;
}

/* The build of an interpreter's file: known, or found and proved now (on `child`, where that is not NULL). Its index, or
 * a code that was reported. */
static int find_build(struct session *s, const struct elf_file *elf, const struct py_version *version, const char *path,
		      const struct prove_child *child)
{
	const char *id = elf_file__build_id(elf);
	const struct layout *layout = layout__find(version->major, version->minor);
	const struct opmap *opmap = opmap__find(version->major, version->minor);
	struct session_build *build = &s->builds[s->nbuilds];
	int err;

	for (size_t i = 0; i < s->nbuilds; i++)
		if (id[0] && !strcmp(s->builds[i].build_id, id))
			return (int)i;
	if (!layout || !opmap)
		return diag_error(-DIAG_UNSUPPORTED, "%s is Python %s (build %s), which is not known", path,
				  version->text, id[0] ? id : "without a build-id");
	if (s->nbuilds == WIRE_MAX_BUILDS - 1)
		return diag_error(-E2BIG, "more than %d different Python builds at once", WIRE_MAX_BUILDS - 1);
	err = site_set__find(elf, layout, opmap, &build->sites);
	if (err)
		return err;
	if (s->opts.backend && strcmp(s->opts.backend, build->sites.backend))
		return diag_error(-DIAG_UNSUPPORTED, "the backend '%s' cannot be used with Python %s, only '%s'",
				  s->opts.backend, version->text, build->sites.backend);
	build->layout = layout;
	build->build_id = strdup(id);
	build->why = strdup(why_backend(&build->sites));
	if (!build->build_id || !build->why)
		return diag_error(-ENOMEM, "out of memory");
	fill_build(&s->skel->bss->builds[s->nbuilds], layout);
	err = fill_addresses(&s->skel->bss->builds[s->nbuilds], elf);
	if (!err)
		err = set_sites(s, s->nbuilds);
	if (err)
		return err;
	s->nbuilds++;
	return child ? prove(s, s->nbuilds - 1, child) : (int)s->nbuilds - 1;
}

int session__add_target(struct session *s, struct target *t)
{
	struct prove_child child;
	bool can_prove = !prove_child_of(t, &child);
	struct session_proc *proc;
	int build, err;

	build = find_build(s, t->elf, &t->version, t->interp_path, can_prove ? &child : NULL);
	if (can_prove)
		prove_child__free(&child);
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
	return err ? err : pyobj_reader__new(t, &proc->reader);
}

int session__add_command(struct session *s, pid_t pid, const char *exe, const char *interp_path, const char *command)
{
	const struct prove_child child = { .exe = exe, .uid = geteuid(), .gid = getegid() };
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
		build = find_build(s, elf, &version, interp_path, &child);
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
static void open_late(struct session_proc *proc)
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
	proc->cpu_start_ns = 0;
	open_late(proc);
}

/* All processes of one build share its sites; each gets links of its own where the kernel can limit a probe to a
 * process, so that no other one pays. Children forked later are reached by unlimited probes only. */
static int attach_build(struct session *s, size_t build, bool yields)
{
	int err = 0;

	for (size_t i = 0; i < s->nprocs && !err; i++) {
		if (s->procs[i]->build != build || s->procs[i]->ended || !s->procs[i]->open_path)
			continue;
		if (s->procs[i]->target && !target__alive(s->procs[i]->target))
			return diag_error(-DIAG_GONE, "process %d ended before it could be watched",
					  (int)s->procs[i]->pid);
		err = attach_sites(s, s->procs[i], s->limited ? s->procs[i]->pid : 0, yields);
		if (!s->limited)
			break;
	}
	return err;
}

static int on_loaded_generator(const struct pyfunc *f, void *ctx)
{
	const struct session *s = ctx;

	return f->flags & SESSION_CO_GENERATORS && pattern_set__match(s->patterns, f->module, f->qualname);
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
static int attach_yields(struct session *s, size_t build)
{
	int err = attach_build(s, build, true);

	if (!err)
		__atomic_store_n(&s->skel->bss->builds[build].yields_live, 1, __ATOMIC_RELEASE);
	return err;
}

static int attach_all(struct session *s)
{
	int err = 0;

	s->limited = s->cost.thread_filter && !s->opts.tree;
	for (size_t b = 0; b < s->nbuilds && !err; b++) {
		s->builds[b].wants_yields = s->builds[b].yields_attached = has_generators(s, b);
		err = attach_build(s, b, false);
		if (!err && s->builds[b].yields_attached)
			err = attach_yields(s, b);
	}
	return err;
}

int session__attach(struct session *s)
{
	uint64_t begin = monotonic_ns();
	int err;

	s->skel->links.proc_exec = bpf_program__attach(s->skel->progs.proc_exec);
	err = (int)libbpf_get_error(s->skel->links.proc_exec);
	if (!err && s->opts.tree) {
		s->skel->links.proc_fork = bpf_program__attach(s->skel->progs.proc_fork);
		err = (int)libbpf_get_error(s->skel->links.proc_fork);
	}
	if (err)
		return diag_error(err, "cannot attach to the kernel's scheduler tracepoints: %s", strerror(-err));
	err = attach_all(s);
	if (err)
		return err;
	clock_gettime(CLOCK_REALTIME, &s->started);
	for (size_t i = 0; i < s->nprocs; i++)
		s->procs[i]->cpu_start_ns = cpu_ns(s->procs[i]->pid);
	s->live_ns = s->last_check_ns = monotonic_ns();
	__atomic_store_n(&s->skel->bss->live, 1, __ATOMIC_SEQ_CST);
	diag_debug("attached in %.1f ms", (double)(s->live_ns - begin) / 1e6);
	return 0;
}

const char *session__why(const struct session *s)
{
	return s->nbuilds ? s->builds[0].why : "";
}

static void check_targets(struct session *s)
{
	s->last_check_ns = monotonic_ns();
	for (size_t i = 0; i < s->nprocs; i++) {
		struct session_proc *proc = s->procs[i];
		uint64_t cpu = proc->ended ? 0 : cpu_ns(proc->pid);

		if (cpu)
			proc->cpu_end_ns = cpu;
		if (!proc->ended &&
		    (proc->target ? !target__alive(proc->target) : kill(proc->pid, 0) && errno == ESRCH))
			end_proc(proc);
	}
	session_name_threads(s);
	if (s->skel->bss->frames_made > FRAMES_HIGH)
		s->skel->bss->frames_pressure = 1;
}

int session__poll(struct session *s, int timeout_ms)
{
	int watched = 0, err, polled = ring_buffer__poll(s->ring, timeout_ms);

	if (polled < 0 && polled != -EINTR)
		return diag_error(polled, "cannot read the BPF ring buffer: %s", strerror(-polled));
	for (size_t b = 0; b < s->nbuilds; b++)
		if (s->builds[b].wants_yields && !s->builds[b].yields_attached) {
			s->builds[b].yields_attached = true;
			err = attach_yields(s, b);
			if (err)
				return err;
		}
	if (monotonic_ns() - s->last_check_ns > CHECK_NS)
		check_targets(s);
	for (size_t i = 0; i < s->nprocs; i++)
		watched += !s->procs[i]->ended;
	return polled == -EINTR ? polled : watched;
}

void session__stop(struct session *s)
{
	uint64_t begin = monotonic_ns();

	if (s->stopped || !s->skel)
		return;
	s->stopped = true;
	if (s->skel->bss && s->live_ns)
		__atomic_store_n(&s->skel->bss->live, 0, __ATOMIC_SEQ_CST);
	s->stop_ns = monotonic_ns();
	if (s->live_ns)
		check_targets(s);
	detach(s);
	probe_links__free(s->cost.links);
	s->cost.links = NULL;
	if (s->ring && s->live_ns)
		ring_buffer__consume(s->ring);
	pylu__detach(s->skel);
	diag_debug("detached in %.1f ms", (double)(monotonic_ns() - begin) / 1e6);
}

static bool is_trial(const struct session *s, uint32_t slot)
{
	const struct session_proc *proc = session_proc(s, slot);

	return proc && proc->trial;
}

void session__status(const struct session *s, struct session_status *out)
{
	*out = (struct session_status){ .ns_per_hit = s->cost.ns_per_hit };
	for (size_t i = 0; i < s->nprocs; i++) {
		if (s->procs[i]->trial)
			continue;
		out->hits += s->skel->bss->procs[s->procs[i]->slot].hits;
		out->processes += !s->procs[i]->ended;
	}
	for (size_t i = 0; i < s->nfuncs; i++)
		out->functions += s->funcs[i].known && s->funcs[i].matched && !is_trial(s, s->funcs[i].slot);
}

void session__each_unmatched(const struct session *s, void (*fn)(const char *module, const char *qualname, void *ctx),
			     void *ctx)
{
	for (size_t i = 0; i < s->nfuncs; i++)
		if (s->funcs[i].known && !s->funcs[i].matched && !is_trial(s, s->funcs[i].slot))
			fn(s->funcs[i].module, s->funcs[i].qualname, ctx);
}

struct each_loaded {
	void (*fn)(const char *module, const char *qualname, void *ctx);
	void *ctx;
};

static int on_loaded(const struct pyfunc *f, void *ctx)
{
	const struct each_loaded *each = ctx;

	each->fn(f->module, f->qualname, each->ctx);
	return 0;
}

void session__each_loaded(const struct session *s, void (*fn)(const char *module, const char *qualname, void *ctx),
			  void *ctx)
{
	struct each_loaded each = { fn, ctx };

	for (size_t i = 0; i < s->nprocs; i++)
		if (s->procs[i]->reader && !s->procs[i]->ended) {
			pyobj_each_function(s->procs[i]->reader, on_loaded, &each);
			return;
		}
}
