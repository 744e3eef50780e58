/*
 * places_flow: what can run after what in a code object, and at which of these steps sys.settrace tells of a line.
 *
 * Which steps those are is not the same in all versions. To 3.11 the tracing loop compares where it comes from and where it
 * is (maybe_call_line_trace in Python/ceval.c); from 3.12 on certain instructions are marked to tell of lines
 * (initialize_lines in Python/instrumentation.c), and jumps backward within a line do (Python/legacy_tracing.c).
 */
#include "places_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INSTRUCTIONS_MAX (1u << 16)

enum step {
	STEP_NORMAL,
	STEP_RAISED, /* by an exception */
	STEP_AGAIN,  /* that was raised elsewhere, and is raised again */
	STEP_THROWN, /* that was thrown into a generator */
};

struct builder {
	const struct pycode *code;
	struct places_flow *flow;
	struct raw {
		uint32_t from, to;
		enum step how;
		bool tells;
	} * raw;
	size_t nraw, cap;
	bool *marked;	 /* 3.12 on: tells of its line */
	size_t handler;	 /* the first that does not end before the instruction that is looked at */
	uint32_t begin;	 /* 3.11 on: the first RESUME; what is before it is not traced */
	uint32_t *range; /* the first instruction of the piece of the line table that it is in */
	struct again {	 /* what was caught by a handler is raised again */
		uint32_t handler, at;
	} * again;
	size_t nagain;
	unsigned budget; /* for finding out about those */
	bool failed;
};

#define PASSES_MAX 64 /* more are not needed by what a compiler makes */
#define BUDGET (1u << 20)
#define DEPTH 8 /* of exceptions that were raised again and again */

static bool is(const struct builder *b, size_t index, const char *name)
{
	return index < b->code->ninstrs && !strcmp(pycode__op_name(b->code, b->code->instrs[index].op), name);
}

static void add(struct builder *b, uint32_t from, size_t to)
{
	if (to >= b->code->ninstrs)
		return;
	if (b->nraw == b->cap) {
		size_t cap = 2 * b->cap + 256;
		struct raw *bigger = realloc(b->raw, cap * sizeof(*bigger));

		if (!bigger) {
			b->failed = true;
			return;
		}
		b->raw = bigger;
		b->cap = cap;
	}
	b->raw[b->nraw++] = (struct raw){ from, (uint32_t)to, STEP_NORMAL, false };
}

static void add_again(struct builder *b, uint32_t handler, uint32_t at)
{
	struct again *bigger = realloc(b->again, (b->nagain + 1) * sizeof(*bigger));

	b->failed |= !bigger;
	if (!bigger)
		return;
	b->again = bigger;
	b->again[b->nagain++] = (struct again){ handler, at };
}

/* Handlers lie in order and do not overlap; instructions are asked about in order. */
static const struct pycode_handler *handler_of(struct builder *b, const struct pycode_instr *i)
{
	const struct pycode *code = b->code;

	while (b->handler < code->nhandlers && code->handlers[b->handler].end <= i->start)
		b->handler++;
	return b->handler < code->nhandlers && code->handlers[b->handler].start <= i->start
		       ? &code->handlers[b->handler]
		       : NULL;
}

/* 3.8: the end of a finally block goes back to what called it, or on, where it was not called. */
static void add_finally(struct builder *b, uint32_t from)
{
	const struct pycode *code = b->code;
	uint32_t body = code->instrs[from].target;
	int at = body == PYCODE_NO_TARGET ? -ENOENT : pycode__find(code, body);

	if (at < 0 || is(b, (size_t)at, "WITH_CLEANUP_START") || (at > 0 && is(b, (size_t)at - 1, "BEGIN_FINALLY")))
		add(b, from, from + 1);
	for (uint32_t i = 0; i < code->ninstrs; i++) {
		if (code->instrs[i].target == body && is(b, i, "CALL_FINALLY"))
			add(b, from, i + 1);
	}
}

