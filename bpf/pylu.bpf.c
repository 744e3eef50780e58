/*
 * The entry points of the BPF programs. Each finds its site, thread and build and hands over to the core; nothing is
 * decided here.
 */
#include "tree.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define BUILD(site) (&builds[(site)->build & (WIRE_MAX_BUILDS - 1)])

/* The site that was hit. Every hit tells anew where its file is loaded: nothing need be known of a process before. */
static __always_inline const struct wire_site *site_of(struct pt_regs *ctx, const struct thread_state *thr)
{
	const struct wire_site *site = &sites[bpf_get_attach_cookie(ctx) & (WIRE_MAX_SITES - 1)];

	proc_of(thr->slot)->bias = ctx->ip - site->addr;
	return site;
}

/* Nothing but the way in and out: the floor that the benchmark compares with. */
SEC("uprobe")
int empty(struct pt_regs *ctx)
{
	return 0;
}

/* 3.11 on, at RESUME and its specialised and instrumented forms. */
SEC("uprobe")
int opcode_resume(struct pt_regs *ctx)
{
	const struct wire_site *site;
	const struct wire_build *b;
	struct thread_state *thr = thread_enter();
	struct frame_head head;
	u64 frame, now;
	u32 func;
	u8 state;

	if (!thr)
		return 0;
	site = site_of(ctx, thr);
	b = BUILD(site);
	frame = reg_get(ctx, site->frame_reg);
	if (frame_head_read(b, thr->slot, frame, &head))
		return 0;
	stack_first(thr, b, head.previous);
	func = code_func(b, frame, head.code, thr->slot, &state);
	if (!func || state & WIRE_FUNC_NOMATCH)
		return 0;
	now = bpf_ktime_get_ns();
	if (state & WIRE_FUNC_GENERATOR && resume_arg(b, frame))
		event_resume(thr, b, frame, &head, func, now);
	else
		event_start(thr, b, frame, &head, func, state, now);
	return 0;
}

/* 3.11 on, at YIELD_VALUE and its instrumented form. */
SEC("uprobe")
int opcode_yield(struct pt_regs *ctx)
{
	struct thread_state *thr = thread_enter();
	const struct wire_site *site;
	u64 frame;

	if (!thr)
		return 0;
	site = site_of(ctx, thr);
	frame = reg_get(ctx, site->frame_reg);
	stack_first(thr, BUILD(site), frame);
	event_yield(thr, frame, bpf_ktime_get_ns());
	return 0;
}

/* 3.11 on, where every frame ends. */
SEC("uprobe")
int frame_end(struct pt_regs *ctx)
{
	struct thread_state *thr = thread_enter();
	const struct wire_site *site;
	const struct wire_build *b;
	struct wire_frame *rec;
	struct frame_head head;
	u64 frame, now;

	if (!thr)
		return 0;
	site = site_of(ctx, thr);
	b = BUILD(site);
	frame = reg_get(ctx, site->frame_reg);
	stack_first(thr, b, frame);
	rec = frame_lookup(frame, thr->slot);
	if (!rec || rec->state == WIRE_FRAME_CLOSED)
		return 0;
	now = bpf_ktime_get_ns();
	if (unlikely(rec->state == WIRE_FRAME_SUSPENDED)) {
		/* Thrown into, or dropped; its memory may be another frame's by now. */
		if (frame_head_read(b, thr->slot, frame, &head) || head.code != rec->code) {
			frame_retire(thr, rec);
			return 0;
		}
		rec->resume_ns = now;
		rec->hits0 = thr->hits;
	}
	frame_close(thr, frame, rec, exception_set(ctx, site, b), now);
	return 0;
}

