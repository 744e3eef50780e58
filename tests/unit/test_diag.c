/* diag: codes, exit statuses, and that nothing but clean lines reach the callback. */
#include "diag.h"
#include "check.h"

#include <stdio.h>

static struct {
	enum diag_level level;
	char message[8192];
	int calls;
} seen;

static void remember(enum diag_level level, const char *message, void *ctx)
{
	CHECK(ctx == &seen);
	seen.level = level;
	snprintf(seen.message, sizeof(seen.message), "%s", message);
	seen.calls++;
}

static void test_levels(void)
{
	diag_set_callback(remember, &seen);
	CHECK_EQ(diag_error(-ENOENT, "no %s in %d", "cheese", 7), -ENOENT);
	CHECK_STR_EQ(seen.message, "no cheese in 7");
	CHECK_EQ(seen.level, DIAG_LEVEL_ERROR);
	diag_warn("w");
	CHECK_EQ(seen.level, DIAG_LEVEL_WARN);
	diag_info("i");
	CHECK_EQ(seen.level, DIAG_LEVEL_INFO);
	diag_debug("d");
	CHECK_EQ(seen.level, DIAG_LEVEL_DEBUG);
	CHECK_EQ(seen.calls, 4);
}

static void test_hostile_text(void)
{
	static char lengthy[10000];

	diag_warn("path %s", "a\nb\033[31m\x7f\xc2\x9b"
			     "c\xc3\xa9\xc2");
	CHECK_STR_EQ(seen.message, "path a?b?[31m???c\xc3\xa9\xc2");
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	diag_warn("%s", lengthy);
	CHECK(strlen(seen.message) < 5000);
	CHECK_STR_EQ(seen.message + strlen(seen.message) - 4, "x...");
}

static void test_codes(void)
{
	CHECK_EQ(diag_exit_status(0), 0);
	CHECK_EQ(diag_exit_status(-EPERM), 4);
	CHECK_EQ(diag_exit_status(-EACCES), 4);
	CHECK_EQ(diag_exit_status(-ENOSPC), 1);
	CHECK_EQ(diag_exit_status(-DIAG_NOT_PYTHON), 3);
	CHECK_EQ(diag_exit_status(-DIAG_NO_CAPABILITY), 4);
	CHECK_EQ(diag_exit_status(-DIAG_USAGE), 2);
	CHECK_EQ(diag_exit_status(-DIAG_CODE_BASE), 1);
	CHECK_EQ(diag_exit_status(-(DIAG_USAGE + 1)), 1);
	CHECK_EQ(diag_exit_status(-2147483647 - 1), 1);
	CHECK_EQ(diag_exit_status(5), 1);
	CHECK_STR_EQ(diag_remedy(-ENOENT), "");
	CHECK(strstr(diag_remedy(-DIAG_NO_CAPABILITY), "CAP_SYS_PTRACE"));
	CHECK_STR_EQ(diag_strerror(-ENOENT), "No such file or directory");
	CHECK_STR_EQ(diag_strerror(-4999), "unknown error");
	CHECK_STR_EQ(diag_strerror(17), "unknown error");
	for (int code = DIAG_CODE_BASE + 1; code <= DIAG_USAGE; code++) {
		CHECK(diag_exit_status(-code) >= 1 && diag_exit_status(-code) <= 4);
		CHECK(diag_strerror(-code) && strcmp(diag_strerror(-code), "unknown error") != 0);
		CHECK(diag_remedy(-code) != NULL);
	}
}

/* What fails while something is tried is kept, not sent; captures nest. */
static void test_capture(void)
{
	struct diag_capture outer, inner;

	diag_set_callback(remember, &seen);
	seen.calls = 0;
	diag_capture__begin(&outer);
	diag_warn("not kept");
	diag_capture__begin(&inner);
	CHECK_EQ(diag_error(-ENOENT, "first\033"), -ENOENT);
	diag_error(-ENOENT, "second");
	diag_capture__end(&inner);
	CHECK_STR_EQ(inner.error, "first?");
	CHECK_STR_EQ(outer.error, "");
	diag_error(-ENOENT, "third");
	diag_capture__end(&outer);
	CHECK_STR_EQ(outer.error, "third");
	CHECK_EQ(seen.calls, 0);
	diag_warn("sent again");
	CHECK_EQ(seen.calls, 1);
	CHECK_STR_EQ(seen.message, "sent again");
}

int main(void)
{
	test_levels();
	test_hostile_text();
	test_codes();
	test_capture();
	diag_set_callback(NULL, NULL);
	return check_done();
}
