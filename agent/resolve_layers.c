/* resolve_layers: which functions stand behind each other at one name. See resolve.h. */
#include "resolve.h"

#include <string.h>

#include "look.h"

#define STEPS_MAX 128  /* wrappers that are looked through, functions among them */
#define DEPTH_MAX 8    /* closures in closures */
#define LOOKED_MAX 256 /* cells that are looked at in all */

/* What an object of whatever class has in its own dict, as __wrapped__, which functools.update_wrapper puts there. */
static PyObject *entry(PyObject *o, const char *name)
{
	PyObject *dict, *next;

	if (py__is(o, py.PyType_Type) || py__is(o, py.PyModule_Type))
		return NULL;
	dict = py.PyObject_GenericGetDict(o, NULL);
	next = py__is(dict, py.PyDict_Type) ? py__new_ref(py.PyDict_GetItemString(dict, name)) : NULL;
	py.PyErr_Clear();
	py.Py_DecRef(dict);
	return next;
}

/* What is one step further in; NULL at the innermost. New reference. */
static PyObject *inside(PyObject *o, const char **kind)
{
	if (py__is(o, py.PyStaticMethod_Type) || py__is(o, py.PyClassMethod_Type)) {
		*kind = py__is(o, py.PyStaticMethod_Type) ? "staticmethod" : "classmethod";
		return look__attr(o, "__func__");
	}
	if (py__is(o, py.PyProperty_Type)) {
		*kind = "getter";
		return look__attr(o, "fget");
	}
	if (Py_TYPE(o) == py.PyMethod_Type)
		return look__attr(o, "__func__");
	if (look__is_functools(o, "cached_property")) {
		*kind = "cached_property";
		return entry(o, "func");
	}
	if (look__is_functools(o, "partialmethod") || look__is_functools(o, "singledispatchmethod"))
		return entry(o, "func");
	if (look__is_functools(o, "partial"))
		return look__attr(o, "func");
	return entry(o, "__wrapped__");
}

static bool is_the_one(const struct resolved *r, PyObject *function)
{
	PyObject *name = look__attr(function, "__qualname__");
	bool is = name && look__says(name, r->path);

	py.Py_DecRef(name);
	return is;
}

/* The cells of a decorator's function: a function of the target's name is found among them, or behind others. The
 * functions between are layers. New reference to the one found, or NULL. */
static PyObject *behind_cells(struct resolved *r, PyObject *function, unsigned depth, unsigned *looked)
{
	PyObject *closure = py.PyFunction_GetClosure(function), *o, *next, *found = NULL;
	Py_ssize_t n = closure ? py.PyTuple_Size(closure) : 0;
	const char *unused;

	for (Py_ssize_t i = 0; i < n && !found && depth < DEPTH_MAX && ++*looked < LOOKED_MAX; i++) {
		o = py.PyCell_Get(py.PyTuple_GetItem(closure, i));
		for (unsigned step = 0; o && Py_TYPE(o) != py.PyFunction_Type && step < STEPS_MAX; step++) {
			next = inside(o, &unused);
			py.Py_DecRef(o);
			o = next;
		}
		if (o && Py_TYPE(o) == py.PyFunction_Type && is_the_one(r, o)) {
			found = py__new_ref(o);
		} else if (o && Py_TYPE(o) == py.PyFunction_Type && r->n_layers < RESOLVE_LAYERS_MAX - 1) {
			r->layers[r->n_layers++] = py__new_ref(o);
			found = behind_cells(r, o, depth + 1, looked);
			if (!found)
				py__clear(&r->layers[--r->n_layers]);
		}
		py.PyErr_Clear();
		py.Py_DecRef(o);
	}
	return found;
}

/* What wraps itself has no innermost. */
static bool is_known(const struct resolved *r, PyObject *o)
{
	for (unsigned i = 0; i < r->n_layers; i++)
		if (r->layers[i] == o)
			return true;
	return false;
}

void resolve__unwrap(struct resolved *r, PyObject *first)
{
	PyObject *o = py__new_ref(first), *next;
	unsigned looked = 0;

	for (unsigned step = 0; o && step < STEPS_MAX && r->n_layers < RESOLVE_LAYERS_MAX && !is_known(r, o); step++) {
		if (Py_TYPE(o) == py.PyFunction_Type)
			r->layers[r->n_layers++] = py__new_ref(o);
		else if (!r->cache &&
			 (look__is_functools(o, "_lru_cache_wrapper") || look__is_functools(o, "cached_property")))
			r->cache = py__new_ref(o);
		next = inside(o, &r->kind);
		if (!next && Py_TYPE(o) == py.PyFunction_Type && !is_the_one(r, o))
			next = behind_cells(r, o, 0, &looked);
		py.PyErr_Clear();
		py.Py_DecRef(o);
		o = next;
	}
	py.Py_DecRef(o);
}
