/* code: see code.h. */
#include "code.h"

#include <string.h>

#include "blob.h"
#include "look.h"

#define MARK "\0" BLOB_MARK
#define MARK_LEN (sizeof(MARK) - 1)
#define NAME_MARK MARK "name:"
#define NAME_LEN (sizeof(NAME_MARK) - 1)
#define KINDS (0x20 | 0x80 | 0x100 | 0x200) /* generator, coroutine, iterable coroutine, asynchronous generator */
#define FIRST_FLAG_KIND 0x030b0000U	    /* from here on the kind is in the flags alone, see blob.h */

/* The UTF-8 of a placeholder that starts so, as new bytes; NULL without an error for anything else. */
static PyObject *marked(PyObject *o, const char *start, size_t start_len, char **text, Py_ssize_t *len)
{
	PyObject *bytes = Py_TYPE(o) == py.PyUnicode_Type ? py.PyUnicode_AsUTF8String(o) : NULL;

	if (bytes && !py.PyBytes_AsStringAndSize(bytes, text, len) && (size_t)*len > start_len &&
	    !memcmp(*text, start, start_len))
		return bytes;
	py.PyErr_Clear();
	py.Py_DecRef(bytes);
	return NULL;
}

static PyObject *replaced(PyObject *code, PyObject *kwargs)
{
	PyObject *replace = kwargs ? py.PyObject_GetAttrString(code, "replace") : NULL, *args = py.PyTuple_New(0),
		 *result = NULL;

	if (replace && args)
		result = py.PyObject_Call(replace, args, kwargs);
	py.Py_DecRef(args);
	py.Py_DecRef(replace);
	py.Py_DecRef(kwargs);
	return result;
}

struct change {
	PyObject *values, *was, *now; /* placeholders, or one code object */
};

static PyObject *rebuilt(PyObject *code, const struct change *c);

/* What a constant becomes: a new reference, or NULL with an exception. */
static PyObject *constant(PyObject *o, const struct change *c)
{
	PyObject *value, *bytes;
	Py_ssize_t len;
	char *text;

	if (c->was && o == c->was)
		return py__new_ref(c->now);
	if (Py_TYPE(o) == py.PyCode_Type)
		return rebuilt(o, c);
	bytes = c->values ? marked(o, MARK, MARK_LEN, &text, &len) : NULL;
	if (!bytes)
		return py__new_ref(o);
	py.Py_DecRef(bytes);
	value = py.PyDict_GetItemWithError(c->values, o);
	if (value)
		return py__new_ref(value);
	if (!py.PyErr_Occurred())
		py.PyErr_Format(py.PyExc_ValueError, "nothing is known for the placeholder %R", o);
	return NULL;
}

static PyObject *rebuilt(PyObject *code, const struct change *c)
{
	PyObject *consts = py.PyObject_GetAttrString(code, "co_consts"), *filled, *one, *result = NULL;
	Py_ssize_t n = consts ? py.PyTuple_Size(consts) : -1;
	bool changed = false;

	filled = n < 0 ? NULL : py.PyTuple_New(n);
	for (Py_ssize_t i = 0; filled && i < n; i++) {
		one = constant(py.PyTuple_GetItem(consts, i), c);
		if (!one || py.PyTuple_SetItem(filled, i, one))
			py__clear(&filled);
		else
			changed |= one != py.PyTuple_GetItem(consts, i);
	}
	if (filled)
		result = changed ? replaced(code, py.Py_BuildValue("{sO}", "co_consts", filled)) : py__new_ref(code);
	py.Py_DecRef(filled);
	py.Py_DecRef(consts);
	return result;
}

PyObject *code__fill(PyObject *code, PyObject *values)
{
	const struct change c = { .values = values };

	return rebuilt(code, &c);
}

PyObject *code__exchange(PyObject *code, PyObject *was, PyObject *now)
{
	const struct change c = { .was = was, .now = now };

	return rebuilt(code, &c);
}

PyObject *code__gate_for(PyObject *gate, PyObject *of)
{
	uint64_t flags = look__number(gate, "co_flags") & ~(uint64_t)KINDS;
	PyObject *free_names = look__attr(of, "co_freevars"), *name = look__attr(of, "co_name"),
		 *qualname = look__attr(of, "co_qualname"), *kwargs;

	if (py__version() >= FIRST_FLAG_KIND)
		flags |= look__number(of, "co_flags") & KINDS;
	kwargs = free_names && name ? py.Py_BuildValue("{sOsOsi}", "co_freevars", free_names, "co_name", name,
						       "co_flags", (int)flags)
				    : NULL;
	if (kwargs && qualname && py.PyDict_SetItemString(kwargs, "co_qualname", qualname))
		py__clear(&kwargs);
	py.Py_DecRef(qualname);
	py.Py_DecRef(name);
	py.Py_DecRef(free_names);
	if (!kwargs && !py.PyErr_Occurred())
		py.PyErr_SetString(py.PyExc_SystemError, "a code object lacks its names");
	return replaced(gate, kwargs);
}

int code__put_mark(PyObject *values, const char *mark, PyObject *value)
{
	char text[64] = MARK;
	size_t len = strlen(mark);
	PyObject *key;
	int err;

	memcpy(text + MARK_LEN, mark, len);
	key = py.PyUnicode_FromStringAndSize(text, (Py_ssize_t)(MARK_LEN + len));
	err = key && value ? py.PyDict_SetItem(values, key, value) : -1;
	py.Py_DecRef(key);
	return err;
}

/* One placeholder "name:NAME:N". */
static int put_name(PyObject *mark, PyObject *names, PyObject *values)
{
	Py_ssize_t len = 0;
	char *text = NULL, *end;
	PyObject *bytes = marked(mark, NAME_MARK, NAME_LEN, &text, &len), *name, *value;
	int err = 0;

	end = bytes ? memrchr(text + NAME_LEN, ':', (size_t)len - NAME_LEN) : NULL;
	if (end) {
		name = py.PyUnicode_FromStringAndSize(text + NAME_LEN, end - text - (Py_ssize_t)NAME_LEN);
		value = name ? py.PyDict_GetItemWithError(names, name) : NULL;
		err = value ? py.PyDict_SetItem(values, mark, value) : -1;
		if (!value && !py.PyErr_Occurred())
			py.PyErr_Format(py.PyExc_NameError, "the patch's code does not define %R", name);
		py.Py_DecRef(name);
	}
	py.Py_DecRef(bytes);
	return err;
}

int code__put_names(PyObject *code, PyObject *names, PyObject *values)
{
	PyObject *consts = py.PyObject_GetAttrString(code, "co_consts");
	Py_ssize_t n = consts ? py.PyTuple_Size(consts) : -1;
	int err = n < 0 ? -1 : 0;

	for (Py_ssize_t i = 0; !err && i < n; i++) {
		PyObject *one = py.PyTuple_GetItem(consts, i);

		err = Py_TYPE(one) == py.PyCode_Type ? code__put_names(one, names, values)
						     : put_name(one, names, values);
	}
	py.Py_DecRef(consts);
	return err;
}
