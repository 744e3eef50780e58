/*
 * site_usdt: see site_usdt.h. The beginning of a function is where calls lead to: nothing else says it in a stripped file.
 */
#include "site_usdt.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <elf.h>

#include "diag.h"
#include "elf.h"
#include "insn.h"
#include "layout.h"
#include "usdt.h"

#define SPAN 512      /* bytes from the function's beginning to the probe, at most */
#define LINE_MAX 160  /* instructions between them */
#define CALL_OPCODE 0xe8
#define CALL_LENGTH 5

/* How many calls lead to each of the addresses before a probe: calls[0] to the probe itself. */
struct calls {
	uint64_t pc;
	uint16_t calls[SPAN];
};

/* Every byte that may be the beginning of a direct call is taken for one: that is quick, and what is none leads here by
 * chance only. */
static void count_calls(const struct elf_section *section, struct calls *c)
{
	const uint8_t *at = section->data, *end = section->data + section->size;
	int32_t distance;

	while ((size_t)(end - at) >= CALL_LENGTH && (at = memchr(at, CALL_OPCODE, (size_t)(end - at) - 4))) {
		uint64_t target = section->addr + (uint64_t)(at - section->data) + CALL_LENGTH;

		memcpy(&distance, at + 1, sizeof(distance));
		target += (uint64_t)(int64_t)distance;
		if (c->pc - target < SPAN && c->calls[c->pc - target] < UINT16_MAX)
			c->calls[c->pc - target]++;
		at++;
	}
}

/* Whether the straight line that begins at `at`, jumps followed, comes to the probe. */
static bool leads_to(const struct elf_file *elf, struct insn_decoder *decoder, uint64_t at, uint64_t pc)
{
	struct insn insn;

	for (int i = 0; i < LINE_MAX && at < pc; i++) {
		size_t len = 16;
		const uint8_t *code = elf_file__at(elf, at, &len);

		if (!code || !elf_file__is_code(elf, at) || insn_decoder__decode(decoder, code, len, at, &insn) ||
		    insn.flow == INSN_END)
			return false;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return at == pc;
}

/* The nearest address before the probe that is called, more than once if there is such a one. 0 when there is none. */
static uint64_t function_start(const struct elf_file *elf, struct insn_decoder *decoder, uint64_t pc)
{
	struct calls c = { .pc = pc };
	struct elf_section section;

	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		if (!elf_file__section(elf, i, &section) && section.data && section.flags & SHF_EXECINSTR &&
		    section.type == SHT_PROGBITS)
			count_calls(&section, &c);
	for (unsigned least = 2; least > 0; least--)
		for (uint64_t back = 1; back < SPAN && back < pc; back++)
			if (c.calls[back] >= least && leads_to(elf, decoder, pc - back, pc))
				return pc - back;
	return 0;
}

/* The one note of a name. NULL, with the reason, when there is none that serves. */
static const struct usdt_note *one_note(const struct usdt_notes *notes, const struct layout *layout, const char *name,
					const char **why)
{
	const struct usdt_note *first = usdt_notes__find(notes, "python", name, 0), *next;

	if (!first) {
		*why = "has no static probes of function calls";
		return NULL;
	}
	if (layout->usdt_calls == OFF_NONE) {
		*why = "has static probes of function calls that serve from Python 3.15 on only: those of 3.11 to "
		       "3.14 miss calls";
		return NULL;
	}
	for (size_t i = 1; (next = usdt_notes__find(notes, "python", name, i)); i++)
		if (next->pc != first->pc) {
			*why = "has static probes of function calls at more than one place: their function was inlined";
			return NULL;
		}
	if (!first->semaphore) {
		*why = "has static probes of function calls without the counters that switch them on";
		return NULL;
	}
	return first;
}

static int find_functions(const struct elf_file *elf, const struct layout *layout, const struct usdt_notes *notes,
			  struct insn_decoder *decoder, struct site_usdt out[SITE_USDT_PROBES], const char **why)
{
	static const char *const names[SITE_USDT_PROBES] = { "function__entry", "function__return" };

	for (int i = 0; i < SITE_USDT_PROBES; i++) {
		const struct usdt_note *note = one_note(notes, layout, names[i], why);

		if (!note)
			return -DIAG_NO_SITE;
		out[i] = (struct site_usdt){
			.name = names[i],
			.start = function_start(elf, decoder, note->pc),
			.semaphore_offset = note->semaphore_offset,
		};
		if (!out[i].start || (i && out[i].start == out[0].start)) {
			*why = "has static probes of function calls, but where their functions begin cannot be told";
			return -DIAG_NO_SITE;
		}
	}
	return 0;
}

int site_usdt__find(const struct elf_file *elf, const struct layout *layout, struct site_usdt out[SITE_USDT_PROBES],
		    const char **why)
{
	struct insn_decoder *decoder = NULL;
	struct usdt_notes *notes = NULL;
	int err = usdt_notes__read(elf, &notes);

	if (err == -DIAG_BAD_DATA) {
		*why = "has damaged notes of static probes";
		return -DIAG_NO_SITE;
	}
	if (err)
		return diag_error(err, "out of memory");
	err = insn_decoder__new(&decoder);
	if (!err)
		err = find_functions(elf, layout, notes, decoder, out, why);
	insn_decoder__free(decoder);
	usdt_notes__free(notes);
	return err;
}
