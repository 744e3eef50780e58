/* patch_make: from PREPARE's request to a patch that can be applied: everything that can fail does so here, before anything changes. See patch.h. */
#include "patch.h"

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "handlers.h"
#include "limit.h"

static char *text_of(PyObject *dict, const char *key)
{
	PyObject *value = maker__item(dict, key);

	return value ? py__text(value, PROTO_SOURCE_MAX) : NULL;
}

static uint64_t number_of(PyObject *dict, const char *key)
{
	PyObject *value = maker__item(dict, key);
	uint64_t n = py__is(value, py.PyLong_Type) ? py.PyLong_AsUnsignedLongLong(value) : 0;

	if (py.PyErr_Occurred()) {
		py.PyErr_Clear();
		n = 0;
	}
	return n;
}

static void drop_change(struct change *c)
{
	py__clear(&c->code);
	py__clear(&c->holder);
	py__clear(&c->name);
	py__clear(&c->value);
	py__clear(&c->before);
	c->item = NULL;
}

void patch__drop_objects(struct patch *p)
{
	size_t n = p->n_items;

	for (size_t i = 0; p->changes && i < p->n; i++)
		drop_change(&p->changes[i]);
	p->n_items = 0;
	for (size_t i = 0; i < n; i++) {
		py__clear(&p->items[i].function);
		py__clear(&p->items[i].gate);
		swap_side__free(&p->items[i].old);
		swap_side__free(&p->items[i].new);
	}
	free(p->items);
	p->items = NULL;
}

void patch__free(struct patch *p)
{
	patch__drop_objects(p);
	for (size_t i = 0; p->changes && i < p->n; i++) {
		free(p->changes[i].target);
		free(p->changes[i].module);
		free(p->changes[i].original);
		msg__free(&p->changes[i].said);
	}
	free(p->changes);
	py__clear(&p->file);
	py__clear(&p->source);
	count__drop(p->counter);
	free(p->who);
	free(p->command);
	free(p->source_hash);
	free(p->why);
	free(p);
}

/* The function that a change is for, once in a patch. */
static int take_function(struct maker *m, struct change *c, PyObject *change, const struct resolved *r)
{
	struct patch *p = m->p;

	if (!r->function)
		return fail(m->answer, PROTO_E_NO_TARGET, "'%s' is no function written in Python", c->target);
	if ((uintptr_t)number_of(change, "code_id") != (uintptr_t)r->code)
		return fail(m->answer, PROTO_E_CHANGED, "'%s' is not what it was a moment ago; try again", c->target);
	for (size_t i = 0; i < p->n_items; i++)
		if (p->items[i].function == r->function)
			return fail(
				m->answer, PROTO_E_REFUSED,
				"'%s' is part of a function that the patch changes already: put them into two patches",
				c->target);
	c->nested = r->code != py.PyFunction_GetCode(r->function);
	c->code = py__new_ref(r->code);
	c->item = &p->items[p->n_items++];
	c->item->function = py__new_ref(r->function);
	resolve__put_layers(r, &c->said);
	resolve__put_notes(r, &c->said);
	return 0;
}

/* First half: what is changed. */
static int find_target(struct maker *m, struct change *c, PyObject *change, struct resolved *r)
{
	char *kind = py__is(change, py.PyDict_Type) ? text_of(change, "kind") : NULL;
	int err = 0;

	c->target = kind ? text_of(change, "target") : NULL;
	if (!kind || !c->target) {
		free(kind);
		return fail(m->answer, PROTO_E_BAD, "a change of the blob has no kind or no target");
	}
	c->kind = !strcmp(kind, "add") ? CHANGE_ADD : !strcmp(kind, "set") ? CHANGE_SET : CHANGE_REDEFINE;
	free(kind);
	c->original = text_of(change, "original");
	c->line = number_of(change, "line");
	c->last_line = number_of(change, "last_line");
	err = resolve(c->target, r, m->answer);
	if (err)
		return err;
	c->module = strdup(r->module);
	return c->kind == CHANGE_REDEFINE ? take_function(m, c, change, r) : 0;
}

/* What make_new works on. */
struct making {
	struct maker *m;
	PyObject *changes; /* borrowed */
	struct resolved *found;
	int err;
};

/* Second half: the patch's own code, and the new functions. */
static PyObject *make_new(PyObject *self, PyObject *unused)
{
	struct making *making = py.PyCapsule_GetPointer(self, NULL);
	struct maker *m = making->m;
	int err = maker__run_body(m);

	(void)unused;
	for (size_t i = 0; !err && i < m->p->n; i++) {
		struct change *c = &m->p->changes[i];
		PyObject *change = py.PyTuple_GetItem(making->changes, (Py_ssize_t)i);

		err = c->kind == CHANGE_REDEFINE ? maker__function(m, c, change, &making->found[i])
						 : maker__value(m, c, change, &making->found[i]);
	}
	making->err = err;
	return err == MAKER_RAISED ? NULL : py__new_ref(py.none);
}

