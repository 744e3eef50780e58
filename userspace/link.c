/* link: see link.h. */
#include "link.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proto.h"
#include "queue.h"
#include "ring.h"
#include "clock_ns.h"
#include "diag.h"

#define MS 1000000ULL
#define LOOK_NS (100 * MS) /* how often it looks whether the process is still there */
#define LOCK_NS (5 * MS)
#define NAME "/memfd:" PROTO_MEMFD_NAME " (deleted)"
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

struct link {
	pid_t pid;
	int fd;
	struct proto_memory *memory;
	uint64_t start_time;
	uint32_t session;
	struct queue_writer requests;
	struct queue_reader answers;
};

/* State and start time of a process, and its id in its own pid namespace. 0 or -ESRCH. */
static int read_process(pid_t pid, char *state, uint64_t *start_time, uint32_t *inner_pid)
{
	char path[64], line[1024], *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	at = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (f)
		fclose(f);
	if (!at || at[1] != ' ')
		return -ESRCH;
	*state = at[2];
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	*start_time = at ? strtoull(at, NULL, 10) : 0;
	*inner_pid = (uint32_t)pid;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		at = strrchr(line, '\t'); /* the innermost is the last */
		*inner_pid = at ? (uint32_t)strtoul(at, NULL, 10) : *inner_pid;
	}
	if (f)
		fclose(f);
	return 0;
}

/* Descriptor `*number` or the next one of the ring's name. 1, 0 when there is none, or -errno when the folder may not be read. */
static int next_named(DIR *dir, char *path, size_t size, pid_t pid)
{
	char target[PATH_MAX];
	struct dirent *entry;
	ssize_t n;

	while ((entry = readdir(dir))) {
		snprintf(path, size, "/proc/%d/fd/%.20s", (int)pid, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n != (ssize_t)strlen(NAME))
			continue;
		if (!memcmp(target, NAME, (size_t)n))
			return 1;
	}
	return 0;
}

static DIR *open_folder(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return opendir(path);
}

bool link_exists(pid_t pid)
{
	DIR *dir = open_folder(pid);
	char path[64];
	bool found = dir && next_named(dir, path, sizeof(path), pid) == 1;

	if (dir)
		closedir(dir);
	return found;
}

/* Whether the file cannot change its size under us: touching what was cut off would end this process. */
static bool is_sealed(int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && !fstat(fd, &st) &&
	       st.st_size == (off_t)sizeof(struct proto_memory);
}

