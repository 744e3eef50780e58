/*
 * cost: what one probe hit costs on this host, measured, not assumed: the product's own programs at instructions of our
 * own, fed with a frame of our own.
 */
#ifndef PYLU_COST_H
#define PYLU_COST_H

#include <stdbool.h>

#define COST_SITES 3 /* entries at the end of sites[] */

struct probe_links;
struct pylu;

struct cost {
	double ns_per_hit;	   /* of a matching function, on an instruction that the kernel emulates */
	double ns_per_dropped_hit; /* of one that does not match */
	double ns_per_stepped_hit; /* the same on an instruction that is single-stepped */
	struct probe_links
		*links;	    /* of the measurement: the caller's, who takes them out when there is time: it is slow */
	bool thread_filter; /* a probe for one process fires in all of its threads */
};

/* Measures with the loaded programs of `skel`, which must not be live; leaves its maps as they were, except that ids
 * were used up. 0, or a code that was reported (out->links is NULL then): -DIAG_FOREIGN_PIDS when the programs see other
 * process ids than we do. */
int cost__measure(struct pylu *skel, bool multi, struct cost *out);

#endif
