/* owner: see owner.h. Without the C library's parsers and streams: the newest of them have names that old ones lack. */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TICKS 100 /* USER_HZ: what /proc counts in */
#define TICK_NS (1000000000 / TICKS)
#define STATE_FIELD 3
#define START_FIELD 22

/* The beginning of a file, ended by a NUL. 0 or -errno. */
static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	if (n <= 0)
		err = n ? -errno : -ESRCH;
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return err;
}

static int64_t number(const char **at)
{
	const char *s = *at + strspn(*at, " ");
	int64_t sign = *s == '-' ? -1 : 1, n = 0;

	for (s += *s == '-'; *s >= '0' && *s <= '9' && n < INT64_MAX / 20; s++)
		n = 10 * n + (*s - '0');
	*at = s;
	return sign * n;
}

/* What the reader's time namespace adds to times since the boot, in ticks; nothing where there are none. */
static int64_t own_offset(void)
{
	static const char name[] = "\nboottime";
	char text[256] = "\n";
	const char *at;
	int64_t seconds;

	if (read_text("/proc/self/timens_offsets", text + 1, sizeof(text) - 1))
		return 0;
	at = strstr(text, name);
	if (!at)
		return 0;
	at += sizeof(name) - 1;
	seconds = number(&at);
	return seconds * TICKS + number(&at) / TICK_NS;
}

int owner__read(const char *folder, char *state, uint64_t *start_time)
{
	char path[64], text[1024];
	const char *at;
	int err;

	snprintf(path, sizeof(path), "%s/stat", folder);
	err = read_text(path, text, sizeof(text));
	if (err)
		return err;
	at = strrchr(text, ')'); /* the name before it may hold anything */
	if (!at || at[1] != ' ' || !at[2])
		return -ESRCH;
	*state = at[2];
	for (int field = STATE_FIELD - 1; at && field < START_FIELD; field++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -ESRCH;
	*start_time = (uint64_t)(number(&at) - own_offset());
	return 0;
}

bool owner__same(uint64_t start_time, uint64_t other)
{
	return !start_time || !other || start_time - other + 1 <= 2;
}
