/*
 * stress_ring: many requests of all lengths, through the code of both sides, with clients that lose patience at any moment.
 *
 *	stress_ring threads|processes SECONDS-OF-PROCESSOR-TIME-AT-MOST
 *
 * threads: two threads stand for the two processes, on one mapping, so that ThreadSanitizer sees what they do to it. processes: as it is in
 * earnest. Built with ThreadSanitizer it is unit_ring_race, without unit_ring_stress.
 */
#include "agent_process.h"

#include <errno.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "diag.h"
#include "link.h"
#include "link_priv.h"

#define LONG_MS 60000
#define ROUNDS 1500
#define BYTES_MAX (3 * PROTO_QUEUE_SIZE)

static uint32_t state = 1;

static uint32_t number(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % below;
}

/* Mostly short ones, now and then one that is longer than the queue. */
static void make_request(struct msg_out *request, const uint8_t *bytes, unsigned round)
{
	size_t len = number(8) ? number(500) : number(BYTES_MAX - ROUNDS);

	msg__reset(request);
	msg__put_u64(request, PROTO_F_ID, round);
	msg__put_bytes(request, PROTO_F_BLOB, MSG_BYTES, bytes + round, len);
}

static unsigned promised; /* requests of which it was said that they will not be carried out */

static void listen(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)ctx;
	promised += strstr(message, "had not begun with it, and will not") != NULL;
}

static void talk(struct link *link)
{
	struct msg_out request = { 0 }, nothing = { 0 };
	uint8_t *bytes = malloc(BYTES_MAX);
	unsigned late = 0, answered = 0;
	uint64_t calls;
	struct msg_in answer;
	int err;

	for (size_t i = 0; i < BYTES_MAX; i++)
		bytes[i] = (uint8_t)number(256);
	for (unsigned round = 0; round < ROUNDS; round++) {
		bool patient = number(4);

		make_request(&request, bytes, round);
		err = link__call(link, ASK_ECHO, &request, patient ? LONG_MS : number(2), &answer);
		if (patient || err != -ETIMEDOUT)
			CHECK_EQ(err, 0);
		if (!err)
			CHECK(answer.len == request.len && !memcmp(answer.data, request.data, request.len));
		answered += !err;
		late += err != 0;
	}
	CHECK_EQ(link__call(link, ASK_COUNT, &nothing, LONG_MS, &answer), 0);
	calls = msg__u64(&answer, PROTO_F_CALLS, 0);
	printf("%u were answered, %u withdrawn, %u of them surely, %u carried out\n", answered, late, promised,
	       (unsigned)calls);
	CHECK(calls >= answered && calls <= ROUNDS - promised);
	CHECK(answered >= ROUNDS / 2);
	msg__free(&request);
	free(bytes);
}

static void *serve(void *ring)
{
	agent_process_serve(ring);
	return NULL;
}

/* The agent's own mapping of the memory. */
static struct proto_memory *find_mapping(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned long start = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "/memfd:" PROTO_MEMFD_NAME))
			start = strtoul(line, NULL, 16);
	if (f)
		fclose(f);
	return (struct proto_memory *)start;
}

static void test_threads(void)
{
	struct link *link = calloc(1, sizeof(*link));
	struct msg_out nothing = { 0 };
	struct ring *ring = NULL;
	struct msg_in answer;
	pthread_t thread;
	char letter;

	CHECK_EQ(ring__make(&ring), 0);
	link->pid = getpid();
	link->fd = -1;
	link->memory = find_mapping();
	CHECK(link->memory && !link_find__process(link->pid, &letter, &link->start_time));
	CHECK_EQ(pthread_create(&thread, NULL, serve, ring), 0);
	talk(link);
	/* Anybody may do that, and it takes nothing from the thread. */
	for (unsigned i = 0; i < 1000; i++)
		ring__kick(ring);
	CHECK_EQ(link__call(link, ASK_COUNT, &nothing, LONG_MS, &answer), 0);
	/* Its end, without its answer: the memory goes with it. */
	queue_writer__begin(&link->requests, link->session, ++link->id, ASK_CLOSE, NULL, 0);
	CHECK_EQ(queue_writer__send(&link->requests), 1);
	pthread_join(thread, NULL);
	link->memory = NULL;
	link__close(link);
}

static void test_processes(void)
{
	pid_t agent = agent_process_start();
	struct link *link = NULL;

	CHECK_EQ(link__open(agent, LONG_MS, &link), 0);
	talk(link);
	link__close(link);
	agent_process_stop(agent);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	check_processor_seconds((unsigned)atoi(argv[2]));
	diag_set_callback(listen, NULL);
	if (!strcmp(argv[1], "threads"))
		test_threads();
	else
		test_processes();
	return check_done();
}
