/*
 * places: where in a code object's bytecode its lines are entered and left, and which variables they use and define. Works on
 * a struct pycode alone; reads no process.
 */
#ifndef PYLU_PLACES_H
#define PYLU_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pycode.h"

#define PLACES_MAX 128	   /* of a set */
#define PLACES_WINDOWS 512 /* lines of a set */
#define PLACES_FEW 4	   /* as many a processor can watch at a time */

/* A variable by its name in the source: "a", "self.x". `attrs` splits what is behind the first dot. */
struct places_var {
	char *name; /* owned; the whole of it */
	bool global;
	uint16_t local; /* index into localsplus, where it is no global */
};

/* A selected line. */
struct places_window {
	uint32_t line;
	struct places_var *uses, *defs; /* each once, in the order of the code */
	size_t nuses, ndefs;
	uint16_t *places; /* indices of all places that have to be watched at the same time to see this line right */
	size_t nplaces;
};

struct places_flow;

struct places_set {
	uint32_t offsets[PLACES_MAX]; /* of the code units, in bytes from the first one */
	size_t nplaces;
	struct places_window *windows;
	size_t nwindows;
	/* For places.c only. */
	struct places_flow *flow;
	uint32_t units[PLACES_MAX]; /* indices of instructions */
	bool inside[PLACES_MAX];    /* a frame that is there is in its line, which is selected */
	bool mixed[PLACES_MAX];	    /* and may have come there without having entered it */
};

/* Which lines of the code object can be entered, ascending: those of which sys.settrace would tell. *lines is malloc'ed. 0,
 * -ENOMEM, -E2BIG: too much code. */
int places__lines(const struct pycode *code, uint32_t **lines, size_t *n);

/* Every variable name, plain and dotted, that the code uses or defines; malloc'ed strings in a malloc'ed array. 0 or
 * -ENOMEM. */
int places__names(const struct pycode *code, char ***names, size_t *n);

/* The places at which the given lines (nlines 0: all) are entered and left. With `pauses` also those at which a generator
 * stands still within one: what is to be timed needs them. `code` need not outlive the set. 0; -ENOMEM; -E2BIG: more than
 * PLACES_MAX, or than PLACES_WINDOWS, or too much code; -ENOENT: a line that cannot be entered. */
int places_set__new(const struct pycode *code, const uint32_t *lines, size_t nlines, bool pauses,
		    struct places_set **out);
void places_set__free(struct places_set *set);

/* What it means that a frame comes to place `to` after place `from` with no other place OF `live` between (`from` -1: nothing
 * is known of the frame): the line that is left (or 0), and the line that is entered (or 0). `live` has one bool a place: only
 * those are being watched. */
struct places_step {
	uint32_t leaves, enters;
	bool pauses;  /* the frame may stand still at `to`, within a line */
	bool resumes; /* it did at `from`, and goes on now; if it leaves the line, then after that */
	bool ends;    /* the frame returns at `to`: a line that is entered there is left there too */
	bool unsure;  /* cannot be told: nothing may be reported of it */
};
struct places_step places_set__step(const struct places_set *set, const bool *live, int from, int to);

/* The same for all places that `from` can be followed by, in the time that one takes: out[to], PLACES_MAX of them. What
 * stands there for a place that is not live means nothing. */
void places_set__steps(const struct places_set *set, const bool *live, int from, struct places_step *out);

#endif
