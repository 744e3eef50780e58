/* patch_make: from a blob (blob.h) to a patch that can be applied: everything that can fail does so here, before anything changes. */
#include "patch.h"

#include <stdlib.h>
#include <string.h>

#include "blob.h"
#include "handlers.h"
#include "limit.h"
#include "resolve.h"

struct maker {
	struct patch *p;
	PyObject *blob, *values; /* the body's names */
	struct msg_out *answer;
	bool count;
};

static PyObject *item(PyObject *dict, const char *key)
{
	PyObject *value = py.PyDict_GetItemString(dict, key);

	py.PyErr_Clear();
	return value == py.none ? NULL : value;
}

static char *text_of(PyObject *dict, const char *key)
{
	PyObject *value = item(dict, key);

	return value ? py__text(value, PROTO_SOURCE_MAX) : NULL;
}

/* Runs a module's code that binds `name`, and gives what it bound. New reference, or NULL with an exception. */
static PyObject *bind(PyObject *code, PyObject *globals, const char *name)
{
	PyObject *scratch = py.PyDict_New(), *ran = NULL, *found = NULL;

	if (scratch)
		ran = limit__eval(code, globals, scratch, PROTO_BODY_SECONDS * 1000);
	if (ran) {
		found = py.PyDict_GetItemString(scratch, name);
		if (found)
			py.Py_IncRef(found);
		else
			py.PyErr_Format(py.PyExc_ValueError, "the blob binds no %s", name);
	}
	py.Py_DecRef(ran);
	py.Py_DecRef(scratch);
	return found;
}

static int python_failed(struct maker *m, const char *what)
{
	if (limit__was_exceeded())
		return fail_python(m->answer, PROTO_E_TIME, "%s took more than %d s", what, PROTO_BODY_SECONDS);
	return fail_python(m->answer, PROTO_E_PYTHON, "%s failed", what);
}

static int run_body(struct maker *m)
{
	PyObject *code = item(m->blob, "body"), *home = item(m->blob, "home"), *own = item(m->blob, "own"), *module,
		 *globals;
	PyObject *body, *args;
	Py_ssize_t n = own ? py.PyTuple_Size(own) : 0;

	m->values = py.PyDict_New();
	if (!code || !home)
		return 0;
	module = py.PyImport_GetModule(home);
	if (!module)
		return fail(m->answer, PROTO_E_CHANGED, "the module of the first change is no longer loaded");
	globals = py.PyObject_GetAttrString(module, "__dict__");
	py.Py_DecRef(module);
	body = globals ? bind(code, globals, BLOB_BODY) : NULL;
	py.Py_DecRef(globals);
	args = body ? py.PyTuple_New(n) : NULL;
	for (Py_ssize_t i = 0; args && i < n; i++) {
		PyObject *pair = py.PyTuple_GetItem(own, i), *index = pair ? py.PyTuple_GetItem(pair, 1) : NULL;
		size_t at = index ? (size_t)py.PyLong_AsSsize_t(index) : SIZE_MAX;
		PyObject *function = at < m->p->n && m->p->changes[at].item.function ? m->p->changes[at].item.function
										     : py.none;

		py.PyErr_Clear();
		py.PyTuple_SetItem(args, i, py__new_ref(function));
	}
	if (args) {
		py__clear(&m->values);
		m->values = limit__call(body, args, NULL, PROTO_BODY_SECONDS * 1000);
	}
	py.Py_DecRef(args);
	py.Py_DecRef(body);
	if (!args || !m->values)
		return python_failed(m, "the patch's own code");
	if (!py__is(m->values, py.PyDict_Type))
		return fail(m->answer, PROTO_E_BAD, "the patch's code returned no dict");
	return 0;
}

static PyObject *count_call(PyObject *self, PyObject *unused)
{
	struct patch *p = py.PyCapsule_GetPointer(self, NULL);

	(void)unused;
	if (p)
		atomic_fetch_add(&p->calls, 1);
	return py__new_ref(py.none);
}

