/*
 * ring, link: a client talks to an agent in another process: what is sent comes back, whatever its length; and whatever happens to
 * the one or the other, the other says so and goes on. The agent here is agent_process.h. That clients are killed at any step is test_ring_killed's,
 * and hostile memory test_ring_hostile's.
 */
#include "agent_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "clock_ns.h"
#include "diag.h"
#include "link.h"
#include "link_priv.h"

#define LONG_MS 60000 /* never waited for where all is well */
#define SHORT_MS 200

static char said[1024];

static void keep(enum diag_level level, const char *message, void *ctx)
{
	(void)ctx;
	if (level == DIAG_LEVEL_ERROR)
		snprintf(said, sizeof(said), "%s", message);
}

#define CHECK_SAID(part) (CHECK(strstr(said, part)) || (fprintf(stderr, "said: %s\n", said), 0))

static struct link *connect_to(pid_t pid)
{
	struct link *link = NULL;

	CHECK_EQ(link__open(pid, LONG_MS, &link), 0);
	return link;
}

static uint64_t ask_count(struct link *link, uint16_t field)
{
	struct msg_out request = { 0 };
	struct msg_in answer = { 0 };

	CHECK_EQ(link__call(link, ASK_COUNT, &request, LONG_MS, &answer), 0);
	return msg__u64(&answer, field, UINT64_MAX);
}

static int ask(struct link *link, uint16_t type, unsigned timeout_ms)
{
	struct msg_out request = { 0 };
	struct msg_in answer;
	int err;

	msg__put_u64(&request, PROTO_F_ID, type);
	err = link__call(link, type, &request, timeout_ms, &answer);
	msg__free(&request);
	return err;
}

static void test_lengths(pid_t agent)
{
	static const size_t lengths[] = { 0,
					  1,
					  8,
					  PROTO_PIECE_MAX - 16,
					  PROTO_PIECE_MAX - 8,
					  PROTO_PIECE_MAX,
					  PROTO_QUEUE_SIZE,
					  3 * PROTO_QUEUE_SIZE + 5,
					  PROTO_MESSAGE_MAX - 8 };
	struct link *link = connect_to(agent);
	uint8_t *bytes = malloc(PROTO_MESSAGE_MAX);
	struct msg_in answer;

	for (size_t i = 0; i < PROTO_MESSAGE_MAX; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct msg_out request = { 0 };

		if (i)
			msg__put_bytes(&request, PROTO_F_BLOB, MSG_BYTES, bytes, lengths[i]);
		CHECK_EQ(link__call(link, ASK_ECHO, &request, LONG_MS, &answer), 0);
		CHECK(answer.len == request.len && (!request.len || !memcmp(answer.data, request.data, request.len)));
		msg__free(&request);
	}
	{
		struct msg_out request = { 0 };

		msg__put_bytes(&request, PROTO_F_BLOB, MSG_BYTES, bytes, PROTO_MESSAGE_MAX);
		CHECK_EQ(link__call(link, ASK_ECHO, &request, LONG_MS, &answer), -E2BIG);
		CHECK_SAID("16 MB");
		msg__free(&request);
	}
	CHECK_EQ(link__call(link, ASK_ERROR, &(struct msg_out){ 0 }, LONG_MS, &answer), PROTO_E_BUSY);
	CHECK_STR_EQ(msg__str(&answer, PROTO_F_ERROR, NULL), "busy");
	free(bytes);
	link__close(link);
}

