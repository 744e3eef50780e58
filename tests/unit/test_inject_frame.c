/*
 * The frames by which a thread is restored, on a child of ours: it spins with known values in all its registers, is
 * sent into a function that destroys all that a function may (and errno), and finds everything as it was: general and
 * vector registers, flags, the red zone, errno, blocked signals.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "inject_priv.h"

#define VECTORS 16
#define RED_ZONE 128
#define ERRNO_BEFORE 0x12345678
#define PATH "/a/path/that/is/handed/over"
#define TIMES 50

struct shared {
	volatile uint32_t go;	   /* the child may stop spinning */
	volatile uint32_t spins;   /* it is in its loop */
	volatile uint32_t entered; /* how often the function was called */
	volatile uint32_t bad;	   /* how often it was called wrongly */
	uint32_t avx;
	uint64_t want[16], got[16]; /* general registers in any order, [5] unused, got[7] the flags */
	uint8_t want_vector[VECTORS][32], got_vector[VECTORS][32];
	uint8_t want_red[RED_ZONE], got_red[RED_ZONE];
};

static struct shared *shared;

#define OFFSETS(X) \
	X(avx, 16) \
	X(want, 24) X(got, 152) X(want_vector, 280) X(got_vector, 792) X(want_red, 1304) X(got_red, 1432)
#define ASSERT_OFFSET(name, at) _Static_assert(offsetof(struct shared, name) == (at), "as the assembler has it");
#define SET_OFFSET(name, at) ".set " #name "_at, " #at "\n"
OFFSETS(ASSERT_OFFSET)

void restore_rt(void);
__asm__(".text\nrestore_rt:\n	mov $15, %rax\n	syscall\n");

/* Loads everything, spins with DF set, stores everything. */
void spin(struct shared *s);
__asm__(OFFSETS(
	SET_OFFSET) ".text\nspin:\n"
		    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
		    "	cmpl $0, avx_at(%rdi)\n	je 1f\n"
		    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		    "	vmovdqu want_vector_at+32*\\n(%rdi), %ymm\\n\n"
		    ".endr\n"
		    "1:	lea want_red_at(%rdi), %rsi\n	lea -128(%rsp), %rax\n	xor %ecx, %ecx\n"
		    "2:	mov (%rsi,%rcx), %dl\n	mov %dl, (%rax,%rcx)\n	inc %ecx\n	cmp $128, %ecx\n	jb 2b\n"
		    ".irp r,rax,rbx,rcx,rdx,rsi\n"
		    "	mov want_at+n_\\r(%rdi), %\\r\n"
		    ".endr\n"
		    ".irp r,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
		    "	mov want_at+n_\\r(%rdi), %\\r\n"
		    ".endr\n"
		    "	movl $1, 4(%rdi)\n"
		    "	std\n"
		    "3:	cmpl $0, (%rdi)\n	je 3b\n"
		    ".irp r,rax,rbx,rcx,rdx,rsi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n"
		    "	mov %\\r, got_at+n_\\r(%rdi)\n"
		    ".endr\n"
		    "	lea got_red_at(%rdi), %rsi\n	lea -128(%rsp), %rax\n	xor %ecx, %ecx\n"
		    "4:	mov (%rax,%rcx), %dl\n	mov %dl, (%rsi,%rcx)\n	inc %ecx\n	cmp $128, %ecx\n	jb 4b\n"
		    "	cmpl $0, avx_at(%rdi)\n	je 5f\n"
		    ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
		    "	vmovdqu %ymm\\n, got_vector_at+32*\\n(%rdi)\n"
		    ".endr\n"
		    "	vzeroupper\n"
		    "5:	pushf\n	popq got_at+56(%rdi)\n"
		    "	cld\n"
		    "	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop "
		    "%rbx\n	ret\n"
		    ".set n_rax, 0\n.set n_rbx, 8\n.set n_rcx, 16\n.set n_rdx, 24\n.set n_rsi, 32\n.set n_rbp, 48\n"
		    ".set n_r8, 64\n.set n_r9, 72\n.set n_r10, 80\n.set n_r11, 88\n.set n_r12, 96\n.set n_r13, 104\n"
		    ".set n_r14, 112\n.set n_r15, 120\n");
#define FLAGS 7
#define FLAG_DF 0x400

/* Destroys the vector registers; the compiler's code destroys the general ones. */
static void clobber_vectors(void)
{
	if (shared->avx)
		__asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
				 "	vcmpps $15, %%ymm\\n, %%ymm\\n, %%ymm\\n\n"
				 ".endr\n	vzeroupper" ::
					 : "memory");
}

/* What stands in for dlopen. */
static void entered(const char *path, int mode)
{
	const uint64_t frame = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	uint64_t flags;

	__asm__ volatile("pushf\n	popq %0" : "=r"(flags));
	if (strcmp(path, PATH) || mode != 2 || flags & FLAG_DF || frame % 16)
		shared->bad++;
	clobber_vectors();
	__asm__ volatile("xor %%r12d, %%r12d\n	xor %%r13d, %%r13d\n	xor %%r14d, %%r14d\n	xor %%r15d, %%r15d\n"
			 "	xor %%ebx, %%ebx" ::
				 : "rbx", "r12", "r13", "r14", "r15");
	errno = 77;
	shared->entered++;
}

