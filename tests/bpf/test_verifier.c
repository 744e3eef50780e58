/*
 * verifier: every program of the object passes the verifier of the running kernel, each alone and all together, loaded
 * for either way of attaching.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "needs.h"
#include "probe.h"
#include "skel.h"

/* What libbpf says, the verifier's log included; shown when a program is refused. */
static char said[1 << 16];
static size_t nsaid;

static int collect(enum libbpf_print_level level, const char *fmt, va_list args)
{
	int n = level == LIBBPF_DEBUG ? 0 : vsnprintf(said + nsaid, sizeof(said) - nsaid, fmt, args);

	nsaid += n < 0 ? 0 : (size_t)n < sizeof(said) - nsaid ? (size_t)n : sizeof(said) - nsaid - 1;
	return 0;
}

static void set_attach_type(struct pylu *skel, unsigned type)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, skel->obj) if (bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
		bpf_program__set_expected_attach_type(prog, type);
}

/* How many instructions the verifier walked: what may grow towards its limit of a million. */
static unsigned verified(const struct bpf_program *prog)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size) ? 0 : info.verified_insns;
}

/* Loads the program called `name`, or with NULL all of them. */
static void load(const char *name, unsigned type)
{
	struct pylu *skel = pylu__open();
	struct bpf_program *prog;
	int err;

	if (!CHECK(skel != NULL))
		return;
	nsaid = 0;
	said[0] = 0;
	set_attach_type(skel, type);
	skel->rodata->may_trace = 1;
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, !name || !strcmp(bpf_program__name(prog), name));
	err = pylu__load(skel);
	if (!CHECK_EQ(err, 0))
		fprintf(stderr, "%s, attach type %u: %s\n%s\n", name ? name : "all programs", type, strerror(-err),
			said);
	else if (name)
		printf("%-12s attach type %2u: %u instructions verified\n", name, type,
		       verified(bpf_object__find_program_by_name(skel->obj, name)));
	pylu__destroy(skel);
}

static void load_each(unsigned type)
{
	struct pylu *skel = pylu__open();
	struct bpf_program *prog;
	unsigned n = 0;

	if (!CHECK(skel != NULL))
		return;
	bpf_object__for_each_program(prog, skel->obj)
	{
		load(bpf_program__name(prog), type);
		n++;
	}
	CHECK(n > 0);
	load(NULL, type);
	pylu__destroy(skel);
}

int main(void)
{
	if (!needs_met())
		return check_done();
	libbpf_set_print(collect);
	load_each(0);
	if (probe_multi_supported())
		load_each(PROBE_ATTACH_TYPE_MULTI);
	else
		CHECK_SKIP("programs for uprobe_multi: this kernel has no such links (they came with 6.6)");
	return check_done();
}
