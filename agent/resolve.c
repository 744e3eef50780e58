/* resolve: see resolve.h. */
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"

/* An attribute of one of the interpreter's own types; NULL without an error. New reference. */
static PyObject *attr(PyObject *o, const char *name)
{
	PyObject *value = o ? py.PyObject_GetAttrString(o, name) : NULL;

	if (!value)
		py.PyErr_Clear();
	return value;
}

static bool type_is(PyObject *o, const char *module, const char *name)
{
	PyObject *type = (PyObject *)Py_TYPE(o);
	PyObject *m = attr(type, "__module__"), *n = attr(type, "__name__");
	bool same = m && n && !py.PyUnicode_CompareWithASCIIString(n, name) && py__is(m, py.PyUnicode_Type) &&
		    !py.PyUnicode_CompareWithASCIIString(m, module);

	py.Py_DecRef(m);
	py.Py_DecRef(n);
	return same;
}

/* The entry of a module or class itself: not inherited, not computed. New reference, NULL without an error. */
static PyObject *own(PyObject *holder, const char *name)
{
	PyObject *dict = attr(holder, "__dict__"), *key = py.PyUnicode_FromString(name), *value = NULL;

	if (dict && key)
		value = py.PyObject_GetItem(dict, key);
	py.PyErr_Clear();
	py.Py_DecRef(key);
	py.Py_DecRef(dict);
	return value;
}

/* What is one step further in; NULL at the innermost. New reference. */
static PyObject *inside(PyObject *o, const char **kind)
{
	PyObject *dict, *next;

	if (py__is(o, py.PyStaticMethod_Type) || py__is(o, py.PyClassMethod_Type)) {
		*kind = py__is(o, py.PyStaticMethod_Type) ? "staticmethod" : "classmethod";
		return attr(o, "__func__");
	}
	if (py__is(o, py.PyProperty_Type)) {
		*kind = "getter";
		return attr(o, "fget");
	}
	if (type_is(o, "functools", "cached_property")) {
		*kind = "cached_property";
		return attr(o, "func");
	}
	if (type_is(o, "functools", "partial") || type_is(o, "functools", "partialmethod"))
		return attr(o, "func");
	if (type_is(o, "functools", "_lru_cache_wrapper"))
		return attr(o, "__wrapped__");
	if (Py_TYPE(o) != py.PyFunction_Type)
		return NULL;
	dict = attr(o, "__dict__");
	next = dict ? py.PyDict_GetItemString(dict, "__wrapped__") : NULL;
	if (next)
		py.Py_IncRef(next);
	py.PyErr_Clear();
	py.Py_DecRef(dict);
	return next;
}

/* Follows the layers to the innermost function. */
static void unwrap(struct resolved *r, PyObject *first)
{
	PyObject *o = py__new_ref(first), *next;

	while (o && r->n_layers < RESOLVE_LAYERS_MAX) {
		if (Py_TYPE(o) == py.PyFunction_Type)
			r->layers[r->n_layers++] = py__new_ref(o);
		next = inside(o, &r->kind);
		py.Py_DecRef(o);
		o = next;
	}
	py.Py_DecRef(o);
}

static int find_module(const char *target, struct resolved *r, const char **rest, PyObject **module,
		       struct msg_out *answer)
{
	PyObject *modules = py.PyImport_GetModuleDict(), *found;
	char name[RESOLVE_NAME_MAX];
	char *dot;

	snprintf(name, sizeof(name), "%s", target);
	while ((dot = strrchr(name, '.'))) {
		*dot = '\0';
		found = modules ? py.PyDict_GetItemString(modules, name) : NULL;
		py.PyErr_Clear();
		if (!found || found == py.none)
			continue;
		*module = py__new_ref(found);
		*rest = target + strlen(name) + 1;
		snprintf(r->module, sizeof(r->module), "%s", name);
		return 0;
	}
	return fail(answer, PROTO_E_NO_MODULE,
		    "no module of '%s' is loaded; a target is MODULE.FUNCTION or MODULE.CLASS.METHOD", target);
}

