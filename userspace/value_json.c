/*
 * value_json: a decoded value for the json output; its form is described in docs/json.md and docs/events.schema.json.
 */
#include "value_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_MAX ((int64_t)1 << 53) /* what every reader of JSON keeps exact */

static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
	if (json_object_set_new(object, key, value))
		*failed = true;
}

/* Text that may have surrogates in it, which JSON cannot have: U+FFFD stands for each. */
static json_t *text_json(const char *text, size_t len)
{
	const char *end = text + len;
	char *copy = malloc(3 * len + 1);
	json_t *json = NULL;
	size_t n = 0;

	if (!copy)
		return NULL;
	while (text < end) {
		uint32_t c = take_char(&text, end);

		n += put_char(copy + n, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
	}
	json = json_stringn(copy, n);
	free(copy);
	return json;
}

static json_t *name_json(const char *name)
{
	return text_json(name ? name : "?", name ? strlen(name) : 1);
}

static json_t *repr_json(const struct value *v)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	json_t *json = NULL;
	int err;

	if (!f)
		return NULL;
	err = value__text(v, f);
	if (!fclose(f) && !err)
		json = text_json(text, size);
	free(text);
	return json;
}

static const char *type_of(const struct value *v)
{
	static const char *const names[] = {
#define VALUE_TYPE(kind, type) [V_##kind] = type,
		VALUE_KINDS(VALUE_TYPE)
#undef VALUE_TYPE
	};

	return v->kind > V_FROZENSET && v->type ? v->type : names[v->kind];
}

static json_t *mark(const char *what, bool again)
{
	json_t *json = json_object();
	bool failed = false;

	set(json, what, json_true(), &failed);
	if (again)
		set(json, "again", json_true(), &failed);
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *pair_json(const struct value_item *item)
{
	json_t *pair = json_array();
	/* What could not be read has no key either. */
	json_t *key = item->key ? value__json(item->key) : value__json(item->value);

	if (json_array_append_new(pair, key) || json_array_append_new(pair, value__json(item->value))) {
		json_decref(pair);
		return NULL;
	}
	return pair;
}

static json_t *items_json(const struct value *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->nitems; i++) {
		if (json_array_append_new(list, v->kind == V_DICT ? pair_json(&v->items[i])
								  : value__json(v->items[i].value))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static bool has_names(const struct value *v)
{
	return v->kind == V_OBJECT || (v->nitems && v->items[0].name);
}

/* Attributes by name. One whose name is not known, or that could not be read at all, says so under "?". */
static json_t *attrs_json(const struct value *v)
{
	json_t *attrs = json_object();
	bool failed = false;

	for (size_t i = 0; i < v->nitems; i++) {
		json_t *name = name_json(v->items[i].name);

		if (name)
			set(attrs, json_string_value(name), value__json(v->items[i].value), &failed);
		failed |= !name;
		json_decref(name);
	}
	if (failed) {
		json_decref(attrs);
		return NULL;
	}
	return attrs;
}

static void set_content(json_t *json, const struct value *v, bool *failed)
{
	switch (v->kind) {
	case V_STR:
		if (v->surrogates)
			set(json, "repr", repr_json(v), failed);
		else
			set(json, "value", text_json(v->text, v->len), failed);
		break;
	case V_LIST:
	case V_TUPLE:
	case V_DICT:
	case V_SET:
	case V_FROZENSET:
		set(json, "items", items_json(v), failed);
		break;
	case V_CALL:
	case V_OBJECT:
		set(json, has_names(v) ? "attrs" : "args", has_names(v) ? attrs_json(v) : items_json(v), failed);
		break;
	case V_ENUM:
		set(json, "name", v->text ? name_json(v->text) : json_null(), failed);
		set(json, "value", value__json(v->items[0].value), failed);
		break;
	case V_METHOD:
		set(json, "name", name_json(v->text), failed);
		set(json, "self", value__json(v->items[0].value), failed);
		break;
	case V_CELL:
		if (v->nitems)
			set(json, "value", value__json(v->items[0].value), failed);
		break;
	default:
		if (v->kind != V_INT || !v->cut)
			set(json, "repr", repr_json(v), failed);
	}
}

static void set_total(json_t *json, const struct value *v, bool *failed)
{
	bool counts = (v->kind >= V_STR && v->kind <= V_FROZENSET) || (v->kind == V_INT && v->cut);

	if (counts || ((v->kind == V_CALL || v->kind == V_OBJECT) && v->cut && v->total > v->nitems))
		set(json, v->kind == V_INT ? "bits" : "total", json_integer((json_int_t)v->total), failed);
	if (v->cut)
		set(json, "cut", json_true(), failed);
}

static json_t *object_json(const struct value *v)
{
	json_t *json = json_object();
	bool failed = false;

	set(json, "type", name_json(type_of(v)), &failed);
	set_content(json, v, &failed);
	set_total(json, v, &failed);
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *builtin_json(const struct value *v)
{
	switch (v->kind) {
	case V_NONE:
		return json_null();
	case V_BOOL:
		return json_boolean(v->number != 0);
	case V_INT:
		if (v->fits && v->number <= EXACT_MAX && v->number >= -EXACT_MAX)
			return json_integer(v->number);
		return object_json(v);
	case V_FLOAT:
		return isfinite(v->real) ? json_real(v->real) : object_json(v);
	case V_STR:
		return v->cut || v->surrogates ? object_json(v) : json_stringn(v->text, v->len);
	default:
		return object_json(v);
	}
}

/* Of a subclass of a builtin: what the builtin itself would be, in an object that has the type. */
static json_t *wrapped_json(const struct value *v)
{
	struct value plain = *v;
	json_t *json = json_object();
	bool failed = false;

	plain.type = plain.shown = NULL;
	set(json, "type", name_json(v->type), &failed);
	set(json, "value", builtin_json(&plain), &failed);
	if (failed) {
		json_decref(json);
		return NULL;
	}
	return json;
}

json_t *value__json(const struct value *v)
{
	switch (v->kind) {
	case V_MASKED:
		return mark("masked", false);
	case V_UNBOUND:
		return mark("unbound", false);
	case V_MISSING:
		return mark("missing", false);
	case V_UNREADABLE:
		return mark("unreadable", false);
	case V_CUT:
		return mark("cut", v->again);
	default:
		if (v->kind <= V_FROZENSET && v->type)
			return wrapped_json(v);
		return v->kind <= V_FROZENSET ? builtin_json(v) : object_json(v);
	}
}
