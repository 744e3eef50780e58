/* swap: see swap.h. */
#include "swap.h"

#include <stdlib.h>

#include "code.h"

static const char *const names[SWAP_ATTRS] = { "__code__",	  "__defaults__", "__kwdefaults__",
					       "__annotations__", "__doc__",	  "__type_params__" };
#define ANNOTATIONS 3

/* One exchange. */
struct run {
	struct swap_item *items;
	size_t n;
	bool back;
	PyObject *thrown; /* the switch: a list with one bool */
	PyObject *gates;  /* a list of codes */
};

static struct run *current; /* for swap__after_fork */

static const char *name_of(const struct swap_side *side, unsigned i)
{
	return i == ANNOTATIONS && side->annotate ? "__annotate__" : names[i];
}

int swap_side__read(struct swap_side *side, PyObject *function)
{
	PyObject *value;

	value = py.PyObject_GetAttrString(function, "__annotate__");
	py.PyErr_Clear();
	/* Where it is None, the annotations were set as they are. */
	side->annotate = value && value != py.none;
	py.Py_DecRef(value);
	for (unsigned i = 0; i < SWAP_ATTRS; i++) {
		value = py.PyObject_GetAttrString(function, name_of(side, i));
		if (!value && i < ANNOTATIONS)
			return -1;
		py.PyErr_Clear();
		py__clear(&side->attrs[i]);
		side->attrs[i] = value;
	}
	return 0;
}

void swap_side__free(struct swap_side *side)
{
	for (unsigned i = 0; i < SWAP_ATTRS; i++)
		py__clear(&side->attrs[i]);
	py__clear(&side->copy);
}

/* A function that behaves as `function` with this side does, for calls during the exchange. */
static int make_copy(struct swap_side *side, PyObject *function)
{
	PyObject *closure = py.PyFunction_GetClosure(function), *name = py.PyObject_GetAttrString(function, "__name__");
	PyObject *qualname = py.PyObject_GetAttrString(function, "__qualname__"), *copy = NULL;

	if (name && qualname)
		copy = py.PyObject_CallFunctionObjArgs((PyObject *)py.PyFunction_Type, side->attrs[0],
						       py.PyFunction_GetGlobals(function), name, side->attrs[1],
						       closure ? closure : py.none, NULL);
	py.Py_DecRef(name);
	if (copy && (py.PyObject_SetAttrString(copy, "__kwdefaults__", side->attrs[2]) ||
		     py.PyObject_SetAttrString(copy, "__qualname__", qualname)))
		py__clear(&copy);
	py.Py_DecRef(qualname);
	side->copy = copy;
	return copy ? 0 : -1;
}

static struct swap_side *from(struct run *r, size_t i)
{
	return r->back ? &r->items[i].new : &r->items[i].old;
}

static struct swap_side *to(struct run *r, size_t i)
{
	return r->back ? &r->items[i].old : &r->items[i].new;
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

static PyObject *make_gate(struct run *r, size_t i)
{
	static PyMethodDef def = { "gate", (PyCFunction)(void (*)(void))pass_gate, METH_VARARGS | METH_KEYWORDS, NULL };
	PyObject *self = py.PyTuple_Pack(3, from(r, i)->copy, to(r, i)->copy, r->thrown);
	PyObject *pass = self ? py.PyCFunction_NewEx(&def, self, NULL) : NULL, *values, *code = NULL;

	values = pass ? py.PyDict_New() : NULL;
	if (values && !code__put_mark(values, "gate", pass))
		code = code__fill(r->items[i].gate, values);
	py.Py_DecRef(values);
	py.Py_DecRef(pass);
	py.Py_DecRef(self);
	return code;
}

/* All that can fail for want of memory or because of an audit hook on new functions, before anything changes. */
static int make_gates(struct run *r)
{
	PyObject *gate;
	int err = r->thrown && r->gates && !py.PyList_Append(r->thrown, py.false_) ? 0 : -1;

	for (size_t i = 0; !err && i < r->n; i++) {
		err = make_copy(from(r, i), r->items[i].function) || make_copy(to(r, i), r->items[i].function) ? -1 : 0;
		gate = err ? NULL : make_gate(r, i);
		err = gate ? py.PyList_Append(r->gates, gate) : -1;
		py.Py_DecRef(gate);
	}
	return err;
}

static int set_code(PyObject *function, PyObject *code)
{
	return py.PyObject_SetAttrString(function, names[0], code);
}

static int set_gate(struct run *r, size_t i)
{
	return set_code(r->items[i].function, py.PyList_GetItem(r->gates, (Py_ssize_t)i));
}

static int set_attrs(PyObject *function, const struct swap_side *side)
{
	for (unsigned i = 1; i < SWAP_ATTRS; i++)
		if (side->attrs[i] && py.PyObject_SetAttrString(function, name_of(side, i), side->attrs[i]))
			return -1;
	return 0;
}

static void throw_switch(struct run *r, bool thrown)
{
	py.PyList_SetItem(r->thrown, 0, py__new_ref(thrown ? py.true_ : py.false_));
}

/* Behind the gates of the first n, all goes back, and the gates are taken away. The exception that is set stays. */
static void restore(struct run *r, size_t n)
{
	PyObject *type, *value, *traceback;

	py.PyErr_Fetch(&type, &value, &traceback);
	for (size_t i = 0; i < n; i++)
		if (set_gate(r, i))
			py.PyErr_Clear();
	throw_switch(r, false);
	for (size_t i = 0; i < n; i++) {
		if (!set_attrs(r->items[i].function, from(r, i)))
			set_code(r->items[i].function, from(r, i)->attrs[0]);
		py.PyErr_Clear();
	}
	py.PyErr_Restore(type, value, traceback);
}

static int exchange(struct run *r)
{
	size_t gated = 0;
	int err = make_gates(r);

	if (err)
		return err;
	for (; !err && gated < r->n; gated += !err)
		err = set_gate(r, gated);
	for (size_t i = 0; !err && i < r->n; i++)
		err = set_attrs(r->items[i].function, to(r, i));
	if (!err)
		throw_switch(r, true);
	for (size_t i = 0; !err && i < r->n; i++)
		err = set_code(r->items[i].function, to(r, i)->attrs[0]);
	if (err)
		restore(r, gated);
	return err;
}

int swap_all(struct swap_item *items, size_t n, bool back)
{
	struct run *r = calloc(1, sizeof(*r)); /* not on the stack: a forked child has no stack of this thread */
	int err;

	if (!r) {
		py.PyErr_NoMemory();
		return -1;
	}
	*r = (struct run){ items, n, back, py.PyList_New(0), py.PyList_New(0) };
	current = r;
	err = exchange(r);
	current = NULL;
	py.Py_DecRef(r->gates);
	py.Py_DecRef(r->thrown);
	for (size_t i = 0; i < n; i++) {
		py__clear(&items[i].old.copy);
		py__clear(&items[i].new.copy);
	}
	free(r);
	return err;
}

bool swap__after_fork(void)
{
	struct run *r = current;
	size_t n = r && r->gates ? (size_t)py.PyList_Size(r->gates) : 0;
	bool forward = r && n == r->n && py.PyList_GetItem(r->thrown, 0) == py.true_;

	current = NULL;
	if (!r)
		return false;
	for (size_t i = 0; i < n && n == r->n; i++) {
		const struct swap_side *side = forward ? to(r, i) : from(r, i);

		if (set_gate(r, i) || set_attrs(r->items[i].function, side) ||
		    set_code(r->items[i].function, side->attrs[0]))
			py.PyErr_Clear();
	}
	return forward; /* what the exchange held stays: the thread that would give it back is not here */
}
