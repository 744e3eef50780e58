/*
 * inject: stops one thread at a time, looks whether it stands where it may be sent off, and sends it.
 *
 * A thread may be sent off
 *  - in the interpreter's own text: there it is in no function of the C library, so it holds no lock that dlopen
 *    takes. What interrupts the C library is a signal handler, and while one runs its signal is blocked (CPython
 *    installs none with SA_NODEFER but faulthandler's): a thread that blocks a signal for
 *    which there is a handler is not used;
 *  - asleep in one of the system calls of inject_look.c. What it gets when it is restored: see restart().
 * Nothing else in it may be at work on the loader's lists: r_state, and no thread asleep in the loader's code.
 *
 * Before the registers are set, our end at any instruction leaves the thread as it was (the kernel lets go what we
 * trace; the frame lies below the red zone); after that the kernel restores it from the frame without us.
 */
#include "inject.h"

#include "clock_ns.h"
#include "diag.h"
#include "elf.h"
#include "inject_priv.h"
#include "mem.h"
#include "target.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 4096
#define XSAVE_ROOM (64u << 10)
#define ROUND_NS 1000000   /* between two looks at all threads */
#define STOP_POLL_NS 20000 /* between two looks whether a thread stands */
#define STOP_NS 5000000000 /* a thread stops at once, or the kernel holds it */
#define CS_64 0x33	   /* user code segment of 64-bit programs */
/* The kernel's own "begin this call again", include/linux/errno.h; seen by tracers only. */
#define E_RESTARTSYS 512
#define E_RESTARTNOINTR 513
#define E_RESTARTNOHAND 514
#define E_RESTART_BLOCK 516
#define SYSCALL_LENGTH 2

struct thread {
	pid_t tid;
	int64_t call;  /* where it slept before it was stopped, as in struct inject_look */
	bool filtered; /* by seccomp */
	int class;     /* lower ones are tried first */
	char why[96];  /* not used, because */
};

struct injection {
	const struct target *t;
	const struct inject_options *options;
	struct inject_result *out;
	struct inject_plan plan;
	struct inject_stack main_stack;
	uint64_t deadline;
	struct thread *threads;
	size_t n;
	uint8_t *xsave;
};

static int __attribute__((format(printf, 2, 3))) unfit(struct thread *thread, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(thread->why, sizeof(thread->why), fmt, args);
	va_end(args);
	return -EAGAIN;
}

static void step(const struct injection *in, enum inject_step at)
{
	if (in->options->step)
		in->options->step(at, in->options->ctx);
}

static void pause_ns(uint64_t ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)ns }, NULL);
}

/* Whether it is worth stopping; sets its class. */
static bool consider(const struct injection *in, struct thread *thread, const struct inject_look *look)
{
	const struct inject_call *call = inject_call__find(look->call);

	if (look->shadow_stack)
		unfit(thread, "it has a shadow stack");
	else if (look->seccomp == 1)
		unfit(thread, "it may make hardly any system call (strict seccomp)");
	else if (look->state == 'T' || look->state == 't')
		unfit(thread, "it is stopped");
	else if (look->state == 'D')
		unfit(thread, "it sleeps where nothing wakes it (state D)");
	else if (look->state == 'Z' || look->state == 'X')
		unfit(thread, "it is ending");
	else if (look->unknown)
		unfit(thread, "it waits in a call that was interrupted before, of which kind is not known");
	else if (look->call >= 0 && !call)
		unfit(thread, "it waits in system call %lld", (long long)look->call);
	else if (look->call >= 0 && !call->usable)
		unfit(thread, "it waits in %s", call->name);
	else if (look->call < 0 && !in->plan.text)
		unfit(thread, "it runs, and the interpreter has an allocator of its own in it");
	else {
		thread->call = look->call;
		thread->filtered = look->seccomp;
		thread->class = look->call < 0 ? 0 : thread->tid != in->t->pid ? 1 : 2;
		return true;
	}
	return false;
}

static int by_class(const void *a, const void *b)
{
	const struct thread *x = a, *y = b;

	return x->class != y->class ? x->class - y->class : x->tid - y->tid;
}

