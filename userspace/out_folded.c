/*
 * out_folded: one line for each call that has time of its own: `process;thread;outer;inner NANOSECONDS`, the form that
 * flame graph tools read. The weight is self time in nanoseconds, so that the sums of a tree are its total times.
 *
 * Lines that start with `#` carry what was lost; they do not end in a number, and the tools skip them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "out_util.h"
#include "profile.h"

/* A line repeats all its callers, so the file grows with the square of the depth. Python's own recursion limit, 1,000,
 * fits; what lies below goes into one frame. */
#define MAX_DEPTH 1024

/* The line so far: the frames down to some depth, separated by semicolons. */
struct path {
	char *text;
	size_t len, capacity;
	size_t end[MAX_DEPTH + 1]; /* [depth]: the length of the path with that many calls in it */
};

static int append_bytes(struct path *path, const char *bytes, size_t len)
{
	if (path->capacity - path->len < len) {
		size_t capacity = 2 * (path->len + len) + 256;
		char *text = realloc(path->text, capacity);

		if (!text)
			return -ENOMEM;
		path->text = text;
		path->capacity = capacity;
	}
	memcpy(path->text + path->len, bytes, len);
	path->len += len;
	return 0;
}

/* Appends to a frame; a semicolon would end it. */
static int append_text(struct path *path, const char *text)
{
	struct glyph g;
	int err = 0;

	while (!err && (text = glyph__next(&g, text)))
		err = g.bytes[0] == ';' ? append_bytes(path, "\\x3b", 4) : append_bytes(path, g.bytes, g.len);
	return err;
}

static int append_id(struct path *path, pid_t id)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "-%d", id);

	return append_bytes(path, text, len);
}

/* The process by its program's file name and its id: the whole command line is too much for a frame. */
static int append_process(struct path *path, const struct prof_process *proc)
{
	const char *command = text_or_empty(proc->command), *start = command;
	size_t len = strcspn(command, " ");
	char name[64];

	for (size_t i = 0; i < len; i++) {
		if (command[i] == '/')
			start = command + i + 1;
	}
	len -= start - command;
	if (!len) {
		start = "python";
		len = strlen(start);
	}
	snprintf(name, sizeof(name), "%.*s", len < sizeof(name) ? (int)len : (int)sizeof(name) - 1, start);
	return append_text(path, name) ?: append_id(path, proc->pid);
}

static int append_thread(struct path *path, const struct prof_process *proc, const struct prof_thread *thread)
{
	const char *name = text_or_empty(thread->name);

	if (append_bytes(path, ";", 1) || append_text(path, *name ? name : "thread"))
		return -ENOMEM;
	return *name && thread_name_is_unique(proc, thread) ? 0 : append_id(path, thread->tid);
}

static void put_weight(struct sink *s, const struct path *path, const char *last, uint64_t ns)
{
	if (!ns)
		return;
	sink__write(s, path->text, path->len);
	sink__printf(s, "%s %" PRIu64 "\n", last, ns);
}

/* Sums up what lies below `top`, and returns the last call there: a walk goes on from it. */
static const struct prof_call *sum_below(const struct prof_call *top, uint64_t *ns)
{
	const struct prof_call *call = top, *next;
	int depth = 0;

	for (*ns = 0; (next = prof_call__next(top, call, &depth)); call = next)
		*ns += next->self_ns;
	return call;
}

static int put_thread(struct sink *s, struct path *path, const struct prof_process *proc,
		      const struct prof_thread *thread)
{
	const struct prof_call *call = thread->root;
	int depth = 0;

	path->len = 0;
	if (append_process(path, proc) || append_thread(path, proc, thread))
		return -ENOMEM;
	path->end[0] = path->len;
	while (!s->err && (call = prof_call__next(thread->root, call, &depth))) {
		path->len = path->end[depth - 1];
		if (append_bytes(path, ";", 1) || append_text(path, call->function))
			return -ENOMEM;
		path->end[depth] = path->len;
		put_weight(s, path, "", call->self_ns);
		if (depth == MAX_DEPTH && call->nchildren) {
			const struct prof_call *last, *up;
			uint64_t below;

			last = sum_below(call, &below);
			put_weight(s, path, ";[deeper calls]", below);
			for (up = last; up != call; up = up->parent)
				depth++;
			call = last;
		}
	}
	return 0;
}

static int write_folded(const struct profile *p, FILE *f, const struct out_options *opts)
{
	struct path path = { 0 };
	struct sink s = { .f = f };

	(void)opts;
	for (size_t i = 0; i < p->nprocesses; i++) {
		const struct prof_process *proc = p->processes[i];

		sink__printf(&s, "# process %d: ", proc->pid);
		sink__put_cost(&s, proc);
		sink__puts(&s, "; lost: ");
		sink__put_lost(&s, proc);
		sink__puts(&s, ".\n");
	}
	for (size_t i = 0; i < p->nprocesses; i++) {
		const struct prof_process *proc = p->processes[i];

		for (size_t j = 0; j < proc->nthreads && !s.err; j++)
			sink__fail(&s, put_thread(&s, &path, proc, proc->threads[j]));
	}
	free(path.text);
	return sink__finish(&s);
}

const struct out_format out_folded = {
	.name = "folded",
	.summary = "one line a stack with its self time in ns, for flame graph tools",
	.write = write_folded,
};
