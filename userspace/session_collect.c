/*
 * session_collect: from the maps to the profile. Nodes of functions that turned out not to match (they were counted
 * until userspace had decided) are folded into their callers: their children go to the nearest matching caller, their
 * self time too.
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "profile.h"
#include "session_priv.h"

#define ROUGH_FRACTION 0.67 /* of the processor time for probes: what is left cannot be told well from their cost */

struct node {
	struct wire_node_key key;
	struct wire_node stats;
	uint64_t running, running_preattach, suspended, suspended_preattach, untimed;
	uint64_t open_ns;     /* observed in calls that have not ended */
	uint64_t children_ns; /* of the callees in the tree */
	uint64_t lifted_ns;   /* added to the node's own time: see lift() */
	int64_t foreign_ns;
	struct prof_call *call; /* that this node's callees hang from */
	bool thread;
};

struct open_frame {
	struct wire_frame rec;
	uint32_t slot;
	uint32_t node;
};

struct collector {
	struct session *s;
	uint32_t slot;	    /* the only one wanted, or 0 */
	struct node *nodes; /* by id; a caller's id is lower than its callees' */
	size_t nnodes;
	struct open_frame *open;
	size_t nopen, room;
	int err;
};

/* Calls fn for each entry of a hash map. 0, or the first negative code of fn, or -errno. */
static int map_each(int fd, size_t key_size, size_t value_size,
		    int (*fn)(const void *key, const void *value, void *ctx), void *ctx)
{
	uint8_t key[16], previous[16], value[sizeof(struct wire_node)];
	bool first = true;
	int err;

	if (key_size > sizeof(key) || value_size > sizeof(value))
		return -E2BIG;
	while (!bpf_map_get_next_key(fd, first ? NULL : previous, key)) {
		first = false;
		memcpy(previous, key, key_size);
		if (bpf_map_lookup_elem(fd, key, value))
			continue;
		err = fn(key, value, ctx);
		if (err)
			return err;
	}
	return 0;
}

