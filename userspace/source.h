/* source: the text of a target's source file, as it stands on disk now. */
#ifndef PYLU_SOURCE_H
#define PYLU_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct source;

/* `file` as the code object names it, seen from the process's root and working directory. NULL when it cannot be read, or is
 * longer than 8 MiB: it has no text then. */
struct source *source__open(pid_t pid, const char *file);
void source__close(struct source *s);

/* A line without its indentation and its end, or NULL when there is none. Control characters stand as they are: who prints
 * it sees to them. */
const char *source__line(const struct source *s, uint32_t line);

/* Whether the file was changed after `since` (CLOCK_REALTIME, ns): it may not be what runs. */
bool source__newer(const struct source *s, uint64_t since_ns);

#endif
