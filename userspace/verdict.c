/* verdict: see verdict.h. A line for each proof: build-id, sites, kernel, and the build-id of our own executable. */
#include "verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "elf.h"
#include "site.h"

#define MAX_BYTES (64 << 10)

/* The folder: $XDG_CACHE_HOME/pylu, for root /var/cache/pylu, else ~/.cache/pylu. With `make` it is made where it is
 * missing. An open descriptor, or -1. */
static int open_folder(bool make)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	char path[4096];
	struct stat st;
	int fd;

	if (xdg && xdg[0] == '/')
		snprintf(path, sizeof(path), "%s/pylu", xdg);
	else if (geteuid() == 0)
		snprintf(path, sizeof(path), "/var/cache/pylu");
	else if (home && home[0] == '/')
		snprintf(path, sizeof(path), "%s/.cache/pylu", home);
	else
		return -1;
	if (make && mkdir(path, 0700) && errno != EEXIST)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & 022)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int open_file(int flags)
{
	int folder = open_folder(flags & O_CREAT), fd;
	struct stat st;

	if (folder < 0)
		return -1;
	fd = openat(folder, "proved", flags | O_NOFOLLOW | O_CLOEXEC, 0600);
	close(folder);
	if (fd >= 0 && (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 077 ||
			st.st_size > MAX_BYTES)) {
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
static bool line_of(const char *build_id, const struct site_set *sites, char *line, size_t size)
{
	struct elf_file *self;
	struct utsname host;
	bool known;

	if (!build_id[0] || uname(&host) || elf_file__open("/proc/self/exe", &self))
		return false;
	known = elf_file__build_id(self)[0];
	snprintf(line, size, "%s %016llx %s %s\n", build_id, (unsigned long long)hash_sites(sites), host.release,
		 elf_file__build_id(self));
	elf_file__close(self);
	return known;
}

bool verdict_known(const char *build_id, const struct site_set *sites)
{
	char want[512], line[512];
	bool found = false;
	FILE *f;
	int fd;

	if (!line_of(build_id, sites, want, sizeof(want)))
		return false;
	fd = open_file(O_RDONLY);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && fgets(line, sizeof(line), f))
		found = !strcmp(line, want);
	fclose(f);
	return found;
}

void verdict_store(const char *build_id, const struct site_set *sites)
{
	char line[512];
	ssize_t written;
	int fd;

	if (!line_of(build_id, sites, line, sizeof(line)))
		return;
	fd = open_file(O_WRONLY | O_CREAT | O_APPEND);
	if (fd < 0)
		return;
	written = write(fd, line, strlen(line));
	(void)written;
	close(fd);
}
