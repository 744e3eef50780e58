/*
 * inject_plan: finds in the target's own C library and dynamic linker what a thread is sent through.
 *
 * Everything is looked up in the files that the process has mapped; before an address is used the code there is
 * compared with the process's memory. glibc has dlopen in libc.so.6 from 2.34 on, in libdl.so.2 before.
 */
#include "inject_priv.h"

#include "diag.h"
#include "elf.h"
#include "mem.h"
#include "target.h"
#include "target_maps.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPARED 32 /* bytes of code at an address that are held against memory */
#define ADDRESS_MAX 24
#define NOTE_MAX 64 /* bytes of a build-id's note */

/* A file of the target's that is looked through. */
struct library {
	struct elf_file *elf; /* owned; NULL: not found */
	const struct mapping *map;
	uint64_t bias;
};

struct libraries {
	struct mappings maps;
	struct library c, dl, loader;
	bool musl;
};

static bool base_name_starts(const char *path, const char *start)
{
	const char *name = strrchr(path, '/');

	return name && !strncmp(name + 1, start, strlen(start));
}

/* The bytes at `addr` in the file are those in memory. */
static bool same_code(const struct target *t, const struct library *lib, uint64_t addr)
{
	uint8_t memory[COMPARED];
	size_t len = COMPARED;
	const uint8_t *file = elf_file__at(lib->elf, addr, &len);

	return file && !mem__read(t->mem, addr + lib->bias, memory, len) && !memcmp(file, memory, len);
}

/* The run-time address of a function of a library, 0 where it has none. */
static uint64_t function(const struct target *t, const struct library *lib, const char *name)
{
	struct elf_symbol symbol;

	if (!lib->elf || elf_file__symbol(lib->elf, name, &symbol) || !elf_file__is_code(lib->elf, symbol.addr) ||
	    !same_code(t, lib, symbol.addr))
		return 0;
	return symbol.addr + lib->bias;
}

/* Where a library is loaded, by a mapping that holds code of it. */
static bool set_bias(struct library *lib, const struct mapping *m)
{
	struct elf_section s;
	uint64_t offset;

	for (size_t i = 0; i < elf_file__section_count(lib->elf); i++) {
		if (elf_file__section(lib->elf, i, &s) || !elf_file__is_code(lib->elf, s.addr) ||
		    elf_file__file_offset(lib->elf, s.addr, &offset) || offset < m->offset ||
		    offset - m->offset >= m->end - m->start)
			continue;
		lib->bias = m->start + (offset - m->offset) - s.addr;
		lib->map = m;
		return true;
	}
	return false;
}

/* Opens the file behind a mapping when it defines `name`, and finds where it is loaded. */
static void open_library(const struct target *t, const struct mapping *m, const char *name, struct library *lib)
{
	struct elf_symbol symbol;
	char *path = NULL;

	if (lib->elf || mapping__open(t->pid, m, &lib->elf, &path))
		return;
	free(path);
	if (!elf_file__symbol(lib->elf, name, &symbol) && set_bias(lib, m))
		return;
	elf_file__close(lib->elf);
	lib->elf = NULL;
}

static int open_libraries(const struct target *t, struct libraries *libs)
{
	char link[64], exe[PATH_MAX];
	ssize_t n;
	int fd, err;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)t->pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	err = mappings__read(t->pid, exe, path_strip_deleted(exe), &libs->maps, &fd);
	if (err)
		return diag_error(err, "process %d: reading /proc/PID/maps failed: %s", (int)t->pid,
				  diag_strerror(err));
	close(fd);
	for (size_t i = 0; i < libs->maps.n; i++) {
		const struct mapping *m = &libs->maps.items[i];

		libs->musl |= base_name_starts(m->path, "ld-musl") || base_name_starts(m->path, "libc.musl");
		if (base_name_starts(m->path, "libc.so") || base_name_starts(m->path, "libc-"))
			open_library(t, m, "gnu_get_libc_version", &libs->c);
		else if (base_name_starts(m->path, "libdl.so") || base_name_starts(m->path, "libdl-"))
			open_library(t, m, "dlopen", &libs->dl);
		else if (base_name_starts(m->path, "ld-") || base_name_starts(m->path, "ld64"))
			open_library(t, m, "_r_debug", &libs->loader);
	}
	return 0;
}

static void close_libraries(struct libraries *libs)
{
	elf_file__close(libs->c.elf);
	elf_file__close(libs->dl.elf);
	elf_file__close(libs->loader.elf);
	mappings__free(&libs->maps);
}

/* libc's __restore_rt is a local symbol, mostly stripped, and always these two instructions: mov $15, %rax; syscall.
 * (sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c; debuggers know signal frames by the same bytes.) */
