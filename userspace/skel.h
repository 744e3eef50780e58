/* skel: the generated skeleton with the type names that the wire format uses. */
#ifndef PYLU_SKEL_H
#define PYLU_SKEL_H

#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#include "wire.h"
#include "wire_debug.h"
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "pylu.skel.h"
#pragma GCC diagnostic pop

#endif
