/*
 * probe: see probe.h. uprobe_multi links are made with the raw system call, because Debian 12's libbpf (1.1) predates
 * them.
 */
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diag.h"
#include "elf.h"

#define PROBE_FREE_MAX 16 /* links that are taken out at the same time */
#define COUNTER_FORMAT "/sys/bus/event_source/devices/uprobe/format/ref_ctr_offset"

struct probe_links {
	int fd;			 /* uprobe_multi link, or -1 */
	struct bpf_link **links; /* perf events */
	size_t nlinks;
};

/* BPF_LINK_CREATE's part for uprobe_multi, include/uapi/linux/bpf.h of Linux 6.6. */
struct link_create_multi {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, uprobe_flags, pid, pad;
};

static int link_multi(int prog_fd, const char *path, pid_t pid, const uint64_t *offsets, const uint64_t *counters,
		      const uint64_t *cookies, size_t n)
{
	struct link_create_multi attr = {
		.prog_fd = (uint32_t)prog_fd,
		.attach_type = PROBE_ATTACH_TYPE_MULTI,
		.path = (uint64_t)(uintptr_t)path,
		.offsets = (uint64_t)(uintptr_t)offsets,
		.ref_ctr_offsets = (uint64_t)(uintptr_t)counters,
		.cookies = (uint64_t)(uintptr_t)cookies,
		.cnt = (uint32_t)n,
		.pid = (uint32_t)pid,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

/* What the trial is attached to. */
extern const char pylu_probe_trial[];
asm(".text\n"
    ".globl pylu_probe_trial\n"
    "pylu_probe_trial:\n"
    "	nop\n"
    "	ret\n");

extern const char __executable_start[]; /* the linker's */

int probe_self_offset(const void *code, uint64_t *file_offset)
{
	struct elf_file *elf;
	int err = elf_file__open("/proc/self/exe", &elf);

	if (err)
		return err;
	err = elf_file__file_offset(elf, (uint64_t)((const char *)code - __executable_start) + elf_file__base(elf),
				    file_offset);
	elf_file__close(elf);
	return err;
}

static bool try_multi(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = PROBE_ATTACH_TYPE_MULTI);
	uint64_t offset, cookie = 0;
	int prog, link = -1;

	if (probe_self_offset(pylu_probe_trial, &offset))
		return false;
	prog = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "pylu_trial", "GPL", insns, 2, &opts);
	if (prog < 0)
		return false;
	link = link_multi(prog, "/proc/self/exe", getpid(), &offset, NULL, &cookie, 1);
	if (link >= 0)
		close(link);
	close(prog);
	return link >= 0;
}

bool probe_multi_supported(void)
{
	static int known = -1;

	if (known < 0)
		known = try_multi();
	return known;
}

bool probe_counters_supported(bool multi)
{
	return multi || !access(COUNTER_FORMAT, F_OK);
}

static bool have_counters(const struct probe_point *points, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (points[i].ref_ctr_offset)
			return true;
	return false;
}

static int attach_multi(struct probe_links *links, const char *path, pid_t pid, struct bpf_program *prog,
			const struct probe_point *points, size_t n)
{
	uint64_t *offsets = calloc(3 * n, sizeof(*offsets)), *counters = offsets + n, *cookies = counters + n;

	if (!offsets)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		offsets[i] = points[i].file_offset;
		counters[i] = points[i].ref_ctr_offset;
		cookies[i] = points[i].cookie;
	}
	links->fd = link_multi(bpf_program__fd(prog), path, pid, offsets, have_counters(points, n) ? counters : NULL,
			       cookies, n);
	free(offsets);
	return links->fd < 0 ? links->fd : 0;
}

static int attach_perf(struct probe_links *links, const char *path, pid_t pid, struct bpf_program *prog,
		       const struct probe_point *points, size_t n)
{
	links->links = calloc(n, sizeof(struct bpf_link *));
	if (!links->links)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = points[i].cookie,
			    .ref_ctr_offset = points[i].ref_ctr_offset);
		struct bpf_link *link =
			bpf_program__attach_uprobe_opts(prog, pid ? pid : -1, path, points[i].file_offset, &opts);
		long err = libbpf_get_error(link);

		if (err)
			return (int)err;
		links->links[links->nlinks++] = link;
	}
	return 0;
}

int probe_links__attach(const char *path, pid_t pid, struct bpf_program *prog, const struct probe_point *points,
			size_t n, bool multi, struct probe_links **out)
{
	struct probe_links *links = calloc(1, sizeof(*links));
	int err;

	if (!links)
		return diag_error(-ENOMEM, "out of memory");
	links->fd = -1;
	err = multi ? attach_multi(links, path, pid, prog, points, n) : attach_perf(links, path, pid, prog, points, n);
	if (!err) {
		*out = links;
		return 0;
	}
	probe_links__free(links);
	if (err == -ESRCH)
		return diag_error(err, "process %d ended before it could be probed", (int)pid);
	if (err == -EINVAL && have_counters(points, n))
		return diag_error(
			err, "cannot probe %s: another tool's probe is at the same place, without the same counter",
			path);
	if (err == -EPERM || err == -EACCES)
		return diag_error(-DIAG_NO_CAPABILITY, "not permitted to probe %s", path);
	return diag_error(err, "cannot probe %s: %s", path, strerror(-err));
}

void probe_links__free(struct probe_links *links)
{
	if (!links)
		return;
	if (links->fd >= 0)
		close(links->fd);
	for (size_t i = 0; i < links->nlinks; i++)
		bpf_link__destroy(links->links[i]);
	free(links->links);
	free(links);
}

static void *free_one(void *links)
{
	probe_links__free(links);
	return NULL;
}

void probe_links__free_all(struct probe_links **links, size_t n)
{
	pthread_t threads[PROBE_FREE_MAX];
	size_t started = 0;

	for (; n > PROBE_FREE_MAX; n--)
		probe_links__free(links[n - 1]);
	while (started < n && !pthread_create(&threads[started], NULL, free_one, links[started]))
		started++;
	for (size_t i = started; i < n; i++)
		probe_links__free(links[i]);
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}
