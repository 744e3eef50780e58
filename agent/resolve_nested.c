/* resolve_nested: functions that other functions make: their code is a constant of the code around them. See resolve.h. */
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "look.h"

#define CO_OPTIMIZED 0x1 /* a function's code, not a class's body */
#define GENERIC "<generic parameters of "

static bool name_starts(PyObject *code, const char *start)
{
	PyObject *name = look__attr(code, "co_name");
	char *text = name ? py__text(name, 256) : NULL;
	bool does = text && !strncmp(text, start, strlen(start));

	free(text);
	py.Py_DecRef(name);
	return does;
}

/* Counts the code objects called `name` among a code's constants; `found` is the last of them, borrowed. From 3.12 on
 * a generic function is inside another code object, which nobody wrote. */
static unsigned count(PyObject *code, const char *name, PyObject **found, PyObject *names)
{
	PyObject *consts = look__attr(code, "co_consts"), *said;
	Py_ssize_t n = consts ? py.PyTuple_Size(consts) : 0;
	unsigned times = 0;

	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *one = py.PyTuple_GetItem(consts, i);

		if (Py_TYPE(one) != py.PyCode_Type)
			continue;
		if (name_starts(one, GENERIC)) {
			times += count(one, name, found, names);
			continue;
		}
		said = look__attr(one, "co_name");
		if (said && look__says(said, name)) {
			*found = one;
			times++;
		}
		if (said && names && py.PyList_Append(names, said))
			py.PyErr_Clear();
		py.Py_DecRef(said);
	}
	py.Py_DecRef(consts);
	return times;
}

static int not_one(struct resolved *r, const char *name, unsigned times, PyObject *names, struct msg_out *answer)
{
	char near[LOOK_NEAREST_MAX];

	look__nearest(names, name, near);
	if (times)
		return fail(answer, PROTO_E_REFUSED,
			    "the code of '%s' has %u functions called '%s': which one is meant cannot be said", r->path,
			    times, name);
	return fail(answer, PROTO_E_NO_TARGET, "the code of '%s' makes no '%s'%s", r->path, name, near);
}

int resolve__nested(struct resolved *r, char *path, struct msg_out *answer)
{
	size_t len = strlen(r->path);
	PyObject *found, *names;
	char *part, *save = NULL;
	unsigned times;

	if (!r->function)
		return fail(answer, PROTO_E_NO_TARGET, "'%s' in '%s' is no function written in Python", r->path,
			    r->module);
	for (part = strtok_r(path, ".", &save); part; part = strtok_r(NULL, ".", &save)) {
		len += (size_t)snprintf(r->path + len, sizeof(r->path) - len, ".%s", part);
		if (!strcmp(part, "<locals>"))
			continue;
		names = py.PyList_New(0);
		found = NULL;
		times = count(r->code, part, &found, names);
		if (times != 1)
			not_one(r, part, times, names, answer);
		py.PyErr_Clear();
		py.Py_DecRef(names);
		if (times != 1)
			return times ? PROTO_E_REFUSED : PROTO_E_NO_TARGET;
		py.Py_IncRef(found); /* the code around it may be what holds it */
		py.Py_DecRef(r->code);
		r->code = found;
		if (!(look__number(found, "co_flags") & CO_OPTIMIZED))
			snprintf(r->class_name, sizeof(r->class_name), "%s", part);
		r->kind = "nested";
	}
	if (strcmp(r->kind, "nested") || !(look__number(r->code, "co_flags") & CO_OPTIMIZED))
		return fail(answer, PROTO_E_NO_TARGET, "'%s.%s' is no function inside another one", r->module, r->path);
	return 0;
}
