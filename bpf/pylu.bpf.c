/*
 * The entry points of the BPF programs. Each finds its site, thread and build and hands over to the core; nothing is
 * decided here.
 */
#include "place.bpf.h"
#include "tree.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Nothing but the way in and out: the floor that the benchmark compares with. */
SEC("uprobe")
int empty(struct pt_regs *ctx)
{
	return 0;
}

struct hit {
	struct pt_regs *ctx;
	const struct wire_site *site;
	const struct wire_build *b;
	struct thread_state *thr;
	u64 frame;
};

static __always_inline u64 hit_tstate(const struct hit *h)
{
	return h->site->tstate_reg != WIRE_REG_NONE ? reg_get(h->ctx, h->site->tstate_reg)
						    : tstate_running(h->thr, h->b, h->frame);
}

/* Whether the running thread has an exception set. */
static __always_inline int exception_set(const struct hit *h)
{
	if (h->site->outcome != WIRE_OUTCOME_ASK)
		return h->site->outcome == WIRE_OUTCOME_RAISED;
	return read_u64(hit_tstate(h) + h->b->tstate_exc) != 0;
}

static __always_inline void close(const struct hit *h, struct wire_frame *rec, int raised, u64 now)
{
	frame_close(h->thr, rec, raised, now);
	if (is_told(rec))
		trace_end(h->thr, h->b, rec, h->frame, raised ? hit_tstate(h) : 0);
	frame_forget(h->thr, h->frame);
}

/* What a generator yields, as far as the site knows; the frame itself knows more up to 3.10. */
static __always_inline u64 hit_yields(const struct hit *h)
{
	u64 reg;

	if (h->site->kind == WIRE_SITE_USDT_RETURN)
		return read_u64(read_u64(h->frame + h->b->frame_stackpointer));
	if (h->site->value_reg == WIRE_REG_NONE)
		return 0;
	reg = reg_get(h->ctx, h->site->value_reg);
	return h->site->value_below ? read_u64(reg - 8) : reg;
}

static __always_inline void suspend(const struct hit *h, struct wire_frame *rec, u64 now)
{
	frame_suspend(h->thr, rec, now);
	if (is_told(rec))
		trace_yield(h->thr, h->b, rec, h->frame, hit_yields(h));
}

enum generator_step {
	GENERATOR_STARTS,
	GENERATOR_GOES_ON,
	GENERATOR_NEITHER,
};

/* What the beginning of a generator's code means. `instr` gets the RESUME at which it starts, from 3.11 on. */
static __always_inline enum generator_step generator_step(const struct hit *h, u8 state, u64 *instr)
{
	s32 place;

	switch (h->site->kind) {
	case WIRE_SITE_ENTER:
		if ((s32)read_u32(h->frame + h->b->frame_lasti) >= 0)
			return GENERATOR_GOES_ON;
		/* Thrown into before it started: it will run nothing. */
		return exception_set(h) ? GENERATOR_NEITHER : GENERATOR_STARTS;
	case WIRE_SITE_USDT_ENTRY:
		if (makes_generator(h->b, h->frame, state))
			return GENERATOR_NEITHER;
		/* It stands where it yielded, at a RESUME, or at the one instruction before that of its start. */
		*instr = frame_instr(h->b, h->frame);
		place = resume_place(h->b, *instr);
		*instr += 2;
		break;
	default:
		*instr = frame_instr(h->b, h->frame);
		place = resume_place(h->b, *instr);
		/* The frame that makes a generator expression's generator is not yet the generator's. */
		if (place == h->b->resume_creates)
			return GENERATOR_NEITHER;
	}
	return place ? GENERATOR_GOES_ON : GENERATOR_STARTS;
}

/* 3.11 on, at RESUME and its specialised and instrumented forms, or where a static probe is; to 3.10 behind the prologue
 * of the evaluation function. */
static __always_inline void on_start(const struct hit *h)
{
	enum generator_step step = GENERATOR_STARTS;
	u8 state, several = proc_of(h->thr->home)->several;
	struct frame_head head;
	u64 instr = 0, now;
	u32 func;

	if (frame_head_read(h->b, h->thr->slot, h->frame, &head))
		return;
	stack_first(h->thr, h->b, head.previous);
	func = code_func(h->thr, h->b, h->frame, head.code, &state);
	/* A second interpreter was just met: this frame may be its first. */
	if (unlikely(proc_of(h->thr->home)->several != several)) {
		if (thread_in_interp(h->thr, h->b, h->frame))
			return;
		stack_first(h->thr, h->b, head.previous);
		func = code_func(h->thr, h->b, h->frame, head.code, &state);
	}
	if (!func || state & WIRE_FUNC_NOMATCH)
		return;
	now = bpf_ktime_get_ns();
	*ours_of(h->thr) += match_ns;
	if (state & WIRE_FUNC_GENERATOR)
		step = generator_step(h, state, &instr);
	if (step == GENERATOR_STARTS)
		event_start(h->thr, h->b, h->frame, &head, func, state, instr, now);
	else if (step == GENERATOR_GOES_ON)
		event_resume(h->thr, h->b, h->frame, &head, func, now);
}

