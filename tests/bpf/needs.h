/* needs: what all tests of BPF programs need of the machine. */
#ifndef PYLU_TESTS_BPF_NEEDS_H
#define PYLU_TESTS_BPF_NEEDS_H

#include <stdbool.h>
#include <unistd.h>

#include "check.h"

/* Whether BPF programs can be loaded here at all; if not, the reason has been said. */
static inline bool needs_met(void)
{
	if (geteuid() != 0) {
		CHECK_SKIP("loading BPF programs needs root");
		return false;
	}
	if (access("/sys/kernel/btf/vmlinux", R_OK) != 0) {
		CHECK_SKIP("this kernel has no BTF (/sys/kernel/btf/vmlinux)");
		return false;
	}
	return true;
}

#endif
