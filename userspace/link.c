/* link: see link.h. */
#include "link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "clock_ns.h"
#include "diag.h"
#include "link_priv.h"
#include "owner.h"
#include "proto.h"
#include "ring.h"

#define MS 1000000ULL
#define LOOK_NS (100 * MS) /* how often it looks whether the process is still there */
#define LOCK_NS (5 * MS)

static bool process_ended(const struct link *link)
{
	uint64_t start_time;
	char state;

	return link_find__process(link->pid, &state, &start_time) || !owner__same(start_time, link->start_time);
}

static bool has_ended(const struct link *link)
{
	return atomic_load(&link->memory->header.magic) != PROTO_MAGIC || process_ended(link);
}

/* What stands in the way of an answer, 0 when nothing is known to. Reported. */
static int look(const struct link *link, const char *while_what)
{
	if (process_ended(link))
		return diag_error(-DIAG_GONE, "process %d ended %s", (int)link->pid, while_what);
	if (has_ended(link))
		return diag_error(-DIAG_GONE, "the agent of process %d ended %s", (int)link->pid, while_what);
	return 0;
}

/* What belongs to the agent's state. diag takes care of what should not be in a text. */
static const char *state_text(const struct link *link, char *text)
{
	memcpy(text, link->memory->header.text, PROTO_TEXT_MAX);
	text[PROTO_TEXT_MAX - 1] = '\0';
	return text;
}

/* The time is over: why? Reported. `outcome` completes the sentence. */
static int late(const struct link *link, const char *while_what, const char *outcome)
{
	char text[PROTO_TEXT_MAX], state = 0;
	uint64_t start_time;

	if (!link_find__process(link->pid, &state, &start_time) && strchr("Tt", state))
		return diag_error(-ETIMEDOUT, "process %d is stopped (as by SIGSTOP), and does not answer %s%s",
				  (int)link->pid, while_what, outcome);
	if (atomic_load(&link->memory->header.state) == RING_STUCK)
		return diag_error(-ETIMEDOUT, "the interpreter of process %d is stuck %s: %s%s", (int)link->pid,
				  while_what, state_text(link, text), outcome);
	return diag_error(-ETIMEDOUT, "the agent of process %d did not answer in time %s%s", (int)link->pid, while_what,
			  outcome);
}

static int other_client(const struct link *link)
{
	pid_t holder = link_find__holder(link);
	char who[32] = "";

	if (holder)
		snprintf(who, sizeof(who), " (process %d)", (int)holder);
	return diag_error(-ETIMEDOUT, "process %d: another pylu-cli%s is still talking to its agent", (int)link->pid,
			  who);
}

/* The kernel gives the lock back when a client dies. */
static int lock(const struct link *link, uint64_t until)
{
	bool said = false;
	int err;

	while (flock(link->fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_error(-errno, "process %d: its agent's memory cannot be locked: %s", (int)link->pid,
					  strerror(errno));
		err = look(link, "while another pylu-cli talked to it");
		if (err)
			return err;
		if (monotonic_ns() > until)
			return other_client(link);
		if (!said)
			diag_debug("process %d: waiting for another pylu-cli", (int)link->pid);
		said = true;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_NS }, NULL);
	}
	return 0;
}

/* Waits for the bell, at most a little. 0, -ETIMEDOUT, not reported, or a code that was. */
static int doze(const struct link *link, uint32_t value, uint64_t until, const char *while_what)
{
	uint64_t now = monotonic_ns();

	if (now > until)
		return -ETIMEDOUT;
	bell__wait(&link->memory->header.client_bell, value, now + LOOK_NS < until ? now + LOOK_NS : until);
	if (monotonic_ns() - now <= LOOK_NS / 2)
		return 0;
	/* The agent rings before it ends: whoever finds its end finds that too, and takes its last answer first. */
	return has_ended(link) && atomic_load(&link->memory->header.client_bell) == value ? look(link, while_what) : 0;
}

/* Another session than the memory has: what is in it is void from now on. 0 or -EIO, reported. */
static int new_session(struct link *link)
{
	struct proto_header *h = &link->memory->header;
	uint32_t before = atomic_load(&h->session);

	do {
		if (getrandom(&link->session, sizeof(link->session), 0) != sizeof(link->session))
			return diag_error(-EIO, "no random number to be had");
	} while (!link->session || link->session == before);
	atomic_store(&h->session, link->session);
	bell__ring(&h->agent_bell);
	return 0;
}

