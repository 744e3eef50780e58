/*
 * seen_code: the code objects of a process by their address, read once each and looked at again before they are believed:
 * one may be freed, and another have its place.
 */
#ifndef PYLU_SEEN_CODE_H
#define PYLU_SEEN_CODE_H

#include <stdbool.h>
#include <stdint.h>

struct pycode;
struct pyobj_reader;

struct seen_code {
	uint64_t addr;
	struct pycode *code;	 /* owned; NULL where it could not be read */
	char *module, *qualname; /* owned; NULL likewise */
	char **names;		 /* of localsplus, with stars before those of *args and **kwargs; owned */
	/* What must still be the same for it to be the same code object. */
	uint64_t globals, name_obj, file_obj, consts;
	uint32_t flags, line;
};

struct seen_codes;

/* 0 or -ENOMEM. The reader must outlive it. */
int seen_codes__new(struct pyobj_reader *reader, struct seen_codes **out);
void seen_codes__free(struct seen_codes *codes);

/* What is at `addr`, with `globals` (0: not known) for its module's name. NULL when memory ran out. Valid until the next
 * call. */
const struct seen_code *seen_codes__get(struct seen_codes *codes, uint64_t addr, uint64_t globals);

/* Whether a frame can stand at an instruction of it, as wire_stack_entry has that: else another code object has taken its place
 * since. Before its first instruction a frame of Python up to 3.10 stands too. */
bool seen_code__has(const struct seen_code *code, uint64_t instr);

/* The line of an instruction as wire_stack_entry has it; 0 unknown. */
uint32_t seen_code__line(const struct seen_code *code, uint64_t instr);

/* The argument of that instruction; 0 unknown. */
uint32_t seen_code__arg(const struct seen_code *code, uint64_t instr);

#endif
