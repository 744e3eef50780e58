/* patch_new: a patch's own code is run, and makes the new functions and values. See patch.h and blob.h. */
#include "patch.h"

#include <string.h>

#include "blob.h"
#include "code.h"
#include "handlers.h"
#include "look.h"

PyObject *maker__item(PyObject *dict, const char *key)
{
	PyObject *value = py.PyDict_GetItemString(dict, key);

	py.PyErr_Clear();
	return value == py.none ? NULL : value;
}

/* The same, if it is of that type. */
static PyObject *typed(PyObject *dict, const char *key, PyTypeObject *type)
{
	PyObject *value = maker__item(dict, key);

	return py__is(value, type) ? value : NULL;
}

/* Runs a module's code that does nothing but bind `name`, and gives what it bound. New reference, or NULL with an exception. */
static PyObject *bind(PyObject *code, PyObject *globals, const char *name)
{
	PyObject *scratch = py.PyDict_New(), *ran = scratch ? py.PyEval_EvalCode(code, globals, scratch) : NULL,
		 *found = NULL;

	if (ran) {
		found = py__new_ref(py.PyDict_GetItemString(scratch, name));
		if (!found)
			py.PyErr_Format(py.PyExc_ValueError, "the blob binds no %s", name);
	}
	py.Py_DecRef(ran);
	py.Py_DecRef(scratch);
	return found;
}

static int raised(struct maker *m, const char *what)
{
	m->what = what;
	return MAKER_RAISED;
}

/* The target functions that the body's own names mean. New reference, or NULL with an exception. */
static PyObject *own_functions(const struct maker *m)
{
	PyObject *own = typed(m->blob, "own", py.PyTuple_Type);
	Py_ssize_t n = own ? py.PyTuple_Size(own) : 0;
	PyObject *args = py.PyTuple_New(n);

	for (Py_ssize_t i = 0; args && i < n; i++) {
		PyObject *pair = py.PyTuple_GetItem(own, i);
		PyObject *index = py__is(pair, py.PyTuple_Type) ? py.PyTuple_GetItem(pair, 1) : NULL;
		size_t at = py__is(index, py.PyLong_Type) ? (size_t)py.PyLong_AsSsize_t(index) : SIZE_MAX;
		PyObject *function = at < m->p->n && m->p->changes[at].item && !m->p->changes[at].nested
					     ? m->p->changes[at].item->function
					     : py.none;

		py.PyErr_Clear();
		py.PyTuple_SetItem(args, i, py__new_ref(function));
	}
	return args;
}

int maker__run_body(struct maker *m)
{
	PyObject *code = typed(m->blob, "body", py.PyCode_Type), *home = typed(m->blob, "home", py.PyUnicode_Type);
	PyObject *module, *body, *args;

	m->values = py.PyDict_New();
	if (!m->values || !code || !home)
		return m->values ? 0 : raised(m, "the patch's own code");
	module = py.PyDict_GetItemWithError(py.PyImport_GetModuleDict(), home);
	if (!py__is(module, py.PyModule_Type)) {
		py.PyErr_Clear();
		return fail(m->answer, PROTO_E_CHANGED, "the module of the first change is no longer loaded");
	}
	body = bind(code, py.PyModule_GetDict(module), BLOB_BODY);
	args = body ? own_functions(m) : NULL;
	py__clear(&m->values);
	if (args)
		m->values = py.PyObject_Call(body, args, NULL);
	py.Py_DecRef(args);
	py.Py_DecRef(body);
	if (!m->values)
		return raised(m, "the patch's own code");
	return py__is(m->values, py.PyDict_Type) ? 0
						 : fail(m->answer, PROTO_E_BAD, "the patch's code returned no dict");
}

/* What the placeholders in `code` stand for; NULL with an exception. */
static PyObject *marks_of(const struct maker *m, PyObject *code)
{
	PyObject *values = py.PyDict_New(), *call = count__call_function(m->p->counter),
		 *error = count__error_function(m->p->counter);

	if (values && (!call || !error || code__put_mark(values, "call", call) ||
		       code__put_mark(values, "error", error) || code__put_names(code, m->values, values)))
		py__clear(&values);
	py.Py_DecRef(error);
	py.Py_DecRef(call);
	return values;
}

