/* swap: see swap.h. */
#include "swap.h"

#include <string.h>

#include "blob.h"

/* Annotations come by __annotate__ from 3.14 on, where it is there: to ask for __annotations__ would run it. */
static const char *const names[SWAP_ATTRS] = { "__code__",	  "__defaults__", "__kwdefaults__",
					       "__annotations__", "__doc__",	  "__type_params__" };
#define ANNOTATIONS 3

static const char *name_of(PyObject *function, unsigned i)
{
	if (i == ANNOTATIONS && py.PyObject_HasAttrString(function, "__annotate__"))
		return "__annotate__";
	return names[i];
}

static PyObject *copy_of(const struct swap_side *side, PyObject *function)
{
	PyObject *closure = py.PyFunction_GetClosure(function), *name = py.PyObject_GetAttrString(function, "__name__");
	PyObject *copy = NULL;

	if (name)
		copy = py.PyObject_CallFunctionObjArgs((PyObject *)py.PyFunction_Type, side->attrs[0],
						       py.PyFunction_GetGlobals(function), name, side->attrs[1],
						       closure ? closure : py.none, NULL);
	py.Py_DecRef(name);
	if (copy && py.PyObject_SetAttrString(copy, "__kwdefaults__", side->attrs[2]))
		py__clear(&copy);
	return copy;
}

int swap_side__read(struct swap_side *side, PyObject *function)
{
	for (unsigned i = 0; i < SWAP_ATTRS; i++) {
		side->attrs[i] = py.PyObject_GetAttrString(function, name_of(function, i));
		if (!side->attrs[i] && i < ANNOTATIONS)
			return -1;
		py.PyErr_Clear();
	}
	return 0;
}

void swap_side__free(struct swap_side *side)
{
	for (unsigned i = 0; i < SWAP_ATTRS; i++)
		py__clear(&side->attrs[i]);
	py__clear(&side->copy);
}

static bool is_mark(PyObject *o)
{
	PyObject *bytes;
	char *text;
	Py_ssize_t len;
	bool is = false;

	if (Py_TYPE(o) != py.PyUnicode_Type)
		return false;
	bytes = py.PyUnicode_AsUTF8String(o);
	if (bytes && !py.PyBytes_AsStringAndSize(bytes, &text, &len))
		is = len > (Py_ssize_t)sizeof(BLOB_MARK) && !memcmp(text, "\0" BLOB_MARK, sizeof(BLOB_MARK));
	py.PyErr_Clear();
	py.Py_DecRef(bytes);
	return is;
}

/* What a constant becomes: a new reference, or NULL with an exception. */
static PyObject *constant(PyObject *o, PyObject *values)
{
	PyObject *value;

	if (Py_TYPE(o) == py.PyCode_Type)
		return code__fill(o, values);
	if (!is_mark(o))
		return py__new_ref(o);
	value = py.PyDict_GetItemWithError(values, o);
	if (value)
		return py__new_ref(value);
	if (!py.PyErr_Occurred())
		py.PyErr_Format(py.PyExc_ValueError, "nothing is known for the placeholder %R", o);
	return NULL;
}

PyObject *code__fill(PyObject *code, PyObject *values)
{
	PyObject *consts = py.PyObject_GetAttrString(code, "co_consts"), *filled, *one, *replace, *args, *kw,
		 *result = NULL;
	Py_ssize_t n = consts ? py.PyTuple_Size(consts) : -1;
	bool changed = false;

	filled = n < 0 ? NULL : py.PyTuple_New(n);
	for (Py_ssize_t i = 0; filled && i < n; i++) {
		one = constant(py.PyTuple_GetItem(consts, i), values);
		if (!one || py.PyTuple_SetItem(filled, i, one))
			py__clear(&filled);
		else
			changed |= one != py.PyTuple_GetItem(consts, i);
	}
	if (filled && !changed) {
		result = py__new_ref(code);
	} else if (filled) {
		replace = py.PyObject_GetAttrString(code, "replace");
		args = py.PyTuple_New(0);
		kw = py.Py_BuildValue("{sO}", "co_consts", filled);
		if (replace && args && kw)
			result = py.PyObject_Call(replace, args, kw);
		py.Py_DecRef(kw);
		py.Py_DecRef(args);
		py.Py_DecRef(replace);
	}
	py.Py_DecRef(filled);
	py.Py_DecRef(consts);
	return result;
}

