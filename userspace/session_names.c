/*
 * session_names: who is who. Turns announced code objects into names, decides which functions the user means, and finds
 * the threads' names. The programs read the strings at the moment of the first call; what they could not read
 * (wide characters, long names) is read here, while the objects most likely still live.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "mem.h"
#include "pattern.h"
#include "pyobj.h"
#include "session_priv.h"
#include "target.h"

#define THREAD_NAME_TRIES 5
#define MODULE_KEPT_NS 1000000000ULL
#define PENDING_MAX 1024	 /* code objects that wait for their names */
#define PENDING_NS 1500000000ULL /* how long: a module is read anew once a second */
#define NAME_BYTES 1024		 /* longer names and paths are cut */

struct session_func *session_func(struct session *s, uint32_t id)
{
	if (id >= WIRE_MAX_FUNCS)
		return NULL;
	if (id >= s->nfuncs) {
		size_t n = s->nfuncs ? s->nfuncs : 1024;
		struct session_func *bigger;

		while (n <= id)
			n *= 2;
		bigger = realloc(s->funcs, n * sizeof(*bigger));
		if (!bigger)
			return NULL;
		memset(bigger + s->nfuncs, 0, (n - s->nfuncs) * sizeof(*bigger));
		s->funcs = bigger;
		s->nfuncs = n;
	}
	return &s->funcs[id];
}

void session_func_name(struct session_func *func, const char *module, const char *qualname, const char *file)
{
	func->module = strdup(module);
	func->qualname = strdup(qualname);
	func->file = strdup(file);
	func->known = func->module && func->qualname && func->file;
}

/* What a code object is called. */
struct names {
	char module[NAME_BYTES], qualname[NAME_BYTES], file[NAME_BYTES];
};

/* The module of a globals dict that the programs did not find among its first entries; "?" when it has none. Many
 * functions may share a dict that is large and has none: the last answer holds for a second. False when it cannot be
 * read. */
static bool read_module(struct session *s, struct session_proc *proc, uint64_t globals, char *buf, size_t size)
{
	struct session_module *last = &s->last_module;
	uint64_t now = monotonic_ns(), name;
	int err = 0;

	if (last->slot != proc->slot || last->globals != globals || now - last->read_ns > MODULE_KEPT_NS) {
		*last = (struct session_module){ .slot = proc->slot, .globals = globals, .read_ns = now, .name = "?" };
		err = pyobj__dict_get(proc->reader, globals, "__name__", &name);
		if (!err)
			err = pyobj__str(proc->reader, name, last->name, sizeof(last->name));
		if (err == -ENOENT)
			err = 0;
		if (err)
			last->globals = 0;
	}
	snprintf(buf, size, "%s", last->name);
	return !err;
}

static uint64_t code_key(const struct wire_event_code *event, uint32_t slot)
{
	return (event->code & ((1ULL << 48) - 1)) | (uint64_t)slot << 48;
}

bool session_code_lives(const struct session *s, const struct wire_event_code *event)
{
	uint64_t key = code_key(event, event->slot);
	uint32_t func;

	return !bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.codes), &key, &func) && func == event->func;
}

/* Whether a process holds the announced code object at the same address: the announcing one was forked from it. */
static bool same_code(const struct session *s, const struct session_proc *proc, const struct wire_event_code *event)
{
	const struct layout *l = &s->builds[proc->build].layout;
	int32_t name = l->code_qualname != OFF_NONE ? l->code_qualname : l->code_name;
	uint64_t name_obj;
	uint32_t line;

	return proc->target && !mem__read_u64(proc->target->mem, event->code + (uint64_t)name, &name_obj) &&
	       name_obj == event->name_obj &&
	       !mem__read_u32(proc->target->mem, event->code + (uint64_t)l->code_firstlineno, &line) &&
	       line == event->line;
}

/* What the programs could not read at the event, from objects of `proc` that may have changed since: it is believed only
 * if the code object lived until then, because its memory may have become another's. False when a name is still
 * missing. */
