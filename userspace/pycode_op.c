/*
 * pycode_op: instructions out of code units: which opcode a specialised or instrumented one stands for, what kinds of
 * instructions there are, where jumps lead. Knows neither lines nor the target's memory.
 *
 * What an opcode does is what Python/ceval.c and, from 3.12 on, Python/bytecodes.c of its version say; where a jump leads, what
 * Lib/dis.py does.
 */
#include "pycode_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define UNIT 2u
#define PREFIXES_MAX 3 /* an argument has 32 bits */

static const struct {
	const char *name;
	uint8_t first, last; /* minor versions; 0: all from there, or up to there */
	uint16_t traits;
} kinds[] = {
	{ "JUMP_FORWARD", 0, 0, PYCODE_FORWARD | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "JUMP_ABSOLUTE", 0, 0, PYCODE_ABSOLUTE | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "JUMP_BACKWARD", 0, 0, PYCODE_BACKWARD | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "JUMP_BACKWARD_NO_INTERRUPT", 0, 0, PYCODE_BACKWARD | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "FOR_ITER", 0, 0, PYCODE_FORWARD },
	{ "SEND", 0, 0, PYCODE_FORWARD },
	{ "CALL_FINALLY", 0, 0, PYCODE_FORWARD | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "POP_JUMP_IF_FALSE", 0, 10, PYCODE_ABSOLUTE },
	{ "POP_JUMP_IF_TRUE", 0, 10, PYCODE_ABSOLUTE },
	{ "JUMP_IF_FALSE_OR_POP", 0, 10, PYCODE_ABSOLUTE },
	{ "JUMP_IF_TRUE_OR_POP", 0, 10, PYCODE_ABSOLUTE },
	{ "JUMP_IF_NOT_EXC_MATCH", 0, 10, PYCODE_ABSOLUTE },
	{ "JUMP_IF_FALSE_OR_POP", 11, 0, PYCODE_FORWARD },
	{ "JUMP_IF_TRUE_OR_POP", 11, 0, PYCODE_FORWARD },
	{ "POP_JUMP_FORWARD_IF_FALSE", 0, 0, PYCODE_FORWARD },
	{ "POP_JUMP_FORWARD_IF_TRUE", 0, 0, PYCODE_FORWARD },
	{ "POP_JUMP_FORWARD_IF_NONE", 0, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_FORWARD_IF_NOT_NONE", 0, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_BACKWARD_IF_FALSE", 0, 0, PYCODE_BACKWARD },
	{ "POP_JUMP_BACKWARD_IF_TRUE", 0, 0, PYCODE_BACKWARD },
	{ "POP_JUMP_BACKWARD_IF_NONE", 0, 0, PYCODE_BACKWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_BACKWARD_IF_NOT_NONE", 0, 0, PYCODE_BACKWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_IF_FALSE", 12, 12, PYCODE_FORWARD },
	{ "POP_JUMP_IF_TRUE", 12, 12, PYCODE_FORWARD },
	/* TO_BOOL has called __bool__ before. */
	{ "POP_JUMP_IF_FALSE", 13, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_IF_TRUE", 13, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_IF_NONE", 12, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "POP_JUMP_IF_NOT_NONE", 12, 0, PYCODE_FORWARD | PYCODE_NO_RAISE },
	{ "SETUP_FINALLY", 0, 0, PYCODE_SETUP | PYCODE_NO_RAISE },
	{ "SETUP_WITH", 0, 0, PYCODE_SETUP },
	{ "SETUP_ASYNC_WITH", 0, 0, PYCODE_SETUP | PYCODE_NO_RAISE },
	{ "RETURN_VALUE", 0, 0, PYCODE_RETURN | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "RETURN_CONST", 0, 0, PYCODE_RETURN | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "RETURN_GENERATOR", 0, 0, PYCODE_RETURN | PYCODE_ENDS | PYCODE_NO_RAISE },
	{ "RAISE_VARARGS", 0, 0, PYCODE_ENDS },
	{ "RERAISE", 0, 0, PYCODE_ENDS },
	{ "INTERPRETER_EXIT", 0, 0, PYCODE_ENDS },
	{ "YIELD_VALUE", 0, 0, PYCODE_YIELD },
	{ "YIELD_FROM", 0, 0, PYCODE_YIELD },
	{ "RESUME", 0, 0, PYCODE_RESUME },
	{ "NOP", 0, 0, PYCODE_NO_RAISE },
	{ "NOT_TAKEN", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_CONST", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_SMALL_INT", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_COMMON_CONSTANT", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_FAST", 12, 0, PYCODE_NO_RAISE },
	{ "LOAD_FAST_BORROW", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_FAST_LOAD_FAST", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_FAST_BORROW_LOAD_FAST_BORROW", 0, 0, PYCODE_NO_RAISE },
	{ "LOAD_FAST_AND_CLEAR", 0, 0, PYCODE_NO_RAISE },
	{ "STORE_FAST_LOAD_FAST", 0, 0, PYCODE_NO_RAISE },
	{ "STORE_FAST_STORE_FAST", 0, 0, PYCODE_NO_RAISE },
	{ "STORE_FAST", 0, 0, PYCODE_NO_RAISE },
	{ "STORE_FAST_MAYBE_NULL", 0, 0, PYCODE_NO_RAISE },
	{ "STORE_DEREF", 0, 0, PYCODE_NO_RAISE },
	{ "POP_TOP", 0, 0, PYCODE_NO_RAISE },
	{ "PUSH_NULL", 0, 0, PYCODE_NO_RAISE },
	{ "PUSH_EXC_INFO", 0, 0, PYCODE_NO_RAISE },
	{ "POP_EXCEPT", 0, 0, PYCODE_NO_RAISE },
	{ "POP_BLOCK", 0, 0, PYCODE_NO_RAISE },
	{ "BEGIN_FINALLY", 0, 0, PYCODE_NO_RAISE },
	{ "POP_FINALLY", 0, 0, PYCODE_NO_RAISE },
	{ "COPY", 0, 0, PYCODE_NO_RAISE },
	{ "SWAP", 0, 0, PYCODE_NO_RAISE },
	{ "ROT_TWO", 0, 0, PYCODE_NO_RAISE },
	{ "ROT_THREE", 0, 0, PYCODE_NO_RAISE },
	{ "ROT_FOUR", 0, 0, PYCODE_NO_RAISE },
	{ "ROT_N", 0, 0, PYCODE_NO_RAISE },
	{ "DUP_TOP", 0, 0, PYCODE_NO_RAISE },
	{ "DUP_TOP_TWO", 0, 0, PYCODE_NO_RAISE },
	{ "IS_OP", 0, 0, PYCODE_NO_RAISE },
	{ "UNARY_NOT", 13, 0, PYCODE_NO_RAISE },
	{ "END_FOR", 0, 0, PYCODE_NO_RAISE },
	{ "POP_ITER", 0, 0, PYCODE_NO_RAISE },
	{ "END_SEND", 0, 0, PYCODE_NO_RAISE },
	{ "GEN_START", 0, 0, PYCODE_NO_RAISE },
	{ "KW_NAMES", 0, 0, PYCODE_NO_RAISE },
	{ "CACHE", 0, 0, PYCODE_NO_RAISE },
};

