/*
 * running_probe: an extension module that lets a test ask agent/running from inside a program, without the rest of the agent. The calling
 * thread stands for the agent's. It is linked against Python's symbols as any extension is; what it tests is not.
 *
 * Targets are a list of tuples (code, name, function or None). Answers are texts: "KIND|NAME|TARGET|LINE|THREAD" and
 * "note|...".
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "agent/running.h"
#include "agent/proto.h"

static struct running_targets *take(PyObject *list)
{
	struct running_targets *t = running__new();

	for (Py_ssize_t i = 0; t && i < PyList_Size(list); i++) {
		PyObject *code, *function;
		const char *name;

		if (!PyArg_ParseTuple(PyList_GetItem(list, i), "OsO", &code, &name, &function) ||
		    running__add(t, code, name, function == Py_None ? NULL : function)) {
			running__free(t);
			return NULL;
		}
	}
	return t;
}

static PyObject *group_text(const struct msg_field *f)
{
	struct msg_in m = msg__group(f);

	return PyUnicode_FromFormat("%s|%s|%s|%d|%U", msg__str(&m, PROTO_F_KIND, "?"), msg__str(&m, PROTO_F_NAME, "-"),
				    msg__str(&m, PROTO_F_TARGET, "?"), (int)msg__u64(&m, PROTO_F_LINE, 0),
				    PyUnicode_FromFormat("%zu", (size_t)msg__u64(&m, PROTO_F_THREAD, 0)));
}

static PyObject *texts(struct msg_out *out)
{
	struct msg_in m = { out->data, out->len };
	PyObject *list = PyList_New(0);
	struct msg_field f;

	while (msg__next(&m, &f))
		PyList_Append(list, f.id == PROTO_F_RUNNING ? group_text(&f)
							    : PyUnicode_FromFormat("note|%s", (const char *)f.data));
	if (out->failed || m.len)
		PyErr_SetString(PyExc_RuntimeError, "the message is damaged");
	msg__free(out);
	return PyErr_Occurred() ? NULL : list;
}

static PyObject *report(PyObject *self, PyObject *args)
{
	struct running_targets *t;
	struct msg_out out = { 0 };
	PyObject *list;
	int scan;

	(void)self;
	if (!PyArg_ParseTuple(args, "Op", &list, &scan) || !(t = take(list)))
		return PyErr_Occurred() ? NULL : PyErr_NoMemory();
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
		return PyErr_Occurred() ? NULL : PyErr_NoMemory();
	any = running__anyone(t);
	running__free(t);
	return PyLong_FromLong(any);
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
	if (!PyArg_ParseTuple(args, "Oi", &list, &ms) || !(t = take(list)))
		return PyErr_Occurred() ? NULL : PyErr_NoMemory();
	clock_gettime(CLOCK_MONOTONIC, &now);
	status = running__wait_quiescent(
		t, (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec + (uint64_t)ms * 1000000, &out);
	running__free(t);
	list = texts(&out);
	return list ? Py_BuildValue("(iN)", status, list) : NULL;
}

/* note_cache(object, name) -> texts */
static PyObject *note_cache(PyObject *self, PyObject *args)
{
	struct msg_out out = { 0 };
	PyObject *object;
	const char *name;

	(void)self;
	if (!PyArg_ParseTuple(args, "Os", &object, &name))
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

static struct PyModuleDef module = { PyModuleDef_HEAD_INIT, .m_name = "running_probe", .m_size = -1,
				     .m_methods = methods };

PyMODINIT_FUNC PyInit_running_probe(void)
{
	return PyModule_Create(&module);
}
