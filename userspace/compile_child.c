/* compile_child: the process that compiles: started, asked, ended. What is said is compile.c's business. */
#include "compile_priv.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock_ns.h"
#include "compile.h"
#include "diag.h"
#include "prove_child.h"
#include "proto.h"

/* A socket and no pipes: writing to one whose reader has ended raises no signal. */
int compile_child__start(const struct target *t, struct compile_child *child, const char **why)
{
	struct prove_child how;
	int fd[2], err = prove_child__of_target(t, &how, why);

	*child = (struct compile_child){ .pid = -1, .fd = -1 };
	if (!err && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
		err = diag_error(-errno, "cannot make a socket for the compiler: %s", strerror(errno));
	if (err) {
		prove_child__close(&how);
		return err;
	}
	child->pid = prove_child__start(&how, compile_script, fd[1], fd[1]);
	prove_child__close(&how);
	close(fd[1]);
	if (child->pid < 0) {
		close(fd[0]);
		return diag_error(child->pid, "cannot start the compiler: %s", strerror(-child->pid));
	}
	child->fd = fd[0];
	child->deadline_ns = monotonic_ns() + COMPILE_SECONDS * 1000000000ULL;
	return 0;
}

void compile_child__end(struct compile_child *child)
{
	if (child->pid <= 0)
		return;
	close(child->fd);
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
	child->pid = -1;
}

/* Whether the socket is ready for `events` in time. 0 or -ETIMEDOUT, reported. */
static int await(const struct compile_child *child, short events)
{
	struct pollfd p = { .fd = child->fd, .events = events };

	for (;;) {
		uint64_t now = monotonic_ns();

		if (now >= child->deadline_ns)
			return diag_error(-ETIMEDOUT, "the compiler was not done after %d seconds, and was ended",
					  COMPILE_SECONDS);
		if (poll(&p, 1, (int)((child->deadline_ns - now) / 1000000) + 1) > 0)
			return 0;
	}
}

/* The whole of `len` bytes, one way or the other. 0, -ETIMEDOUT (reported), -EPIPE. */
static int move(const struct compile_child *child, uint8_t *data, size_t len, bool out)
{
	while (len) {
		int err = await(child, out ? POLLOUT : POLLIN);
		ssize_t n;

		if (err)
			return err;
		n = out ? send(child->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT)
			: recv(child->fd, data, len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return -EPIPE;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Says how the child ended. What is in the source may crash a parser: then it must not be tried in the target. */
static int ended(struct compile_child *child, const char **why)
{
	int status = 0;

	kill(child->pid, SIGKILL); /* where only its output was closed; else it is too late */
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	child->pid = -1;
	close(child->fd);
	if (WIFEXITED(status) && WEXITSTATUS(status)) {
		*why = WEXITSTATUS(status) == 126 ? "the target's root or user could not be taken on"
						  : "the target's interpreter does not start by itself";
		return -ENOENT;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		return diag_error(-EIO, "the compiler was ended by signal %d (%s)", WTERMSIG(status),
				  strsignal(WTERMSIG(status)));
	return diag_error(-EIO, "the compiler ended without an answer");
}

int compile_child__ask(struct compile_child *child, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len,
		       const char **why)
{
	uint32_t head[2];
	size_t json, data;
	int err;

	*out = NULL;
	err = move(child, (uint8_t *)in, len, true);
	err = err ? err : move(child, (uint8_t *)head, sizeof(head), false);
	if (err)
		return err == -EPIPE ? ended(child, why) : err;
	json = le32toh(head[0]);
	data = le32toh(head[1]);
	if (json > COMPILE_JSON_MAX || data > PROTO_MESSAGE_MAX)
		return diag_error(-DIAG_BAD_DATA, "what the compiler made is too large: %zu bytes", json + data);
	*out_len = sizeof(head) + json + data;
	*out = malloc(*out_len);
	if (!*out)
		return diag_error(-ENOMEM, "no memory for what the compiler made");
	memcpy(*out, head, sizeof(head));
	err = move(child, *out + sizeof(head), json + data, false);
	if (err) {
		free(*out);
		*out = NULL;
	}
	return err == -EPIPE ? ended(child, why) : err;
}
