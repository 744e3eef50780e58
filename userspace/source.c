/* source: see source.h. */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_MAX (8 << 20)

struct source {
	uint64_t changed_ns;
	char *text;
	char **lines;
	uint32_t n;
};

/* O_NONBLOCK: it may be a pipe, which nobody writes to. */
static int open_file(pid_t pid, const char *file)
{
	char path[4096 + 64];
	int n = snprintf(path, sizeof(path), file[0] == '/' ? "/proc/%d/root%s" : "/proc/%d/cwd/%s", (int)pid, file);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
}

static int read_all(int fd, struct source *s)
{
	struct stat st;
	ssize_t got;
	size_t n = 0;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > SOURCE_MAX)
		return -1;
	s->changed_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000ULL + (uint64_t)st.st_mtim.tv_nsec;
	s->text = malloc((size_t)st.st_size + 1);
	if (!s->text)
		return -1;
	while (n < (size_t)st.st_size) {
		got = read(fd, s->text + n, (size_t)st.st_size - n);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	s->text[n] = 0;
	return 0;
}

static int split(struct source *s)
{
	uint32_t n = 1;
	char *p;

	for (p = s->text; *p; p++)
		n += *p == '\n';
	s->lines = calloc(n, sizeof(*s->lines));
	if (!s->lines)
		return -1;
	for (p = s->text; p; s->n++) {
		char *end = strchr(p, '\n');

		if (end) {
			*end = 0;
			if (end > p && end[-1] == '\r')
				end[-1] = 0;
		}
		s->lines[s->n] = p + strspn(p, " \t\f");
		p = end ? end + 1 : NULL;
	}
	return 0;
}

struct source *source__open(pid_t pid, const char *file)
{
	int fd = open_file(pid, file);
	struct source *s = fd < 0 ? NULL : calloc(1, sizeof(*s));

	if (s && (read_all(fd, s) || split(s))) {
		source__close(s);
		s = NULL;
	}
	if (fd >= 0)
		close(fd);
	return s;
}

void source__close(struct source *s)
{
	if (!s)
		return;
	free(s->lines);
	free(s->text);
	free(s);
}

const char *source__line(const struct source *s, uint32_t line)
{
	return s && line && line <= s->n && s->lines[line - 1][0] ? s->lines[line - 1] : NULL;
}

bool source__newer(const struct source *s, uint64_t since_ns)
{
	return s && s->changed_ns > since_ns;
}
