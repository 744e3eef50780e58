/*
 * running_scan: the look through all objects that the garbage collector knows, for what keeps a target's old code: generators, coroutines and async
 * generators that are suspended or not started, asyncio tasks that run them, frames of greenlets, other functions made from the code,
 * and caches above a target.
 *
 * The list from gc.get_objects is read once, in C, and given back before anything is asked of what was found in it.
 */
#include "running_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto.h"

#define CHAIN_MAX 10000 /* coroutines that wait for each other, of one task */
#define MEMO_SIZE 256	/* a power of two */
#define FROZEN_FEW 1000 /* 3.12 freezes some hundreds of its own objects when it starts */

enum kind { OTHER, FUNCTION, GENERATOR, COROUTINE, ASYNC_GENERATOR, TASK, GREENLET, LRU_CACHE, CACHED_PROPERTY };

/* How the three kinds of suspended functions call their attributes. */
static const struct flavour {
	const char *kind, *code, *frame, *awaits;
} flavours[] = {
	[GENERATOR] = { "generator", "gi_code", "gi_frame", "gi_yieldfrom" },
	[COROUTINE] = { "coroutine", "cr_code", "cr_frame", "cr_await" },
	[ASYNC_GENERATOR] = { "async generator", "ag_code", "ag_frame", "ag_await" },
};

struct hit {
	enum kind kind;
	struct code_entry *code;
	PyObject *task; /* borrowed from scan.tasks, or NULL */
};

struct scan {
	struct report *report;
	const PyTypeObject *task_type, *greenlet_type, *lru_type, *property_type; /* NULL: not loaded */
	struct memo {
		const PyTypeObject *type;
		enum kind kind;
	} memo[MEMO_SIZE]; /* of neighbours most have the same few types */
	struct refs suspended, tasks, greenlets, caches;
	struct hit *hits;  /* for each of `suspended` */
	struct map by_hit; /* index in these */
	bool incomplete;
};

/* A class of a C module, for which only what the interpreter or the extension made itself is taken. */
static const PyTypeObject *loaded_type(const char *module, const char *name)
{
	PyObject *found = running__global(module, name);

	return found && Py_TYPE(found) == py.PyType_Type ? (const PyTypeObject *)found : NULL;
}

static bool derived(const PyTypeObject *type, const PyTypeObject *base)
{
	return base && py.PyType_IsSubtype((PyTypeObject *)type, (PyTypeObject *)base);
}

static enum kind kind_of_type(const struct scan *s, const PyTypeObject *type)
{
	if (type == py.PyFunction_Type)
		return FUNCTION;
	if (type == py.PyGen_Type)
		return GENERATOR;
	if (type == py.PyCoro_Type)
		return COROUTINE;
	if (type == py.PyAsyncGen_Type)
		return ASYNC_GENERATOR;
	if (type == s->lru_type)
		return LRU_CACHE;
	if (type == s->property_type)
		return CACHED_PROPERTY;
	return derived(type, s->task_type) ? TASK : derived(type, s->greenlet_type) ? GREENLET : OTHER;
}

static enum kind kind_of(struct scan *s, PyObject *object)
{
	const PyTypeObject *type = Py_TYPE(object);
	struct memo *memo = &s->memo[((uintptr_t)type >> 4) % MEMO_SIZE];

	if (memo->type != type)
		*memo = (struct memo){ type, kind_of_type(s, type) };
	return memo->kind;
}

/* Borrowed: an object of one of the three kinds keeps its code alive. */
static PyObject *suspended_code(PyObject *object, enum kind kind)
{
	PyObject *code = py.PyGen_GetCode && kind == GENERATOR ? py.PyGen_GetCode(object)
							       : running__attr(object, flavours[kind].code);

	if (code)
		py.Py_DecRef(code);
	return code;
}

static void add_suspended(struct scan *s, PyObject *object, enum kind kind)
{
	struct code_entry *code = running__find(s->report->targets, suspended_code(object, kind));
	struct hit *hits;

	if (!code)
		return;
	hits = realloc(s->hits, (s->suspended.count + 1) * sizeof(*hits));
	if (hits)
		s->hits = hits;
	if (!hits || map__put(&s->by_hit, object, s->suspended.count) || refs__add(&s->suspended, object)) {
		s->incomplete = true;
		return;
	}
	s->hits[s->suspended.count - 1] = (struct hit){ .kind = kind, .code = code };
}

