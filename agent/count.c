/* count: see count.h. */
#include "count.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "look.h"

struct counter {
	_Atomic unsigned owners; /* the patch, and each of the functions */
	_Atomic uint64_t calls, errors;
	uint64_t errors_max;
	char *except[COUNT_EXCEPT_MAX]; /* owned: type, or module.type */
	size_t n_except;
};

struct counter *count__new(const struct msg_in *request)
{
	struct counter *c = calloc(1, sizeof(*c));
	struct msg_in rest = *request;
	struct msg_field f;

	if (!c)
		return NULL;
	atomic_store(&c->owners, 1);
	c->errors_max = msg__u64(request, PROTO_F_ERRORS_MAX, 0);
	while (msg__next(&rest, &f))
		if (f.id == PROTO_F_EXCEPT && f.type == MSG_STR && c->n_except < COUNT_EXCEPT_MAX) {
			c->except[c->n_except] = strdup((const char *)f.data);
			c->n_except += c->except[c->n_except] != NULL;
		}
	return c;
}

void count__drop(struct counter *c)
{
	if (!c || atomic_fetch_sub(&c->owners, 1) > 1)
		return;
	for (size_t i = 0; i < c->n_except; i++)
		free(c->except[i]);
	free(c);
}

static void drop_capsule(PyObject *capsule)
{
	count__drop(py.PyCapsule_GetPointer(capsule, NULL));
}

static PyObject *count_call(PyObject *self, PyObject *unused)
{
	struct counter *c = py.PyCapsule_GetPointer(self, NULL);

	(void)unused;
	atomic_fetch_add(&c->calls, 1);
	return py__new_ref(py.none);
}

/* Whether a class is called `name`, which may have its module before it. */
static bool is_called(PyObject *type, const char *name)
{
	PyObject *own = look__of_type(type, "__name__"), *module = look__of_type(type, "__module__");
	const char *dot = strrchr(name, '.');
	char *in = dot && module ? py__text(module, 512) : NULL;
	bool is = own && look__says(own, dot ? dot + 1 : name) &&
		  (!dot || (in && strlen(in) == (size_t)(dot - name) && !strncmp(in, name, (size_t)(dot - name))));

	free(in);
	py.Py_DecRef(module);
	py.Py_DecRef(own);
	return is;
}

/* Whether functions end by such an exception in good order, or it was excepted; a subclass is meant too, as by `except`. */
static bool is_no_error(const struct counter *c, PyObject *type)
{
	static const char *const normal[] = { "builtins.StopIteration", "builtins.StopAsyncIteration",
					      "builtins.GeneratorExit", "asyncio.exceptions.CancelledError" };
	PyObject *mro = look__of_type(type, "__mro__");
	Py_ssize_t n = py__is(mro, py.PyTuple_Type) ? py.PyTuple_Size(mro) : 0;
	bool is = false;

	for (Py_ssize_t i = 0; i < n && !is; i++) {
		PyObject *one = py.PyTuple_GetItem(mro, i);

		for (size_t k = 0; !is && k < sizeof(normal) / sizeof(normal[0]); k++)
			is = is_called(one, normal[k]);
		for (size_t k = 0; !is && k < c->n_except; k++)
			is = is_called(one, c->except[k]);
	}
	py.Py_DecRef(mro);
	return is;
}

static PyObject *count_error(PyObject *self, PyObject *unused)
{
	struct counter *c = py.PyCapsule_GetPointer(self, NULL);
	PyObject *type = NULL, *value = NULL, *traceback = NULL;

	(void)unused;
	py.PyErr_GetExcInfo(&type, &value, &traceback);
	if (py__is(type, py.PyType_Type) && !is_no_error(c, type) &&
	    atomic_fetch_add(&c->errors, 1) + 1 == c->errors_max)
		agent_wake(); /* it is taken back by the agent, not inside the call that failed */
	py.Py_DecRef(type);
	py.Py_DecRef(value);
	py.Py_DecRef(traceback);
	return py__new_ref(py.none);
}

static PyObject *function(struct counter *c, PyMethodDef *def)
{
	PyObject *self = py.PyCapsule_New(c, NULL, drop_capsule), *made;

	if (!self)
		return NULL;
	atomic_fetch_add(&c->owners, 1);
	made = py.PyCFunction_NewEx(def, self, NULL);
	py.Py_DecRef(self);
	return made;
}

PyObject *count__call_function(struct counter *c)
{
	static PyMethodDef def = { "call", count_call, METH_NOARGS, NULL };

	return function(c, &def);
}

PyObject *count__error_function(struct counter *c)
{
	static PyMethodDef def = { "error", count_error, METH_NOARGS, NULL };

	return function(c, &def);
}

uint64_t count__calls(const struct counter *c)
{
	return atomic_load(&c->calls);
}

uint64_t count__errors(const struct counter *c)
{
	return atomic_load(&c->errors);
}

uint64_t count__errors_max(const struct counter *c)
{
	return c->errors_max;
}

bool count__is_over(const struct counter *c)
{
	return c->errors_max && atomic_load(&c->errors) >= c->errors_max;
}