/* Where a loop goes on when its iterator is exhausted: behind the instructions that take it off the stack, which only run
 * where the iterator is a generator. */
static void add_loop_end(struct builder *b, uint32_t from, uint32_t to)
{
	if (!is(b, to, "END_FOR"))
		return;
	add(b, from, to + 1);
	if (is(b, to + 1, "POP_TOP") || is(b, to + 1, "POP_ITER"))
		add(b, from, to + 2);
}

/* A call that appends to a list takes the instruction along that drops its result (CALL_LIST_APPEND, 3.11 on). */
static void add_append(struct builder *b, uint32_t from)
{
	const struct pycode *code = b->code;

	if (is(b, from, "CALL") && is(b, from + 1, "POP_TOP") && code->instrs[from].line != code->instrs[from + 1].line)
		add(b, from, from + 2);
}

static void add_handler(struct builder *b, uint32_t from, uint32_t target)
{
	const struct pycode_instr *i = &b->code->instrs[from];
	size_t n = b->nraw, to = (size_t)pycode__find(b->code, target);
	bool yields = i->traits & PYCODE_YIELD;

	add(b, from, to);
	/* To 3.10 what a generator yields from may also fail by itself. */
	if (is(b, from, "YIELD_FROM"))
		add(b, from, to);
	for (size_t k = n; k < b->nraw; k++)
		b->raw[k].how = k == n && yields ? STEP_THROWN : STEP_RAISED;
	if (n < b->nraw && i->arg && is(b, from, "RERAISE"))
		b->raw[n].how = STEP_AGAIN;
}

static void add_all_of(struct builder *b, uint32_t from)
{
	const struct pycode *code = b->code;
	const struct pycode_instr *i = &code->instrs[from];
	const struct pycode_handler *handler = handler_of(b, i);
	bool raises = !(i->traits & PYCODE_NO_RAISE);

	if (i->traits & PYCODE_JUMP) {
		int to = pycode__find(code, i->target);

		add(b, from, (size_t)to);
		if (is(b, from, "FOR_ITER"))
			add_loop_end(b, from, (uint32_t)to);
	}
	if (is(b, from, "END_FINALLY"))
		add_finally(b, from);
	else if (!(i->traits & PYCODE_ENDS))
		add(b, from, from + 1);
	/* It runs again each time that the generator goes on. */
	if (is(b, from, "YIELD_FROM"))
		add(b, from, from);
	add_append(b, from);
	if (raises && handler)
		add_handler(b, from, handler->target);
	b->flow->dies[from] = (raises && !handler) || i->traits & PYCODE_YIELD;
}

/* Where frames start: from 3.11 on at a RESUME, which is not always the first instruction. A generator's at the RESUME that
 * follows RETURN_GENERATOR; what is before that may run, from 3.15 on, in a frame of its own. */
static void add_starts(struct builder *b)
{
	const struct pycode *code = b->code;
	uint32_t n = b->flow->n;
	bool creates = false;

	if (b->begin == n) {
		add(b, n, 0);
		return;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (code->instrs[i].traits & PYCODE_RESUME && (i == b->begin || creates)) {
			add(b, n, i);
			creates = false;
		}
		creates |= i > b->begin && is(b, i, "RETURN_GENERATOR");
	}
}

