/*
 * site_flow: what the registers hold on the way along the interpreter's code, told by what they held at its start; and from that
 * which one points to the code unit that is executed. Finds no sites.
 */
#include "layout.h"
#include "opmap.h"
#include "site_priv.h"

#define VOTES_MAX 32	/* different answers of the handlers: one is right, some are of handlers that jump */
#define VOTES_ENOUGH 20 /* handlers that say the same */
#define NEAR 8		/* bytes from where a register points to the code unit; farther away is a place on the stack */

static const struct site_value unknown = { .origin = INSN_NO_REG };

void site_flow__begin(struct site_flow *flow)
{
	for (uint8_t reg = 0; reg < 16; reg++) {
		flow->regs[reg] = (struct site_value){ .origin = reg };
		flow->opcodes[reg] = unknown;
	}
}

static struct site_value sum(struct site_value v, int64_t by)
{
	/* Code that is none can have any constants. */
	v.by = (int64_t)((uint64_t)v.by + (uint64_t)by);
	return v;
}

/* What becomes of an opcode, and in which register: INSN_NO_REG where the instruction does nothing to one. */
static uint8_t pass_opcode(const struct site_flow *flow, const struct insn *insn, struct site_value *opcode)
{
	*opcode = unknown;
	if (insn->narrow) {
		if (flow->regs[insn->base].origin != INSN_NO_REG)
			*opcode = sum(flow->regs[insn->base], insn->disp);
		return insn->reg;
	}
	if (insn->picked != INSN_NO_REG && insn->flow == INSN_NEXT) {
		*opcode = flow->opcodes[insn->picked];
		return insn->reg;
	}
	if (insn->keep_to == INSN_NO_REG || insn->keep_from == INSN_NO_REG)
		return INSN_NO_REG;
	*opcode = flow->opcodes[insn->keep_from];
	if (insn->joins && opcode->origin == INSN_NO_REG)
		*opcode = flow->opcodes[insn->keep_to];
	return insn->keep_to;
}

void site_flow__pass(struct site_flow *flow, const struct insn *insn)
{
	struct site_value value = unknown, opcode;
	uint8_t to = INSN_NO_REG, opcode_to = pass_opcode(flow, insn, &opcode);

	if (insn->copy_to != INSN_NO_REG && insn->copy_from != INSN_NO_REG) {
		to = insn->copy_to;
		value = flow->regs[insn->copy_from];
	} else if (insn->add_to != INSN_NO_REG && flow->regs[insn->add_from].origin != INSN_NO_REG) {
		to = insn->add_to;
		value = sum(flow->regs[insn->add_from], insn->add_by);
	}
	for (uint8_t reg = 0; reg < 16; reg++)
		if (insn->written & INSN_REG_MASK(reg))
			flow->regs[reg] = flow->opcodes[reg] = unknown;
	if (to != INSN_NO_REG)
		flow->regs[to] = value;
	if (opcode_to != INSN_NO_REG)
		flow->opcodes[opcode_to] = opcode;
}

uint8_t site_flow__holder(const struct site_flow *flow, uint8_t origin, int64_t *by)
{
	for (uint8_t reg = 0; reg < 16; reg++)
		if (flow->regs[reg].origin == origin) {
			*by = flow->regs[reg].by;
			return reg;
		}
	return SITE_REG_NONE;
}

/* What one handler says: it ends by a jump to an opcode's handler, the opcode read at a distance from what a register will
 * hold there. False when its straight line ends otherwise. */
static bool dispatches(struct finder *f, uint64_t at, uint8_t *reg, int64_t *by)
{
	struct site_flow flow;
	struct insn insn;

	site_flow__begin(&flow);
	for (int i = 0; i < SITE_STRAIGHT_MAX && !site_decode(f, at, &insn); i++) {
		if (insn.flow == INSN_END) {
			uint8_t index = insn.picked != INSN_NO_REG ? insn.picked : insn.jump_reg;
			struct site_value opcode = index == INSN_NO_REG ? unknown : flow.opcodes[index];

			*reg = opcode.origin;
			if (*reg == INSN_NO_REG || flow.regs[*reg].origin != *reg)
				return false;
			*by = sum(opcode, -flow.regs[*reg].by).by;
			return *by >= -NEAR && *by <= NEAR;
		}
		site_flow__pass(&flow, &insn);
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return false;
}

uint8_t site_agreed_instr(struct finder *f, const uint64_t *table, int64_t *by)
{
	struct {
		uint8_t reg;
		int64_t by;
		unsigned n;
	} votes[VOTES_MAX] = { 0 };
	unsigned best = 0, all = 0, used = 0;

	for (int op = 0; op < 256; op++) {
		unsigned i = 0;
		uint8_t reg;
		int64_t off;

		if (!f->opmap->names[op] || !dispatches(f, table[op], &reg, &off))
			continue;
		all++;
		while (i < used && (votes[i].reg != reg || votes[i].by != off))
			i++;
		if (i == used && used < VOTES_MAX) {
			votes[used].reg = reg;
			votes[used++].by = off;
		}
		if (i < used && ++votes[i].n > votes[best].n)
			best = i;
	}
	*by = votes[best].by;
	return votes[best].n < VOTES_ENOUGH || votes[best].n * 10 < all * 9 ? SITE_REG_NONE : votes[best].reg;
}
