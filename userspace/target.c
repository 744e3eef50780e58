/*
 * target: finds the interpreter in a running process: which of the mapped files holds it, where it is loaded, which
 * version it is.
 *
 * Owns what /proc tells of a process, the interpreter's ELF file and the view of the process's memory. Does not read
 * the interpreter's objects (pyobj) and writes nothing. What files alone tell is in target_file.c.
 *
 * The search: the executable first, then the mapped files with "python" in their names, then all others that are mapped
 * executable; the first that defines _PyEval_EvalFrameDefault is it. Names in a target's maps are the target's to
 * choose, and its files may be replaced while it runs. So the file is opened through the kernel's own link to what is
 * mapped where we may follow that, and before anything is believed its header and build-id are compared with the
 * process's memory.
 */
#include "target.h"

#include "diag.h"
#include "elf.h"
#include "mem.h"
#include "target_maps.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MAX 4096
#define SECTION_NOTE 7	     /* SHT_NOTE */
#define NOTE_COMPARE_MAX 256 /* bytes of each of as many notes: a file may claim thousands */
#define NOTES_MAX 32

/* Why a process cannot be looked at, kept until it is known whether anyone wants to hear it. */
struct refusal {
	const char *why; /* static storage */
	char message[1024];
};

static int __attribute__((format(printf, 4, 5)))
refuse(struct refusal *r, int code, const char *why, const char *fmt, ...)
{
	va_list args;

	r->why = why;
	va_start(args, fmt);
	vsnprintf(r->message, sizeof(r->message), fmt, args);
	va_end(args);
	return code;
}

static int refuse_memory(struct refusal *r)
{
	return refuse(r, -ENOMEM, "no memory", "no memory to look at a process");
}

static int refuse_gone(struct refusal *r, pid_t pid)
{
	return refuse(r, -ESRCH, "it has ended", "there is no process %d", (int)pid);
}

static int refuse_access(struct refusal *r, pid_t pid, const char *what)
{
	return refuse(r, -DIAG_NO_CAPABILITY, "no permission: CAP_SYS_PTRACE is missing",
		      "process %d: %s is not permitted without CAP_SYS_PTRACE", (int)pid, what);
}

/* What `err` (-errno) from a file below /proc/PID means. */
static int refuse_proc(struct refusal *r, pid_t pid, int err, const char *what)
{
	if (err == -EACCES || err == -EPERM)
		return refuse_access(r, pid, what);
	if (err == -ENOENT || err == -ESRCH)
		return refuse_gone(r, pid);
	return refuse(r, err, "/proc cannot be read", "process %d: %s failed: %s", (int)pid, what, diag_strerror(err));
}

/* Reads a small file below /proc/PID. Its length, or -errno; always terminated. */
static ssize_t read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	size_t done = 0;
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (done < size - 1 && (n = read(fd, buf + done, size - 1 - done)) > 0)
		done += (size_t)n;
	n = n < 0 ? -errno : (ssize_t)done;
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

/* State and start time: fields 3 and 22 of /proc/PID/stat, proc_pid_stat(5). Field 2, the name, may hold blanks and
 * brackets, but no field behind it does. */
static int read_stat(pid_t pid, char *state, uint64_t *start_time)
{
	char buf[2048], *s;
	ssize_t n = read_proc(pid, "stat", buf, sizeof(buf));

	if (n < 0)
		return (int)n;
	s = strrchr(buf, ')');
	if (!s || sscanf(s + 1, " %c", state) != 1)
		return -EIO;
	for (int field = 2; field < 22; field++) {
		s = strchr(s + 1, ' ');
		if (!s)
			return -EIO;
	}
	*start_time = strtoull(s + 1, NULL, 10);
	return 0;
}

static bool has_ended(char state)
{
	return state == 'Z' || state == 'X';
}

/* A line "Name:\tnumber..." of /proc/PID/status; the number at `index` behind the name. */
static bool status_number(const char *status, const char *name, int index, unsigned long *out)
{
	char *s = strstr(status, name), *end;

	if (!s)
		return false;
	s += strlen(name);
	do {
		*out = strtoul(s, &end, 10);
		if (end == s)
			return false;
		s = end;
	} while (index-- > 0);
	return true;
}

