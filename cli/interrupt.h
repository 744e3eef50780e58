/* interrupt: Ctrl-C and its like end a measurement, and do not kill us. */
#ifndef PYLU_INTERRUPT_H
#define PYLU_INTERRUPT_H

#include <stdbool.h>

/* From now on SIGINT, SIGTERM and SIGHUP are remembered, and a reader that goes away is an error of the write. */
void interrupt_catch(void);
bool interrupted(void);

/* CLOCK_MONOTONIC. */
double now_s(void);

#endif
