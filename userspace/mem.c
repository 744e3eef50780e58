/*
 * mem: process_vm_readv on the target, or a window onto our own bytes.
 *
 * Owns the pid or the window, nothing else: no cache, so what is read is what the target holds at that moment. Does not
 * notice that a pid was reused: target__alive does.
 */
#include "mem.h"

#include "diag.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#define READ_MAX (16u << 20)
#define STRING_CHUNK 256 /* most names are shorter, and a chunk that divides the page size never crosses one */

struct mem {
	pid_t pid;	      /* 0 for a window */
	uint64_t base;	      /* the window's address in the target */
	const uint8_t *bytes; /* not owned */
	size_t len;
};

static int new_mem(struct mem **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : diag_error(-ENOMEM, "no memory for a view of the target's memory");
}

int mem__open(pid_t pid, struct mem **out)
{
	int err;

	*out = NULL;
	/* Zero and negative numbers would name process groups. EPERM means that it exists; the first read tells more. */
	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
		return -ESRCH;
	err = new_mem(out);
	if (!err)
		(*out)->pid = pid;
	return err;
}

int mem__open_buffer(uint64_t base, const void *buf, size_t len, struct mem **out)
{
	int err = new_mem(out);

	if (err)
		return err;
	(*out)->base = base;
	(*out)->bytes = buf;
	(*out)->len = len;
	return 0;
}

void mem__close(struct mem *m)
{
	free(m);
}

static int read_window(const struct mem *m, uint64_t addr, void *buf, size_t len)
{
	uint64_t offset = addr - m->base;

	if (addr < m->base || offset > m->len || len > m->len - offset)
		return -EFAULT;
	memcpy(buf, m->bytes + offset, len);
	return 0;
}

int mem__read(struct mem *m, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len };
	/* An address of the target, which we never follow ourselves. */
	struct iovec remote = { (void *)(uintptr_t)addr, len };
	ssize_t n;

	if (len > READ_MAX)
		return -E2BIG;
	if (len == 0)
		return 0;
	if (!m->pid)
		return read_window(m, addr, buf, len);
	n = process_vm_readv(m->pid, &local, 1, &remote, 1, 0);
	if (n < 0)
		return -errno;
	/* It stops without an error at the first page that is not there. */
	return (size_t)n == len ? 0 : -EFAULT;
}

int mem__read_u64(struct mem *m, uint64_t addr, uint64_t *out)
{
	return mem__read(m, addr, out, sizeof(*out));
}

int mem__read_u32(struct mem *m, uint64_t addr, uint32_t *out)
{
	return mem__read(m, addr, out, sizeof(*out));
}

int mem__read_u8(struct mem *m, uint64_t addr, uint8_t *out)
{
	return mem__read(m, addr, out, sizeof(*out));
}

int mem__read_string(struct mem *m, uint64_t addr, char *buf, size_t size)
{
	size_t done = 0, n, left;
	int err;

	if (size == 0)
		return -EINVAL;
	while (done < size - 1) {
		/* Up to the next multiple of the chunk: what lies behind the string's end may not be mapped. */
		n = STRING_CHUNK - (addr + done) % STRING_CHUNK;
		if (n > size - 1 - done)
			n = size - 1 - done;
		if (!m->pid && addr >= m->base && addr - m->base < m->len) {
			/* A window may end inside a chunk. */
			left = m->len - (addr - m->base);
			if (done < left && n > left - done)
				n = left - done;
		}
		err = mem__read(m, addr + done, buf + done, n);
		if (err)
			return err;
		if (memchr(buf + done, '\0', n))
			return 0;
		done += n;
	}
	buf[done] = '\0';
	return 0;
}