/* Opens one that may be the agent's. 0, -ENOENT (it is not this process's own), -EPERM, or -DIAG_UNSUPPORTED with *why. */
static int try_one(struct link *link, const char *path, uint32_t inner_pid, uint32_t *version)
{
	struct proto_header *h;
	int fd = open(path, O_RDWR | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno == EACCES || errno == EPERM ? -EPERM : -ENOENT;
	if (!is_sealed(fd)) {
		close(fd);
		return -ENOENT;
	}
	link->memory = mmap(NULL, sizeof(*link->memory), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (link->memory == MAP_FAILED) {
		close(fd);
		return -ENOMEM;
	}
	h = &link->memory->header;
	/* A forked child has its parent's ring among its descriptors. */
	if (h->magic != PROTO_MAGIC || h->pid != inner_pid || (h->start_time && h->start_time != link->start_time))
		err = -ENOENT;
	*version = h->version_min;
	if (!err && (h->size != sizeof(*link->memory) || *version > PROTO_VERSION || h->version < PROTO_VERSION))
		err = -DIAG_UNSUPPORTED;
	if (err) {
		munmap(link->memory, sizeof(*link->memory));
		close(fd);
		return err;
	}
	link->fd = fd;
	return 0;
}

static int find(struct link *link, uint32_t inner_pid)
{
	DIR *dir = open_folder(link->pid);
	bool denied = !dir && (errno == EACCES || errno == EPERM);
	uint32_t version = 0;
	char path[64];
	int err = -ENOENT;

	while (dir && err != 0 && next_named(dir, path, sizeof(path), link->pid) == 1) {
		err = try_one(link, path, inner_pid, &version);
		denied |= err == -EPERM;
		if (err == -DIAG_UNSUPPORTED)
			break;
	}
	if (dir)
		closedir(dir);
	if (!err)
		return 0;
	if (err == -DIAG_UNSUPPORTED)
		return diag_error(err, "process %d: its agent speaks version %u of the protocol, this program %u",
				  (int)link->pid, version, PROTO_VERSION);
	if (denied)
		return diag_error(
			-EPERM,
			"process %d: only its user or root may talk to its agent, and root alone where the process "
			"has changed its user id",
			(int)link->pid);
	return diag_error(-DIAG_NO_AGENT, "process %d has no agent", (int)link->pid);
}

/* What stands in the way of an answer, 0 when nothing is known to. Reported. */
static int look(const struct link *link, const char *while_what)
{
	uint64_t start_time;
	uint32_t inner;
	char state = 0;

	if (read_process(link->pid, &state, &start_time, &inner) || start_time != link->start_time ||
	    strchr("ZX", state))
		return diag_error(-DIAG_GONE, "process %d ended %s", (int)link->pid, while_what);
	if (link->memory->header.magic != PROTO_MAGIC)
		return diag_error(-DIAG_GONE, "the agent of process %d ended %s", (int)link->pid, while_what);
	return 0;
}

/* The time is over: why? Reported. */
static int late(const struct link *link, const char *while_what)
{
	char text[PROTO_TEXT_MAX], state = 0;
	uint64_t start_time;
	uint32_t inner;

	memcpy(text, link->memory->header.text, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (char *s = text; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			*s = '?';
	if (!read_process(link->pid, &state, &start_time, &inner) && strchr("Tt", state))
		return diag_error(-ETIMEDOUT, "process %d is stopped (as by SIGSTOP), and does not answer %s",
				  (int)link->pid, while_what);
	if (atomic_load(&link->memory->header.state) == RING_STUCK)
		return diag_error(-ETIMEDOUT, "the interpreter of process %d is stuck %s: %s", (int)link->pid,
				  while_what, text);
	return diag_error(-ETIMEDOUT, "the agent of process %d did not answer in time %s", (int)link->pid, while_what);
}

/* The kernel gives the lock back when a client dies. */
static int lock(const struct link *link, uint64_t until)
{
	bool said = false;

	while (flock(link->fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return diag_error(-errno, "process %d: its agent's memory cannot be locked: %s", (int)link->pid,
					  strerror(errno));
		if (monotonic_ns() > until)
			return diag_error(-ETIMEDOUT, "process %d: another pylu-cli is still talking to its agent",
					  (int)link->pid);
		if (!said)
			diag_debug("process %d: waiting for another pylu-cli", (int)link->pid);
		said = true;
		nanosleep(&(struct timespec){ .tv_nsec = LOCK_NS }, NULL);
	}
	return 0;
}

/* Waits for the bell, at most a little. 0, or a code that was reported. */
static int doze(const struct link *link, uint32_t value, uint64_t until, const char *while_what)
{
	uint64_t now = monotonic_ns();

	if (now > until)
		return late(link, while_what);
	bell__wait(&link->memory->header.client_bell, value, now + LOOK_NS < until ? now + LOOK_NS : until);
	return monotonic_ns() - now > LOOK_NS / 2 ? look(link, while_what) : 0;
}

static int begin(struct link *link, uint64_t until)
{
	struct proto_header *h = &link->memory->header;
	uint32_t before = atomic_load(&h->session), value;
	int err = 0;

	do {
		if (getrandom(&link->session, sizeof(link->session), 0) != sizeof(link->session))
			return diag_error(-EIO, "no random number to be had");
	} while (!link->session || link->session == before);
	atomic_store(&h->session, link->session);
	bell__ring(&h->agent_bell);
	for (;;) {
		value = atomic_load(&h->client_bell);
		if (atomic_load(&h->session_ack) == link->session)
			break;
		err = doze(link, value, until, "while it was asked whether it is there");
		if (err)
			return err;
	}
	link->requests.queue = &link->memory->requests;
	link->requests.head = atomic_load(&link->memory->requests.tail);
	link->answers.queue = &link->memory->answers;
	link->requests.bell = link->answers.bell = &h->agent_bell;
	queue_reader__skip(&link->answers);
	return 0;
}

static int refused(const struct link *link)
{
	char text[PROTO_TEXT_MAX];

	if (atomic_load(&link->memory->header.state) != RING_REFUSED)
		return 0;
	memcpy(text, link->memory->header.text, sizeof(text));
	text[sizeof(text) - 1] = '\0';
	return diag_error(-DIAG_UNSUPPORTED, "process %d: its agent does not work there: %s", (int)link->pid, text);
}

int link__open(pid_t pid, unsigned timeout_ms, struct link **out)
{
	uint64_t until = monotonic_ns() + timeout_ms * MS;
	struct link *link = calloc(1, sizeof(*link));
	uint32_t inner_pid;
	char state;
	int err;

	*out = NULL;
	if (!link)
		return diag_error(-ENOMEM, "out of memory");
	link->pid = pid;
	if (read_process(pid, &state, &link->start_time, &inner_pid) || strchr("ZX", state)) {
		free(link);
		return diag_error(-ESRCH, "there is no process %d", (int)pid);
	}
	err = find(link, inner_pid);
	if (err) {
		free(link);
		return err;
	}
	err = refused(link);
	if (!err)
		err = lock(link, until);
	if (!err)
		err = begin(link, until);
	if (err) {
		link__close(link);
		return err;
	}
	*out = link;
	return 0;
}

static int send(struct link *link, uint16_t type, const uint8_t *data, uint32_t total, uint64_t until)
{
	struct proto_record record = {
		.session = link->session, .type = type, .total = total, .sum = queue_sum(type, data, total)
	};
	uint32_t value;
	int put, err;

	for (uint32_t at = 0; at < total; at += record.size) {
		record.size = total - at < PROTO_PIECE_MAX ? total - at : PROTO_PIECE_MAX;
		for (;;) {
			value = atomic_load(&link->memory->header.client_bell);
			put = queue_writer__put(&link->requests, &record, data + at);
			if (put == 1)
				break;
			if (put < 0)
				return diag_error(-DIAG_BAD_DATA, "process %d: its agent's memory is damaged",
						  (int)link->pid);
			err = doze(link, value, until, "while it was sent a request");
			if (err)
				return err;
		}
	}
	return 0;
}

static int receive(struct link *link, uint16_t type, uint64_t until, struct msg_in *answer)
{
	uint32_t value;
	int got, err;

	for (;;) {
		value = atomic_load(&link->memory->header.client_bell);
		got = queue_reader__take(&link->answers, link->session);
		if (got < 0)
			return diag_error(-DIAG_BAD_DATA, "process %d: its agent's answer is damaged", (int)link->pid);
		if (got &&
		    (link->answers.first.type == PROTO_ERROR || link->answers.first.type == (type | PROTO_ANSWER)))
			break;
		if (got)
			continue; /* late, of a request that was given up */
		err = doze(link, value, until, "while it was busy with the request");
		if (err)
			return err;
	}
	*answer = (struct msg_in){ .data = link->answers.data, .len = link->answers.len };
	if (!msg__check(*answer))
		return diag_error(-DIAG_BAD_DATA, "process %d: its agent's answer makes no sense", (int)link->pid);
	if (link->answers.first.type != PROTO_ERROR)
		return 0;
	got = (int)(msg__u64(answer, PROTO_F_CODE, PROTO_E_FAILED) & 0xff);
	return got ? got : PROTO_E_FAILED;
}

int link__call(struct link *link, uint16_t type, struct msg_out *request, unsigned timeout_ms, struct msg_in *answer)
{
	static const uint8_t nothing[8];
	uint64_t until = monotonic_ns() + timeout_ms * MS;
	int err;

	if (request->failed)
		return diag_error(-E2BIG, "the request is longer than %u MB, or memory ran out",
				  PROTO_MESSAGE_MAX >> 20);
	err = send(link, type, request->len ? request->data : nothing, request->len ? (uint32_t)request->len : 8,
		   until);
	return err ? err : receive(link, type, until, answer);
}

void link__close(struct link *link)
{
	if (!link)
		return;
	queue_reader__free(&link->answers);
	munmap(link->memory, sizeof(*link->memory));
	close(link->fd);
	free(link);
}
