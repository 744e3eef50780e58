/* fuzz_insn: machine code is decoded as site.c does it: one instruction after the other, a byte further where there is none. */
#include "fuzz.h"
#include "insn.h"

#define ADDR 0x401000

static void look_at(const struct insn *insn, size_t left)
{
	/* What site.c counts on: it moves on, it may shift by these registers. */
	if (insn->len == 0 || insn->len > 15 || insn->len > left)
		abort();
	if ((insn->load || insn->store) && (insn->base > 15 || insn->reg > 15))
		abort();
	if (insn->test_byte && insn->base > 15)
		abort();
	if ((insn->copy_to > 15 && insn->copy_to != INSN_NO_REG) ||
	    (insn->copy_from > 15 && insn->copy_from != INSN_NO_REG))
		abort();
	fuzz_used += insn->target + insn->written + (uint64_t)insn->disp + insn->flow + insn->emulated;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct insn_decoder *decoder;
	struct insn insn;

	fuzz_begin();
	if (insn_decoder__new(&decoder))
		abort();
	for (size_t at = 0; at < size;) {
		size_t left = size - at < 16 ? size - at : 16;

		fuzz_used += insn_emulated(data + at, left);
		if (insn_decoder__decode(decoder, data + at, left, ADDR + at, &insn)) {
			at++;
			continue;
		}
		look_at(&insn, left);
		at += insn.len;
	}
	insn_decoder__free(decoder);
	return 0;
}
