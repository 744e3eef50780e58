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

#include "owner.h"

#ifndef MFD_NOEXEC_SEAL /* Linux 6.3 */
#define MFD_NOEXEC_SEAL 8U
#endif
#define SECOND 1000000000ULL
#ifndef MADV_WIPEONFORK /* Linux 4.14 */
#define MADV_WIPEONFORK 18
#endif
#define EMPTY_MAX 64		       /* wake-ups for nothing before it waits a little */
#define PAUSE_FIRST_NS (SECOND / 1000) /* and twice as long with each more of these */
#define PAUSE_DOUBLED 6

struct ring {
	struct proto_memory *memory;
	int fd;
	dev_t dev;
	ino_t ino;
	pid_t pid;
	_Atomic uint32_t *here; /* 1, in a page of its own that a forked child finds wiped */
	_Atomic uint32_t kicked;
	uint32_t session;
	unsigned empty;	 /* wake-ups for nothing in a row: somebody may ring and send nothing */
	size_t progress; /* bytes of the unfinished request when the last of these was counted */
	struct queue_reader requests;
	struct queue_writer answers;
	uint8_t *answer; /* what `answers` still sends of; owned */
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
	char state;

	h->version = PROTO_VERSION;
	h->version_min = PROTO_VERSION;
	h->size = sizeof(struct proto_memory);
	h->pid = (uint32_t)getpid();
	if (owner__read("/proc/self", &state, &h->start_time))
		h->start_time = 0;
	atomic_store(&h->state, RING_BUSY);
	atomic_store(&h->magic, PROTO_MAGIC);
}

static void *map(size_t size, int flags, int fd, int advice)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	int err;

	if (memory == MAP_FAILED)
		return NULL;
	/* An old kernel that cannot wipe: the process id tells most children. */
	if (!madvise(memory, size, advice) || advice == MADV_WIPEONFORK)
		return memory;
	err = errno;
	munmap(memory, size);
	errno = err;
	return NULL;
}

static void unmap(struct ring *ring)
{
	if (ring->memory)
		munmap(ring->memory, sizeof(*ring->memory));
	if (ring->here)
		munmap(ring->here, PROTO_HEADER_SIZE);
	ring->memory = NULL;
	ring->here = NULL;
}

static int make_memory(struct ring *ring)
{
	struct stat st;

	if (status_of(ring->fd, &st))
		return -errno;
	ring->dev = st.st_dev;
	ring->ino = st.st_ino;
	ring->memory = map(sizeof(*ring->memory), MAP_SHARED, ring->fd, MADV_DONTFORK);
	if (!ring->memory)
		return -errno;
	ring->here = map(PROTO_HEADER_SIZE, MAP_PRIVATE | MAP_ANONYMOUS, -1, MADV_WIPEONFORK);
	return ring->here ? 0 : -errno;
}

int ring__make(struct ring **out)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int err;

	if (!ring)
		return -ENOMEM;
	ring->fd = make_file();
	err = ring->fd < 0 ? ring->fd : make_memory(ring);
	if (err) {
		unmap(ring);
		if (ring->fd >= 0)
			close(ring->fd);
		free(ring);
		return err;
	}
	ring->pid = getpid();
	atomic_store(ring->here, 1);
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

static void free_ring(struct ring *ring)
{
	if (ring__is_reachable(ring))
		close(ring->fd);
	queue_reader__free(&ring->requests);
	free(ring->answer);
	free(ring);
}

void ring__forget(struct ring *ring)
{
	munmap(ring->here, PROTO_HEADER_SIZE);
	free_ring(ring);
}

void ring__close(struct ring *ring)
{
	/* A client that has it mapped sees that nobody is there any more. */
	atomic_store(&ring->memory->header.magic, 0);
	bell__ring(&ring->memory->header.client_bell);
	unmap(ring);
	free_ring(ring);
}

