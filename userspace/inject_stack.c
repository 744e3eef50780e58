/*
 * inject_stack: how far down a thread may go on its stack. A signal stack, a coroutine's, a stack that we cannot
 * place: such a thread is not used.
 *
 * The main thread's stack is the mapping that the kernel names so; it grows, up to a limit. Another thread's is what
 * its own descriptor says: glibc's struct pthread, at the thread pointer, holds the three words stackblock,
 * stackblock_size and guardsize (nptl/descr.h). Where in it differs by version, but the stack ends just above the
 * descriptor, and no other two words do that.
 */
#include "inject_priv.h"

#include "mem.h"
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define DESCRIPTOR 0x900 /* sizeof(struct pthread) is between 0x700 and 0x980 */
#define DESCRIPTOR_LEAST 0x700
#define DESCRIPTOR_STEP 0x100
#define STACK_GAP (1ull << 20) /* what the kernel keeps free below a growing stack: stack_guard_gap, 256 pages */
#define PAGE 4096

void inject_stack__main(pid_t pid, struct inject_stack *out)
{
	uint64_t start, end, before = 0;
	char path[64], *line = NULL;
	struct rlimit limit;
	size_t size = 0;
	FILE *f;

	memset(out, 0, sizeof(*out));
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	while (f && getline(&line, &size, f) > 0 && sscanf(line, "%lx-%lx", &start, &end) == 2) {
		if (strstr(line, " [stack]\n")) {
			*out = (struct inject_stack){ start, end };
			break;
		}
		before = end;
	}
	free(line);
	if (f)
		fclose(f);
	/* Further down it grows by itself. */
	if (out->end && !prlimit(pid, RLIMIT_STACK, NULL, &limit)) {
		uint64_t lowest = limit.rlim_cur < out->end ? out->end - limit.rlim_cur : 0;

		if (lowest < before + STACK_GAP)
			lowest = before + STACK_GAP;
		if (lowest < out->low)
			out->low = lowest;
	}
}

int inject_stack__low(const struct target *t, const struct inject_stack *main, pid_t tid, uint64_t sp, uint64_t tp,
		      uint64_t *low, const char **why)
{
	uint64_t words[DESCRIPTOR / 8];
	size_t len = DESCRIPTOR;

	if (tid == t->pid) {
		*why = "it is not on its own stack";
		*low = main->low;
		return sp > main->low && sp < main->end ? 0 : -ENOENT;
	}
	*why = "its stack could not be placed";
	/* The descriptor may end where its mapping does. */
	while (len >= DESCRIPTOR_LEAST && mem__read(t->mem, tp, words, len))
		len -= DESCRIPTOR_STEP;
	if (len < DESCRIPTOR_LEAST)
		return -ENOENT;
	for (size_t i = 0; i + 2 < len / 8; i++) {
		const uint64_t block = words[i], end = block + words[i + 1], guard = words[i + 2];

		if (!block || block % PAGE || end < tp + DESCRIPTOR_LEAST || end > tp + 2 * PAGE || block >= tp ||
		    guard >= tp - block)
			continue;
		*why = "it is not on its own stack";
		if (sp < block + guard || sp >= tp)
			return -ENOENT;
		*low = block + guard;
		return 0;
	}
	return -ENOENT;
}
