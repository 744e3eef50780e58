/*
 * ring_killed: a client is killed after each single thing that it does to the agent's memory, by going through it instruction
 * by instruction: the agent goes on, the next client gets its own answers, and what the dead one asked for happened once or
 * not at all. The agent is killed at the same points: the client says so. And a request is withdrawn while the agent stands
 * at any instruction of taking it: either the client is told that it was taken, or it is not carried out.
 */
#include "agent_process.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <time.h>

#include "diag.h"
#include "link.h"
#include "link_priv.h"

#define LONG_MS 60000
#define STEPS_MAX 200000 /* instructions of one call; it takes some thousands */
#define SEEN 160	 /* bytes of the queue that are looked at: the request fits */
#define GONE 3		 /* a client's exit status */
#define MASK (PROTO_QUEUE_SIZE - 1)

/* What only the client writes. */
struct seen {
	uint32_t session, head, tail;
	uint8_t bytes[SEEN];
};

static struct link watching = { .fd = -1 };

static void look(struct seen *seen, uint32_t from)
{
	const struct proto_memory *m = watching.memory;

	memset(seen, 0, sizeof(*seen));
	seen->session = atomic_load(&m->header.session);
	seen->head = atomic_load(&m->requests.head);
	seen->tail = atomic_load(&m->answers.tail);
	for (uint32_t i = 0; i < SEEN; i++)
		seen->bytes[i] = m->requests.data[(from + i) & MASK];
}

/* In a child, under a tracer: everything but the call itself comes before it stops. */
static void run_client(pid_t agent)
{
	static const char text[] = "a request whose bytes are never the same as those that were there before: ";
	struct link link = { .pid = agent, .fd = -1 };
	struct msg_out request = { 0 };
	struct msg_in answer;
	char state;
	int err;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || link_find__process(agent, &state, &link.start_time) ||
	    link_find__open(&link) || flock(link.fd, LOCK_EX | LOCK_NB))
		_exit(77);
	msg__putf(&request, PROTO_F_NOTE, "%s%d", text, (int)getpid());
	raise(SIGSTOP);
	err = link__call(&link, ASK_ECHO, &request, LONG_MS, &answer);
	if (err)
		_exit(err == -DIAG_GONE ? GONE : 1);
	_exit(answer.len != request.len || memcmp(answer.data, request.data, request.len));
}

/* One instruction. False: it is no more. */
static bool step(pid_t client, int *status)
{
	return !ptrace(PTRACE_SINGLESTEP, client, NULL, NULL) && waitpid(client, status, 0) == client &&
	       WIFSTOPPED(*status);
}

/* Starts a client and has it do `changes` things. How many it did: fewer when it came to its end, which must be a good one; else it
 * stands there, as *out. -1 when this cannot be tried here. */
static int run_until(pid_t agent, int changes, pid_t *out)
{
	uint32_t from = atomic_load(&watching.memory->requests.head);
	struct seen before, now;
	int status, done = 0;
	pid_t client = fork();

	if (!client)
		run_client(agent);
	if (waitpid(client, &status, 0) != client || !WIFSTOPPED(status))
		return -1;
	look(&before, from);
	for (unsigned i = 0; i < STEPS_MAX && done < changes; i++) {
		if (!step(client, &status)) {
			CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
			return done;
		}
		look(&now, from);
		done += memcmp(&before, &now, sizeof(now)) != 0;
		before = now;
	}
	CHECK_EQ(done, changes);
	*out = client;
	return done;
}

static void watch(pid_t agent)
{
	watching.pid = agent;
	CHECK_EQ(link_find__open(&watching), 0);
}

static void unwatch(void)
{
	munmap(watching.memory, sizeof(*watching.memory));
	close(watching.fd);
}

/* How many echoes there were, asked by a client that has to find everything in order, and makes one more. */
static uint64_t count(pid_t agent)
{
	struct msg_out request = { 0 }, nothing = { 0 };
	struct link *link = NULL;
	struct msg_in answer = { 0 };
	uint64_t calls;

	if (!CHECK_EQ(link__open(agent, LONG_MS, &link), 0))
		return 0;
	CHECK_EQ(link__call(link, ASK_COUNT, &nothing, LONG_MS, &answer), 0);
	calls = msg__u64(&answer, PROTO_F_CALLS, UINT64_MAX);
	msg__put_str(&request, PROTO_F_NOTE, "the next one");
	CHECK_EQ(link__call(link, ASK_ECHO, &request, LONG_MS, &answer), 0);
	CHECK_STR_EQ(msg__str(&answer, PROTO_F_NOTE, NULL), "the next one");
	msg__free(&request);
	link__close(link);
	return calls;
}

