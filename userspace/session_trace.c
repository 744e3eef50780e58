/*
 * session_trace: the events of a session whose calls are told, from the programs' records to the receiver: which of them
 * belong to functions that match and to calls that are shown, in the order in which they came.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cond.h"
#include "diag.h"
#include "seen.h"
#include "pyobj.h"
#include "seen_decode.h"
#include "session_trace_priv.h"
#include "target.h"
#include "value.h"

#define READ_MAX 4096  /* records of one turn */
#define HELD_MAX 65536 /* records that wait for a function's name */
#define HELD_BYTES (64 << 20)

/* The name of an operand: each set has the condition's variables in their order. */
static const char *operand_name(uint16_t index, void *ctx)
{
	const struct trace *t = ctx;

	return t->ncond ? t->cond_names[index % t->ncond] : NULL;
}

struct seen_decoder *session_trace_decoder(struct session *s, struct session_proc *proc)
{
	struct seen_source source = {
		.reader = proc->reader,
		.pid = proc->pid,
		.interp_id = -1,
		.limits = &s->trace->limits,
		.redact = s->opts.trace->redact,
		.realtime_ns = s->trace->realtime_ns,
		.operand_name = operand_name,
		.ctx = s->trace,
	};
	const struct wire_proc *wire = &s->skel->bss->procs[proc->slot & (WIRE_MAX_PROCS - 1)];

	if (s->skel->bss->procs[wire->home & (WIRE_MAX_PROCS - 1)].several)
		source.interp_id = proc->interp_id;
	if (!proc->decoder && proc->reader && seen_decoder__new(&source, &proc->decoder))
		proc->decoder = NULL;
	return proc->decoder;
}

/* A function's names as they were when it was met: its process may be gone since. */
static void name_function(const struct session_func *func, struct seen_event *event)
{
	event->module = func->module;
	event->qualname = func->qualname;
	event->file = func->file;
	event->line = func->line;
}

static uint64_t open_key(const struct wire_event_seen *event)
{
	return (event->frame & ((1ULL << 48) - 1)) | (uint64_t)event->slot << 48;
}

/* Whether an event belongs to a call that is shown. Those of starts are: what is against them comes before. */
static bool is_shown(struct trace *t, const struct wire_event_seen *event)
{
	uint64_t key = open_key(event);
	uint32_t call = 0;
	bool open;

	addrmap__get(&t->open, key, &call);
	open = call != 0;
	if (event->kind == WIRE_SEEN_CALL) {
		if (!addrmap__set(&t->open, key, (uint32_t)event->call))
			t->nopen += !open;
		return true;
	}
	if (call != (uint32_t)event->call)
		return false;
	if (event->kind == WIRE_SEEN_RETURN || event->kind == WIRE_SEEN_RAISE) {
		addrmap__set(&t->open, key, 0);
		t->nopen--;
	}
	return true;
}

/* Whether a parameter is the variable `name`, without the stars of *args. */
static bool is_called(const struct seen_value *value, const char *name)
{
	return value->name && !strcmp(value->name + strspn(value->name, "*"), name);
}

/* The condition of a start that the programs could not decide: 1 it holds, 0 it does not, -1 it cannot be told. What they
 * read for it stands behind the parameters, and is taken off the event. Of functions that they did not know yet nothing was
 * read: there the parameters have to do. */
static int decide(const struct trace *t, const struct wire_root *roots, struct seen_event *event)
{
	const struct value *values[2 * WIRE_MAX_TESTS] = { NULL };
	size_t n = event->nvalues, all = n;

	while (n && !(roots[n - 1].operand & WIRE_ROOT_ARG))
		n--;
	event->nvalues = n;
	for (size_t i = 0; i < t->ncond; i++) {
		size_t at = n + i;

		if (all - n < t->ncond)
			for (at = 0; at < n && !is_called(&event->values[at], t->cond_names[i]);)
				at++;
		if (at >= (all - n < t->ncond ? n : all))
			return -1;
		if (roots[at].status == WIRE_ROOT_VALUE)
			values[i] = event->values[at].value;
		else if (roots[at].status != WIRE_ROOT_UNBOUND && roots[at].status != WIRE_ROOT_MISSING)
			return -1;
	}
	return cond__eval(t->cond, values);
}

static bool enough(const struct session *s)
{
	return s->opts.trace->count && s->trace->calls >= s->opts.trace->count;
}