void ring__set_state(struct ring *ring, enum ring_state state, const char *text)
{
	struct proto_header *h = &ring->memory->header;

	snprintf(h->text, sizeof(h->text), "%s", text);
	atomic_store_explicit(&h->state, state, memory_order_release);
}

void ring__kick(struct ring *ring)
{
	/* Code that counts runs in forked children too, before anybody has told them to forget the ring. */
	if (!atomic_load(ring->here) || ring->pid != getpid())
		return;
	bell__ring(&ring->kicked);
	bell__ring(&ring->memory->header.agent_bell);
}

static bool new_client(const struct ring *ring)
{
	return atomic_load(&ring->memory->header.session) != ring->session;
}

/* While an answer waits for room, there is something to do when there is room, and nothing else. */
bool ring__is_pending(const struct ring *ring)
{
	return new_client(ring) ||
	       (ring->answer ? queue_writer__has_room(&ring->answers) : queue_reader__pending(&ring->requests));
}

/* Sends on what is left of an answer. False: there is more than there is room for. */
static bool send_rest(struct ring *ring)
{
	if (!queue_writer__send(&ring->answers))
		return false;
	free(ring->answer);
	ring->answer = NULL;
	/* Given up: the client's count makes no sense. */
	ring->answers.data = NULL;
	return true;
}

/* After many wake-ups for nothing, and twice as long each time. */
static void pause_if_empty(struct ring *ring, uint64_t deadline)
{
	unsigned more;
	uint64_t until;

	const size_t before = ring->progress;

	/* One that is on its way in pieces is something; one that came to nothing is not. */
	ring->progress = ring->requests.len;
	if (ring->progress > before || ++ring->empty <= EMPTY_MAX)
		return;
	more = ring->empty - EMPTY_MAX;
	until = now_ns() + (PAUSE_FIRST_NS << (more < PAUSE_DOUBLED ? more : PAUSE_DOUBLED));
	bell__wait(&ring->kicked, 0, until < deadline ? until : deadline);
}

void ring__wait(struct ring *ring, uint64_t deadline)
{
	_Atomic uint32_t *bell = &ring->memory->header.agent_bell;
	uint32_t value;

	pause_if_empty(ring, deadline);
	value = atomic_load(bell);
	if (!atomic_exchange(&ring->kicked, 0)) {
		if (!ring__is_pending(ring))
			bell__wait(bell, value, deadline);
		if (!atomic_exchange(&ring->kicked, 0))
			return;
	}
	ring->empty = 0; /* by our own side */
}

/* Drops what an older client has left, and lets the new one begin. */
static void begin_session(struct ring *ring, uint32_t session)
{
	struct proto_header *h = &ring->memory->header;

	queue_reader__skip(&ring->requests);
	queue_writer__restart(&ring->answers);
	free(ring->answer);
	ring->answer = NULL;
	ring->session = session;
	atomic_store(&h->session_ack, session);
	bell__ring(&h->client_bell);
}

bool ring__receive(struct ring *ring, uint16_t *type, struct msg_in *request)
{
	struct proto_header *h = &ring->memory->header;
	uint32_t session = atomic_load(&h->session);

	if (session != ring->session)
		begin_session(ring, session);
	if (!send_rest(ring) || queue_reader__take(&ring->requests, session) != 1)
		return false;
	atomic_store(&h->taken, (uint64_t)session << 32 | ring->requests.first.id);
	if (new_client(ring))
		return false; /* it was withdrawn */
	ring->empty = 0;
	*type = (uint16_t)ring->requests.first.type;
	request->data = ring->requests.data;
	request->len = ring->requests.len;
	return true;
}

void ring__answer(struct ring *ring, uint16_t type, const struct msg_out *answer)
{
	queue_writer__begin(&ring->answers, ring->session, ring->requests.first.id, type, answer->data, answer->len);
	if (send_rest(ring))
		return;
	ring->answer = malloc(answer->len);
	if (ring->answer)
		memcpy(ring->answer, answer->data, answer->len);
	/* Without memory the client waits in vain, and then asks again. */
	ring->answers.data = ring->answer;
}