/* 3.12 on. */
static void mark(struct builder *b)
{
	static const char *const never[] = { "END_ASYNC_FOR", "END_FOR", "END_SEND", "RESUME", "POP_ITER" };
	const struct pycode *code = b->code;
	uint32_t line = 0;

	for (uint32_t i = b->begin < b->flow->n ? b->begin : 0; i < code->ninstrs; i++) {
		bool skip = false;

		for (size_t k = 0; k < sizeof(never) / sizeof(never[0]); k++)
			skip |= is(b, i, never[k]);
		if (skip)
			continue;
		b->marked[i] = code->instrs[i].line && code->instrs[i].line != line;
		line = code->instrs[i].line;
	}
	for (uint32_t i = 0; i < code->ninstrs; i++) {
		int to = code->instrs[i].traits & PYCODE_JUMP ? pycode__find(code, code->instrs[i].target) : -ENOENT;

		if (to >= 0)
			to += is(b, i, "FOR_ITER") || is(b, i, "SEND");
		if (to >= 0 && (uint32_t)to < code->ninstrs && code->instrs[to].line && !is(b, (size_t)to, "POP_ITER"))
			b->marked[to] = true;
	}
	for (size_t i = 0; i < code->nhandlers; i++) {
		int to = pycode__find(code, code->handlers[i].target);

		if (code->instrs[to].line && !is(b, (size_t)to, "END_ASYNC_FOR"))
			b->marked[to] = true;
	}
}

/* 3.9: whether an exception makes what follows a line (bpo-39114): where the frame was resumed with it, or where what raised it is
 * neither at the beginning of its piece of the line table nor in the first one. */
static bool tells_of_handler(const struct builder *b, const struct raw *r)
{
	return r->how == STEP_THROWN || (r->how == STEP_RAISED && b->range[r->from] != r->from && b->range[r->from]);
}

/* Whether settrace tells of the line of the instruction to which a step leads. */
static bool tells(const struct builder *b, const struct raw *r)
{
	uint32_t u = r->from, v = r->to;
	const struct pycode_instr *from = u < b->flow->n ? &b->code->instrs[u] : NULL, *to = &b->code->instrs[v];
	bool other = !from || from->line != to->line;

	/* Where a frame begins it tells of a call. */
	if (!to->line || (!from && to->traits & PYCODE_RESUME))
		return false;
	switch (b->code->minor) {
	case 8:
		return to->starts || (from && v < u);
	case 9:
		return to->starts || (from && v < u) || tells_of_handler(b, r);
	case 10:
		return other || v < u;
	case 11:
		return other || (b->begin < b->flow->n && u <= b->begin) || (v < u && !is(b, v, "SEND"));
	case 12:
		break;
	default:
		/* A generator into which something is thrown stands at the RESUME behind its YIELD_VALUE. */
		other |= r->how == STEP_THROWN;
	}
	other |= from && from->traits & PYCODE_RESUME;
	return (b->marked[v] && other) || (!other && from && is(b, u, "JUMP_BACKWARD"));
}

/* What is reached from a handler's first instruction until something is raised again: adds the instructions that do so. */
static void find_reraises(struct builder *b, uint32_t first, bool *seen, uint32_t *todo)
{
	const struct pycode *code = b->code;
	size_t n = 0;

	memset(seen, 0, code->ninstrs);
	todo[n++] = first;
	while (n) {
		uint32_t at = todo[--n];
		const struct pycode_instr *i = &code->instrs[at];
		uint32_t next[2] = { at + 1, (uint32_t)code->ninstrs };

		if (seen[at] || !b->budget)
			continue;
		b->budget--;
		seen[at] = true;
		if (i->arg && is(b, at, "RERAISE"))
			add_again(b, first, at);
		if (i->traits & PYCODE_ENDS)
			next[0] = next[1];
		if (i->traits & PYCODE_JUMP)
			next[1] = (uint32_t)pycode__find(code, i->target);
		for (int k = 0; k < 2; k++) {
			if (next[k] < code->ninstrs && !seen[next[k]])
				todo[n++] = next[k];
		}
	}
}

