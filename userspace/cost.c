/*
 * cost: see cost.h. A made-up interpreter of a few words: one code object, one frame, an opcode build whose offsets
 * point into them. The rounds run in a second thread, so that they also show whether a probe that is limited to a
 * process fires in all of its threads (before Linux 6.10, commit 46ba0e49b642, one of a uprobe_multi link did in one
 * only). One that fires nowhere tells that the kernel knows us by another process id.
 */
#include "cost.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "probe.h"
#include "skel.h"

#define ROUNDS 7
#define CALLS 200
#define STEPPED_CALLS 20 /* each costs ten times as much */
#define SITE_START (WIRE_MAX_SITES - 1)
#define SITE_STOP (WIRE_MAX_SITES - 2)
#define SITE_STEPPED (WIRE_MAX_SITES - 3)
#define OWN_BUILD (WIRE_MAX_BUILDS - 1)

void pylu_cost_start(void *frame, void *tstate);
void pylu_cost_end(void *frame, void *tstate);
void pylu_cost_stepped(void *frame, void *tstate);
asm(".text\n"
    ".globl pylu_cost_start, pylu_cost_end, pylu_cost_stepped\n"
    "pylu_cost_start:\n"
    "	nop\n"
    "	ret\n"
    "pylu_cost_end:\n"
    "	nop\n"
    "	ret\n"
    "pylu_cost_stepped:\n"
    "	mov %rdi, %rax\n"
    "	ret\n");

/* The words that the programs read: of a frame, of its code object, of a thread state. */
struct fake {
	uint64_t frame[16];
	uint64_t code[16];
	uint64_t tstate[4];
	double pair, stepped; /* results, ns: a call of the first two functions, a call of the third */
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The least of the rounds: what disturbs a round only adds to it, and a correction that is too large would make
 * functions faster than they are. */
static void *run(void *arg)
{
	struct fake *fake = arg;

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns(), pair, stepped;

		for (int i = 0; i < CALLS; i++) {
			pylu_cost_start(fake->frame, fake->tstate);
			pylu_cost_end(fake->frame, fake->tstate);
		}
		pair = (now_ns() - start) / CALLS;
		start = now_ns();
		for (int i = 0; i < STEPPED_CALLS; i++)
			pylu_cost_stepped(fake->frame, fake->tstate);
		stepped = (now_ns() - start) / STEPPED_CALLS;
		fake->pair = round && pair > fake->pair ? fake->pair : pair;
		fake->stepped = round && stepped > fake->stepped ? fake->stepped : stepped;
	}
	return NULL;
}

static int run_thread(struct fake *fake)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, run, fake);

	if (err)
		return diag_error(-err, "cannot start a thread: %s", strerror(err));
	pthread_join(thread, NULL);
	return 0;
}

static void site(struct pylu *skel, unsigned i, uint8_t kind, void (*fn)(void *frame, void *tstate))
{
	skel->bss->sites[i] = (struct wire_site){
		.build = OWN_BUILD,
		.kind = kind,
		.frame_reg = 7, /* the functions' arguments */
		.tstate_reg = 6,
		.addr = (uint64_t)(uintptr_t)fn,
	};
}

static void configure(struct pylu *skel, struct fake *fake)
{
	struct wire_build *b = &skel->bss->builds[OWN_BUILD];

	memset(b, 0xff, sizeof(*b)); /* no fields but these */
	b->head = 0;		     /* code, previous as in 3.12 */
	b->head_code = 0;
	b->head_previous = 1;
	b->frame_globals = b->frame_instr = 16;
	b->code_flags = b->code_firstlineno = b->code_filename = b->code_name = 8;
	b->unicode_length = b->unicode_state = b->dict_keys = b->keys_nentries = b->keys_indices = 0;
	b->ob_type = 0;
	b->tstate_exc = 0;
	fake->frame[0] = (uint64_t)(uintptr_t)fake->code;
	fake->code[0] = (uint64_t)(uintptr_t)fake; /* the "type" */
	b->code_type = (uint64_t)(uintptr_t)fake;
	site(skel, SITE_START, WIRE_SITE_RESUME, pylu_cost_start);
	site(skel, SITE_STOP, WIRE_SITE_END, pylu_cost_end);
	site(skel, SITE_STEPPED, WIRE_SITE_END, pylu_cost_stepped);
	skel->bss->procs[0] = (struct wire_proc){
		.tgid = (uint32_t)getpid(),
	};
}

