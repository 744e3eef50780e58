/*
 * value_object: instances, exceptions, members of enums; functions, classes, modules; ranges, slices, cells. Where instances
 * have their attributes is value_attrs.c's business.
 *
 * Sources: Objects/{funcobject,methodobject,classobject,rangeobject,sliceobject,exceptions}.c, Lib/enum.py.
 */
#include "value_priv.h"

#include <stdlib.h>
#include <string.h>

static struct value *attr_value(struct decoding *g, const struct attr *attr)
{
	if (attr->name ? decoding__masks(g, attr->name) : g->d->redact != NULL)
		return decoding__value(g, V_MASKED);
	return decoding__object(g, attr->value);
}

static bool add_attr_item(struct decoding *g, struct value *v, const struct attr *attr)
{
	struct value_item *item = &v->items[v->nitems];

	if (v->nitems >= g->d->limits.items || !decoding__room(g)) {
		v->cut = true;
		return false;
	}
	item->name = attr->name ? attr->name : "?";
	item->value = attr_value(g, attr);
	v->nitems++;
	return true;
}

static void add_attr_items(struct decoding *g, struct value *v, const struct value_type *type,
			   const struct attrs *attrs)
{
	v->items = decoding__alloc(g, (attrs->n + 1) * sizeof(*v->items));
	if (!v->items)
		return;
	v->total = attrs->n;
	if (type->is_dataclass) {
		v->total = 0;
		for (size_t i = 0; i < type->nfields; i++)
			v->total += attrs__named(attrs, type->fields[i]) != NULL;
		for (size_t i = 0; i < type->nfields; i++) {
			const struct attr *attr = attrs__named(attrs, type->fields[i]);

			if (attr && !add_attr_item(g, v, attr))
				break;
		}
	} else {
		for (size_t i = 0; i < attrs->n && add_attr_item(g, v, &attrs->list[i]); i++)
			;
	}
	if (attrs->state == SNAPSHOT_PRESENT)
		return;
	v->cut = true;
	v->total = 0; /* unknown */
	if (attrs->state != SNAPSHOT_CUT && v->nitems <= attrs->n)
		v->items[v->nitems++].value = decoding__value(g, V_UNREADABLE);
}

struct value *decode_instance(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	struct value *v = decoding__value(g, type->is_dataclass ? V_CALL : V_OBJECT);
	struct attrs attrs = { 0 };

	decoding__name_type(g, v, type, type->is_dataclass ? type->qualname : type->name);
	v->truth = type->asks_truth ? -1 : 1;
	if (decoding__too_deep(g)) {
		v->cut = true;
		return v;
	}
	decode_attrs(g, obj, type, &attrs);
	add_attr_items(g, v, type, &attrs);
	free(attrs.list);
	return v;
}

struct value *decode_exception(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	struct value *v = decoding__value(g, V_CALL);
	uint64_t args, n;

	decoding__name_type(g, v, type, type->last);
	v->truth = type->asks_truth ? -1 : 1;
	v->cut = true;
	if (decoding__too_deep(g))
		return v;
	if (!peek_u64(g, obj, g->lay->exc_args, &args))
		return decoding__missing(g, obj + (uint64_t)g->lay->exc_args);
	if (!args || !peek_u64(g, args, g->lay->ob_size, &n) || n > INT64_MAX) {
		v->items = decoding__alloc(g, sizeof(*v->items));
		if (v->items && (!args || snapshot__state(g->s, args + (uint64_t)g->lay->ob_size) != SNAPSHOT_CUT))
			v->items[v->nitems++].value = decoding__value(g, V_UNREADABLE);
		return v;
	}
	v->total = n;
	decode_items(g, v, args + (uint64_t)g->lay->tuple_items, NULL);
	return v;
}

struct value *decode_raised(struct decoding *g, uint64_t class, uint64_t argument)
{
	const struct value_type *type = type_cache__get(g->d->types, class), *of_argument;
	struct value *v = decoding__value(g, type ? V_CALL : V_UNREADABLE), *only;

	if (!type)
		return v;
	decoding__name_type(g, v, type, type->last);
	v->truth = type->asks_truth ? -1 : 1;
	if (!argument)
		return v;
	of_argument = peek_type(g, argument);
	g->path[g->depth++] = argument;
	if (of_argument && of_argument->form == FORM_TUPLE) {
		if (peek_u64(g, argument, g->lay->ob_size, &v->total) && v->total <= INT64_MAX)
			decode_items(g, v, argument + (uint64_t)g->lay->tuple_items, NULL);
		g->depth--;
		return v;
	}
	g->depth--;
	only = decoding__object(g, argument);
	v->items = only->kind == V_NONE ? NULL : decoding__alloc(g, sizeof(*v->items));
	if (v->items) {
		v->items[0].value = only;
		v->nitems = v->total = 1;
	}
	return v;
}