static int read_identity(struct target *t, struct refusal *r)
{
	unsigned long tgid, uid, gid;
	char status[8192], state;
	ssize_t n;
	int err;

	err = t->pid > 0 ? read_stat(t->pid, &state, &t->start_time) : -ENOENT;
	if (err == -ENOENT && t->pid > 0 && (kill(t->pid, 0) == 0 || errno == EPERM))
		return refuse_access(r, t->pid, "looking at it in /proc"); /* mounted with hidepid */
	if (err)
		return refuse_proc(r, t->pid, err, "reading /proc/PID/stat");
	if (has_ended(state))
		return refuse_gone(r, t->pid);
	n = read_proc(t->pid, "status", status, sizeof(status));
	if (n < 0)
		return refuse_proc(r, t->pid, (int)n, "reading /proc/PID/status");
	if (!status_number(status, "\nTgid:", 0, &tgid) || !status_number(status, "\nUid:", 1, &uid) ||
	    !status_number(status, "\nGid:", 1, &gid))
		return refuse(r, -EIO, "/proc is unreadable", "/proc/%d/status has no Tgid, Uid or Gid", (int)t->pid);
	if ((pid_t)tgid != t->pid)
		return refuse(r, -ESRCH, "a thread, not a process", "%d is a thread of process %lu, not a process",
			      (int)t->pid, tgid);
	t->uid = (uid_t)uid;
	t->gid = (gid_t)gid;
	return 0;
}

/* The bytes of C1 control characters in UTF-8 are C2 80 to C2 9F; diag.c has the same rule. */
static int read_command(struct target *t, struct refusal *r)
{
	char buf[COMMAND_MAX + 1];
	ssize_t n = read_proc(t->pid, "cmdline", buf, sizeof(buf));

	while (n > 0 && buf[n - 1] == '\0')
		n--;
	for (ssize_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)buf[i];

		if (c == '\0')
			buf[i] = ' ';
		else if (c < 0x20 || c == 0x7f)
			buf[i] = '?';
		else if (c == 0xc2 && i + 1 < n && (buf[i + 1] & 0xe0) == 0x80)
			buf[i] = buf[i + 1] = '?';
	}
	t->command = strndup(buf, n > 0 ? (size_t)n : 0);
	return t->command ? 0 : refuse_memory(r);
}

/* What the search has come to. */
struct search {
	const struct mapping *found;  /* through which mapping */
	const struct mapping *denied; /* the first file that may well be it and that we may not open */
	struct elf_file *old;	      /* an interpreter from before 3.6, Python 2's among them */
	const char *old_path;
	const struct mapping *bare; /* the first python by name that has no section headers, so no names to find */
	bool other_machine;	    /* the executable is not for x86-64 */
	bool python_named;	    /* some file's name has "python" in it */
};

static bool defines_code(const struct elf_file *elf, const char *name)
{
	struct elf_symbol sym;

	return elf_file__symbol(elf, name, &sym) == 0 && elf_file__is_code(elf, sym.addr);
}

/* Looks at one file: true when the search is over. The executable's ELF file is kept in any case, for target__symbol. */
static bool try_file(struct target *t, const struct mapping *m, struct search *s)
{
	struct elf_file *elf = NULL;
	char *path = NULL;
	int err = mapping__open(t->pid, m, &elf, &path);

	if ((err == -EACCES || err == -EPERM) && !s->denied && m->rank != RANK_OTHER)
		s->denied = m;
	if (err == -DIAG_UNSUPPORTED && m->rank == RANK_EXE)
		s->other_machine = true;
	if (err)
		return false;
	if (defines_code(elf, "_PyEval_EvalFrameDefault")) {
		t->elf = elf;
		t->open_path = path;
		s->found = m;
		return true;
	}
	free(path);
	if (!s->bare && m->rank != RANK_OTHER && strstr(m->path, "python") && !elf_file__section_count(elf))
		s->bare = m;
	if (!s->old && defines_code(elf, "PyEval_EvalFrameEx") && defines_code(elf, "Py_GetVersion")) {
		s->old = elf;
		s->old_path = m->path;
	} else if (m->rank == RANK_EXE && !t->exe) {
		t->exe = elf;
	} else {
		elf_file__close(elf);
	}
	return false;
}

