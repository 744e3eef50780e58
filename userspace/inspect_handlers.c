/*
 * inspect_handlers: where every hit of more than four places is wanted: probes on the handlers of the opcodes that stand at
 * these places. Whoever executes such an opcode passes them, in any function.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>
#include <string.h>

#include "cost.h"
#include "diag.h"
#include "inspect_priv.h"
#include "opmap.h"
#include "probe.h"
#include "pycode.h"
#include "site_handlers.h"
#include "target.h"

/* The instruction whose first unit is at an offset. NULL: there is none. */
static const struct pycode_instr *instr_at(const struct pycode *code, uint32_t offset)
{
	for (size_t i = 0; i < code->ninstrs; i++)
		if (code->instrs[i].start == offset)
			return &code->instrs[i];
	return NULL;
}

/* The base opcode that stands at a place. 0, or a code that was reported. */
static int op_at(const struct inspect *s, const struct opmap *opmap, uint32_t offset, uint8_t *op)
{
	const struct pycode_instr *instr = instr_at(s->code, offset);
	int extended = opmap__number(opmap, "EXTENDED_ARG");

	if (!instr || extended < 0)
		return diag_error(-DIAG_BAD_DATA, "there is no instruction at offset %u of %s", offset, s->name);
	*op = instr->start == instr->offset ? instr->op : (uint8_t)extended;
	if (inspect_hidden(s, offset))
		return diag_error(
			-DIAG_BACKEND,
			"line %u of %s begins with an instruction that this version of Python may run together "
			"with the one before it, unseen",
			instr->line, s->name);
	return 0;
}

int inspect_handlers_find(struct inspect *s)
{
	const struct opmap *opmap = opmap__find(s->target->version.major, s->target->version.minor);
	bool wanted[256] = { false };
	uint8_t ops[256], op = 0;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < s->places->nplaces && !err; i++) {
		err = op_at(s, opmap, s->places->offsets[i], &op);
		if (!err && !wanted[op]) {
			wanted[op] = true;
			ops[n++] = op;
		}
	}
	if (err)
		return err;
	s->handlers = calloc(1, sizeof(*s->handlers));
	if (!s->handlers)
		return diag_error(-ENOMEM, "out of memory");
	return site_set__find_handlers(s->target->elf, s->layout, opmap, ops, n, s->handlers);
}

int inspect_handlers_measure(struct inspect *s)
{
	struct cost cost = { 0 };
	int err = cost__measure(s->skel, s->multi, &cost);

	if (err)
		return err;
	s->cost_links = cost.links;
	s->limited = cost.thread_filter;
	s->cost_ns = cost.ns_per_dropped_hit;
	s->stepped_ns = cost.ns_per_stepped_hit;
	return 0;
}

static int fill(struct inspect *s, struct probe_point *points)
{
	for (size_t i = 0; i < s->handlers->n; i++) {
		const struct site_handler *h = &s->handlers->sites[i];

		points[i] = (struct probe_point){ .file_offset = h->file_offset, .cookie = i };
		s->skel->bss->handlers[i] = (struct wire_handler){
			.instr_reg = h->instr_reg,
			.instr_by = h->instr_by,
			.op = h->op,
			.counted = h->counted,
			.repeats = h->repeats,
			.misses = h->misses,
			.counter_below = h->counter_below,
			.cost_ns = (uint32_t)(h->emulated ? s->cost_ns : s->stepped_ns),
		};
	}
	for (uint32_t i = 0; i < s->places->nplaces; i++) {
		uint64_t unit = s->code->units + s->places->offsets[i];

		if (bpf_map_update_elem(bpf_map__fd(s->skel->maps.place_index), &unit, &i, BPF_ANY))
			return diag_error(-errno, "cannot watch %s: %s", s->name, strerror(errno));
	}
	return 0;
}

int inspect_handlers_attach(struct inspect *s)
{
	struct probe_point points[SITE_HANDLERS_SITES];
	int err = fill(s, points);

	inspect_fill_steps(s, &s->groups[0]);
	if (!err)
		err = probe_links__attach(s->target->open_path, s->limited ? s->opts.pid : 0, s->skel->progs.handler,
					  points, s->handlers->n, s->multi, &s->links);
	/* Probes go live one by one. */
	if (!err)
		inspect_set_live(s, true);
	return err;
}

void inspect_handlers_free(struct inspect *s)
{
	struct probe_links *links[] = { s->links, s->cost_links };

	probe_links__free_all(s->links ? links : links + 1, (size_t) !!s->links + !!s->cost_links);
	free(s->handlers);
}
