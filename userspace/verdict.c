/*
 * verdict: see verdict.h. A line for each proof: build-id, sites, kernel, and the build-id of our own executable. The file
 * is never changed, but replaced by a whole new one, so that whoever reads it sees the old or the new.
 */
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "elf.h"
#include "site.h"

#define LINE_MAX_BYTES 512
#define LINES_KEPT 128 /* the latest; a host has a few builds, but each kernel and pylu-bpf proves them anew */
#define FILE_MAX_BYTES (LINES_KEPT * LINE_MAX_BYTES)
#define LOCK_TRIES 50 /* for 10 ms each: what others write is short, and an unremembered proof harms nobody */

static const char file_name[] = "proved", new_name[] = "proved.new";

/* The folder: $XDG_CACHE_HOME/pylu, for root /var/cache/pylu, else ~/.cache/pylu. With `make` it is made where it is
 * missing. An open descriptor, or -1. */
static int open_folder(bool make)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[4096];
	struct stat st;
	int fd, n = -1;

	if (xdg && xdg[0] == '/')
		n = snprintf(path, sizeof(path), "%s/pylu", xdg);
	else if (geteuid() == 0)
		n = snprintf(path, sizeof(path), "/var/cache/pylu");
	else if (home && home[0] == '/')
		n = snprintf(path, sizeof(path), "%s/.cache/pylu", home);
	if (n < 0 || n >= (int)sizeof(path) || (make && mkdir(path, 0700) && errno != EEXIST))
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 022)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* FNV-1a over what was proved. */
static uint64_t hash_sites(const struct site_set *sites)
{
	uint64_t hash = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < sites->n; i++) {
		const uint64_t words[] = { sites->sites[i].kind, sites->sites[i].addr, sites->sites[i].frame_reg,
					   sites->sites[i].tstate_reg };
		const uint8_t *bytes = (const uint8_t *)words;

		for (size_t k = 0; k < sizeof(words); k++)
			hash = (hash ^ bytes[k]) * 0x100000001b3ULL;
	}
	return hash;
}

/* The line of a proof. False when there is nothing to tell it by. */
static bool line_of(const char *build_id, const struct site_set *sites, char line[LINE_MAX_BYTES])
{
	struct elf_file *self;
	struct utsname host;
	bool known;

	if (!build_id[0] || uname(&host) || elf_file__open("/proc/self/exe", &self))
		return false;
	known = elf_file__build_id(self)[0];
	snprintf(line, LINE_MAX_BYTES, "%s %016llx %s %s\n", build_id, (unsigned long long)hash_sites(sites),
		 host.release, elf_file__build_id(self));
	elf_file__close(self);
	return known;
}

/* The file's bytes, terminated; none where it is missing, too large, or could have been written by others. */
static size_t read_all(int folder, char text[FILE_MAX_BYTES + 1])
{
	int fd = openat(folder, file_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t size = 0;
	ssize_t n;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) &&
	    st.st_size <= FILE_MAX_BYTES)
		while ((n = read(fd, text + size, FILE_MAX_BYTES - size)) > 0)
			size += (size_t)n;
	if (fd >= 0)
		close(fd);
	text[size] = '\0';
	return size;
}

/* The line in a text, as a whole one. */
static bool holds(const char *text, const char *line)
{
	for (const char *at = text; (at = strstr(at, line)); at++)
		if (at == text || at[-1] == '\n')
			return true;
	return false;
}

bool verdict_known(const char *build_id, const struct site_set *sites)
{
	char line[LINE_MAX_BYTES], *text;
	bool found = false;
	int folder;

	if (!line_of(build_id, sites, line))
		return false;
	folder = open_folder(false);
	text = malloc(FILE_MAX_BYTES + 1);
	if (folder >= 0 && text) {
		read_all(folder, text);
		found = holds(text, line);
	}
	free(text);
	if (folder >= 0)
		close(folder);
	return found;
}

/* What of an old file is kept: its last whole lines, if it holds nothing but text. */
static const char *kept(const char *text, size_t size)
{
	size_t lines = 0;

	for (size_t i = 0; i < size; i++)
		if (text[i] != '\n' && (text[i] < ' ' || text[i] > '~'))
			return "";
	if (size && text[size - 1] != '\n')
		return "";
	for (size_t at = size; at > 0; at--)
		if (text[at - 1] == '\n' && ++lines > LINES_KEPT - 1)
			return text + at;
	return text;
}

static bool write_new(int folder, const char *old, const char *line)
{
	size_t sizes[] = { strlen(old), strlen(line) };
	const char *parts[] = { old, line };
	bool ok;
	int fd;

	unlinkat(folder, new_name, 0);
	fd = openat(folder, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	ok = write(fd, parts[0], sizes[0]) == (ssize_t)sizes[0] && write(fd, parts[1], sizes[1]) == (ssize_t)sizes[1];
	if (close(fd) || !ok || renameat(folder, new_name, folder, file_name)) {
		unlinkat(folder, new_name, 0);
		return false;
	}
	return true;
}

/* So that of two that add a line at once neither loses its. A file system without locks is no reason to remember
 * nothing. */
static bool lock(int folder)
{
	const struct timespec pause = { 0, 10000000 };

	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(folder, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

void verdict_store(const char *build_id, const struct site_set *sites)
{
	char line[LINE_MAX_BYTES], *text;
	int folder;
	size_t size;

	if (!line_of(build_id, sites, line))
		return;
	folder = open_folder(true);
	text = malloc(FILE_MAX_BYTES + 1);
	if (folder >= 0 && text && lock(folder)) {
		size = read_all(folder, text);
		if (!holds(text, line))
			write_new(folder, kept(text, size), line);
	}
	free(text);
	if (folder >= 0)
		close(folder);
}
