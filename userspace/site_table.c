/*
 * site_table: the opcode dispatch table of a build, stripped or not: recognised by its shape, told from other tables over
 * opcodes by what its handlers do, and from those of switches by who refers to it.
 */
#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "site_priv.h"

#define GOTOS_MIN 20	  /* handlers that refer to the table: fewer are a switch's */
#define CANDIDATES_MAX 32 /* tables of the right shape that are looked at: debug builds have a few */
#define OTHERS_MAX 32	  /* handlers to which a switch leads by a way of their own */
#define TABLE_MIN 512	  /* bytes of a section in which one may lie */

/* Whether 256 words are a dispatch table: all code, and exactly the unused opcodes' slots hold one shared address. */
static bool is_table(const struct finder *f, const uint64_t *words)
{
	uint64_t shared = 0, last = 0;
	unsigned distinct = 0;

	for (int op = 0; op < 256; op++)
		if (!f->opmap->names[op]) {
			if (shared && words[op] != shared)
				return false;
			shared = words[op];
		}
	for (int op = 0; op < 256; op++) {
		if (f->opmap->names[op] && words[op] == shared)
			return false;
		distinct += words[op] != last;
		last = words[op];
	}
	return shared && distinct > 90;
}

/* The base register of the stores into the field `frame_instr` with which most handlers begin; SITE_REG_NONE when they
 * agree on none. */
static uint8_t agreed_frame_reg(struct finder *f, const uint64_t *table)
{
	unsigned votes[16] = { 0 }, all = 0, best = 0;

	for (int op = 0; op < 256; op++) {
		uint64_t at = table[op];
		uint32_t changed = 0;
		struct insn insn;

		if (!f->opmap->names[op])
			continue;
		for (int i = 0; i < 16 && !site_decode(f, at, &insn); i++) {
			if (insn.store && insn.disp == f->layout->frame_instr && insn.base < 16 &&
			    !(changed & INSN_REG_MASK(insn.base)) && insn.base != 4) {
				votes[insn.base]++;
				all++;
				break;
			}
			changed |= insn.written;
			if (insn.flow == INSN_END || insn.flow == INSN_JMP)
				break;
			at += insn.len;
		}
	}
	for (unsigned reg = 0; reg < 16; reg++)
		if (votes[reg] > votes[best])
			best = reg;
	return votes[best] < 20 || votes[best] * 10 < all * 9 ? SITE_REG_NONE : (uint8_t)best;
}

/* How many instructions of the handlers' code refer to a table that is not position-independent, at most `enough`. */
static unsigned references(struct finder *f, uint64_t addr, const uint64_t *table, unsigned enough)
{
	uint64_t at, end;
	unsigned n = 0;
	struct insn insn;

	site_handlers_range(table, &at, &end);
	if (end - at > SITE_HANDLERS_MAX)
		return 0;
	while (at < end && n < enough) {
		if (site_decode(f, at, &insn)) {
			at++;
			continue;
		}
		n += insn.indexed && insn.table == addr;
		at += insn.len;
	}
	return n;
}

/* Of a build that is not position-independent the table of a switch looks like one of computed gotos. But a switch reads
 * it in one place; computed gotos do at the end of each handler or, from 3.15 on, through a pointer. */
static bool is_switch(struct finder *f, uint64_t addr, const uint64_t *table)
{
	unsigned n = references(f, addr, table, GOTOS_MIN);

	return n > 0 && n < GOTOS_MIN;
}

/* Tail-calling builds have a function for each opcode. */
static bool is_tail_calling(const struct finder *f, const uint64_t *table)
{
	unsigned functions = 0;

	for (int op = 0; op < 256; op++)
		functions += f->opmap->names[op] && elf_file__starts_function(f->elf, table[op]) > 0;
	return functions > 100;
}

/* Other switches over opcodes (_PyOpcode_num_popped in debug builds) have the same shape. What tells handlers is that they
 * store their instruction pointer into the frame or, to 3.10, where that is done before, that they lead on to others. */
static bool has_handlers(struct finder *f, const uint64_t *words, uint8_t *frame_reg)
{
	int64_t by;

	*frame_reg = SITE_REG_NONE;
	if (f->layout->frame_instr == OFF_NONE)
		return site_agreed_instr(f, words, &by) != SITE_REG_NONE;
	*frame_reg = agreed_frame_reg(f, words);
	return *frame_reg != SITE_REG_NONE;
}

static void take_table(struct finder *f, uint64_t addr, const uint64_t *words)
{
	uint8_t reg;
	bool tail_calls;

	if (!has_handlers(f, words, &reg))
		return;
	tail_calls = is_tail_calling(f, words);
	if (!tail_calls && is_switch(f, addr, words)) {
		f->switches = true;
		return;
	}
	if (f->set->ntables++)
		return;
	f->set->table = addr;
	f->set->dispatch = tail_calls ? "tail calls" : "computed gotos";
	f->frame_reg = reg;
	memcpy(f->table, words, sizeof(f->table));
}

static void find_table_in(struct finder *f, const struct elf_section *sec)
{
	uint64_t words[512]; /* the last 256 words stand in two halves, to be whole */
	uint64_t at = (sec->addr + 7) & ~7ULL, n = (sec->addr + sec->size - at) / 8, run = 0;

	for (uint64_t i = 0; i < n && f->ncandidates < CANDIDATES_MAX; i++) {
		uint64_t word = 0;
		bool code = !elf_file__word(f->elf, at + 8 * i, &word) && elf_file__is_code(f->elf, word);

		words[i % 256] = words[i % 256 + 256] = word;
		run = code ? run + 1 : 0;
		if (run >= 256 && is_table(f, &words[(i + 1) % 256])) {
			f->ncandidates++;
			take_table(f, at + 8 * (i - 255), &words[(i + 1) % 256]);
		}
	}
}