static void sort_object(struct scan *s, PyObject *object)
{
	enum kind kind = kind_of(s, object);
	struct code_entry *code;
	size_t ignored;
	int err = 0;

	switch (kind) {
	case OTHER:
		break;
	case FUNCTION:
		code = running__find(s->report->targets, py.PyFunction_GetCode(object));
		if (code && !map__get(&s->report->targets->known, object, &ignored))
			code->functions++;
		break;
	case GENERATOR:
	case COROUTINE:
	case ASYNC_GENERATOR:
		add_suspended(s, object, kind);
		break;
	case TASK:
		err = refs__add(&s->tasks, object);
		break;
	case GREENLET:
		err = refs__add(&s->greenlets, object);
		break;
	case LRU_CACHE:
	case CACHED_PROPERTY:
		err = refs__add(&s->caches, object);
		break;
	}
	if (err)
		s->incomplete = true;
}

static bool sort_objects(struct scan *s)
{
	PyObject *function = running__builtin("gc", "get_objects");
	PyObject *objects = function ? py.PyObject_CallObject(function, NULL) : NULL;
	Py_ssize_t count;

	if (function)
		py.Py_DecRef(function);
	if (!objects) {
		running__calm();
		return false;
	}
	count = py.PyList_Size(objects);
	for (Py_ssize_t i = 0; i < count; i++)
		sort_object(s, py.PyList_GetItem(objects, i));
	py.Py_DecRef(objects);
	running__calm();
	return true;
}

/* The objects that `object` refers to, in the order in which its type tells them; NULL if they cannot be had. A reference. */
static PyObject *referents(PyObject *object)
{
	PyObject *function = running__builtin("gc", "get_referents");
	PyObject *list = function ? py.PyObject_CallFunctionObjArgs(function, object, NULL) : NULL;

	if (!list)
		running__calm();
	if (function)
		py.Py_DecRef(function);
	return list;
}

/* What the interpreter puts between an await and the async generator or coroutine: none of its attributes tells what it
 * stands for. A reference, or NULL. */
static PyObject *behind_wrapper(struct scan *s, PyObject *object)
{
	PyObject *name, *list, *found = NULL;
	const char *text;

	if (Py_TYPE((PyObject *)Py_TYPE(object)) != py.PyType_Type)
		return NULL;
	name = running__attr((PyObject *)Py_TYPE(object), "__name__");
	text = running__text(name);
	if (text && (!strcmp(text, "async_generator_asend") || !strcmp(text, "async_generator_athrow") ||
		     !strcmp(text, "coroutine_wrapper"))) {
		list = referents(object);
		for (Py_ssize_t i = 0; list && i < py.PyList_Size(list) && !found; i++) {
			enum kind kind = kind_of(s, py.PyList_GetItem(list, i));

			if (kind == GENERATOR || kind == COROUTINE || kind == ASYNC_GENERATOR)
				found = py.PyList_GetItem(list, i);
		}
		if (found)
			py.Py_IncRef(found);
		if (list)
			py.Py_DecRef(list);
	}
	if (name)
		py.Py_DecRef(name);
	return found;
}

/* The value of a C attribute of `type` in an object that may be of a class derived from it. A reference, or NULL. */
static PyObject *descriptor_value(const PyTypeObject *type, const char *name, PyObject *object)
{
	PyObject *descriptor = running__attr((PyObject *)type, name), *get, *value = NULL;

	get = descriptor && Py_TYPE(descriptor) == py.PyGetSetDescr_Type ? running__attr(descriptor, "__get__") : NULL;
	if (get)
		value = py.PyObject_CallFunctionObjArgs(get, object, NULL);
	running__calm();
	if (get)
		py.Py_DecRef(get);
	if (descriptor)
		py.Py_DecRef(descriptor);
	if (value == py.none) {
		py.Py_DecRef(value);
		return NULL;
	}
	return value;
}