/* From 3.10 on: which handlers raise again what they caught. */
static int find_all_reraises(struct builder *b)
{
	const struct pycode *code = b->code;
	bool *seen = calloc(code->ninstrs + 1, sizeof(*seen)), *done = calloc(code->ninstrs + 1, sizeof(*done));
	uint32_t *todo = calloc(2 * code->ninstrs + 2, sizeof(*todo));

	for (size_t i = 0; seen && done && todo && i < code->nhandlers; i++) {
		int first = pycode__find(code, code->handlers[i].target);

		if (!done[first])
			find_reraises(b, (uint32_t)first, seen, todo);
		done[first] = true;
	}
	b->failed |= !seen || !done || !todo;
	free(seen);
	free(done);
	free(todo);
	return b->failed ? -ENOMEM : 0;
}

/* An exception that is raised again has come, to settrace, from where it was raised first. The kinds of steps, as bits of
 * `true` and `false`, that tell or do not, from all that the handlers have caught that come to `r->from`. */
static unsigned tells_again(struct builder *b, const struct raw *r, unsigned depth)
{
	const struct pycode *code = b->code;
	unsigned kinds = 0;

	for (size_t k = 0; k < b->nagain; k++) {
		uint32_t first = code->instrs[b->again[k].handler].start;

		for (size_t h = 0; b->again[k].at == r->from && h < code->nhandlers; h++) {
			int at = code->handlers[h].target == first ? pycode__find(code, code->handlers[h].start) : -1;

			for (; at >= 0 && (size_t)at < code->ninstrs && code->instrs[at].start < code->handlers[h].end;
			     at++) {
				struct raw from = { (uint32_t)at, r->to, STEP_RAISED, false };

				if (!b->budget || !depth)
					return 1u << true | 1u << false;
				b->budget--;
				if (code->instrs[at].traits & PYCODE_NO_RAISE)
					continue;
				if (code->instrs[at].arg && is(b, (size_t)at, "RERAISE"))
					kinds |= tells_again(b, &from, depth - 1);
				else
					kinds |= 1u << tells(b, &from);
			}
		}
	}
	return kinds;
}

static void reach(struct places_flow *flow, uint32_t *todo)
{
	size_t n = 0;

	todo[n++] = flow->n;
	while (n) {
		uint32_t i = todo[--n];

		for (uint32_t e = flow->first[i]; e < flow->first[i + 1]; e++) {
			uint32_t to = flow->edges[e].to;

			if (!flow->reached[to]) {
				flow->reached[to] = true;
				todo[n++] = to;
			}
		}
	}
}

/* Decides which steps tell. One that may or may not becomes two. */
static void decide(struct builder *b)
{
	size_t n = b->nraw;

	for (size_t i = 0; i < n && !b->failed; i++) {
		unsigned kinds = b->raw[i].how == STEP_AGAIN ? tells_again(b, &b->raw[i], DEPTH) : 0;

		b->raw[i].tells = kinds ? kinds >> true & 1 : tells(b, &b->raw[i]);
		if (kinds != (1u << true | 1u << false))
			continue;
		add(b, b->raw[i].from, b->raw[i].to);
		b->raw[b->nraw - 1].tells = false;
	}
}

/*
 * Leaves out what only runs when the frame is about to end by an exception: instructions without a line that lead to
 * nothing that has one, and do not return. Where that begins the frame ends, as it does without them.
 */
static int drop_doomed(struct builder *b)
{
	struct places_flow *flow = b->flow;
	bool *saved = calloc(flow->n + 1, sizeof(*saved)), more = true;
	size_t kept = 0;

	if (!saved)
		return -ENOMEM;
	for (uint32_t i = 0; i <= flow->n; i++)
		saved[i] = i == flow->n || flow->line[i] || flow->traits[i] & (PYCODE_RETURN | PYCODE_YIELD);
	for (int pass = 0; more; pass++) {
		more = false;
		for (size_t i = b->nraw; i-- > 0;) {
			if (saved[b->raw[i].from] || (!saved[b->raw[i].to] && pass < PASSES_MAX))
				continue;
			saved[b->raw[i].from] = more = true;
		}
	}
	for (size_t i = 0; i < b->nraw; i++) {
		if (saved[b->raw[i].to])
			b->raw[kept++] = b->raw[i];
		else
			flow->dies[b->raw[i].from] = true;
	}
	b->nraw = kept;
	free(saved);
	return 0;
}

