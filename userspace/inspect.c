/*
 * inspect: see inspect.h. The session: the process, the programs, the events. Which function is in inspect_find.c, what of it is
 * watched in inspect_plan.c, the watchpoints in inspect_turn.c, what becomes of an event in inspect_event.c.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cond.h"
#include "diag.h"
#include "inspect_priv.h"
#include "interps.h"
#include "opmap.h"
#include "programs.h"
#include "pycode.h"
#include "pyobj.h"
#include "redact.h"
#include "seen_decode.h"
#include "source.h"
#include "target.h"
#include "value_layout.h"
#include "watch.h"
#include "wire_build.h"

#define CHECK_NS 100000000ULL

/* ring_buffer callback. */
static int on_record(void *ctx, void *data, size_t size)
{
	struct inspect *s = ctx;

	if (!s->err && !(s->opts.count && s->shown >= s->opts.count) && seen_record__valid(data, size))
		s->err = inspect_event(s, data);
	return 0;
}

/* Compiled traces do not read the bytecode at all. */
static int check_jit(const struct inspect *s)
{
	unsigned n, jit;

	if (interps_count(s->target, s->layout, &n, &jit) || !jit)
		return 0;
	return diag_error(
		-DIAG_BACKEND,
		"process %d compiles its hot code (PYTHON_JIT), which then runs without reading its bytecode: "
		"watchpoints would miss a part of it",
		(int)s->opts.pid);
}

static int open_target(struct inspect *s)
{
	int err = target__open(s->opts.pid, &s->target);

	if (!err)
		err = pyobj_reader__new(s->target, &s->reader);
	if (err)
		return err;
	s->layout = pyobj_reader__layout(s->reader);
	if (!opmap__find(s->target->version.major, s->target->version.minor))
		return diag_error(-DIAG_UNSUPPORTED, "process %d runs Python %s, which is not known", (int)s->opts.pid,
				  s->target->version.text);
	return check_jit(s);
}

/* What the programs need to know of the process and its build. */
static int configure(struct inspect *s)
{
	const struct opmap *opmap = opmap__find(s->target->version.major, s->target->version.minor);
	struct pylu__bss *bss = s->skel->bss;
	struct wire_proc *proc = &bss->procs[INSPECT_SLOT];
	int err = wire_build__fill(&bss->builds[0], 0, s->layout, opmap, s->target->elf);

	if (err)
		return err;
	value_layout__fill(s->layout, s->target->elf, &bss->value_layouts[0]);
	*proc = (struct wire_proc){
		.tgid = (uint32_t)s->opts.pid,
		.home = INSPECT_SLOT,
		.bias = s->target->bias,
	};
	target__symbol(s->target, "PyCode_Type", &proc->code_type);
	target__symbol(s->target, "_PyRuntime", &proc->runtime);
	bss->watch_slot = INSPECT_SLOT;
	for (size_t op = 0; op < 256; op++) {
		const char *name = opmap->names[opmap->base[op] ? opmap->base[op] : op];

		bss->resumes[op] = name && (!strcmp(name, "RESUME") || !strcmp(name, "INSTRUMENTED_RESUME"));
	}
	bss->watch_tgid = (uint32_t)s->opts.pid;
	bss->watch_children = s->opts.children;
	bss->watch_times = s->opts.mode == INSPECT_LINE;
	bss->seen_config = (struct wire_seen_config){
		.limits = { s->opts.depth, s->opts.items, s->opts.chars },
		.rate = s->opts.rate,
		.stack = s->opts.stack ? WIRE_SNAP_STACK : 0,
		/* What userspace decides does not count against it there. */
		.count = s->cond ? 0 : s->opts.count,
	};
	return 0;
}

static int open_ring(struct inspect *s)
{
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.seen_events), on_record, s, NULL);
	return s->ring ? 0 : diag_error(-errno, "cannot map the BPF ring buffer: %s", strerror(errno));
}

