/*
 * inject_frame: what is written below a thread's stack so that the kernel itself restores the thread.
 *
 * Two signal frames, as the kernel makes them for a handler (arch/x86/kernel/signal_64.c, struct rt_sigframe), and
 * what they need. dlopen returns to libc's __restore_rt, which asks the kernel to take the first frame: it sends the
 * thread to swab(3), which puts errno back, and returns to __restore_rt again; the second frame is the thread as it
 * was.
 *
 *	high	red zone of the thread (128 bytes)
 *		floating point state, for both frames
 *		path of the library; errno's value
 *		second frame, below it &__restore_rt
 *	low	first frame, below it &__restore_rt: here the stack pointer is when dlopen starts
 */
#include "inject_priv.h"

#include <cpuid.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RED_ZONE 128
#define XSAVE_ALIGN 64
#define XSAVE_HEADER 512 /* behind the legacy region: which features are not in their initial state */
#define XSAVE_MIN 576
#define SW_RESERVED 464		 /* in the legacy region: for software, struct _fpx_sw_bytes */
#define TILE_DATA (1ull << 18)	 /* AMX: the one feature that a process has only after it asked for it */
#define FLAGS_CLEARED 0x40500ull /* AC, DF, TF: a function starts without */
#define FRAME_FLAGS 7		 /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS, <asm/ucontext.h> */
#define LEAVE_ALTSTACK 0x55	 /* flags that sigaltstack refuses: the kernel then leaves that stack as it is */

/* struct ucontext of the kernel's <asm/ucontext.h> on x86-64; glibc's one is longer. */
struct context {
	uint64_t flags, link;
	uint64_t stack_pointer, stack_flags, stack_size;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2;
	uint64_t fpstate;
	uint64_t reserved[8];
	uint64_t mask;
};
_Static_assert(sizeof(struct context) == 40 + 256 + 8, "the kernel's layout");

/* struct _fpx_sw_bytes of <asm/sigcontext.h>. */
struct xsave_software {
	uint32_t magic, extended_size;
	uint64_t features;
	uint32_t size, padding[7];
};
#define MAGIC1 0x46505853u
#define MAGIC2 0x46505845u

/* How many bytes the standard form of these features takes: CPUID leaf 0xd. 0 when it does not say. */
static size_t xsave_size(uint64_t features)
{
	unsigned size, offset, c, d;
	size_t most = XSAVE_MIN;

	for (unsigned i = 2; i < 63; i++) {
		if (!(features >> i & 1))
			continue;
		if (!__get_cpuid_count(0xd, i, &size, &offset, &c, &d) || !size)
			return 0;
		if (offset + size > most)
			most = offset + size;
	}
	return most;
}

/*
 * The state as ptrace gives it, made what a signal frame has. ptrace gives the length of all features that the
 * machine has; a frame may be no longer than what this process uses, or the kernel restores the legacy part alone.
 * Its length, with the closing mark, or 0.
 */
static size_t prepare_xsave(uint8_t *xsave, size_t len)
{
	struct xsave_software sw = { .magic = MAGIC1 };
	const uint32_t end = MAGIC2;
	uint64_t used;

	if (len < XSAVE_MIN)
		return 0;
	memcpy(&sw.features, xsave + SW_RESERVED, 8);
	memcpy(&used, xsave + XSAVE_HEADER, 8);
	if (!(used & TILE_DATA))
		sw.features &= ~TILE_DATA;
	sw.size = (uint32_t)xsave_size(sw.features);
	if (!sw.size || sw.size > len || used & ~sw.features)
		return 0;
	sw.extended_size = sw.size + sizeof(end);
	memcpy(xsave + SW_RESERVED, &sw, sizeof(sw));
	memcpy(xsave + sw.size, &end, sizeof(end)); /* there is room: inject.c */
	return sw.extended_size;
}

static struct context context_of(const struct inject_state *state, uint64_t fpstate)
{
	const struct user_regs_struct *r = &state->regs;

	return (struct context){
		.flags = FRAME_FLAGS,
		.stack_flags = LEAVE_ALTSTACK,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rdi = r->rdi,
		.rsi = r->rsi,
		.rbp = r->rbp,
		.rbx = r->rbx,
		.rdx = r->rdx,
		.rax = r->rax,
		.rcx = r->rcx,
		.rsp = r->rsp,
		.rip = r->rip,
		.eflags = r->eflags,
		.cs = (uint16_t)r->cs,
		.ss = (uint16_t)r->ss,
		.fpstate = fpstate,
		.mask = state->mask,
	};
}

static void put(const struct inject_frame *f, uint64_t at, const void *data, size_t len)
{
	memcpy(f->bytes + (at - f->at), data, len);
}

int inject_frame__make(const struct inject_plan *plan, const struct inject_state *state, const char *path,
		       struct inject_frame *out)
{
	const size_t xsave_len = prepare_xsave(state->xsave, state->xsave_len);
	/* swab exchanges neighbours. */
	const uint32_t e = state->errno_value, swapped = (e & 0xff00ff00) >> 8 | (e & 0x00ff00ff) << 8;
	const uint64_t top = state->regs.rsp - RED_ZONE;
	const uint64_t xsave_at = (top - xsave_len) & ~(uint64_t)(XSAVE_ALIGN - 1);
	const uint64_t path_at = xsave_at - INJECT_PATH_MAX, errno_at = path_at - 16;
	const uint64_t second_at = (errno_at - sizeof(struct context)) & ~15ull;
	const uint64_t first_at = (second_at - 16 - sizeof(struct context)) & ~15ull;
	struct context second = context_of(state, xsave_at), first = second;

	memset(out, 0, sizeof(*out));
	if (!xsave_len)
		return -EOPNOTSUPP;
	out->at = out->sp = first_at - 8; /* as a call leaves the stack pointer: 8 below a multiple of 16 */
	out->len = top - out->at;
	out->path = path_at;
	out->bytes = calloc(1, out->len);
	if (!out->bytes)
		return -ENOMEM;
	first.rip = plan->swab;
	first.rsp = second_at - 8;
	first.rdi = errno_at;
	first.rsi = state->regs.fs_base + (uint64_t)plan->errno_at;
	first.rdx = sizeof(swapped);
	first.eflags &= ~FLAGS_CLEARED;
	put(out, xsave_at, state->xsave, xsave_len);
	put(out, path_at, path, strnlen(path, INJECT_PATH_MAX - 1));
	put(out, errno_at, &swapped, sizeof(swapped));
	put(out, second_at, &second, sizeof(second));
	put(out, second_at - 8, &plan->restore_rt, 8);
	put(out, first_at, &first, sizeof(first));
	put(out, first_at - 8, &plan->restore_rt, 8);
	return 0;
}

void inject_frame__enter(const struct inject_plan *plan, const struct inject_frame *frame,
			 struct user_regs_struct *regs)
{
	regs->rsp = frame->sp;
	regs->rip = plan->entry;
	regs->rdi = frame->path;
	regs->rsi = RTLD_NOW;
	regs->rax = 0;
	regs->orig_rax = (unsigned long long)-1; /* no system call is begun again now */
	regs->eflags &= ~FLAGS_CLEARED;
}
