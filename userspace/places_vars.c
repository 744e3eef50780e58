/*
 * places_vars: the variables that the instructions of a line use and define, by their names in the source.
 *
 * Attributes of a variable are read by the instructions right behind the one that loads it: so the longest run of them is one
 * dotted name. What is only called is no variable: the method at the end of a dotted name, and a global that is loaded to be
 * called (which Python tells from 3.11 on; before, the value shows that it is a function).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "places_priv.h"

#define NAME_MAX_BYTES 256

enum access {
	ACCESS_USE,
	ACCESS_DEF,
};

/* Where what is found goes. */
struct finder {
	const struct pycode *code;
	int (*found)(struct finder *f, enum access access, const char *name, int local);
	struct places_window *window;
	char **names;
	size_t nnames;
	char chain[NAME_MAX_BYTES]; /* the name that is on top of the value stack; "": something else is */
	int local;		    /* its index among the variables; -1: a global */
	int err;
};

static void tell(struct finder *f, enum access access, const char *name, int local)
{
	/* ".0" and its like are the compiler's own. */
	if (!f->err && name[0] && name[0] != '.')
		f->err = f->found(f, access, name, local);
}

/* The name on top is consumed by something that is no access to an attribute. */
static void use(struct finder *f)
{
	tell(f, ACCESS_USE, f->chain, f->local);
	f->chain[0] = 0;
}

static void push(struct finder *f, const char *name, int local)
{
	size_t len = strlen(name);

	use(f);
	if (len >= sizeof(f->chain))
		return;
	memcpy(f->chain, name, len + 1);
	f->local = local;
}

/* Makes the name longer by an attribute; false when there is none on top. */
static bool extend(struct finder *f, uint32_t attr)
{
	size_t len = strlen(f->chain), more;

	if (!len || attr >= f->code->nnames)
		return false;
	more = strlen(f->code->names[attr]);
	if (len + 1 + more >= sizeof(f->chain)) {
		use(f);
		return false;
	}
	f->chain[len] = '.';
	memcpy(f->chain + len + 1, f->code->names[attr], more + 1);
	return true;
}

static void push_local(struct finder *f, uint32_t index)
{
	if (index < f->code->nlocals)
		push(f, f->code->locals[index], (int)index);
}

static void define_local(struct finder *f, uint32_t index)
{
	use(f);
	if (index < f->code->nlocals)
		tell(f, ACCESS_DEF, f->code->locals[index], (int)index);
}

/* To 3.10 cells and free variables are numbered by themselves. */
static uint32_t cell_index(const struct pycode *code, uint32_t arg)
{
	uint32_t first = 0;

	if (code->minor >= 11)
		return arg;
	while (first < code->nlocals && !code->cell[first])
		first++;
	return first + arg;
}

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is_any(const char *op, const char *const *names)
{
	for (; *names; names++)
		if (!strcmp(op, *names))
			return true;
	return false;
}

/* Instructions on two variables of the function at once, from 3.13 on: each has four bits of the argument. True when it is
 * one. */
static bool on_pair(struct finder *f, const char *op, uint32_t arg)
{
	static const char *const loads[] = { "LOAD_FAST_LOAD_FAST", "LOAD_FAST_BORROW_LOAD_FAST_BORROW", NULL };

	if (is_any(op, loads)) {
		push_local(f, arg >> 4);
		push_local(f, arg & 15);
	} else if (!strcmp(op, "STORE_FAST_STORE_FAST")) {
		define_local(f, arg >> 4);
		define_local(f, arg & 15);
	} else if (!strcmp(op, "STORE_FAST_LOAD_FAST")) {
		define_local(f, arg >> 4);
		push_local(f, arg & 15);
	} else {
		return false;
	}
	return true;
}

/* True when it is an instruction on a variable of the function, or on a cell. */
static bool on_local(struct finder *f, const char *op, uint32_t arg)
{
	static const char *const loads[] = { "LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", NULL };
	static const char *const stores[] = { "STORE_FAST", "STORE_FAST_MAYBE_NULL", "DELETE_FAST", NULL };
	static const char *const cells[] = { "STORE_DEREF", "DELETE_DEREF", NULL };

	if (is_any(op, loads)) {
		/* A cell itself is loaded where a function that shares it is made. */
		if (f->code->minor >= 13 && arg < f->code->nlocals && f->code->cell[arg])
			use(f);
		else
			push_local(f, arg);
	} else if (is_any(op, stores)) {
		define_local(f, arg);
	} else if (!strcmp(op, "LOAD_DEREF")) {
		push_local(f, cell_index(f->code, arg));
	} else if (is_any(op, cells)) {
		define_local(f, cell_index(f->code, arg));
	} else {
		return on_pair(f, op, arg);
	}
	return true;
}