static uint16_t traits_of(const char *name, uint8_t minor)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (minor >= kinds[i].first && (!kinds[i].last || minor <= kinds[i].last) &&
		    !strcmp(name, kinds[i].name))
			return kinds[i].traits;
	}
	return 0;
}

int pycode_ops__init(struct pycode_ops *ops, uint8_t major, uint8_t minor)
{
	static const char prefix[] = "INSTRUMENTED_";
	const struct opmap *map = opmap__find(major, minor);

	memset(ops, 0, sizeof(*ops));
	if (!map)
		return -EINVAL;
	ops->map = map;
	ops->extended_arg = opmap__number(map, "EXTENDED_ARG");
	ops->line = opmap__number(map, "INSTRUMENTED_LINE");
	ops->instruction = opmap__number(map, "INSTRUMENTED_INSTRUCTION");
	ops->enter_executor = opmap__number(map, "ENTER_EXECUTOR");
	for (int op = 0; op < 256; op++) {
		int number = op;

		if (!map->names[op] || op == ops->line || op == ops->instruction || op == ops->enter_executor)
			continue;
		if (!strncmp(map->names[op], prefix, strlen(prefix)))
			number = opmap__number(map, map->names[op] + strlen(prefix));
		if (number < 0)
			continue;
		ops->base[op] = map->base[number] ? map->base[number] : (uint8_t)number;
		ops->traits[op] = traits_of(map->names[ops->base[op]], minor);
	}
	return 0;
}

/* Where a jump leads to; more than 32 bits where it is damaged. */
static uint64_t jump_target(const struct pycode *code, const struct pycode_instr *i)
{
	uint64_t by = (uint64_t)i->arg * (code->minor >= 10 ? UNIT : 1);

	if (i->traits & PYCODE_ABSOLUTE)
		return by;
	return i->traits & PYCODE_BACKWARD ? i->next - by : i->next + by;
}

int pycode_split(struct pycode *code, const struct pycode_ops *ops, const uint8_t *units, size_t nbytes)
{
	size_t at = 0;

	code->instrs = calloc(nbytes / UNIT + 1, sizeof(*code->instrs));
	if (!code->instrs)
		return -ENOMEM;
	while (at < nbytes) {
		struct pycode_instr *i = &code->instrs[code->ninstrs];

		i->start = (uint32_t)at;
		i->target = PYCODE_NO_TARGET;
		for (unsigned prefixes = 0; at + UNIT <= nbytes && units[at] == ops->extended_arg; at += UNIT) {
			if (++prefixes > PREFIXES_MAX)
				return -EINVAL;
			i->arg = (i->arg | units[at + 1]) << 8;
		}
		if (at + UNIT > nbytes)
			return -EINVAL;
		i->offset = (uint32_t)at;
		i->op = units[at];
		i->arg |= units[at + 1];
		i->traits = ops->traits[i->op];
		at += UNIT + (size_t)ops->map->caches[i->op] * UNIT;
		if (at > nbytes)
			return -EINVAL;
		i->next = (uint32_t)at;
		code->ninstrs++;
	}
	for (size_t n = 0; n < code->ninstrs; n++) {
		struct pycode_instr *i = &code->instrs[n];
		uint64_t target = jump_target(code, i);
		int index;

		if (!(i->traits & (PYCODE_JUMP | PYCODE_SETUP)))
			continue;
		index = target < nbytes ? pycode__find(code, (uint32_t)target) : -ENOENT;
		if (index < 0 || code->instrs[index].start != target)
			return -EINVAL;
		i->target = (uint32_t)target;
	}
	return 0;
}
