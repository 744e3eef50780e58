/*
 * fuzz: what the fuzzers share: taking an input apart, handing it over as a file, and patching an image with it.
 *
 * A fuzzer is one file with one function, LLVMFuzzerTestOneInput. libFuzzer calls it (a build with PYLU_FUZZ), or
 * replay.c does with the files of the corpus. What an input means must not change: the corpus is kept.
 */
#ifndef PYLU_TESTS_FUZZ_H
#define PYLU_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "diag.h"

/* Runs one input. Always 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input that is taken apart from its front. What lies behind its end reads as 0. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

static inline const uint8_t *fuzz_bytes(struct fuzz_input *in, size_t n)
{
	const uint8_t *at = in->at;

	if (n > in->left)
		return NULL;
	in->at += n;
	in->left -= n;
	return at;
}

/* A little-endian number of 1 to 8 bytes. */
static inline uint64_t fuzz_number(struct fuzz_input *in, size_t bytes)
{
	const uint8_t *at = fuzz_bytes(in, bytes);
	uint64_t number = 0;

	while (at && bytes--)
		number = number << 8 | at[bytes];
	return number;
}

/* The minor version that an input is about: 8 to 15. Not all of them need have a layout. */
static inline uint8_t fuzz_minor(struct fuzz_input *in)
{
	return (uint8_t)(8 + fuzz_number(in, 1) % 8);
}

/* Results go here, so that the compiler cannot leave out what makes them. */
static volatile uint64_t fuzz_used;

/* Reads all of them: the address sanitizer looks at what memcmp is given. */
static inline void fuzz_use(const void *bytes, size_t n)
{
	fuzz_used += n && memcmp(bytes, bytes, n) != 0;
}

static inline void fuzz_ignore(enum diag_level level, const char *message, void *ctx)
{
	(void)level, (void)ctx;
	fuzz_use(message, strlen(message));
}

/* Messages about damage are read and not shown. */
static inline void fuzz_begin(void)
{
	diag_set_callback(fuzz_ignore, NULL);
}

/* A file that holds these bytes, always the same one; its path. */
static inline const char *fuzz_file(const void *bytes, size_t n)
{
	static char path[64];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("fuzz", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, bytes, n, 0) != (ssize_t)n)
		abort();
	return path;
}

/*
 * Takes the rest of an input as patches of an image with room for `room` bytes; what they write behind its end makes it
 * longer. *used is its size. A patch is: place (3 bytes, modulo the room), count (1 byte), and
 * - count 1 to 127: so many bytes, that are written there;
 * - count 129 to 255: the same for count - 128, and then two bytes: how many times they are written, one after the other;
 * - count 0: a place (3 bytes), whose address (from `base` on, a multiple of 8) is written as a pointer.
 */
static inline void fuzz_patch(struct fuzz_input *in, uint64_t base, uint8_t *image, size_t room, size_t *used)
{
	while (in->left > 4) {
		size_t place = fuzz_number(in, 3) % room, n = fuzz_number(in, 1), times = 1;
		uint64_t pointer;
		const uint8_t *bytes;

		if (n == 0) {
			pointer = base + (fuzz_number(in, 3) % room & ~(uint64_t)7);
			bytes = (const uint8_t *)&pointer;
			n = sizeof(pointer);
		} else {
			bytes = fuzz_bytes(in, n & 127);
			if (n > 128)
				times = fuzz_number(in, 2);
			n &= 127;
		}
		while (bytes && times-- && n <= room - place) {
			memcpy(image + place, bytes, n);
			place += n;
			if (place > *used)
				*used = place;
		}
	}
}

#endif
