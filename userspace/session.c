/*
 * session: see session.h. Owns the loaded programs and the links; names are in session_names.c, the reading of the maps
 * at the end in session_collect.c, the proof in prove.c.
 */
#include "session_priv.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "pattern.h"
#include "programs.h"
#include "pyobj.h"

#define CHECK_NS 100000000ULL		  /* how often we look whether the targets live */
#define FRAMES_HIGH (WIRE_MAX_FRAMES / 2) /* entries in the frames map from which ended frames leave it at once */

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
			session_proc_open(proc);
		session_on_thread(s, data);
	} else if (type == WIRE_EVENT_CODE && size >= sizeof(struct wire_event_code)) {
		session_on_code(s, data);
	} else if (type == WIRE_EVENT_FORK) {
		session_on_fork(s, data);
	} else if (type == WIRE_EVENT_INTERP) {
		session_on_interp(s, data);
	} else if (type == WIRE_EVENT_EXEC) {
		const struct wire_event_proc *event = data;
		struct session_proc *proc = session_proc(s, event->slot);

		if (proc)
			session_proc_end(proc);
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

	diag_debug("a hit costs %.0f ns, a dropped one %.0f ns, a single-stepped one %.0f ns", s->cost.ns_per_hit,
		   s->cost.ns_per_dropped_hit, s->cost.ns_per_stepped_hit);
	if (!err)
		err = session_keep_links(s, s->cost.links);
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
		err = programs__load(opts->trace ? PROGRAMS_TRACE : PROGRAMS_COUNT, &s->skel, &s->multi);
	if (!err)
		err = measure_cost(s);
	if (!err && opts->trace)
		err = session_trace_new(s);
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

void session__free(struct session *s)
{
	if (!s)
		return;
	session__stop(s);
	for (size_t i = 0; i < s->nprocs; i++)
		session_proc_free(s->procs[i]);
	for (size_t i = 0; i < s->nbuilds; i++) {
		free(s->builds[i].build_id);
		free(s->builds[i].why);
	}
	session_names_free(s);
	session_trace_free(s);
	ring_buffer__free(s->ring);
	pylu__destroy(s->skel);
	pattern_set__free(s->patterns);
	free(s->procs);
	free(s);
}

int session__attach(struct session *s)
{
	uint64_t begin = monotonic_ns();
	int err;

	err = programs__attach_scheduler(s->skel, s->opts.tree);
	if (!err)
		err = session_attach_all(s);
	if (err)
		return err;
	clock_gettime(CLOCK_REALTIME, &s->started);
	session_start_clocks(s);
	if (s->trace)
		session_trace_begin(s);
	s->live_ns = s->last_check_ns = monotonic_ns();
	__atomic_store_n(&s->skel->bss->live, 1, __ATOMIC_SEQ_CST);
	if (s->trace)
		session_trace_preload(s);
	diag_debug("attached in %.1f ms", (double)(s->live_ns - begin) / 1e6);
	return 0;
}

const char *session__why(const struct session *s)
{
	return s->nbuilds ? s->builds[0].why : "";
}

/* Behind the calls of a function that is not named yet wait those of others: before a process's memory is given back they are
 * told, whatever becomes of the name. */
static void tell_of_the_ended(struct session *s)
{
	bool ended = false;

	for (size_t i = 0; i < s->nprocs; i++)
		ended |= s->procs[i]->ended && s->procs[i]->decoder;
	if (!ended)
		return;
	session_retry_names(s, true);
	session_trace_read(s, false);
}

static void check_targets(struct session *s)
{
	s->last_check_ns = monotonic_ns();
	if (s->trace)
		tell_of_the_ended(s);
	session_check_procs(s);
	session_name_threads(s);
	session_retry_names(s, false);
	if (s->skel->bss->frames_made > FRAMES_HIGH)
		s->skel->bss->frames_pressure = 1;
}

/* Takes in what the programs sent. 1 when there is more, 0, -EINTR, what the receiver of events returned, or a code that was
 * reported. */
static int take_events(struct session *s, int timeout_ms)
{
	int err = s->trace ? session_trace_wait(s, timeout_ms) : ring_buffer__poll(s->ring, timeout_ms);

	if (err == -EINTR)
		return err;
	if (err >= 0 && s->trace)
		err = ring_buffer__consume(s->ring);
	if (err < 0)
		return diag_error(err, "cannot read the BPF ring buffer: %s", strerror(-err));
	return s->trace ? session_trace_read(s, false) : 0;
}

int session__poll(struct session *s, int timeout_ms)
{
	int watched = 0, err, polled = take_events(s, timeout_ms);

	if (polled < 0 && polled != -EINTR)
		return polled;
	err = session_check(s);
	if (err)
		return err;
	for (size_t b = 0; b < s->nbuilds; b++)
		if (s->builds[b].wants_yields && !s->builds[b].yields_attached) {
			s->builds[b].yields_attached = true;
			err = session_attach_yields(s, b);
			if (err)
				return err;
		}
	if (polled < 1 && monotonic_ns() - s->last_check_ns > CHECK_NS)
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
	/* What was told while a process lived has to be taken in before what was known of it is given back. */
	while (s->trace && s->live_ns && session_trace_read(s, false) > 0)
		;
	if (s->live_ns)
		check_targets(s);
	session_detach(s);
	if (s->ring && s->live_ns)
		ring_buffer__consume(s->ring);
	session_retry_names(s, true);
	while (s->trace && s->live_ns && session_trace_read(s, true) > 0)
		;
	if (s->trace && s->live_ns)
		session_trace_warn(s);
	pylu__detach(s->skel);
	diag_debug("detached in %.1f ms", (double)(monotonic_ns() - begin) / 1e6);
}

void session__status(const struct session *s, struct session_status *out)
{
	*out = (struct session_status){ .ns_per_hit = s->cost.ns_per_hit, .functions = s->nmatched };
	for (size_t i = 0; i < s->nprocs; i++) {
		if (s->procs[i]->trial)
			continue;
		out->hits += s->skel->bss->procs[s->procs[i]->slot].hits;
		out->processes += !s->procs[i]->ended && !s->procs[i]->interp;
	}
}

void session__each_unmatched(const struct session *s, void (*fn)(const char *module, const char *qualname, void *ctx),
			     void *ctx)
{
	for (size_t i = 0; i < s->nfuncs; i++)
		if (s->funcs[i].known && !s->funcs[i].matched && !session_is_trial(s, s->funcs[i].slot))
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
