/* mem: reads of ourselves, of a forked child, of windows; edges of pages, sizes, addresses. */
#include "diag.h"
#include "mem.h"
#include "check.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void quiet(enum diag_level level, const char *message, void *ctx)
{
	(void)level;
	(void)message;
	(*(int *)ctx)++;
}

static int messages;

static uint64_t addr_of(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

/* One readable page, and behind it one that is not there. */
static char *page_before_hole(size_t *size)
{
	char *p;

	*size = (size_t)sysconf(_SC_PAGESIZE);
	p = mmap(NULL, 2 * *size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		abort();
	munmap(p + *size, *size);
	return p;
}

static void test_self(void)
{
	uint64_t word = 0x1122334455667788, word_seen = 0;
	uint32_t half_seen = 0;
	uint8_t byte_seen = 0;
	struct mem *m;

	if (!CHECK_EQ(mem__open(getpid(), &m), 0))
		return;
	CHECK_EQ(mem__read_u64(m, addr_of(&word), &word_seen), 0);
	CHECK_EQ(word_seen, word);
	CHECK_EQ(mem__read_u32(m, addr_of(&word), &half_seen), 0);
	CHECK_EQ(half_seen, 0x55667788);
	CHECK_EQ(mem__read_u8(m, addr_of(&word) + 7, &byte_seen), 0);
	CHECK_EQ(byte_seen, 0x11);
	CHECK_EQ(mem__read(m, 0, &word_seen, 0), 0);
	CHECK_EQ(mem__read_u64(m, 0, &word_seen), -EFAULT);
	CHECK_EQ(mem__read_u64(m, UINT64_MAX - 3, &word_seen), -EFAULT);
	CHECK_EQ(mem__read_u64(m, UINT64_C(1) << 63, &word_seen), -EFAULT);
	CHECK_EQ(mem__read(m, addr_of(&word), &word_seen, (16u << 20) + 1), -E2BIG);
	mem__close(m);
}

static void test_page_edge(void)
{
	size_t size;
	char *p = page_before_hole(&size);
	char buf[600];
	struct mem *m;

	if (!CHECK_EQ(mem__open(getpid(), &m), 0))
		return;
	memset(p, 'x', size);
	CHECK_EQ(mem__read(m, addr_of(p) + size - 8, buf, 8), 0);
	CHECK_EQ(mem__read(m, addr_of(p) + size - 8, buf, 9), -EFAULT);
	/* No NUL before the hole: an error, unless the buffer is full first. */
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 300, buf, sizeof(buf)), -EFAULT);
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 300, buf, 301), 0);
	CHECK_EQ(strlen(buf), 300);
	memcpy(p + size - 6, "hello", 6);
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 6, buf, sizeof(buf)), 0);
	CHECK_STR_EQ(buf, "hello");
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 6, buf, 4), 0);
	CHECK_STR_EQ(buf, "hel");
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 6, buf, 1), 0);
	CHECK_STR_EQ(buf, "");
	CHECK_EQ(mem__read_string(m, addr_of(p) + size - 6, buf, 0), -EINVAL);
	CHECK_EQ(mem__read_string(m, addr_of(p) + size, buf, 10), -EFAULT);
	mem__close(m);
	munmap(p, size);
}

static void test_window(void)
{
	/* Its own allocation of just this size, so that a sanitizer sees any byte too many. */
	char *bytes = malloc(300);
	char buf[600];
	uint64_t word;
	struct mem *m;

	if (!bytes)
		abort();
	memset(bytes, 'y', 300);
	if (!CHECK_EQ(mem__open_buffer(0x1000, bytes, 300, &m), 0))
		return;
	CHECK_EQ(mem__read(m, 0x1000, buf, 300), 0);
	CHECK_EQ(mem__read(m, 0x1000, buf, 301), -EFAULT);
	CHECK_EQ(mem__read(m, 0xfff, buf, 1), -EFAULT);
	CHECK_EQ(mem__read(m, 0x1000 + 300, buf, 1), -EFAULT);
	CHECK_EQ(mem__read_u64(m, UINT64_MAX, &word), -EFAULT);
	CHECK_EQ(mem__read_string(m, 0x1001, buf, sizeof(buf)), -EFAULT);
	bytes[299] = '\0';
	CHECK_EQ(mem__read_string(m, 0x1001, buf, sizeof(buf)), 0);
	CHECK_EQ(strlen(buf), 298);
	CHECK_EQ(mem__read_string(m, 0x1000 + 300, buf, sizeof(buf)), -EFAULT);
	CHECK_EQ(mem__read_string(m, 0x10, buf, sizeof(buf)), -EFAULT);
	mem__close(m);
	free(bytes);
}

static void test_child(void)
{
	static volatile uint64_t value = 1;
	uint64_t seen = 0;
	struct mem *m;
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		value = 42;
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	if (CHECK_EQ(mem__open(pid, &m), 0)) {
		CHECK_EQ(mem__read_u64(m, addr_of((const void *)&value), &seen), 0);
		CHECK_EQ(seen, 42);
		CHECK_EQ(value, 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		CHECK_EQ(mem__read_u64(m, addr_of((const void *)&value), &seen), -ESRCH);
		mem__close(m);
	}
	messages = 0;
	CHECK_EQ(mem__open(pid, &m), -ESRCH);
	CHECK(m == NULL);
	CHECK_EQ(mem__open(0, &m), -ESRCH);
	CHECK_EQ(mem__open(-1, &m), -ESRCH);
	CHECK_EQ(messages, 0);
	close(ready[0]);
	close(ready[1]);
}

int main(void)
{
	diag_set_callback(quiet, &messages);
	test_self();
	test_page_edge();
	test_window();
	test_child();
	return check_done();
}
