/*
 * patch: a set of changes and its life: prepared, applied, leased, reverted. For the files patch*.c and resolve_answer.c.
 *
 * patch.c         the patches of this process, in order; which lies on which; what they do by themselves
 * patch_make.c    from PREPARE's request to a patch; patch_new.c makes its new functions and values
 * patch_apply.c   the change itself, and back
 * patch_commit.c, patch_revert.c, patch_list.c    the requests
 *
 * Only the agent's thread, with the GIL, uses them; patch_next_deadline and patch_count say for themselves.
 */
#ifndef PYLU_PATCH_H
#define PYLU_PATCH_H

#include "count.h"
#include "msg.h"
#include "py.h"
#include "resolve.h"
#include "swap.h"

#define TOKEN_SIZE 16
#define PREPARED_MAX 8 /* patches that are prepared and neither committed nor given up; the oldest is forgotten */
#define HISTORY_MAX 64 /* patches that were taken back and are still listed */
#define HISTORY_CHARS (8U << 20) /* that their sources may have together */

enum patch_state { PATCH_PREPARED, PATCH_LEASED, PATCH_APPLIED, PATCH_REVERTED, PATCH_EXPIRED };

enum change_kind { CHANGE_REDEFINE, CHANGE_ADD, CHANGE_SET };

struct change {
	enum change_kind kind;
	char *target, *module, *original; /* owned; the target as RESOLVE names it */
	uint64_t line, last_line;
	struct msg_out said;	/* NOTE and LAYER fields for PREPARE's answer */
	struct swap_item *item; /* redefine: one of the patch's */
	PyObject *code;		/* redefine: the old code that is looked for on stacks; new reference */
	bool nested;		/* it is a constant of the item's old code */
	PyObject *holder, *name, *value, *before; /* add and set: new references; `before` NULL: was absent */
};

struct patch {
	struct patch *next;
	uint64_t id; /* 0 until it is applied */
	uint8_t token[TOKEN_SIZE];
	enum patch_state state;
	struct change *changes;
	size_t n;
	struct swap_item *items; /* as many as there are functions to change */
	size_t n_items;
	PyObject *file, *source;		 /* texts */
	char *who, *command, *source_hash, *why; /* owned */
	struct counter *counter;
	bool counting, scan, force;
	uint64_t ttl_ns, lease_ns;	  /* 0: none */
	uint64_t ttl_until, lease_until;  /* 0: none; CLOCK_MONOTONIC */
	bool stuck;			  /* it could not be taken back: not tried again by itself */
	uint64_t applied_ns, reverted_ns; /* CLOCK_REALTIME */
};

/* patch.c */
struct patch *patch__first(void); /* the newest; ->next goes back in time */
struct patch *patch__by_id(uint64_t id);
struct patch *patch__by_token(const struct msg_in *request);
bool patch__is_on(const struct patch *p);
void patch__add(struct patch *p);
/* Writes down that it was applied, or that it was taken back. */
void patch__applied(struct patch *p, uint64_t now);
void patch__ended(struct patch *p, enum patch_state state, const char *why);
/* Takes p back, and writes it down. 0, or a code with the sentence put. */
int patch__end(struct patch *p, enum patch_state state, const char *why, struct msg_out *answer);
/* Whether both change the same function or name: then the newer lies on the older. */
bool patch__meet(const struct patch *p, const struct patch *q);
void patch__forget(struct patch *p);
/* Forgets what was taken back longest ago, when that is too much. Ends the life of pointers to such. */
void patch__trim(void);
uint64_t patch__clock(int clock); /* CLOCK_MONOTONIC or CLOCK_REALTIME, ns */

/* patch_make.c. Builds a patch from PREPARE's request. 0, or a code with the sentence put. */
int patch__make(const struct msg_in *request, struct patch **out, struct msg_out *answer);
void patch__free(struct patch *p);
/* Gives back the objects that are needed to apply it and take it back; what is listed stays. Finalisers may run. */
void patch__drop_objects(struct patch *p);

/* patch_new.c. A body's names, and what a change's maker makes of them. The functions return 0, a code with the sentence put, or MAKER_RAISED with the
 * exception set and `what` saying what failed. They are called under one time limit. */
#define MAKER_RAISED (-1)
struct maker {
	struct patch *p;
	PyObject *blob, *values; /* the body's names */
	struct msg_out *answer;
	const char *what;
};
PyObject *maker__item(PyObject *dict, const char *key); /* borrowed; NULL for absent and None */
int maker__run_body(struct maker *m);
int maker__function(struct maker *m, struct change *c, PyObject *change, const struct resolved *r);
int maker__value(struct maker *m, struct change *c, PyObject *change, const struct resolved *r);

/* patch_apply.c. The change, and back. 0, or -1 with an exception and all as it was. */
int patch__apply(struct patch *p);
int patch__take_back(struct patch *p);
/* Whether the targets are still what they were when p was prepared; takes their other attributes over. 0, or a code with the sentence put. */
int patch__refresh(struct patch *p, struct msg_out *answer);
/* In a forked child: ends a change that another thread was in the middle of. */
void patch__apply_after_fork(void);

/* patch_list.c */
enum put_what { PUT_LIST, PUT_PREPARED, PUT_SHOW };
void patch__put_changes(const struct patch *p, struct msg_out *m, enum put_what what);
void patch__put(const struct patch *p, struct msg_out *m);
/* Puts a NOTE for each change whose name now means something else than what was changed. */
void patch__put_moved(const struct change *c, struct msg_out *m);

/* The id of the newest applied patch that changed this function, 0 for none. */
uint64_t patch_on(PyObject *function);

#endif
