/* resolve: the walk from the module to what stands at a name. See resolve.h. */
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "look.h"

static void put_key(PyObject *dict, const char *name, PyObject **value)
{
	PyObject *key = py.PyUnicode_FromString(name);

	*value = dict && key ? py.PyObject_GetItem(dict, key) : NULL;
	py.PyErr_Clear();
	py.Py_DecRef(key);
}

/* By the name in the source: a private one is mangled in the dict of its class. */
static PyObject *entry(struct resolved *r, PyObject *holder, const char *name)
{
	PyObject *dict = look__dict(holder), *value;
	const char *cls = r->class_name;
	size_t len = strlen(name);

	snprintf(r->name, sizeof(r->name), "%s", name);
	put_key(dict, name, &value);
	while (*cls == '_')
		cls++;
	if (!value && *cls && !strncmp(name, "__", 2) && (len < 4 || strcmp(name + len - 2, "__"))) {
		snprintf(r->name, sizeof(r->name), "_%s%.700s", cls, name);
		put_key(dict, r->name, &value);
	}
	py.Py_DecRef(dict);
	return value;
}

static int find_module(const char *target, struct resolved *r, const char **rest, PyObject **module,
		       struct msg_out *answer)
{
	PyObject *modules = py.PyImport_GetModuleDict(), *found;
	char name[RESOLVE_NAME_MAX], near[LOOK_NEAREST_MAX];
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
		if (py__is(found, py.PyModule_Type))
			return 0;
		py__clear(module);
		return fail(answer, PROTO_E_REFUSED, "'%s' in sys.modules is no module", r->module);
	}
	look__nearest(modules, name, near);
	return fail(answer, PROTO_E_NO_MODULE,
		    "no module of '%s' is loaded%s; a target is MODULE.FUNCTION or MODULE.CLASS.METHOD", target, near);
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
		function = look__attr(value, words[i][1]);
		if (function && function != py.none)
			resolve__unwrap(r, function);
		py.Py_DecRef(function);
		r->kind = words[i][2];
		return true;
	}
	return false;
}

/* `value`, or nothing, stands where a class was expected. */
static int no_way(struct resolved *r, PyObject *holder, PyObject *value, const char *part, struct msg_out *answer)
{
	PyObject *dict = look__dict(holder), *name;
	char near[LOOK_NEAREST_MAX], *text;
	const char *in = *r->class_name ? r->class_name : r->module;

	if (!value) {
		look__nearest(dict, part, near);
		fail(answer, PROTO_E_NO_TARGET, "there is no '%s' in '%s'%s", part, in, near);
	} else if (py__is(value, py.PyModule_Type)) {
		name = py.PyModule_GetNameObject(value);
		text = name ? py__text(name, 512) : NULL;
		fail(answer, PROTO_E_NO_TARGET, "'%s' in '%s' is a module: name it as '%s'", part, in,
		     text ? text : "it is called in sys.modules");
		free(text);
		py.PyErr_Clear();
		py.Py_DecRef(name);
	} else {
		text = look__type_name(value);
		fail(answer, PROTO_E_NO_TARGET, "'%s' in '%s' is no class but a %s, nothing in it can be named", part,
		     in, text ? text : "value");
		free(text);
	}
	py.Py_DecRef(dict);
	return PROTO_E_NO_TARGET;
}

/* What is to be done with `value`, at which the walk has come: 0 to go on inside it, 1 at the end, or -1 when there is no way. `next` is the
 * part behind it, `rest` what follows that. */
static int step(struct resolved *r, PyObject *value, const char *next, const char *rest)
{
	if (next && value && py__is(value, py.PyProperty_Type) && !*rest && accessor(value, next, r))
		return 1;
	if (!next || !strcmp(next, "<locals>")) {
		r->kind = "function";
		if (value)
			resolve__unwrap(r, value);
		return next && !value ? -1 : 1;
	}
	return value && py__is(value, py.PyType_Type) ? 0 : -1;
}

/* Walks `rest` from the module. What follows a `<locals>` is left in `*nested`. */
static int walk(struct resolved *r, PyObject *module, char *rest, char **nested, struct msg_out *answer)
{
	PyObject *holder = py__new_ref(module), *value;
	char *part = rest, *next;
	int done = 0, err = 0;
	size_t len = 0;

	for (; !done; part = next) {
		next = strchr(part, '.');
		if (next)
			*next++ = '\0';
		rest = next ? strchr(next, '.') : NULL;
		if (rest)
			*rest = '\0';
		value = entry(r, holder, part);
		len += (size_t)snprintf(r->path + len, sizeof(r->path) - len, "%s%s", len ? "." : "", part);
		done = step(r, value, next, rest ? rest + 1 : "");
		if (done < 0)
			err = no_way(r, holder, value, part, answer);
		if (!done)
			snprintf(r->class_name, sizeof(r->class_name), "%s", part);
		if (done > 0 && next && !strcmp(next, "<locals>"))
			*nested = rest ? rest + 1 : next + strlen(next);
		if (rest)
			*rest = '.';
		if (done) {
			r->holder = holder;
			r->value = value;
		} else {
			py.Py_DecRef(holder);
			holder = value;
		}
	}
	return err;
}

