/*
 * diag: how everything below cli/ reports errors and warnings.
 *
 * Owns the project's error codes and the one callback through which messages leave the library. It decides neither
 * where a message is printed nor what the process does next: that is the command's business.
 *
 * Rule: who detects an error reports it, once, with the object and the cause; who passes it on says nothing.
 */
#ifndef PYLU_DIAG_H
#define PYLU_DIAG_H

#include <errno.h>
#include <stdbool.h>

/* X(name, exit status, remedy). The remedy is a sentence that the command adds below the message; "" for none. */
#define DIAG_CODES(X)                                                                                                 \
	X(NOT_PYTHON, 3,                                                                                              \
	  "Only processes that hold a CPython interpreter can be looked at or changed; the command `ps` lists them.") \
	X(UNSUPPORTED, 3,                                                                                             \
	  "Supported are CPython 3.8 to 3.15 on x86-64, with a GIL and without --without-computed-gotos.")            \
	X(NO_SITE, 3, "Nothing was attached. Please report the build-id above.")                                      \
	X(BACKEND, 3, "Without --backend the one that fits is used.")                                                 \
	X(NOT_PROVED, 3, "Nothing was reported, because it could not be shown to be right.")                          \
	X(NO_KERNEL, 3,                                                                                               \
	  "Linux 5.17 or later with BTF, uprobes and BPF is needed; `pylu-bpf doctor` shows what is missing.")        \
	X(FOREIGN_PIDS, 3, "Run pylu-bpf in the host's pid namespace; `pylu-bpf doctor` shows more.")                 \
	X(NO_CAPABILITY, 4,                                                                                           \
	  "Run as root, or give pylu-bpf CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE; `pylu-bpf doctor` shows what is "   \
	  "missing.")                                                                                                 \
	X(NO_AGENT, 1,                                                                                                \
	  "Bring it in with `pylu-cli attach -p PID`, or start the program by `pylu-cli run -- COMMAND`.")            \
	X(AGENT_VERSION, 3,                                                                                           \
	  "Use the pylu-cli that the agent came with, or start the program anew with this one's agent.")              \
	X(NO_INJECT, 3,                                                                                               \
	  "Load the agent when the program starts: `pylu-cli run -- COMMAND`, or `import pylu_agent; "                \
	  "pylu_agent.start()` in it.")                                                                               \
	X(GONE, 1, "")                                                                                                \
	X(BAD_DATA, 1, "")                                                                                            \
	X(USAGE, 2, "")

enum diag_code {
	DIAG_CODE_BASE = 5000, /* above every errno */
#define DIAG_ENUM(name, status, remedy) DIAG_##name,
	DIAG_CODES(DIAG_ENUM)
#undef DIAG_ENUM
};

enum diag_level {
	DIAG_LEVEL_ERROR,
	DIAG_LEVEL_WARN,
	DIAG_LEVEL_INFO,
	DIAG_LEVEL_DEBUG,
};

/* Receives each message: one line, no newline at its end, valid only during the call. */
typedef void (*diag_fn)(enum diag_level level, const char *message, void *ctx);

/* Sets the receiver; NULL restores the default, which writes errors and warnings to stderr. Not thread-safe: call it
 * once at start. */
void diag_set_callback(diag_fn fn, void *ctx);

/* While something is tried whose failure is a result and no error: the first error that is reported is kept here, and
 * nothing is sent. Captures nest. Not thread-safe. */
struct diag_capture {
	char error[1024]; /* "" when there was none */
	diag_fn outer;	  /* for diag.c only */
	void *outer_ctx;
};

void diag_capture__begin(struct diag_capture *capture);
void diag_capture__end(struct diag_capture *capture);

/* Reports an error and returns `code` (negative: -errno or -DIAG_x) so that callers can `return diag_error(...)`. */
int diag_error(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void diag_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void diag_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void diag_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The exit status that belongs to a negative code: 0 for 0, 4 for -EPERM and -EACCES, the table's for ours, else 1. */
int diag_exit_status(int code);

/* The remedy sentence for a negative code, or "". Static storage. */
const char *diag_remedy(int code);

/* strerror for both kinds of code. Static storage. */
const char *diag_strerror(int code);

#endif
