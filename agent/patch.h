/* patch: a set of changes and its life: prepared, applied, leased, reverted. For the files patch*.c. */
#ifndef PYLU_PATCH_H
#define PYLU_PATCH_H

#include <stdatomic.h>

#include "msg.h"
#include "py.h"
#include "swap.h"

#define TOKEN_SIZE 16
#define EXCEPT_MAX 16

enum patch_state { PATCH_PREPARED, PATCH_LEASED, PATCH_APPLIED, PATCH_REVERTED, PATCH_EXPIRED };

enum change_kind { CHANGE_REDEFINE, CHANGE_ADD, CHANGE_SET };

struct change {
	enum change_kind kind;
	char *target, *module, *original; /* owned */
	uint64_t line, last_line;
	struct swap_item item;			  /* redefine */
	PyObject *holder, *name, *value, *before; /* add and set: new references; `before` NULL: was absent */
};

struct patch {
	struct patch *next;
	uint64_t id; /* 0 until it is applied */
	uint8_t token[TOKEN_SIZE];
	enum patch_state state;
	struct change *changes;
	size_t n;
	PyObject *file, *source;		 /* texts */
	char *who, *command, *source_hash, *why; /* owned */
	char *except[EXCEPT_MAX];		 /* owned */
	bool counting, scan;
	uint64_t ttl_ns, ttl_until, lease_until; /* 0: none; CLOCK_MONOTONIC */
	uint64_t applied_ns, reverted_ns;	 /* CLOCK_REALTIME */
	uint64_t errors_max;
	_Atomic uint64_t calls, errors;
};

/* Builds a patch from PREPARE's request. 0, or a code with the sentence put. */
int patch__make(const struct msg_in *request, struct patch **out, struct msg_out *answer);
void patch__free(struct patch *p);
/* Its two switches. 0, or -1 with an exception and all as it was. */
int patch__apply(struct patch *p);
int patch__take_back(struct patch *p);

#endif
