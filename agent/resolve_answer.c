/* resolve_answer: what the agent says of a target: RESOLVE's answer, notes and layers. See resolve.h. */
#include "resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handlers.h"
#include "look.h"
#include "patch.h"
#include "running.h"

#define CO_VARARGS 0x4
#define CO_VARKEYWORDS 0x8

static void put_text(struct msg_out *m, uint16_t id, PyObject *o, const char *name)
{
	PyObject *value = look__attr(o, name);
	char *text = value ? py__text(value, 4096) : NULL;

	msg__put_str(m, id, text);
	free(text);
	py.Py_DecRef(value);
}

/* Each item of a tuple, or key of a dict. */
static void put_items(struct msg_out *m, uint16_t id, PyObject *o, const char *name, size_t max)
{
	PyObject *value = look__attr(o, name), *list = value && value != py.none ? py.PySequence_List(value) : NULL;
	Py_ssize_t n = list ? py.PyList_Size(list) : 0;

	for (Py_ssize_t i = 0; i < n && (size_t)i < max; i++) {
		char *text = py__text(py.PyList_GetItem(list, i), 4096);

		msg__put_str(m, id, text);
		free(text);
	}
	py.PyErr_Clear();
	py.Py_DecRef(list);
	py.Py_DecRef(value);
}

static void put_code(struct msg_out *m, PyObject *code)
{
	uint64_t flags = look__number(code, "co_flags"), args = look__number(code, "co_argcount"),
		 kwonly = look__number(code, "co_kwonlyargcount");
	PyObject *sys_flags = py.PySys_GetObject("flags");

	msg__put_u64(m, PROTO_F_CODE_ID, (uint64_t)(uintptr_t)code);
	put_items(m, PROTO_F_FREE, code, "co_freevars", SIZE_MAX);
	msg__put_u64(m, PROTO_F_FLAGS, flags);
	msg__put_u64(m, PROTO_F_ARGCOUNT, args);
	msg__put_u64(m, PROTO_F_POSONLY, look__number(code, "co_posonlyargcount"));
	msg__put_u64(m, PROTO_F_KWONLY, kwonly);
	put_items(m, PROTO_F_ARGNAME, code, "co_varnames",
		  args + kwonly + !!(flags & CO_VARARGS) + !!(flags & CO_VARKEYWORDS));
	put_text(m, PROTO_F_FILE, code, "co_filename");
	msg__put_u64(m, PROTO_F_LINE, look__number(code, "co_firstlineno"));
	put_text(m, PROTO_F_CODE_NAME, code, "co_name");
	put_text(m, PROTO_F_CODE_QUAL, code, "co_qualname");
	msg__put_u64(m, PROTO_F_OPTIMIZE, sys_flags ? look__number(sys_flags, "optimize") : 0);
}

/* What only the function has. Those of a nested one are made by the function around it. */
static void put_function(struct msg_out *m, const struct resolved *r)
{
	PyObject *defaults = py.PyFunction_GetDefaults(r->function);
	uint64_t id = patch_on(r->function);

	if (strcmp(r->kind, "nested")) {
		msg__put_u64(m, PROTO_F_DEFAULTS, defaults ? (uint64_t)py.PyTuple_Size(defaults) : 0);
		put_items(m, PROTO_F_KWDEFAULT, r->function, "__kwdefaults__", SIZE_MAX);
	}
	if (id)
		msg__put_u64(m, PROTO_F_PATCHED_BY, id);
}

static void put_layer(struct msg_out *out, PyObject *function)
{
	size_t at = msg__open(out, PROTO_F_LAYER);

	put_text(out, PROTO_F_QUALNAME, py.PyFunction_GetCode(function), "co_qualname");
	if (py__version() < 0x030b0000)
		put_text(out, PROTO_F_QUALNAME, function, "__qualname__");
	msg__put_u64(out, PROTO_F_LINE, look__number(py.PyFunction_GetCode(function), "co_firstlineno"));
	msg__close(out, at);
}

void resolve__put_layers(const struct resolved *r, struct msg_out *out)
{
	for (unsigned i = 0; i < r->layer; i++)
		put_layer(out, r->layers[i]);
}

