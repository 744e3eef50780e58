/*
 * target: a running process that holds a CPython interpreter: which file that is, where it is loaded, which version.
 *
 * Reads /proc and the ELF file; never the interpreter's objects (that is pyobj) and never writes.
 */
#ifndef PYLU_TARGET_H
#define PYLU_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct elf_file;
struct mem;

struct py_version {
	uint8_t major, minor, micro;
	char text[24]; /* "3.12.1", "3.13.0a4" */
};

struct target {
	pid_t pid;
	uint64_t start_time; /* clock ticks since boot, field 22 of /proc/PID/stat: pid + start_time name a process */
	uid_t uid;	     /* effective user id */
	gid_t gid;	     /* effective group id */
	char *command;	   /* command line, blanks between the words, cut at 4,096 bytes; control bytes shown as '?' */
	char *interp_path; /* the interpreter's file as the target names it, " (deleted)" taken off */
	char *open_path;   /* a path through which we can open that very file (below /proc/PID) */
	bool deleted;	   /* that file was removed or replaced since it was mapped */
	bool in_exe;	   /* that file is the executable itself, no library of it */
	uint64_t bias;	   /* run-time address = virtual address in the file + bias (modulo 2^64) */
	struct py_version version;
	bool free_threaded;   /* a Py_GIL_DISABLED build */
	struct elf_file *elf; /* owned */
	struct mem *mem;      /* owned */

	struct elf_file *exe; /* the executable where it is not the interpreter's file, else NULL; owned */

	/* For target.c only. */
	int maps_fd; /* /proc/PID/maps of the image that was opened */
	uint64_t exe_bias;
};

/* Looks at process `pid`. 0, or a negative code that was reported: -ESRCH no such process, -DIAG_NOT_PYTHON,
 * -DIAG_NO_CAPABILITY, -DIAG_UNSUPPORTED (32 bit, free-threaded, other machine) ... */
int target__open(pid_t pid, struct target **out);
void target__close(struct target *t);

/* The same without reporting, for listings: *why (static storage or NULL) says in a few words what stands in the way. */
int target__probe(pid_t pid, struct target **out, const char **why);

/* Whether the process still runs the image that was opened (same start time, not a zombie, no exec since). */
bool target__alive(const struct target *t);

/* Run-time address of a symbol of the interpreter's file, or of the copy of it that the executable holds (a copy
 * relocation). 0, or -ENOENT, not reported. */
int target__symbol(const struct target *t, const char *name, uint64_t *addr);

/* The interpreter file that `path` would run: `path` itself if it holds the interpreter (exports
 * _PyEval_EvalFrameDefault), or the libpython among its DT_NEEDED found by DT_RUNPATH/DT_RPATH ($ORIGIN included) and
 * the loader's default directories; a script's #! line is followed (at most 4 times; `env NAME` by PATH).
 * *out is malloc'ed, owned by the caller. 0, or -DIAG_NOT_PYTHON, not reported. */
int target_find_interpreter(const char *path, char **out);

/* The version of the interpreter in an ELF file: `Py_Version` (3.11 on), else the string that Py_GetVersion's code
 * refers to. 0, or -DIAG_NOT_PYTHON (not 3.x; *out is filled all the same) / -DIAG_UNSUPPORTED (none was found; *out is
 * zeroed), not reported. */
int elf_python_version(const struct elf_file *elf, struct py_version *out);

/* The kernel's name of a thread. 0, or -ESRCH when it has ended, not reported. */
int target_thread_comm(pid_t pid, pid_t tid, char *buf, size_t size);

/* Every process in /proc that we may look at, ascending by pid. fn returning non-zero stops and is returned. */
int target_for_each_pid(int (*fn)(pid_t pid, void *ctx), void *ctx);

/* Every living descendant of `pid` (not itself), parents before their children. Same returns. */
int target_for_each_descendant(pid_t pid, int (*fn)(pid_t pid, void *ctx), void *ctx);

#endif
