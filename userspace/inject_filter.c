/*
 * inject_filter: whether the seccomp filters of a thread would end its process for what loading the agent takes.
 * Containers have filters that allow all of it; sandboxes have ones that do not.
 *
 * The filters are read while the thread stands (ptrace(2), PTRACE_SECCOMP_GET_FILTER: for root, with a kernel that
 * has CONFIG_CHECKPOINT_RESTORE) and run here, on the system calls that will be made. They are classic BPF; a filter
 * cannot follow a pointer, so what is not known beforehand matters to none.
 */
#include "inject_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#define FILTERS_MAX 64
#define THREAD_FLAGS                                                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | \
	 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define SOME_ADDRESS 0x7f0000000000

/* The loader's, those of a new thread, and the agent's own. */
static const struct {
	const char *name;
	int nr;
	uint64_t args[6];
} needed[] = {
	{ "openat", SYS_openat, { (uint64_t)AT_FDCWD, SOME_ADDRESS, O_RDONLY | O_CLOEXEC } },
	{ "read", SYS_read, { 3, SOME_ADDRESS, 832 } },
	{ "pread64", SYS_pread64, { 3, SOME_ADDRESS, 64, 64 } },
	{ "fstat", SYS_fstat, { 3, SOME_ADDRESS } },
	{ "newfstatat", SYS_newfstatat, { 3, SOME_ADDRESS, SOME_ADDRESS, 0x1000 } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE, 3 } },
	{ "mmap", SYS_mmap, { SOME_ADDRESS, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED | MAP_DENYWRITE, 3 } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, (uint64_t)-1 } },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3 } },
	{ "mprotect", SYS_mprotect, { SOME_ADDRESS, 4096, PROT_READ } },
	{ "mprotect", SYS_mprotect, { SOME_ADDRESS, 4096, PROT_READ | PROT_WRITE } },
	{ "munmap", SYS_munmap, { SOME_ADDRESS, 4096 } },
	{ "madvise", SYS_madvise, { SOME_ADDRESS, 4096, MADV_DONTFORK } },
	{ "brk", SYS_brk, { SOME_ADDRESS } },
	{ "unlink", SYS_unlink, { SOME_ADDRESS } },
	{ "close", SYS_close, { 3 } },
	{ "rt_sigprocmask", SYS_rt_sigprocmask, { 0, SOME_ADDRESS, SOME_ADDRESS, 8 } },
	{ "rt_sigreturn", SYS_rt_sigreturn, { 0 } },
	{ "clone3", SYS_clone3, { SOME_ADDRESS, 88 } },
	{ "clone", SYS_clone, { THREAD_FLAGS, SOME_ADDRESS, SOME_ADDRESS, SOME_ADDRESS, SOME_ADDRESS } },
	{ "set_robust_list", SYS_set_robust_list, { SOME_ADDRESS, 24 } },
	{ "rseq", 334, { SOME_ADDRESS, 32, 0, 0x53053053 } },
	{ "prctl", SYS_prctl, { PR_SET_NAME, SOME_ADDRESS } },
	{ "futex", SYS_futex, { SOME_ADDRESS, 0x89 } },
	{ "memfd_create", SYS_memfd_create, { SOME_ADDRESS, MFD_CLOEXEC | MFD_ALLOW_SEALING } },
	{ "ftruncate", SYS_ftruncate, { 3, 4096 } },
	{ "fchmod", SYS_fchmod, { 3, 0600 } },
	{ "fcntl", SYS_fcntl, { 3, F_ADD_SEALS, F_SEAL_SHRINK } },
	{ "getpid", SYS_getpid, { 0 } },
	{ "gettid", SYS_gettid, { 0 } },
	{ "exit", SYS_exit, { 0 } },
};

/* The machine of a classic filter; include/uapi/linux/filter.h, and what kernel/seccomp.c lets through. */
struct machine {
	uint32_t a, x, memory[BPF_MEMWORDS];
};