/* A count that is further away than a queue is long is damage, whatever lies there. */
static void test_counts(void)
{
	static struct proto_queue queue;
	_Atomic uint32_t bell = 0;
	struct queue_writer w = { .queue = &queue, .bell = &bell, .head = UINT32_MAX - 7 };
	struct queue_reader r = { .queue = &queue, .bell = &bell, .tail = UINT32_MAX - 7 };

	atomic_store(&queue.tail, UINT32_MAX - 7);
	queue_writer__begin(&w, 1, 1, ASK_ECHO, "12345678", 8);
	CHECK_EQ(queue_writer__send(&w), 1);
	atomic_store(&queue.head, r.tail + PROTO_QUEUE_SIZE + 8);
	CHECK_EQ(queue_reader__take(&r, 1), -EPROTO);
	CHECK(!queue_reader__pending(&r));
	atomic_store(&queue.tail, w.head - PROTO_QUEUE_SIZE - 8);
	queue_writer__begin(&w, 1, 2, ASK_ECHO, "12345678", 8);
	CHECK_EQ(queue_writer__send(&w), -EPROTO);
	/* Both heal. */
	atomic_store(&queue.tail, r.tail);
	w.head = r.tail;
	queue_writer__begin(&w, 1, 3, ASK_ECHO, "12345678", 8);
	CHECK_EQ(queue_writer__send(&w), 1);
	CHECK(queue_reader__take(&r, 1) == 1 && r.first.id == 3 && r.len == 8 && !memcmp(r.data, "12345678", 8));
	/* Of another session it is not taken, and not kept. */
	queue_writer__begin(&w, 2, 4, ASK_ECHO, "12345678", 8);
	CHECK_EQ(queue_writer__send(&w), 1);
	CHECK(queue_reader__take(&r, 1) == 0 && !queue_reader__pending(&r));
	queue_reader__free(&r);
}

static void test_file(void)
{
	struct stat st, other;
	struct ring *ring = NULL;
	struct link link = { .pid = getpid(), .fd = -1 };
	char state, path[64];
	int null, fd;

	CHECK_EQ(ring__make(&ring), 0);
	CHECK_EQ(link_find__process(link.pid, &state, &link.start_time), 0);
	CHECK_EQ(link_find__open(&link), 0);
	CHECK(!fstat(link.fd, &st) && (st.st_mode & 07777) == 0600 && st.st_size == sizeof(struct proto_memory));
	CHECK(ftruncate(link.fd, 0) && ftruncate(link.fd, 2 * st.st_size));
	/* Its number: the one descriptor but our own that is this file. */
	for (fd = 3; fd < 1000; fd++)
		if (fd != link.fd && !fstat(fd, &other) && other.st_ino == st.st_ino && other.st_dev == st.st_dev)
			break;
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(ring__is_reachable(ring));
	/* The program closes a number that it does not know, and gets it for something else: that is not ours to close. */
	null = open("/dev/null", O_RDONLY);
	dup2(null, fd);
	CHECK(!ring__is_reachable(ring));
	ring__close(ring);
	CHECK(fcntl(fd, F_GETFD) >= 0);
	CHECK(atomic_load(&link.memory->header.magic) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", link.fd);
	munmap(link.memory, sizeof(*link.memory));
	close(link.fd), close(fd), close(null);
}

/* What is found in a process is its own agent, of this version, or none. */
static void test_whose(pid_t agent)
{
	struct link *link = connect_to(agent), *other;
	struct proto_header *h = &link->memory->header;
	pid_t child = fork();
	uint64_t start_time;

	if (!child) {
		pause();
		_exit(0);
	}
	/* A fork of ours has only what link__open closes on exec, which is the very same file. */
	CHECK(link_exists(child) && link_exists(agent) && !link_exists(1 << 30));
	CHECK_EQ(link__open(child, SHORT_MS, &other), -DIAG_NO_AGENT);
	CHECK_SAID("has no agent");
	/* Where no start time is known, the number has to do. */
	start_time = h->start_time;
	h->start_time = 0;
	CHECK_EQ(link__open(child, SHORT_MS, &other), -DIAG_NO_AGENT);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	CHECK_EQ(link__open(child, SHORT_MS, &other), -ESRCH);
	CHECK_SAID("there is no process");

	h->start_time = start_time + 10;
	CHECK_EQ(link__open(agent, SHORT_MS, &other), -DIAG_NO_AGENT);
	h->start_time = start_time;
	h->version = h->version_min = PROTO_VERSION + 1;
	CHECK_EQ(link__open(agent, SHORT_MS, &other), -DIAG_AGENT_VERSION);
	CHECK_SAID("its agent speaks versions 2 to 2 of the protocol, this program version 1");
	h->version_min = PROTO_VERSION; /* a newer one that speaks ours too */
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	link__close(link);
	link = connect_to(agent);
	h = &link->memory->header;
	h->version = PROTO_VERSION;
	link__close(link);
}

static void test_queueing(pid_t agent)
{
	struct link *link = connect_to(agent), *other = NULL;
	char holder[64];
	int status;
	pid_t child;

	CHECK_EQ(link__open(agent, SHORT_MS, &other), -ETIMEDOUT);
	CHECK_SAID("another pylu-cli");
	snprintf(holder, sizeof(holder), "(process %d)", (int)getpid());
	CHECK_SAID(holder);
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	/* Those that wait get their turn. */
	child = fork();
	if (!child) {
		link__close(link); /* with which this child had the lock as well */
		_exit(link__open(agent, LONG_MS, &other) || ask(other, ASK_ECHO, LONG_MS));
	}
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	link__close(link);
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status));
}