/* The body's values of the names in a tuple. New reference, or NULL with an exception. */
static PyObject *values_of(const struct maker *m, PyObject *names)
{
	Py_ssize_t n = names ? py.PyTuple_Size(names) : 0;
	PyObject *args = py.PyTuple_New(n), *name, *value;

	for (Py_ssize_t i = 0; args && i < n; i++) {
		name = py.PyTuple_GetItem(names, i);
		value = py.PyDict_GetItemWithError(m->values, name);
		if (value) {
			py.PyTuple_SetItem(args, i, py__new_ref(value));
			continue;
		}
		if (!py.PyErr_Occurred())
			py.PyErr_Format(py.PyExc_NameError, "the patch's code does not define %R", name);
		py__clear(&args);
	}
	return args;
}

/* What the maker returns: the new function or value. New reference, or NULL with an exception. */
static PyObject *call_maker(const struct maker *m, PyObject *change, PyObject *globals)
{
	PyObject *code = typed(change, "maker", py.PyCode_Type), *marks, *filled, *maker, *args, *result = NULL;

	if (!code) {
		py.PyErr_SetString(py.PyExc_ValueError, "a change of the blob has no maker");
		return NULL;
	}
	marks = marks_of(m, code);
	filled = marks ? code__fill(code, marks) : NULL;
	maker = filled ? bind(filled, globals, BLOB_MAKE) : NULL;
	args = maker ? values_of(m, typed(change, "args", py.PyTuple_Type)) : NULL;
	if (args)
		result = py.PyObject_Call(maker, args, NULL);
	py.Py_DecRef(args);
	py.Py_DecRef(maker);
	py.Py_DecRef(filled);
	py.Py_DecRef(marks);
	return result;
}

/* A tuple of cells for the code of `made`: the target's by name, else those that the maker's function has. A nested target has none of its own.
 * NULL with an exception. */
static PyObject *cells_for(PyObject *made, PyObject *function)
{
	PyObject *closure = py.PyFunction_GetClosure(made),
		 *theirs = function ? py.PyFunction_GetClosure(function) : NULL;
	PyObject *names = py.PyObject_GetAttrString(py.PyFunction_GetCode(made), "co_freevars");
	PyObject *their_names = theirs ? py.PyObject_GetAttrString(py.PyFunction_GetCode(function), "co_freevars")
				       : py.PyTuple_New(0);
	Py_ssize_t n = names ? py.PyTuple_Size(names) : -1, their_n = their_names ? py.PyTuple_Size(their_names) : -1;
	PyObject *cells = n < 0 || their_n < 0 ? NULL : py.PyTuple_New(n);

	for (Py_ssize_t i = 0; cells && i < n; i++) {
		PyObject *cell = closure ? py.PyTuple_GetItem(closure, i) : NULL;

		for (Py_ssize_t j = 0; j < their_n; j++)
			if (!py.PyUnicode_Compare(py.PyTuple_GetItem(names, i), py.PyTuple_GetItem(their_names, j)))
				cell = py.PyTuple_GetItem(theirs, j);
		if (!cell || py.PyTuple_SetItem(cells, i, py__new_ref(cell)))
			py__clear(&cells);
	}
	py.Py_DecRef(their_names);
	py.Py_DecRef(names);
	return cells;
}

/* The trampoline's code, which calls a function of our own made of the new code. New reference, or NULL with an exception. */
static PyObject *trampoline(PyObject *code, PyObject *made, const struct change *c)
{
	PyObject *function = c->item->function, *name = py.PyObject_GetAttrString(made, "__name__");
	PyObject *cells = cells_for(made, c->nested ? NULL : function), *impl = NULL;
	PyObject *defaults = py.PyFunction_GetDefaults(made), *values = py.PyDict_New(), *filled = NULL;
	PyObject *kwdefaults = py.PyObject_GetAttrString(made, "__kwdefaults__");

	if (name && cells)
		impl = py.PyObject_CallFunctionObjArgs((PyObject *)py.PyFunction_Type, py.PyFunction_GetCode(made),
						       py.PyFunction_GetGlobals(function), name,
						       defaults ? defaults : py.none, cells, NULL);
	if (impl && kwdefaults && values && !py.PyObject_SetAttrString(impl, "__kwdefaults__", kwdefaults) &&
	    !code__put_mark(values, "impl", impl))
		filled = code__fill(code, values);
	py.Py_DecRef(kwdefaults);
	py.Py_DecRef(values);
	py.Py_DecRef(impl);
	py.Py_DecRef(cells);
	py.Py_DecRef(name);
	return filled;
}

