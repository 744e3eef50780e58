/*
 * places_vars: which variables the instructions of a line use and define, by their names in the source.
 *
 * A name with attributes behind it is one variable: `self.x`. What is only called is none: of `self.f(x)` there remain `self`
 * and `x`. What a comprehension that was taken into its function (3.12 on) does with its own variables is left out.
 */
#include "places_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ATTRS_MAX 3 /* of a.b.c.d, as records have them */
#define TEXT_BYTES 512
#define LINE_VARS_MAX 64
#define ALL_VARS_MAX 4096
#define AUGMENTED_MAX 8 /* assignments like a.x += b.y within each other: they cannot be, but with damaged code */

enum effect {
	EFFECT_NONE,
	EFFECT_LOAD,
	EFFECT_STORE,
	EFFECT_LOAD_LOAD,
	EFFECT_STORE_LOAD,
	EFFECT_STORE_STORE,
	EFFECT_CLEAR,
	EFFECT_LOAD_DEREF,
	EFFECT_STORE_DEREF,
	EFFECT_LOAD_GLOBAL,
	EFFECT_STORE_GLOBAL,
	EFFECT_LOAD_NAME,
	EFFECT_STORE_NAME,
	EFFECT_LOAD_ATTR,
	EFFECT_LOAD_METHOD,
	EFFECT_STORE_ATTR,
	EFFECT_DUP,
	EFFECT_SWAP,
	EFFECT_PUSH_NULL,
	EFFECT_END_FOR,
	EFFECT_RERAISE,
	EFFECT_SUPER,
};

static const struct {
	const char *name;
	enum effect effect;
} effects[] = {
	{ "LOAD_FAST", EFFECT_LOAD },
	{ "LOAD_FAST_CHECK", EFFECT_LOAD },
	{ "LOAD_FAST_BORROW", EFFECT_LOAD },
	{ "STORE_FAST", EFFECT_STORE },
	{ "DELETE_FAST", EFFECT_STORE },
	{ "LOAD_FAST_LOAD_FAST", EFFECT_LOAD_LOAD },
	{ "LOAD_FAST_BORROW_LOAD_FAST_BORROW", EFFECT_LOAD_LOAD },
	{ "STORE_FAST_LOAD_FAST", EFFECT_STORE_LOAD },
	{ "STORE_FAST_STORE_FAST", EFFECT_STORE_STORE },
	{ "LOAD_FAST_AND_CLEAR", EFFECT_CLEAR },
	{ "LOAD_DEREF", EFFECT_LOAD_DEREF },
	{ "STORE_DEREF", EFFECT_STORE_DEREF },
	{ "DELETE_DEREF", EFFECT_STORE_DEREF },
	{ "LOAD_GLOBAL", EFFECT_LOAD_GLOBAL },
	{ "STORE_GLOBAL", EFFECT_STORE_GLOBAL },
	{ "DELETE_GLOBAL", EFFECT_STORE_GLOBAL },
	{ "LOAD_NAME", EFFECT_LOAD_NAME },
	{ "STORE_NAME", EFFECT_STORE_NAME },
	{ "DELETE_NAME", EFFECT_STORE_NAME },
	{ "LOAD_ATTR", EFFECT_LOAD_ATTR },
	{ "LOAD_METHOD", EFFECT_LOAD_METHOD },
	{ "STORE_ATTR", EFFECT_STORE_ATTR },
	{ "DELETE_ATTR", EFFECT_STORE_ATTR },
	{ "COPY", EFFECT_DUP },
	{ "DUP_TOP", EFFECT_DUP },
	{ "SWAP", EFFECT_SWAP },
	{ "ROT_TWO", EFFECT_SWAP },
	{ "PUSH_NULL", EFFECT_PUSH_NULL },
	{ "END_FOR", EFFECT_END_FOR },
	{ "RERAISE", EFFECT_RERAISE },
	{ "LOAD_SUPER_ATTR", EFFECT_SUPER },
};