/* Empties a map with keys of eight bytes. */
static void forget(struct bpf_map *map)
{
	uint64_t key, next;
	int fd = bpf_map__fd(map);

	while (!bpf_map_get_next_key(fd, NULL, &next)) {
		key = next;
		if (bpf_map_delete_elem(fd, &key))
			break;
	}
}

/* Attaches to our own functions, in this process only or, with pid 0, in all that run this file. */
static int attach(struct pylu *skel, bool multi, pid_t pid, struct probe_links **links)
{
	struct probe_point points[] = {
		{ .cookie = SITE_START },
		{ .cookie = SITE_STOP },
		{ .cookie = SITE_STEPPED },
	};
	int err = probe_self_offset(pylu_cost_start, &points[0].file_offset);

	if (!err)
		err = probe_self_offset(pylu_cost_end, &points[1].file_offset);
	if (!err)
		err = probe_self_offset(pylu_cost_stepped, &points[2].file_offset);
	if (!err)
		err = probe_links__attach("/proc/self/exe", pid, skel->progs.probe, points, 3, multi, links);
	return err;
}

/* Calls of a function that matches, then of one that does not: `pair` of *fake is what they cost, *matching the first. */
static int run_both(struct pylu *skel, struct fake *fake, double *matching)
{
	uint32_t func = skel->data->next_func;
	int err;

	skel->bss->live = 1;
	err = run_thread(fake);
	*matching = fake->pair;
	skel->bss->func_state[func] |= WIRE_FUNC_NOMATCH;
	if (!err)
		err = run_thread(fake);
	skel->bss->live = 0;
	return err;
}

/* Measures with a probe that is limited to us or, where that one stays silent, with one that is not. */
static int measure(struct pylu *skel, bool multi, struct fake *fake, double *matching, struct cost *out)
{
	const uint64_t *hits = &skel->bss->procs[0].hits;
	int err = attach(skel, multi, getpid(), &out->links);

	if (!err)
		err = run_both(skel, fake, matching);
	out->thread_filter = *hits == 2 * ROUNDS * (2 * CALLS + STEPPED_CALLS);
	if (err || *hits)
		return err;
	probe_links__free(out->links);
	out->links = NULL;
	err = attach(skel, multi, 0, &out->links);
	if (!err)
		err = run_both(skel, fake, matching);
	if (!err && !*hits)
		err = diag_error(-DIAG_FOREIGN_PIDS,
				 "a probe on ourselves does not find us under our process id (%d): pylu-bpf runs in a "
				 "pid namespace of its own",
				 (int)getpid());
	return err;
}

int cost__measure(struct pylu *skel, bool multi, struct cost *out)
{
	uint32_t tgid = (uint32_t)getpid(), slot = 0;
	struct fake fake = { .frame = { 0 } };
	struct fake bare = { 0 };
	double full = 0;
	int err;

	*out = (struct cost){ 0 };
	configure(skel, &fake);
	bpf_map_update_elem(bpf_map__fd(skel->maps.tgids), &tgid, &slot, BPF_ANY);
	err = run_thread(&bare);
	if (!err)
		err = measure(skel, multi, &fake, &full, out);
	if (err) {
		probe_links__free(out->links);
		out->links = NULL;
	}
	full -= bare.pair;
	out->ns_per_dropped_hit = fake.pair > bare.pair ? (fake.pair - bare.pair) / 2 : 0;
	out->ns_per_hit = full / 2 > out->ns_per_dropped_hit ? full / 2 : out->ns_per_dropped_hit;
	out->ns_per_stepped_hit = fake.stepped > bare.stepped ? fake.stepped - bare.stepped : 0;
	bpf_map_delete_elem(bpf_map__fd(skel->maps.tgids), &tgid);
	forget(skel->maps.codes);
	forget(skel->maps.frames);
	forget(skel->maps.nodes);
	skel->bss->frames_made = 0;
	memset(&skel->bss->procs[0], 0, sizeof(skel->bss->procs[0]));
	return err;
}