/* GATE's self: (the side that is left, the side that is taken, [whether the switch was thrown]). */
static PyObject *pass_gate(PyObject *self, PyObject *args, PyObject *kwargs)
{
	PyObject *thrown = py.PyList_GetItem(py.PyTuple_GetItem(self, 2), 0);
	PyObject *callee = py__new_ref(py.PyTuple_GetItem(self, thrown == py.true_ ? 1 : 0));
	PyObject *result = py.PyObject_Call(callee, args, kwargs);

	py.Py_DecRef(callee);
	return result;
}

static PyMethodDef gate_def = { "gate", (PyCFunction)(void (*)(void))pass_gate, METH_VARARGS | METH_KEYWORDS, NULL };

static PyObject *make_gate(const struct swap_item *item, const struct swap_side *from, const struct swap_side *to,
			   PyObject *thrown)
{
	PyObject *self = py.PyTuple_Pack(3, from->copy, to->copy, thrown);
	PyObject *pass = self ? py.PyCFunction_NewEx(&gate_def, self, NULL) : NULL, *values = NULL, *code = NULL;
	PyObject *key = py.PyUnicode_FromStringAndSize("\0" BLOB_MARK "gate", sizeof(BLOB_MARK) + 4);

	values = pass ? py.PyDict_New() : NULL;
	if (values && key && !py.PyDict_SetItem(values, key, pass))
		code = code__fill(item->gate, values);
	py.Py_DecRef(values);
	py.Py_DecRef(key);
	py.Py_DecRef(pass);
	py.Py_DecRef(self);
	return code;
}

static int set_attrs(PyObject *function, const struct swap_side *side)
{
	for (unsigned i = 1; i < SWAP_ATTRS; i++)
		if (side->attrs[i] && py.PyObject_SetAttrString(function, name_of(function, i), side->attrs[i]))
			return -1;
	return 0;
}

/* Puts the first n back behind their gates, and takes the gates away. The exception that is set stays. */
static void restore(struct swap_item *items, size_t n, bool back, PyObject *thrown)
{
	PyObject *type, *value, *traceback;

	py.PyErr_Fetch(&type, &value, &traceback);
	py.PyList_SetItem(thrown, 0, py__new_ref(py.false_));
	for (size_t i = 0; i < n; i++) {
		const struct swap_side *from = back ? &items[i].new : &items[i].old;

		/* What an audit hook forbids stays gated, and the gate calls what was there. */
		if (!set_attrs(items[i].function, from))
			py.PyObject_SetAttrString(items[i].function, "__code__", from->attrs[0]);
		py.PyErr_Clear();
	}
	py.PyErr_Restore(type, value, traceback);
}

static int prepare_side(struct swap_item *item, struct swap_side *side)
{
	if (!side->copy)
		side->copy = copy_of(side, item->function);
	return side->copy ? 0 : -1;
}

int swap_all(struct swap_item *items, size_t n, bool back)
{
	PyObject *thrown = py.PyList_New(0), *gates = py.PyList_New(0), *gate;
	size_t done = 0;
	int err = thrown && gates && !py.PyList_Append(thrown, py.false_) ? 0 : -1;

	for (size_t i = 0; !err && i < n; i++) {
		struct swap_side *from = back ? &items[i].new : &items[i].old,
				 *to = back ? &items[i].old : &items[i].new;

		err = prepare_side(&items[i], from) || prepare_side(&items[i], to) ? -1 : 0;
		gate = err ? NULL : make_gate(&items[i], from, to, thrown);
		err = gate ? py.PyList_Append(gates, gate) : -1;
		py.Py_DecRef(gate);
	}
	for (; !err && done < n; done++)
		err = py.PyObject_SetAttrString(items[done].function, "__code__",
						py.PyList_GetItem(gates, (Py_ssize_t)done));
	for (size_t i = 0; !err && i < n; i++)
		err = set_attrs(items[i].function, back ? &items[i].old : &items[i].new);
	if (!err)
		err = py.PyList_SetItem(thrown, 0, py__new_ref(py.true_));
	for (size_t i = 0; !err && i < n; i++)
		err = py.PyObject_SetAttrString(items[i].function, "__code__",
						(back ? &items[i].old : &items[i].new)->attrs[0]);
	if (err)
		restore(items, done, back, thrown);
	py.Py_DecRef(gates);
	py.Py_DecRef(thrown);
	return err;
}
