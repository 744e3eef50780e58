/*
 * insn: decoding through Capstone, x86-64 only. Another architecture adds its register numbers and its kernel's list
 * of emulated instructions here; the search in site.c does not change.
 */
#include "insn.h"

#include <capstone/capstone.h>
#include <stdlib.h>

#include "diag.h"

struct insn_decoder {
	csh handle;
	cs_insn *scratch;
};

int insn_decoder__new(struct insn_decoder **out)
{
	struct insn_decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return diag_error(-ENOMEM, "out of memory");
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &d->handle) != CS_ERR_OK) {
		free(d);
		return diag_error(-ENOMEM, "the disassembler cannot start");
	}
	cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON);
	d->scratch = cs_malloc(d->handle);
	if (!d->scratch) {
		insn_decoder__free(d);
		return diag_error(-ENOMEM, "out of memory");
	}
	*out = d;
	return 0;
}

void insn_decoder__free(struct insn_decoder *d)
{
	if (!d)
		return;
	if (d->scratch)
		cs_free(d->scratch, 1);
	cs_close(&d->handle);
	free(d);
}

/* arch/x86/kernel/uprobes.c: branch_setup_xol_ops() and push_setup_xol_ops(). */
bool insn_emulated(const uint8_t *code, size_t len)
{
	if (len < 1)
		return false;
	if (code[0] >= 0x50 && code[0] <= 0x57) /* push */
		return true;
	if (code[0] == 0x41 && len > 1 && code[1] >= 0x50 && code[1] <= 0x57)
		return true;
	if (code[0] == 0x90 || code[0] == 0xe8 || code[0] == 0xe9 || code[0] == 0xeb) /* nop, call, jmp */
		return true;
	if (code[0] >= 0x70 && code[0] <= 0x7f) /* jcc */
		return true;
	return code[0] == 0x0f && len > 1 && code[1] >= 0x80 && code[1] <= 0x8f;
}

