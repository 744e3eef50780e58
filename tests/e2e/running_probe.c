/*
 * running_probe: an extension module that lets a test ask agent/running from inside a program, without the rest of the agent. The calling
 * thread stands for the agent's. As the agent it names no Python symbol.
 *
 * Targets are a list of tuples (code, name, function or None). Answers are texts: "KIND|NAME|TARGET|LINE|THREAD" and
 * "note|...".
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "agent.h"
#include "proto.h"
#include "running.h"

/* What is asked of the agent. */
bool agent__is_running(void)
{
	return true;
}

static struct running_targets *take(PyObject *list)
{
	struct running_targets *t = running__new();

	for (Py_ssize_t i = 0; t && i < py.PyList_Size(list); i++) {
		PyObject *code, *function;
		const char *name;

		if (!py.PyArg_ParseTuple(py.PyList_GetItem(list, i), "OsO", &code, &name, &function) ||
		    running__add(t, code, name, function == py.none ? NULL : function)) {
			running__free(t);
			return NULL;
		}
	}
	return t;
}

static PyObject *group_text(const struct msg_field *f)
{
	struct msg_in m = msg__group(f);
	char text[4096];

	snprintf(text, sizeof(text), "%s|%s|%s|%llu|%llu", msg__str(&m, PROTO_F_KIND, "?"),
		 msg__str(&m, PROTO_F_NAME, "-"), msg__str(&m, PROTO_F_TARGET, "?"),
		 (unsigned long long)msg__u64(&m, PROTO_F_LINE, 0),
		 (unsigned long long)msg__u64(&m, PROTO_F_THREAD, 0));
	return py.Py_BuildValue("s", text);
}

static PyObject *note_text(const struct msg_field *f)
{
	char text[4096];

	snprintf(text, sizeof(text), "note|%s", (const char *)f->data);
	return py.Py_BuildValue("s", text);
}

static PyObject *texts(struct msg_out *out)
{
	struct msg_in m = { out->data, out->len };
	PyObject *list = py.PyList_New(0);
	struct msg_field f;

	while (msg__next(&m, &f)) {
		PyObject *text = f.id == PROTO_F_RUNNING ? group_text(&f) : note_text(&f);

		py.PyList_Append(list, text);
		py.Py_DecRef(text);
	}
	if (out->failed || m.len)
		py.PyErr_SetString(py.PyExc_RuntimeError, "the message is damaged");
	msg__free(out);
	return py.PyErr_Occurred() ? NULL : list;
}

static PyObject *report(PyObject *self, PyObject *args)
{
	struct running_targets *t;
	struct msg_out out = { 0 };
	PyObject *list;
	int scan;

	(void)self;
	if (!py.PyArg_ParseTuple(args, "Op", &list, &scan) || !(t = take(list)))
		return py.PyErr_Occurred() ? NULL : py.PyErr_NoMemory();
	running__report(t, scan, &out);
	running__free(t);
	return texts(&out);
}

static PyObject *anyone(PyObject *self, PyObject *list)
{
	struct running_targets *t = take(list);
	int any;

	(void)self;
	if (!t)
		return py.PyErr_Occurred() ? NULL : py.PyErr_NoMemory();
	any = running__anyone(t);
	running__free(t);
	return py.PyLong_FromLong(any);
}

/* wait(targets, ms) -> (status, texts) */
static PyObject *wait_quiescent(PyObject *self, PyObject *args)
{
	struct running_targets *t;
	struct msg_out out = { 0 };
	struct timespec now;
	PyObject *list;
	int ms, status;

	(void)self;
	if (!py.PyArg_ParseTuple(args, "Oi", &list, &ms) || !(t = take(list)))
		return py.PyErr_Occurred() ? NULL : py.PyErr_NoMemory();
	clock_gettime(CLOCK_MONOTONIC, &now);
	status = running__wait_quiescent(
		t, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000, &out);
	running__free(t);
	list = texts(&out);
	return list ? py.Py_BuildValue("(iN)", status, list) : NULL;
}

/* note_cache(object, name) -> texts */
static PyObject *note_cache(PyObject *self, PyObject *args)
{
	struct msg_out out = { 0 };
	PyObject *object;
	const char *name;

	(void)self;
	if (!py.PyArg_ParseTuple(args, "Os", &object, &name))
		return NULL;
	running__note_cache(object, name, &out);
	return texts(&out);
}

static PyMethodDef methods[] = {
	{ "report", report, METH_VARARGS, NULL },
	{ "anyone", anyone, METH_O, NULL },
	{ "wait", wait_quiescent, METH_VARARGS, NULL },
	{ "note_cache", note_cache, METH_VARARGS, NULL },
	{ NULL },
};

static struct PyModuleDef module = {
	.m_base.ob_base.ob_refcnt = 1, .m_name = "running_probe", .m_size = -1, .m_methods = methods
};

PyObject *PyInit_running_probe(void);

PyObject *PyInit_running_probe(void)
{
	if (!py__is_there() || py__load())
		return NULL;
	return py.PyModule_Create2(&module, PY_ABI_VERSION);
}