static bool read_late(struct session *s, struct session_proc *proc, const struct wire_event_code *event,
		      struct names *n)
{
	struct names late = *n;
	bool known = true;

	if (!proc || !proc->reader)
		return false;
	if (!(event->readable & 1))
		known = read_module(s, proc, event->globals, late.module, sizeof(late.module));
	if (known && !(event->readable & 2))
		known = !pyobj__str(proc->reader, event->name_obj, late.qualname, sizeof(late.qualname));
	if (known && !(event->readable & 4) && pyobj__str(proc->reader, event->file_obj, late.file, sizeof(late.file)))
		late.file[0] = 0;
	if (!known || !(proc->slot == event->slot ? session_code_lives(s, event) : same_code(s, proc, event)))
		return false;
	*n = late;
	return true;
}

/* The names of the same code object in the process that this one was forked from: its memory was a copy. */
static const struct session_func *inherited(const struct session *s, const struct session_proc *proc,
					    const struct wire_event_code *event)
{
	uint64_t key = code_key(event, proc->parent_slot);
	const struct session_func *func;
	uint32_t id;

	if (!proc->parent_slot || bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.codes), &key, &id) || id >= s->nfuncs)
		return NULL;
	func = &s->funcs[id];
	return func->known && func->line == event->line ? func : NULL;
}

enum named {
	NAMED,
	NAMED_UNSURE, /* the name cannot be told for certain: what is missing is "?" */
	NAMED_IN_PART /* to 3.10: without what the function is defined in, which may be found later */
};

static enum named read_names(struct session *s, struct session_proc *proc, const struct wire_event_code *event,
			     struct names *n)
{
	const struct session_func *parent = inherited(s, proc, event);
	bool nameless = s->builds[proc->build].layout.code_qualname == OFF_NONE; /* to 3.10: only co_name was read */
	char qualname[NAME_BYTES];

	snprintf(n->module, sizeof(n->module), "%.*s", WIRE_NAME_MAX - 1, event->module[0] ? event->module : "?");
	snprintf(n->qualname, sizeof(n->qualname), "%.*s", WIRE_NAME_MAX - 1, event->name);
	snprintf(n->file, sizeof(n->file), "%.*s", WIRE_FILE_MAX - 1, event->file);
	if (event->readable != 7 && !read_late(s, proc, event, n) &&
	    !read_late(s, session_proc(s, proc->parent_slot), event, n) && (event->readable & 3) != 3) {
		if (!parent) {
			if (!(event->readable & 1))
				snprintf(n->module, sizeof(n->module), "?");
			if (!(event->readable & 2))
				snprintf(n->qualname, sizeof(n->qualname), "?");
			return NAMED_UNSURE;
		}
		snprintf(n->module, sizeof(n->module), "%s", parent->module);
		snprintf(n->qualname, sizeof(n->qualname), "%s", parent->qualname);
		snprintf(n->file, sizeof(n->file), "%s", parent->file);
		return NAMED;
	}
	if (!nameless)
		return NAMED;
	if (proc->reader && !pyobj__qualname(proc->reader, event->globals, event->code, qualname, sizeof(qualname)) &&
	    session_code_lives(s, event))
		snprintf(n->qualname, sizeof(n->qualname), "%s", qualname);
	else if (parent)
		snprintf(n->qualname, sizeof(n->qualname), "%s", parent->qualname);
	else if (session_code_lives(s, event))
		return NAMED_IN_PART;
	return NAMED;
}