/* Whether the exception is one that functions end by in good order, or was excepted. */
static bool is_no_error(const struct patch *p, PyObject *type)
{
	static const char *const normal[] = { "StopIteration", "StopAsyncIteration", "GeneratorExit" };
	PyObject *name = py.PyObject_GetAttrString(type, "__name__");
	bool is = !name;

	for (unsigned i = 0; !is && i < 3; i++)
		is = !py.PyUnicode_CompareWithASCIIString(name, normal[i]);
	for (unsigned i = 0; !is && i < EXCEPT_MAX && p->except[i]; i++) {
		const char *dot = strrchr(p->except[i], '.');

		is = !py.PyUnicode_CompareWithASCIIString(name, dot ? dot + 1 : p->except[i]);
	}
	py.PyErr_Clear();
	py.Py_DecRef(name);
	return is;
}

static PyObject *count_error(PyObject *self, PyObject *unused)
{
	struct patch *p = py.PyCapsule_GetPointer(self, NULL);
	PyObject *type = NULL, *value = NULL, *traceback = NULL;

	(void)unused;
	py.PyErr_GetExcInfo(&type, &value, &traceback);
	if (p && type && type != py.none && !is_no_error(p, type) &&
	    atomic_fetch_add(&p->errors, 1) + 1 == p->errors_max)
		agent_wake(); /* it is taken back by the agent, not inside the call that failed */
	py.Py_DecRef(type);
	py.Py_DecRef(value);
	py.Py_DecRef(traceback);
	return py__new_ref(py.none);
}

static PyMethodDef call_def = { "call", count_call, METH_NOARGS, NULL };
static PyMethodDef error_def = { "error", count_error, METH_NOARGS, NULL };

static int put_mark(PyObject *values, const char *mark, PyObject *value)
{
	char text[64] = "\0" BLOB_MARK;
	size_t len = sizeof(BLOB_MARK) + strlen(mark);
	PyObject *key;
	int err;

	memcpy(text + sizeof(BLOB_MARK), mark, strlen(mark));
	key = py.PyUnicode_FromStringAndSize(text, (Py_ssize_t)len);
	err = key && value ? py.PyDict_SetItem(values, key, value) : -1;
	py.Py_DecRef(key);
	return err;
}

/* Adds what the placeholders "name:NAME:N" among the constants of a code mean. */
static int put_names(const struct maker *m, PyObject *code, PyObject *values)
{
	PyObject *consts = py.PyObject_GetAttrString(code, "co_consts");
	Py_ssize_t n = consts ? py.PyTuple_Size(consts) : -1, len;
	int err = n < 0 ? -1 : 0;

	for (Py_ssize_t i = 0; !err && i < n; i++) {
		PyObject *one = py.PyTuple_GetItem(consts, i), *bytes, *name, *value;
		const char *start = "\0" BLOB_MARK "name:";
		const size_t skip = sizeof(BLOB_MARK) + 5;
		char *text, *end;

		if (Py_TYPE(one) == py.PyCode_Type)
			err = put_names(m, one, values);
		if (Py_TYPE(one) != py.PyUnicode_Type)
			continue;
		bytes = py.PyUnicode_AsUTF8String(one);
		if (bytes && !py.PyBytes_AsStringAndSize(bytes, &text, &len) && (size_t)len > skip &&
		    !memcmp(text, start, skip) && (end = memrchr(text + skip, ':', (size_t)len - skip))) {
			name = py.PyUnicode_FromStringAndSize(text + skip, end - text - (Py_ssize_t)skip);
			value = name ? py.PyDict_GetItemWithError(m->values, name) : NULL;
			err = value ? py.PyDict_SetItem(values, one, value) : -1;
			if (!value && !py.PyErr_Occurred())
				py.PyErr_Format(py.PyExc_NameError, "the patch's code does not define %R", name);
			py.Py_DecRef(name);
		}
		if (!err)
			py.PyErr_Clear();
		py.Py_DecRef(bytes);
	}
	py.Py_DecRef(consts);
	return err;
}

