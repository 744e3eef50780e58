/*
 * link: the controller's side of the agent's shared memory (agent/queue.h): finds it in a process, talks to the agent, and says
 * what stands in the way. What the messages mean is the caller's business. The memory, and all that comes out of it, may have
 * been written by anybody with the target's user id.
 */
#ifndef PYLU_LINK_H
#define PYLU_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "msg.h"

struct link;

/* Whether the process seems to have an agent: something under the ring's name is among its descriptors. Not reported. */
bool link_exists(pid_t pid);

/*
 * Finds the agent of process `pid` and begins to talk to it. Only one client does at a time: others are waited for, at most `timeout_ms`.
 * 0, or a negative code that was reported: -ESRCH no such process, -DIAG_NO_AGENT (none of its own: a forked child may hold its parent's),
 * -DIAG_AGENT_VERSION, -DIAG_UNSUPPORTED (one that refuses to work in this process), -DIAG_NO_CAPABILITY (another user's), -EPERM (only root may),
 * -ETIMEDOUT (another client, an agent that does not answer), -DIAG_GONE.
 */
int link__open(pid_t pid, unsigned timeout_ms, struct link **out);

/*
 * Sends a request and waits for its answer, which lies in the link until the next call. 0: an answer. A positive enum proto_code: the
 * agent's error, in *answer. A negative code, reported: no answer came. Then the request is withdrawn, and the report says whether
 * what it asked for may have been done: a process that was stopped does not carry it out later. The link can still be used.
 */
int link__call(struct link *link, uint16_t type, struct msg_out *request, unsigned timeout_ms, struct msg_in *answer);

/* NULL is fine. */
void link__close(struct link *link);

#endif
