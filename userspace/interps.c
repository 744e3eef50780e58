/* interps: see interps.h. */
#include "interps.h"

#include "layout.h"
#include "mem.h"
#include "target.h"

#define INTERPS_MAX 1024 /* a damaged list may have no end */

int interps_count(const struct target *t, const struct layout *layout, unsigned *n, unsigned *jit)
{
	uint64_t at;
	uint8_t on;
	int err = target__symbol(t, "_PyRuntime", &at);

	*n = *jit = 0;
	if (!err)
		err = mem__read_u64(t->mem, at + (uint64_t)layout->runtime_interp_head, &at);
	while (!err && at && *n < INTERPS_MAX) {
		++*n;
		if (layout->interp_jit != OFF_NONE && !mem__read_u8(t->mem, at + (uint64_t)layout->interp_jit, &on))
			*jit += on != 0;
		err = mem__read_u64(t->mem, at + (uint64_t)layout->interp_next, &at);
	}
	return err;
}
