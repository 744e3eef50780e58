/*
 * probe: attached to two instructions of our own, one that the kernel emulates and one that it single-steps, probes
 * count every call, change no result, and leave the text as the file has it: when they are detached, and when the
 * process that had attached them is killed, while another thread keeps calling. A counter that goes with a probe is not 0
 * just as long, and in the probed process only.
 */
#include "probe.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "elf.h"
#include "needs.h"
#include "skel.h"

#define CALLS 1000
#define BREAKPOINT 0xcc
#define WAIT_MS 10000

/* Adds 1 to its argument. */
uint64_t check_site(uint64_t n);
extern const char check_site_stepped[];
asm(".text\n"
    ".globl check_site, check_site_stepped\n"
    "check_site:\n"
    "	nop\n"
    "check_site_stepped:\n"
    "	lea 1(%rdi), %rax\n"
    "	ret\n");

/* As a static probe has it: private, writable memory of the file. */
static volatile uint16_t counters[2] __attribute__((section(".probes,\"aw\",@progbits#")));

static const void *const code[] = { (const void *)check_site, check_site_stepped };
extern const char __executable_start[]; /* the linker's */
static uint64_t offsets[2], counter_offset;

static uint8_t byte_at(const char *path, uint64_t offset)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t byte = 0;

	CHECK(pread(fd, &byte, 1, (off_t)offset) == 1);
	close(fd);
	return byte;
}

/* How many of the two instructions begin with a breakpoint now, and whether the others are as the file has them. */
static int breakpoints(void)
{
	int n = 0;

	for (int i = 0; i < 2; i++) {
		uint8_t mine = byte_at("/proc/self/mem", (uint64_t)(uintptr_t)code[i]);

		if (mine == BREAKPOINT)
			n++;
		else
			CHECK_EQ(mine, byte_at("/proc/self/exe", offsets[i]));
	}
	return n;
}

/* The kernel may take breakpoints out a little later than it closes what held them. */
static bool wait_clean(void)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < WAIT_MS; i++) {
		if (breakpoints() == 0)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

/* Returns how many of the calls gave a wrong result. */
static unsigned call(void)
{
	unsigned wrong = 0;

	for (uint64_t i = 0; i < CALLS; i++)
		wrong += check_site(i) != i + 1;
	return wrong;
}

/* The program that does nothing, loaded; the kernel itself counts its runs. */
static struct pylu *load(bool multi)
{
	struct pylu *skel = pylu__open();
	struct bpf_program *prog;

	if (!CHECK(skel != NULL))
		return NULL;
	bpf_object__for_each_program(prog, skel->obj) bpf_program__set_autoload(prog, prog == skel->progs.empty);
	bpf_program__set_expected_attach_type(skel->progs.empty, multi ? PROBE_ATTACH_TYPE_MULTI : 0);
	if (CHECK_EQ(pylu__load(skel), 0))
		return skel;
	pylu__destroy(skel);
	return NULL;
}

static int attach(struct pylu *skel, pid_t pid, bool multi, struct probe_links **links)
{
	const struct probe_point points[] = { { .file_offset = offsets[0], .cookie = 1 },
					      { .file_offset = offsets[1], .cookie = 2 } };

	return probe_links__attach("/proc/self/exe", pid, skel->progs.empty, points, 2, multi, links);
}

static uint64_t runs(const struct pylu *skel)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	CHECK_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(skel->progs.empty), &info, &size), 0);
	return info.run_cnt;
}

static void test_counts(bool multi)
{
	struct probe_links *links = NULL;
	struct pylu *skel = load(multi);

	if (!skel)
		return;
	CHECK_EQ(breakpoints(), 0);
	CHECK_EQ(call(), 0);
	CHECK_EQ(runs(skel), 0);
	if (CHECK_EQ(attach(skel, getpid(), multi, &links), 0)) {
		CHECK_EQ(breakpoints(), 2);
		CHECK_EQ(call(), 0);
		CHECK_EQ(runs(skel), 2 * CALLS);
		probe_links__free(links);
	}
	CHECK(wait_clean());
	CHECK_EQ(call(), 0);
	CHECK_EQ(runs(skel), 2 * CALLS);
	pylu__destroy(skel);
}

/* A probe for another process leaves our text alone. */
static void test_filter(bool multi)
{
	struct probe_links *links = NULL;
	struct pylu *skel = load(multi);
	pid_t other = fork();

	if (other == 0) {
		pause();
		_exit(0);
	}
	if (skel && CHECK_EQ(attach(skel, other, multi, &links), 0)) {
		CHECK_EQ(breakpoints(), 0);
		CHECK_EQ(call(), 0);
		CHECK_EQ(runs(skel), 0);
	}
	probe_links__free(links);
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	pylu__destroy(skel);
}