static bool accessor(PyObject *value, const char *word, struct resolved *r)
{
	static const char *const words[][3] = { { "getter", "fget", "getter" },
						{ "setter", "fset", "setter" },
						{ "deleter", "fdel", "deleter" } };
	PyObject *function;

	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(word, words[i][0]) && strcmp(word, words[i][1]))
			continue;
		function = attr(value, words[i][1]);
		if (function && function != py.none)
			unwrap(r, function);
		py.Py_DecRef(function);
		r->kind = words[i][2];
		return true;
	}
	return false;
}

/* Walks `rest` from the module. */
static int walk(struct resolved *r, PyObject *module, char *rest, struct msg_out *answer)
{
	PyObject *holder = py__new_ref(module), *value = NULL;
	char *save = NULL, *part = strtok_r(rest, ".", &save), *next;
	bool special = false;

	for (; part; part = next) {
		next = strtok_r(NULL, ".", &save);
		value = own(holder, part);
		snprintf(r->name, sizeof(r->name), "%s", part);
		if (!next)
			break;
		if (value && py__is(value, py.PyProperty_Type) && !strtok_r(NULL, ".", &save) &&
		    accessor(value, next, r)) {
			special = true;
			break;
		}
		if (!value || !py__is(value, py.PyType_Type)) {
			fail(answer, PROTO_E_NO_TARGET, "'%s' of '%s' is %s, nothing in it can be named", part,
			     r->module, value ? "no class" : "not there");
			py.Py_DecRef(value);
			py.Py_DecRef(holder);
			return PROTO_E_NO_TARGET;
		}
		snprintf(r->class_name, sizeof(r->class_name), "%s", part);
		py.Py_DecRef(holder);
		holder = value;
		value = NULL;
	}
	r->holder = holder;
	r->value = value;
	r->kind = special ? r->kind : "function";
	if (value && !special)
		unwrap(r, value);
	return 0;
}

int resolve(const char *target, struct resolved *r, struct msg_out *answer)
{
	const char *at = strrchr(target, '@'), *rest = "";
	PyObject *module = NULL, *dict;
	char copy[RESOLVE_NAME_MAX];
	char *end;
	unsigned long layer = 0;
	int err;

	memset(r, 0, sizeof(*r));
	if (strstr(target, "..") || *target == '.' || target[strlen(target) - (*target != 0)] == '.')
		return fail(answer, PROTO_E_NO_TARGET, "'%s' has an empty name between its dots", target);
	if (strlen(target) >= RESOLVE_NAME_MAX - 8)
		return fail(answer, PROTO_E_BAD, "a target's name has at most %d bytes", RESOLVE_NAME_MAX - 8);
	snprintf(r->canonical, sizeof(r->canonical), "%.*s", at ? (int)(at - target) : (int)strlen(target), target);
	if (at) {
		layer = strtoul(at + 1, &end, 10);
		if (!at[1] || *end)
			return fail(answer, PROTO_E_BAD, "'%s': a number of a layer of decorators stands behind the @",
				    target);
	}
	err = find_module(r->canonical, r, &rest, &module, answer);
	if (err)
		return err;
	r->qualname = rest;
	snprintf(copy, sizeof(copy), "%s", rest);
	dict = attr(module, "__dict__");
	r->globals = dict;
	err = dict && py__is(dict, py.PyDict_Type)
		      ? walk(r, module, copy, answer)
		      : fail(answer, PROTO_E_REFUSED, "'%s' in sys.modules has no dict", r->module);
	py.Py_DecRef(module);
	if (err)
		return err;
	r->layer = at ? (unsigned)layer : r->n_layers ? r->n_layers - 1 : 0;
	if (at && layer >= r->n_layers)
		return fail(answer, PROTO_E_NO_TARGET, "'%s' has no layer %lu; it has %u, counted from 0", r->canonical,
			    layer, r->n_layers);
	if (r->n_layers)
		r->function = py__new_ref(r->layers[r->layer]);
	else
		r->kind = !r->value ? "absent" : py__is(r->value, py.PyType_Type) ? "class" : "value";
	return 0;
}

void resolve__free(struct resolved *r)
{
	for (unsigned i = 0; i < r->n_layers; i++)
		py__clear(&r->layers[i]);
	py__clear(&r->function);
	py__clear(&r->value);
	py__clear(&r->holder);
	py__clear(&r->globals);
}

