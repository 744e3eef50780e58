/* backend: see backend.h. */
#include "backend.h"

#include <string.h>

const struct backend backends[] = {
	{ .name = "opcode",
	  .why = "opcode handlers see every call of Python 3.11 and later",
	  .why_not = "it takes Python 3.11 or later, and a dispatch table of opcodes" },
	{ .name = "frame",
	  .why = "up to Python 3.10 every call passes the evaluation function",
	  .why_not = "from Python 3.11 on most calls do not pass the evaluation function" },
	{ .name = "usdt",
	  .why = "static probes of the interpreter (USDT) see every call of Python 3.15 and later; to switch "
		 "them on, the kernel writes to two counters in the process's memory",
	  .why_not = "it takes Python 3.15 or later, built --with-dtrace, and the JIT compiler off" },
	{ 0 },
};

const struct backend *backend__find(const char *name)
{
	for (const struct backend *b = backends; b->name; b++)
		if (!strcmp(b->name, name))
			return b;
	return NULL;
}

const char *backend__name(size_t i)
{
	return backends[i].name;
}