static __always_inline void on_yield(const struct hit *h)
{
	struct wire_frame *rec = frame_lookup(h->frame, h->thr->slot);

	if (!rec || rec->state != WIRE_FRAME_ACTIVE)
		return;
	*ours_of(h->thr) += match_ns;
	suspend(h, rec, bpf_ktime_get_ns());
}

/* Under the JIT: the end of a call whose start was hidden is where it is counted. */
static __noinline void end_of_hidden(const struct hit *h, struct wire_frame *rec)
{
	int raised = exception_set(h);
	u64 now = bpf_ktime_get_ns();
	struct frame_head head;
	u32 func, parent;
	u8 state;

	if (frame_head_read(h->b, h->thr->slot, h->frame, &head))
		return;
	func = code_func(h->thr, h->b, h->frame, head.code, &state);
	if (!func || state & WIRE_FUNC_NOMATCH)
		return;
	/* The recursion limit ends frames that never started, throw() generators. */
	if (raised && (state & WIRE_FUNC_GENERATOR || frame_instr(h->b, h->frame) <= head.code + h->b->code_bytes))
		return;
	parent = parent_of(h->thr, h->b, head.previous, now);
	if (!rec)
		rec = frame_insert(h->frame, h->thr->slot);
	if (!rec)
		return;
	frame_open(h->thr, h->b, rec, head.code, func, parent, 0, !!(state & WIRE_FUNC_GENERATOR), now);
	close(h, rec, raised, now);
}

/* Whether an end was of a call whose start ought to have been seen: that of a matching function, whose caller started
 * under our eyes and has not ended. Something then hides starts from the probes, and the counts are wrong. */
static __noinline void end_of_unseen(const struct hit *h)
{
	struct wire_stats *stats = &proc_of(h->thr->slot)->stats;
	struct frame_head head, above;
	struct wire_frame *caller;
	u32 *func;
	u64 key;

	if (proc_of(h->thr->slot)->hits % WIRE_UNSTARTED_SAMPLE || stats->lost_events || stats->unreadable ||
	    exception_set(h) || frame_head_read(h->b, h->thr->slot, h->frame, &head))
		return;
	key = key_of(head.code, h->thr->slot);
	func = bpf_map_lookup_elem(&codes, &key);
	if (!func ||
	    (func_state[*func & (WIRE_MAX_FUNCS - 1)] & (WIRE_FUNC_MATCH | WIRE_FUNC_GENERATOR)) != WIRE_FUNC_MATCH)
		return;
	caller = frame_lookup(head.previous, h->thr->slot);
	if (caller && caller->state == WIRE_FRAME_ACTIVE && !caller->preattach && caller->tid == h->thr->tid &&
	    !frame_head_read(h->b, h->thr->slot, head.previous, &above) && above.code == caller->code)
		stats->unstarted++;
}

/* 3.11 on, where frames end; at static probes also where they yield. */
static __always_inline void on_end(const struct hit *h)
{
	struct wire_frame *rec = frame_lookup(h->frame, h->thr->slot);
	struct frame_head head;
	int raised;
	u64 now;

	if (!rec || rec->state == WIRE_FRAME_CLOSED) {
		if (unlikely(proc_of(h->thr->slot)->jit))
			end_of_hidden(h, rec);
		else
			end_of_unseen(h);
		return;
	}
	now = bpf_ktime_get_ns();
	*ours_of(h->thr) += match_ns;
	raised = exception_set(h);
	/* A frame that yields stands at the RESUME behind that already, one that ends at its RETURN_VALUE. */
	if (h->site->kind == WIRE_SITE_USDT_RETURN && rec->generator && !raised &&
	    resume_place(h->b, frame_instr(h->b, h->frame))) {
		if (rec->state == WIRE_FRAME_ACTIVE)
			suspend(h, rec, now);
		return;
	}
	if (unlikely(rec->state == WIRE_FRAME_SUSPENDED)) {
		/* Thrown into, or dropped: its memory may be another frame's by now, also that of a generator of the
		 * same function that was thrown into before it started. */
		if (frame_head_read(h->b, h->thr->slot, h->frame, &head) || head.code != rec->code ||
		    frame_instr(h->b, h->frame) < rec->start_instr) {
			frame_retire(h->thr, rec);
			return;
		}
		rec->resume_ns = now;
		rec->ours0 = *ours_of(h->thr);
	}
	close(h, rec, raised, now);
}

