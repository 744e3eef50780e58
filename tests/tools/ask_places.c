/*
 * ask_places: prints what places says of the code objects of a process.
 *
 *	ask_places PID [pauses] < addresses, one a line
 *
 * For each line of a code object, and for each two that follow upon each other, what the frame's coming from one place to another
 * means while those of these lines are watched:
 *	code ADDR             instr START OFFSET NEXT LINE OPCODE
 *	line LINE OFFSET...   use LINE NAME    def LINE NAME    name NAME
 *	watch LINE[,LINE] OFFSET...    lines of which everything is watched; the offsets
 *	step FROM TO LEAVES ENTERS PAUSES RESUMES ENDS UNSURE    offsets; -1 for nothing known
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "places.h"
#include "pycode.h"
#include "pyobj.h"
#include "target.h"

static void print_steps(const struct places_set *set, const bool *live)
{
	struct places_step steps[PLACES_MAX];

	for (int from = -1; from < (int)set->nplaces; from++) {
		if (from >= 0 && !live[from])
			continue;
		places_set__steps(set, live, from, steps);
		for (size_t to = 0; to < set->nplaces; to++) {
			struct places_step s = steps[to];

			if (live[to])
				printf("step %d %u %u %u %d %d %d %d\n", from < 0 ? -1 : (int)set->offsets[from],
				       set->offsets[to], s.leaves, s.enters, s.pauses, s.resumes, s.ends, s.unsure);
		}
	}
}

static bool is_watched(const struct places_window *w, const bool *live)
{
	for (size_t i = 0; i < w->nplaces; i++) {
		if (!live[w->places[i]])
			return false;
	}
	return true;
}

static void print_watch(const struct places_set *set, size_t first, size_t n)
{
	bool live[PLACES_MAX] = { false };

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < set->windows[first + i].nplaces; k++)
			live[set->windows[first + i].places[k]] = true;
	}
	printf("watch ");
	for (size_t i = 0, printed = 0; i < set->nwindows; i++) {
		if (is_watched(&set->windows[i], live))
			printf("%s%u", printed++ ? "," : "", set->windows[i].line);
	}
	for (size_t i = 0; i < set->nplaces; i++) {
		if (live[i])
			printf(" %u", set->offsets[i]);
	}
	putchar('\n');
	print_steps(set, live);
}

static void print_window(const struct places_set *set, const struct places_window *w)
{
	printf("line %u", w->line);
	for (size_t i = 0; i < w->nplaces; i++)
		printf(" %u", set->offsets[w->places[i]]);
	putchar('\n');
	for (size_t i = 0; i < w->nuses; i++)
		printf("use %u %s\n", w->line, w->uses[i].name);
	for (size_t i = 0; i < w->ndefs; i++)
		printf("def %u %s\n", w->line, w->defs[i].name);
}

/* Two lines at a time: of all together there may be too many places. */
static int print_lines(const struct pycode *code, const uint32_t *lines, size_t n, bool pauses)
{
	int err = 0;

	for (size_t i = 0; !err && i < n; i++) {
		struct places_set *set;
		size_t both = i + 1 < n ? 2 : 1;

		err = places_set__new(code, lines + i, both, pauses, &set);
		if (err)
			break;
		print_window(set, &set->windows[0]);
		print_watch(set, 0, 1);
		if (both == 2)
			print_watch(set, 0, 2);
		places_set__free(set);
	}
	return err;
}

static int print(const struct pycode *code, bool pauses)
{
	uint32_t *lines = NULL;
	char **names = NULL;
	size_t nlines = 0, nnames = 0;
	int err = places__lines(code, &lines, &nlines);

	printf("code %" PRIu64 "\n", code->addr);
	for (size_t i = 0; i < code->ninstrs; i++)
		printf("instr %u %u %u %u %s\n", code->instrs[i].start, code->instrs[i].offset, code->instrs[i].next,
		       code->instrs[i].line, pycode__op_name(code, code->instrs[i].op));
	err = err ? err : print_lines(code, lines, nlines, pauses);
	err = err ? err : places__names(code, &names, &nnames);
	for (size_t i = 0; i < nnames; i++) {
		printf("name %s\n", names[i]);
		free(names[i]);
	}
	free(names);
	free(lines);
	return err;
}

int main(int argc, char **argv)
{
	struct pyobj_reader *r = NULL;
	struct target *t = NULL;
	char line[64];
	int err = argc >= 2 ? target__open(atoi(argv[1]), &t) : -EINVAL;

	err = err ? err : pyobj_reader__new(t, &r);
	while (!err && fgets(line, sizeof(line), stdin)) {
		struct pycode *code;

		err = pycode__read(r, strtoull(line, NULL, 10), &code);
		err = err ? err : print(code, argc > 2);
		if (err)
			fprintf(stderr, "%s: %s\n", line, strerror(-err));
		pycode__free(code);
	}
	pyobj_reader__free(r);
	target__close(t);
	return err ? 1 : 0;
}
