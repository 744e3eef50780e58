/*
 * inspect_turn: the watchpoints of the lines whose turn it is. What is known of frames from before a turn is worth nothing in
 * it: the programs are told so by a new epoch.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "inspect_priv.h"
#include "watch.h"

#define TURN_MIN_NS 50000000ULL
#define TURN_ATTACHES 20 /* a turn lasts so many times as long as its attaching */
#define MEASURE_ROUNDS 7
#define MEASURE_READS 50

static size_t window_of(const struct places_set *set, uint32_t line)
{
	for (size_t i = 0; i < set->nwindows; i++)
		if (set->windows[i].line == line)
			return i + 1;
	return 0;
}

/* A step as the programs know it. */
static struct wire_place_step wire_step(const struct places_set *set, const struct places_step *step)
{
	return (struct wire_place_step){
		.leaves = step->unsure ? 0 : (uint16_t)window_of(set, step->leaves),
		.enters = step->unsure ? 0 : (uint16_t)window_of(set, step->enters),
		.flags = (uint16_t)((step->pauses ? WIRE_STEP_PAUSES : 0) | (step->resumes ? WIRE_STEP_RESUMES : 0) |
				    (step->ends ? WIRE_STEP_ENDS : 0) | (step->unsure ? WIRE_STEP_UNSURE : 0)),
	};
}

void inspect_fill_steps(struct inspect *s, const struct inspect_group *g)
{
	struct places_step steps[PLACES_MAX];
	bool live[PLACES_MAX] = { false };

	for (size_t i = 0; i < g->nplaces; i++)
		live[g->places[i]] = true;
	for (size_t i = 0; i <= g->nplaces; i++) {
		int from = i ? g->places[i - 1] : -1;

		places_set__steps(s->places, live, from, steps);
		for (size_t k = 0; k < g->nplaces; k++)
			s->skel->bss->place_steps[(size_t)(from + 1) * WIRE_MAX_PLACES + g->places[k]] =
				wire_step(s->places, &steps[g->places[k]]);
	}
}

void inspect_set_live(struct inspect *s, bool live)
{
	uint64_t now = monotonic_ns();

	if (s->live == live)
		return;
	__atomic_store_n(&s->skel->bss->live, live, __ATOMIC_SEQ_CST);
	s->live = live;
	if (live) {
		s->turn_begin_ns = now;
		return;
	}
	s->groups[s->current].live_ns += now - s->turn_begin_ns;
	s->total_ns += now - s->turn_begin_ns;
}

int inspect_turn_begin(struct inspect *s, size_t group)
{
	const struct inspect_group *g = &s->groups[group];
	uint64_t addrs[WIRE_MAX_WATCHED], begin = monotonic_ns();
	int err;

	memset(s->skel->bss->watched, 0, sizeof(s->skel->bss->watched));
	for (size_t i = 0; i < g->nplaces; i++) {
		addrs[i] = s->skel->bss->places[g->places[i]].addr;
		s->skel->bss->watched[i] = (struct wire_watched){ .addr = addrs[i], .place = g->places[i] };
	}
	inspect_fill_steps(s, g);
	s->skel->bss->watch_epoch++;
	err = watch_set__attach(s->opts.pid, addrs, g->nplaces, bpf_program__fd(s->skel->progs.watch), s->opts.children,
				&s->watch);
	if (err)
		return err;
	s->current = group;
	s->turn_ns = (monotonic_ns() - begin) * TURN_ATTACHES;
	if (s->turn_ns < TURN_MIN_NS)
		s->turn_ns = TURN_MIN_NS;
	inspect_set_live(s, true);
	return 0;
}

void inspect_turn_end(struct inspect *s)
{
	if (s->skel && s->skel->bss)
		inspect_set_live(s, false);
	watch_set__free(s->watch);
	s->watch = NULL;
}

static double thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The least of the rounds: what disturbs one only adds to it. The programs find no frame, so it is what the processor and
 * the kernel take, and most of what a hit does. */
int inspect_measure(struct inspect *s)
{
	static volatile char byte;
	const uint64_t addr = (uint64_t)(uintptr_t)&byte;
	struct watch_set *set;
	double least = 0;
	int err;

	s->skel->bss->watch_tgid = (uint32_t)getpid();
	s->skel->bss->watched[0].addr = addr;
	err = watch_set__attach(getpid(), &addr, 1, bpf_program__fd(s->skel->progs.watch), false, &set);
	if (err)
		return err;
	s->skel->bss->live = 1;
	for (int round = 0; round < MEASURE_ROUNDS; round++) {
		double begin = thread_ns(), spent;

		for (int i = 0; i < MEASURE_READS; i++)
			(void)byte;
		spent = (thread_ns() - begin) / MEASURE_READS;
		least = round && spent > least ? least : spent;
	}
	s->skel->bss->live = 0;
	watch_set__free(set);
	if (!s->skel->bss->seen_stats.strays)
		return diag_error(-DIAG_NO_KERNEL,
				  "a hardware watchpoint on our own memory did not fire: this machine, "
				  "or its hypervisor, has none");
	memset(&s->skel->bss->seen_stats, 0, sizeof(s->skel->bss->seen_stats));
	s->cost_ns = least;
	s->skel->bss->watch_hit_ns = (uint32_t)least;
	return 0;
}
