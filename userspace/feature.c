/* feature: the making of checks, and the reading of small files, for the files that do the looking. */
#include "feature.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "feature_priv.h"

const char *feature_status_name(enum feature_status status)
{
	static const char *const names[FEATURE_STATUSES] = {
		[FEATURE_UNKNOWN] = "unknown",
		[FEATURE_OK] = "ok",
		[FEATURE_LIMITED] = "limited",
		[FEATURE_NO] = "no",
	};

	return names[status];
}

void feature_check__say(struct feature_check *c, enum feature_status status, const char *fmt, ...)
{
	va_list args;

	c->status = status;
	va_start(args, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, args);
	va_end(args);
}

void feature_check__remedy(struct feature_check *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->remedy, sizeof(c->remedy), fmt, args);
	va_end(args);
}

void feature_check__flag(struct feature_check *c, bool value)
{
	c->type = FEATURE_FLAG;
	c->number = value;
}

void feature_check__number(struct feature_check *c, long long value)
{
	c->type = FEATURE_NUMBER;
	c->number = value;
}

void feature_check__text(struct feature_check *c, const char *value)
{
	c->type = FEATURE_TEXT;
	snprintf(c->value, sizeof(c->value), "%s", value);
}

struct feature_check *feature_list__add(struct feature_list *list, const char *name)
{
	struct feature_check *c = &list->checks[list->n < FEATURE_MAX ? list->n++ : FEATURE_MAX - 1];

	*c = (struct feature_check){ .name = name };
	return c;
}

static bool full_path(const struct feature_facts *facts, const char *path, char buf[PATH_MAX])
{
	int n = snprintf(buf, PATH_MAX, "%s%s", facts->root, path);

	return n > 0 && n < PATH_MAX;
}

ssize_t feature_read(const struct feature_facts *facts, const char *path, char *buf, size_t size)
{
	char full[PATH_MAX];
	size_t done = 0;
	ssize_t n = 0;
	int fd;

	buf[0] = '\0';
	if (!full_path(facts, path, full))
		return -ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < size - 1 && (n = read(fd, buf + done, size - 1 - done)) > 0)
		done += (size_t)n;
	n = n < 0 ? -errno : (ssize_t)done;
	close(fd);
	if (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

int feature_read_number(const struct feature_facts *facts, const char *path, long long *out)
{
	char text[64], *end;
	ssize_t n = feature_read(facts, path, text, sizeof(text));

	if (n < 0)
		return (int)n;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return end == text || *end || errno ? -EINVAL : 0;
}

bool feature_exists(const struct feature_facts *facts, const char *path)
{
	char full[PATH_MAX];

	return full_path(facts, path, full) && access(full, F_OK) == 0;
}

/* The link's text is "user:[4026531837]". */
uint32_t feature_namespace(const struct feature_facts *facts, const char *path)
{
	char full[PATH_MAX], link[64];
	unsigned number;
	ssize_t n;

	if (!full_path(facts, path, full))
		return 0;
	n = readlink(full, link, sizeof(link) - 1);
	link[n < 0 ? 0 : n] = '\0';
	return sscanf(link, "%*[a-z]:[%u]", &number) == 1 ? number : 0;
}
