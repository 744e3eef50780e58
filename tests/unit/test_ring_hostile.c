/*
 * ring_hostile: somebody with the same user id writes whatever he likes into the agent's memory, for as long as he likes: the agent neither crashes
 * nor hangs nor is kept busy, and serves the next client as if nothing had been. The random numbers are the same each time.
 */
#include "agent_process.h"

#include <errno.h>
#include <sys/mman.h>

#include "diag.h"
#include "link.h"
#include "link_priv.h"

#define LONG_MS 60000
#define ROUNDS 40
#define WRITES 4000 /* in a round */

static uint64_t state = 0x123456789abcdefULL;

static uint32_t number(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % below;
}

/* Mostly what is only just wrong. */
static uint32_t word(void)
{
	static const uint32_t words[] = { 0,
					  1,
					  7,
					  8,
					  PROTO_PIECE_MAX,
					  PROTO_PIECE_MAX + 1,
					  PROTO_QUEUE_SIZE,
					  PROTO_QUEUE_SIZE + 1,
					  PROTO_MESSAGE_MAX,
					  PROTO_MESSAGE_MAX + 1,
					  INT32_MAX,
					  UINT32_MAX,
					  UINT32_MAX - 7 };

	return number(4) ? words[number(sizeof(words) / sizeof(words[0]))] : (uint32_t)(state >> 8);
}

static void bytes(struct proto_memory *m)
{
	uint8_t *all = (uint8_t *)m + 64; /* behind what names the agent */

	for (unsigned i = 0; i < 16; i++)
		all[number(sizeof(*m) - 64)] = (uint8_t)number(256);
}

static void counts(struct proto_memory *m)
{
	_Atomic uint32_t *const all[] = { &m->header.agent_bell,  &m->header.client_bell, &m->header.session,
					  &m->header.session_ack, &m->header.state,	  &m->requests.head,
					  &m->requests.tail,	  &m->answers.head,	  &m->answers.tail };
	_Atomic uint32_t *one = all[number(sizeof(all) / sizeof(all[0]))];

	if (number(2))
		atomic_store(one, word());
	else
		atomic_fetch_add(one, word());
}

/* A record as it could be, in places where the agent looks. */
static void record(struct proto_memory *m)
{
	uint32_t at = atomic_load(&m->requests.tail) & (PROTO_QUEUE_SIZE - 1) & ~7U;
	struct proto_record r = { .session = atomic_load(&m->header.session),
				  .id = number(4),
				  .type = number(8)   ? ASK_ECHO
					  : number(2) ? ASK_COUNT
						      : ASK_ERROR,
				  .total = number(2) ? number(100) : word() };

	r.size = number(2) ? r.total : word();
	r.sum = r.total < 100 ? queue_sum(&r, m->requests.data) : 0;
	if (at + sizeof(r) + 100 > PROTO_QUEUE_SIZE)
		return;
	if (r.total < 100) /* what it is the sum of */
		memmove(m->requests.data + at + sizeof(r), m->requests.data, 100);
	memcpy(m->requests.data + at, &r, sizeof(r));
	atomic_fetch_add(&m->requests.head, number(2) ? (uint32_t)sizeof(r) + ((r.size + 7) & ~7U) : word());
}

static void scribble(struct proto_memory *m)
{
	for (unsigned i = 0; i < WRITES; i++) {
		switch (number(5)) {
		case 0:
			bytes(m);
			break;
		case 1:
			counts(m);
			break;
		case 2:
			bell__ring(&m->header.agent_bell);
			break;
		default:
			record(m);
			bell__ring(&m->header.agent_bell);
		}
	}
}

static void test_scribbling(void)
{
	pid_t agent = agent_process_start();
	struct link hostile = { .pid = agent, .fd = -1 }, *link;
	struct msg_out request = { 0 };
	struct msg_in answer;

	msg__put_str(&request, PROTO_F_NOTE, "as if nothing had been");
	CHECK_EQ(link_find__open(&hostile), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		scribble(hostile.memory);
		link = NULL;
		if (!CHECK_EQ(link__open(agent, LONG_MS, &link), 0))
			break;
		CHECK_EQ(link__call(link, ASK_ECHO, &request, LONG_MS, &answer), 0);
		CHECK_STR_EQ(msg__str(&answer, PROTO_F_NOTE, NULL), "as if nothing had been");
		link__close(link);
	}
	munmap(hostile.memory, sizeof(*hostile.memory));
	close(hostile.fd);
	msg__free(&request);
	agent_process_stop(agent);
}

/* The other way: a client, root perhaps, that is told anything by an agent is told no more than it asked, and comes back. */
static void test_lying(void)
{
	pid_t agent = agent_process_start(), liar;
	struct link hostile = { .pid = agent, .fd = -1 }, *link = NULL;
	struct msg_in answer;
	unsigned answered = 0;

	CHECK_EQ(link_find__open(&hostile), 0);
	liar = fork();
	if (!liar) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			struct proto_memory *m = hostile.memory;
			uint32_t at = atomic_load(&m->answers.tail) & (PROTO_QUEUE_SIZE - 1) & ~7U;
			struct proto_record r = { .session = atomic_load(&m->header.session),
						  .id = 1,
						  .type = ASK_ECHO | PROTO_ANSWER,
						  .total = word(),
						  .size = word() };

			if (at + sizeof(r) <= PROTO_QUEUE_SIZE)
				memcpy(m->answers.data + at, &r, sizeof(r));
			atomic_fetch_add(&m->answers.head, word());
			atomic_store(&m->requests.tail, word());
			bell__ring(&m->header.client_bell);
		}
	}
	while (atomic_load(&hostile.memory->header.client_bell) < 1000)
		usleep(1000); /* it has begun */
	for (unsigned i = 0; i < 40; i++) {
		struct msg_out request = { 0 };

		/* Any end will do, and there is one. */
		if (!link__open(agent, 20, &link))
			answered += link__call(link, ASK_ECHO, &request, 20, &answer) == 0;
		link__close(link);
	}
	kill(liar, SIGKILL);
	waitpid(liar, NULL, 0);
	CHECK_EQ(link__open(agent, LONG_MS, &link), 0);
	CHECK_EQ(link__call(link, ASK_ECHO, &(struct msg_out){ 0 }, LONG_MS, &answer), 0);
	link__close(link);
	printf("%u of 40 were answered between the lies\n", answered);
	munmap(hostile.memory, sizeof(*hostile.memory));
	close(hostile.fd);
	agent_process_stop(agent);
}

static void ignore(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)message, (void)ctx;
}

int main(void)
{
	check_processor_seconds(120);
	diag_set_callback(ignore, NULL);
	test_scribbling();
	test_lying();
	return check_done();
}
