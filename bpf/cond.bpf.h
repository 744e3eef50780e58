/*
 * cond: decides the session's condition, as far as that can be done in the kernel.
 */
#ifndef PYLU_COND_BPF_H
#define PYLU_COND_BPF_H

#include "operand.bpf.h"

enum cond_truth {
	COND_FALSE,
	COND_TRUE,
	COND_UNDECIDED,
};

/* enum cond_truth of the condition for what `frame` has in its variables now. */
static __always_inline int seen_cond(const struct wire_value_layout *v, u32 slot, u64 frame)
{
	return cond.nsteps ? COND_UNDECIDED : COND_TRUE;
}

#endif