/* To 3.10: how many values an instruction takes off the stack and puts on it, at least: those which make up arguments. */
static const struct {
	const char *name;
	uint8_t pops, each, pushes; /* `each`: so many more for each of the argument */
} stack_use[] = {
	{ "LOAD_CONST", 0, 0, 1 },
	{ "LOAD_FAST", 0, 0, 1 },
	{ "LOAD_GLOBAL", 0, 0, 1 },
	{ "LOAD_NAME", 0, 0, 1 },
	{ "LOAD_DEREF", 0, 0, 1 },
	{ "LOAD_CLOSURE", 0, 0, 1 },
	{ "LOAD_ATTR", 1, 0, 1 },
	{ "LOAD_METHOD", 1, 0, 2 },
	{ "BINARY_POWER", 2, 0, 1 },
	{ "BINARY_MULTIPLY", 2, 0, 1 },
	{ "BINARY_MODULO", 2, 0, 1 },
	{ "BINARY_ADD", 2, 0, 1 },
	{ "BINARY_SUBTRACT", 2, 0, 1 },
	{ "BINARY_SUBSCR", 2, 0, 1 },
	{ "BINARY_FLOOR_DIVIDE", 2, 0, 1 },
	{ "BINARY_TRUE_DIVIDE", 2, 0, 1 },
	{ "BINARY_LSHIFT", 2, 0, 1 },
	{ "BINARY_RSHIFT", 2, 0, 1 },
	{ "BINARY_AND", 2, 0, 1 },
	{ "BINARY_XOR", 2, 0, 1 },
	{ "BINARY_OR", 2, 0, 1 },
	{ "COMPARE_OP", 2, 0, 1 },
	{ "IS_OP", 2, 0, 1 },
	{ "CONTAINS_OP", 2, 0, 1 },
	{ "UNARY_NEGATIVE", 1, 0, 1 },
	{ "UNARY_NOT", 1, 0, 1 },
	{ "UNARY_INVERT", 1, 0, 1 },
	{ "GET_ITER", 1, 0, 1 },
	{ "LIST_TO_TUPLE", 1, 0, 1 },
	{ "BUILD_TUPLE", 0, 1, 1 },
	{ "BUILD_LIST", 0, 1, 1 },
	{ "BUILD_SET", 0, 1, 1 },
	{ "BUILD_STRING", 0, 1, 1 },
	{ "BUILD_SLICE", 0, 1, 1 },
	{ "BUILD_MAP", 0, 2, 1 },
	{ "BUILD_CONST_KEY_MAP", 1, 1, 1 },
	{ "BUILD_TUPLE_UNPACK_WITH_CALL", 0, 1, 1 },
	{ "BUILD_MAP_UNPACK_WITH_CALL", 0, 1, 1 },
	{ "LIST_EXTEND", 1, 0, 0 },
	{ "DICT_MERGE", 1, 0, 0 },
	{ "CALL_FUNCTION", 1, 1, 1 },
	{ "CALL_FUNCTION_KW", 2, 1, 1 },
	{ "CALL_METHOD", 2, 1, 1 },
	{ "CALL_FUNCTION_EX", 2, 1, 1 },
};

struct name {
	char text[TEXT_BYTES];
	bool global;
	uint32_t local;
	unsigned nattrs;
	size_t before; /* length without the last attribute */
};

struct list {
	struct places_var *vars; /* owned */
	size_t n, max;
};

/* Variables of a comprehension: what they held is kept meanwhile. */
enum kept {
	KEPT_NOT,
	KEPT,
	KEPT_ENDED, /* and the loop has ended */
	KEPT_GIVEN_BACK,
};

struct reader {
	const struct pycode *code;
	const struct places_flow *flow;
	uint32_t line;		  /* 0: all */
	enum effect effects[256]; /* of opcodes */
	struct list uses, defs;
	struct name augmented[AUGMENTED_MAX];
	size_t naugmented;
	uint8_t *kept; /* enum kept, of locals */
	bool failed;
};

static void find_effects(struct reader *r)
{
	for (unsigned op = 0; op < 256; op++) {
		const char *name = pycode__op_name(r->code, (uint8_t)op);

		for (size_t k = 0; k < sizeof(effects) / sizeof(effects[0]); k++) {
			if (!strcmp(name, effects[k].name))
				r->effects[op] = effects[k].effect;
		}
	}
}

static enum effect effect_of(const struct reader *r, size_t i)
{
	if (i >= r->code->ninstrs || !r->flow->reached[i] || (r->line && r->code->instrs[i].line != r->line))
		return EFFECT_NONE;
	return r->effects[r->code->instrs[i].op];
}

