/*
 * watch: hardware watchpoints on a few bytes of a process's memory, in all of its threads, that run a BPF program when a byte
 * is read. Nothing is written, and only who reads these bytes pays.
 *
 * Each is a perf event of type breakpoint in each thread; threads that are started later inherit it, forked children do not
 * (inherit_thread). A processor has four debug registers, which all users of a thread share.
 */
#ifndef PYLU_WATCH_H
#define PYLU_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WATCH_MAX 4

struct watch_set;

/* Watches one byte at each of `n` addresses (at most WATCH_MAX) in every thread of process `pid`; `prog_fd` is a program of
 * type perf_event. With `children` also in processes that are forked from now on. 0, or a code that was reported: -ENOSPC the debug registers are in use, -DIAG_NO_CAPABILITY, -DIAG_GONE,
 * -DIAG_NO_KERNEL ... Then nothing is watched. */
int watch_set__attach(pid_t pid, const uint64_t *addrs, size_t n, int prog_fd, bool children, struct watch_set **out);

/* Ends it. NULL is fine. */
void watch_set__free(struct watch_set *set);

/* Threads in which it was set itself. */
size_t watch_set__threads(const struct watch_set *set);

#endif
