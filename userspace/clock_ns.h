/* clock_ns: the kernel's clocks, in nanoseconds. */
#ifndef PYLU_CLOCK_NS_H
#define PYLU_CLOCK_NS_H

#include <stdint.h>

uint64_t monotonic_ns(void); /* CLOCK_MONOTONIC: the programs' times */
uint64_t realtime_ns(void);  /* CLOCK_REALTIME */

#endif
