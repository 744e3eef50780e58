/*
 * pycode_block: to 3.10, the handlers of exceptions: they are set up and taken down by instructions, on a stack of blocks
 * of the frame, which is followed here through all that can run.
 *
 * What an instruction does to the stack is what Python/ceval.c of 3.8 to 3.10 says.
 */
#include "pycode_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The stack of blocks at an instruction: its top, and what is below. */
struct block {
	struct block *below;
	uint32_t handler; /* offset; PYCODE_NO_TARGET: what is entered when an exception was caught */
	uint32_t body;	  /* of the latter: where it begins */
};

struct tracer {
	struct pycode *code;
	const char *const *names; /* of opcodes */
	struct block *blocks;	  /* that were needed, at most two an instruction */
	size_t nblocks;
	struct block **at;   /* for each instruction the stack before it */
	bool *seen, *caught; /* an instruction was reached; a handler begins there */
	uint32_t *todo;
	size_t ntodo;
};

static struct block *push(struct tracer *t, struct block *below, uint32_t handler, uint32_t body)
{
	struct block *b = &t->blocks[t->nblocks++];

	*b = (struct block){ below, handler, body };
	return b;
}

/* Takes off the topmost block of a kind, with what lies on it. */
static struct block *pop(struct block *b, bool handler)
{
	while (b && (b->handler != PYCODE_NO_TARGET) != handler)
		b = b->below;
	return b ? b->below : NULL;
}

static void arrive(struct tracer *t, uint32_t offset, struct block *stack)
{
	int index = pycode__find(t->code, offset);

	if (index < 0 || t->seen[index])
		return;
	t->seen[index] = true;
	t->at[index] = t->caught[index] ? push(t, stack, PYCODE_NO_TARGET, offset) : stack;
	t->todo[t->ntodo++] = (uint32_t)index;
}

/* What lies on the stack behind the instruction, where it goes on. */
static struct block *behind(struct tracer *t, struct pycode_instr *i, struct block *stack)
{
	const char *name = t->names[i->op];
	struct block *b = stack;

	if (i->traits & PYCODE_SETUP)
		return push(t, stack, i->target, 0);
	if (!strcmp(name, "POP_BLOCK"))
		return pop(stack, true);
	if (!strcmp(name, "POP_EXCEPT") || !strcmp(name, "POP_FINALLY") || !strcmp(name, "END_ASYNC_FOR"))
		return pop(stack, false);
	if (!strcmp(name, "END_FINALLY")) {
		while (b && b->handler != PYCODE_NO_TARGET)
			b = b->below;
		i->target = b ? b->body : PYCODE_NO_TARGET;
		return pop(stack, false);
	}
	/* What it begins lies right behind it, or is a copy of that. */
	if (!strcmp(name, "BEGIN_FINALLY") && i->next < t->code->instrs[t->code->ninstrs - 1].next &&
	    !t->caught[pycode__find(t->code, i->next)])
		return push(t, stack, PYCODE_NO_TARGET, PYCODE_NO_TARGET);
	return stack;
}

static void visit(struct tracer *t, uint32_t index)
{
	struct pycode_instr *i = &t->code->instrs[index];
	struct block *stack = t->at[index], *after = behind(t, i, stack);

	if (i->traits & PYCODE_SETUP)
		arrive(t, i->target, stack);
	if (i->traits & PYCODE_JUMP)
		arrive(t, i->target, after);
	/* A finally block comes back to behind what called it. */
	if (!(i->traits & PYCODE_ENDS) || !strcmp(t->names[i->op], "CALL_FINALLY"))
		arrive(t, i->next, after);
}

/* Pieces of the code that have the same handler. */
static void collect(struct tracer *t)
{
	struct pycode *code = t->code;

	for (size_t n = 0; n < code->ninstrs; n++) {
		struct pycode_handler *last = code->nhandlers ? &code->handlers[code->nhandlers - 1] : NULL;
		struct block *b = t->at[n];

		while (b && b->handler == PYCODE_NO_TARGET)
			b = b->below;
		if (!b)
			continue;
		if (last && last->target == b->handler && last->end == code->instrs[n].start)
			last->end = code->instrs[n].next;
		else
			code->handlers[code->nhandlers++] =
				(struct pycode_handler){ code->instrs[n].start, code->instrs[n].next, b->handler };
	}
}

int pycode_trace_blocks(struct pycode *code)
{
	size_t n = code->ninstrs;
	struct tracer t = { .code = code, .names = opmap__find(code->major, code->minor)->names };
	int err = -ENOMEM;

	t.blocks = calloc(2 * n + 1, sizeof(*t.blocks));
	t.at = calloc(n + 1, sizeof(struct block *));
	t.seen = calloc(n + 1, sizeof(*t.seen));
	t.caught = calloc(n + 1, sizeof(*t.caught));
	t.todo = calloc(n + 1, sizeof(*t.todo));
	code->handlers = calloc(n + 1, sizeof(*code->handlers));
	if (!t.blocks || !t.at || !t.seen || !t.caught || !t.todo || !code->handlers)
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (code->instrs[i].traits & PYCODE_SETUP)
			t.caught[pycode__find(code, code->instrs[i].target)] = true;
	}
	arrive(&t, 0, NULL);
	while (t.ntodo)
		visit(&t, t.todo[--t.ntodo]);
	collect(&t);
	err = 0;
out:
	free(t.blocks);
	free(t.at);
	free(t.seen);
	free(t.caught);
	free(t.todo);
	return err;
}
