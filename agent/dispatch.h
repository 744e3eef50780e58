/*
 * dispatch: one request to one handler.
 */
#ifndef PYLU_DISPATCH_H
#define PYLU_DISPATCH_H

#include <stdint.h>

#include "msg.h"

/* Carries the request out, on the agent's thread, without the GIL, which is taken where the handler needs it. The message is foreign and
 * unchecked. `answer` is emptied first. Returns the answer's type: that of the request with PROTO_ANSWER, or PROTO_ERROR. */
uint16_t dispatch(uint16_t type, const struct msg_in *request, struct msg_out *answer);

#endif
