/*
 * core: the maps, the configuration and what every probe does first: is this thread ours, and which one is it.
 *
 * No locks and no atomic counters where a record belongs to one process: every probed instruction runs with that
 * process's GIL held, so two of its threads are never in these programs at once.
 */
#ifndef PYLU_CORE_BPF_H
#define PYLU_CORE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "wire.h"
#include "wire_debug.h"

#define unlikely(x) __builtin_expect(!!(x), 0)
#define likely(x) __builtin_expect(!!(x), 1)
#define ADDR_MASK ((1ULL << 48) - 1)

/* Configuration and state that both sides see. */
struct wire_site sites[WIRE_MAX_SITES];
struct wire_build builds[WIRE_MAX_BUILDS];
struct wire_proc procs[WIRE_MAX_PROCS];
u8 func_state[WIRE_MAX_FUNCS];
u64 thread_ours[WIRE_MAX_THREADS]; /* cost of each thread's probe hits, ns */
u64 frames_made;		   /* entries made in the frames map */
u32 live;			   /* nothing is recorded while 0: sites go live one by one */
u32 raw;			   /* do not take the cost of the probes out of the times */
u32 match_ns;			   /* what a hit of a matching function costs above one that is dropped */
u32 follow_forks;		   /* --tree */
u32 next_func = 1;		   /* function ids; 0 is none */
u32 next_node = 1;
u32 next_slot = 1;
u32 next_thread;
u32 frames_pressure; /* set by userspace when the frames map fills: ended frames leave it at once */

/* Transient state of a thread. Freed by the kernel with the thread. */
struct thread_state {
	u32 slot; /* of the interpreter that it runs */
	u32 home; /* of its process */
	u32 tid;
	u32 node;		      /* the thread's root in the call tree */
	u32 index;		      /* into thread_ours[] */
	u64 ours_ns;		      /* cost of this thread's probe hits */
	u64 root_frame;		      /* outermost frame of the stack whose older frames are registered */
	struct wire_event_code event; /* room to describe a function in */
	u64 tstate;		      /* Python's state of the thread, where it was found last */
	u64 told_since;		      /* when the telling of an event began */
	u32 told; /* 1 + index in seen_scratch of an event that is still to be sent; see trace.bpf.h */
	u32 pad;
	u64 walk[WIRE_MAX_PREATTACH];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread_state);
} threads SEC(".maps");

struct { /* tgid -> slot */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WIRE_MAX_PROCS);
	__type(key, u32);
	__type(value, u32);
} tgids SEC(".maps");

/* A function by its module, name, file, line and flags, within one process. */
struct identity {
	u64 hash[2];
	u32 slot;
	u32 line;
};

struct { /* -> function id */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_IDENTITIES);
	__type(key, struct identity);
	__type(value, u32);
} identities SEC(".maps");

struct { /* builtins | slot << 48 */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_PROCS);
	__type(key, u64);
	__type(value, struct wire_interp);
} interps SEC(".maps");

struct { /* code object | slot << 48 -> function id */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_FUNCS);
	__type(key, u64);
	__type(value, u32);
} codes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_FRAMES);
	__type(key, u64);
	__type(value, struct wire_frame);
} frames SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_NODES);
	__type(key, struct wire_node_key);
	__type(value, struct wire_node);
} nodes SEC(".maps");

struct { /* node id -> time that its generators' slices took from this node though they belong to another */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WIRE_MAX_NODES);
	__type(key, u32);
	__type(value, s64);
} foreign SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} events SEC(".maps");

/* A register of the probed instruction. Each has its own load instruction, spelled out: the compiler would fold them
 * into one load at a variable offset of the context, which the verifier refuses. */
#define REG_LOAD(field)                                                                                              \
	asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(v) : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, field))); \
	break