/* All threads, those first that are best used. 0, -EAGAIN when it is no moment for any, or a reported code. */
static int list_threads(struct injection *in)
{
	struct inject_look look;
	struct dirent *entry;
	bool loading = false;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)in->t->pid);
	dir = opendir(path);
	in->n = 0;
	while (dir && in->n < THREADS_MAX && (entry = readdir(dir))) {
		struct thread *thread = &in->threads[in->n];

		*thread = (struct thread){ .tid = atoi(entry->d_name), .class = -1 };
		if (thread->tid <= 0 || inject_look__at(in->t->pid, thread->tid, &look))
			continue;
		loading |= look.pc >= in->plan.loader_start && look.pc < in->plan.loader_end;
		consider(in, thread, &look);
		in->n++;
	}
	if (dir)
		closedir(dir);
	if (!in->n || !target__alive(in->t))
		return diag_error(-ESRCH, "process %d has ended", (int)in->t->pid);
	qsort(in->threads, in->n, sizeof(in->threads[0]), by_class);
	for (size_t i = 0; loading && i < in->n; i++)
		unfit(&in->threads[i], "a thread is in the dynamic linker");
	return loading ? -EAGAIN : 0;
}

/*
 * What a thread that sleeps in a system call is given when it is restored, in `r`. As after a caught signal, with two
 * aims: C code that never sees a signal need not see -EINTR, and a signal that a handler of CPython's takes meanwhile
 * (it only makes a note) must not be slept over.
 *  - -EINTR stays: the mere stop did that.
 *  - The main thread, when there are handlers: -EINTR. It is the one that signals interrupt, and CPython's handlers
 *    are installed without SA_RESTART, so what runs there knows.
 *  - Other threads: the call begins again; select, pselect and ppoll have written what is left of their time. Where
 *    that is known to nobody (poll with a time limit) -EINTR, which poll's callers must expect. A nanosleep goes on
 *    with the rest that it wrote, and without a place for that is left alone.
 * The kernel's own way to go on, restart_syscall, is not open: sigreturn switches it off.
 */
static bool restart(const struct injection *in, pid_t tid, const struct inject_look *look, struct user_regs_struct *r)
{
	const uint64_t internal = 3ull << 31; /* 32 and 33 are glibc's own: SIGCANCEL, SIGSETXID */
	const int64_t result = (int64_t)r->rax;
	const uint64_t call = r->orig_rax;
	bool again = result != -EINTR && (tid != in->t->pid || !(look->caught & ~internal));

	if (again && result == -E_RESTART_BLOCK) {
		if (call == SYS_nanosleep && r->rsi)
			r->rdi = r->rsi;
		else if (call == SYS_clock_nanosleep && r->r10)
			r->rdx = r->r10;
		else if (call == SYS_nanosleep || call == SYS_clock_nanosleep)
			return false;
		else
			again = call == SYS_poll && (int)r->rdx < 0;
	}
	if (again) {
		r->rax = call;
		r->rip -= SYSCALL_LENGTH;
	} else {
		r->rax = (uint64_t)-EINTR;
	}
	return true;
}

/* Whether the thread stands where it may be sent off; fills in state->regs as they are to be restored. */
static int fits(struct injection *in, struct thread *thread, struct inject_state *state)
{
	struct user_regs_struct *r = &state->regs;
	const int64_t result = (int64_t)r->rax, call = (int64_t)r->orig_rax;
	const struct inject_call *known = inject_call__find(call);
	struct inject_look look;
	uint32_t loader;

	if (r->cs != CS_64)
		return unfit(thread, "it runs 32-bit code");
	if (inject_look__at(in->t->pid, thread->tid, &look))
		return unfit(thread, "it is ending");
	if (state->mask & look.caught)
		return unfit(thread, "it blocks a signal for which there is a handler");
	if (call >= 0) {
		if (!known || !known->usable || (call == SYS_restart_syscall && thread->call != call))
			return unfit(thread, "it is in a system call%s%s", known ? ": " : "", known ? known->name : "");
		if (result != -EINTR && result != -E_RESTARTSYS && result != -E_RESTARTNOINTR &&
		    result != -E_RESTARTNOHAND && result != -E_RESTART_BLOCK)
			return unfit(thread, "it comes back from %s", known->name);
		if (!restart(in, thread->tid, &look, r))
			return unfit(thread, "it sleeps, and nobody knows how long yet");
		snprintf(in->out->where, sizeof(in->out->where), "in %s", known->name);
	} else {
		if (!in->plan.text || !elf_file__is_code(in->t->elf, r->rip - in->t->bias))
			return unfit(thread, "it is outside of the interpreter's own code");
		snprintf(in->out->where, sizeof(in->out->where), "in the interpreter");
	}
	if (mem__read_u32(in->t->mem, in->plan.loader_state, &loader) || loader)
		return unfit(thread, "the dynamic linker is at work");
	return 0;
}

