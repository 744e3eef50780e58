/*
 * diag: formats messages and hands them to the one callback; the tables behind the codes.
 *
 * Owns the callback and the codes' texts. Does not decide where messages go, beyond the default (stderr), and does not
 * end the process.
 */
#include "diag.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX 4096
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct code_info {
	int status;
	const char *remedy;
};

#define DIAG_INFO(name, status, remedy) [DIAG_##name - DIAG_CODE_BASE] = { status, remedy },
static const struct code_info code_infos[] = { DIAG_CODES(DIAG_INFO) };
#undef DIAG_INFO

static const char *const code_texts[] = {
	[DIAG_NOT_PYTHON - DIAG_CODE_BASE] = "not a CPython process",
	[DIAG_UNSUPPORTED - DIAG_CODE_BASE] = "not supported",
	[DIAG_NO_SITE - DIAG_CODE_BASE] = "no place for a probe was found",
	[DIAG_BACKEND - DIAG_CODE_BASE] = "this backend does not fit",
	[DIAG_NOT_PROVED - DIAG_CODE_BASE] = "what was read could not be proved",
	[DIAG_NO_KERNEL - DIAG_CODE_BASE] = "the kernel lacks a feature",
	[DIAG_FOREIGN_PIDS - DIAG_CODE_BASE] = "not in the host's pid namespace",
	[DIAG_NO_CAPABILITY - DIAG_CODE_BASE] = "a capability is missing",
	[DIAG_NO_AGENT - DIAG_CODE_BASE] = "it has no agent",
	[DIAG_AGENT_VERSION - DIAG_CODE_BASE] = "the agent is of another version",
	[DIAG_NO_INJECT - DIAG_CODE_BASE] = "no library can be loaded into it",
	[DIAG_GONE - DIAG_CODE_BASE] = "the process has ended",
	[DIAG_BAD_DATA - DIAG_CODE_BASE] = "damaged data",
	[DIAG_USAGE - DIAG_CODE_BASE] = "wrong usage",
};
_Static_assert(ARRAY_SIZE(code_texts) == ARRAY_SIZE(code_infos), "every code needs a text");

static void print_to_stderr(enum diag_level level, const char *message, void *ctx)
{
	(void)ctx;
	if (level == DIAG_LEVEL_ERROR)
		fprintf(stderr, "error: %s\n", message);
	else if (level == DIAG_LEVEL_WARN)
		fprintf(stderr, "warning: %s\n", message);
}

static diag_fn callback = print_to_stderr;
static void *callback_ctx;

void diag_set_callback(diag_fn fn, void *ctx)
{
	callback = fn ? fn : print_to_stderr;
	callback_ctx = ctx;
}

static void capture_first(enum diag_level level, const char *message, void *ctx)
{
	struct diag_capture *capture = ctx;

	if (level == DIAG_LEVEL_ERROR && !capture->error[0])
		snprintf(capture->error, sizeof(capture->error), "%s", message);
}

void diag_capture__begin(struct diag_capture *capture)
{
	capture->error[0] = '\0';
	capture->outer = callback;
	capture->outer_ctx = callback_ctx;
	diag_set_callback(capture_first, capture);
}

void diag_capture__end(struct diag_capture *capture)
{
	diag_set_callback(capture->outer, capture->outer_ctx);
}

/* Messages quote paths and names that the target chose: no control byte of theirs may reach a terminal or break the
 * line. U+0080 to U+009F are control characters too, in UTF-8 the bytes C2 80 to C2 9F. */
static void make_printable(char *s)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
			p[0] = p[1] = '?';
	}
}

static void send(enum diag_level level, const char *fmt, va_list args)
{
	static const char cut[] = "...";
	char message[MESSAGE_MAX];
	int n;

	n = vsnprintf(message, sizeof(message), fmt, args);
	if (n < 0)
		snprintf(message, sizeof(message), "(a message that could not be formatted)");
	else if ((size_t)n >= sizeof(message))
		memcpy(message + sizeof(message) - sizeof(cut), cut, sizeof(cut));
	make_printable(message);
	callback(level, message, callback_ctx);
}

int diag_error(int code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	send(DIAG_LEVEL_ERROR, fmt, args);
	va_end(args);
	return code;
}

void diag_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	send(DIAG_LEVEL_WARN, fmt, args);
	va_end(args);
}

void diag_info(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	send(DIAG_LEVEL_INFO, fmt, args);
	va_end(args);
}

void diag_debug(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	send(DIAG_LEVEL_DEBUG, fmt, args);
	va_end(args);
}

/* The index of one of our own codes in the tables, or -1. */
static int own_index(int code)
{
	long i = -(long)code - DIAG_CODE_BASE;

	return i > 0 && i < (long)ARRAY_SIZE(code_infos) ? (int)i : -1;
}

int diag_exit_status(int code)
{
	int i = own_index(code);

	if (code == 0)
		return 0;
	if (i >= 0)
		return code_infos[i].status;
	return code == -EPERM || code == -EACCES ? 4 : 1;
}

const char *diag_remedy(int code)
{
	int i = own_index(code);

	return i >= 0 ? code_infos[i].remedy : "";
}

const char *diag_strerror(int code)
{
	int i = own_index(code);
	const char *text;

	if (i >= 0)
		return code_texts[i];
	/* Not strerror: that one writes to a shared buffer for unknown numbers. */
	text = code <= 0 && code > -DIAG_CODE_BASE ? strerrordesc_np(-code) : NULL;
	return text ? text : "unknown error";
}
