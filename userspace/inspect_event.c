/*
 * inspect_event: what becomes of a record of the programs: decoded with the memory of the process that it came from, held
 * against the condition where that could not be decided in the kernel, handed to the command.
 */
#include <stdlib.h>
#include <string.h>

#include "cond.h"
#include "diag.h"
#include "inspect_priv.h"
#include "pyobj.h"
#include "seen_decode.h"
#include "source.h"
#include "target.h"
#include "value.h"

static const char *operand_name(uint16_t index, void *ctx)
{
	const struct inspect *s = ctx;

	return index < s->noperands ? s->operands[index].name : NULL;
}

static int open_decoder(struct inspect *s, struct inspect_process *process, struct pyobj_reader *reader)
{
	const struct seen_source source = {
		.reader = reader,
		.pid = process->pid,
		.interp_id = -1,
		.limits = &s->skel->bss->seen_config.limits,
		.redact = s->redact,
		.realtime_ns = (int64_t)(realtime_ns() - monotonic_ns()),
		.operand_name = operand_name,
		.ctx = s,
	};

	return seen_decoder__new(&source, &process->decoder);
}

/* NULL: out of memory, reported. */
static struct inspect_process *process_add(struct inspect *s, pid_t pid)
{
	struct inspect_process *bigger = realloc(s->processes, (s->nprocesses + 1) * sizeof(*bigger));

	if (!bigger) {
		diag_error(-ENOMEM, "out of memory");
		return NULL;
	}
	s->processes = bigger;
	bigger[s->nprocesses] = (struct inspect_process){ .pid = pid };
	return &bigger[s->nprocesses++];
}

/* Whoever is not known was forked by one that is. One that cannot be opened has ended already. */
static struct inspect_process *process_of(struct inspect *s, pid_t pid)
{
	struct inspect_process *process;
	const char *why;

	for (size_t i = 0; i < s->nprocesses; i++)
		if (s->processes[i].pid == pid)
			return &s->processes[i];
	process = process_add(s, pid);
	if (process && pid == s->opts.pid)
		open_decoder(s, process, s->reader);
	else if (process && !target__probe(pid, &process->target, &why) &&
		 !pyobj_reader__new(process->target, &process->reader))
		open_decoder(s, process, process->reader);
	return process;
}

void inspect_events_free(struct inspect *s)
{
	for (size_t i = 0; i < s->nprocesses; i++) {
		seen_decoder__free(s->processes[i].decoder);
		pyobj_reader__free(s->processes[i].reader);
		target__close(s->processes[i].target);
	}
	free(s->processes);
}

/* The values of the condition's variables stand behind those that are shown: the last ones of the record. */
static int decide(const struct inspect *s, const struct seen_event *event)
{
	const struct value *values[2 * WIRE_MAX_TESTS] = { NULL };

	if (event->nvalues < s->ncond_operands)
		return -1;
	for (size_t i = 0; i < s->ncond_operands; i++)
		values[i] = event->values[event->nvalues - s->ncond_operands + i].value;
	return cond__eval(s->cond, values);
}

static bool is_global(const struct inspect *s, const char *name)
{
	for (size_t i = 0; i < s->noperands; i++)
		if (!strcmp(s->operands[i].name, name))
			return s->wire_operands[i].kind == WIRE_OPERAND_GLOBAL;
	return false;
}

/* The functions and modules that a line uses are in its text, and are not what anybody looks for in it. They go behind the
 * end: the values are the decoder's. */
static void drop_definitions(const struct inspect *s, struct seen_event *event)
{
	size_t n = 0;

	for (size_t i = 0; i < event->nvalues; i++)
		if (!value__is_definition(event->values[i].value) || !is_global(s, event->values[i].name)) {
			struct seen_value kept = event->values[i];

			event->values[i] = event->values[n];
			event->values[n++] = kept;
		}
	event->nvalues = n;
}

int inspect_event(struct inspect *s, const struct wire_event_seen *record)
{
	struct inspect_process *process = process_of(s, (pid_t)record->tgid);
	struct seen_event event = { 0 };
	int err;

	if (!process)
		return -ENOMEM;
	if (!process->decoder) {
		s->lost_here++;
		return 0;
	}
	err = seen_decoder__decode(process->decoder, record, &event);
	if (err || record->window >= s->places->nwindows)
		return err;
	if (s->cond && event.undecided) {
		int truth = decide(s, &event);

		event.undecided = truth < 0;
		if (!truth) {
			s->unmatched_here++;
			return 0;
		}
	}
	event.nvalues -= event.nvalues < s->ncond_operands ? event.nvalues : s->ncond_operands;
	if (s->opts.mode == INSPECT_DEBUG) {
		drop_definitions(s, &event);
		if (!event.nvalues)
			return 0;
	}
	event.line = s->places->windows[record->window].line;
	event.source = source__line(s->source, event.line);
	for (size_t i = 0; i < event.nvalues; i++)
		s->unreadable += value__unreadable(event.values[i].value);
	s->shown++;
	return s->opts.on_event(&event, s->opts.ctx);
}
