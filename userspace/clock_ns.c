/* clock_ns: see clock_ns.h. */
#include "clock_ns.h"

#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t monotonic_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

uint64_t realtime_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}
