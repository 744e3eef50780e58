/*
 * fail: what is put into an answer when something failed: one sentence, a code, and for an exception its traceback. Which
 * sentence is for the handlers.
 */
#include "handlers.h"
#include "py.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_MAX 4096
#define TRACEBACK_MAX 65536
#define OWN_FILE "<pylu" /* how the file names of our own scripts start */

int fail(struct msg_out *answer, int code, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	msg__putf(answer, PROTO_F_ERROR, "%s", text);
	return code;
}

static bool is_own(PyObject *traceback)
{
	PyObject *frame = py.PyObject_GetAttrString(traceback, "tb_frame");
	PyObject *code = frame ? py.PyObject_GetAttrString(frame, "f_code") : NULL;
	PyObject *name = code ? py.PyObject_GetAttrString(code, "co_filename") : NULL;
	char *text = name ? py__text(name, SENTENCE_MAX) : NULL;
	bool own = text && !strncmp(text, OWN_FILE, strlen(OWN_FILE));

	free(text);
	py.Py_DecRef(name);
	py.Py_DecRef(code);
	py.Py_DecRef(frame);
	py.PyErr_Clear();
	return own;
}

/* Without the entries that come first and are ours. Takes the reference, returns a new one. */
static PyObject *skip_own(PyObject *traceback)
{
	while (traceback && traceback != py.none && is_own(traceback)) {
		PyObject *next = py.PyObject_GetAttrString(traceback, "tb_next");

		py.Py_DecRef(traceback);
		traceback = next;
	}
	py.PyErr_Clear();
	return traceback;
}

/* What the traceback module makes of it; to be freed, or NULL. */
static char *format(PyObject *type, PyObject *value, PyObject *traceback)
{
	PyObject *module = py.PyImport_ImportModule("traceback");
	PyObject *lines = module ? py.PyObject_CallMethod(module, "format_exception", "OOO", type,
							  value ? value : py.none, traceback ? traceback : py.none)
				 : NULL;
	PyObject *empty = py.PyUnicode_FromString("");
	PyObject *joined = lines && empty ? py.PyUnicode_Join(empty, lines) : NULL;
	char *text = joined ? py__text(joined, TRACEBACK_MAX) : NULL;

	py.Py_DecRef(joined);
	py.Py_DecRef(empty);
	py.Py_DecRef(lines);
	py.Py_DecRef(module);
	py.PyErr_Clear();
	return text;
}

int fail_python(struct msg_out *answer, int code, const char *fmt, ...)
{
	PyObject *type = NULL, *value = NULL, *traceback = NULL, *name;
	char text[SENTENCE_MAX], *type_text, *value_text, *trace;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	py.PyErr_Fetch(&type, &value, &traceback);
	if (!type)
		return fail(answer, code, "%s", text);
	py.PyErr_NormalizeException(&type, &value, &traceback);
	name = py.PyObject_GetAttrString(type, "__name__");
	py.PyErr_Clear();
	type_text = name ? py__text(name, SENTENCE_MAX) : NULL;
	value_text = value ? py__text(value, SENTENCE_MAX) : NULL;
	msg__putf(answer, PROTO_F_ERROR, "%s: %s%s%s", text, type_text ? type_text : "an exception",
		  value_text && *value_text ? ": " : "", value_text ? value_text : "");
	traceback = skip_own(traceback);
	if (value && traceback && traceback != py.none && py.PyException_SetTraceback(value, traceback))
		py.PyErr_Clear();
	trace = format(type, value, traceback);
	msg__put_str(answer, PROTO_F_TRACEBACK, trace);
	free(trace);
	free(value_text);
	free(type_text);
	py.Py_DecRef(name);
	py.Py_DecRef(traceback);
	py.Py_DecRef(value);
	py.Py_DecRef(type);
	return code;
}