static void search_files(struct target *t, struct mappings *maps, struct search *s)
{
	for (enum rank rank = RANK_EXE; rank < RANK_COUNT; rank++)
		for (size_t i = 0; i < maps->n; i++) {
			struct mapping *m = &maps->items[i];

			if (m->rank != rank || m->tried)
				continue;
			for (size_t k = i; k < maps->n; k++)
				if (mapping__same_file(&maps->items[k], m))
					maps->items[k].tried = true;
			s->python_named |= rank == RANK_LIBPYTHON || rank == RANK_PYTHON || strstr(m->path, "/python");
			if (try_file(t, m, s))
				return;
		}
}

/* Says why nothing was found. */
static int refuse_search(const struct target *t, const struct search *s, const char *exe, struct refusal *r)
{
	int pid = (int)t->pid;
	struct py_version v;

	/* Only map_files leads to what was deleted, and for others' processes its folder is closed too. */
	if (s->denied)
		return refuse(r, -DIAG_NO_CAPABILITY, "no permission to open its files",
			      "process %d: opening %s%s is not permitted without %s and CAP_DAC_READ_SEARCH", pid,
			      s->denied->path, s->denied->deleted ? ", which was deleted," : "",
			      s->denied->deleted ? "CAP_CHECKPOINT_RESTORE" : "CAP_SYS_PTRACE");
	if (s->old) {
		elf_python_version(s->old, &v);
		return refuse(r, -DIAG_UNSUPPORTED, v.major == 2 ? "Python 2" : "a Python before 3.6",
			      "process %d runs Python %s (%s)", pid, v.text[0] ? v.text : "before 3.6", s->old_path);
	}
	if (s->bare)
		return refuse(r, -DIAG_UNSUPPORTED, "a file without section headers",
			      "process %d: %s has no section headers, without which no interpreter can be found in it",
			      pid, s->bare->path);
	if (s->other_machine && s->python_named)
		return refuse(r, -DIAG_UNSUPPORTED, "not an x86-64 Python",
			      "process %d runs a Python that is not for x86-64 (%s)", pid, exe);
	if (s->other_machine)
		return refuse(r, -DIAG_NOT_PYTHON, "not an x86-64 program", "process %d (%s) is no x86-64 program", pid,
			      exe);
	return refuse(r, -DIAG_NOT_PYTHON, "no interpreter in it", "process %d (%s) holds no CPython interpreter", pid,
		      exe);
}

/* 1 the bytes at `addr` in the file are those in memory, 0 they are not, or mem__read's code. */
static int same_in_memory(const struct target *t, uint64_t addr, size_t len, uint64_t bias)
{
	uint8_t in_memory[NOTE_COMPARE_MAX];
	const uint8_t *in_file;
	int err;

	if (len > sizeof(in_memory))
		len = sizeof(in_memory);
	in_file = elf_file__at(t->elf, addr, &len);
	if (!in_file)
		return 0;
	err = mem__read(t->mem, addr + bias, in_memory, len);
	return err ? (err == -EFAULT ? 0 : err) : memcmp(in_file, in_memory, len) == 0;
}

/* Whether what is loaded with this bias is the file that we opened: ELF header, build-id and other notes. */
static int verify_bias(const struct target *t, uint64_t bias)
{
	int same = same_in_memory(t, elf_file__base(t->elf), 64, bias);
	unsigned compared = 0;
	struct elf_section s;

	for (size_t i = 0; same == 1 && compared < NOTES_MAX && i < elf_file__section_count(t->elf); i++)
		if (elf_file__section(t->elf, i, &s) == 0 && s.type == SECTION_NOTE && s.addr && s.size && s.data) {
			same = same_in_memory(t, s.addr, s.size, bias);
			compared++;
		}
	return same;
}

/* Whether the loader put a pointer where this bias says, moved by this bias. All versions export this variable, and
 * nothing changes it. */
