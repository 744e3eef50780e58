/*
 * inspect_plan: from what a user asks for to what is watched and read: the lines, their places in the bytecode, the variables
 * at each, and which lines can be watched together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cond.h"
#include "diag.h"
#include "inspect_priv.h"
#include "lines.h"
#include "operand.h"
#include "opmap.h"
#include "pycode.h"
#include "site_handlers.h"

/* Arguments of BINARY_OP, Include/opcode.h */
#define NB_ADD 0
#define NB_INPLACE_ADD 13
#define ADD_INSTRS 32 /* of an expression that are looked through */

/* The operand of a variable, new or known. Its index, or a code that was reported. */
static int operand_of(struct inspect *s, const char *name)
{
	size_t i = s->noperands;

	for (size_t k = 0; k < s->noperands; k++)
		if (!strcmp(s->operands[k].name, name))
			return (int)k;
	if (i == WIRE_MAX_OPERANDS)
		return diag_error(-E2BIG, "more than %d variables at once", WIRE_MAX_OPERANDS);
	if (!operand_fill(s->code, s->redact, name, &s->wire_operands[i]))
		return diag_error(-DIAG_USAGE, "'%s' is too long, or has more than %d dots", name, WIRE_MAX_ATTRS);
	s->operands[i].name = strdup(name);
	if (!s->operands[i].name)
		return diag_error(-ENOMEM, "out of memory");
	s->noperands++;
	return (int)i;
}

static int append(struct inspect *s, uint16_t operand)
{
	if (s->nwindow_operands == WIRE_MAX_OPERANDS)
		return diag_error(-E2BIG, "these lines have too many variables: name fewer lines");
	s->window_operands[s->nwindow_operands++] = operand;
	return 0;
}

/* The name that is wanted which a variable of the code stands for, or is a part of: with `self` also `self.x` is used. */
static const char *wanted_name(const struct inspect *s, const char *name)
{
	for (size_t i = 0; i < s->opts.nnames; i++) {
		size_t len = strlen(s->opts.names[i]);

		if (!strncmp(name, s->opts.names[i], len) && (!name[len] || name[len] == '.'))
			return s->opts.names[i];
	}
	return NULL;
}

/* A list of the variables of a line: those that are shown, then those of the condition. */
static int plan_list(struct inspect *s, const struct places_var *vars, size_t nvars, uint16_t *first, uint16_t *n)
{
	size_t begin = s->nwindow_operands;
	int err = 0;

	for (size_t i = 0; i < nvars && !err; i++) {
		const char *name = s->opts.mode == INSPECT_VAR ? wanted_name(s, vars[i].name) : vars[i].name;
		int operand;

		if (!name)
			continue;
		/* Longer names than can be read are left out of what a line shows. */
		if (s->opts.mode != INSPECT_VAR && !operand_fill(s->code, s->redact, name, &(struct wire_operand){ 0 }))
			continue;
		operand = operand_of(s, name);
		if (operand < 0)
			return operand;
		for (size_t k = begin; k < s->nwindow_operands; k++)
			if (s->window_operands[k] == operand)
				name = NULL;
		if (name && s->nwindow_operands - begin < WIRE_SNAP_ROOTS - 2 * WIRE_MAX_TESTS)
			err = append(s, (uint16_t)operand);
	}
	if (s->nwindow_operands > begin)
		for (size_t i = 0; i < s->ncond_operands && !err; i++)
			err = append(s, s->cond_operands[i]);
	*first = (uint16_t)begin;
	*n = (uint16_t)(s->nwindow_operands - begin);
	return err;
}

static int plan_cond(struct inspect *s)
{
	const char *const *names;
	size_t n;

	if (!s->cond)
		return 0;
	n = cond__operands(s->cond, &names);
	for (size_t i = 0; i < n; i++) {
		int operand = operand_of(s, names[i]);

		if (operand < 0)
			return operand;
		/* The value decides, but is not shown for that: whoever may watch the process may compare it. */
		s->cond_operands[s->ncond_operands++] = (uint16_t)operand;
	}
	cond__compile(s->cond, s->cond_operands, &s->wire_cond);
	return 0;
}

/* Whether a line uses or defines one of the wanted variables. */
static bool is_wanted(const struct inspect *s, const struct places_window *w)
{
	for (size_t i = 0; i < w->nuses; i++)
		if (wanted_name(s, w->uses[i].name))
			return true;
	for (size_t i = 0; i < w->ndefs; i++)
		if (wanted_name(s, w->defs[i].name))
			return true;
	return false;
}

/* The lines that are wanted, malloc'ed; *n 0: all. */
static int read_lines(const struct inspect *s, uint32_t **out, size_t *n)
{
	struct lines *wanted = NULL;
	uint32_t *has = NULL;
	size_t nhas = 0;
	int err;

	*out = NULL;
	*n = 0;
	if (!s->opts.lines)
		return 0;
	err = lines__parse(s->opts.lines, &wanted);
	if (err)
		return err;
	err = places__lines(s->code, &has, &nhas);
	err = err ? diag_error(err, "the bytecode of %s cannot be followed", s->name)
		  : lines__select(wanted, s->name, has, nhas, out, n);
	lines__free(wanted);
	free(has);
	return err;
}

