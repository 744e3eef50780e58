/*
 * site_usdt: the functions of an interpreter's file that hold its static probes of Python calls,
 * python:function__entry and python:function__return, and the counters that switch those on. Works on the file alone.
 *
 * The probes themselves have no frame among their arguments, and stand behind the work of finding the file's name and
 * the line. The functions that hold them are called with the frame (Python/ceval.c of 3.15: dtrace_function_entry and
 * dtrace_function_return), so that their beginning is the better place. They are called while the counter, the probe's
 * semaphore, is not 0: the kernel increments it for a uprobe that names it.
 */
#ifndef PYLU_SITE_USDT_H
#define PYLU_SITE_USDT_H

#include <stdint.h>

struct elf_file;
struct layout;

enum site_usdt_probe { SITE_USDT_PROBE_ENTRY, SITE_USDT_PROBE_RETURN, SITE_USDT_PROBES };

struct site_usdt {
	const char *name;	   /* of the probe, static storage */
	uint64_t start;		   /* virtual address of the function that holds it */
	uint64_t semaphore_offset; /* of the 16-bit counter, in the file */
};

/* 0, -ENOMEM, reported, or -DIAG_NO_SITE, not reported: *why, static storage, ends a sentence that begins with the build. */
int site_usdt__find(const struct elf_file *elf, const struct layout *layout, struct site_usdt out[SITE_USDT_PROBES],
		    const char **why);

#endif