/* True when it is an instruction on a global. */
static bool on_global(struct finder *f, const char *op, uint32_t arg)
{
	uint32_t index = f->code->minor >= 11 && !strcmp(op, "LOAD_GLOBAL") ? arg >> 1 : arg;

	if (!starts(op, "LOAD_GLOBAL") && !starts(op, "STORE_GLOBAL") && !starts(op, "DELETE_GLOBAL"))
		return false;
	use(f);
	if (index >= f->code->nnames)
		return true;
	if (op[0] != 'L')
		tell(f, ACCESS_DEF, f->code->names[index], -1);
	else if (f->code->minor < 11 || !(arg & 1))
		push(f, f->code->names[index], -1);
	return true;
}

/* True when it is an instruction on an attribute. */
static bool on_attr(struct finder *f, const char *op, uint32_t arg)
{
	if (!strcmp(op, "LOAD_ATTR")) {
		if (f->code->minor >= 12 && arg & 1)
			use(f);
		else
			extend(f, f->code->minor >= 12 ? arg >> 1 : arg);
	} else if (!strcmp(op, "STORE_ATTR") || !strcmp(op, "DELETE_ATTR")) {
		if (extend(f, arg))
			tell(f, ACCESS_DEF, f->chain, f->local);
		f->chain[0] = 0;
	} else {
		return false;
	}
	return true;
}

static void on_instr(struct finder *f, const struct pycode_instr *instr)
{
	static const char *const nothing[] = { "NOP", "CACHE", "EXTENDED_ARG", "NOT_TAKEN", "RESUME", NULL };
	const char *op = pycode__op_name(f->code, instr->op);

	if (op && !is_any(op, nothing) && !on_local(f, op, instr->arg) && !on_global(f, op, instr->arg) &&
	    !on_attr(f, op, instr->arg))
		use(f);
}

static int add_var(struct places_var **vars, size_t *n, const char *name, int local)
{
	struct places_var *bigger;

	for (size_t i = 0; i < *n; i++)
		if (!strcmp((*vars)[i].name, name))
			return 0;
	bigger = realloc(*vars, (*n + 1) * sizeof(**vars));
	if (!bigger)
		return -ENOMEM;
	*vars = bigger;
	bigger[*n] = (struct places_var){ strdup(name), local < 0, (uint16_t)(local < 0 ? 0 : local) };
	return bigger[*n].name ? (++*n, 0) : -ENOMEM;
}

static int into_window(struct finder *f, enum access access, const char *name, int local)
{
	struct places_window *w = f->window;

	return access == ACCESS_USE ? add_var(&w->uses, &w->nuses, name, local)
				    : add_var(&w->defs, &w->ndefs, name, local);
}

int places_vars(const struct pycode *code, const struct places_flow *flow, uint32_t line, struct places_window *out)
{
	struct finder f = { .code = code, .found = into_window, .window = out };

	for (size_t i = 0; i < code->ninstrs && !f.err; i++) {
		if (code->instrs[i].line == line && flow->reached[i])
			on_instr(&f, &code->instrs[i]);
		else
			use(&f);
	}
	use(&f);
	return f.err;
}

static int into_names(struct finder *f, enum access access, const char *name, int local)
{
	char **bigger;

	(void)access, (void)local;
	for (size_t i = 0; i < f->nnames; i++)
		if (!strcmp(f->names[i], name))
			return 0;
	bigger = realloc(f->names, (f->nnames + 1) * sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	f->names = bigger;
	f->names[f->nnames] = strdup(name);
	return f->names[f->nnames] ? (f->nnames++, 0) : -ENOMEM;
}

/* With "a.b.c" also "a.b" and "a" can be asked for. */
static int into_names_with_parts(struct finder *f, enum access access, const char *name, int local)
{
	char part[NAME_MAX_BYTES];
	int err = 0;

	for (size_t len = strcspn(name, "."); !err; len += 1 + strcspn(name + len + 1, ".")) {
		memcpy(part, name, len);
		part[len] = 0;
		err = into_names(f, access, part, local);
		if (!name[len])
			break;
	}
	return err;
}

int places__names(const struct pycode *code, char ***names, size_t *n)
{
	struct finder f = { .code = code, .found = into_names_with_parts };

	for (size_t i = 0; i < code->ninstrs && !f.err; i++)
		on_instr(&f, &code->instrs[i]);
	use(&f);
	for (size_t i = 0; f.err && i < f.nnames; i++)
		free(f.names[i]);
	if (f.err) {
		free(f.names);
		return f.err;
	}
	*names = f.names;
	*n = f.nnames;
	return 0;
}