/* The processor's number of the 64-bit register that holds `reg`, or INSN_NO_REG. */
static uint8_t reg_number(unsigned reg)
{
	static const struct {
		uint16_t names[5];
		uint8_t number;
	} table[] = {
		{ { X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH }, 0 },
		{ { X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH }, 1 },
		{ { X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH }, 2 },
		{ { X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH }, 3 },
		{ { X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL }, 4 },
		{ { X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL }, 5 },
		{ { X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL }, 6 },
		{ { X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL }, 7 },
		{ { X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B }, 8 },
		{ { X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B }, 9 },
		{ { X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B }, 10 },
		{ { X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B }, 11 },
		{ { X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B }, 12 },
		{ { X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B }, 13 },
		{ { X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B }, 14 },
		{ { X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B }, 15 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (size_t k = 0; k < 5; k++)
			if (reg != X86_REG_INVALID && table[i].names[k] == reg)
				return table[i].number;
	return INSN_NO_REG;
}

static void decode_flow(const struct insn_decoder *d, const cs_x86 *x86, struct insn *out)
{
	const cs_insn *cs = d->scratch;
	bool direct = x86->op_count == 1 && x86->operands[0].type == X86_OP_IMM;

	out->flow = INSN_NEXT;
	if (direct)
		out->target = (uint64_t)x86->operands[0].imm;
	if (cs_insn_group(d->handle, cs, X86_GRP_CALL)) {
		out->flow = direct ? INSN_CALL : INSN_CALL_INDIRECT;
		out->written |= INSN_REG_MASK(0) | INSN_REG_MASK(1) | INSN_REG_MASK(2) | INSN_REG_MASK(6) |
				INSN_REG_MASK(7) | INSN_REG_MASK(8) | INSN_REG_MASK(9) | INSN_REG_MASK(10) |
				INSN_REG_MASK(11);
	} else if (cs_insn_group(d->handle, cs, X86_GRP_RET) || cs_insn_group(d->handle, cs, X86_GRP_INT) ||
		   cs->id == X86_INS_UD2 || cs->id == X86_INS_HLT) {
		out->flow = INSN_END;
	} else if (cs_insn_group(d->handle, cs, X86_GRP_JUMP)) {
		if (!direct)
			out->flow = INSN_END;
		else
			out->flow = cs->id == X86_INS_JMP ? INSN_JMP : INSN_JCC;
	}
}

static void decode_memory(const cs_insn *cs, const cs_x86 *x86, struct insn *out)
{
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];
	const cs_x86_op *mem;

	for (uint8_t i = 0; i < x86->op_count; i++)
		if (x86->operands[i].type == X86_OP_MEM && x86->operands[i].mem.base == X86_REG_INVALID &&
		    x86->operands[i].mem.index != X86_REG_INVALID) {
			out->indexed = true;
			out->table = (uint64_t)x86->operands[i].mem.disp;
		}
	if (cs->id == X86_INS_CMP && x86->op_count == 2 && to->type == X86_OP_MEM && to->size == 1 &&
	    from->type == X86_OP_IMM && from->imm == 0 && to->mem.index == X86_REG_INVALID) {
		out->base = reg_number(to->mem.base);
		out->disp = to->mem.disp;
		out->test_byte = out->base != INSN_NO_REG;
		return;
	}
	if (cs->id != X86_INS_MOV || x86->op_count != 2 || to->size != 8)
		return;
	if (to->type == X86_OP_REG && from->type == X86_OP_REG) {
		out->copy_to = reg_number(to->reg);
		out->copy_from = reg_number(from->reg);
		return;
	}
	if (to->type == X86_OP_REG && from->type == X86_OP_MEM) {
		out->load = true;
		out->reg = reg_number(to->reg);
		mem = from;
	} else if (to->type == X86_OP_MEM && from->type == X86_OP_REG) {
		out->store = true;
		out->reg = reg_number(from->reg);
		mem = to;
	} else {
		return;
	}
	out->base = reg_number(mem->mem.base);
	out->disp = mem->mem.disp;
	if (mem->mem.index != X86_REG_INVALID || mem->mem.segment != X86_REG_INVALID || out->base == INSN_NO_REG ||
	    out->reg == INSN_NO_REG)
		out->load = out->store = false;
}

static bool is_low(unsigned reg)
{
	return reg == X86_REG_AL || reg == X86_REG_CL || reg == X86_REG_DL || reg == X86_REG_BL ||
	       (reg >= X86_REG_R8B && reg <= X86_REG_R15B) || reg == X86_REG_SPL || reg == X86_REG_BPL ||
	       reg == X86_REG_SIL || reg == X86_REG_DIL;
}

/* Sums of a register and a constant. */
static void decode_sum(const cs_insn *cs, const cs_x86 *x86, struct insn *out)
{
	const cs_x86_op *to = &x86->operands[0], *by = &x86->operands[1];
	int64_t sign = cs->id == X86_INS_SUB || cs->id == X86_INS_DEC ? -1 : 1;

	if (!x86->op_count || to->type != X86_OP_REG || to->size != 8)
		return;
	switch (cs->id) {
	case X86_INS_LEA:
		if (by->mem.index != X86_REG_INVALID || by->mem.segment != X86_REG_INVALID ||
		    reg_number(by->mem.base) == INSN_NO_REG)
			return;
		out->add_from = reg_number(by->mem.base);
		out->add_by = by->mem.disp;
		break;
	case X86_INS_ADD:
	case X86_INS_SUB:
		if (by->type != X86_OP_IMM)
			return;
		out->add_from = reg_number(to->reg);
		out->add_by = sign * by->imm;
		break;
	case X86_INS_INC:
	case X86_INS_DEC:
		out->add_from = reg_number(to->reg);
		out->add_by = sign;
		break;
	default:
		return;
	}
	out->add_to = reg_number(to->reg);
}

/* What an opcode passes through on its way from the code unit to the jump to its handler. */
static void decode_opcode(const cs_insn *cs, const cs_x86 *x86, struct insn *out)
{
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];
	const cs_x86_op *mem = cs->id == X86_INS_JMP ? to : from;

	if (cs->id == X86_INS_JMP && to->type == X86_OP_REG)
		out->jump_reg = reg_number(to->reg);
	if ((cs->id == X86_INS_JMP || cs->id == X86_INS_MOV) && mem->type == X86_OP_MEM && mem->size == 8 &&
	    mem->mem.scale == 8 && mem->mem.index != X86_REG_INVALID && (mem == to || to->type == X86_OP_REG)) {
		out->picked = reg_number(mem->mem.index);
		if (mem == from)
			out->reg = reg_number(to->reg);
	}
	if (x86->op_count != 2 || to->type != X86_OP_REG)
		return;
	if (cs->id == X86_INS_MOVZX && from->type == X86_OP_MEM && from->mem.index == X86_REG_INVALID &&
	    reg_number(from->mem.base) != INSN_NO_REG) {
		out->narrow = from->size;
		out->reg = reg_number(to->reg);
		out->base = reg_number(from->mem.base);
		out->disp = from->mem.disp;
	} else if (from->type == X86_OP_REG &&
		   (cs->id == X86_INS_MOVZX || cs->id == X86_INS_MOV || cs->id == X86_INS_MOVSXD) &&
		   (from->size > 1 || is_low(from->reg)) && to->size > 1) {
		out->keep_to = reg_number(to->reg);
		out->keep_from = reg_number(from->reg);
	} else if (cs->id == X86_INS_OR) {
		out->keep_to = reg_number(to->reg);
		out->keep_from = from->type == X86_OP_REG ? reg_number(from->reg) : out->keep_to;
		out->joins = true;
	}
}