/* From a task's coroutine down what waits for what; those of ours get the task. */
static void follow_task(struct scan *s, PyObject *task)
{
	PyObject *at = descriptor_value(s->task_type, "_coro", task);

	for (int depth = 0; at && depth < CHAIN_MAX; depth++) {
		enum kind kind = kind_of(s, at);
		PyObject *next;
		size_t index;

		if (map__get(&s->by_hit, at, &index))
			s->hits[index].task = task;
		if (kind == GENERATOR || kind == COROUTINE || kind == ASYNC_GENERATOR)
			next = running__attr(at, flavours[kind].awaits);
		else
			next = behind_wrapper(s, at);
		py.Py_DecRef(at);
		at = next;
	}
	if (at)
		py.Py_DecRef(at);
}

static PyObject *task_name(const struct scan *s, PyObject *task)
{
	PyObject *get = running__attr((PyObject *)s->task_type, "get_name"), *name = NULL;

	if (get && Py_TYPE(get) == py.PyMethodDescr_Type)
		name = py.PyObject_CallFunctionObjArgs(get, task, NULL);
	running__calm();
	if (get)
		py.Py_DecRef(get);
	return name;
}

static void report_suspended(struct scan *s, PyObject *object, const struct hit *hit)
{
	const struct flavour *flavour = &flavours[hit->kind];
	PyObject *frame = running__attr(object, flavour->frame), *caller, *name;

	if (!frame)
		return; /* it has ended */
	caller = running__attr(frame, "f_back");
	if (!caller) { /* one that runs is on a stack, and was reported there */
		name = hit->task ? task_name(s, hit->task) : running__attr(object, "__qualname__");
		report__put(s->report, hit->task ? "task" : flavour->kind, running__text(name), hit->code->name,
			    py.PyFrame_GetLineNumber(frame), 0);
		if (name)
			py.Py_DecRef(name);
	} else {
		py.Py_DecRef(caller);
	}
	py.Py_DecRef(frame);
}

struct greenlet {
	struct found found;
	struct report *report;
	PyObject *object;
};

static bool greenlet__found(struct found *self, struct code_entry *code, int line)
{
	struct greenlet *g = (struct greenlet *)self;
	char name[40];

	snprintf(name, sizeof(name), "greenlet at %p", (void *)g->object);
	report__put(g->report, "greenlet", name, code->name, line, 0);
	return true;
}

static void report_greenlet(struct scan *s, PyObject *object)
{
	struct greenlet g = { .found.call = greenlet__found, .report = s->report, .object = object };
	PyObject *frame = descriptor_value(s->greenlet_type, "gr_frame", object);

	if (!frame)
		return;
	if (Py_TYPE(frame) == py.PyFrame_Type)
		running__walk(s->report->targets, frame, &g.found, &s->report->too_deep);
	py.Py_DecRef(frame);
}

/* Values in an lru_cache, and the function that it calls if it is a plain one (borrowed; `object` keeps it). The C type tells its members to
 * the garbage collector as keys and results, then `func` and `cache` next to each other (CPython, Modules/_functoolsmodule.c,
 * lru_cache_tp_traverse: in this order to 3.9, in the other one from 3.10 on), then types and its dict. cache_info() would run a
 * namedtuple's Python code. -1: not known. */
static Py_ssize_t lru_size(PyObject *object, PyObject **function)
{
	PyObject *list = referents(object), *cache = NULL;
	Py_ssize_t at = list ? py.PyList_Size(list) : 0, count = at, size = -1;

	*function = NULL;
	while (at-- > 0 && !*function)
		if (Py_TYPE(py.PyList_GetItem(list, at)) == py.PyFunction_Type)
			*function = py.PyList_GetItem(list, at);
	at++;
	if (*function && at + 1 < count)
		cache = py.PyList_GetItem(list, at + 1);
	if (*function && at > 0 && (!cache || Py_TYPE(cache) != py.PyDict_Type))
		cache = py.PyList_GetItem(list, at - 1);
	if (cache && Py_TYPE(cache) == py.PyDict_Type)
		size = py.PyDict_Size(cache);
	running__calm();
	if (list)
		py.Py_DecRef(list);
	return size;
}