/* The name of an enum's member, and its value where it has one that is no number or text itself. */
static void read_member(struct decoding *g, struct value *v, struct value *plain, const struct attrs *attrs)
{
	const struct attr *name = attrs__named(attrs, "_name_"), *value = attrs__named(attrs, "_value_");
	struct str_text text;

	if (name && decode_str_text(g, name->value, &text)) /* None, where it has none */
		v->text = text.text;
	if (v->text && decoding__masks(g, v->text)) {
		v->items[0].value = decoding__value(g, V_MASKED);
	} else if (plain->kind == V_INT || plain->kind == V_STR) {
		plain->type = plain->shown = NULL;
		v->is_plain_too = true;
		v->items[0].value = plain;
		v->truth = plain->truth;
	} else if (value && !decoding__too_deep(g)) {
		v->items[0].value = decoding__object(g, value->value);
	} else {
		v->items[0].value = decoding__value(g, V_CUT);
	}
}

/* `plain` is what it would be without its name: the number or the text that it is, or its attributes. */
struct value *decode_enum(struct decoding *g, uint64_t obj, const struct value_type *type, struct value *plain)
{
	struct value *v = decoding__value(g, V_ENUM);
	struct attrs attrs = { 0 };

	decoding__name_type(g, v, type, type->last);
	v->items = decoding__alloc(g, sizeof(*v->items));
	if (!v->items)
		return v;
	v->nitems = 1;
	v->truth = plain->kind == V_OBJECT && !type->asks_truth ? 1 : -1;
	decode_attrs(g, obj, type, &attrs);
	/* What neither says its name nor is a plain value is shown as what it is. */
	if (plain->kind == V_OBJECT && !attrs__named(&attrs, "_name_"))
		v = plain;
	else
		read_member(g, v, plain, &attrs);
	free(attrs.list);
	return v;
}

static struct value *word(struct decoding *g, const char *type, const char *text)
{
	struct value *v = decoding__value(g, V_WORD);

	v->type = type;
	v->text = text;
	v->truth = 1;
	return v;
}

/* "module.Qualified.name" of a function; only what is known of it. */
static const char *function_name(struct decoding *g, uint64_t obj, bool with_module)
{
	uint64_t qualname, module = 0;
	const char *name = NULL, *prefix = NULL;

	if (peek_u64(g, obj, g->lay->func_qualname, &qualname))
		name = decode_name(g, qualname);
	if (with_module && peek_u64(g, obj, g->lay->func_module, &module) && module)
		prefix = decode_name(g, module);
	return prefix ? decoding__printf(g, "%s.%s", prefix, name ? name : "?") : name ? name : "?";
}

static struct value *decode_cfunction(struct decoding *g, uint64_t obj)
{
	struct pyobj_reader *r = g->d->reader;
	const char *what = "function", *of = NULL;
	uint64_t def, self, name_at;
	const struct value_type *type;
	char name[TYPE_NAME_MAX];
	uint64_t word_at;

	if (!peek_u64(g, obj, g->lay->cfunction_def, &def) || !peek_u64(g, obj, g->lay->cfunction_self, &self))
		return decoding__missing(g, obj + (uint64_t)g->lay->cfunction_def);
	/* A PyMethodDef is static data of a library. */
	if (pyobj__read_u64(r, def, &name_at) || mem__read_string(r->mem, name_at, name, sizeof(name)))
		return word(g, "builtin_function_or_method", "<built-in function>");
	if (self && !pyobj__read_u64(r, self + (uint64_t)g->lay->ob_type, &word_at)) {
		type = type_cache__get(g->d->types, word_at);
		if (type && type->form != FORM_MODULE) {
			what = "method";
			of = type->form == FORM_TYPE ? "type" : type->last;
		}
	}
	return word(g, "builtin_function_or_method",
		    decoding__printf(g, "<built-in %s %s%s%s%s>", what, name, of ? " of " : "", of ? of : "",
				     of ? " object" : ""));
}

/* What a method is bound to: nothing that is in it was copied. */
static struct value *decode_shallow(struct decoding *g, uint64_t obj)
{
	bool outer = g->shallow;
	struct value *v;

	g->shallow = true;
	v = decoding__object(g, obj);
	g->shallow = outer;
	return v;
}

static struct value *decode_method(struct decoding *g, uint64_t obj)
{
	struct value *v = decoding__value(g, V_METHOD);
	const struct value_type *type;
	uint64_t func, self;