/* The values of the placeholders in `code`; NULL with an exception. */
static PyObject *marks_of(const struct maker *m, PyObject *code)
{
	PyObject *values = py.PyDict_New(), *self = py.PyCapsule_New(m->p, NULL, NULL), *call, *error;
	int err;

	call = self ? py.PyCFunction_NewEx(&call_def, self, NULL) : NULL;
	error = self ? py.PyCFunction_NewEx(&error_def, self, NULL) : NULL;
	err = !values || put_mark(values, "call", call) || put_mark(values, "error", error) ||
	      put_names(m, code, values);
	py.Py_DecRef(call);
	py.Py_DecRef(error);
	py.Py_DecRef(self);
	if (err)
		py__clear(&values);
	return values;
}

/* What the maker returns: the new function or value. New reference, or NULL with an exception. */
static PyObject *call_maker(const struct maker *m, PyObject *change, PyObject *globals)
{
	PyObject *code = item(change, "maker"), *names = item(change, "args"), *maker, *args, *result = NULL;
	PyObject *marks = code ? marks_of(m, code) : NULL, *filled = marks ? code__fill(code, marks) : NULL;
	Py_ssize_t n = names ? py.PyTuple_Size(names) : 0;

	maker = filled ? bind(filled, globals, BLOB_MAKE) : NULL;
	args = maker ? py.PyTuple_New(n) : NULL;
	for (Py_ssize_t i = 0; args && i < n; i++) {
		PyObject *name = py.PyTuple_GetItem(names, i), *value = py.PyDict_GetItemWithError(m->values, name);

		if (!value) {
			if (!py.PyErr_Occurred())
				py.PyErr_Format(py.PyExc_NameError, "the patch's code does not define %R", name);
			py__clear(&args);
		} else {
			py.PyTuple_SetItem(args, i, py__new_ref(value));
		}
	}
	if (args)
		result = limit__call(maker, args, NULL, PROTO_BODY_SECONDS * 1000);
	if (!code && !py.PyErr_Occurred())
		py.PyErr_SetString(py.PyExc_ValueError, "a change of the blob has no maker");
	py.Py_DecRef(args);
	py.Py_DecRef(maker);
	py.Py_DecRef(filled);
	py.Py_DecRef(marks);
	return result;
}

