/*
 * mem: read-only access to the memory of a target. The only place where another process's memory is touched.
 *
 * No ptrace attach, nothing is stopped, nothing is written. What is read may change while it is read: callers check
 * what they get (see pyobj). All addresses are the target's.
 */
#ifndef PYLU_MEM_H
#define PYLU_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mem;

/* Opens the memory of process `pid`. 0, -ESRCH (no such process), not reported, or -ENOMEM, reported. Close with
 * mem__close. */
int mem__open(pid_t pid, struct mem **out);

/* A window onto bytes of our own, for unit tests and fuzzers: address `base` is buf[0]. `buf` must outlive it. */
int mem__open_buffer(uint64_t base, const void *buf, size_t len, struct mem **out);

void mem__close(struct mem *m);

/* Reads exactly `len` bytes (at most 16 MiB). 0, or -errno, not reported: -EFAULT unreadable, -ESRCH process gone,
 * -EPERM not permitted, -E2BIG. On failure the contents of `buf` are undefined. */
int mem__read(struct mem *m, uint64_t addr, void *buf, size_t len);

/* One little-endian word of 8, 4, 2 or 1 bytes. Same returns as mem__read. */
int mem__read_u64(struct mem *m, uint64_t addr, uint64_t *out);
int mem__read_u32(struct mem *m, uint64_t addr, uint32_t *out);
int mem__read_u8(struct mem *m, uint64_t addr, uint8_t *out);

/* A NUL-terminated string of at most `size - 1` bytes; longer ones are cut and still terminated. Same returns. */
int mem__read_string(struct mem *m, uint64_t addr, char *buf, size_t size);

#endif