static int fill_header(struct inspect *s)
{
	static const char *const commands[] = { "line", "debug", "var" };

	s->header = (struct seen_header){
		.command = commands[s->opts.mode],
		.target = s->target->command,
		.pid = s->opts.children ? 0 : s->opts.pid,
		.python = s->target->version.text,
		.backend = s->handlers ? "opcode" : "watch",
		.why = s->handlers ? "probes on the opcode handlers see every hit of any number of places"
				   : "hardware watchpoints on its bytecode: no other code is slowed down, and nothing "
				     "is written",
		.condition = s->opts.when,
		.no_redact = s->opts.no_redact,
		.stack = s->opts.stack,
		.rate = s->opts.rate,
		.cost_ns = s->cost_ns,
	};
	if (inspect_describe(s, &s->watched))
		return diag_error(-ENOMEM, "out of memory");
	s->header.watched = s->watched;
	return 0;
}

/* The programs, and what a hit of theirs costs. */
static int load(struct inspect *s)
{
	int err = programs__load(s->handlers ? PROGRAMS_HANDLERS : PROGRAMS_WATCH, &s->skel, &s->multi);

	if (err)
		return err;
	return s->handlers ? inspect_handlers_measure(s) : inspect_measure(s);
}

static int prepare(struct inspect *s)
{
	int err = s->opts.when ? cond__parse(s->opts.when, &s->cond) : 0;

	if (!err && !s->opts.no_redact)
		err = redact__new(s->opts.redact_file, &s->redact);
	if (!err)
		err = open_target(s);
	if (!err)
		err = inspect_find(s);
	if (!err)
		err = inspect_plan(s);
	if (!err)
		err = load(s);
	if (!err)
		err = configure(s);
	if (err)
		return err;
	inspect_fill(s);
	s->source = source__open(s->opts.pid, s->code->file);
	err = open_ring(s);
	return err ? err : fill_header(s);
}

int inspect__new(const struct inspect_options *opts, struct inspect **out)
{
	struct inspect *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return diag_error(-ENOMEM, "out of memory");
	s->opts = *opts;
	err = prepare(s);
	if (err) {
		inspect__free(s);
		return err;
	}
	*out = s;
	return 0;
}

void inspect__free(struct inspect *s)
{
	if (!s)
		return;
	inspect_turn_end(s);
	inspect_handlers_free(s);
	ring_buffer__free(s->ring);
	inspect_events_free(s);
	inspect_plan_free(s);
	pycode__free(s->code);
	source__close(s->source);
	pylu__destroy(s->skel);
	cond__free(s->cond);
	redact__free(s->redact);
	pyobj_reader__free(s->reader);
	target__close(s->target);
	free(s->lines);
	free(s->name);
	free(s);
}

int inspect__attach(struct inspect *s)
{
	int err;

	s->header.start_ns = realtime_ns();
	s->live_ns = s->last_check_ns = monotonic_ns();
	err = s->handlers ? inspect_handlers_attach(s) : inspect_turn_begin(s, 0);
	diag_debug("attached in %.2f ms", (double)(monotonic_ns() - s->live_ns) / 1e6);
	return err;
}

/* Whether the function is still what was read: else its memory may be another's by now. */
static bool code_lives(const struct inspect *s)
{
	struct pycode *now;
	bool same;

	if (pycode__read(s->reader, s->code->addr, &now))
		return false;
	same = now->consts == s->code->consts && now->linetable == s->code->linetable &&
	       now->firstlineno == s->code->firstlineno && now->ninstrs == s->code->ninstrs &&
	       now->units == s->code->units && !strcmp(now->name, s->code->name) && !strcmp(now->file, s->code->file);
	for (size_t i = 0; same && i < now->ninstrs; i++)
		same = now->instrs[i].op == s->code->instrs[i].op && now->instrs[i].arg == s->code->instrs[i].arg;
	pycode__free(now);
	return same;
}

/* 1 goes on, 0 ended, or a code that was reported. */
static int check(struct inspect *s)
{
	s->last_check_ns = monotonic_ns();
	if (!target__alive(s->target)) {
		s->ended = "the process ended";
		return 0;
	}
	if (s->skel->bss->watch_freed || !code_lives(s)) {
		s->ended = "the function was freed or replaced";
		return 0;
	}
	return check_jit(s) ? -DIAG_BACKEND : 1;
}

/* From half of it to one and a half: turns that keep time would meet the same part of a program that keeps time too, over
 * and over, and never the rest. */