static void decode_overwritten(const cs_insn *cs, const cs_x86 *x86, struct insn *out)
{
	for (uint8_t i = 0; i < x86->op_count; i++) {
		const cs_x86_op *op = &x86->operands[i];

		if (op->type != X86_OP_MEM || !(op->access & CS_AC_WRITE) ||
		    (op->access & CS_AC_READ && cs->id != X86_INS_XCHG))
			continue;
		out->overwrites = true;
		if (op->mem.index == X86_REG_INVALID && op->mem.segment == X86_REG_INVALID)
			out->written_base = reg_number(op->mem.base);
	}
}

int insn_decoder__decode(struct insn_decoder *d, const uint8_t *code, size_t len, uint64_t addr, struct insn *out)
{
	const uint8_t *at = code;
	uint64_t address = addr;
	cs_regs read, written;
	uint8_t nread, nwritten;

	*out = (struct insn){ .addr = addr,
			      .copy_to = INSN_NO_REG,
			      .copy_from = INSN_NO_REG,
			      .base = INSN_NO_REG,
			      .add_to = INSN_NO_REG,
			      .add_from = INSN_NO_REG,
			      .keep_to = INSN_NO_REG,
			      .keep_from = INSN_NO_REG,
			      .picked = INSN_NO_REG,
			      .jump_reg = INSN_NO_REG,
			      .written_base = INSN_NO_REG };
	if (!cs_disasm_iter(d->handle, &at, &len, &address, d->scratch))
		return -EINVAL;
	out->len = (uint8_t)d->scratch->size;
	out->emulated = insn_emulated(code, out->len);
	if (cs_regs_access(d->handle, d->scratch, read, &nread, written, &nwritten) == CS_ERR_OK)
		for (uint8_t i = 0; i < nwritten; i++) {
			uint8_t reg = reg_number(written[i]);

			if (reg != INSN_NO_REG)
				out->written |= INSN_REG_MASK(reg);
		}
	decode_flow(d, &d->scratch->detail->x86, out);
	decode_memory(d->scratch, &d->scratch->detail->x86, out);
	decode_sum(d->scratch, &d->scratch->detail->x86, out);
	decode_opcode(d->scratch, &d->scratch->detail->x86, out);
	decode_overwritten(d->scratch, &d->scratch->detail->x86, out);
	return 0;
}

const char *insn_reg_name(uint8_t reg)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

	return reg < sizeof(names) / sizeof(names[0]) ? names[reg] : "none";
}