/* A switch of a position-independent build has a table of 32-bit distances from itself, which ends behind the highest
 * opcode. Fills in `words` as if it were a dispatch table; false when there is none at `at`. */
static bool relative_table(const struct finder *f, const struct elf_section *sec, uint64_t at, uint64_t *words)
{
	uint64_t other = 0;
	int top = 255;

	while (top > 0 && !f->opmap->names[top])
		top--;
	if (at - sec->addr + 4 * (uint64_t)(top + 1) > sec->size)
		return false;
	for (int op = 0; op <= top; op++) {
		int32_t distance;

		memcpy(&distance, sec->data + (at - sec->addr) + 4 * (uint64_t)op, sizeof(distance));
		words[op] = at + (uint64_t)(int64_t)distance;
		if (!elf_file__is_code(f->elf, words[op]))
			return false;
		if (!f->opmap->names[op])
			other = words[op];
	}
	for (int op = top + 1; op < 256; op++)
		words[op] = other;
	return is_table(f, words);
}

static void find_switch_in(struct finder *f, const struct elf_section *sec)
{
	uint64_t words[256];

	for (uint64_t at = (sec->addr + 3) & ~3ULL; at - sec->addr < sec->size && !f->switches; at += 4)
		/* To 3.10 the handlers of a switch all lead back to where it begins, which shows nothing. */
		f->switches = relative_table(f, sec, at, words) && f->ncandidates++ < CANDIDATES_MAX &&
			      (f->layout->frame_instr == OFF_NONE || agreed_frame_reg(f, words) != SITE_REG_NONE);
}

static bool holds_data(const struct finder *f, size_t i, struct elf_section *sec)
{
	return !elf_file__section(f->elf, i, sec) && sec->type == SHT_PROGBITS && sec->size >= TABLE_MIN && sec->data &&
	       sec->flags & SHF_ALLOC && !(sec->flags & SHF_EXECINSTR);
}

int site_find_table(struct finder *f)
{
	size_t n = elf_file__section_count(f->elf);
	struct elf_section sec;
	uint64_t searched = 0;

	for (size_t i = 0; i < n && searched < SITE_DATA_MAX; i++)
		if (holds_data(f, i, &sec)) {
			searched += sec.size;
			find_table_in(f, &sec);
		}
	searched = 0;
	for (size_t i = 0; i < n && searched < SITE_DATA_MAX && !f->set->ntables && !f->switches; i++)
		if (holds_data(f, i, &sec)) {
			searched += sec.size;
			find_switch_in(f, &sec);
		}
	if (!f->set->ntables && f->switches)
		return diag_error(-DIAG_UNSUPPORTED,
				  "in build %s the opcodes of Python %u.%u are the cases of a switch "
				  "(--without-computed-gotos), which is not supported",
				  elf_file__build_id(f->elf), f->opmap->major, f->opmap->minor);
	if (f->set->ntables != 1)
		return diag_error(-DIAG_NO_SITE, "%s opcode dispatch table of Python %u.%u in build %s",
				  f->set->ntables ? "more than one" : "no", f->opmap->major, f->opmap->minor,
				  elf_file__build_id(f->elf));
	return 0;
}

/* A table of a switch at `at`, of 32-bit distances from itself or of addresses: it leads nearly everywhere that the dispatch table
 * leads to. */
static bool is_other(struct finder *f, const struct elf_section *sec, uint64_t at, bool relative)
{
	unsigned size = relative ? 4 : 8, same = 0, others = 0;
	int top = 255;

	while (top > 0 && !f->opmap->names[top])
		top--;
	if (at == f->set->table || at - sec->addr + size * (uint64_t)(top + 1) > sec->size)
		return false;
	for (int op = 0; op <= top; op++) {
		uint64_t word = 0;
		int32_t distance;

		if (!f->opmap->names[op])
			continue;
		if (relative) {
			memcpy(&distance, sec->data + (at - sec->addr) + 4 * (uint64_t)op, sizeof(distance));
			word = at + (uint64_t)(int64_t)distance;
		} else if (elf_file__word(f->elf, at + 8 * (uint64_t)op, &word)) {
			return false;
		}
		if (word != f->table[op] && (++others > OTHERS_MAX || !elf_file__is_code(f->elf, word)))
			return false;
		same += word == f->table[op];
		f->other[op] = word;
	}
	return same > 90;
}

int site_find_other(struct finder *f)
{
	size_t n = elf_file__section_count(f->elf);
	struct elf_section sec;
	uint64_t searched = 0;

	for (size_t i = 0; i < n && searched < SITE_DATA_MAX; i++) {
		if (!holds_data(f, i, &sec))
			continue;
		searched += sec.size;
		for (uint64_t at = (sec.addr + 3) & ~3ULL; at - sec.addr < sec.size; at += 4)
			if (is_other(f, &sec, at, true) || (!(at % 8) && is_other(f, &sec, at, false)))
				return 0;
	}
	return diag_error(-DIAG_NO_SITE, "the switch over the opcodes of Python %u.%u was not found in build %s",
			  f->opmap->major, f->opmap->minor, elf_file__build_id(f->elf));
}