/* A request to a stopped process is withdrawn: it is not carried out when the process goes on. */
static void test_stopped(pid_t agent)
{
	struct link *link = connect_to(agent);
	uint64_t before = ask_count(link, PROTO_F_CALLS);
	int status;

	kill(agent, SIGSTOP);
	waitpid(agent, &status, WUNTRACED);
	CHECK_EQ(ask(link, ASK_ECHO, SHORT_MS), -ETIMEDOUT);
	CHECK_SAID("is stopped");
	CHECK_SAID("will not");
	kill(agent, SIGCONT);
	/* The same link is good again, and has its own answers. */
	CHECK_EQ(ask_count(link, PROTO_F_CALLS), before);
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	CHECK_EQ(ask_count(link, PROTO_F_CALLS), before + 1);
	link__close(link);
	kill(agent, SIGSTOP);
	waitpid(agent, &status, WUNTRACED);
	CHECK_EQ(link__open(agent, SHORT_MS, &link), -ETIMEDOUT);
	CHECK_SAID("is stopped");
	kill(agent, SIGCONT);
}

static void test_no_answer(pid_t agent)
{
	struct link *link = connect_to(agent);

	CHECK_EQ(ask(link, ASK_SILENT, SHORT_MS), -ETIMEDOUT);
	CHECK_SAID("did not answer in time");
	CHECK_SAID("not known");
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	link__close(link);
}

/* Answers that nobody reads: the agent takes the next client all the same. */
static void test_unread(pid_t agent)
{
	struct link *link = connect_to(agent);
	struct msg_out request = { 0 };
	uint8_t *bytes = calloc(1, 4 * PROTO_QUEUE_SIZE);
	uint64_t before = ask_count(link, PROTO_F_CALLS);

	msg__put_bytes(&request, PROTO_F_BLOB, MSG_BYTES, bytes, 4 * PROTO_QUEUE_SIZE);
	queue_writer__begin(&link->requests, link->session, ++link->id, ASK_ECHO, request.data, request.len);
	while (!queue_writer__send(&link->requests))
		usleep(1000);
	link__close(link);
	link = connect_to(agent);
	CHECK(ask_count(link, PROTO_F_CALLS) <= before + 1);
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), 0);
	link__close(link);
	msg__free(&request);
	free(bytes);
}

