/* inject_priv: what the files of inject share. */
#ifndef PYLU_INJECT_PRIV_H
#define PYLU_INJECT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "inject.h"

#define INJECT_PATH_MAX 256	      /* bytes of the library's path, with its NUL */
#define INJECT_STACK_ROOM (64u << 10) /* bytes that must be free below a thread's stack, behind the frame */

struct target;

/* Addresses in the target: inject_plan.c. */
struct inject_plan {
	uint64_t entry;			   /* what the thread is sent to: dlopen, or the caller's function */
	uint64_t restore_rt;		   /* libc's return from a signal handler */
	uint64_t swab;			   /* libc's swab(3) */
	int64_t errno_at;		   /* where a thread's errno is, from its thread pointer */
	uint64_t loader_start, loader_end; /* the dynamic linker's code */
	uint64_t loader_state;		   /* its r_state */
	bool text;			   /* a thread in the interpreter's text may be sent off */
};

/* 0, or a code that was reported. */
int inject_plan__make(const struct target *t, uint64_t call, struct inject_plan *out);

/* How a thread is restored: inject_frame.c. */
struct inject_frame {
	uint8_t *bytes; /* owned */
	size_t len;
	uint64_t at;   /* where they go in the target, below the thread's red zone */
	uint64_t sp;   /* the stack pointer with which plan->entry starts; its return address is there */
	uint64_t path; /* where the library's path lies */
};

struct inject_state {
	struct user_regs_struct regs; /* as they are to be restored */
	uint64_t mask;		      /* blocked signals */
	uint32_t errno_value;
	uint8_t *xsave; /* NT_X86_XSTATE; owned */
	size_t xsave_len;
};

/* Lays out the frames. 0, -ENOMEM, or -EOPNOTSUPP for floating point state that we do not know. Not reported. Free
 * frame->bytes in any case. */
int inject_frame__make(const struct inject_plan *plan, const struct inject_state *state, const char *path,
		       struct inject_frame *out);

/* The registers with which a thread, which has them as given, is sent off: plan->entry is called with the path and
 * RTLD_NOW. */
void inject_frame__enter(const struct inject_plan *plan, const struct inject_frame *frame,
			 struct user_regs_struct *regs);

/* The main thread's stack, which is found without stopping anything; zeros where there is none. */
struct inject_stack {
	uint64_t low, end;
};
void inject_stack__main(pid_t pid, struct inject_stack *out);

/* The lowest address that thread `tid`, whose stack pointer and thread pointer are given, may use on its stack. 0, or
 * -ENOENT and the reason (static storage). */
int inject_stack__low(const struct target *t, const struct inject_stack *main, pid_t tid, uint64_t sp, uint64_t tp,
		      uint64_t *low, const char **why);

/* What /proc tells of a thread, without stopping it: inject_look.c. */
struct inject_look {
	char state;	  /* as in /proc/PID/stat */
	bool running;	  /* or just about to */
	int64_t call;	  /* the system call that it sleeps in, -1 none, -2 not known */
	bool unknown;	  /* a call that was stopped before, and of which kind is not known */
	uint64_t pc;	  /* where it sleeps; 0 not known */
	uint64_t caught;  /* signals for which the process has handlers */
	pid_t tracer;	  /* who traces it, 0 nobody */
	unsigned seccomp; /* 0 none, 1 strict, 2 filters */
	bool shadow_stack;
};

/* 0, or -ESRCH when it has ended, or another -errno. Not reported. */
int inject_look__at(pid_t pid, pid_t tid, struct inject_look *out);

/* inject_may.c: reports why thread `tid` may not be traced, for which the kernel gave errno `err`, and what to do.
 * -EPERM. */
int inject_refuse_trace(const struct target *t, pid_t tid, int err);
/* What holds for the whole process, mostly: shadow stacks, strict seccomp. 0, or a code that was reported. */
int inject_check_process(const struct target *t);

/* Whether the seccomp filters of a thread that stands, traced by us, let it make the system calls that loading the
 * agent takes. 0; -EACCES and *call; another code when they cannot be read. Not reported. */
int inject_filter__check(pid_t tid, const char **call);

/* A system call in which a thread may be sent off, or that we can name; NULL for others. */
struct inject_call {
	int64_t nr;
	const char *name;
	bool usable;
};
const struct inject_call *inject_call__find(int64_t nr);

#endif
