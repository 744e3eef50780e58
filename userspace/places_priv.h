/*
 * places_priv: what places' own files share. Not for anybody else.
 */
#ifndef PYLU_PLACES_PRIV_H
#define PYLU_PLACES_PRIV_H

#include "places.h"

struct flow_edge {
	uint32_t to;
	bool event; /* whoever comes this way enters the line of `to` */
};

/*
 * What can run after what in a code object. Instructions by their index; index `n` is the start of a frame, before
 * anything of it has run.
 */
struct places_flow {
	uint32_t n;
	uint32_t *offset; /* of the first code unit: the one that is fetched on every arrival */
	uint32_t *line;
	uint16_t *traits; /* enum pycode_trait */
	bool *reached;	  /* it can run at all */
	bool *dies;	  /* a frame may end there without having returned */
	struct flow_edge *edges;
	uint32_t *first; /* of the edges of each index; those of index i end at first[i + 1] */
	size_t nedges;
};

/* 0, -ENOMEM, -E2BIG. */
int places_flow__new(const struct pycode *code, struct places_flow **out);
void places_flow__free(struct places_flow *flow);

/* How a place is reached from somewhere, with no other place between: bits. */
enum {
	BY_EVENT = 1, /* by a step that enters its line */
	BY_OTHER = 2,
};

/* Room for following the ways through a function. */
struct walk {
	const struct places_flow *flow;
	const bool *live; /* units at which a way ends */
	uint8_t *by;	  /* of each unit, BY_ bits */
	bool *seen;
	uint32_t *todo;
	bool ends; /* the frame may end on the way */
};

/* Nothing is copied; both must outlive it. 0 or -ENOMEM; to be freed in any case. */
int walk__init(struct walk *w, const struct places_flow *flow, const bool *live);
void walk__free(struct walk *w);

/* Forgets what was reached. */
void walk__clear(struct walk *w);

/* All that is reached from unit `from`, which may be live itself. */
void walk__from(struct walk *w, uint32_t from);

/* What is reached from anywhere that is not live. */
void walk__from_anywhere(struct walk *w);

/* The variables that the instructions of a line use and define. 0 or -ENOMEM. */
int places_vars(const struct pycode *code, const struct places_flow *flow, uint32_t line, struct places_window *out);

#endif
