/* inspecting: what the commands that look into one function have in common: line, debug, var. */
#ifndef PYLU_INSPECTING_H
#define PYLU_INSPECTING_H

#include "inspect.h"
#include "seen_opts.h"

/* The session's options from the command line's. */
void inspecting_options(const struct seen_opts *o, struct inspect_options *out);

/* Tells on standard error that it has begun, how, and at which cost. */
void inspecting_announce(const struct inspect *s);

/* Polls until the time is over, a signal arrives, or the session ends by itself; `flush` (may be NULL) is called now and
 * then. Stops the session. 0, or a code that was reported. */
int inspecting_run(struct inspect *s, double seconds, int (*flush)(void *ctx), void *ctx);

/* The exit status; below an error is said what can be done about it. A reader that has gone away is none. */
int inspecting_status(int err);

#endif
