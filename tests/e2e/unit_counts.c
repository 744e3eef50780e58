/*
 * unit_counts: counts how often code units of a running process are executed, by probes on the handlers of all opcodes: what
 * test_handlers.py compares with the truth. Nothing but the search for the sites and the BPF programs.
 *
 * usage: unit_counts PID. Standard input: a line "BASE CODE OFFSET OPCODE BEFORE" for each unit, BASE where its units begin, 0: inside
 * the code object. An empty line ends them. It says "watching", reads another line, and prints a count for each unit
 * (and "hidden" where the opcode before may execute it unseen), then "strays N" (hits at
 * which the thread was found to run other code) and "cost EMULATED STEPPED" (sites).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "layout.h"
#include "opmap.h"
#include "probe.h"
#include "programs.h"
#include "site_handlers.h"
#include "skel.h"
#include "target.h"
#include "wire_build.h"

/* Every base opcode of a version: what site_set__find_handlers takes. */
static size_t all_opcodes(const struct opmap *opmap, uint8_t *ops)
{
	size_t n = 0;

	for (int op = 0; op < 256; op++)
		if (opmap->names[op] && site_handlers__base(opmap, (uint8_t)op) == op)
			ops[n++] = (uint8_t)op;
	return n;
}

/* How many units were read; the first `n` of `places` are filled in. */
static size_t read_units(struct pylu *skel, const struct layout *layout, const struct opmap *opmap, bool *hidden)
{
	unsigned long long base, code, offset;
	uint8_t op, before;
	char line[256];
	uint32_t n = 0;

	while (fgets(line, sizeof(line), stdin) &&
	       sscanf(line, "%llu %llu %llu %hhu %hhu", &base, &code, &offset, &op, &before) == 5) {
		uint64_t unit = (base ? base : code + (uint64_t)layout->code_bytes) + offset;

		if (n == WIRE_MAX_PLACES)
			return 0;

		skel->bss->places[n] = (struct wire_place){ .addr = unit + 1, .code = code };
		if (bpf_map_update_elem(bpf_map__fd(skel->maps.place_index), &unit, &n, BPF_ANY))
			return 0;
		hidden[n] = site_handlers__hidden(opmap, before, op);
		n++;
	}
	return n;
}

static int attach(struct pylu *skel, bool multi, const struct target *t, const struct site_handlers *found,
		  struct probe_links **links)
{
	struct probe_point points[SITE_HANDLERS_SITES];

	for (size_t i = 0; i < found->n; i++) {
		const struct site_handler *h = &found->sites[i];

		skel->bss->handlers[i] = (struct wire_handler){ .instr_reg = h->instr_reg,
								.op = h->op,
								.counted = h->counted,
								.repeats = h->repeats,
								.misses = h->misses,
								.instr_by = h->instr_by,
								.counter_below = h->counter_below };
		points[i] = (struct probe_point){ .file_offset = h->file_offset, .cookie = i };
	}
	return probe_links__attach(t->open_path, t->pid, skel->progs.handler, points, found->n, multi, links);
}

static void configure(struct pylu *skel, const struct target *t)
{
	skel->bss->watch_slot = 1;
	skel->bss->watch_tgid = (uint32_t)t->pid;
	skel->bss->procs[1] = (struct wire_proc){ .tgid = (uint32_t)t->pid, .home = 1, .bias = t->bias };
}

static int run(struct pylu *skel, bool multi, const struct target *t, const struct layout *layout,
	       const struct opmap *opmap)
{
	static struct site_handlers found;
	struct probe_links *links = NULL;
	bool hidden[WIRE_MAX_PLACES];
	uint8_t ops[256];
	size_t n;
	int err = wire_build__fill(&skel->bss->builds[0], 0, layout, opmap, t->elf);

	if (!err)
		err = site_set__find_handlers(t->elf, layout, opmap, ops, all_opcodes(opmap, ops), &found);
	if (err)
		return err;
	configure(skel, t);
	n = read_units(skel, layout, opmap, hidden);
	err = n ? attach(skel, multi, t, &found, &links) : -EINVAL;
	if (err)
		return err;
	skel->bss->live = 1;
	puts("watching");
	fflush(stdout);
	(void)getchar();
	skel->bss->live = 0;
	for (size_t i = 0; i < n; i++)
		printf("%llu%s\n", (unsigned long long)skel->bss->place_hits[i], hidden[i] ? " hidden" : "");
	printf("strays %llu\ncost %zu %zu\n", (unsigned long long)skel->bss->seen_stats.strays, found.n - found.stepped,
	       found.stepped);
	probe_links__free(links);
	return 0;
}

int main(int argc, char **argv)
{
	struct pylu *skel = NULL;
	struct layout layout;
	const struct opmap *opmap;
	struct target *t;
	bool multi;
	int err;

	if (argc != 2 || target__open(atoi(argv[1]), &t))
		return 1;
	opmap = opmap__find(t->version.major, t->version.minor);
	err = opmap ? layout__of_file(t->elf, &t->version, &layout, NULL) : -ENOENT;
	if (!err)
		err = programs__load(PROGRAMS_HANDLERS, &skel, &multi);
	if (!err)
		err = run(skel, multi, t, &layout, opmap);
	pylu__destroy(skel);
	target__close(t);
	return err ? 1 : 0;
}
