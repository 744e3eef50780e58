/*
 * The few kernel types that the BPF programs read, instead of a dump of one kernel's BTF. What is marked
 * preserve_access_index is relocated by CO-RE against the running kernel's BTF at load.
 */
#ifndef PYLU_VMLINUX_H
#define PYLU_VMLINUX_H

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

#if defined(__TARGET_ARCH_x86)
/* The context of a uprobe: user registers at the probed instruction, in the kernel's order (arch/x86/include/asm/
 * ptrace.h); part of the BPF ABI as bpf_user_pt_regs_t. */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};
#else
#error "this architecture's pt_regs is missing"
#endif

struct signal_struct {
	struct {
		int counter;
	} live;
} __attribute__((preserve_access_index));

#if defined(__TARGET_ARCH_x86)
struct thread_struct {
	unsigned long fsbase; /* where the C library keeps the thread's pthread_self() */
} __attribute__((preserve_access_index));

/* The context of a perf event's program: include/uapi/linux/bpf_perf_event.h, part of the BPF ABI. */
struct bpf_perf_event_data {
	struct pt_regs regs;
	__u64 sample_period;
	__u64 addr;
};
#endif

struct task_struct {
	int pid;
	int tgid;
	struct thread_struct thread;
	struct signal_struct *signal;
} __attribute__((preserve_access_index));

struct linux_binprm;

#endif