static bool is_loaded(const struct target *t, uint64_t bias)
{
	struct elf_symbol sym;
	uint64_t in_file, in_memory;

	return elf_file__symbol(t->elf, "PyExc_TypeError", &sym) == 0 &&
	       elf_file__word(t->elf, sym.addr, &in_file) == 0 &&
	       mem__read_u64(t->mem, sym.addr + bias, &in_memory) == 0 && in_memory == in_file + bias;
}

/* By the mappings that hold the evaluation function: a program may map a file a second time, to read it. Of several
 * such the one that the loader worked on counts, else the first: it may not have come to its work yet. */
static int find_bias(struct target *t, const struct mappings *maps, const struct mapping *found, struct refusal *r)
{
	struct elf_symbol eval;
	uint64_t offset, bias;
	bool any = false;
	int same = 0;

	if (elf_file__symbol(t->elf, "_PyEval_EvalFrameDefault", &eval) != 0 ||
	    elf_file__file_offset(t->elf, eval.addr, &offset) != 0)
		return refuse(r, -DIAG_BAD_DATA, "its interpreter's file is damaged", "%s is damaged", t->interp_path);
	for (size_t i = 0; i < maps->n && same >= 0; i++) {
		const struct mapping *m = &maps->items[i];

		if (!mapping__same_file(m, found) || offset < m->offset || offset - m->offset >= m->end - m->start)
			continue;
		bias = m->start + (offset - m->offset) - eval.addr;
		same = verify_bias(t, bias);
		if (same != 1 || (any && !is_loaded(t, bias)))
			continue;
		t->bias = bias;
		any = true;
		if (is_loaded(t, bias))
			break;
	}
	if (any)
		return 0;
	if (same == -EPERM || same == -EACCES)
		return refuse_access(r, t->pid, "reading its memory");
	if (same == -ESRCH)
		return refuse_gone(r, t->pid);
	return refuse(r, -DIAG_BAD_DATA, "its interpreter's file was replaced",
		      "process %d: the file %s is not the one that the process has loaded", (int)t->pid,
		      t->interp_path);
}

static int read_version(struct target *t, struct refusal *r)
{
	struct elf_symbol sym;

	if (elf_python_version(t->elf, &t->version) != 0)
		return refuse(r, -DIAG_UNSUPPORTED, "unknown Python version",
			      "process %d: the version of the interpreter %s could not be told%s%s", (int)t->pid,
			      t->interp_path, t->version.text[0] ? ": " : "", t->version.text);
	/* Include/refcount.h (3.13: object.h) declares it and Objects/object.c defines it with Py_GIL_DISABLED only. */
	t->free_threaded = elf_file__symbol(t->elf, "_Py_MergeZeroLocalRefcount", &sym) == 0;
	if (t->free_threaded)
		return refuse(r, -DIAG_UNSUPPORTED, "a free-threaded Python",
			      "process %d runs a free-threaded Python %s (%s), which is not supported", (int)t->pid,
			      t->version.text, t->interp_path);
	return 0;
}

static int find_interpreter(struct target *t, struct refusal *r)
{
	char exe[PATH_MAX], link[64];
	struct mappings maps = { 0 };
	struct search search = { 0 };
	bool exe_deleted;
	ssize_t n;
	int err;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)t->pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	if (n < 0 && errno != ENOENT)
		return refuse_proc(r, t->pid, -errno, "reading /proc/PID/exe");
	if (n < 0)
		return refuse(r, -DIAG_NOT_PYTHON, "a kernel thread",
			      "process %d has no program in its memory: a kernel thread, or it is ending", (int)t->pid);
	exe[n] = '\0';
	exe_deleted = path_strip_deleted(exe);
	err = mappings__read(t->pid, exe, exe_deleted, &maps, &t->maps_fd);
	if (err) {
		err = refuse_proc(r, t->pid, err, "reading /proc/PID/maps");
		goto out;
	}
	search_files(t, &maps, &search);
	if (!search.found) {
		err = target__alive(t) ? refuse_search(t, &search, exe, r) : refuse_gone(r, t->pid);
		goto out;
	}
	t->deleted = search.found->deleted;
	t->in_exe = search.found->rank == RANK_EXE;
	t->interp_path = strdup(search.found->path);
	if (t->exe)
		t->exe_bias = maps.exe_start - elf_file__base(t->exe);
	err = t->interp_path ? read_version(t, r) : refuse_memory(r);
	if (!err)
		err = find_bias(t, &maps, search.found, r);
