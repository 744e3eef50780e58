/*
 * handlers: what dispatch.c calls for each request; the one list of the agent's parts that do something.
 *
 * All run on the agent's thread with the GIL held, which they may release and take again. The error indicator is clear when they
 * are called and must be when they return. On success they return 0 and have put the answer's fields (proto.h); on failure a
 * positive enum proto_code and have put PROTO_F_ERROR (and PROTO_F_TRACEBACK): fail() below does that. Nothing of ours may
 * raise into the application.
 */
#ifndef PYLU_HANDLERS_H
#define PYLU_HANDLERS_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"
#include "proto.h"

/* resolve.c */
int handle_resolve(const struct msg_in *request, struct msg_out *answer);

/* patch*.c */
int handle_prepare(const struct msg_in *request, struct msg_out *answer);
int handle_commit(const struct msg_in *request, struct msg_out *answer);
int handle_confirm(const struct msg_in *request, struct msg_out *answer);
int handle_abort(const struct msg_in *request, struct msg_out *answer);
int handle_ls(const struct msg_in *request, struct msg_out *answer);
int handle_show(const struct msg_in *request, struct msg_out *answer);
int handle_revert(const struct msg_in *request, struct msg_out *answer);
/* CLOCK_MONOTONIC in ns of the next thing that patches have to do by themselves (ttl, lease, too many errors: 0 for at once), or UINT64_MAX. Needs no
 * GIL; called by the agent's loop before it sleeps. */
uint64_t patch_next_deadline(void);
/* Does it. With the GIL. */
void patch_tick(void);
/* How many are applied. Needs no GIL. */
unsigned patch_count(void);
/* In a forked child, with the GIL: the thread that may have been in the middle of something (a swap, a PREPARE) is not in this process. Makes
 * what is applied whole again, old or new, and forgets what was only prepared. */
void patch_after_fork(void);
/* Takes all back: detach. 0, or a code as above. */
int patch_revert_all(const char *who, struct msg_out *answer);

/* journal.c; the journal is the agent's own bounded memory, and a line of the log file where one is set. No GIL needed. */
void journal_add(const char *who, const char *what, const char *source_hash, const char *result);
int handle_log(const struct msg_in *request, struct msg_out *answer);

/* requests.c */
int handle_hello(const struct msg_in *request, struct msg_out *answer);
int handle_compile(const struct msg_in *request, struct msg_out *answer);
int handle_detach(const struct msg_in *request, struct msg_out *answer);

/* serve.c: wakes the agent's loop so that it asks for deadlines again. Any thread, no GIL needed, never blocks. */
void agent_wake(void);
/* agent.c: whether the calling thread is the agent's. */
bool agent_is_self(void);

/* limit.c: PyEval_EvalCode and PyObject_Call with a time limit: after `ms` an exception is sent into the agent's thread, again and again for
 * a second; NULL with the exception set. Declared in limit.h with Python's types. */

/* Puts one sentence and returns `code`. */
int fail(struct msg_out *answer, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for a Python exception that is set: fetches and clears it, puts "fmt: Type: message" and the traceback, whose first entries (our own
 * calls) are left out. */
int fail_python(struct msg_out *answer, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
