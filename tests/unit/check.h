/*
 * check: what the unit tests share: counted checks, skips said aloud, and the exit status for ctest.
 *
 * A test is one program. Its main() calls its test functions and returns check_done(): 0 all passed, 1 something
 * failed, 77 nothing could be checked (ctest's SKIP_RETURN_CODE).
 */
#ifndef PYLU_TESTS_CHECK_H
#define PYLU_TESTS_CHECK_H

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CHECK_SKIPPED_STATUS 77

static unsigned check_passed, check_failed, check_skipped;

static inline int check_note(int ok, const char *file, int line)
{
	if (ok)
		check_passed++;
	else
		check_failed++;
	if (!ok)
		fprintf(stderr, "%s:%d: failed: ", file, line);
	return ok;
}

/* Each of these is an expression that is true when the check passed. */
#define CHECK(cond) (check_note(!!(cond), __FILE__, __LINE__) || (fprintf(stderr, "%s\n", #cond), 0))

#define CHECK_EQ(got, want)                                                                                          \
	({                                                                                                           \
		long long got_ = (long long)(got), want_ = (long long)(want);                                        \
		int ok_ = check_note(got_ == want_, __FILE__, __LINE__);                                             \
		if (!ok_)                                                                                            \
			fprintf(stderr, "%s is %lld (0x%llx), not %lld (0x%llx)\n", #got, got_, got_, want_, want_); \
		ok_;                                                                                                 \
	})

#define CHECK_STR_EQ(got, want)                                                                      \
	({                                                                                           \
		const char *got_ = (got), *want_ = (want);                                           \
		int ok_ = check_note(got_ && want_ && strcmp(got_, want_) == 0, __FILE__, __LINE__); \
		if (!ok_)                                                                            \
			fprintf(stderr, "%s is '%s', not '%s'\n", #got, got_ ? got_ : "(null)",      \
				want_ ? want_ : "(null)");                                           \
		ok_;                                                                                 \
	})

/* Says aloud that a part of the test cannot run here, and why. */
#define CHECK_SKIP(...) (check_skipped++, printf("SKIPPED: " __VA_ARGS__), (void)putchar('\n'))

/* Ends the test, as failed, when it has used so much processor time: for what must not hang. Time on the clock would
 * depend on what else the machine does. */
static inline void check_processor_seconds(unsigned seconds)
{
	setrlimit(RLIMIT_CPU, &(struct rlimit){ seconds, seconds });
}

static inline int check_done(void)
{
	printf("%u passed, %u failed", check_passed, check_failed);
	if (check_skipped)
		printf(", %u parts skipped", check_skipped);
	putchar('\n');
	if (check_failed)
		return 1;
	return check_passed ? 0 : CHECK_SKIPPED_STATUS;
}

#endif