static int check_names(const struct inspect *s)
{
	size_t n = 0;
	char **names = NULL;
	int err;

	if (s->opts.mode != INSPECT_VAR)
		return 0;
	if (places__names(s->code, &names, &n))
		return diag_error(-ENOMEM, "out of memory");
	err = names__check(s->opts.names, s->opts.nnames, s->name, names, n);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	return err;
}

/* Of all lines of the function those that have the wanted variables: places of others would only take room. */
static int narrow(struct inspect *s)
{
	uint32_t lines[PLACES_WINDOWS];
	size_t n = 0;

	for (size_t i = 0; i < s->places->nwindows; i++)
		if (is_wanted(s, &s->places->windows[i]))
			lines[n++] = s->places->windows[i].line;
	if (!n)
		return diag_error(-DIAG_USAGE, "none of these lines uses or defines '%s'", s->opts.names[0]);
	places_set__free(s->places);
	s->places = NULL;
	return places_set__new(s->code, lines, n, false, &s->places);
}

static int find_places(struct inspect *s)
{
	uint32_t *lines;
	size_t n;
	int err = read_lines(s, &lines, &n);

	if (!err)
		err = check_names(s);
	if (err) {
		free(lines);
		return err;
	}
	err = places_set__new(s->code, lines, n, s->opts.mode == INSPECT_LINE, &s->places);
	free(lines);
	if (!err && s->opts.mode == INSPECT_VAR)
		err = narrow(s);
	if (err == -E2BIG)
		return diag_error(err, "%s is too long to be looked at as a whole: name some of its lines", s->name);
	if (err == -ENOMEM)
		return diag_error(err, "out of memory");
	if (!err && !s->places->nwindows)
		return diag_error(-DIAG_USAGE, "%s has no line that can be watched", s->name);
	return err;
}

/* Whether `x = x + y` may have been made of the instructions up to the STORE_FAST at `i`: then strings are added in place, the
 * store included (BINARY_OP_INPLACE_ADD_UNICODE, 3.11 on). */
static bool may_add_in_place(const struct pycode *code, size_t i)
{
	const uint32_t variable = code->instrs[i].arg;

	if (code->instrs[i - 1].arg != NB_ADD && code->instrs[i - 1].arg != NB_INPLACE_ADD)
		return false;
	for (size_t k = i - 1; k-- > 0 && i - k < ADD_INSTRS;) {
		const char *op = pycode__op_name(code, code->instrs[k].op);
		const uint32_t arg = code->instrs[k].arg;
		const bool two = strstr(op, "_LOAD_FAST") != NULL;

		if (strstr(op, "LOAD_FAST") && (two ? arg >> 4 == variable || (arg & 15) == variable : arg == variable))
			return true;
	}
	return false;
}

bool inspect_hidden(const struct inspect *s, uint32_t offset)
{
	const struct opmap *opmap = opmap__find(s->code->major, s->code->minor);
	const int found = pycode__find(s->code, offset);
	const size_t i = (size_t)found;

	if (found <= 0 || s->code->instrs[i].start != offset || s->code->instrs[i].start != s->code->instrs[i].offset)
		return false;
	if (!site_handlers__hidden(opmap, s->code->instrs[i - 1].op, s->code->instrs[i].op))
		return false;
	return strcmp(pycode__op_name(s->code, s->code->instrs[i].op), "STORE_FAST") || may_add_in_place(s->code, i);
}

/* Whether what is seen of a line would be wrong. */
static bool is_hidden(const struct inspect *s, const struct places_window *w)
{
	for (size_t i = 0; i < w->nplaces; i++)
		if (inspect_hidden(s, s->places->offsets[w->places[i]]))
			return true;
	return false;
}

static bool group_has(const struct inspect_group *g, uint16_t place)
{
	for (size_t i = 0; i < g->nplaces; i++)
		if (g->places[i] == place)
			return true;
	return false;
}

/* Adds a window's places to a group, if they fit in. */
static bool group_add(struct inspect_group *g, const struct places_window *w, size_t most)
{
	size_t n = g->nplaces;

	for (size_t i = 0; i < w->nplaces; i++)
		n += !group_has(g, w->places[i]);
	if (n > most)
		return false;
	for (size_t i = 0; i < w->nplaces; i++)
		if (!group_has(g, w->places[i]))
			g->places[g->nplaces++] = w->places[i];
	return true;
}

