/*
 * target_maps: parses /proc/PID/maps.
 *
 * Owns the list. The names in it are the target's to choose: a file is opened through the kernel's own link to what is
 * mapped where we may follow that, and callers compare what they got with the process's memory.
 */
#include "target_maps.h"

#include "diag.h"
#include "elf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINES_MAX (1u << 20) /* 16 times the kernel's default for vm.max_map_count */

bool path_strip_deleted(char *path)
{
	static const char suffix[] = " (deleted)";
	size_t len = strlen(path), n = sizeof(suffix) - 1;

	if (len <= n || strcmp(path + len - n, suffix) != 0)
		return false;
	path[len - n] = '\0';
	return true;
}

/* In maps the kernel writes a line feed in a name as \012, and nothing else so. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from;) {
		if (strncmp(from, "\\012", 4) == 0) {
			*to++ = '\n';
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static enum rank rank_of(const struct mapping *m, const char *exe, bool exe_deleted)
{
	const char *name = strrchr(m->path, '/');

	if (m->deleted == exe_deleted && strcmp(m->path, exe) == 0)
		return RANK_EXE;
	if (name && strncmp(name, "/libpython", 10) == 0)
		return RANK_LIBPYTHON;
	return name && strstr(name, "python") ? RANK_PYTHON : RANK_OTHER;
}

/* One line of maps. 0, 1 when it is an executable mapping of a file, or -ENOMEM. */
static int parse_line(char *line, const char *exe, bool exe_deleted, struct mappings *maps, struct mapping *m)
{
	unsigned major, minor;
	char perms[5] = "";
	int path_at = 0;

	memset(m, 0, sizeof(*m));
	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", &m->start, &m->end, perms, &m->offset, &major, &minor,
		   &m->inode, &path_at) < 7 ||
	    path_at == 0 || m->inode == 0 || line[path_at] != '/')
		return 0;
	m->dev = (uint64_t)major << 32 | minor;
	m->path = strdup(line + path_at);
	if (!m->path)
		return -ENOMEM;
	m->deleted = path_strip_deleted(m->path);
	unescape(m->path);
	m->rank = rank_of(m, exe, exe_deleted);
	if (m->rank == RANK_EXE && m->offset == 0 && !maps->exe_start)
		maps->exe_start = m->start;
	if (perms[2] == 'x')
		return 1;
	free(m->path);
	return 0;
}

int mappings__parse(FILE *text, const char *exe, bool exe_deleted, struct mappings *maps)
{
	struct mapping m, *grown;
	size_t size = 0, lines = 0;
	char *line = NULL;
	int err = 0;

	while (lines++ < LINES_MAX && getline(&line, &size, text) > 0) {
		err = parse_line(line, exe, exe_deleted, maps, &m);
		if (err < 0)
			break;
		if (err == 0)
			continue;
		grown = reallocarray(maps->items, maps->n + 1, sizeof(*maps->items));
		if (!grown) {
			free(m.path);
			err = -ENOMEM;
			break;
		}
		maps->items = grown;
		maps->items[maps->n++] = m;
	}
	free(line);
	return err < 0 ? err : 0;
}

int mappings__read(pid_t pid, const char *exe, bool exe_deleted, struct mappings *maps, int *fd)
{
	char path[64];
	int copy, err;
	FILE *f;

	memset(maps, 0, sizeof(*maps));
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	/* A stream of its own, since closing it closes its descriptor. */
	copy = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
	f = copy < 0 ? NULL : fdopen(copy, "r");
	err = f ? mappings__parse(f, exe, exe_deleted, maps) : -errno;
	if (f)
		fclose(f);
	else if (copy >= 0)
		close(copy);
	if (err) {
		close(*fd);
		*fd = -1;
	}
	return err;
}

void mappings__free(struct mappings *maps)
{
	for (size_t i = 0; i < maps->n; i++)
		free(maps->items[i].path);
	free(maps->items);
	memset(maps, 0, sizeof(*maps));
}

bool mapping__same_file(const struct mapping *a, const struct mapping *b)
{
	return a->dev == b->dev && a->inode == b->inode && a->deleted == b->deleted;
}

int mapping__open(pid_t pid, const struct mapping *m, struct elf_file **elf, char **path)
{
	int err = -ENOENT, next, n;

	for (int way = 0; way < 3; way++) {
		*path = NULL;
		if (way == 0)
			n = asprintf(path, "/proc/%d/map_files/%lx-%lx", (int)pid, m->start, m->end);
		else if (way == 1 && m->rank == RANK_EXE)
			n = asprintf(path, "/proc/%d/exe", (int)pid);
		else if (way == 2 && !m->deleted)
			n = asprintf(path, "/proc/%d/root%s", (int)pid, m->path);
		else
			continue;
		if (n < 0)
			return -ENOMEM;
		next = elf_file__probe(*path, elf);
		if (next == 0)
			return 0;
		free(*path);
		*path = NULL;
		/* It opened, and is not for us: another way would lead to the same file. */
		if (next == -DIAG_UNSUPPORTED || next == -DIAG_BAD_DATA)
			return next;
		if (err != -EACCES && err != -EPERM)
			err = next;
	}
	return err;
}