/* All of the state that the frame holds. */
static int read_state(struct injection *in, struct thread *thread, struct inject_state *state)
{
	struct iovec xsave = { in->xsave, XSAVE_ROOM - 64 };

	state->xsave = in->xsave;
	if (ptrace(PTRACE_GETREGS, thread->tid, NULL, &state->regs) ||
	    ptrace(PTRACE_GETSIGMASK, thread->tid, (void *)sizeof(state->mask), &state->mask))
		return unfit(thread, "its registers cannot be read: %s", strerror(errno));
	if (ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_X86_XSTATE, &xsave))
		return unfit(thread, "its floating point state cannot be read: %s", strerror(errno));
	state->xsave_len = xsave.iov_len;
	if (mem__read_u32(in->t->mem, state->regs.fs_base + (uint64_t)in->plan.errno_at, &state->errno_value))
		return unfit(thread, "it has no errno");
	return 0;
}

/* Writes the frame, and sets the registers: from then on the thread has been sent. */
static int send_off(struct injection *in, struct thread *thread, const struct inject_state *state,
		    struct user_regs_struct entry)
{
	const char *path = in->options->call ? "" : in->options->library, *why;
	struct inject_frame frame;
	struct iovec local, remote;
	uint64_t low;
	int err;

	if (inject_stack__low(in->t, &in->main_stack, thread->tid, entry.rsp, entry.fs_base, &low, &why))
		return unfit(thread, "%s", why);
	err = inject_frame__make(&in->plan, state, path, &frame);
	if (err)
		return unfit(thread, "its floating point state is of an unknown kind");
	local = (struct iovec){ frame.bytes, frame.len };
	remote = (struct iovec){ (void *)(uintptr_t)frame.at, frame.len };
	if (frame.at < low || frame.at - low < INJECT_STACK_ROOM)
		err = unfit(thread, "its stack has too little room left");
	else if (process_vm_writev(in->t->pid, &local, 1, &remote, 1, 0) != (ssize_t)frame.len)
		err = unfit(thread, "its stack cannot be written: %s", strerror(errno));
	free(frame.bytes);
	if (err)
		return err;
	step(in, INJECT_WRITTEN);
	inject_frame__enter(&in->plan, &frame, &entry);
	if (ptrace(PTRACE_SETREGS, thread->tid, NULL, &entry))
		return unfit(thread, "its registers cannot be set: %s", strerror(errno));
	step(in, INJECT_SENT);
	return 0;
}

/* Whether the filters of a thread that stands let it do what it is to do. Threads mostly share them. */
static int check_filters(const struct injection *in, const struct thread *thread)
{
	const char *call;
	int err = inject_filter__check(thread->tid, &call);

	if (err == -EACCES && call)
		err = diag_error(
			-DIAG_NO_INJECT,
			"process %d: its seccomp filter would end it for the system call %s, which loading the "
			"agent takes",
			(int)in->t->pid, call);
	else if (err)
		err = diag_error(
			-DIAG_NO_INJECT,
			"process %d has its system calls filtered (seccomp), and the filter cannot be read here (root "
			"can): it may end the process for loading the agent; --force tries it all the same",
			(int)in->t->pid);
	return err;
}

/* A thread that stands. 0 sent off, -EAGAIN, or a reported code. */
static int try_stopped(struct injection *in, struct thread *thread)
{
	struct inject_state state = { 0 };
	struct user_regs_struct now;
	int err;

	step(in, INJECT_STOPPED);
	err = read_state(in, thread, &state);
	now = state.regs;
	if (!err)
		err = fits(in, thread, &state);
	if (!err && thread->filtered && !in->options->force)
		err = check_filters(in, thread);
	return err ? err : send_off(in, thread, &state, now);
}