/* A tuple of cells for `code`: the target's by name, else those that the maker's function has. NULL with an exception. */
static PyObject *cells_for(PyObject *made, PyObject *function)
{
	PyObject *code = py.PyFunction_GetCode(made), *closure = py.PyFunction_GetClosure(made), *cells;
	PyObject *theirs = py.PyFunction_GetClosure(function);
	PyObject *names = py.PyObject_GetAttrString(code, "co_freevars");
	PyObject *their_names = py.PyObject_GetAttrString(py.PyFunction_GetCode(function), "co_freevars");
	Py_ssize_t n = names ? py.PyTuple_Size(names) : -1, their_n = their_names ? py.PyTuple_Size(their_names) : -1;

	cells = n < 0 || their_n < 0 ? NULL : py.PyTuple_New(n);
	for (Py_ssize_t i = 0; cells && i < n; i++) {
		PyObject *cell = closure ? py.PyTuple_GetItem(closure, i) : NULL;

		for (Py_ssize_t j = 0; theirs && j < their_n; j++)
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
static PyObject *trampoline(PyObject *code, PyObject *made, PyObject *function)
{
	PyObject *name = py.PyObject_GetAttrString(function, "__name__"), *cells = cells_for(made, function),
		 *impl = NULL;
	PyObject *defaults = py.PyFunction_GetDefaults(made),
		 *kwdefaults = py.PyObject_GetAttrString(made, "__kwdefaults__");
	PyObject *values = py.PyDict_New(), *filled = NULL;

	if (name && cells)
		impl = py.PyObject_CallFunctionObjArgs((PyObject *)py.PyFunction_Type, py.PyFunction_GetCode(made),
						       py.PyFunction_GetGlobals(function), name,
						       defaults ? defaults : py.none, cells, NULL);
	if (impl && kwdefaults && values && !py.PyObject_SetAttrString(impl, "__kwdefaults__", kwdefaults) &&
	    !put_mark(values, "impl", impl))
		filled = code__fill(code, values);
	py.Py_DecRef(values);
	py.Py_DecRef(kwdefaults);
	py.Py_DecRef(impl);
	py.Py_DecRef(cells);
	py.Py_DecRef(name);
	return filled;
}

static int make_function(struct maker *m, struct change *c, PyObject *change, PyObject *globals)
{
	PyObject *made = call_maker(m, change, globals), *code = item(change, "trampoline");
	int err = -1;

	if (made && Py_TYPE(made) != py.PyFunction_Type) {
		py.Py_DecRef(made);
		return fail(m->answer, PROTO_E_BAD, "the maker of '%s' returned no function", c->target);
	}
	c->item.gate = item(change, "gate");
	if (c->item.gate)
		py.Py_IncRef(c->item.gate);
	if (made && c->item.gate && !swap_side__read(&c->item.new, made) &&
	    !swap_side__read(&c->item.old, c->item.function)) {
		code = code ? trampoline(code, made, c->item.function) : py__new_ref(c->item.new.attrs[0]);
		if (code) {
			py.Py_DecRef(c->item.new.attrs[0]);
			c->item.new.attrs[0] = code;
			err = 0;
		}
	}
	py.Py_DecRef(made);
	return err ? python_failed(m, "making the new function") : 0;
}

static int make_value(struct maker *m, struct change *c, PyObject *change, struct resolved *r)
{
	if (!r->holder)
		return fail(m->answer, PROTO_E_NO_TARGET, "there is no place for '%s'", c->target);
	if (c->kind == CHANGE_ADD && r->value)
		return fail(m->answer, PROTO_E_REFUSED, "'%s' is there already", c->target);
	c->holder = py__new_ref(r->holder);
	c->name = py.PyUnicode_InternFromString(r->name);
	c->before = r->value ? py__new_ref(r->value) : NULL;
	c->value = call_maker(m, change, r->globals);
	return c->value && c->name ? 0 : python_failed(m, "making the new value");
}

/* First half: what is changed. */
static int find_target(struct maker *m, struct change *c, PyObject *change, struct resolved *r)
{
	PyObject *id = item(change, "code_id");
	char *kind = text_of(change, "kind");
	int err = 0;

	c->target = text_of(change, "target");
	c->original = text_of(change, "original");
	c->line = item(change, "line") ? py.PyLong_AsUnsignedLong(item(change, "line")) : 0;
	c->last_line = item(change, "last_line") ? py.PyLong_AsUnsignedLong(item(change, "last_line")) : 0;
	py.PyErr_Clear();
	if (!kind || !c->target)
		err = fail(m->answer, PROTO_E_BAD, "a change of the blob has no kind or no target");
	else
		c->kind = !strcmp(kind, "add") ? CHANGE_ADD : !strcmp(kind, "set") ? CHANGE_SET : CHANGE_REDEFINE;
	free(kind);
	if (!err)
		err = resolve(c->target, r, m->answer);
	if (err)
		return err;
	c->module = strdup(r->module);
	if (c->kind != CHANGE_REDEFINE)
		return 0;
	if (!r->function)
		return fail(m->answer, PROTO_E_NO_TARGET, "'%s' is no function written in Python", c->target);
	if (!id || (void *)(uintptr_t)py.PyLong_AsUnsignedLongLong(id) != (void *)py.PyFunction_GetCode(r->function)) {
		py.PyErr_Clear();
		return fail(m->answer, PROTO_E_CHANGED, "'%s' is not what it was a moment ago; try again", c->target);
	}
	c->item.function = py__new_ref(r->function);
	return 0;
}

static int make_all(struct maker *m, PyObject *changes)
{
	struct resolved *found = calloc(m->p->n, sizeof(*found));
	int err = found ? 0 : fail(m->answer, PROTO_E_FAILED, "out of memory");

	for (size_t i = 0; !err && i < m->p->n; i++)
		err = find_target(m, &m->p->changes[i], py.PyTuple_GetItem(changes, (Py_ssize_t)i), &found[i]);
	if (!err)
		err = run_body(m);
	for (size_t i = 0; !err && i < m->p->n; i++) {
		struct change *c = &m->p->changes[i];
		PyObject *change = py.PyTuple_GetItem(changes, (Py_ssize_t)i);

		err = c->kind == CHANGE_REDEFINE ? make_function(m, c, change, found[i].globals)
						 : make_value(m, c, change, &found[i]);
	}
	for (size_t i = 0; found && i < m->p->n; i++)
		resolve__free(&found[i]);
	free(found);
	return err;
}

static PyObject *unmarshal(const struct msg_field *blob)
{
	PyObject *marshal = py.PyImport_ImportModule("marshal"), *bytes, *loaded = NULL;

	bytes = py.PyBytes_FromStringAndSize((const char *)blob->data, (Py_ssize_t)blob->len);
	if (marshal && bytes)
		loaded = py.PyObject_CallMethod(marshal, "loads", "O", bytes);
	py.Py_DecRef(bytes);
	py.Py_DecRef(marshal);
	return loaded;
}

static int read_options(const struct msg_in *request, struct patch *p, struct msg_out *answer)
{
	struct msg_in rest = *request;
	struct msg_field f;
	size_t n = 0;
	const char *hash = msg__str(request, PROTO_F_SOURCE_HASH, NULL);

	if (!msg__find(request, PROTO_F_TOKEN, MSG_BYTES, &f) || f.len != TOKEN_SIZE)
		return fail(answer, PROTO_E_BAD, "the request has no token of %d bytes", TOKEN_SIZE);
	memcpy(p->token, f.data, TOKEN_SIZE);
	p->who = strdup(msg__str(request, PROTO_F_WHO, "?"));
	p->command = strdup(msg__str(request, PROTO_F_COMMAND, "?"));
	p->source_hash = hash ? strdup(hash) : NULL;
	p->ttl_ns = msg__u64(request, PROTO_F_TTL_MS, 0) % (UINT64_MAX / 4000000) * 1000000;
	p->errors_max = msg__u64(request, PROTO_F_ERRORS_MAX, 0);
	p->counting = p->errors_max || msg__u64(request, PROTO_F_COUNT, 0);
	while (msg__next(&rest, &f))
		if (f.id == PROTO_F_EXCEPT && f.type == MSG_STR && n < EXCEPT_MAX)
			p->except[n++] = strdup((const char *)f.data);
	return 0;
}

int patch__make(const struct msg_in *request, struct patch **out, struct msg_out *answer)
{
	struct maker m = { .p = calloc(1, sizeof(struct patch)), .answer = answer };
	PyObject *changes = NULL;
	struct msg_field blob;
	int err;

	*out = NULL;
	if (!m.p)
		return fail(answer, PROTO_E_FAILED, "out of memory");
	err = read_options(request, m.p, answer);
	if (!err && !msg__find(request, PROTO_F_BLOB, MSG_BYTES, &blob))
		err = fail(answer, PROTO_E_BAD, "the request has no blob");
	if (!err) {
		m.blob = unmarshal(&blob);
		if (!m.blob)
			err = fail_python(answer, PROTO_E_BAD, "the blob cannot be read");
		else if (!py__is(m.blob, py.PyDict_Type) || !(changes = item(m.blob, "changes")) ||
			 !py__is(changes, py.PyTuple_Type) || py.PyTuple_Size(changes) < 1 ||
			 py.PyTuple_Size(changes) > PROTO_CHANGES_MAX)
			err = fail(answer, PROTO_E_BAD, "the blob is no patch");
	}
	if (!err) {
		m.p->n = (size_t)py.PyTuple_Size(changes);
		m.p->changes = calloc(m.p->n, sizeof(*m.p->changes));
		m.p->file = item(m.blob, "file");
		m.p->source = item(m.blob, "source");
		py.Py_IncRef(m.p->file);
		py.Py_IncRef(m.p->source);
		err = m.p->changes ? make_all(&m, changes) : fail(answer, PROTO_E_FAILED, "out of memory");
	}
	py.Py_DecRef(m.values);
	py.Py_DecRef(m.blob);
	if (err)
		patch__free(m.p);
	else
		*out = m.p;
	return err;
}
