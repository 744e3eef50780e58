/* target_tree: the descendants of a process, from the parents that /proc/PID/stat names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

struct list {
	struct entry {
		pid_t pid, parent;
	} * entries;
	size_t n, room;
};

static pid_t parent_of(pid_t pid)
{
	char path[64], line[512], *end;
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	/* The command's name stands in parentheses and may hold any character: the fields begin behind the last one. */
	if (fgets(line, sizeof(line), f) && (end = strrchr(line, ')')) && sscanf(end + 1, " %*c %d", &parent) != 1)
		parent = 0;
	fclose(f);
	return (pid_t)parent;
}

static int collect(pid_t pid, void *ctx)
{
	struct list *list = ctx;

	if (list->n == list->room) {
		size_t room = list->room ? 2 * list->room : 256;
		struct entry *bigger = realloc(list->entries, room * sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		list->entries = bigger;
		list->room = room;
	}
	list->entries[list->n++] = (struct entry){ pid, parent_of(pid) };
	return 0;
}

int target_for_each_descendant(pid_t pid, int (*fn)(pid_t pid, void *ctx), void *ctx)
{
	struct list list = { 0 };
	size_t first = 0, members = 0;
	int err = target_for_each_pid(collect, &list);

	/* Members are swapped to the front; each in turn brings its children behind them. */
	for (pid_t of = pid; !err && list.n;) {
		for (size_t i = members; i < list.n; i++)
			if (list.entries[i].parent == of) {
				struct entry swap = list.entries[members];

				list.entries[members++] = list.entries[i];
				list.entries[i] = swap;
			}
		if (first == members)
			break;
		of = list.entries[first++].pid;
		err = fn(of, ctx);
	}
	free(list.entries);
	return err;
}
