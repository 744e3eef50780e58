/*
 * value_object: instances with their attributes, exceptions, members of enums; functions, classes, modules; ranges, slices, cells.
 *
 * Sources: pyobj_dict.c's, and Objects/{funcobject,methodobject,classobject,rangeobject,sliceobject,exceptions}.c.
 */
#include "value_priv.h"

#include <stdlib.h>
#include <string.h>

#define ATTRS_MAX 1024

struct attr {
	const char *name; /* NULL: unknown */
	uint64_t value;
};

struct attrs {
	struct attr *list; /* owned */
	size_t n, cap;
	enum snapshot_state state; /* PRESENT: these are all */
};

static bool add_attr(struct attrs *attrs, const char *name, uint64_t value)
{
	if (attrs->n == attrs->cap) {
		size_t cap = 2 * attrs->cap + 16;
		struct attr *bigger = cap <= ATTRS_MAX ? realloc(attrs->list, cap * sizeof(*bigger)) : NULL;

		if (!bigger) {
			attrs->state = SNAPSHOT_CUT;
			return false;
		}
		attrs->list = bigger;
		attrs->cap = cap;
	}
	attrs->list[attrs->n++] = (struct attr){ name, value };
	return true;
}

static bool add_dict_attr(struct decoding *g, uint64_t key, uint64_t value, void *ctx)
{
	return add_attr(ctx, decode_name(g, key), value);
}

static void add_slots(struct decoding *g, uint64_t obj, const struct value_type *type, struct attrs *attrs)
{
	for (size_t i = 0; i < type->nslots; i++) {
		uint64_t value;

		if (!peek_u64(g, obj, type->slots[i].offset, &value))
			attrs->state = snapshot__state(g->s, obj + (uint64_t)type->slots[i].offset);
		else if (value && !add_attr(attrs, decoding__printf(g, "%s", type->slots[i].name), value))
			return;
	}
}

/* The dict of an instance, or the values behind or beside it: see find_managed() in pyobj_dict.c. False: `*at` is missing. */
static bool find_managed(const struct decoding *g, uint64_t obj, const struct value_type *type, uint64_t *dict,
			 struct pair_source *source, uint64_t *at)
{
	const struct layout *lay = g->lay;
	uint8_t valid = 0;

	*at = obj + (uint64_t)(int64_t)lay->managed_dict;
	if (!peek_u64(g, *at, 0, dict))
		return false;
	if (lay->managed_values != OFF_NONE) {
		*at = obj + (uint64_t)(int64_t)lay->managed_values;
		if (!peek_u64(g, *at, 0, &source->values))
			return false;
	} else if (lay->managed_values_bias != OFF_NONE) {
		source->values = *dict & 1 ? *dict + (uint64_t)lay->managed_values_bias : 0;
	} else if (lay->values_valid != OFF_NONE && type->head.flags & TPFLAGS_INLINE_VALUES) {
		*at = obj + (uint64_t)type->head.basicsize;
		/* Not copied where they are not in use: then it has a dict. */
		if (!peek(g, *at, lay->values_valid, &valid, 1) && !*dict)
			return false;
		source->values = valid ? *at : 0;
	}
	if (!source->values)
		return true;
	*dict = 0;
	decode_source_order(g, source);
	return true;
}

/* The values of an instance, in the order in which they were set. What is missing of them. */
static enum snapshot_state add_values(struct decoding *g, const struct value_type *type,
				      const struct pair_source *source, struct attrs *attrs)
{
	const struct shared_names *shared = decode_shared_names(g, type);
	uint64_t at = source->values + (uint64_t)g->lay->dict_values_items;
	uint64_t n = source->order ? source->norder : shared ? shared->count : 0;

	if (!shared)
		return SNAPSHOT_UNREADABLE;
	for (uint64_t k = 0; k < n; k++) {
		const char *name = NULL;
		uint8_t i = (uint8_t)k;
		uint64_t value;

		if (source->order)
			peek(g, source->order, (int64_t)k * source->order_step, &i, 1);
		if (!peek_u64(g, at, (int64_t)(8 * i), &value))
			return snapshot__state(g->s, at + 8 * i);
		if (i < shared->count && shared->names[i])
			name = decoding__printf(g, "%s", shared->names[i]);
		if (value && !add_attr(attrs, name, value))
			break;
	}
	return SNAPSHOT_PRESENT;
}

/* As find_dict() in pyobj_dict.c. */
static bool find_dict(const struct decoding *g, uint64_t obj, const struct value_type *type, uint64_t *dict,
		      uint64_t *at)
{
	int64_t offset = type->head.dictoffset, items = 0;

	if (!offset || offset > INT32_MAX || offset < INT32_MIN || type->head.basicsize < 0 || type->head.itemsize < 0)
		return true;
	if (offset < 0) {
		*at = obj + (uint64_t)g->lay->ob_size;
		if (!peek(g, *at, 0, &items, sizeof(items)))
			return false;
		if (items > INT32_MAX || items < -INT32_MAX || type->head.itemsize > INT32_MAX ||
		    type->head.basicsize > INT32_MAX)
			return true;
		items = items < 0 ? -items : items;
		offset += (type->head.basicsize + items * type->head.itemsize + 7) & ~7LL;
		if (offset <= 0)
			return true;
	}
	*at = obj + (uint64_t)offset;
	return peek_u64(g, *at, 0, dict);
}

static void find_attrs(struct decoding *g, uint64_t obj, const struct value_type *type, struct attrs *attrs)
{
	struct pair_source source = { 0 };
	enum snapshot_state state = SNAPSHOT_PRESENT;
	uint64_t dict = 0, used = 1, at = obj;
	bool found;

	attrs->state = SNAPSHOT_PRESENT;
	add_slots(g, obj, type, attrs);
	if (g->lay->managed_dict != OFF_NONE && type->head.flags & TPFLAGS_MANAGED_DICT)
		found = find_managed(g, obj, type, &dict, &source, &at);
	else
		found = find_dict(g, obj, type, &dict, &at);
	if (found && dict) {
		at = dict;
		found = peek_u64(g, dict, g->lay->dict_used, &used) && decode_dict_source(g, dict, &source);
	}
	if (!found)
		attrs->state = snapshot__state(g->s, at);
	if (!found && attrs->state == SNAPSHOT_PRESENT)
		attrs->state = SNAPSHOT_UNREADABLE;
	if (found && used && source.keys)
		state = decode_pairs(g, &source, add_dict_attr, attrs);
	else if (found && used && source.values)
		state = add_values(g, type, &source, attrs);
	if (state != SNAPSHOT_PRESENT)
		attrs->state = state;
}

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

static const struct attr *attr_named(const struct attrs *attrs, const char *name)
{
	for (size_t i = 0; i < attrs->n; i++) {
		if (attrs->list[i].name && !strcmp(attrs->list[i].name, name))
			return &attrs->list[i];
	}
	return NULL;
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
			v->total += attr_named(attrs, type->fields[i]) != NULL;
		for (size_t i = 0; i < type->nfields; i++) {
			const struct attr *attr = attr_named(attrs, type->fields[i]);

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
	find_attrs(g, obj, type, &attrs);
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
	const struct attr *name = attr_named(attrs, "_name_"), *value = attr_named(attrs, "_value_");
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
	find_attrs(g, obj, type, &attrs);
	/* What neither says its name nor is a plain value is shown as what it is. */
	if (plain->kind == V_OBJECT && !attr_named(&attrs, "_name_"))
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