/* To 3.10, behind the prologue of the evaluation function. */
SEC("uprobe")
int frame_enter(struct pt_regs *ctx)
{
	struct thread_state *thr = thread_enter();
	const struct wire_site *site;
	const struct wire_build *b;
	struct frame_head head;
	u64 frame, now;
	u32 func;
	u8 state;

	if (!thr)
		return 0;
	site = site_of(ctx, thr);
	b = BUILD(site);
	frame = reg_get(ctx, site->frame_reg);
	if (frame_head_read(b, thr->slot, frame, &head))
		return 0;
	stack_first(thr, b, head.previous);
	func = code_func(b, frame, head.code, thr->slot, &state);
	if (!func || state & WIRE_FUNC_NOMATCH)
		return 0;
	now = bpf_ktime_get_ns();
	if (state & WIRE_FUNC_GENERATOR) {
		if ((s32)read_u32(frame + b->frame_lasti) >= 0) {
			event_resume(thr, b, frame, &head, func, now);
			return 0;
		}
		/* Thrown into before it started: it will run nothing. */
		if (exception_set(ctx, site, b))
			return 0;
	}
	event_start(thr, b, frame, &head, func, state, now);
	return 0;
}

/* To 3.10, where the evaluation function is left, by return, yield or exception. */
SEC("uprobe")
int frame_leave(struct pt_regs *ctx)
{
	struct thread_state *thr = thread_enter();
	const struct wire_site *site;
	const struct wire_build *b;
	struct wire_frame *rec;
	u64 frame, now;
	int raised;

	if (!thr)
		return 0;
	site = site_of(ctx, thr);
	b = BUILD(site);
	frame = reg_get(ctx, site->frame_reg);
	stack_first(thr, b, frame);
	rec = frame_lookup(frame, thr->slot);
	if (!rec || rec->state != WIRE_FRAME_ACTIVE)
		return 0;
	now = bpf_ktime_get_ns();
	raised = exception_set(ctx, site, b);
	if (rec->generator && !raised && frame_yielded(b, frame)) {
		slice_end(thr, rec, now);
		rec->state = WIRE_FRAME_SUSPENDED;
		return 0;
	}
	frame_close(thr, frame, rec, raised, now);
	return 0;
}

/* A code object is freed: its address may become another's. */
SEC("uprobe")
int code_dealloc(struct pt_regs *ctx)
{
	struct thread_state *thr = thread_enter();
	u64 key;

	if (!thr)
		return 0;
	key = key_of(reg_get(ctx, site_of(ctx, thr)->frame_reg), thr->slot);
	bpf_map_delete_elem(&codes, &key);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 from = parent->tgid, to = child->tgid, slot, *known;
	struct wire_event_proc *event;

	if (!live || !follow_forks || from == to)
		return 0;
	known = bpf_map_lookup_elem(&tgids, &from);
	if (!known)
		return 0;
	slot = __sync_fetch_and_add(&next_slot, 1);
	if (slot >= WIRE_MAX_PROCS) {
		proc_of(*known)->stats.lost_events++;
		return 0;
	}
	*proc_of(slot) = *proc_of(*known);
	proc_of(slot)->tgid = to;
	proc_of(slot)->hits = 0;
	proc_of(slot)->stats = (struct wire_stats){};
	bpf_map_update_elem(&tgids, &to, &slot, BPF_ANY);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->type = WIRE_EVENT_FORK;
		event->slot = slot;
		event->pid = to;
		event->parent_slot = *known;
		bpf_ringbuf_submit(event, 0);
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = task->tgid, *slot = bpf_map_lookup_elem(&tgids, &tgid);
	struct wire_event_proc *event;

	if (!slot)
		return 0;
	bpf_task_storage_delete(&threads, task);
	if (proc_of(*slot)->launched && !proc_of(*slot)->hits)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->type = WIRE_EVENT_EXEC;
		event->slot = *slot;
		event->pid = tgid;
		event->parent_slot = 0;
		bpf_ringbuf_submit(event, 0);
	}
	bpf_map_delete_elem(&tgids, &tgid);
	return 0;
}