/* Decides about a code object. False when its name is to be asked for again. */
static bool decide(struct session *s, const struct wire_event_code *event, bool last)
{
	struct session_func *func = session_func(s, event->func);
	struct session_proc *proc = session_proc(s, event->slot);
	enum named named;
	struct names n;
	bool matched;

	if (!func || !proc || func->known)
		return true;
	named = read_names(s, proc, event, &n);
	if (named == NAMED_IN_PART && !last && strcmp(n.qualname, "<module>"))
		return false;
	matched = pattern_set__match(s->patterns, n.module, n.qualname);
	/* What may match is neither shown nor forgotten: undecided, it goes on being counted, and counts as lost. */
	if (named == NAMED_UNSURE && !matched)
		return true;
	func->slot = event->slot;
	func->line = event->line;
	func->generator = event->flags & WIRE_CO_GENERATORS;
	session_func_name(func, n.module, n.qualname, n.file);
	if (!func->known)
		return true;
	func->matched = matched;
	s->nmatched += matched && !proc->trial;
	if (func->matched && func->generator)
		s->builds[proc->build].wants_yields = true;
	if (func->matched && s->trace && !proc->trial)
		session_trace_function(s, proc, event->func, event->code, event->globals);
	__atomic_fetch_or(&s->skel->bss->func_state[event->func], func->matched ? WIRE_FUNC_MATCH : WIRE_FUNC_NOMATCH,
			  __ATOMIC_RELAXED);
	return true;
}

void session_on_code(struct session *s, const struct wire_event_code *event)
{
	struct session_proc *proc = session_proc(s, event->slot);
	struct session_pending *bigger;

	if (proc)
		session_check_code(s, proc, event);
	if (decide(s, event, s->npending >= PENDING_MAX))
		return;
	bigger = realloc(s->pending, (s->npending + 1) * sizeof(*bigger));
	if (!bigger) {
		decide(s, event, true);
		return;
	}
	s->pending = bigger;
	s->pending[s->npending++] = (struct session_pending){ *event, monotonic_ns() };
}

void session_retry_names(struct session *s, bool last)
{
	uint64_t now = monotonic_ns();
	size_t kept = 0;

	for (size_t i = 0; i < s->nprocs && s->npending && last; i++)
		if (s->procs[i]->reader)
			pyobj_names__expire(s->procs[i]->reader);
	for (size_t i = 0; i < s->npending; i++)
		if (!decide(s, &s->pending[i].event, last || now - s->pending[i].since_ns > PENDING_NS))
			s->pending[kept++] = s->pending[i];
	s->npending = kept;
}

bool session_func_pending(const struct session *s, uint32_t id)
{
	for (size_t i = 0; i < s->npending; i++)
		if (s->pending[i].event.func == id)
			return true;
	return false;
}

/* The kernel's name of a thread, kept once. False when the thread has ended. */
static bool read_comm(pid_t pid, pid_t tid, char **out)
{
	char name[64];

	if (target_thread_comm(pid, tid, name, sizeof(name)))
		return false;
	if (!*out)
		*out = strdup(name);
	return true;
}

static void name_thread(struct session *s, struct session_thread *thread)
{
	struct session_proc *proc = session_proc(s, thread->slot);
	char name[256];

	if (thread->name || thread->tries >= THREAD_NAME_TRIES || !proc)
		return;
	thread->tries++;
	if (!read_comm(proc->pid, thread->tid, &thread->comm))
		thread->tries = THREAD_NAME_TRIES;
	if (proc->reader && !pyobj__thread_name(proc->reader, thread->tid, name, sizeof(name)))
		thread->name = strdup(name);
}

void session_on_thread(struct session *s, const struct wire_event_thread *event)
{
	struct session_thread *bigger;

	bigger = realloc(s->threads, (s->nthreads + 1) * sizeof(*bigger));
	if (!bigger)
		return;
	s->threads = bigger;
	s->threads[s->nthreads] =
		(struct session_thread){ .slot = event->slot, .tid = (pid_t)event->tid, .index = event->index };
	name_thread(s, &s->threads[s->nthreads++]);
}

void session_name_threads(struct session *s)
{
	for (size_t i = 0; i < s->nthreads; i++)
		name_thread(s, &s->threads[i]);
}

void session_names_free(struct session *s)
{
	for (size_t i = 0; i < s->nfuncs; i++) {
		free(s->funcs[i].module);
		free(s->funcs[i].qualname);
		free(s->funcs[i].file);
	}
	for (size_t i = 0; i < s->nthreads; i++) {
		free(s->threads[i].name);
		free(s->threads[i].comm);
	}
	free(s->funcs);
	free(s->threads);
	free(s->pending);
}
