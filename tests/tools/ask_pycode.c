/*
 * ask_pycode: prints what pycode reads of the code objects of a process, in the words of tests/targets/codes.py.
 *
 *	ask_pycode PID < addresses, one a line
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pycode.h"
#include "pyobj.h"
#include "target.h"

static void print_instructions(const struct pycode *code)
{
	for (size_t n = 0; n < code->ninstrs; n++) {
		const struct pycode_instr *i = &code->instrs[n];
		bool leads = i->traits & (PYCODE_JUMP | PYCODE_SETUP);

		printf("op %u %u %s %u %u %d\n", i->offset, i->start, pycode__op_name(code, i->op), i->arg, i->line,
		       leads ? (int)i->target : -1);
	}
	/* To 3.10 dis tells of none. */
	for (size_t n = 0; code->minor >= 11 && n < code->nhandlers; n++)
		printf("handler %u %u %u\n", code->handlers[n].start, code->handlers[n].end, code->handlers[n].target);
}

static void print(const struct pycode *code)
{
	printf("code %" PRIu64 "\nname %s\nqualname %s\nfile %s\n", code->addr, code->name,
	       code->qualname ? code->qualname : "", code->file);
	printf("numbers %u %u %u %u\n", code->firstlineno, code->flags, code->argcount, code->kwonlyargcount);
	fputs("locals ", stdout);
	for (size_t i = 0; i < code->nlocals; i++)
		printf("%s%s%s", i ? " " : "", code->locals[i], code->cell[i] ? "*" : "");
	fputs("\nnames ", stdout);
	for (size_t i = 0; i < code->nnames; i++)
		printf("%s%s", i ? " " : "", code->names[i]);
	putchar('\n');
	print_instructions(code);
}

int main(int argc, char **argv)
{
	struct pyobj_reader *r = NULL;
	struct target *t = NULL;
	char line[64];
	int err = argc == 2 ? target__open(atoi(argv[1]), &t) : -EINVAL;

	err = err ? err : pyobj_reader__new(t, &r);
	while (!err && fgets(line, sizeof(line), stdin)) {
		struct pycode *code;

		err = pycode__read(r, strtoull(line, NULL, 10), &code);
		if (err)
			fprintf(stderr, "%s: %s\n", line, strerror(-err));
		else
			print(code);
		pycode__free(code);
	}
	pyobj_reader__free(r);
	target__close(t);
	return err ? 1 : 0;
}