/* Takes the layer that is asked for, or the innermost. */
static int choose(struct resolved *r, const char *at, struct msg_out *answer)
{
	char *end = NULL;
	unsigned long layer = at ? strtoul(at + 1, &end, 10) : 0;

	if (at && (at[1] < '0' || at[1] > '9' || *end))
		return fail(answer, PROTO_E_BAD, "'%s%s': the number of a layer of decorators stands behind the @",
			    r->canonical, at);
	if (at && layer >= r->n_layers)
		return fail(answer, PROTO_E_NO_TARGET, "'%s' has no layer %lu; it has %u, counted from 0", r->canonical,
			    layer, r->n_layers);
	r->layer = at ? (unsigned)layer : r->n_layers ? r->n_layers - 1 : 0;
	if (r->n_layers) {
		r->function = py__new_ref(r->layers[r->layer]);
		r->code = py__new_ref(py.PyFunction_GetCode(r->function));
	} else {
		r->kind = !r->value			       ? "absent"
			  : py__is(r->value, py.PyType_Type)   ? "class"
			  : py__is(r->value, py.PyModule_Type) ? "module"
							       : "value";
	}
	return 0;
}

static int find(const char *target, struct resolved *r, struct msg_out *answer)
{
	const char *at = strrchr(target, '@'), *rest = "";
	char copy[RESOLVE_NAME_MAX], *nested = NULL;
	PyObject *module = NULL;
	int err;

	memset(r, 0, sizeof(*r));
	if (strlen(target) >= RESOLVE_NAME_MAX - 8)
		return fail(answer, PROTO_E_BAD, "a target's name has at most %d bytes", RESOLVE_NAME_MAX - 8);
	if (strstr(target, "..") || *target == '.' || target[strlen(target) - (*target != 0)] == '.')
		return fail(answer, PROTO_E_NO_TARGET, "'%s' has an empty name between its dots", target);
	snprintf(r->canonical, sizeof(r->canonical), "%.*s", at ? (int)(at - target) : (int)strlen(target), target);
	err = find_module(r->canonical, r, &rest, &module, answer);
	if (err)
		return err;
	r->qualname = rest;
	r->globals = look__dict(module);
	snprintf(copy, sizeof(copy), "%s", rest);
	err = walk(r, module, copy, &nested, answer);
	py.Py_DecRef(module);
	if (!err)
		err = choose(r, at, answer);
	if (!err && nested)
		err = resolve__nested(r, nested, answer);
	return err;
}

/* The module whose dict a function has as its globals; false when there is none in sys.modules. */
static bool home_of(PyObject *function, char name[RESOLVE_NAME_MAX])
{
	PyObject *globals = py.PyFunction_GetGlobals(function);
	PyObject *said = globals ? py.PyDict_GetItemString(globals, "__name__") : NULL, *module;
	char *text = py__is(said, py.PyUnicode_Type) ? py__text(said, RESOLVE_NAME_MAX - 1) : NULL;
	bool is;

	py.PyErr_Clear();
	module = text ? py.PyDict_GetItemString(py.PyImport_GetModuleDict(), text) : NULL;
	is = py__is(module, py.PyModule_Type) && py.PyModule_GetDict(module) == globals;
	py.PyErr_Clear();
	if (is)
		snprintf(name, RESOLVE_NAME_MAX, "%s", text);
	free(text);
	return is;
}

/* A function that was imported from another module is named as that one's, where that name leads to it. */
static void go_home(struct resolved *r)
{
	char home[RESOLVE_NAME_MAX], name[2 * RESOLVE_NAME_MAX];
	PyObject *said = look__attr(r->function, "__qualname__");
	struct msg_out unheard = { 0 };
	struct resolved other;
	char *text;

	py__clear(&r->globals);
	r->globals = py__new_ref(py.PyFunction_GetGlobals(r->function));
	if (!home_of(r->function, home)) {
		py.Py_DecRef(said);
		return;
	}
	text = said ? py__text(said, RESOLVE_NAME_MAX - 1) : NULL;
	snprintf(name, sizeof(name), "%s.%s", home, text ? text : "");
	if (strlen(name) < RESOLVE_NAME_MAX - 8 && !find(name, &other, &unheard) && other.function == r->function &&
	    strcmp(r->kind, "nested")) {
		resolve__free(r);
		*r = other;
		r->qualname = r->canonical + strlen(r->module) + 1;
	} else {
		resolve__free(&other);
		snprintf(r->module, sizeof(r->module), "%s", home);
	}
	msg__free(&unheard);
	free(text);
	py.Py_DecRef(said);
}

int resolve(const char *target, struct resolved *r, struct msg_out *answer)
{
	int err = find(target, r, answer);

	if (!err && r->function && py.PyFunction_GetGlobals(r->function) != r->globals)
		go_home(r);
	return err;
}

void resolve__free(struct resolved *r)
{
	for (unsigned i = 0; i < r->n_layers; i++)
		py__clear(&r->layers[i]);
	py__clear(&r->function);
	py__clear(&r->code);
	py__clear(&r->cache);
	py__clear(&r->value);
	py__clear(&r->holder);
	py__clear(&r->globals);
}
