/* ring: see ring.h. */
#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8U
#endif
#define SECOND 1000000000ULL
#define ANSWER_NS (5 * SECOND) /* how long a client may leave the answers' queue full */
#define LOOK_NS (SECOND / 10)
#define EMPTY_MAX 64 /* wake-ups for nothing before it waits a little */
#define EMPTY_PAUSE_NS 10000000L

struct ring {
	struct proto_memory *memory;
	int fd;
	dev_t dev;
	ino_t ino;
	uint32_t session;
	uint32_t heard; /* the bell's value after which everything was looked at again */
	unsigned empty; /* wake-ups for nothing in a row: somebody may ring and send nothing */
	struct queue_reader requests;
	struct queue_writer answers;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* By the system call: the C library's function has had its present name only since 2.33. */
static int status_of(int fd, struct stat *st)
{
	return (int)syscall(SYS_fstat, fd, st);
}

/* Field 22 of /proc/self/stat, 0 where it cannot be read. */
static uint64_t own_start_time(void)
{
	char text[1024], *at;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

/* The file, sealed against changes of its size: a client that maps it cannot be made to touch what is not there. */
static int make_file(void)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = (int)syscall(SYS_memfd_create, PROTO_MEMFD_NAME, flags | MFD_NOEXEC_SEAL);
	int err;

	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_memfd_create, PROTO_MEMFD_NAME, flags);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) || ftruncate(fd, sizeof(struct proto_memory)) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void fill_header(struct proto_header *h)
{
	h->version = PROTO_VERSION;
	h->version_min = PROTO_VERSION;
	h->size = sizeof(struct proto_memory);
	h->pid = (uint32_t)getpid();
	h->start_time = own_start_time();
	atomic_store(&h->state, RING_BUSY);
	atomic_thread_fence(memory_order_release);
	h->magic = PROTO_MAGIC;
}

int ring__make(struct ring **out)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	struct stat st;
	int err;

	if (!ring)
		return -ENOMEM;
	ring->memory = MAP_FAILED;
	ring->fd = make_file();
	err = ring->fd < 0 ? ring->fd : 0;
	if (!err && status_of(ring->fd, &st))
		err = -errno;
	if (!err) {
		ring->memory = mmap(NULL, sizeof(*ring->memory), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);
		err = ring->memory == MAP_FAILED ? -errno : 0;
	}
	if (!err && madvise(ring->memory, sizeof(*ring->memory), MADV_DONTFORK))
		err = -errno;
	if (err) {
		if (ring->memory != MAP_FAILED)
			munmap(ring->memory, sizeof(*ring->memory));
		if (ring->fd >= 0)
			close(ring->fd);
		free(ring);
		return err;
	}
	ring->dev = st.st_dev;
	ring->ino = st.st_ino;
	ring->requests.queue = &ring->memory->requests;
	ring->answers.queue = &ring->memory->answers;
	ring->requests.bell = ring->answers.bell = &ring->memory->header.client_bell;
	fill_header(&ring->memory->header);
	*out = ring;
	return 0;
}

bool ring__is_reachable(const struct ring *ring)
{
	struct stat st;

	return !status_of(ring->fd, &st) && st.st_dev == ring->dev && st.st_ino == ring->ino;
}

void ring__forget(struct ring *ring)
{
	if (ring__is_reachable(ring))
		close(ring->fd);
	queue_reader__free(&ring->requests);
	free(ring);
}

void ring__close(struct ring *ring)
{
	/* A client that has it mapped sees that nobody is there any more. */
	ring->memory->header.magic = 0;
	bell__ring(&ring->memory->header.client_bell);
	munmap(ring->memory, sizeof(*ring->memory));
	ring__forget(ring);
}

void ring__set_state(struct ring *ring, enum ring_state state, const char *text)
{
	struct proto_header *h = &ring->memory->header;

	snprintf(h->text, sizeof(h->text), "%s", text);
	atomic_store_explicit(&h->state, state, memory_order_release);
}

void ring__kick(struct ring *ring)
{
	bell__ring(&ring->memory->header.agent_bell);
}

static bool new_client(const struct ring *ring)
{
	return atomic_load(&ring->memory->header.session) != ring->session;
}

void ring__wait(struct ring *ring, uint64_t deadline)
{
	_Atomic uint32_t *bell = &ring->memory->header.agent_bell;
	uint32_t value = atomic_load(bell);

	if (++ring->empty > EMPTY_MAX)
		nanosleep(&(struct timespec){ .tv_nsec = EMPTY_PAUSE_NS }, NULL);
	/* Rung since the caller last had a reason to look: it has to look again, a kick may have come just before. */
	if (value == ring->heard && !new_client(ring) && !queue_reader__pending(&ring->requests))
		bell__wait(bell, value, deadline);
	ring->heard = value;
}

/* Drops what an older client has left, and lets the new one begin. */
static void begin_session(struct ring *ring, uint32_t session)
{
	struct proto_header *h = &ring->memory->header;

	queue_reader__skip(&ring->requests);
	ring->session = session;
	atomic_store(&h->session_ack, session);
	bell__ring(&h->client_bell);
}

bool ring__receive(struct ring *ring, uint16_t *type, struct msg_in *request)
{
	uint32_t session = atomic_load(&ring->memory->header.session);

	if (session != ring->session)
		begin_session(ring, session);
	if (queue_reader__take(&ring->requests, session) != 1)
		return false;
	ring->empty = 0;
	*type = (uint16_t)ring->requests.first.type;
	request->data = ring->requests.data;
	request->len = ring->requests.len;
	return true;
}

/* One record, waiting for room. False: the client is given up. */
static bool send(struct ring *ring, const struct proto_record *record, const uint8_t *piece, uint64_t until)
{
	_Atomic uint32_t *bell = &ring->memory->header.agent_bell;
	uint32_t value;
	int put;

	for (;;) {
		value = atomic_load(bell);
		put = queue_writer__put(&ring->answers, record, piece);
		if (put)
			return put == 1;
		if (new_client(ring) || now_ns() > until)
			return false;
		bell__wait(bell, value, now_ns() + LOOK_NS);
	}
}

void ring__answer(struct ring *ring, uint16_t type, const struct msg_out *answer)
{
	static const uint8_t nothing[8];
	const uint8_t *data = answer->len ? answer->data : nothing;
	uint32_t total = answer->len ? (uint32_t)answer->len : sizeof(nothing), size;
	uint64_t until = now_ns() + ANSWER_NS;
	struct proto_record record = {
		.session = ring->session, .type = type, .total = total, .sum = queue_sum(type, data, total)
	};

	for (uint32_t at = 0; at < total; at += size) {
		size = total - at < PROTO_PIECE_MAX ? total - at : PROTO_PIECE_MAX;
		record.size = size;
		if (!send(ring, &record, data + at, until))
			return;
	}
}