static __always_inline u64 reg_get(struct pt_regs *ctx, u32 reg)
{
	u64 v = 0;

	switch (reg) {
	case 0:
		REG_LOAD(ax);
	case 1:
		REG_LOAD(cx);
	case 2:
		REG_LOAD(dx);
	case 3:
		REG_LOAD(bx);
	case 5:
		REG_LOAD(bp);
	case 6:
		REG_LOAD(si);
	case 7:
		REG_LOAD(di);
	case 8:
		REG_LOAD(r8);
	case 9:
		REG_LOAD(r9);
	case 10:
		REG_LOAD(r10);
	case 11:
		REG_LOAD(r11);
	case 12:
		REG_LOAD(r12);
	case 13:
		REG_LOAD(r13);
	case 14:
		REG_LOAD(r14);
	case 15:
		REG_LOAD(r15);
	}
	return v;
}

static __always_inline u64 key_of(u64 addr, u32 slot)
{
	return (addr & ADDR_MASK) | (u64)slot << 48;
}

static __always_inline struct wire_proc *proc_of(u32 slot)
{
	return &procs[slot & (WIRE_MAX_PROCS - 1)];
}

/* The cost of the thread's probe hits so far, ns. */
static __always_inline u64 *ours_of(const struct thread_state *thr)
{
	return &thread_ours[thr->index & (WIRE_MAX_THREADS - 1)];
}

static __always_inline u64 read_u64(u64 addr)
{
	u64 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u32 read_u32(u64 addr)
{
	u32 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

static __always_inline u8 read_u8(u64 addr)
{
	u8 v = 0;

	bpf_probe_read_user(&v, sizeof(v), (void *)addr);
	return v;
}

/* Finds a node of the call tree, or makes it. Its id, or 0 when there is no room for it, or was none for its parent. */
__noinline u32 node_id(u32 parent, u32 func)
{
	struct wire_node_key key = { parent, func };
	struct wire_node *node = bpf_map_lookup_elem(&nodes, &key);

	if (likely(node))
		return node->id;
	if (!parent || next_node >= WIRE_MAX_NODES)
		return 0;

	struct wire_node fresh = {};

	fresh.id = __sync_fetch_and_add(&next_node, 1);
	if (bpf_map_update_elem(&nodes, &key, &fresh, BPF_NOEXIST))
		return 0;
	return fresh.id;
}

/* Gives the thread its root in the call tree of its slot, and tells userspace of it. */
static __noinline void thread_place(struct thread_state *thr, u32 index)
{
	struct wire_event_thread *event;

	thr->node = node_id(WIRE_NODE_THREAD | thr->slot, thr->tid);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event)
		return;
	event->type = WIRE_EVENT_THREAD;
	event->slot = thr->slot;
	event->tid = thr->tid;
	event->index = index;
	bpf_ringbuf_submit(event, 0);
}

static __noinline struct thread_state *thread_new(struct task_struct *task)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tgid = id >> 32;
	struct thread_state *thr;
	u32 *slot = bpf_map_lookup_elem(&tgids, &tgid);

	if (!slot)
		return NULL;
	thr = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!thr) {
		proc_of(*slot)->stats.lost_events++;
		return NULL;
	}
	thr->slot = thr->home = *slot;
	thr->tid = (u32)id;
	thr->index = __sync_fetch_and_add(&next_thread, 1) & (WIRE_MAX_THREADS - 1);
	thread_place(thr, thr->index);
	return thr;
}

/* The state of the running thread, the hit's cost added; NULL when it is none of ours or nothing is recorded yet. */
static __always_inline struct thread_state *thread_enter(u32 cost_ns)
{
	struct task_struct *task;
	struct thread_state *thr;

	if (!live)
		return NULL;
	task = bpf_get_current_task_btf();
	thr = bpf_task_storage_get(&threads, task, NULL, 0);
	if (unlikely(!thr)) {
		thr = thread_new(task);
		if (!thr)
			return NULL;
	}
	*ours_of(thr) += cost_ns;
	return thr;
}

#endif