static uint32_t operate(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_ADD:
		return a + b;
	case BPF_SUB:
		return a - b;
	case BPF_MUL:
		return a * b;
	case BPF_DIV:
		return b ? a / b : 0;
	case BPF_OR:
		return a | b;
	case BPF_AND:
		return a & b;
	case BPF_XOR:
		return a ^ b;
	case BPF_LSH:
		return b < 32 ? a << b : 0;
	case BPF_RSH:
		return b < 32 ? a >> b : 0;
	case BPF_NEG:
		return 0 - a;
	}
	return 0;
}

static bool compare(uint16_t operation, uint32_t a, uint32_t b)
{
	switch (operation) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JSET:
		return a & b;
	}
	return false;
}

static bool load(struct machine *m, const struct sock_filter *f, const struct seccomp_data *data)
{
	uint32_t value;

	switch (BPF_MODE(f->code)) {
	case BPF_ABS:
		if (f->k > sizeof(*data) - 4)
			return false;
		memcpy(&value, (const char *)data + f->k, 4);
		break;
	case BPF_IMM:
		value = f->k;
		break;
	case BPF_LEN:
		value = sizeof(*data);
		break;
	case BPF_MEM:
		if (f->k >= BPF_MEMWORDS)
			return false;
		value = m->memory[f->k];
		break;
	default:
		return false;
	}
	*(BPF_CLASS(f->code) == BPF_LD ? &m->a : &m->x) = value;
	return true;
}

/* What a filter says of a system call: SECCOMP_RET_x; to kill where it makes no sense. */
static uint32_t run(const struct sock_filter *code, size_t n, const struct seccomp_data *data)
{
	struct machine m = { 0 };

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *f = &code[i];
		const uint32_t operand = BPF_SRC(f->code) == BPF_X ? m.x : f->k;

		switch (BPF_CLASS(f->code)) {
		case BPF_LD:
		case BPF_LDX:
			if (!load(&m, f, data))
				return SECCOMP_RET_KILL_PROCESS;
			break;
		case BPF_ST:
		case BPF_STX:
			if (f->k >= BPF_MEMWORDS)
				return SECCOMP_RET_KILL_PROCESS;
			m.memory[f->k] = BPF_CLASS(f->code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			m.a = operate(BPF_OP(f->code), m.a, operand);
			break;
		case BPF_JMP: /* forwards only */
			i += BPF_OP(f->code) == BPF_JA ? f->k : compare(BPF_OP(f->code), m.a, operand) ? f->jt : f->jf;
			break;
		case BPF_MISC:
			if (BPF_MISCOP(f->code) == BPF_TAX)
				m.x = m.a;
			else
				m.a = m.x;
			break;
		case BPF_RET:
			return BPF_RVAL(f->code) == BPF_A ? m.a : f->k;
		}
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* An error is none for us: the library, or the agent, then does not come up. */
static bool is_harmless(uint32_t action)
{
	action &= SECCOMP_RET_ACTION_FULL;
	return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG || action == SECCOMP_RET_ERRNO;
}

/* The name of a call that a filter would not let through, or NULL. */
static const char *forbidden_by(const struct sock_filter *code, size_t n)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		struct seccomp_data data = { .nr = needed[i].nr,
					     .arch = AUDIT_ARCH_X86_64,
					     .instruction_pointer = SOME_ADDRESS };

		memcpy(data.args, needed[i].args, sizeof(data.args));
		if (!is_harmless(run(code, n, &data)))
			return needed[i].name;
	}
	return NULL;
}

int inject_filter__check(pid_t tid, const char **call)
{
	*call = NULL;
	for (long i = 0; i < FILTERS_MAX; i++) {
		long n = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i, NULL);
		struct sock_filter *code;

		if (n < 0)
			return i && errno == ENOENT ? 0 : -errno;
		code = calloc((size_t)n + 1, sizeof(*code));
		if (!code)
			return -ENOMEM;
		if (n > BPF_MAXINSNS || ptrace(PTRACE_SECCOMP_GET_FILTER, tid, (void *)i, code) != n)
			n = -1;
		else
			*call = forbidden_by(code, (size_t)n);
		free(code);
		if (n < 0)
			return -EIO;
		if (*call)
			return -EACCES;
	}
	return -E2BIG;
}
