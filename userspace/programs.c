/* programs: see programs.h. */
#include "programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "probe.h"
#include "skel.h"

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG)
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = 0;
	diag_debug("%s", line);
	return 0;
}

/* Opens the programs, not loaded yet. 0, or a code that was reported. */
static int open_programs(struct pylu **out)
{
	libbpf_set_print(print_libbpf);
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return diag_error(-DIAG_NO_KERNEL, "this kernel has no BTF (/sys/kernel/btf/vmlinux)");
	*out = pylu__open();
	return *out ? 0 : diag_error(-errno, "cannot open the BPF programs: %s", strerror(errno));
}

static int load_programs(struct pylu *skel)
{
	int err = pylu__load(skel);

	if (err == -EPERM || err == -EACCES)
		return diag_error(-DIAG_NO_CAPABILITY, "not permitted to load BPF programs");
	if (err)
		return diag_error(-DIAG_NO_KERNEL, "the kernel refused the BPF programs: %s", strerror(-err));
	return 0;
}

/* What is not to be used takes no memory. */
static void leave_out_events(struct pylu *skel)
{
	bpf_map__set_max_entries(skel->maps.seen_events, (uint32_t)sysconf(_SC_PAGESIZE));
	bpf_map__set_max_entries(skel->maps.seen_scratch, 1);
	bpf_map__set_max_entries(skel->maps.trace_funcs, 1);
	bpf_map__set_max_entries(skel->maps.trace_early, 1);
}

/* Which programs a kind of session needs. */
static bool is_needed(const struct pylu *skel, const struct bpf_program *prog, enum programs_kind kind)
{
	if (kind == PROGRAMS_WATCH)
		return prog == skel->progs.watch;
	return prog != skel->progs.watch && (prog != skel->progs.handler || kind == PROGRAMS_HANDLERS);
}

int programs__load(enum programs_kind kind, struct pylu **out, bool *multi)
{
	struct bpf_program *prog;
	int err;

	*out = NULL;
	*multi = false;
	err = open_programs(out);
	if (err)
		return err;
	*multi = kind != PROGRAMS_WATCH && probe_multi_supported();
	bpf_object__for_each_program(prog, (*out)->obj)
	{
		bpf_program__set_autoload(prog, is_needed(*out, prog, kind));
		if (*multi && bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_expected_attach_type(prog, PROBE_ATTACH_TYPE_MULTI);
	}
	(*out)->rodata->may_trace = kind == PROGRAMS_TRACE;
	if (kind == PROGRAMS_COUNT)
		leave_out_events(*out);
	return load_programs(*out);
}

int programs__attach_scheduler(struct pylu *skel, bool forks)
{
	int err;

	skel->links.proc_exec = bpf_program__attach(skel->progs.proc_exec);
	err = (int)libbpf_get_error(skel->links.proc_exec);
	if (!err) {
		skel->links.proc_exit = bpf_program__attach(skel->progs.proc_exit);
		err = (int)libbpf_get_error(skel->links.proc_exit);
	}
	if (!err && forks) {
		skel->links.proc_fork = bpf_program__attach(skel->progs.proc_fork);
		err = (int)libbpf_get_error(skel->links.proc_fork);
	}
	if (err == -EPERM || err == -EACCES)
		return diag_error(-DIAG_NO_CAPABILITY, "not permitted to attach to the scheduler's tracepoints");
	if (err)
		return diag_error(err, "cannot attach to the scheduler's tracepoints: %s", strerror(-err));
	return 0;
}