/* Sorts the edges by where they come from. */
static int finish(struct builder *b)
{
	struct places_flow *flow = b->flow;
	uint32_t *at = calloc(flow->n + 2, sizeof(*at));

	flow->edges = calloc(b->nraw + 1, sizeof(*flow->edges));
	if (!at || !flow->edges) {
		free(at);
		return -ENOMEM;
	}
	for (size_t i = 0; i < b->nraw; i++)
		flow->first[b->raw[i].from + 1]++;
	for (uint32_t i = 0; i <= flow->n; i++)
		flow->first[i + 1] += flow->first[i];
	memcpy(at, flow->first, (flow->n + 1) * sizeof(*at));
	for (size_t i = 0; i < b->nraw; i++) {
		struct raw *r = &b->raw[i];

		flow->edges[at[r->from]++] = (struct flow_edge){ r->to, r->tells };
	}
	flow->nedges = b->nraw;
	reach(flow, at);
	free(at);
	return 0;
}

static int allocate(struct builder *b)
{
	struct places_flow *flow = b->flow;
	size_t n = b->code->ninstrs;

	flow->n = (uint32_t)n;
	flow->offset = calloc(n + 1, sizeof(*flow->offset));
	flow->line = calloc(n + 1, sizeof(*flow->line));
	flow->traits = calloc(n + 1, sizeof(*flow->traits));
	flow->reached = calloc(n + 1, sizeof(*flow->reached));
	flow->dies = calloc(n + 1, sizeof(*flow->dies));
	flow->first = calloc(n + 2, sizeof(*flow->first));
	b->marked = calloc(n + 1, sizeof(*b->marked));
	b->range = calloc(n + 1, sizeof(*b->range));
	return flow->offset && flow->line && flow->traits && flow->reached && flow->dies && flow->first && b->marked &&
			       b->range
		       ? 0
		       : -ENOMEM;
}

static int build(struct builder *b)
{
	const struct pycode *code = b->code;
	struct places_flow *flow = b->flow;

	b->begin = flow->n;
	for (uint32_t i = 0; i < flow->n; i++) {
		flow->offset[i] = code->instrs[i].start;
		flow->line[i] = code->instrs[i].line;
		flow->traits[i] = code->instrs[i].traits;
		b->range[i] = !i || code->instrs[i].starts ? i : b->range[i - 1];
		if (b->begin == flow->n && code->instrs[i].traits & PYCODE_RESUME)
			b->begin = i;
	}
	if (code->minor >= 12)
		mark(b);
	add_starts(b);
	for (uint32_t i = 0; i < flow->n; i++)
		add_all_of(b, i);
	if (find_all_reraises(b))
		return -ENOMEM;
	decide(b);
	if (b->failed || drop_doomed(b))
		return -ENOMEM;
	return finish(b);
}

int places_flow__new(const struct pycode *code, struct places_flow **out)
{
	struct builder b = { .code = code, .budget = BUDGET };
	int err;

	*out = NULL;
	if (code->ninstrs > INSTRUCTIONS_MAX)
		return -E2BIG;
	b.flow = calloc(1, sizeof(*b.flow));
	if (!b.flow)
		return -ENOMEM;
	err = allocate(&b);
	err = err ? err : build(&b);
	free(b.raw);
	free(b.again);
	free(b.marked);
	free(b.range);
	if (err)
		places_flow__free(b.flow);
	else
		*out = b.flow;
	return err;
}

void places_flow__free(struct places_flow *flow)
{
	if (!flow)
		return;
	free(flow->offset);
	free(flow->line);
	free(flow->traits);
	free(flow->reached);
	free(flow->dies);
	free(flow->edges);
	free(flow->first);
	free(flow);
}