static int begin(struct link *link, uint64_t until)
{
	static const char while_what[] = "while it was asked whether it is there";
	struct proto_header *h = &link->memory->header;
	uint32_t value;
	int err = new_session(link);

	while (!err) {
		value = atomic_load(&h->client_bell);
		if (atomic_load(&h->session_ack) == link->session)
			break;
		err = doze(link, value, until, while_what);
	}
	if (err) {
		link->session = 0;
		return err == -ETIMEDOUT ? late(link, while_what, "") : err;
	}
	link->id = 0;
	link->requests.queue = &link->memory->requests;
	link->requests.head = atomic_load(&link->memory->requests.tail);
	link->answers.queue = &link->memory->answers;
	link->requests.bell = link->answers.bell = &h->agent_bell;
	queue_writer__restart(&link->requests);
	queue_reader__skip(&link->answers);
	return 0;
}

static int refused(const struct link *link)
{
	char text[PROTO_TEXT_MAX];

	if (atomic_load(&link->memory->header.state) != RING_REFUSED)
		return 0;
	return diag_error(-DIAG_UNSUPPORTED, "process %d: its agent does not work there: %s", (int)link->pid,
			  state_text(link, text));
}

int link__open(pid_t pid, unsigned timeout_ms, struct link **out)
{
	uint64_t until = monotonic_ns() + timeout_ms * MS;
	struct link *link = calloc(1, sizeof(*link));
	char state;
	int err;

	*out = NULL;
	if (!link)
		return diag_error(-ENOMEM, "out of memory");
	link->pid = pid;
	link->fd = -1;
	if (link_find__process(pid, &state, &link->start_time))
		err = diag_error(-ESRCH, "there is no process %d", (int)pid);
	else
		err = link_find__open(link);
	if (!err)
		err = refused(link);
	if (!err)
		err = lock(link, until);
	if (!err)
		err = begin(link, until);
	if (err)
		link__close(link);
	else
		*out = link;
	return err;
}

static int send(struct link *link, uint16_t type, const struct msg_out *request, uint64_t until)
{
	uint32_t value;
	int sent, err;

	queue_writer__begin(&link->requests, link->session, ++link->id, type, request->data, request->len);
	for (;;) {
		value = atomic_load(&link->memory->header.client_bell);
		sent = queue_writer__send(&link->requests);
		if (sent == 1)
			return 0;
		if (sent < 0)
			return diag_error(-DIAG_BAD_DATA, "process %d: its agent's memory is damaged", (int)link->pid);
		err = doze(link, value, until, "while it was sent a request");
		if (err)
			return err;
	}
}

static int receive(struct link *link, uint16_t type, uint64_t until)
{
	const struct proto_record *record = &link->answers.first;
	uint32_t value;
	int got, err;

	for (;;) {
		value = atomic_load(&link->memory->header.client_bell);
		got = queue_reader__take(&link->answers, link->session);
		if (got < 0)
			return diag_error(-DIAG_BAD_DATA, "process %d: its agent's answer is damaged", (int)link->pid);
		if (got && record->id == link->id &&
		    (record->type == PROTO_ERROR || record->type == (type | PROTO_ANSWER)))
			return 0;
		err = got ? 0 : doze(link, value, until, "while it was busy with the request");
		if (err)
			return err;
	}
}

/* No answer came: the request is withdrawn. Where the agent had not taken it, it never will (proto.h). */
static int give_up(struct link *link, int err)
{
	const uint64_t request = (uint64_t)link->session << 32 | link->id;
	bool taken = true;

	queue_writer__restart(&link->requests);
	if (!new_session(link))
		taken = atomic_load(&link->memory->header.taken) == request;
	link->session = 0;
	if (err != -ETIMEDOUT)
		return err;
	return late(link, taken ? "while it was busy with the request" : "to the request",
		    taken ? "; whether the request was carried out is not known"
			  : "; it had not begun with it, and will not");
}

int link__call(struct link *link, uint16_t type, struct msg_out *request, unsigned timeout_ms, struct msg_in *answer)
{
	uint64_t until = monotonic_ns() + timeout_ms * MS;
	int err = 0, code;

	if (request->failed)
		return diag_error(-E2BIG, "the request is longer than %u MB, or memory ran out",
				  PROTO_MESSAGE_MAX >> 20);
	if (!link->session)
		err = begin(link, until);
	if (err)
		return err;
	err = send(link, type, request, until);
	if (!err)
		err = receive(link, type, until);
	if (err)
		return give_up(link, err);
	*answer = (struct msg_in){ .data = link->answers.data, .len = link->answers.len };
	if (!msg__check(*answer))
		return diag_error(-DIAG_BAD_DATA, "process %d: its agent's answer makes no sense", (int)link->pid);
	if (link->answers.first.type != PROTO_ERROR)
		return 0;
	code = (int)(msg__u64(answer, PROTO_F_CODE, PROTO_E_FAILED) & 0xff);
	return code ? code : PROTO_E_FAILED;
}

void link__close(struct link *link)
{
	if (!link)
		return;
	queue_reader__free(&link->answers);
	if (link->memory)
		munmap(link->memory, sizeof(*link->memory));
	if (link->fd >= 0)
		close(link->fd);
	free(link);
}