static void list__add(struct reader *r, struct list *l, const struct name *name)
{
	struct places_var *bigger;

	for (size_t i = 0; i < l->n; i++) {
		if (!strcmp(l->vars[i].name, name->text) && l->vars[i].global == name->global &&
		    l->vars[i].local == name->local)
			return;
	}
	if (l->n == l->max)
		return;
	bigger = realloc(l->vars, (l->n + 1) * sizeof(*bigger));
	if (bigger) {
		l->vars = bigger;
		bigger[l->n] = (struct places_var){ strdup(name->text), name->global, (uint16_t)name->local };
	}
	if (!bigger || !bigger[l->n].name)
		r->failed = true;
	else
		l->n++;
}

/* Whether it is a name of the source: others have a dot in front. */
static bool name__set(struct name *n, const char *text, bool global, uint32_t local)
{
	*n = (struct name){ .global = global, .local = local };
	snprintf(n->text, sizeof(n->text), "%s", text);
	n->before = strlen(n->text);
	return text[0] != '.' && local <= UINT16_MAX && strcmp(text, "__class__");
}

static void name__add_attr(struct name *n, const char *attr)
{
	n->before = strlen(n->text);
	snprintf(n->text + n->before, sizeof(n->text) - n->before, ".%s", attr);
	n->nattrs++;
}

static const char *attr_name(const struct reader *r, size_t i)
{
	uint32_t arg = r->code->instrs[i].arg;

	if (r->code->minor >= 12 && effect_of(r, i) == EFFECT_LOAD_ATTR)
		arg >>= 1;
	return arg < r->code->nnames ? r->code->names[arg] : NULL;
}

/* From 3.12 on an attribute is loaded for a call by the same instruction. */
static bool is_method(const struct reader *r, size_t i)
{
	enum effect e = effect_of(r, i);

	return e == EFFECT_LOAD_METHOD || (e == EFFECT_LOAD_ATTR && r->code->minor >= 12 && r->code->instrs[i].arg & 1);
}

static bool is_dup(const struct reader *r, size_t i)
{
	return effect_of(r, i) == EFFECT_DUP &&
	       (r->code->instrs[i].arg == 1 || !strcmp(pycode__op_name(r->code, r->code->instrs[i].op), "DUP_TOP"));
}

/* To 3.10: whether what was put on the stack before instruction `i` is what a call calls. */
static bool is_called_later(const struct reader *r, size_t i)
{
	uint64_t above = 0;

	for (; i < r->code->ninstrs; i++) {
		const struct pycode_instr *instr = &r->code->instrs[i];
		const char *name = pycode__op_name(r->code, instr->op);
		uint64_t pops = 0;
		size_t k = 0;

		while (k < sizeof(stack_use) / sizeof(stack_use[0]) && strcmp(name, stack_use[k].name))
			k++;
		if (k == sizeof(stack_use) / sizeof(stack_use[0]))
			return false;
		pops = stack_use[k].pops + (uint64_t)stack_use[k].each * instr->arg;
		if (pops > above)
			return pops == above + 1 && !strncmp(name, "CALL_FUNCTION", strlen("CALL_FUNCTION"));
		above += stack_use[k].pushes - pops;
	}
	return false;
}

/* Whether what was loaded by the instructions from `first` to before `next` is called. */
static bool is_called(const struct reader *r, size_t first, size_t next)
{
	if (r->code->minor <= 10)
		return is_called_later(r, next);
	if (r->code->minor <= 12)
		return first && effect_of(r, first - 1) == EFFECT_PUSH_NULL;
	return effect_of(r, next) == EFFECT_PUSH_NULL;
}

static void use(struct reader *r, struct name *n, bool called)
{
	if (called && !n->nattrs && n->global)
		return;
	if (called && n->nattrs)
		n->text[n->before] = '\0';
	list__add(r, &r->uses, n);
}