/* Free variables are found by their place: in another order they would be others. */
static bool same_free(PyObject *code, PyObject *other)
{
	PyObject *names = look__attr(code, "co_freevars"), *their_names = look__attr(other, "co_freevars");
	int same = names && their_names ? py.PyObject_RichCompareBool(names, their_names, Py_EQ) : 0;

	py.PyErr_Clear();
	py.Py_DecRef(their_names);
	py.Py_DecRef(names);
	return same > 0;
}

/* The code that the function around a nested one gets. New reference, or NULL with an exception. */
static PyObject *around(const struct change *c, PyObject *code)
{
	PyObject *old = py.PyFunction_GetCode(c->item->function), *new = code__exchange(old, c->code, code);

	if (new &&new == old) {
		py__clear(&new);
		py.PyErr_SetString(py.PyExc_ValueError, "it is no longer in the code of the function around it");
	}
	return new;
}

/* Both sides of the exchange. 0, or -1 with an exception. */
static int make_sides(struct change *c, PyObject *made, PyObject *code, PyObject *gate)
{
	struct swap_item *item = c->item;
	PyObject *new = c->nested ? around(c, code) : py__new_ref(code);

	if (!new)
		return -1;
	if (swap_side__read(&item->old, item->function) ||
	    swap_side__read(&item->new, c->nested ? item->function : made)) {
		py.Py_DecRef(new);
		return -1;
	}
	py.Py_DecRef(item->new.attrs[0]);
	item->new.attrs[0] = new;
	item->gate = c->nested ? code__gate_for(gate, item->old.attrs[0]) : py__new_ref(gate);
	return item->gate ? 0 : -1;
}

int maker__function(struct maker *m, struct change *c, PyObject *change, const struct resolved *r)
{
	PyObject *made = call_maker(m, change, r->globals), *gate = typed(change, "gate", py.PyCode_Type);
	PyObject *stub = typed(change, "trampoline", py.PyCode_Type), *code;
	int err;

	if (!made)
		return raised(m, "making the new function");
	if (Py_TYPE(made) != py.PyFunction_Type || !gate) {
		py.Py_DecRef(made);
		return fail(m->answer, PROTO_E_BAD, "the blob makes no function for '%s'", c->target);
	}
	code = stub ? trampoline(stub, made, c) : py__new_ref(py.PyFunction_GetCode(made));
	if (!code)
		err = raised(m, "making the new function");
	else if (!same_free(code, c->code))
		err = fail(m->answer, PROTO_E_CHANGED,
			   "the free variables of '%s' are not those that it was compiled for", c->target);
	else
		err = make_sides(c, made, code, gate) ? raised(m, "making the new function") : 0;
	py.Py_DecRef(code);
	py.Py_DecRef(made);
	return err;
}

int maker__value(struct maker *m, struct change *c, PyObject *change, const struct resolved *r)
{
	if (!r->holder || strchr(r->path, '<'))
		return fail(m->answer, PROTO_E_NO_TARGET, "there is no place for '%s'", c->target);
	if (c->kind == CHANGE_ADD && r->value && !m->p->force)
		return fail(m->answer, PROTO_E_REFUSED, "'%s' is there already", c->target);
	for (const struct change *other = m->p->changes; other < c; other++)
		if (other->holder == r->holder && look__says(other->name, r->name))
			return fail(m->answer, PROTO_E_REFUSED, "'%s' is changed twice", c->target);
	c->name = py.PyUnicode_InternFromString(r->name);
	c->value = call_maker(m, change, r->globals);
	if (!c->value || !c->name)
		return raised(m, "making the new value");
	c->before = py__new_ref(r->value);
	c->holder = py__new_ref(r->holder);
	return 0;
}
