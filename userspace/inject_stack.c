/*
 * inject_stack: how far down a thread may go on its stack. A signal stack, a coroutine's, a stack that we cannot place:
 * such a thread is not used.
 *
 * The main thread's stack is the mapping that the kernel names so; it grows, up to a limit. Another thread's is what its
 * own descriptor says: glibc's struct pthread, at the thread pointer, holds the three words stackblock, stackblock_size and guardsize
 * (nptl/descr.h). Where in it differs by version, but the stack ends just above the descriptor, and no other two words do that.
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

/* The mapping that holds `addr`, and where the one before it ends. */
static bool find_mapping(pid_t pid, uint64_t addr, uint64_t *start, uint64_t *end, uint64_t *before, bool *is_stack)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	*before = 0;
	while (f && !found && getline(&line, &size, f) > 0) {
		if (sscanf(line, "%lx-%lx", start, end) != 2)
			break;
		found = addr >= *start && addr < *end;
		if (found)
			*is_stack = strstr(line, " [stack]\n") != NULL;
		else
			*before = *end;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static int main_stack(pid_t pid, uint64_t sp, uint64_t *low, const char **why)
{
	uint64_t start, end, before;
	struct rlimit limit;
	bool is_stack;

	*why = "it is not on its own stack";
	if (!find_mapping(pid, sp, &start, &end, &before, &is_stack) || !is_stack)
		return -ENOENT;
	*low = start;
	if (!prlimit(pid, RLIMIT_STACK, NULL, &limit)) {
		uint64_t lowest = limit.rlim_cur < end ? end - limit.rlim_cur : 0;

		if (lowest < before + STACK_GAP)
			lowest = before + STACK_GAP;
		if (lowest < *low)
			*low = lowest;
	}
	*why = NULL;
	return 0;
}

int inject_stack__low(const struct target *t, pid_t tid, uint64_t sp, uint64_t tp, uint64_t *low, const char **why)
{
	uint64_t words[DESCRIPTOR / 8];
	size_t len = DESCRIPTOR;

	if (tid == t->pid)
		return main_stack(t->pid, sp, low, why);
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
		*why = NULL;
		return 0;
	}
	return -ENOENT;
}