/* A name is loaded by instruction `first`; `i` is what follows it. What is done with it, and with its attributes. */
static void read_chain(struct reader *r, size_t first, size_t i, struct name *n)
{
	bool called = false;
	const char *attr;

	for (; !called && n->nattrs < ATTRS_MAX; i++) {
		enum effect e = effect_of(r, i);

		attr = e == EFFECT_LOAD_ATTR || e == EFFECT_LOAD_METHOD ? attr_name(r, i) : NULL;
		if (!attr)
			break;
		called = is_method(r, i);
		name__add_attr(n, attr);
	}
	if (!called && effect_of(r, i) == EFFECT_STORE_ATTR && (attr = attr_name(r, i))) {
		name__add_attr(n, attr);
		list__add(r, &r->defs, n);
	} else if (!called && is_dup(r, i) && effect_of(r, i + 1) == EFFECT_LOAD_ATTR && (attr = attr_name(r, i + 1))) {
		name__add_attr(n, attr);
		use(r, n, false);
		if (r->naugmented < AUGMENTED_MAX)
			r->augmented[r->naugmented++] = *n;
	} else {
		use(r, n, called || is_called(r, first, i));
	}
}

static uint32_t deref_index(const struct pycode *code, uint32_t arg)
{
	size_t variables = 0;

	while (code->minor <= 10 && variables < code->nlocals && !code->cell[variables])
		variables++;
	return arg < code->nlocals ? (uint32_t)variables + arg : UINT32_MAX;
}

static bool is_kept(const struct reader *r, uint32_t local)
{
	return r->kept[local] == KEPT || r->kept[local] == KEPT_ENDED;
}

static void load_local(struct reader *r, size_t i, uint32_t local)
{
	struct name n;

	/* What super() needs of the frame is, from 3.12 on, an argument of it, and no word of the source. */
	if (!local && effect_of(r, i + 1) == EFFECT_SUPER)
		return;
	if (local < r->code->nlocals && !is_kept(r, local) && name__set(&n, r->code->locals[local], false, local))
		read_chain(r, i, i + 1, &n);
}

/* Cells are loaded so to be handed to an inner function (3.13 on), their contents otherwise. */
static void load_fast(struct reader *r, size_t i, uint32_t local)
{
	if (local < r->code->nlocals && !r->code->cell[local])
		load_local(r, i, local);
}

/* The first half of a pair: nothing can be done with it but to be used. */
static void load_first(struct reader *r, uint32_t local)
{
	struct name n;

	if (local < r->code->nlocals && !r->code->cell[local] && !is_kept(r, local) &&
	    name__set(&n, r->code->locals[local], false, local))
		use(r, &n, false);
}

/* Whether variables are given back what they held because of an exception, which takes the way past the end of their
 * comprehension. */
static bool is_restoring(const struct reader *r, size_t i)
{
	enum effect e;

	do
		e = effect_of(r, ++i);
	while (e == EFFECT_STORE || e == EFFECT_STORE_STORE || e == EFFECT_SWAP);
	return e == EFFECT_RERAISE;
}

static void store_local(struct reader *r, size_t i, uint32_t local)
{
	struct name n;

	if (local >= r->code->nlocals)
		return;
	if (r->kept[local] == KEPT_ENDED) {
		r->kept[local] = KEPT_GIVEN_BACK;
		return;
	}
	if (r->kept[local] == KEPT || (r->kept[local] && is_restoring(r, i)))
		return;
	if (name__set(&n, r->code->locals[local], false, local))
		list__add(r, &r->defs, &n);
}

static void load_global(struct reader *r, size_t i, uint32_t arg, bool called)
{
	struct name n;

	if (arg >= r->code->nnames || called || !name__set(&n, r->code->names[arg], true, 0) ||
	    !strcmp(n.text, "super"))
		return;
	read_chain(r, i, i + 1, &n);
}

static void store_global(struct reader *r, uint32_t arg)
{
	struct name n;

	if (arg < r->code->nnames && name__set(&n, r->code->names[arg], true, 0))
		list__add(r, &r->defs, &n);
}

/* The end of a.x += b: STORE_ATTR with the object below the value. */
static void store_augmented(struct reader *r, size_t i)
{
	const char *attr = attr_name(r, i);
	struct name *n = r->naugmented ? &r->augmented[r->naugmented - 1] : NULL;

	if (!n || !attr || !i || effect_of(r, i - 1) != EFFECT_SWAP || strcmp(n->text + n->before + 1, attr))
		return;
	list__add(r, &r->defs, n);
	r->naugmented--;
}

static void end_loop(struct reader *r)
{
	for (size_t i = 0; i < r->code->nlocals; i++) {
		if (r->kept[i] == KEPT)
			r->kept[i] = KEPT_ENDED;
	}
}