static uint64_t find_restore_rt(const struct target *t, const struct library *c)
{
	static const uint8_t code[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
	struct elf_section s;

	for (size_t i = 0; i < elf_file__section_count(c->elf); i++) {
		const uint8_t *found;

		if (elf_file__section(c->elf, i, &s) || !s.data || !elf_file__is_code(c->elf, s.addr))
			continue;
		found = memmem(s.data, s.size, code, sizeof(code));
		if (found && same_code(t, c, s.addr + (uint64_t)(found - s.data)))
			return s.addr + (uint64_t)(found - s.data) + c->bias;
	}
	return 0;
}

/* errno is a thread-local variable of libc; where it lies is told by the code of __errno_location, which adds a word
 * that the dynamic linker has filled in to the thread pointer, in either order. */
static bool find_errno(const struct target *t, const struct library *c, int64_t *out)
{
	static const uint8_t endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	static const uint8_t load[] = { 0x48, 0x8b, 0x05 }, load_end[] = { 0x64, 0x48, 0x03, 0x04, 0x25, 0, 0, 0, 0 };
	static const uint8_t add[] = { 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x03, 0x05 };
	uint64_t at = function(t, c, "__errno_location"), offset;
	uint8_t code[ADDRESS_MAX], *p = code;
	int32_t relative;

	if (!at || mem__read(t->mem, at, code, sizeof(code)))
		return false;
	if (!memcmp(p, endbr, sizeof(endbr)))
		p += sizeof(endbr);
	if (!memcmp(p, load, sizeof(load)) && !memcmp(p + sizeof(load) + 4, load_end, sizeof(load_end)))
		p += sizeof(load);
	else if (!memcmp(p, add, sizeof(add)))
		p += sizeof(add);
	else
		return false;
	memcpy(&relative, p, 4);
	at += (uint64_t)(p - code) + 4 + (uint64_t)(int64_t)relative;
	if (mem__read_u64(t->mem, at, &offset))
		return false;
	*out = (int64_t)offset;
	/* Below the thread pointer, and within what libc itself can have there. */
	return *out < 0 && *out > -(1 << 20);
}

static int refuse(const struct target *t, const char *why)
{
	return diag_error(-DIAG_NO_INJECT, "process %d: %s", (int)t->pid, why);
}

static int fill(const struct target *t, const struct libraries *libs, uint64_t call, struct inject_plan *plan)
{
	struct elf_symbol symbol;

	if (!libs->c.elf)
		return refuse(t, libs->musl ? "its C library is musl, and only glibc is known well enough"
					    : "no glibc was found in it that can be read");
	plan->entry = function(t, &libs->c, "dlopen");
	if (!plan->entry)
		plan->entry = function(t, &libs->dl, "dlopen");
	if (call)
		plan->entry = call;
	plan->restore_rt = find_restore_rt(t, &libs->c);
	plan->swab = function(t, &libs->c, "swab");
	if (!plan->entry || !libs->loader.elf)
		return refuse(t, "it was linked statically: it can load no library");
	if (!plan->restore_rt || !plan->swab || !find_errno(t, &libs->c, &plan->errno_at))
		return refuse(t, "its C library is built in a way that is not known");
	if (elf_file__symbol(libs->loader.elf, "_r_debug", &symbol))
		return refuse(t, "its dynamic linker tells no debugger of its state");
	/* struct r_debug of <link.h>: version, padding, r_map, r_brk, r_state */
	plan->loader_state = symbol.addr + libs->loader.bias + 24;
	plan->loader_start = libs->loader.map->start;
	plan->loader_end = libs->loader.map->end;
	/* An interpreter that has an allocator of its own in it may stand inside that one, with its lock held. */
	plan->text = elf_file__symbol(t->elf, "malloc", &symbol) != 0;
	return 0;
}

int inject_plan__make(const struct target *t, uint64_t call, struct inject_plan *out)
{
	struct libraries libs = { 0 };
	int err;

	memset(out, 0, sizeof(*out));
	err = open_libraries(t, &libs);
	if (!err)
		err = fill(t, &libs, call, out);
	close_libraries(&libs);
	return err;
}

/* Whether a file is what is mapped, by its build-id. */
static bool same_build(const struct target *t, const struct library *lib)
{
	uint8_t memory[NOTE_MAX];
	struct elf_section s;

	for (size_t i = 0; i < elf_file__section_count(lib->elf); i++) {
		if (!elf_file__section(lib->elf, i, &s) && !strcmp(s.name, ".note.gnu.build-id") && s.data &&
		    s.size <= NOTE_MAX)
			return !mem__read(t->mem, s.addr + lib->bias, memory, s.size) &&
			       !memcmp(memory, s.data, s.size);
	}
	return false;
}

/* The file behind the mapping is mostly unlinked, and only the privileged may open it then: ours may be the same. */
static int find_in(const struct target *t, const struct mapping *m, const char *own, const char *symbol, uint64_t *addr)
{
	struct library lib = { 0 };

	open_library(t, m, symbol, &lib);
	if (!lib.elf && !elf_file__probe(own, &lib.elf) && (!set_bias(&lib, m) || !same_build(t, &lib))) {
		elf_file__close(lib.elf);
		lib.elf = NULL;
	}
	*addr = function(t, &lib, symbol);
	elf_file__close(lib.elf);
	return *addr ? 0
		     : diag_error(-DIAG_BAD_DATA,
				  "process %d has a library loaded, %s, that is another one than %s and cannot be "
				  "looked into; root can",
				  (int)t->pid, m->path, own);
}

/* Python's name for an extension is without the "lib" that the linker's has. */
static bool is_of_kind(const char *path, const char *stem)
{
	return base_name_starts(path, stem) || (!strncmp(stem, "lib", 3) && base_name_starts(path, stem + 3));
}

int inject_find_loaded(const struct target *t, const char *own, const char *symbol, uint64_t *addr)
{
	const char *name = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;
	char stem[64];
	struct mappings maps = { 0 };
	int fd, err = mappings__read(t->pid, "", false, &maps, &fd);

	snprintf(stem, sizeof(stem), "%.*s", (int)strcspn(name, "."), name);
	if (err) {
		err = diag_error(err, "process %d: reading /proc/PID/maps failed: %s", (int)t->pid, diag_strerror(err));
	} else {
		close(fd);
		err = -ENOENT;
		for (size_t i = 0; err == -ENOENT && i < maps.n; i++)
			if (is_of_kind(maps.items[i].path, stem))
				err = find_in(t, &maps.items[i], own, symbol, addr);
	}
	mappings__free(&maps);
	return err;
}
