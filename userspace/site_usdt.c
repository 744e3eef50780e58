/*
 * site_usdt: the sites at an interpreter's static probes of Python calls, python:function__entry and
 * python:function__return, which builds --with-dtrace have.
 *
 * The probes themselves have no frame among their arguments, and stand behind the work of finding the file's name and the
 * line. The functions that hold them are called with the frame (Python/ceval.c of 3.15: dtrace_function_entry and
 * dtrace_function_return): their beginning is the better place. They are called while a counter, the probe's semaphore,
 * is not 0, which the kernel sees to for a uprobe that names it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "site_priv.h"
#include "usdt.h"

#define LINE_MAX 160 /* instructions from a function's beginning to the probe in it */

/* Whether the straight line that begins at `at`, jumps followed, comes to the probe. */
static bool leads_to(struct finder *f, uint64_t at, uint64_t pc)
{
	struct insn insn;

	for (int i = 0; i < LINE_MAX && at < pc; i++) {
		if (site_decode(f, at, &insn) || insn.flow == INSN_END)
			return false;
		at = insn.flow == INSN_JMP ? insn.target : at + insn.len;
	}
	return at == pc;
}

/* The one note of a name. NULL, with the reason, when there is none that serves. */
static const struct usdt_note *one_note(const struct finder *f, const struct usdt_notes *notes, const char *name,
					const char **why)
{
	const struct usdt_note *first = usdt_notes__find(notes, "python", name, 0), *next;

	if (!first) {
		*why = "has no static probes of calls";
		return NULL;
	}
	if (f->layout->usdt_calls == OFF_NONE) {
		*why = "has static probes of calls that serve from Python 3.15 on only: those of 3.11 to 3.14 miss "
		       "calls";
		return NULL;
	}
	for (size_t i = 1; (next = usdt_notes__find(notes, "python", name, i)); i++)
		if (next->pc != first->pc) {
			*why = "has static probes of calls at more than one place: their function was inlined";
			return NULL;
		}
	if (!first->semaphore) {
		*why = "has static probes of calls without the counters that switch them on";
		return NULL;
	}
	return first;
}

static int add_probe(struct finder *f, const struct usdt_notes *notes, enum site_kind kind, const char *name,
		     const char **why)
{
	const struct usdt_note *note = one_note(f, notes, name, why);
	struct diag_capture said;
	size_t n = f->set->n;
	uint64_t start;
	int err;

	if (!note)
		return -DIAG_NO_SITE;
	*why = "has static probes of calls, but where their functions begin cannot be told";
	if (elf_file__function_start(f->elf, note->pc, &start) || !leads_to(f, start, note->pc))
		return -DIAG_NO_SITE;
	*why = "has static probes of calls in functions that cannot be probed";
	diag_capture__begin(&said);
	err = site_straight(f, kind, name, start, INSN_REG_MASK(SITE_ARG0), 0, false, NULL);
	diag_capture__end(&said);
	if (err || f->set->n == n)
		return -DIAG_NO_SITE;
	f->set->sites[n].semaphore_offset = note->semaphore_offset;
	return 0;
}

int site_find_usdt(struct finder *f, const char **why)
{
	struct usdt_notes *notes;
	int err = usdt_notes__read(f->elf, &notes);

	*why = err == -ENOMEM ? "has notes of static probes that no memory is there for"
			      : "has damaged notes of static probes";
	if (err)
		return err;
	f->set->backend = "usdt";
	err = add_probe(f, notes, SITE_USDT_ENTRY, "function__entry", why);
	if (!err)
		err = add_probe(f, notes, SITE_USDT_RETURN, "function__return", why);
	usdt_notes__free(notes);
	return err;
}
