/*
 * dispatch: the table of requests, the GIL around them, and what all answers have in common. It does not know what they do.
 */
#include "dispatch.h"

#include <stdbool.h>

#include "agent.h"
#include "handlers.h"
#include "py.h"

struct request {
	uint16_t type;
	bool no_gil;
	int (*handle)(const struct msg_in *request, struct msg_out *answer);
};

static const struct request requests[] = {
	{ PROTO_HELLO, true, handle_hello },	  { PROTO_RESOLVE, false, handle_resolve },
	{ PROTO_PREPARE, false, handle_prepare }, { PROTO_COMMIT, false, handle_commit },
	{ PROTO_CONFIRM, false, handle_confirm }, { PROTO_ABORT, false, handle_abort },
	{ PROTO_LS, false, handle_ls },		  { PROTO_SHOW, false, handle_show },
	{ PROTO_REVERT, false, handle_revert },	  { PROTO_LOG, true, handle_log },
	{ PROTO_COMPILE, false, handle_compile }, { PROTO_DETACH, false, handle_detach },
};

static int with_gil(const struct request *r, const struct msg_in *request, struct msg_out *answer)
{
	uint64_t asked = agent__now_ns(), got;
	PyGILState_STATE gil = agent__take_gil();
	int code;

	got = agent__now_ns();
	code = r->handle(request, answer);
	/* An error that a handler forgot would come up in the next one. */
	if (py.PyErr_Occurred())
		py.PyErr_Clear();
	py.PyGILState_Release(gil);
	msg__put_u64(answer, PROTO_F_GIL_WAIT_US, (got - asked) / 1000);
	return code;
}

uint16_t dispatch(uint16_t type, const struct msg_in *request, struct msg_out *answer)
{
	const struct request *r = NULL;
	int code;

	msg__reset(answer);
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		if (requests[i].type == type)
			r = &requests[i];
	if (!r || !r->handle)
		code = fail(answer, PROTO_E_UNKNOWN, "the agent (%s) knows no request of type %u", PYLU_VERSION, type);
	else if (!msg__check(*request))
		code = fail(answer, PROTO_E_BAD, "the request is damaged");
	else
		code = r->no_gil ? r->handle(request, answer) : with_gil(r, request, answer);
	if (answer->failed) { /* no memory, or longer than a message may be */
		msg__free(answer);
		code = fail(answer, PROTO_E_FAILED, "the answer is too long, or there is no memory for it");
	}
	if (code)
		msg__put_u64(answer, PROTO_F_CODE, (uint64_t)code);
	return code ? PROTO_ERROR : type | PROTO_ANSWER;
}
