/*
 * inject_lib: sends a thread of a process to load a library, and dies on the way if it is told to.
 *
 *	inject_lib PID LIBRARY [TIMES [STEP [SECONDS [force]]]]
 *
 * Prints for each time: sent TID STOPS STOPPED_MS WHERE, once the library is mapped. With STEP, a number of enum
 * inject_step and not 0, it is killed there in the last time, as by kill -9. SECONDS is how long a fitting moment is
 * looked for.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock_ns.h"
#include "inject.h"
#include "inject_file.h"
#include "target.h"

#define PATIENCE_NS 60000000000ull

static int die_at;

static void step(enum inject_step at, void *ctx)
{
	(void)ctx;
	if ((int)at == die_at)
		kill(getpid(), SIGKILL);
}

static bool is_mapped(pid_t pid, const char *file)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "r");
	while (f && !found && getline(&line, &size, f) > 0)
		found = strstr(line, file) != NULL;
	free(line);
	if (f)
		fclose(f);
	return found;
}

static int await_library(const struct target *t, const char *path)
{
	const uint64_t until = monotonic_ns() + PATIENCE_NS;

	while (!is_mapped(t->pid, strrchr(path, '/'))) {
		if (!target__alive(t) || monotonic_ns() > until) {
			fprintf(stderr, "the library was not loaded\n");
			return -ETIMEDOUT;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	return 0;
}

static int once(const struct target *t, const char *library, double seconds, bool force)
{
	struct inject_options options = { .seconds = seconds, .force = force, .step = step };
	struct inject_result result;
	struct inject_file file;
	int err = inject_file__make(t, library, &file);

	options.library = file.path;
	err = err ? err : inject(t, &options, &result);
	err = err ? err : await_library(t, file.path);
	if (!err)
		printf("sent %d %u %.3f %s\n", (int)result.tid, result.stops, result.stopped_ms, result.where);
	inject_file__remove(&file);
	return err;
}

int main(int argc, char **argv)
{
	struct target *t = NULL;
	int times = argc > 3 ? atoi(argv[3]) : 1, err;

	if (argc < 3)
		return 2;
	err = target__open(atoi(argv[1]), &t);
	for (int i = 0; !err && i < times; i++) {
		if (i == times - 1 && argc > 4)
			die_at = atoi(argv[4]);
		err = once(t, argv[2], argc > 5 ? atof(argv[5]) : 60, argc > 6);
	}
	target__close(t);
	return err ? 1 : 0;
}