/* The body of a module: its variables are the module's globals. */
static bool is_module(const struct pycode *code)
{
	return code->name && !strcmp(code->name, "<module>");
}

static void read_instruction(struct reader *r, size_t i)
{
	uint32_t arg = r->code->instrs[i].arg;
	bool newer = r->code->minor >= 11;

	switch (effect_of(r, i)) {
	case EFFECT_LOAD:
		load_fast(r, i, arg);
		break;
	case EFFECT_STORE:
		store_local(r, i, arg);
		break;
	case EFFECT_LOAD_LOAD:
		load_first(r, arg >> 4);
		load_fast(r, i, arg & 15);
		break;
	case EFFECT_STORE_LOAD:
		store_local(r, i, arg >> 4);
		load_fast(r, i, arg & 15);
		break;
	case EFFECT_STORE_STORE:
		store_local(r, i, arg >> 4);
		store_local(r, i, arg & 15);
		break;
	case EFFECT_CLEAR:
		if (arg < r->code->nlocals)
			r->kept[arg] = KEPT;
		break;
	case EFFECT_LOAD_DEREF:
		load_local(r, i, deref_index(r->code, arg));
		break;
	case EFFECT_STORE_DEREF:
		store_local(r, i, deref_index(r->code, arg));
		break;
	case EFFECT_LOAD_GLOBAL:
		load_global(r, i, newer ? arg >> 1 : arg, newer && arg & 1);
		break;
	case EFFECT_LOAD_NAME:
		if (is_module(r->code))
			load_global(r, i, arg, false);
		break;
	case EFFECT_STORE_NAME:
		if (is_module(r->code))
			store_global(r, arg);
		break;
	case EFFECT_STORE_GLOBAL:
		store_global(r, arg);
		break;
	case EFFECT_STORE_ATTR:
		store_augmented(r, i);
		break;
	case EFFECT_END_FOR:
		end_loop(r);
		break;
	default:
		break;
	}
}

static void list__free(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->vars[i].name);
	free(l->vars);
}

static int read_line(const struct pycode *code, const struct places_flow *flow, uint32_t line, size_t max,
		     struct reader *r)
{
	*r = (struct reader){ .code = code, .flow = flow, .line = line, .uses.max = max, .defs.max = max };
	r->kept = calloc(code->nlocals + 1, sizeof(*r->kept));
	find_effects(r);
	for (size_t i = 0; r->kept && i < code->ninstrs; i++)
		read_instruction(r, i);
	if (r->failed || !r->kept) {
		list__free(&r->uses);
		list__free(&r->defs);
	}
	r->failed |= !r->kept;
	free(r->kept);
	return r->failed ? -ENOMEM : 0;
}

int places_vars(const struct pycode *code, const struct places_flow *flow, uint32_t line, struct places_window *out)
{
	struct reader r;
	int err = read_line(code, flow, line, LINE_VARS_MAX, &r);

	if (err)
		return err;
	out->uses = r.uses.vars;
	out->nuses = r.uses.n;
	out->defs = r.defs.vars;
	out->ndefs = r.defs.n;
	return 0;
}

/* Moves the names out of a list to those that are there, each once. */
static void move_names(struct list *l, char **names, size_t *n)
{
	for (size_t i = 0; i < l->n; i++) {
		bool known = false;

		for (size_t k = 0; k < *n; k++)
			known |= !strcmp(names[k], l->vars[i].name);
		if (known)
			free(l->vars[i].name);
		else
			names[(*n)++] = l->vars[i].name;
	}
	free(l->vars);
}

int places__names(const struct pycode *code, char ***names, size_t *n)
{
	struct places_flow *flow;
	struct reader r;
	int err = places_flow__new(code, &flow);

	*names = NULL;
	*n = 0;
	err = err ? err : read_line(code, flow, 0, ALL_VARS_MAX, &r);
	places_flow__free(flow);
	if (err)
		return err;
	*names = calloc(r.uses.n + r.defs.n + 1, sizeof(**names));
	if (!*names) {
		list__free(&r.uses);
		list__free(&r.defs);
		return -ENOMEM;
	}
	move_names(&r.uses, *names, n);
	move_names(&r.defs, *names, n);
	return 0;
}
