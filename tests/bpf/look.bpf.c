/*
 * look: events at the target's own wish, for the test of what is copied: each call of lseek() with one of these "file
 * descriptors" has the address of an object, or of a frame object, as its offset. A twin of the entry for a watchpoint is
 * here for the verifier's sake.
 */
#include "cond.bpf.h"
#include "snap.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define LOOK_SLOT 1
#define LOOK_OBJECT -3 /* what the object leads to */
#define LOOK_FRAME -4  /* arguments, operands and stack of the frame */
#define LOOK_COND -5   /* the condition conds[whence] in it */

struct wire_cond conds[WIRE_MAX_OPERANDS];
u32 noperands;
s32 frame_object; /* where a frame object (3.11 on) has its frame; negative: it is the frame */

static int cond_step(u32 i, u32 *which)
{
	if (i < sizeof(cond) / 8)
		((u64 *)&cond)[i] = ((u64 *)&conds[*which & (WIRE_MAX_OPERANDS - 1)])[i];
	return 0;
}

struct operand_walk {
	struct seen *e;
	u64 frame;
};

static long look_step(u64 i, struct operand_walk *w)
{
	if (i >= noperands)
		return 1;
	return seen_operand(w->e, &value_layouts[0], w->frame, i) != 0;
}

static __always_inline int look(s32 fd, u64 obj, u32 which)
{
	const struct wire_value_layout *v = &value_layouts[0];
	const struct wire_build *b = &builds[0];
	struct operand_walk w = {};
	struct frame_head head = {};
	u64 begin, frame = obj;
	struct seen *e;

	if (fd > LOOK_OBJECT || fd < LOOK_COND)
		return 0;
	if (fd != LOOK_OBJECT) {
		if (frame_object >= 0)
			frame = read_u64(obj + frame_object);
		if (frame_head_read(b, LOOK_SLOT, frame, &head))
			return 0;
	}
	if (!seen_admit(LOOK_SLOT))
		return 0;
	e = seen_begin(LOOK_SLOT, WIRE_SEEN_CALL, frame, head.code);
	if (!e)
		return 0;
	w.e = e;
	w.frame = frame;
	e->event.window = which;
	begin = bpf_ktime_get_ns();
	if (fd == LOOK_OBJECT) {
		seen_value(e, obj, 0, WIRE_ROOT_VALUE);
	} else if (fd == LOOK_FRAME) {
		seen_args(e, b, v, frame, which);
		bpf_loop(WIRE_SNAP_ROOTS, look_step, &w, 0);
		seen_stack(e, b, head.previous);
	} else {
		bpf_loop(sizeof(cond) / 8, cond_step, &which, 0);
		begin = bpf_ktime_get_ns();
		e->event.call = seen_cond(v, LOOK_SLOT, frame);
	}
	seen_walk(e, v);
	e->event.duration_ns = bpf_ktime_get_ns() - begin;
	seen_send(e);
	return 0;
}

SEC("uprobe")
int on_probe(struct pt_regs *ctx)
{
	return look(ctx->di, ctx->si, ctx->dx);
}

SEC("perf_event")
int on_watch(struct bpf_perf_event_data *ctx)
{
	return look(ctx->regs.di, ctx->regs.si, ctx->regs.dx);
}
