/*
 * site_handlers: the instructions at which the executions of chosen opcodes are seen, each exactly once, before it has any
 * effect on variables and while its frame is the thread's current one, and how the address of the executed code unit is told there. Works on the ELF file alone.
 *
 * A unit is executed by the handler of whatever form of its opcode stands there at the time, or as the second half of a
 * superinstruction. INSTRUMENTED_LINE, INSTRUMENTED_INSTRUCTION and 3.11's DO_TRACING lead on to that handler and are no
 * sites.
 */
#ifndef PYLU_SITE_HANDLERS_H
#define PYLU_SITE_HANDLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file;
struct layout;
struct opmap;

#define SITE_HANDLERS_SITES 320 /* more than any version has forms and second halves */

struct site_handler {
	uint8_t op;   /* the form whose handler it is */
	uint8_t base; /* the opcode that is executed here, as wanted */
	bool second;  /* as the second half, one code unit behind that of `op` */
	bool emulated;
	uint64_t addr; /* virtual address in the file */
	uint64_t file_offset;
	uint8_t instr_reg; /* processor's register number: it and instr_by are the address of the executed unit */
	int32_t instr_by;
	/*
	 * What is specialised, or misses what it is specialised for, now and then runs again at once, in another form or the
	 * same, and its unit is seen twice. The second time is not to be taken for an execution. It is `counted`, and told by
	 * the counter, which is the two bytes behind the unit:
	 * - it was below counter_below at the last site, which `repeats`, and is not, or another opcode is in the unit, both times
	 *   that of the site;
	 * - or (3.11) there is another opcode in the unit than `op`, and the counter has changed since the last site, which
	 *   `misses`.
	 */
	bool counted, repeats, misses;
	uint32_t counter_below;
};

struct site_handlers {
	struct site_handler sites[SITE_HANDLERS_SITES];
	size_t n;
	size_t stepped; /* of them, those that the kernel single-steps */
};

/* The opcode that the compiler emits, of which `op` is a form at run time, instrumented ones among them; of a superinstruction
 * that of its first half. -1 for what stands for any opcode, or for a compiled trace. */
int site_handlers__base(const struct opmap *opmap, uint8_t op);

/* Finds the sites of some base opcodes. 0, or a code that was reported: -DIAG_NO_SITE, -DIAG_UNSUPPORTED as in
 * site_set__find; -EINVAL for a number that is no base opcode, or stands for a compiled trace. */
int site_set__find_handlers(const struct elf_file *elf, const struct layout *layout, const struct opmap *opmap,
			    const uint8_t *ops, size_t nops, struct site_handlers *out);

/* Whether a form of the base opcode `before` may execute the instruction `op` right behind it without anything to be seen of
 * that: no place may be at such an instruction. */
bool site_handlers__hidden(const struct opmap *opmap, uint8_t before, uint8_t op);

#endif