/* Waits until the thread stands. 0, -EAGAIN when it has ended, -ETIMEDOUT. */
static int await_stop(struct injection *in, struct thread *thread, int *status)
{
	const uint64_t until = monotonic_ns() + STOP_NS;
	pid_t got;

	while (!(got = waitpid(thread->tid, status, __WALL | WNOHANG))) {
		if (monotonic_ns() > until)
			return diag_error(-ETIMEDOUT,
					  "process %d: thread %d does not come to a stop: the kernel holds it",
					  (int)in->t->pid, (int)thread->tid);
		pause_ns(STOP_POLL_NS);
	}
	return got == thread->tid && WIFSTOPPED(*status) ? 0 : unfit(thread, "it is ending");
}

/* Stops it, and lets it go again in any case. 0 sent off, -EAGAIN, or a reported code. */
static int try_thread(struct injection *in, struct thread *thread)
{
	struct inject_look look;
	long signal = 0;
	uint64_t since;
	int status, err;

	if (ptrace(PTRACE_SEIZE, thread->tid, NULL, NULL)) {
		int why = errno;

		/* Of a thread that is ending the kernel says EPERM, too. */
		if (why == ESRCH || inject_look__at(in->t->pid, thread->tid, &look) || look.state == 'Z' ||
		    look.state == 'X')
			return unfit(thread, "it is ending");
		return inject_refuse_trace(in->t, thread->tid, why);
	}
	step(in, INJECT_SEIZED);
	in->out->stops++;
	since = monotonic_ns();
	ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
	err = await_stop(in, thread, &status);
	if (err)
		return err;
	if (status >> 16 == PTRACE_EVENT_STOP && WSTOPSIG(status) == SIGTRAP) {
		err = try_stopped(in, thread);
	} else {
		/* A signal came first, and is handed on; or the whole process is stopped. */
		signal = status >> 16 ? 0 : WSTOPSIG(status);
		err = unfit(thread, "it is stopped by a signal");
	}
	ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)signal);
	if (!err) {
		in->out->stopped_ms = (double)(monotonic_ns() - since) / 1e6;
		in->out->tid = thread->tid;
		step(in, INJECT_DETACHED);
	}
	return err;
}

/* One look at all threads. */
static int try_all(struct injection *in)
{
	int err = list_threads(in);

	inject_stack__main(in->t->pid, &in->main_stack);
	for (size_t i = 0; !err && i < in->n; i++) {
		if (in->threads[i].class < 0)
			continue;
		err = try_thread(in, &in->threads[i]);
		if (err != -EAGAIN)
			return err;
		err = 0;
	}
	return err ? err : -EAGAIN;
}

/* Says of each thread why it was not used; of many, of the first ones. */
static int report_busy(const struct injection *in)
{
	char text[1024] = "", name[32];
	size_t said = 0;

	for (size_t i = 0; i < in->n && said < 8; i++, said++) {
		if (target_thread_comm(in->t->pid, in->threads[i].tid, name, sizeof(name)))
			snprintf(name, sizeof(name), "?");
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s thread %d (%s): %s", i ? ";" : "",
			 (int)in->threads[i].tid, name, in->threads[i].why);
	}
	if (in->n > said)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "; and %zu more", in->n - said);
	return diag_error(
		-EBUSY,
		"process %d: within %g s no thread stood where it can be sent to load a library; nothing was done to "
		"it.%s",
		(int)in->t->pid, in->options->seconds, text);
}

int inject(const struct target *t, const struct inject_options *options, struct inject_result *out)
{
	struct injection in = { .t = t, .options = options, .out = out };
	int err;

	memset(out, 0, sizeof(*out));
	if (!options->call && strlen(options->library) >= INJECT_PATH_MAX)
		return diag_error(-ENAMETOOLONG, "the library's path is too long for this: %s", options->library);
	err = inject_check_process(t);
	if (!err)
		err = inject_plan__make(t, options->call, &in.plan);
	if (err)
		return err;
	in.threads = calloc(THREADS_MAX, sizeof(*in.threads));
	in.xsave = aligned_alloc(64, XSAVE_ROOM);
	if (!in.threads || !in.xsave) {
		err = diag_error(-ENOMEM, "no memory for the list of threads");
		goto out;
	}
	in.deadline = monotonic_ns() + (uint64_t)(options->seconds * 1e9);
	do {
		err = try_all(&in);
		if (err == -EAGAIN)
			pause_ns(ROUND_NS);
	} while (err == -EAGAIN && monotonic_ns() < in.deadline);
	if (err == -EAGAIN)
		err = report_busy(&in);
out:
	free(in.threads);
	free(in.xsave);
	return err;
}