static int call_make_new(struct making *making)
{
	static PyMethodDef def = { "make_new", make_new, METH_NOARGS, NULL };
	struct maker *m = making->m;
	PyObject *self = py.PyCapsule_New(making, NULL, NULL), *args = py.PyTuple_New(0), *ran = NULL;
	PyObject *function = self ? py.PyCFunction_NewEx(&def, self, NULL) : NULL;

	m->what = "making the new functions";
	if (function && args)
		ran = limit__call(function, args, NULL, PROTO_BODY_SECONDS * 1000);
	py.Py_DecRef(function);
	py.Py_DecRef(args);
	py.Py_DecRef(self);
	if (ran) {
		py.Py_DecRef(ran);
		return making->err;
	}
	if (limit__was_exceeded())
		return fail_python(m->answer, PROTO_E_TIME, "%s took more than %d s", m->what, PROTO_BODY_SECONDS);
	return fail_python(m->answer, PROTO_E_PYTHON, "%s failed", m->what);
}

static int make_all(struct maker *m, PyObject *changes)
{
	struct patch *p = m->p;
	struct making making = { m, changes, calloc(p->n, sizeof(*making.found)), 0 };
	int err = making.found ? 0 : fail(m->answer, PROTO_E_FAILED, "out of memory");

	for (size_t i = 0; !err && i < p->n; i++)
		err = find_target(m, &p->changes[i], py.PyTuple_GetItem(changes, (Py_ssize_t)i), &making.found[i]);
	if (!err)
		err = call_make_new(&making);
	for (size_t i = 0; making.found && i < p->n; i++)
		resolve__free(&making.found[i]);
	free(making.found);
	return err;
}

static int unmarshal(struct maker *m, const struct msg_in *request)
{
	PyObject *marshal, *bytes;
	struct msg_field blob;

	if (!msg__find(request, PROTO_F_BLOB, MSG_BYTES, &blob))
		return fail(m->answer, PROTO_E_BAD, "the request has no blob");
	marshal = py.PyImport_ImportModule("marshal");
	bytes = py.PyBytes_FromStringAndSize((const char *)blob.data, (Py_ssize_t)blob.len);
	if (marshal && bytes)
		m->blob = py.PyObject_CallMethod(marshal, "loads", "O", bytes);
	py.Py_DecRef(bytes);
	py.Py_DecRef(marshal);
	if (!m->blob)
		return fail_python(m->answer, PROTO_E_BAD, "the blob cannot be read");
	if (!py__is(m->blob, py.PyDict_Type) || number_of(m->blob, "format") != BLOB_FORMAT)
		return fail(m->answer, PROTO_E_BAD, "the blob is none that this agent (%s) knows", PYLU_VERSION);
	return 0;
}

static int read_options(const struct msg_in *request, struct patch *p, struct msg_out *answer)
{
	const char *hash = msg__str(request, PROTO_F_SOURCE_HASH, NULL);
	struct msg_field f;

	if (!msg__find(request, PROTO_F_TOKEN, MSG_BYTES, &f) || f.len != TOKEN_SIZE)
		return fail(answer, PROTO_E_BAD, "the request has no token of %d bytes", TOKEN_SIZE);
	memcpy(p->token, f.data, TOKEN_SIZE);
	p->who = strdup(msg__str(request, PROTO_F_WHO, "?"));
	p->command = strdup(msg__str(request, PROTO_F_COMMAND, "?"));
	p->source_hash = hash ? strdup(hash) : NULL;
	p->ttl_ns = msg__u64(request, PROTO_F_TTL_MS, 0) % (UINT64_MAX / 4000000) * 1000000;
	p->counter = count__new(request);
	if (!p->counter)
		return fail(answer, PROTO_E_FAILED, "out of memory");
	p->counting = count__errors_max(p->counter) || msg__u64(request, PROTO_F_COUNT, 0);
	p->force = msg__u64(request, PROTO_F_FORCE, 0);
	p->scan = msg__u64(request, PROTO_F_SCAN, 0);
	return 0;
}

static int make(struct maker *m, const struct msg_in *request)
{
	struct patch *p = m->p;
	PyObject *changes;
	int err = read_options(request, p, m->answer);

	if (!err)
		err = unmarshal(m, request);
	if (err)
		return err;
	changes = maker__item(m->blob, "changes");
	if (!py__is(changes, py.PyTuple_Type) || py.PyTuple_Size(changes) < 1 ||
	    py.PyTuple_Size(changes) > PROTO_CHANGES_MAX)
		return fail(m->answer, PROTO_E_BAD, "the blob has no changes, or more than %d", PROTO_CHANGES_MAX);
	p->n = (size_t)py.PyTuple_Size(changes);
	p->changes = calloc(p->n, sizeof(*p->changes));
	p->items = calloc(p->n, sizeof(*p->items));
	if (!p->changes || !p->items)
		return fail(m->answer, PROTO_E_FAILED, "out of memory");
	p->file = py__new_ref(maker__item(m->blob, "file"));
	p->source = py__new_ref(maker__item(m->blob, "source"));
	if (!py__is(p->file, py.PyUnicode_Type) || !py__is(p->source, py.PyUnicode_Type))
		return fail(m->answer, PROTO_E_BAD, "the blob has no source");
	return make_all(m, changes);
}

int patch__make(const struct msg_in *request, struct patch **out, struct msg_out *answer)
{
	struct maker m = { .p = calloc(1, sizeof(struct patch)), .answer = answer };
	int err;

	*out = NULL;
	if (!m.p)
		return fail(answer, PROTO_E_FAILED, "out of memory");
	err = make(&m, request);
	py.Py_DecRef(m.values);
	py.Py_DecRef(m.blob);
	if (err)
		patch__free(m.p);
	else
		*out = m.p;
	return err;
}