void resolve__put_notes(const struct resolved *r, struct msg_out *out)
{
	if (r->n_layers > 1)
		msg__putf(out, PROTO_F_NOTE, "'%s' has %u layers of decorators, and %s is meant: @0 to @%u name one",
			  r->canonical, r->n_layers,
			  r->layer + 1 == r->n_layers ? "the innermost"
			  : r->layer		      ? "one between"
						      : "the outermost",
			  r->n_layers - 1);
	if (r->function && !strcmp(r->kind, "nested"))
		msg__put_str(out, PROTO_F_NOTE, "what the function around it has made already keeps the old code");
	if (r->cache)
		running__note_cache(r->cache, r->canonical, out);
}

/* The class further up that has the name. New reference, or NULL. */
static PyObject *inherited_from(const struct resolved *r)
{
	PyObject *mro = py__is(r->holder, py.PyType_Type) ? look__of_type(r->holder, "__mro__") : NULL;
	PyObject *name = py.PyUnicode_FromString(r->name), *value, *found = NULL;
	Py_ssize_t n = py__is(mro, py.PyTuple_Type) ? py.PyTuple_Size(mro) : 0;

	for (Py_ssize_t i = 0; i < n && name && !found; i++) {
		value = look__own(py.PyTuple_GetItem(mro, i), name);
		if (value)
			found = py__new_ref(py.PyTuple_GetItem(mro, i));
		py.Py_DecRef(value);
	}
	py.PyErr_Clear();
	py.Py_DecRef(name);
	py.Py_DecRef(mro);
	return found;
}

/* Why there is no function. */
static void put_reason(const struct resolved *r, struct msg_out *out)
{
	PyObject *owner = r->value ? NULL : inherited_from(r), *dict, *module, *name;
	char near[LOOK_NEAREST_MAX], *type, *of, *in;

	if (owner) {
		module = look__of_type(owner, "__module__");
		name = look__of_type(owner, "__qualname__");
		in = module ? py__text(module, 512) : NULL;
		of = name ? py__text(name, 512) : NULL;
		msg__putf(out, PROTO_F_NOTE, "it is inherited: name it as '%s.%s.%s'", in ? in : "?", of ? of : "?",
			  r->name);
		free(of);
		free(in);
		py.Py_DecRef(name);
		py.Py_DecRef(module);
	} else if (!r->value) {
		dict = look__dict(r->holder);
		look__nearest(dict, r->name, near);
		if (*near)
			msg__putf(out, PROTO_F_NOTE, "in '%s' there is no '%s'%s",
				  *r->class_name ? r->class_name : r->module, r->name, near);
		py.Py_DecRef(dict);
	} else if (!strcmp(r->kind, "value")) {
		type = look__type_name(r->value);
		msg__putf(out, PROTO_F_NOTE, "its type is %s, and no function written in Python is found in it",
			  type ? type : "?");
		free(type);
	}
	py.Py_DecRef(owner);
}

int handle_resolve(const struct msg_in *request, struct msg_out *answer)
{
	const char *target = msg__str(request, PROTO_F_TARGET, NULL);
	struct resolved r;
	int err;

	if (!target)
		return fail(answer, PROTO_E_BAD, "the request names no target");
	err = resolve(target, &r, answer);
	if (!err) {
		if (r.n_layers > 1)
			msg__putf(answer, PROTO_F_TARGET, "%s@%u", r.canonical, r.layer);
		else
			msg__put_str(answer, PROTO_F_TARGET, r.canonical);
		msg__put_str(answer, PROTO_F_MODULE, r.module);
		msg__put_str(answer, PROTO_F_QUALNAME, r.qualname);
		msg__put_str(answer, PROTO_F_KIND, r.kind);
		for (unsigned i = 0; r.n_layers > 1 && i < r.n_layers; i++)
			put_layer(answer, r.layers[i]);
		if (*r.class_name)
			msg__put_str(answer, PROTO_F_CLASS, r.class_name);
		if (r.function) {
			put_code(answer, r.code);
			put_function(answer, &r);
			resolve__put_notes(&r, answer);
		} else {
			put_reason(&r, answer);
		}
	}
	resolve__free(&r);
	return err;
}