/* To 3.10, where the evaluation function is left, by return, yield or exception. */
static __always_inline void on_leave(const struct hit *h)
{
	struct wire_frame *rec = frame_lookup(h->frame, h->thr->slot);
	int raised;
	u64 now;

	if (!rec || rec->state != WIRE_FRAME_ACTIVE)
		return;
	now = bpf_ktime_get_ns();
	*ours_of(h->thr) += match_ns;
	raised = exception_set(h);
	if (rec->generator && !raised && frame_yielded(h->b, h->frame))
		suspend(h, rec, now);
	else
		close(h, rec, raised, now);
}

static __always_inline void on_site(const struct hit *h)
{
	u64 key;

	switch (h->site->kind) {
	case WIRE_SITE_RESUME:
	case WIRE_SITE_ENTER:
	case WIRE_SITE_USDT_ENTRY:
		on_start(h);
		return;
	case WIRE_SITE_DEALLOC:
		key = key_of(h->frame, h->thr->slot);
		bpf_map_delete_elem(&codes, &key);
		return;
	}
	stack_first(h->thr, h->b, h->frame);
	if (!proc_of(h->thr->slot)->open && !proc_of(h->thr->slot)->jit)
		return;
	switch (h->site->kind) {
	case WIRE_SITE_YIELD:
		on_yield(h);
		return;
	case WIRE_SITE_END:
	case WIRE_SITE_USDT_RETURN:
		on_end(h);
		return;
	case WIRE_SITE_LEAVE:
		on_leave(h);
		return;
	}
}

/* All sites: one program, so that one link holds them all, which attaches and detaches at once. */
SEC("uprobe")
int probe(struct pt_regs *ctx)
{
	const struct wire_site *site = &sites[bpf_get_attach_cookie(ctx) & (WIRE_MAX_SITES - 1)];
	struct hit h = { .ctx = ctx, .site = site };

	h.thr = thread_enter(site->cost_ns);
	if (!h.thr)
		return 0;
	h.b = &builds[site->build & (WIRE_MAX_BUILDS - 1)];
	h.frame = reg_get(ctx, site->frame_reg);
	/* Every hit tells anew where its file is loaded: nothing need be known of a process before. */
	proc_of(h.thr->home)->bias = ctx->ip - site->addr;
	if (site->kind != WIRE_SITE_DEALLOC && thread_in_interp(h.thr, h.b, h.frame))
		return 0;
	proc_of(h.thr->slot)->hits++;
	on_site(&h);
	if (may_trace && unlikely(h.thr->told))
		trace_finish(h.thr, h.b);
	return 0;
}

SEC("uprobe")
int handler(struct pt_regs *ctx)
{
	const struct wire_handler *h = &handlers[bpf_get_attach_cookie(ctx) & (WIRE_MAX_HANDLERS - 1)];

	return handler_hit(h, reg_get(ctx, h->instr_reg) + h->instr_by);
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
	slot = next_slot < WIRE_MAX_PROCS ? __sync_fetch_and_add(&next_slot, 1) : WIRE_MAX_PROCS;
	event = slot < WIRE_MAX_PROCS ? bpf_ringbuf_reserve(&events, sizeof(*event), 0) : NULL;
	if (!event) { /* a process of which userspace does not hear would be in no result */
		proc_of(*known)->stats.lost_events++;
		return 0;
	}
	*proc_of(slot) = *proc_of(*known);
	proc_of(slot)->tgid = to;
	proc_of(slot)->home = slot;
	proc_of(slot)->hits = 0;
	proc_of(slot)->stats = (struct wire_stats){};
	bpf_map_update_elem(&tgids, &to, &slot, BPF_ANY);
	event->type = WIRE_EVENT_FORK;
	event->slot = slot;
	event->pid = to;
	event->parent_slot = *known;
	bpf_ringbuf_submit(event, 0);
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

/* Its last thread has ended: the process id may soon be another's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	u32 tgid = task->tgid;

	if (!task->signal->live.counter)
		bpf_map_delete_elem(&tgids, &tgid);
	return 0;
}

SEC("perf_event")
int watch(struct bpf_perf_event_data *ctx)
{
	return watch_hit(ctx->addr);
}
