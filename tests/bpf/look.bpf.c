/*
 * look: events at the target's own wish, for the test of what is copied: each call of lseek() with one of these "file
 * descriptors" has the address of an object, or of a frame object, as its offset. A twin of the entry for a watchpoint is
 * here for the verifier's sake.
 */
#include "cond.bpf.h"
#include "snap.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define LOOK_SLOT 1
#define LOOK_CONDS 64
#define LOOK_LIMITS 8
#define LOOK_CONSTANTS 256
#define LOOK_OBJECT -3 /* what the object leads to, within limits[whence >> 16] */
#define LOOK_FRAME -4  /* the frame's arguments, without the second; operands from `whence` on; stack */
#define LOOK_COND -5   /* the condition conds[whence] in it */
#define LOOK_TEST -6   /* a comparison in it: operation | operand << 4 | what it is compared with, constants[], << 12 */

struct wire_limits limits[LOOK_LIMITS];
struct wire_cond conds[LOOK_CONDS];
struct wire_test constants[LOOK_CONSTANTS];
u32 noperands;
s32 frame_object; /* where a frame object (3.11 on) has its frame; negative: it is the frame */

/* bpf_loop callback: a word of a condition, which becomes the session's. */
static long cond_step(u64 i, u32 *which)
{
	if (i < sizeof(cond) / 8)
		((u64 *)&cond)[i] = ((u64 *)&conds[*which & (LOOK_CONDS - 1)])[i];
	return 0;
}

static __always_inline void test_only(u32 which)
{
	cond.nsteps = 1;
	cond.steps[0] = 0;
	cond.tests[0] = constants[which >> 12 & (LOOK_CONSTANTS - 1)];
	cond.tests[0].op = which & 15;
	cond.tests[0].left = which >> 4 & 255;
}

struct operand_walk {
	struct seen *e;
	u64 frame;
	u32 first;
};

static long look_step(u64 i, struct operand_walk *w)
{
	i += w->first;
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

	if (fd > LOOK_OBJECT || fd < LOOK_TEST)
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
	w.first = which;
	e->event.func = which;
	begin = bpf_ktime_get_ns();
	seen_config.limits = limits[fd == LOOK_OBJECT ? which >> 16 & (LOOK_LIMITS - 1) : 0];
	if (fd == LOOK_OBJECT) {
		seen_value(e, obj, 0, WIRE_ROOT_VALUE);
	} else if (fd == LOOK_FRAME) {
		seen_args(e, b, v, frame, 1 << 1);
		bpf_loop(WIRE_SNAP_ROOTS, look_step, &w, 0);
		seen_stack(e, b, head.previous);
	} else {
		if (fd == LOOK_TEST)
			test_only(which);
		else
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