static uint64_t irregular(uint64_t ns)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return ns;
	return ns / 2 + (uint64_t)((double)ns * random / UINT32_MAX);
}

/* Of the turn; in milliseconds, at least 1. */
static int time_left(const struct inspect *s)
{
	uint64_t spent = monotonic_ns() - s->turn_begin_ns;

	return spent < s->turn_ns ? (int)((s->turn_ns - spent) / 1000000) + 1 : 1;
}

static int turn(struct inspect *s)
{
	int err;

	if (s->ngroups < 2 || monotonic_ns() - s->turn_begin_ns < s->turn_ns)
		return 0;
	inspect_turn_end(s);
	err = inspect_turn_begin(s, (s->current + 1) % s->ngroups);
	s->turn_ns = irregular(s->turn_ns);
	/* It may have ended meanwhile, which is no error. */
	return err == -DIAG_GONE && s->shown ? 0 : err;
}

int inspect__poll(struct inspect *s, int timeout_ms)
{
	int polled, err;

	if (s->ngroups > 1 && timeout_ms > time_left(s))
		timeout_ms = time_left(s);
	polled = ring_buffer__poll(s->ring, timeout_ms);
	if (s->err)
		return s->err;
	if (polled < 0 && polled != -EINTR)
		return diag_error(polled, "cannot read the BPF ring buffer: %s", strerror(-polled));
	if (s->opts.count && s->shown >= s->opts.count) {
		s->ended = "the count was reached";
		return 0;
	}
	if (s->skel->bss->watch_freed || monotonic_ns() - s->last_check_ns > CHECK_NS) {
		err = check(s);
		if (err <= 0)
			return err;
	}
	err = turn(s);
	if (err)
		return err;
	return polled == -EINTR ? polled : 1;
}

void inspect__stop(struct inspect *s, const char *ended)
{
	uint64_t begin = monotonic_ns();

	if (s->stopped)
		return;
	s->stopped = true;
	inspect_turn_end(s);
	diag_debug("detached in %.2f ms", (double)(monotonic_ns() - begin) / 1e6);
	if (s->ring && !s->err)
		ring_buffer__consume(s->ring);
	if (!s->ended)
		s->ended = ended;
}

const struct seen_header *inspect__header(const struct inspect *s)
{
	return &s->header;
}

const char *inspect__function(const struct inspect *s)
{
	return s->name;
}

const char *inspect__file(const struct inspect *s)
{
	return s->code->file;
}

void inspect__summary(const struct inspect *s, struct seen_summary *out)
{
	const struct wire_seen_stats *stats = &s->skel->bss->seen_stats;
	uint64_t least = UINT64_MAX;

	for (size_t i = 0; i < s->ngroups; i++)
		if (s->groups[i].live_ns < least)
			least = s->groups[i].live_ns;
	*out = (struct seen_summary){
		.events = s->shown,
		.suppressed = stats->suppressed,
		.lost = stats->lost + s->lost_here,
		.unmatched = stats->unmatched + s->unmatched_here,
		.strays = stats->strays,
		.unsure = stats->unsure,
		.unreadable = s->unreadable,
		.seconds = (double)s->total_ns / 1e9,
		.share = s->ngroups > 1 && s->total_ns ? (double)least / (double)s->total_ns : 1,
		.ended = s->ended,
	};
}

const struct inspect_line *inspect__lines(const struct inspect *s, size_t *n)
{
	struct inspect *own = (struct inspect *)s;

	*n = 0;
	free(own->lines);
	own->lines = calloc(s->places->nwindows, sizeof(*own->lines));
	if (!own->lines)
		return NULL;
	for (*n = 0; *n < s->places->nwindows; ++*n) {
		const struct wire_window *w = &s->skel->bss->windows[*n];
		size_t g = s->group_of[*n];

		own->lines[*n] = (struct inspect_line){
			.line = s->places->windows[*n].line,
			.hits = w->hits,
			.timed = w->timed,
			.total_ns = w->total_ns,
			.min_ns = w->min_ns,
			.max_ns = w->max_ns,
			.share = g == SIZE_MAX || !s->total_ns ? 0 : (double)s->groups[g].live_ns / (double)s->total_ns,
			.source = source__line(s->source, s->places->windows[*n].line),
		};
	}
	return own->lines;
}