/* How many things a client does, or -1. */
static int test_client_killed(void)
{
	pid_t agent = agent_process_start(), client;
	uint64_t before, after = 0;
	int done = 0, status;

	watch(agent);
	for (int changes = 1; done == changes - 1; changes++) {
		before = count(agent) + 1;
		done = run_until(agent, changes, &client);
		if (done == changes) {
			kill(client, SIGKILL);
			waitpid(client, &status, 0);
		}
		after = count(agent);
		CHECK(after == before || after == before + 1);
		if (changes == 1)
			CHECK_EQ(after, before); /* all that it did was to begin */
	}
	if (done >= 0) {
		CHECK_EQ(after, before + 1); /* the last one was let come to its end */
		/* A session, the record and its bytes, the head, two tails: less is not the whole of it. */
		CHECK(done >= 6);
	}
	unwatch();
	agent_process_stop(agent);
	return done;
}

static void test_agent_killed(int things)
{
	pid_t agent, client;
	int status;

	for (int changes = 1; changes <= things; changes++) {
		agent = agent_process_start();
		watch(agent);
		client = 0;
		CHECK_EQ(run_until(agent, changes, &client), changes);
		kill(agent, SIGKILL);
		waitpid(agent, &status, 0);
		/* Where the answer was there already, it is as good as any. */
		CHECK(client && !ptrace(PTRACE_DETACH, client, NULL, NULL) && waitpid(client, &status, 0) == client &&
		      WIFEXITED(status) && (WEXITSTATUS(status) == GONE || WEXITSTATUS(status) == 0));
		if (changes == 1)
			CHECK_EQ(WEXITSTATUS(status), GONE);
		unwatch();
	}
}

/* Stops the agent, sends it a request, has it go so many instructions, withdraws the request. Whether it was taken by then. */
static bool withdraw_after(pid_t agent, struct link *link, unsigned instructions)
{
	struct proto_header *h = &link->memory->header;
	int status;
	bool taken;

	CHECK(!ptrace(PTRACE_INTERRUPT, agent, NULL, NULL) && waitpid(agent, &status, 0) == agent);
	queue_writer__begin(&link->requests, link->session, ++link->id, ASK_ECHO, "12345678", 8);
	CHECK_EQ(queue_writer__send(&link->requests), 1);
	while (instructions-- && step(agent, &status))
		;
	atomic_store(&h->session, link->session + 1);
	taken = atomic_load(&h->taken) == ((uint64_t)link->session << 32 | link->id);
	CHECK(!ptrace(PTRACE_CONT, agent, NULL, NULL));
	return taken;
}

static void test_withdrawn(void)
{
	pid_t agent = agent_process_start();
	bool taken = false, did;
	unsigned carried_out = 0, dropped = 0;
	struct link *link;
	uint64_t before;

	CHECK(!ptrace(PTRACE_SEIZE, agent, NULL, NULL));
	/* Until some way behind the point from which on it is taken: there it may be dropped, or carried out. */
	for (unsigned instructions = 0, more = 60; more && instructions < STEPS_MAX; instructions += 3) {
		before = count(agent) + 1;
		if (!CHECK_EQ(link__open(agent, LONG_MS, &link), 0))
			break;
		taken = withdraw_after(agent, link, instructions);
		link__close(link);
		did = count(agent) != before;
		CHECK(taken || !did);
		carried_out += did;
		dropped += !did;
		more -= taken;
	}
	CHECK(taken && dropped > 20 && carried_out > 0);
	agent_process_stop(agent);
}

static void ignore(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

int main(void)
{
	int things;

	diag_set_callback(ignore, NULL);
	check_processor_seconds(300);
	things = test_client_killed();
	if (things < 0) {
		CHECK_SKIP("no process may be traced here");
	} else {
		test_withdrawn();
		test_agent_killed(things);
	}
	return check_done();
}