out:
	elf_file__close(search.old);
	mappings__free(&maps);
	return err;
}

static int look_at(pid_t pid, struct target **out, struct refusal *r)
{
	struct target *t = calloc(1, sizeof(*t));
	int err;

	*out = NULL;
	if (!t)
		return refuse_memory(r);
	t->pid = pid;
	t->maps_fd = -1;
	err = read_identity(t, r);
	if (!err)
		err = read_command(t, r);
	if (!err && mem__open(pid, &t->mem) != 0)
		err = refuse_gone(r, pid);
	if (!err)
		err = find_interpreter(t, r);
	if (err)
		target__close(t);
	else
		*out = t;
	return err;
}

int target__open(pid_t pid, struct target **out)
{
	struct refusal r;
	int err = look_at(pid, out, &r);

	return err ? diag_error(err, "%s", r.message) : 0;
}

int target__probe(pid_t pid, struct target **out, const char **why)
{
	struct refusal r;
	int err = look_at(pid, out, &r);

	*why = err ? r.why : NULL;
	return err;
}

void target__close(struct target *t)
{
	if (!t)
		return;
	if (t->maps_fd >= 0)
		close(t->maps_fd);
	free(t->command);
	free(t->interp_path);
	free(t->open_path);
	elf_file__close(t->elf);
	elf_file__close(t->exe);
	mem__close(t->mem);
	free(t);
}

bool target__alive(const struct target *t)
{
	uint64_t start_time;
	char state, byte;

	if (read_stat(t->pid, &state, &start_time) != 0 || start_time != t->start_time || has_ended(state))
		return false;
	/* An exec keeps pid and start time. But the descriptor belongs to the address space that was there when it was
	 * opened, and reads as empty once that is gone. */
	return pread(t->maps_fd, &byte, 1, 0) == 1;
}

/* Where an executable refers to a library's variable directly, the linker gives it a copy of its own, and the dynamic
 * linker makes the library use that one too. Types and None are such variables in programs that embed Python. */
int target__symbol(const struct target *t, const char *name, uint64_t *addr)
{
	struct elf_symbol sym;

	if (t->exe && elf_file__copied(t->exe, name, addr) == 0) {
		*addr += t->exe_bias;
		return 0;
	}
	if (elf_file__symbol(t->elf, name, &sym) != 0)
		return -ENOENT;
	*addr = sym.addr + t->bias;
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

/* Kernel threads have no executable, and others' processes one that we may not see. */
static bool may_look_at(pid_t pid)
{
	char path[64], byte;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, &byte, 1) == 1;
}

int target_for_each_pid(int (*fn)(pid_t pid, void *ctx), void *ctx)
{
	DIR *dir = opendir("/proc");
	pid_t *pids = NULL, *grown;
	struct dirent *entry;
	size_t n = 0;
	int err = 0;

	if (!dir)
		return diag_error(-errno, "/proc cannot be read: %s", strerror(errno));
	while (!err && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		grown = reallocarray(pids, n + 1, sizeof(*pids));
		if (!grown) {
			err = diag_error(-ENOMEM, "no memory for a list of processes");
			break;
		}
		pids = grown;
		pids[n++] = atoi(entry->d_name);
	}
	closedir(dir);
	if (!err && n)
		qsort(pids, n, sizeof(*pids), compare_pids);
	for (size_t i = 0; !err && i < n; i++)
		if (may_look_at(pids[i]))
			err = fn(pids[i], ctx);
	free(pids);
	return err;
}

int target_thread_comm(pid_t pid, pid_t tid, char *buf, size_t size)
{
	char path[64];
	bool read;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", (int)pid, (int)tid);
	f = fopen(path, "re");
	if (!f)
		return -ESRCH;
	read = fgets(buf, (int)size, f);
	fclose(f);
	if (!read)
		return -ESRCH;
	buf[strcspn(buf, "\n")] = 0;
	return 0;
}