/* Where the client writes only part of a message and goes, nothing comes of it. */
static void test_half(pid_t agent)
{
	struct link *link = connect_to(agent);
	uint64_t before = ask_count(link, PROTO_F_CALLS);
	struct proto_record *record = &link->requests.record;
	uint8_t *bytes = calloc(1, 2 * PROTO_QUEUE_SIZE);

	queue_writer__begin(&link->requests, link->session, ++link->id, ASK_ECHO, bytes, 2 * PROTO_QUEUE_SIZE);
	CHECK_EQ(queue_writer__send(&link->requests), 0);
	link__close(link);
	link = connect_to(agent);
	CHECK_EQ(ask_count(link, PROTO_F_CALLS), before);
	/* Whole, and not what its checksum says. */
	record = &link->requests.record;
	queue_writer__begin(&link->requests, link->session, ++link->id, ASK_ECHO, bytes, 64);
	record->sum ^= 1;
	CHECK_EQ(queue_writer__send(&link->requests), 1);
	/* What lies behind something that is damaged goes with it, until another client comes. */
	link__close(link);
	link = connect_to(agent);
	CHECK_EQ(ask_count(link, PROTO_F_CALLS), before);
	link__close(link);
	free(bytes);
}

static void test_ends(void)
{
	pid_t agent = agent_process_start();
	struct link *link = connect_to(agent);

	CHECK_EQ(ask(link, ASK_CLOSE, LONG_MS), -DIAG_GONE);
	CHECK_SAID("the agent of process");
	link__close(link);
	CHECK_EQ(link__open(agent, SHORT_MS, &link), -DIAG_NO_AGENT);
	agent_process_stop(agent);
	agent = agent_process_start();
	link = connect_to(agent);
	CHECK_EQ(ask(link, ASK_DIE, LONG_MS), -DIAG_GONE);
	CHECK_SAID("ended while it was busy");
	CHECK_EQ(ask(link, ASK_ECHO, LONG_MS), -DIAG_GONE);
	waitpid(agent, NULL, 0);
	link__close(link);
}

/* A number of /proc/PID/status. */
static unsigned long status_of(pid_t pid, const char *name)
{
	unsigned long value = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			value = strtoul(line + strlen(name), NULL, 10);
	if (f)
		fclose(f);
	return value;
}

/* Asleep it is not even looked at by the scheduler; and whoever rings for nothing cannot keep it awake. */
static void test_idle(pid_t agent)
{
	struct link *link = connect_to(agent);
	uint64_t rounds = ask_count(link, PROTO_F_MAX);
	unsigned long switches;
	uint64_t start_time;
	char state = 0;

	while (!link_find__process(agent, &state, &start_time) && state != 'S')
		usleep(1000);
	switches = status_of(agent, "voluntary_ctxt_switches:");
	usleep(300000);
	CHECK_EQ(status_of(agent, "voluntary_ctxt_switches:"), switches);
	for (unsigned i = 0; i < 200000; i++)
		bell__ring(&link->memory->header.agent_bell);
	/* Some 70 rounds, and then one in 64 ms. */
	CHECK(ask_count(link, PROTO_F_MAX) - rounds < 2000);
	link__close(link);
}

/* What counts calls in a forked child wakes the agent, which is not there, nor is its memory. */
static void test_kick_in_child(void)
{
	struct ring *ring = NULL;
	uint64_t begun = monotonic_ns();
	int status;
	pid_t child;

	CHECK_EQ(ring__make(&ring), 0);
	child = fork();
	if (!child) {
		ring__kick(ring);
		ring__forget(ring);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status));
	/* In the parent it ends a wait that has not begun. */
	ring__kick(ring);
	ring__wait(ring, UINT64_MAX);
	ring__wait(ring, begun); /* a deadline that is over */
	ring__close(ring);
}

int main(void)
{
	pid_t agent;

	check_processor_seconds(120);
	diag_set_callback(keep, NULL);
	agent = agent_process_start();
	test_lengths(agent);
	test_counts();
	test_file();
	test_whose(agent);
	test_queueing(agent);
	test_stopped(agent);
	test_no_answer(agent);
	test_unread(agent);
	test_half(agent);
	test_idle(agent);
	agent_process_stop(agent);
	test_ends();
	test_kick_in_child();
	return check_done();
}