static void note_lru(PyObject *object, const struct running_targets *t, const char *target, struct msg_out *out)
{
	PyObject *function;
	Py_ssize_t size = lru_size(object, &function);
	const struct code_entry *code = t && function ? running__find(t, py.PyFunction_GetCode(function)) : NULL;

	if (t && !code)
		return;
	target = code ? code->name : target;
	if (size > 0)
		msg__putf(out, PROTO_F_NOTE, "the lru_cache of %s holds %zd values computed by the old code: they stay",
			  target, size);
	else if (size < 0)
		msg__putf(out, PROTO_F_NOTE, "values that the lru_cache of %s already holds stay", target);
}

static void note_property(PyObject *object, const struct running_targets *t, const char *target, struct msg_out *out)
{
	PyObject *function = running__own(object, "func");
	const struct code_entry *code = NULL;

	if (t && function && Py_TYPE(function) == py.PyFunction_Type)
		code = running__find(t, py.PyFunction_GetCode(function));
	if (!t || code)
		msg__putf(out, PROTO_F_NOTE,
			  "values that the cached_property %s already computed stay with their objects",
			  code ? code->name : target);
	if (function)
		py.Py_DecRef(function);
}

void running__note_cache(PyObject *object, const char *target, struct msg_out *out)
{
	if (Py_TYPE(object) == loaded_type("functools", "_lru_cache_wrapper"))
		note_lru(object, NULL, target, out);
	else if (Py_TYPE(object) == loaded_type("functools", "cached_property"))
		note_property(object, NULL, target, out);
}

static void note_functions(const struct report *r)
{
	for (size_t i = 0; i < r->targets->count; i++) {
		const struct code_entry *code = &r->targets->codes[i];

		if (code->functions)
			msg__putf(r->out, PROTO_F_NOTE, "%llu function%s made earlier from %s keep%s the old code",
				  (unsigned long long)code->functions, code->functions > 1 ? "s" : "", code->name,
				  code->functions > 1 ? "" : "s");
	}
}

static void note_frozen(const struct report *r)
{
	PyObject *function = running__builtin("gc", "get_freeze_count");
	PyObject *count = function ? py.PyObject_CallObject(function, NULL) : NULL;
	long frozen = count && Py_TYPE(count) == py.PyLong_Type ? py.PyLong_AsLong(count) : 0;

	running__calm();
	if (frozen > FROZEN_FEW)
		msg__putf(r->out, PROTO_F_NOTE, "%ld objects are frozen (gc.freeze) and were not looked at", frozen);
	if (count)
		py.Py_DecRef(count);
	if (function)
		py.Py_DecRef(function);
}

static void report_all(struct scan *s)
{
	struct report *r = s->report;

	for (size_t i = 0; s->suspended.count && i < s->tasks.count; i++)
		follow_task(s, s->tasks.items[i]);
	for (size_t i = 0; i < s->suspended.count; i++)
		report_suspended(s, s->suspended.items[i], &s->hits[i]);
	for (size_t i = 0; i < s->greenlets.count; i++)
		report_greenlet(s, s->greenlets.items[i]);
	for (size_t i = 0; i < s->caches.count; i++)
		if (Py_TYPE(s->caches.items[i]) == s->lru_type)
			note_lru(s->caches.items[i], r->targets, NULL, r->out);
		else
			note_property(s->caches.items[i], r->targets, NULL, r->out);
	note_functions(r);
	note_frozen(r);
	if (s->incomplete)
		msg__put_str(r->out, PROTO_F_NOTE,
			     "memory ran out while all objects were looked through: the list is not complete");
}

void running__scan(struct report *r)
{
	struct scan s = { .report = r,
			  .task_type = loaded_type("_asyncio", "Task"),
			  .greenlet_type = loaded_type("greenlet", "greenlet"),
			  .lru_type = loaded_type("functools", "_lru_cache_wrapper"),
			  .property_type = loaded_type("functools", "cached_property") };

	for (size_t i = 0; i < r->targets->count; i++)
		r->targets->codes[i].functions = 0;
	if (sort_objects(&s))
		report_all(&s);
	else
		msg__put_str(r->out, PROTO_F_NOTE,
			     "the program does not let us look through its objects (an audit hook, or gc.get_objects "
			     "was replaced)");
	refs__free(&s.suspended);
	refs__free(&s.tasks);
	refs__free(&s.greenlets);
	refs__free(&s.caches);
	free(s.hits);
	map__free(&s.by_hit);
}