static void put_text(struct msg_out *m, uint16_t id, PyObject *o, const char *name)
{
	PyObject *value = attr(o, name);
	char *text = value ? py__text(value, 4096) : NULL;

	msg__put_str(m, id, text);
	free(text);
	py.Py_DecRef(value);
}

static uint64_t number(PyObject *o, const char *name)
{
	PyObject *value = attr(o, name);
	long n = value ? py.PyLong_AsLong(value) : 0;

	py.PyErr_Clear();
	py.Py_DecRef(value);
	return (uint64_t)n;
}

/* Each item of a tuple, or key of a dict. */
static void put_items(struct msg_out *m, uint16_t id, PyObject *o, const char *name, size_t max)
{
	PyObject *value = attr(o, name), *list = value && value != py.none ? py.PySequence_List(value) : NULL;
	Py_ssize_t n = list ? py.PyList_Size(list) : 0;

	for (Py_ssize_t i = 0; i < n && (size_t)i < max; i++) {
		char *text = py__text(py.PyList_GetItem(list, i), 4096);

		msg__put_str(m, id, text);
		free(text);
	}
	py.PyErr_Clear();
	py.Py_DecRef(list);
	py.Py_DecRef(value);
}

static void put_function(struct msg_out *m, PyObject *function)
{
	PyObject *code = attr(function, "__code__"), *defaults = attr(function, "__defaults__");
	uint64_t flags = number(code, "co_flags"), args = number(code, "co_argcount"),
		 kwonly = number(code, "co_kwonlyargcount");
	PyObject *sys_flags = py.PySys_GetObject("flags");

	msg__put_u64(m, PROTO_F_CODE_ID, (uint64_t)(uintptr_t)code);
	put_items(m, PROTO_F_FREE, code, "co_freevars", SIZE_MAX);
	msg__put_u64(m, PROTO_F_FLAGS, flags);
	msg__put_u64(m, PROTO_F_ARGCOUNT, args);
	msg__put_u64(m, PROTO_F_POSONLY, number(code, "co_posonlyargcount"));
	msg__put_u64(m, PROTO_F_KWONLY, kwonly);
	put_items(m, PROTO_F_ARGNAME, code, "co_varnames", args + kwonly + !!(flags & 4) + !!(flags & 8));
	msg__put_u64(m, PROTO_F_DEFAULTS, defaults && defaults != py.none ? (uint64_t)py.PyTuple_Size(defaults) : 0);
	put_items(m, PROTO_F_KWDEFAULT, function, "__kwdefaults__", SIZE_MAX);
	put_text(m, PROTO_F_FILE, code, "co_filename");
	msg__put_u64(m, PROTO_F_LINE, number(code, "co_firstlineno"));
	put_text(m, PROTO_F_CODE_NAME, code, "co_name");
	put_text(m, PROTO_F_CODE_QUAL, code, "co_qualname");
	msg__put_u64(m, PROTO_F_OPTIMIZE, sys_flags ? number(sys_flags, "optimize") : 0);
	py.PyErr_Clear();
	py.Py_DecRef(defaults);
	py.Py_DecRef(code);
}

int handle_resolve(const struct msg_in *request, struct msg_out *answer)
{
	const char *target = msg__str(request, PROTO_F_TARGET, NULL);
	struct resolved r;
	size_t at;
	int err;

	if (!target)
		return fail(answer, PROTO_E_BAD, "the request names no target");
	err = resolve(target, &r, answer);
	if (!err) {
		if (r.n_layers > 1)
			msg__putf(answer, PROTO_F_TARGET, "%s@%u", r.canonical, r.layer);
		else
			msg__put_str(answer, PROTO_F_TARGET, r.canonical);
		msg__put_str(answer, PROTO_F_MODULE, r.module);
		msg__put_str(answer, PROTO_F_QUALNAME, r.qualname);
		msg__put_str(answer, PROTO_F_KIND, r.kind);
		for (unsigned i = 0; r.n_layers > 1 && i < r.n_layers; i++) {
			at = msg__open(answer, PROTO_F_LAYER);
			put_text(answer, PROTO_F_QUALNAME, r.layers[i], "__qualname__");
			msg__close(answer, at);
		}
		if (*r.class_name)
			msg__put_str(answer, PROTO_F_CLASS, r.class_name);
		if (r.function)
			put_function(answer, r.function);
	}
	resolve__free(&r);
	return err;
}