static int show(struct session *s, const struct session_func *func, const void *record)
{
	struct session_proc *proc;
	struct trace *t = s->trace;
	struct wire_event_seen wire;
	struct seen_event event;
	struct seen_decoder *d;
	int err;

	memcpy(&wire, record, sizeof(wire));
	proc = session_proc(s, wire.slot);
	d = proc ? session_trace_decoder(s, proc) : NULL;
	if (!d) {
		t->lost++;
		return 0;
	}
	if (wire.kind == WIRE_SEEN_CALL ? enough(s) : !is_shown(t, &wire))
		return 0;
	err = seen_decoder__decode(d, record, &event);
	if (err)
		return err;
	if (event.undecided) {
		err = decide(t, seen_record__roots(record), &event);
		t->unmatched += !err;
		if (!err)
			return 0;
		event.undecided = err < 0;
	}
	if (wire.kind == WIRE_SEEN_CALL)
		is_shown(t, &wire);
	name_function(func, &event);
	t->events++;
	for (size_t i = 0; i < event.nvalues; i++)
		t->unreadable += value__unreadable(event.values[i].value);
	if (wire.kind == WIRE_SEEN_CALL) {
		t->calls++;
		if (enough(s))
			__atomic_store_n(&s->skel->bss->tracing, WIRE_TRACING_ENDS, __ATOMIC_RELAXED);
	}
	return s->opts.trace->event(&event, s->opts.trace->ctx);
}

enum verdict {
	SHOW,
	DROP,
	LOST, /* its function could not be named */
	WAIT, /* it may be named yet */
};

static enum verdict judge(struct session *s, const void *record)
{
	const struct session_func *func;
	struct wire_event_seen wire;

	memcpy(&wire, record, sizeof(wire));
	if (session_is_trial(s, wire.slot))
		return DROP;
	func = session_func(s, wire.func);
	/* What announces the function was sent before, by another way. */
	if (!func || !func->known || !session_proc(s, wire.slot)) {
		ring_buffer__consume(s->ring);
		func = session_func(s, wire.func);
	}
	if (!func || !func->known)
		return session_func_pending(s, wire.func) ? WAIT : LOST;
	return func->matched ? SHOW : DROP;
}

static int settle(struct session *s, enum verdict verdict, const void *record)
{
	struct wire_event_seen wire;

	memcpy(&wire, record, sizeof(wire));
	if (verdict == LOST)
		s->trace->lost++;
	return verdict == SHOW ? show(s, session_func(s, wire.func), record) : 0;
}

static int hold(struct trace *t, const void *record, size_t size)
{
	struct held *bigger = NULL;
	void *copy = NULL;

	if (t->nheld < HELD_MAX && t->held_bytes + size <= HELD_BYTES) {
		bigger = realloc(t->held, (t->nheld + 1) * sizeof(*bigger));
		copy = malloc(size);
	}
	if (bigger)
		t->held = bigger;
	if (!bigger || !copy) {
		free(copy);
		t->lost++;
		return 0;
	}
	memcpy(copy, record, size);
	t->held[t->nheld++] = (struct held){ size, copy };
	t->held_bytes += size;
	return 0;
}

static int on_record(void *ctx, void *data, size_t size)
{
	struct session *s = ctx;
	struct trace *t = s->trace;
	enum verdict verdict;
	int err = 0;

	if (!seen_record__valid(data, size)) {
		t->lost++;
	} else if (t->nheld) {
		err = hold(t, data, size);
	} else {
		verdict = judge(s, data);
		err = verdict == WAIT ? hold(t, data, size) : settle(s, verdict, data);
	}
	if (err)
		return err < 0 ? err : -ECANCELED;
	return t->budget-- ? 0 : -EAGAIN;
}

/* Goes through what is held, up to the first that cannot be decided about. */
static int release(struct session *s, bool last)
{
	struct trace *t = s->trace;
	enum verdict verdict;
	int err = 0;

	for (; t->first < t->nheld && !err; t->first++) {
		struct held *h = &t->held[t->first];

		verdict = judge(s, h->data);
		if (verdict == WAIT && !last)
			return 0;
		err = settle(s, verdict == WAIT ? LOST : verdict, h->data);
		free(h->data);
	}
	if (t->first == t->nheld)
		t->first = t->nheld = t->held_bytes = 0;
	return err;
}

