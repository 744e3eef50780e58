/*
 * agent_process: an agent without a Python: a process that serves a ring as the agent does, for the tests of the ring. Links with agent/ring.c.
 */
#ifndef PYLU_TESTS_AGENT_PROCESS_H
#define PYLU_TESTS_AGENT_PROCESS_H

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "ring.h"

/* Requests that it knows. All are answered with the request's own bytes, but for: */
enum {
	ASK_ECHO = 1,
	ASK_COUNT,  /* how many echoes there were: PROTO_F_CALLS; how often the thread went around: PROTO_F_MAX */
	ASK_SILENT, /* no answer */
	ASK_DIE,    /* no answer, and the process ends */
	ASK_CLOSE,  /* no answer, and the ring is taken away */
	ASK_ERROR,  /* an error with a code */
};

struct served {
	uint64_t echoes, rounds;
};

/* One request. False: the ring is to be taken away. */
static inline bool agent_process_serve_one(struct ring *ring, struct served *served)
{
	struct msg_out answer = { 0 };
	struct msg_in request;
	uint16_t type, said;

	if (!ring__receive(ring, &type, &request))
		return true;
	said = type | PROTO_ANSWER;
	switch (type) {
	case ASK_DIE:
		_exit(0);
	case ASK_CLOSE:
		return false;
	case ASK_SILENT:
		return true;
	case ASK_COUNT:
		msg__put_u64(&answer, PROTO_F_CALLS, served->echoes);
		msg__put_u64(&answer, PROTO_F_MAX, served->rounds);
		break;
	case ASK_ERROR:
		said = PROTO_ERROR;
		msg__put_u64(&answer, PROTO_F_CODE, PROTO_E_BUSY);
		msg__put_str(&answer, PROTO_F_ERROR, "busy");
		break;
	default:
		served->echoes++;
		answer.data = malloc(request.len + 1);
		answer.len = request.len;
		if (request.len)
			memcpy(answer.data, request.data, request.len);
	}
	ring__answer(ring, said, &answer);
	msg__free(&answer);
	return true;
}

static inline void agent_process_serve(struct ring *ring)
{
	struct served served = { 0 };

	do {
		served.rounds++;
		ring__wait(ring, UINT64_MAX);
	} while (agent_process_serve_one(ring, &served));
	ring__close(ring);
}

/* Its pid, when it can be found. It is killed when this process ends. */
static inline pid_t agent_process_start(void)
{
	struct ring *ring;
	int ready[2];
	char byte = 0;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		check_processor_seconds(60);
		if (ring__make(&ring) || write(ready[1], "r", 1) != 1)
			_exit(1);
		ring__set_state(ring, RING_READY, "");
		agent_process_serve(ring);
		pause();
		_exit(0);
	}
	close(ready[1]);
	CHECK(pid > 0 && read(ready[0], &byte, 1) == 1 && byte == 'r');
	close(ready[0]);
	return pid;
}

static inline void agent_process_stop(pid_t pid)
{
	int status;

	/* It lives until it is told to end: what ended it before is a failure. */
	CHECK(waitpid(pid, &status, WNOHANG) == 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

#endif
