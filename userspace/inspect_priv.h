/* inspect_priv: what inspect's own files share. */
#ifndef PYLU_INSPECT_PRIV_H
#define PYLU_INSPECT_PRIV_H

#include "clock_ns.h"
#include "inspect.h"
#include "places.h"
#include "skel.h"

struct cond;
struct layout;
struct pycode;
struct pyobj_reader;
struct redact;
struct ring_buffer;
struct seen_decoder;
struct source;
struct target;
struct probe_links;
struct site_handlers;
struct watch_set;

#define INSPECT_SLOT 1 /* the process's, in the programs */

/* An operand of the programs: a variable by its name. */
struct inspect_operand {
	char *name; /* owned */
};

/* Lines that are watched together. */
struct inspect_group {
	uint16_t places[WIRE_MAX_PLACES];
	size_t nplaces;
	uint64_t live_ns; /* for how long so far */
};

/* A process that events come from. */
struct inspect_process {
	pid_t pid;
	struct target *target; /* owned, as the others; NULL of the one that was named: the session has it */
	struct pyobj_reader *reader;
	struct seen_decoder *decoder; /* NULL: it was gone before it could be looked at */
};

struct inspect {
	struct inspect_options opts;
	struct target *target; /* owned, as all below */
	struct pyobj_reader *reader;
	const struct layout *layout; /* the reader's */
	struct redact *redact;
	struct cond *cond;
	struct pylu *skel;
	struct ring_buffer *ring;
	struct inspect_process *processes;
	size_t nprocesses;
	struct watch_set *watch;
	struct source *source;

	struct pycode *code;
	char *name; /* "module.qualname" */
	struct places_set *places;
	size_t *group_of; /* of each window, or SIZE_MAX: none, it needs too many places */
	struct inspect_group *groups;
	size_t ngroups, current;

	struct site_handlers *handlers; /* NULL: hardware watchpoints */
	struct probe_links *links, *cost_links;
	bool multi, limited; /* uprobe_multi links; a probe may be limited to a process */

	struct wire_operand wire_operands[WIRE_MAX_OPERANDS];
	struct wire_window wire_windows[WIRE_MAX_WINDOWS];
	u16 window_operands[WIRE_MAX_OPERANDS];
	struct wire_cond wire_cond;
	struct inspect_operand operands[WIRE_MAX_OPERANDS];
	size_t noperands;
	size_t nwindow_operands;
	uint16_t cond_operands[2 * WIRE_MAX_TESTS];
	size_t ncond_operands;

	struct seen_header header;
	char *watched; /* header.watched */
	struct inspect_line *lines;
	uint64_t live_ns, total_ns, turn_ns, turn_begin_ns; /* CLOCK_MONOTONIC; lengths */
	uint64_t last_check_ns;
	int64_t realtime_ns; /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	uint64_t shown, unmatched_here, lost_here, unreadable;
	double cost_ns, stepped_ns;
	int err; /* that ended the session from within an event */
	bool live, stopped;
	const char *ended;
};

/* inspect_find.c: the one function that `opts.function` names, into s->name and s->code. 0, or a code that was reported. */
int inspect_find(struct inspect *s);

/* inspect_plan.c: which lines, which places, which variables, and by which means. 0, or a code that was reported. */
int inspect_plan(struct inspect *s);
/* Whether the instruction at a place may run as a part of the one before it, unseen, or seen twice: no place may be there. */
bool inspect_hidden(const struct inspect *s, uint32_t offset);
/* Makes the plan known to the programs. */
void inspect_fill(struct inspect *s);
/* A sentence on what cannot be watched, or not all the time, or at which cost; *out is malloc'ed or NULL: nothing to say.
 * 0 or -ENOMEM. */
int inspect_describe(const struct inspect *s, char **out);
void inspect_plan_free(struct inspect *s);

/* inspect_handlers.c: probes on the opcode handlers that execute the places. 0, or a code that was reported. */
int inspect_handlers_find(struct inspect *s);
int inspect_handlers_measure(struct inspect *s);
int inspect_handlers_attach(struct inspect *s);
void inspect_handlers_free(struct inspect *s);

/* What it means to come from each place of the group, or from nowhere known, to each of its places. */
void inspect_fill_steps(struct inspect *s, const struct inspect_group *g);
/* The programs record, or do not; the time in between is counted. */
void inspect_set_live(struct inspect *s, bool live);

/* inspect_event.c: one event, out of the ring buffer. 0, or a code that was reported. */
int inspect_event(struct inspect *s, const struct wire_event_seen *record);
void inspect_events_free(struct inspect *s);

/* inspect_turn.c: the watchpoints, by turns where there are more than four. 0, or a code that was reported. */
int inspect_turn_begin(struct inspect *s, size_t group);
void inspect_turn_end(struct inspect *s);
/* What a hit costs, in ns, measured on ourselves. 0, or a code that was reported. */
int inspect_measure(struct inspect *s);

#endif
