/*
 * session_names: who is who. Turns announced code objects into names, decides which functions the user means, and finds
 * the threads' names. The programs read the strings at the moment of the first call; what they could not read
 * (wide characters, long names) is read here, while the objects most likely still live.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "mem.h"
#include "pattern.h"
#include "pyobj.h"
#include "session_priv.h"

#define THREAD_NAME_TRIES 5
#define MODULE_KEPT_NS 1000000000ULL
#define NAME_BYTES 1024 /* longer names and paths are cut */

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

/* The module of a globals dict that the programs did not find among its first entries; "?" when it has none. Many
 * functions may share a dict that is large and has none: the last answer holds for a second. */
static void read_module(struct session *s, struct session_proc *proc, uint64_t globals, char *buf, size_t size)
{
	struct session_module *last = &s->last_module;
	uint64_t now = monotonic_ns(), name;

	if (last->slot != proc->slot || last->globals != globals || now - last->read_ns > MODULE_KEPT_NS) {
		*last = (struct session_module){ .slot = proc->slot, .globals = globals, .read_ns = now };
		if (pyobj__dict_get(proc->reader, globals, "__name__", &name) ||
		    pyobj__str(proc->reader, name, last->name, sizeof(last->name)))
			snprintf(last->name, sizeof(last->name), "?");
	}
	snprintf(buf, size, "%s", last->name);
}

/* Whether a code object still is the one that was announced: the programs forget it when it is freed. */
static bool code_lives(struct session *s, const struct wire_event_code *event)
{
	uint64_t key = (event->code & ((1ULL << 48) - 1)) | (uint64_t)event->slot << 48;
	uint32_t func;

	return !bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.codes), &key, &func) && func == event->func;
}

/* The qualified name of a code object that has none (to 3.10). What was found is believed only if the code object lived
 * until then: its memory may have become another's. */
static void read_qualname(struct session *s, struct session_proc *proc, const struct wire_event_code *event, char *buf,
			  size_t size)
{
	char name[NAME_BYTES];

	if (!proc->reader || pyobj__qualname(proc->reader, event->globals, event->code, name, sizeof(name)))
		return;
	if (code_lives(s, event))
		snprintf(buf, size, "%s", name);
}

/* What the programs could not read at the event, from objects that may have changed since. */
static void read_late(struct session *s, struct session_proc *proc, const struct wire_event_code *event, char *module,
		      char *name, char *file, size_t size)
{
	char late[3][NAME_BYTES] = { "", "", "" };

	if (!(event->readable & 1))
		read_module(s, proc, event->globals, late[0], sizeof(late[0]));
	if (!(event->readable & 2))
		pyobj__str(proc->reader, event->name_obj, late[1], sizeof(late[1]));
	if (!(event->readable & 4))
		pyobj__str(proc->reader, event->file_obj, late[2], sizeof(late[2]));
	if (!code_lives(s, event))
		return;
	if (late[0][0])
		snprintf(module, size, "%s", late[0]);
	if (late[1][0])
		snprintf(name, size, "%s", late[1]);
	if (late[2][0])
		snprintf(file, size, "%s", late[2]);
}

void session_on_code(struct session *s, const struct wire_event_code *event)
{
	char module[NAME_BYTES], name[NAME_BYTES], file[NAME_BYTES];
	struct session_func *func = session_func(s, event->func);
	struct session_proc *proc = session_proc(s, event->slot);

	if (!func || !proc || func->known)
		return;
	snprintf(module, sizeof(module), "%.*s", WIRE_NAME_MAX - 1, event->module);
	snprintf(name, sizeof(name), "%.*s", WIRE_NAME_MAX - 1, event->name);
	snprintf(file, sizeof(file), "%.*s", WIRE_FILE_MAX - 1, event->file);
	if (proc->reader && event->readable != 7)
		read_late(s, proc, event, module, name, file, sizeof(module));
	if (s->builds[proc->build].layout->code_qualname == OFF_NONE)
		read_qualname(s, proc, event, name, sizeof(name));
	func->slot = event->slot;
	func->module = strdup(module[0] ? module : "?");
	func->qualname = strdup(name[0] ? name : "?");
	func->file = strdup(file);
	func->line = event->line;
	func->generator = event->flags & SESSION_CO_GENERATORS;
	func->known = func->module && func->qualname && func->file;
	if (!func->known)
		return;
	func->matched = pattern_set__match(s->patterns, func->module, func->qualname);
	if (func->matched && func->generator)
		s->builds[proc->build].wants_yields = true;
	__atomic_fetch_or(&s->skel->bss->func_state[event->func], func->matched ? WIRE_FUNC_MATCH : WIRE_FUNC_NOMATCH,
			  __ATOMIC_RELAXED);
}

static void read_comm(pid_t pid, pid_t tid, char **out)
{
	char path[64], line[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		*out = strdup(line);
	}
	fclose(f);
}

static void name_thread(struct session *s, struct session_thread *thread)
{
	struct session_proc *proc = session_proc(s, thread->slot);
	char name[256];

	if (thread->name || thread->tries >= THREAD_NAME_TRIES || !proc)
		return;
	thread->tries++;
	if (!thread->comm)
		read_comm(proc->pid, thread->tid, &thread->comm);
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
}