/* Somebody's probes for all processes must not show in the file that we read to find our own sites. */
static void test_file_view(bool multi)
{
	struct probe_links *links = NULL;
	struct pylu *skel = load(multi);
	struct elf_file *elf = NULL;
	const uint8_t *bytes;
	uint64_t base;

	if (skel && CHECK_EQ(elf_file__open("/proc/self/exe", &elf), 0) &&
	    CHECK_EQ(attach(skel, 0, multi, &links), 0)) {
		base = elf_file__base(elf);
		CHECK_EQ(breakpoints(), 2);
		for (int i = 0; i < 2; i++) {
			uint64_t addr = (uint64_t)((const char *)code[i] - __executable_start) + base;
			size_t len = 1;

			bytes = elf_file__at(elf, addr, &len);
			if (CHECK(bytes != NULL))
				CHECK_EQ(*bytes, byte_at("/proc/self/exe", offsets[i]));
		}
	}
	probe_links__free(links);
	elf_file__close(elf);
	CHECK(wait_clean());
	pylu__destroy(skel);
}

/* The first counter in another process that runs our file. */
static uint16_t counter_of(pid_t pid)
{
	uint16_t value = UINT16_MAX;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(fd, &value, sizeof(value), (off_t)(uintptr_t)&counters[0]) != sizeof(value))
		value = UINT16_MAX;
	close(fd);
	return value;
}

/* The kernel may take it back a little later than it closes what held it, as it does breakpoints. */
static bool wait_uncounted(pid_t pid)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < WAIT_MS; i++) {
		if (counter_of(pid) == 0)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static int attach_counted(struct pylu *skel, pid_t pid, bool multi, struct probe_links **links)
{
	const struct probe_point points[] = { { .file_offset = offsets[0], .ref_ctr_offset = counter_offset },
					      { .file_offset = offsets[1] } };

	return probe_links__attach("/proc/self/exe", pid, skel->progs.empty, points, 2, multi, links);
}

static void test_counter(bool multi)
{
	struct probe_links *links = NULL, *others = NULL;
	struct pylu *skel = load(multi);
	int status;
	pid_t child;

	CHECK(probe_counters_supported(multi));
	CHECK_EQ(counters[0], 0);
	if (skel && CHECK_EQ(attach_counted(skel, getpid(), multi, &links), 0)) {
		CHECK_EQ(counters[0], 1);
		CHECK_EQ(counters[1], 0);
		child = fork();
		if (child == 0) {		/* the counter in its copy of our memory is taken back too */
			close_range(3, ~0U, 0); /* what holds the probes */
			pause();
			_exit(1);
		}
		CHECK_EQ(call(), 0);
		CHECK_EQ(runs(skel), 2 * CALLS);
		probe_links__free(links);
		CHECK(wait_uncounted(getpid()));
		CHECK(wait_uncounted(child));
		if (CHECK_EQ(attach_counted(skel, child, multi, &others), 0)) {
			CHECK_EQ(counters[0], 0);
			CHECK_EQ(counter_of(child), 1);
			probe_links__free(others);
		}
		CHECK(wait_uncounted(child));
		kill(child, SIGKILL);
		waitpid(child, &status, 0);
		CHECK(WIFSIGNALED(status));
	}
	CHECK(wait_clean());
	pylu__destroy(skel);
}

static volatile bool stop;

static void *call_on(void *arg)
{
	unsigned *wrong = arg;

	while (!stop)
		*wrong += call();
	return NULL;
}

/* In a process of its own: attaches to its parent, says so, and waits to be killed. */
static void attacher(bool multi, int ready)
{
	struct probe_links *links = NULL;
	struct pylu *skel = load(multi);

	if (!skel || attach_counted(skel, getppid(), multi, &links) || write(ready, "!", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void test_killed(bool multi)
{
	int ready[2], status = 0;
	unsigned wrong = 0;
	pthread_t thread;
	pid_t pid;
	char c;

	if (!CHECK_EQ(pipe(ready), 0))
		return;
	pid = fork();
	if (pid == 0)
		attacher(multi, ready[1]);
	close(ready[1]);
	stop = false;
	if (CHECK_EQ(pthread_create(&thread, NULL, call_on, &wrong), 0)) {
		CHECK(read(ready[0], &c, 1) == 1);
		CHECK_EQ(breakpoints(), 2);
		CHECK_EQ(counters[0], 1);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		CHECK(WIFSIGNALED(status));
		CHECK(wait_clean());
		CHECK(wait_uncounted(getpid()));
		stop = true;
		pthread_join(thread, NULL);
		CHECK_EQ(wrong, 0);
	}
	close(ready[0]);
	CHECK_EQ(call(), 0);
}

static void test_ways(bool multi)
{
	test_counts(multi);
	test_filter(multi);
	test_file_view(multi);
	test_counter(multi);
	test_killed(multi);
}

static int print_errors(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, args) : 0;
}

int main(void)
{
	int stats;

	if (!needs_met())
		return check_done();
	libbpf_set_print(print_errors);
	for (int i = 0; i < 2; i++)
		if (!CHECK_EQ(probe_self_offset(code[i], &offsets[i]), 0))
			return check_done();
	if (!CHECK_EQ(probe_self_offset((const void *)counters, &counter_offset), 0))
		return check_done();
	stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	CHECK(stats >= 0);
	test_ways(false);
	if (probe_multi_supported())
		test_ways(true);
	else
		CHECK_SKIP("uprobe_multi: this kernel has no such links (they came with 6.6)");
	close(stats);
	return check_done();
}