	if (!peek_u64(g, obj, g->lay->method_func, &func) || !peek_u64(g, obj, g->lay->method_self, &self))
		return decoding__missing(g, obj + (uint64_t)g->lay->method_func);
	v->items = decoding__alloc(g, sizeof(*v->items));
	if (!v->items)
		return v;
	type = peek_type(g, func);
	v->text = type && type->form == FORM_FUNCTION ? function_name(g, func, false) : "?";
	v->truth = 1;
	v->nitems = 1;
	v->items[0].value = decode_shallow(g, self);
	return v;
}

static struct value *decode_class(struct decoding *g, uint64_t obj, const struct value_type *meta)
{
	const struct value_type *type = type_cache__get(g->d->types, obj);
	struct value *v;

	if (!type)
		return decoding__value(g, V_UNREADABLE);
	v = word(g, "type", decoding__printf(g, "<%s '%s'>", type->is_enum ? "enum" : "class", type->name));
	v->truth = meta->asks_truth ? -1 : 1;
	return v;
}

static struct value *decode_module(struct decoding *g, uint64_t obj)
{
	const char *name = NULL;
	uint64_t name_at;

	if (!peek_u64(g, obj, g->lay->module_name, &name_at))
		return decoding__missing(g, obj + (uint64_t)g->lay->module_name);
	if (name_at)
		name = decode_name(g, name_at);
	return word(g, "module", name ? decoding__printf(g, "<module '%s'>", name) : "<module>");
}

struct value *decode_callable(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	switch (type->form) {
	case FORM_FUNCTION:
		return word(g, "function", decoding__printf(g, "<function %s>", function_name(g, obj, true)));
	case FORM_CFUNCTION:
		return decode_cfunction(g, obj);
	case FORM_METHOD:
		return decode_method(g, obj);
	case FORM_TYPE:
		return decode_class(g, obj, type);
	default:
		return decode_module(g, obj);
	}
}

/* What a range or a slice is made of: at the last level too, as long as it is no container. */
static struct value *decode_part(struct decoding *g, uint64_t obj)
{
	const struct value_type *type;

	if (!decoding__too_deep(g))
		return decoding__object(g, obj);
	type = peek_type(g, obj);
	if (!type || type->form == FORM_INT)
		return decoding__object(g, obj);
	return decoding__value(g, V_CUT);
}

/* Python leaves out a range's step of 1. */
static void drop_unit_step(struct value *v)
{
	const struct value *step = v->items[2].value;

	if (v->nitems == 3 && step->kind == V_INT && step->fits && step->number == 1)
		v->nitems = 2;
}

/* Empty where stop does not lie beyond start. */
static int range_truth(const struct value *v)
{
	const struct value *start = v->items[0].value, *stop = v->items[1].value, *step = v->items[2].value;

	if (!start->fits || !stop->fits || !step->fits)
		return -1;
	return step->number > 0 ? start->number < stop->number : start->number > stop->number;
}

static struct value *decode_range(struct decoding *g, uint64_t obj, const int32_t fields[3], const char *name)
{
	struct value *v = decoding__value(g, V_CALL);

	v->type = v->shown = name;
	v->truth = 1;
	v->cut = true;
	v->items = decoding__alloc(g, 3 * sizeof(*v->items));
	if (!v->items)
		return v;
	for (int i = 0; i < 3; i++) {
		uint64_t part;

		if (peek_u64(g, obj, fields[i], &part))
			v->items[i].value = decode_part(g, part);
		else
			v->items[i].value = decoding__missing(g, obj + (uint64_t)fields[i]);
		if (v->items[i].value->kind == V_CUT)
			return v;
	}
	v->cut = false;
	v->total = v->nitems = 3;
	return v;
}

static struct value *decode_cell(struct decoding *g, uint64_t obj)
{
	struct value *v = decoding__value(g, V_CELL);
	uint64_t held;

	v->truth = 1;
	if (!peek_u64(g, obj, g->lay->cell_ref, &held))
		return decoding__missing(g, obj + (uint64_t)g->lay->cell_ref);
	v->items = held ? decoding__alloc(g, sizeof(*v->items)) : NULL;
	if (!v->items)
		return v;
	v->nitems = 1;
	v->items[0].value = decoding__too_deep(g) ? decoding__value(g, V_CUT) : decoding__object(g, held);
	return v;
}

struct value *decode_small(struct decoding *g, uint64_t obj, const struct value_type *type)
{
	const struct layout *lay = g->lay;
	const int32_t range[3] = { lay->range_start, lay->range_stop, lay->range_step };
	const int32_t slice[3] = { lay->slice_start, lay->slice_stop, lay->slice_step };
	struct value *v;

	if (type->form == FORM_CELL)
		return decode_cell(g, obj);
	if (type->form == FORM_SLICE)
		return decode_range(g, obj, slice, "slice");
	v = decode_range(g, obj, range, "range");
	if (v->nitems == 3) {
		v->truth = (signed char)range_truth(v);
		drop_unit_step(v);
	}
	return v;
}
