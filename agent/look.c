/* look: see look.h. */
#include "look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 20000 /* that are compared with a name */
#define NAME_MAX_LEN 80 /* bytes of a name that are compared */
#define NEAREST 3

PyObject *look__attr(PyObject *o, const char *name)
{
	PyObject *value = o ? py.PyObject_GetAttrString(o, name) : NULL;

	if (!value)
		py.PyErr_Clear();
	return value;
}

PyObject *look__of_type(PyObject *type, const char *name)
{
	PyObject *dict = look__attr((PyObject *)py.PyType_Type, "__dict__"), *descriptor, *value = NULL;

	descriptor = dict ? py.PyMapping_GetItemString(dict, name) : NULL;
	if (descriptor)
		value = py.PyObject_CallMethod(descriptor, "__get__", "OO", type, Py_TYPE(type));
	py.PyErr_Clear();
	py.Py_DecRef(descriptor);
	py.Py_DecRef(dict);
	return value;
}

PyObject *look__dict(PyObject *holder)
{
	if (py__is(holder, py.PyModule_Type))
		return py__new_ref(py.PyModule_GetDict(holder));
	return py__is(holder, py.PyType_Type) ? look__of_type(holder, "__dict__") : NULL;
}

PyObject *look__own(PyObject *holder, PyObject *name)
{
	PyObject *dict = look__dict(holder), *value = dict ? py.PyObject_GetItem(dict, name) : NULL;

	py.PyErr_Clear();
	py.Py_DecRef(dict);
	return value;
}

int look__put(PyObject *holder, PyObject *name, PyObject *value)
{
	PyObject *dict, *done;

	if (py__is(holder, py.PyModule_Type)) {
		dict = py.PyModule_GetDict(holder);
		return value ? py.PyDict_SetItem(dict, name, value) : py.PyDict_DelItem(dict, name);
	}
	done = value ? py.PyObject_CallMethod((PyObject *)py.PyType_Type, "__setattr__", "OOO", holder, name, value)
		     : py.PyObject_CallMethod((PyObject *)py.PyType_Type, "__delattr__", "OO", holder, name);
	py.Py_DecRef(done);
	return done ? 0 : -1;
}

bool look__is_functools(PyObject *o, const char *name)
{
	PyObject *module = py.PyDict_GetItemString(py.PyImport_GetModuleDict(), "functools");
	PyObject *type = py__is(module, py.PyModule_Type) ? py.PyDict_GetItemString(py.PyModule_GetDict(module), name)
							  : NULL;

	py.PyErr_Clear();
	return py__is(type, py.PyType_Type) && py__is(o, (PyTypeObject *)type);
}

bool look__says(PyObject *o, const char *text)
{
	PyObject *other;
	bool same;

	if (!py__is(o, py.PyUnicode_Type))
		return false;
	other = py.PyUnicode_FromString(text);
	same = other && !py.PyUnicode_Compare(o, other);
	py.PyErr_Clear();
	py.Py_DecRef(other);
	return same;
}

uint64_t look__number(PyObject *o, const char *name)
{
	PyObject *value = look__attr(o, name);
	long n = value ? py.PyLong_AsLong(value) : 0;

	py.PyErr_Clear();
	py.Py_DecRef(value);
	return n < 0 ? 0 : (uint64_t)n;
}

char *look__type_name(PyObject *o)
{
	PyObject *name = look__of_type((PyObject *)Py_TYPE(o), "__name__");
	char *text = name ? py__text(name, 256) : NULL;

	py.Py_DecRef(name);
	return text;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* How many characters have to be put in, left out or exchanged. */
static unsigned distance(const char *a, const char *b)
{
	size_t n = strnlen(a, NAME_MAX_LEN), m = strnlen(b, NAME_MAX_LEN);
	unsigned row[NAME_MAX_LEN + 1], above, before;

	for (size_t j = 0; j <= m; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		before = row[0];
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			above = row[j];
			row[j] = least(least(above, row[j - 1]) + 1, before + (a[i - 1] != b[j - 1]));
			before = above;
		}
	}
	return row[m];
}

struct near {
	char name[NAME_MAX_LEN + 1];
	unsigned distance;
};

static void consider(struct near best[NEAREST], const char *name, unsigned far)
{
	unsigned at = NEAREST;

	while (at && (!*best[at - 1].name || best[at - 1].distance > far))
		at--;
	if (at == NEAREST)
		return;
	memmove(&best[at + 1], &best[at], (NEAREST - 1 - at) * sizeof(*best));
	snprintf(best[at].name, sizeof(best[at].name), "%s", name);
	best[at].distance = far;
}

void look__nearest(PyObject *names, const char *wanted, char out[LOOK_NEAREST_MAX])
{
	PyObject *list = names ? py.PySequence_List(names) : NULL;
	Py_ssize_t n = list ? py.PyList_Size(list) : 0;
	struct near best[NEAREST] = { 0 };
	size_t at = 0;

	for (Py_ssize_t i = 0; i < n && i < NAMES_MAX; i++) {
		PyObject *name = py.PyList_GetItem(list, i);
		char *text = Py_TYPE(name) == py.PyUnicode_Type ? py__text(name, NAME_MAX_LEN) : NULL;
		unsigned far = text ? distance(wanted, text) : UINT32_MAX;

		if (text && *text && far <= strlen(wanted) / 3 + 1)
			consider(best, text, far);
		free(text);
	}
	py.PyErr_Clear();
	py.Py_DecRef(list);
	*out = '\0';
	for (unsigned i = 0; i < NEAREST && *best[i].name; i++)
		at += (size_t)snprintf(out + at, LOOK_NEAREST_MAX - at, "%s'%s'",
				       i ? ", " : " (nearest: ", best[i].name);
	if (at)
		snprintf(out + at, LOOK_NEAREST_MAX - at, ")");
}
