/*
 * probe: attaches BPF programs to instructions of a file. Prefers one uprobe_multi link for all sites
 * (kernel 6.6 on: cheaper per hit and quick to detach) and falls back to one perf event for each site. Knows neither
 * Python nor the maps.
 */
#ifndef PYLU_PROBE_H
#define PYLU_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bpf_program;

/* BPF_TRACE_UPROBE_MULTI of include/uapi/linux/bpf.h; older libbpf headers lack it. */
#define PROBE_ATTACH_TYPE_MULTI 48

struct probe_point {
	uint64_t file_offset;
	uint64_t cookie;
	uint64_t
		ref_ctr_offset; /* in the file, of a 16-bit counter that the kernel increments in the memory of each process
				    that it probes, while it does; 0: none */
};

struct probe_links;

/* Whether the running kernel has uprobe_multi links. Tried once, on an instruction of our own. */
bool probe_multi_supported(void);

/* Whether it has counters (ref_ctr_offset): with uprobe_multi links (`multi`) always, else from 4.20 on. */
bool probe_counters_supported(bool multi);

/*
 * Attaches a program to every point in the file `path`, for process `pid` only or, with 0, for all that map the file. With `multi`
 * the program must have been loaded for PROBE_ATTACH_TYPE_MULTI. 0, or a code that was reported; nothing stays
 * attached then.
 */
int probe_links__attach(const char *path, pid_t pid, struct bpf_program *prog, const struct probe_point *points,
			size_t n, bool multi, struct probe_links **out);

/* The file offset of code of our own executable, /proc/self/exe. 0, or a negative code. */
int probe_self_offset(const void *code, uint64_t *file_offset);

/* Detaches all. Closing the file descriptors does it, so it also happens when we are killed. */
void probe_links__free(struct probe_links *links);

/* The same for several at once: each waits for grace periods of the kernel, so they wait together. */
void probe_links__free_all(struct probe_links **links, size_t n);

#endif
