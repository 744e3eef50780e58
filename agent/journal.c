/*
 * journal: what was asked of the agent, by whom, and what came of it: the last lines in the agent's own memory, and all of them in a log
 * file where the program has set one. What is worth a line is for those who call.
 *
 * The file is opened anew for each batch: a program that closes all its descriptors and opens others would else find our lines
 * in a file of its own. It is written by journal__flush, which holds neither the GIL nor a lock.
 */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "handlers.h"

#define LINES_MAX 1000
#define PART_MAX 512 /* bytes of one of the four parts, before it is quoted */

static struct {
	pthread_mutex_t lock;
	char *lines[LINES_MAX];	 /* a ring: line number n is at n % LINES_MAX */
	uint64_t count, written; /* lines ever added, and those that the log file has */
	char *log;		 /* path, absolute */
	int log_error;		 /* -errno of the last attempt to write, or 0 */
} journal = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* `name="text"`: nothing in a text can end the quotes or the line. */
static char *quote(char *out, const char *name, const char *text)
{
	size_t n = 0;

	out += sprintf(out, " %s=\"", name);
	for (; text && *text && n < PART_MAX; text++, n++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			*out++ = '\\', *out++ = (char)c;
		else if (c < 0x20 || c == 0x7f)
			out += sprintf(out, "\\x%02x", c);
		else
			*out++ = (char)c;
	}
	while (text && *text && ((unsigned char)*text & 0xc0) == 0x80) /* a character that was cut is finished */
		*out++ = *text++;
	return stpcpy(out, text && *text ? "...\"" : "\"");
}

void journal_add(const char *who, const char *what, const char *source_hash, const char *result)
{
	char *line = malloc(4 * (4 * PART_MAX + 32) + 64), *at = line, *smaller;
	struct timespec now;
	struct tm tm;

	if (!line)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	at += strftime(at, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	at += sprintf(at, ".%03ldZ pid=%d", now.tv_nsec / 1000000, (int)getpid());
	at = quote(at, "who", who);
	at = quote(at, "what", what);
	if (source_hash)
		at = quote(at, "source", source_hash);
	at = quote(at, "result", result);
	smaller = realloc(line, (size_t)(at - line) + 1);
	line = smaller ? smaller : line;
	pthread_mutex_lock(&journal.lock);
	if (journal.log && journal.count - journal.written >= LINES_MAX) { /* thousands in one go */
		pthread_mutex_unlock(&journal.lock);
		journal__flush();
		pthread_mutex_lock(&journal.lock);
	}
	if (journal.count >= LINES_MAX)
		free(journal.lines[journal.count % LINES_MAX]);
	journal.lines[journal.count % LINES_MAX] = line;
	journal.count++;
	pthread_mutex_unlock(&journal.lock);
}

int journal__set_log(const char *path)
{
	char *copy = NULL, folder[4096];

	if (path && *path != '/') {
		if (!getcwd(folder, sizeof(folder)))
			return -errno;
		if (asprintf(&copy, "%s/%s", folder, path) < 0)
			return -ENOMEM;
	} else if (path) {
		copy = strdup(path);
		if (!copy)
			return -ENOMEM;
	}
	pthread_mutex_lock(&journal.lock);
	free(journal.log);
	journal.log = copy;
	journal.written = journal.count;
	pthread_mutex_unlock(&journal.lock);
	return 0;
}

char *journal__log(void)
{
	char *copy;

	pthread_mutex_lock(&journal.lock);
	copy = journal.log ? strdup(journal.log) : NULL;
	pthread_mutex_unlock(&journal.lock);
	return copy;
}

/* Appends the text to a regular file that is there, or to a new one. 0 or -errno. */
static int append(const char *path, const char *text, size_t len)
{
	/* Not blocking: opening a FIFO that nobody reads would. */
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	off_t end;
	ssize_t n;
	int err = 0;

	if (fd < 0)
		return -errno;
	end = lseek(fd, 0, SEEK_END); /* fails for what is no file */
	if (end < 0)
		err = -errno;
	while (!err && len) {
		n = write(fd, text, len);
		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n > 0)
			text += n, len -= (size_t)n;
	}
	close(fd);
	return err;
}

/* The lines from number `from` on as one text, each with its end; to be freed. With the lock. */
static char *join(uint64_t from, size_t *len)
{
	char *text, *at;

	*len = 0;
	for (uint64_t n = from; n < journal.count; n++)
		*len += strlen(journal.lines[n % LINES_MAX]) + 1;
	text = at = malloc(*len + 1);
	for (uint64_t n = from; text && n < journal.count; n++)
		at = stpcpy(stpcpy(at, journal.lines[n % LINES_MAX]), "\n");
	return text;
}

void journal__flush(void)
{
	char *text = NULL, *path = NULL, said[PART_MAX];
	size_t len = 0;
	bool news;
	int err;

	pthread_mutex_lock(&journal.lock);
	if (journal.log && journal.written < journal.count) {
		path = strdup(journal.log);
		text = path ? join(journal.written, &len) : NULL;
		if (text)
			journal.written = journal.count;
	}
	pthread_mutex_unlock(&journal.lock);
	if (text) {
		err = append(path, text, len);
		pthread_mutex_lock(&journal.lock);
		news = err && err != journal.log_error;
		journal.log_error = err;
		pthread_mutex_unlock(&journal.lock);
		if (news) {
			snprintf(said, sizeof(said), "%s: %s", path, strerror(-err));
			journal_add("agent", "write the log file", NULL, said);
		}
	}
	free(text);
	free(path);
}

void journal__after_fork(void)
{
	char *log = journal.log;

	/* Who held the lock is not in this process, and may have been half way. The path only changes with the GIL held, as a fork. */
	if (pthread_mutex_trylock(&journal.lock)) {
		memset(&journal, 0, sizeof(journal));
		pthread_mutex_init(&journal.lock, NULL);
		journal.log = log;
		return;
	}
	journal.written = journal.count; /* the parent writes what it has */
	pthread_mutex_unlock(&journal.lock);
}

int handle_log(const struct msg_in *request, struct msg_out *answer)
{
	uint64_t max = msg__u64(request, PROTO_F_MAX, LINES_MAX), from;

	pthread_mutex_lock(&journal.lock);
	from = journal.count > LINES_MAX ? journal.count - LINES_MAX : 0;
	if (journal.count - from > max)
		from = journal.count - max;
	for (uint64_t n = from; n < journal.count; n++)
		msg__put_str(answer, PROTO_F_ENTRY, journal.lines[n % LINES_MAX]);
	pthread_mutex_unlock(&journal.lock);
	return 0;
}
