/*
 * profile: builds, merges, sorts and frees the one in-memory result.
 *
 * Owns the model's memory. It does not read maps or processes and prints nothing. A target may recurse as deeply as it
 * likes, so nothing here recurses over the tree: every walk goes by the parent pointers and the children's places.
 */
#include "profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Below this many children a plain search is as quick as a hash, and most calls have few. */
#define LOOKUP_FROM 16

/* Appends a pointer to the array of pointers at `array`. Its capacity is the power of two at or above its length, so
 * that none need be stored. Copied bytewise because the arrays' element types differ. */
static int append(void *array, size_t *n, const void *item)
{
	char *items;

	memcpy(&items, array, sizeof(items));
	if ((*n & (*n - 1)) == 0) {
		items = reallocarray(items, *n ? *n * 2 : 1, sizeof(item));
		if (!items)
			return -ENOMEM;
		memcpy(array, &items, sizeof(items));
	}
	memcpy(items + *n * sizeof(item), &item, sizeof(item));
	++*n;
	return 0;
}

static int append_string(char ***array, size_t *n, const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		return -ENOMEM;
	if (append(array, n, copy)) {
		free(copy);
		return -ENOMEM;
	}
	return 0;
}

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

static void free_call(struct prof_call *call)
{
	free(call->function);
	free(call->file);
	free(call->children);
	free(call->lookup);
	free(call);
}

static struct prof_call *new_call(const char *function, const char *file, uint32_t line)
{
	struct prof_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->function = strdup(function);
	call->file = strdup(file);
	call->line = line;
	if (!call->function || !call->file) {
		free_call(call);
		return NULL;
	}
	return call;
}

/* Takes leaves off one by one, climbing by the parent pointer: no stack, no memory. */
static void free_tree(struct prof_call *call)
{
	while (call) {
		struct prof_call *parent;

		if (call->nchildren) {
			call = call->children[--call->nchildren];
			continue;
		}
		parent = call->parent;
		free_call(call);
		call = parent;
	}
}

static void free_process(struct prof_process *proc)
{
	for (size_t i = 0; i < proc->nthreads; i++) {
		free(proc->threads[i]->name);
		free_tree(proc->threads[i]->root);
		free(proc->threads[i]);
	}
	free(proc->threads);
	free_strings(proc->warnings, proc->nwarnings);
	free(proc->command);
	free(proc->python);
	free(proc->build_id);
	free(proc->backend);
	free(proc->why);
	free(proc);
}

struct profile *profile__new(void)
{
	return calloc(1, sizeof(struct profile));
}

void profile__free(struct profile *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nprocesses; i++)
		free_process(p->processes[i]);
	free(p->processes);
	free_strings(p->patterns, p->npatterns);
	free(p->host);
	free(p);
}

int profile__add_pattern(struct profile *p, const char *pattern)
{
	return append_string(&p->patterns, &p->npatterns, pattern);
}

struct prof_process *profile__add_process(struct profile *p, pid_t pid)
{
	struct prof_process *proc = calloc(1, sizeof(*proc));

	if (!proc)
		return NULL;
	proc->pid = pid;
	proc->overhead_fraction = -1;
	proc->interpreter = -1;
	if (append(&p->processes, &p->nprocesses, proc)) {
		free(proc);
		return NULL;
	}
	return proc;
}

int prof_process__add_warning(struct prof_process *proc, const char *sentence)
{
	return append_string(&proc->warnings, &proc->nwarnings, sentence);
}

struct prof_thread *prof_process__add_thread(struct prof_process *proc, pid_t tid, const char *name)
{
	struct prof_thread *thread = calloc(1, sizeof(*thread));

	if (!thread)
		return NULL;
	thread->tid = tid;
	thread->name = strdup(name ? name : "");
	thread->root = new_call("", "", 0);
	if (!thread->name || !thread->root || append(&proc->threads, &proc->nthreads, thread)) {
		if (thread->root)
			free_call(thread->root);
		free(thread->name);
		free(thread);
		return NULL;
	}
	return thread;
}

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash_string(uint64_t hash, const char *s)
{
	for (; *s; s++)
		hash = (hash ^ (unsigned char)*s) * 0x100000001b3;
	return hash;
}

static size_t hash_key(const char *function, const char *file, uint32_t line)
{
	uint64_t hash = hash_string(hash_string(0xcbf29ce484222325 ^ line, function), file);

	return hash ^ hash >> 32;
}

static bool is_key(const struct prof_call *call, const char *function, const char *file, uint32_t line)
{
	return call->line == line && !strcmp(call->function, function) && !strcmp(call->file, file);
}

/* The slot of the key in the parent's lookup table, or the free one where it belongs. */
static struct prof_call **find_slot(const struct prof_call *parent, const char *function, const char *file,
				    uint32_t line)
{
	size_t mask = parent->nlookup - 1;
	size_t i = hash_key(function, file, line) & mask;

	while (parent->lookup[i] && !is_key(parent->lookup[i], function, file, line))
		i = (i + 1) & mask;
	return &parent->lookup[i];
}