static int child(void)
{
	sigset_t mask;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	errno = ERRNO_BEFORE;
	spin(shared);
	if (errno != ERRNO_BEFORE)
		return 2;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	return !sigismember(&mask, SIGUSR2) || sigismember(&mask, SIGUSR1) ? 3 : 0;
}

static bool stop(pid_t pid)
{
	int status;

	return CHECK_EQ(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0) && CHECK_EQ(waitpid(pid, &status, __WALL), pid) &&
	       CHECK(WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_STOP);
}

/* Sends the child, which is traced and runs, into entered(), and lets it run. */
static bool send(pid_t pid, const struct inject_plan *plan)
{
	struct inject_state state = { .errno_value = ERRNO_BEFORE };
	uint8_t *xsave = aligned_alloc(64, 65536);
	struct iovec set = { xsave, 65536 - 64 }, local, remote;
	struct user_regs_struct regs;
	struct inject_frame frame = { 0 };
	bool ok;

	if (!stop(pid))
		return false;
	ok = CHECK_EQ(ptrace(PTRACE_GETREGS, pid, NULL, &regs), 0) &&
	     CHECK_EQ(ptrace(PTRACE_GETSIGMASK, pid, (void *)8, &state.mask), 0) &&
	     CHECK_EQ(ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &set), 0);
	state.regs = regs;
	state.xsave = xsave;
	state.xsave_len = set.iov_len;
	ok = ok && CHECK_EQ(inject_frame__make(plan, &state, PATH, &frame), 0);
	if (ok) {
		CHECK(frame.at + frame.len <= regs.rsp - RED_ZONE);
		local = (struct iovec){ frame.bytes, frame.len };
		remote = (struct iovec){ (void *)(uintptr_t)frame.at, frame.len };
		ok = CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), frame.len);
		inject_frame__enter(plan, &frame, &regs);
		ok = ok && CHECK_EQ(ptrace(PTRACE_SETREGS, pid, NULL, &regs), 0);
	}
	CHECK_EQ(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	free(frame.bytes);
	free(xsave);
	return ok;
}

/* Until a word in the shared memory has a value, or the child is no more. */
static bool await(pid_t pid, volatile uint32_t *word, uint32_t value)
{
	int status;

	while (*word != value) {
		if (waitpid(pid, &status, __WALL | WNOHANG))
			return false;
		usleep(100);
	}
	return true;
}

static void compare(void)
{
	for (int i = 0; i < 16; i++)
		CHECK(i == 5 || i == FLAGS || shared->got[i] == shared->want[i]);
	CHECK(shared->got[FLAGS] & FLAG_DF);
	CHECK(!memcmp(shared->got_red, shared->want_red, RED_ZONE));
	if (shared->avx)
		CHECK(!memcmp(shared->got_vector, shared->want_vector, sizeof(shared->got_vector)));
	else
		CHECK_SKIP("this processor has no AVX: vector registers are not compared");
}

static void fill(void)
{
	srandom(1);
	for (size_t i = 0; i < 16; i++)
		shared->want[i] = (uint64_t)random() << 33 ^ (uint64_t)random();
	for (size_t i = 0; i < sizeof(shared->want_vector); i++)
		shared->want_vector[i / 32][i % 32] = (uint8_t)random();
	for (size_t i = 0; i < RED_ZONE; i++)
		shared->want_red[i] = (uint8_t)random();
	shared->avx = !!__builtin_cpu_supports("avx");
}

int main(void)
{
	uint64_t fs;
	struct inject_plan plan = { .entry = (uint64_t)(uintptr_t)entered,
				    .restore_rt = (uint64_t)(uintptr_t)restore_rt,
				    .swab = (uint64_t)(uintptr_t)swab };
	int status;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!CHECK(shared != MAP_FAILED))
		return check_done();
	fill();
	__asm__("mov %%fs:0, %0" : "=r"(fs));
	plan.errno_at = (int64_t)((uint64_t)(uintptr_t)&errno - fs);
	pid = fork();
	if (!pid)
		_exit(child());
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL)) {
		CHECK_SKIP("a child cannot be traced here: %s", strerror(errno));
		kill(pid, SIGKILL);
		return check_done();
	}
	CHECK(await(pid, &shared->spins, 1));
	for (uint32_t i = 1; i <= TIMES && send(pid, &plan); i++)
		if (!CHECK(await(pid, &shared->entered, i)))
			break;
	shared->go = 1;
	CHECK_EQ(waitpid(pid, &status, __WALL), pid);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 0);
	CHECK_EQ(shared->entered, TIMES);
	CHECK_EQ(shared->bad, 0);
	compare();
	return check_done();
}
