/*
 * owner: which process a ring belongs to: when it began, told in a way that both sides understand. No Python.h here.
 */
#ifndef PYLU_OWNER_H
#define PYLU_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/*
 * State (a letter) and start time of the process with this folder ("/proc/self", "/proc/4711"): fields 3 and 22 of its stat,
 * proc_pid_stat(5). The time is in clock ticks since the boot, without what the reader's own time namespace adds
 * (time_namespaces(7)), so that it may differ by one between readers. 0 or -errno.
 */
int owner__read(const char *folder, char *state, uint64_t *start_time);

/* Whether two start times are those of one process. 0 is unknown, and may be anybody's. */
bool owner__same(uint64_t start_time, uint64_t other);

#endif