/* Makes the table at least twice as large as what it is to hold: `children` and one more. */
static int grow_lookup(struct prof_call *parent)
{
	size_t size = 4 * LOOKUP_FROM;
	struct prof_call **table;

	while (size < 2 * (parent->nchildren + 1))
		size *= 2;
	if (size <= parent->nlookup)
		return 0;
	table = calloc(size, sizeof(*table));
	if (!table)
		return -ENOMEM;
	free(parent->lookup);
	parent->lookup = table;
	parent->nlookup = size;
	for (size_t i = 0; i < parent->nchildren; i++) {
		const struct prof_call *child = parent->children[i];

		*find_slot(parent, child->function, child->file, child->line) = parent->children[i];
	}
	return 0;
}

static struct prof_call *add_child(struct prof_call *parent, const char *function, const char *file, uint32_t line)
{
	struct prof_call *call = new_call(function, file, line);

	if (!call)
		return NULL;
	call->parent = parent;
	call->place = parent->nchildren;
	if (append(&parent->children, &parent->nchildren, call)) {
		free_call(call);
		return NULL;
	}
	return call;
}

struct prof_call *prof_call__child(struct prof_call *parent, const char *function, const char *file, uint32_t line)
{
	struct prof_call **slot;

	if (parent->nchildren < LOOKUP_FROM) {
		for (size_t i = 0; i < parent->nchildren; i++) {
			if (is_key(parent->children[i], function, file, line))
				return parent->children[i];
		}
		return add_child(parent, function, file, line);
	}
	if (grow_lookup(parent))
		return NULL;
	slot = find_slot(parent, function, file, line);
	if (!*slot)
		*slot = add_child(parent, function, file, line);
	return *slot;
}

void prof_call__merge(struct prof_call *to, const struct prof_call *from)
{
	if (from->complete) {
		if (!to->complete || from->min_ns < to->min_ns)
			to->min_ns = from->min_ns;
		if (!to->complete || from->max_ns > to->max_ns)
			to->max_ns = from->max_ns;
	}
	to->generator |= from->generator;
	to->hits += from->hits;
	to->complete += from->complete;
	to->raised += from->raised;
	to->running_at_start += from->running_at_start;
	to->running_at_end += from->running_at_end;
	to->untimed += from->untimed;
	to->suspended_at_end += from->suspended_at_end;
	to->total_ns += from->total_ns;
	to->self_ns += from->self_ns;
	to->complete_ns += from->complete_ns;
	to->elapsed_ns += from->elapsed_ns;
	for (size_t i = 0; i < PROFILE_LOG2_BUCKETS; i++)
		to->log2_ns[i] += from->log2_ns[i];
}

struct prof_call *prof_call__next(const struct prof_call *root, const struct prof_call *call, int *depth)
{
	if (call->nchildren) {
		++*depth;
		return call->children[0];
	}
	for (; call != root; call = call->parent, --*depth) {
		const struct prof_call *parent = call->parent;

		if (call->place + 1 < parent->nchildren)
			return parent->children[call->place + 1];
	}
	return NULL;
}

static int compare_calls(const void *left, const void *right)
{
	const struct prof_call *a = *(struct prof_call *const *)left, *b = *(struct prof_call *const *)right;
	int order;

	if (a->total_ns != b->total_ns)
		return a->total_ns > b->total_ns ? -1 : 1;
	order = strcmp(a->function, b->function);
	if (!order)
		order = strcmp(a->file, b->file);
	return order ? order : (a->line > b->line) - (a->line < b->line);
}

static int compare_threads(const void *left, const void *right)
{
	const struct prof_thread *a = *(struct prof_thread *const *)left, *b = *(struct prof_thread *const *)right;

	return (a->tid > b->tid) - (a->tid < b->tid);
}

static int compare_processes(const void *left, const void *right)
{
	const struct prof_process *a = *(struct prof_process *const *)left, *b = *(struct prof_process *const *)right;

	return (a->pid > b->pid) - (a->pid < b->pid);
}

static void sort_children(struct prof_call *call)
{
	if (call->nchildren < 2)
		return;
	qsort(call->children, call->nchildren, sizeof(*call->children), compare_calls);
	for (size_t i = 0; i < call->nchildren; i++)
		call->children[i]->place = i;
}

static void sort_process(struct prof_process *proc)
{
	if (proc->nthreads)
		qsort(proc->threads, proc->nthreads, sizeof(*proc->threads), compare_threads);
	for (size_t i = 0; i < proc->nthreads; i++) {
		struct prof_call *root = proc->threads[i]->root;
		int depth = 0;

		for (struct prof_call *call = root; call; call = prof_call__next(root, call, &depth))
			sort_children(call);
	}
}

void profile__sort(struct profile *p)
{
	if (p->nprocesses)
		qsort(p->processes, p->nprocesses, sizeof(*p->processes), compare_processes);
	for (size_t i = 0; i < p->nprocesses; i++)
		sort_process(p->processes[i]);
}
