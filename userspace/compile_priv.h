/* compile_priv: what compile*.c share. */
#ifndef PYLU_COMPILE_PRIV_H
#define PYLU_COMPILE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct target;

#define COMPILE_JSON_MAX (32U << 20) /* originals may be 4 Mi characters, which are 6 bytes each at most */

struct compile_child {
	pid_t pid;
	int fd; /* our end of its standard input and output; non-blocking */
	uint64_t deadline_ns;
};

/* Starts the compiler. 0; -ENOENT, not reported, where there can be none: *why (static storage) says it; -errno, reported. */
int compile_child__start(const struct target *t, struct compile_child *child, const char **why);

/* Sends a request and takes the answer, malloc'ed: a header of two little-endian u32, so many bytes of JSON, so many of data.
 * 0; -ENOENT, not reported, where the interpreter did not even start (*why); -ETIMEDOUT, -EIO, -DIAG_BAD_DATA, -ENOMEM, reported. */
int compile_child__ask(struct compile_child *child, const uint8_t *in, size_t len, uint8_t **out, size_t *out_len,
		       const char **why);
void compile_child__end(struct compile_child *child);

/* The bytes of a source file as the target names it, malloc'ed, or NULL: it cannot be read, is no ordinary file, is longer than
 * `max`, or the target's own user may not read it. */
char *compile_file__read(const struct target *t, const char *file, size_t max, size_t *len);

#endif