/* Neighbouring lines share places: where one is left the next is entered. */
static int plan_groups(struct inspect *s)
{
	size_t n = s->places->nwindows;

	s->groups = calloc(n, sizeof(*s->groups));
	s->group_of = calloc(n, sizeof(*s->group_of));
	if (!s->groups || !s->group_of)
		return diag_error(-ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct places_window *w = &s->places->windows[i];
		size_t g = 0;

		if (is_hidden(s, w)) {
			s->group_of[i] = SIZE_MAX;
			continue;
		}
		while (g < s->ngroups && !group_add(&s->groups[g], w, WIRE_MAX_WATCHED))
			g++;
		if (g == s->ngroups && !group_add(&s->groups[g], w, WIRE_MAX_WATCHED))
			g = SIZE_MAX;
		else if (g == s->ngroups)
			s->ngroups++;
		s->group_of[i] = g;
	}
	return 0;
}

/* Whether each line can be watched by the debug registers all the time. */
static bool fits(const struct inspect *s)
{
	for (size_t i = 0; i < s->places->nwindows; i++)
		if (s->group_of[i] == SIZE_MAX)
			return false;
	return s->ngroups == 1;
}

/* All places are one group, which the opcode handlers see. */
static int plan_handlers(struct inspect *s)
{
	s->ngroups = 1;
	s->groups[0].nplaces = s->places->nplaces;
	for (size_t i = 0; i < s->places->nplaces; i++)
		s->groups[0].places[i] = (uint16_t)i;
	for (size_t i = 0; i < s->places->nwindows; i++)
		s->group_of[i] = 0;
	return inspect_handlers_find(s);
}

static int plan_backend(struct inspect *s)
{
	bool by_name = s->opts.backend && !strcmp(s->opts.backend, "opcode");

	if (s->opts.children && (by_name || (s->opts.all && !fits(s))))
		return diag_error(-DIAG_BACKEND,
				  "only watchpoints follow the children of a process, four places at most");
	if (by_name || (s->opts.all && !s->opts.backend && !fits(s)))
		return plan_handlers(s);
	if (s->opts.all && !fits(s))
		return diag_error(-DIAG_BACKEND,
				  "these lines have more than four places, and watch cannot see every hit of them");
	if (!s->ngroups)
		return diag_error(-E2BIG,
				  "none of these lines of %s can be watched: each needs more than the four places that "
				  "a processor "
				  "has (--all has more), or may run as a part of the line before, unseen",
				  s->name);
	return 0;
}

static int plan_windows(struct inspect *s)
{
	int err = 0;

	for (size_t i = 0; i < s->places->nwindows && !err; i++) {
		const struct places_window *w = &s->places->windows[i];
		struct wire_window *out = &s->wire_windows[i];

		if (s->opts.mode == INSPECT_LINE)
			continue;
		err = plan_list(s, w->uses, w->nuses, &out->before, &out->nbefore);
		if (!err)
			err = plan_list(s, w->defs, w->ndefs, &out->after, &out->nafter);
	}
	return err;
}

int inspect_describe(const struct inspect *s, char **out)
{
	size_t left = 0;
	int n = 0;

	*out = NULL;
	for (size_t i = 0; i < s->places->nwindows; i++)
		left += s->group_of[i] == SIZE_MAX;
	if (s->handlers)
		n = asprintf(out,
			     "%zu instructions of the interpreter are probed, %zu of them single-stepped: each time "
			     "that one is "
			     "executed, in any function, costs %.2f us, a single-stepped one %.2f us",
			     s->handlers->n, s->handlers->stepped, s->cost_ns / 1e3, s->stepped_ns / 1e3);
	else if (s->ngroups > 1 || left)
		n = asprintf(out, "%zu lines%s%s; --all sees every hit", s->places->nwindows - left,
			     s->ngroups > 1 ? " take turns at the four debug registers" : "",
			     left ? " are watched, the others need more than four places, or may run unseen" : "");
	return n < 0 ? -ENOMEM : 0;
}

int inspect_plan(struct inspect *s)
{
	int err = find_places(s);

	if (!err)
		err = plan_cond(s);
	if (!err)
		err = plan_windows(s);
	if (!err)
		err = plan_groups(s);
	return err ? err : plan_backend(s);
}

void inspect_fill(struct inspect *s)
{
	struct pylu__bss *bss = s->skel->bss;

	memcpy(bss->operands, s->wire_operands, sizeof(s->wire_operands));
	memcpy(bss->windows, s->wire_windows, sizeof(s->wire_windows));
	memcpy(bss->window_operands, s->window_operands, sizeof(s->window_operands));
	bss->cond = s->wire_cond;
	bss->watch_consts = s->code->consts;
	bss->watch_linetable = s->code->linetable;
	bss->watch_units = s->code->units;
	for (size_t i = 0; i < s->places->nplaces; i++)
		bss->places[i] = (struct wire_place){
			.addr = s->code->units + s->places->offsets[i] + 1,
			.code = s->code->addr,
		};
}

void inspect_plan_free(struct inspect *s)
{
	for (size_t i = 0; i < s->noperands; i++)
		free(s->operands[i].name);
	places_set__free(s->places);
	free(s->groups);
	free(s->group_of);
	free(s->watched);
}