int session_trace_new(struct session *s)
{
	const struct session_trace *opts = s->opts.trace;
	struct trace *t = calloc(1, sizeof(*t));
	uint16_t operands[2 * WIRE_MAX_TESTS];
	int err;

	if (!t)
		return diag_error(-ENOMEM, "out of memory");
	s->trace = t;
	err = opts->when ? cond__parse(opts->when, &t->cond) : 0;
	if (err)
		return err == -ENOMEM ? diag_error(err, "out of memory") : err;
	if (t->cond) {
		t->ncond = cond__operands(t->cond, &t->cond_names);
		for (size_t i = 0; i < t->ncond; i++)
			operands[i] = (uint16_t)i;
		cond__compile(t->cond, operands, &s->skel->bss->cond);
	}
	t->limits = (struct wire_limits){ opts->depth, opts->items, opts->chars };
	t->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.seen_events), on_record, s, NULL);
	if (!t->ring)
		return diag_error(-errno, "cannot map the BPF ring buffer: %s", strerror(errno));
	s->skel->bss->seen_config = (struct wire_seen_config){
		.limits = t->limits,
		.rate = opts->rate,
		.stack = opts->stack < WIRE_SNAP_STACK ? opts->stack : WIRE_SNAP_STACK,
	};
	return 0;
}

void session_trace_begin(struct session *s)
{
	s->trace->realtime_ns = (int64_t)(realtime_ns() - monotonic_ns());
	__atomic_store_n(&s->skel->bss->tracing, WIRE_TRACING_CALLS, __ATOMIC_RELAXED);
}

int session_trace_wait(struct session *s, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = ring_buffer__epoll_fd(s->ring), .events = POLLIN },
		{ .fd = ring_buffer__epoll_fd(s->trace->ring), .events = POLLIN },
	};

	return poll(fds, 2, timeout_ms) < 0 ? -errno : 0;
}

int session_trace_read(struct session *s, bool last)
{
	struct trace *t = s->trace;
	int err = release(s, last);

	t->budget = READ_MAX;
	if (!err)
		err = ring_buffer__consume(t->ring);
	if (err == -EAGAIN)
		return 1;
	if (err >= 0 && last)
		err = release(s, last);
	return err < 0 ? err : 0;
}

void session_trace_warn(const struct session *s)
{
	for (size_t i = 0; i < s->nprocs; i++)
		if (!s->procs[i]->trial && s->skel->bss->procs[s->procs[i]->slot].jit)
			diag_warn("process %d: the JIT compiler is on, and its compiled code hides where calls start: "
				  "calls that it makes were not told",
				  (int)s->procs[i]->pid);
}

void session_trace_free(struct session *s)
{
	struct trace *t = s->trace;

	if (!t)
		return;
	for (size_t i = t->first; i < t->nheld; i++)
		free(t->held[i].data);
	free(t->held);
	cond__free(t->cond);
	addrmap__clear(&t->open);
	ring_buffer__free(t->ring);
	free(t);
}

bool session__told_all(const struct session *s)
{
	return enough(s) && !s->trace->nopen;
}

void session__seen_header(const struct session *s, struct seen_header *out)
{
	const struct session_proc *proc = s->nprocs ? s->procs[s->nprocs - 1] : NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->nprocs; i++)
		if (!s->procs[i]->trial && !s->procs[i]->interp && !n++)
			proc = s->procs[i];
	out->target = proc ? proc->command : "";
	out->pid = proc && n == 1 && !s->opts.tree ? proc->pid : 0;
	out->python = proc ? proc->python : "";
	out->backend = s->nbuilds ? s->builds[0].sites.backend : "";
	out->why = session__why(s);
	out->rate = s->opts.trace->rate;
	out->start_ns = s->live_ns + (uint64_t)s->trace->realtime_ns;
	out->cost_ns = s->cost.ns_per_hit;
}

/* Calls that were not told before it was decided about their functions, and are wanted, or may have been. */
static uint64_t untold(struct session *s)
{
	int fd = bpf_map__fd(s->skel->maps.trace_early);
	const struct session_func *func;
	struct wire_trace_early early;
	uint32_t id, *last = NULL;
	uint64_t sum = 0;

	for (; !bpf_map_get_next_key(fd, last, &id); last = &id) {
		func = session_func(s, id);
		if ((!func || !func->known || func->matched) && !bpf_map_lookup_elem(fd, &id, &early))
			sum += early.untold;
	}
	return sum;
}

void session__seen_summary(struct session *s, struct seen_summary *out)
{
	const struct wire_seen_stats *stats = &s->skel->bss->seen_stats;
	const struct trace *t = s->trace;

	out->events = t->events;
	out->suppressed = stats->suppressed;
	out->lost = stats->lost + t->lost + untold(s);
	out->unmatched = stats->unmatched + t->unmatched;
	out->strays = stats->strays;
	out->unreadable = t->unreadable;
	out->seconds = (double)(s->stop_ns - s->live_ns) / 1e9;
	out->share = 1;
	for (size_t i = 0; i < s->nprocs; i++)
		if (!s->procs[i]->trial)
			out->lost += s->skel->bss->procs[s->procs[i]->slot].stats.lost_events;
}