static int on_frame(const void *key, const void *value, void *ctx)
{
	struct collector *c = ctx;
	const struct wire_frame *rec = value;
	uint64_t k;

	memcpy(&k, key, sizeof(k));
	if (rec->state == WIRE_FRAME_CLOSED || !(k >> 48))
		return 0;
	if (c->nopen == c->room) {
		size_t room = c->room ? 2 * c->room : 256;
		struct open_frame *bigger = realloc(c->open, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->open = bigger;
		c->room = room;
	}
	c->open[c->nopen++] = (struct open_frame){ .rec = *rec, .slot = (uint32_t)(k >> 48) };
	return 0;
}

/* Gives every open frame its node: leaves get theirs when they end, which these have not. Where the call tree is full
 * they are lost. */
static void place_open(struct collector *c)
{
	int fd = bpf_map__fd(c->s->skel->maps.nodes);

	for (size_t i = 0; i < c->nopen; i++) {
		struct wire_node_key key = { c->open[i].rec.parent, c->open[i].rec.func };
		struct wire_node node = { 0 };

		if (bpf_map_lookup_elem(fd, &key, &node) && key.parent) {
			node.id = c->s->skel->data->next_node;
			if (bpf_map_update_elem(fd, &key, &node, BPF_NOEXIST))
				node.id = 0;
			else
				c->s->skel->data->next_node++;
		}
		c->open[i].node = node.id;
		if (!node.id && !c->open[i].rec.preattach)
			c->s->skel->bss->procs[c->open[i].slot].stats.lost_events++;
	}
}

static int on_node(const void *key, const void *value, void *ctx)
{
	struct collector *c = ctx;
	const struct wire_node *stats = value;

	if (stats->id >= c->nnodes)
		return 0;
	memcpy(&c->nodes[stats->id].key, key, sizeof(struct wire_node_key));
	c->nodes[stats->id].stats = *stats;
	c->nodes[stats->id].thread = c->nodes[stats->id].key.parent & WIRE_NODE_THREAD;
	return 0;
}

static int on_foreign(const void *key, const void *value, void *ctx)
{
	struct collector *c = ctx;
	uint32_t id;

	memcpy(&id, key, sizeof(id));
	if (id < c->nnodes)
		memcpy(&c->nodes[id].foreign_ns, value, sizeof(int64_t));
	return 0;
}

/* Time of the slice that runs in an open frame, up to the end of the measurement or of the process. */
static uint64_t open_slice(struct session *s, const struct open_frame *open)
{
	const struct session_proc *proc = session_proc(s, open->slot);
	uint64_t end = proc && proc->ended_ns ? proc->ended_ns : s->stop_ns, ns, ours = 0;

	if (open->rec.state != WIRE_FRAME_ACTIVE || end <= open->rec.resume_ns)
		return 0;
	ns = end - open->rec.resume_ns;
	for (size_t i = 0; i < s->nthreads; i++)
		if (s->threads[i].index < WIRE_MAX_THREADS && s->threads[i].tid == (pid_t)open->rec.tid)
			ours = s->skel->bss->thread_ours[s->threads[i].index & (WIRE_MAX_THREADS - 1)] -
			       open->rec.ours0;
	if (s->opts.raw)
		return ns;
	return ns > ours ? ns - ours : 0;
}

static void add_open(struct collector *c)
{
	for (size_t i = 0; i < c->nopen; i++) {
		const struct open_frame *open = &c->open[i];
		struct node *node = &c->nodes[open->node];

		if (open->rec.state == WIRE_FRAME_ACTIVE) {
			node->running++;
			node->running_preattach += open->rec.preattach;
		} else {
			node->suspended++;
			node->suspended_preattach += open->rec.preattach;
		}
		node->untimed += open->rec.untimed && !open->rec.preattach;
		if (!open->rec.untimed)
			node->open_ns += open->rec.active_ns + open_slice(c->s, open);
	}
}

static uint64_t node_total(const struct node *node)
{
	return node->stats.complete_ns + node->stats.partial_ns + node->stats.dropped_ns + node->open_ns +
	       node->lifted_ns;
}

/* The counts of a node as a call of the result, children apart. Self time is added by the caller. */
static void fill_call(const struct node *node, struct prof_call *out)
{
	*out = (struct prof_call){
		.complete = node->stats.complete,
		.raised = node->stats.raised,
		.running_at_start = node->stats.partial + node->running_preattach + node->suspended_preattach,
		.running_at_end = node->running,
		.suspended_at_end = node->suspended + node->stats.dropped,
		.untimed = node->stats.untimed + node->untimed,
		.total_ns = node_total(node),
		.complete_ns = node->stats.complete_ns,
		.elapsed_ns = node->stats.elapsed_ns,
		.min_ns = node->stats.min_ns,
		.max_ns = node->stats.max_ns,
	};
	out->hits = node->stats.complete + node->stats.untimed + node->stats.dropped + node->running + node->suspended -
		    node->running_preattach - node->suspended_preattach;
	for (int i = 0; i < WIRE_LOG2_BUCKETS; i++)
		out->log2_ns[i] = node->stats.log2_ns[i];
}

static const char *thread_name(const struct session *s, uint32_t slot, pid_t tid)
{
	const struct session_proc *proc = session_proc(s, slot);
	size_t i;

	for (i = 0; i < s->nthreads; i++)
		if (s->threads[i].slot == slot && s->threads[i].tid == tid)
			break;
	if (i < s->nthreads && s->threads[i].name)
		return s->threads[i].name;
	if (proc && proc->pid == tid)
		return "MainThread"; /* Python's name of it, also where `threading` was not imported */
	return i < s->nthreads && s->threads[i].comm ? s->threads[i].comm : "";
}

static int place_thread(struct collector *c, struct node *node, struct prof_process *const *by_slot)
{
	uint32_t slot = node->key.parent & ~WIRE_NODE_THREAD;
	struct prof_thread *thread;

	if (slot >= WIRE_MAX_PROCS || !by_slot[slot])
		return 0;
	thread = prof_process__add_thread(by_slot[slot], (pid_t)node->key.func,
					  thread_name(c->s, slot, (pid_t)node->key.func));
	if (!thread)
		return -ENOMEM;
	node->call = thread->root;
	return 0;
}

/* The process of a node that hangs from a placed thread. */
static uint32_t node_slot(const struct collector *c, const struct node *node)
{
	while (!node->thread)
		node = &c->nodes[node->key.parent];
	return node->key.parent & ~WIRE_NODE_THREAD;
}

static int place_function(struct collector *c, struct node *node, struct prof_process *const *by_slot)
{
	const struct session_func *func = node->key.func < c->s->nfuncs ? &c->s->funcs[node->key.func] : NULL;
	struct node *parent = &c->nodes[node->key.parent];
	uint64_t self = node_total(node) - node->children_ns - (uint64_t)node->foreign_ns;
	struct prof_call counts, *call;
	char name[1024];

	if (!parent->call)
		return 0;
	node->call = parent->call;
	fill_call(node, &counts);
	if (!func || !func->known || !func->matched) {
		if (parent->call->parent)
			parent->call->self_ns += self;
		if (!func || !func->known)
			by_slot[node_slot(c, node)]->lost.events += counts.hits;
		return 0;
	}
	snprintf(name, sizeof(name), "%s.%s", func->module, func->qualname);
	call = prof_call__child(parent->call, name, func->file, func->line);
	if (!call)
		return -ENOMEM;
	counts.self_ns = self;
	counts.generator = func->generator;
	prof_call__merge(call, &counts);
	call->generator |= func->generator;
	node->call = call;
	return 0;
}

/* Signed sums may have gone below zero by the error of the correction. */
static void clamp(struct prof_thread *thread)
{
	int depth = 0;

	for (struct prof_call *call = thread->root; call; call = prof_call__next(thread->root, call, &depth))
		if ((int64_t)call->self_ns < 0)
			call->self_ns = 0;
}

/* The cost of the probes is an estimate, so a caller may come out shorter than what it called: then it gets that. */
static void lift(const struct session *s, struct node *node)
{
	uint64_t inside = node->children_ns + (uint64_t)node->foreign_ns, total = node_total(node);

	if (!s->opts.raw && (int64_t)inside > 0 && inside > total)
		node->lifted_ns = inside - total;
}

static int place_all(struct collector *c, struct profile *p, struct prof_process *const *by_slot)
{
	int err = 0;

	for (size_t id = c->nnodes; id-- > 1;) {
		struct node *node = &c->nodes[id];

		if (!node->stats.id || node->thread || node->key.parent >= c->nnodes)
			continue;
		lift(c->s, node);
		c->nodes[node->key.parent].children_ns += node_total(node);
	}
	for (size_t id = 1; id < c->nnodes && !err; id++) {
		struct node *node = &c->nodes[id];

		if (!node->stats.id)
			continue;
		if (node->thread)
			err = place_thread(c, node, by_slot);
		else if (node->key.parent < id)
			err = place_function(c, node, by_slot);
	}
	for (size_t i = 0; i < p->nprocesses && !err; i++)
		for (size_t k = 0; k < p->processes[i]->nthreads; k++)
			clamp(p->processes[i]->threads[k]);
	return err;
}

static int add_warnings(const struct session *s, const struct session_proc *proc, struct prof_process *out)
{
	const struct site_set *sites = &s->builds[proc->build].sites;
	const struct wire_stats *stats = &s->skel->bss->procs[proc->slot].stats;
	char text[512];
	int err = 0;

	for (size_t i = 0; i < sites->n && !err; i++) {
		if (sites->sites[i].emulated ||
		    (sites->sites[i].kind == SITE_OPCODE_YIELD && !s->builds[proc->build].yields_attached))
			continue;
		snprintf(text, sizeof(text), "the probe at %s is single-stepped: its hits cost about ten times as much",
			 sites->sites[i].what);
		err = prof_process__add_warning(out, text);
	}
	if (!err && s->builds[proc->build].unproved) {
		snprintf(text, sizeof(text),
			 "no trial child of this interpreter could be started: %s. What is shown was checked on the "
			 "process itself only",
			 s->builds[proc->build].unproved);
		err = prof_process__add_warning(out, text);
	}
	if (!err && !s->limited) {
		snprintf(text, sizeof(text),
			 "the probes were in every process that runs this interpreter's file, not in the watched ones "
			 "only");
		err = prof_process__add_warning(out, text);
	}
	if (!err && !s->opts.raw && out->overhead_fraction > ROUGH_FRACTION)
		err = prof_process__add_warning(out, "the probes took most of the processor time: the times are rough, "
						     "the counts are not");
	if (!err && out->jit)
		err = prof_process__add_warning(
			out, "the JIT compiler is on in this process, and its compiled code hides "
			     "where calls start: calls are "
			     "counted where they end, without times; those of generators and coroutines are not exact");
	if (!err && stats->unclosed) {
		snprintf(text, sizeof(text), "%llu calls were not seen to end", (unsigned long long)stats->unclosed);
		err = prof_process__add_warning(out, text);
	}
	return err;
}

/* The cost of the hits in all threads of a process, ns. Threads that share a counter get equal parts of it: `sharers`
 * says how many there are of each. */
static uint64_t process_ours(const struct session *s, const struct session_proc *proc, const uint32_t *sharers)
{
	uint64_t ours = 0;

	for (size_t i = 0; i < s->nthreads; i++) {
		size_t index = s->threads[i].index;

		if (s->threads[i].slot == proc->slot && index < WIRE_MAX_THREADS)
			ours += s->skel->bss->thread_ours[index] / sharers[index];
	}
	return ours;
}

static int add_process(const struct session *s, struct profile *p, const struct session_proc *proc,
		       struct prof_process **by_slot, const uint32_t *sharers)
{
	const struct wire_proc *wire = &s->skel->bss->procs[proc->slot];
	struct prof_process *out = profile__add_process(p, proc->pid);
	uint64_t ours = process_ours(s, proc, sharers),
		 cpu = proc->cpu_end_ns > proc->cpu_start_ns ? proc->cpu_end_ns - proc->cpu_start_ns : 0;

	if (!out)
		return -ENOMEM;
	by_slot[proc->slot] = out;
	out->command = strdup(proc->command);
	out->python = strdup(proc->python);
	out->build_id = strdup(s->builds[proc->build].build_id);
	out->backend = strdup(s->builds[proc->build].sites.backend);
	out->why = strdup(s->builds[proc->build].why);
	out->raw = s->opts.raw;
	out->jit = wire->jit;
	if (s->skel->bss->procs[wire->home].several)
		out->interpreter = proc->interp_id;
	out->ended = proc->ended;
	out->hits_total = wire->hits;
	out->ns_per_hit = s->cost.ns_per_hit;
	out->overhead_fraction = cpu ? (double)ours / (double)cpu : -1;
	out->lost.events = wire->stats.lost_events;
	out->lost.stack_overflow = wire->stats.stack_overflow;
	out->lost.unreadable = wire->stats.unreadable;
	return add_warnings(s, proc, out);
}

static int fill(struct collector *c, struct profile *p)
{
	struct session *s = c->s;
	struct prof_process **by_slot = calloc(WIRE_MAX_PROCS, sizeof(struct prof_process *));
	uint32_t *sharers = calloc(WIRE_MAX_THREADS, sizeof(*sharers));
	char host[256] = "";
	int err = by_slot && sharers ? 0 : -ENOMEM;

	for (size_t i = 0; i < s->nthreads && !err; i++)
		if (s->threads[i].index < WIRE_MAX_THREADS)
			sharers[s->threads[i].index]++;

	gethostname(host, sizeof(host) - 1);
	p->host = strdup(host);
	p->started = s->started;
	p->duration_ns = s->stop_ns - s->live_ns;
	for (size_t i = 0; i < s->opts.npatterns && !err; i++)
		err = profile__add_pattern(p, s->opts.patterns[i]);
	for (size_t i = 0; i < s->nprocs && !err; i++)
		if (c->slot ? s->procs[i]->slot == c->slot : !s->procs[i]->trial)
			err = add_process(s, p, s->procs[i], by_slot, sharers);
	if (!err)
		err = place_all(c, p, by_slot);
	free(by_slot);
	free(sharers);
	return err;
}

int session_collect(struct session *s, uint32_t slot, struct profile **out)
{
	struct collector c = { .s = s, .slot = slot };
	struct profile *p = profile__new();
	int err = p ? 0 : -ENOMEM;

	if (!err)
		err = map_each(bpf_map__fd(s->skel->maps.frames), 8, sizeof(struct wire_frame), on_frame, &c);
	place_open(&c);
	c.nnodes = s->skel->data->next_node;
	c.nodes = calloc(c.nnodes, sizeof(*c.nodes));
	if (!err && !c.nodes)
		err = -ENOMEM;
	if (!err)
		err = map_each(bpf_map__fd(s->skel->maps.nodes), 8, sizeof(struct wire_node), on_node, &c);
	if (!err)
		err = map_each(bpf_map__fd(s->skel->maps.foreign), 4, sizeof(int64_t), on_foreign, &c);
	if (!err) {
		add_open(&c);
		err = fill(&c, p);
	}
	free(c.nodes);
	free(c.open);
	if (err) {
		profile__free(p);
		return diag_error(err, "cannot read the result: %s", diag_strerror(err));
	}
	profile__sort(p);
	*out = p;
	return 0;
}

int session__profile(struct session *s, struct profile **out)
{
	int err = session_check(s);

	return err ? err : session_collect(s, 0, out);
}
