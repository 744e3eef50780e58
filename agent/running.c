/*
 * running: the set of codes, the stacks of threads, and waiting until nobody is inside. The look through all objects is running_scan.c's.
 *
 * sys._current_frames makes its dict in C; from there on frames are followed by C functions that raise no audit event, so that what is
 * found is the state of one instant. The frames of other threads stand still as long as the GIL is held.
 */
#include "running.h"
#include "running_impl.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent.h"
#include "proto.h"

#define NESTED_MAX 100	       /* code objects in code objects: far more than the compiler allows */
#define PAUSE_FIRST_NS 1000000 /* the first release of the GIL while waiting; then twice as long each */
#define PAUSE_LAST_NS 20000000

static size_t place(const struct map *m, const void *key)
{
	size_t at = ((uintptr_t)key >> 4) * 0x9e3779b97f4a7c15ULL >> 20;

	while (m->entries[at & (m->room - 1)].key && m->entries[at & (m->room - 1)].key != key)
		at++;
	return at & (m->room - 1);
}

static int map__grow(struct map *m)
{
	struct map bigger = { .room = m->room ? m->room * 2 : 64 };

	bigger.entries = calloc(bigger.room, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -ENOMEM;
	for (size_t i = 0; i < m->room; i++)
		if (m->entries[i].key)
			bigger.entries[place(&bigger, m->entries[i].key)] = m->entries[i];
	bigger.used = m->used;
	free(m->entries);
	*m = bigger;
	return 0;
}

int map__put(struct map *m, const void *key, size_t value)
{
	if (m->used * 2 >= m->room && map__grow(m))
		return -ENOMEM;
	m->entries[place(m, key)] = (struct map_entry){ key, value };
	m->used++;
	return 0;
}

bool map__get(const struct map *m, const void *key, size_t *value)
{
	size_t at;

	if (!m->used)
		return false;
	at = place(m, key);
	if (!m->entries[at].key)
		return false;
	*value = m->entries[at].value;
	return true;
}

void map__free(struct map *m)
{
	free(m->entries);
	memset(m, 0, sizeof(*m));
}

int refs__add(struct refs *r, PyObject *object)
{
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 16;
		PyObject **items = realloc(r->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		r->items = items;
		r->room = room;
	}
	py.Py_IncRef(object);
	r->items[r->count++] = object;
	return 0;
}

void refs__free(struct refs *r)
{
	for (size_t i = 0; i < r->count; i++)
		py.Py_DecRef(r->items[i]);
	free(r->items);
	memset(r, 0, sizeof(*r));
}

void running__calm(void)
{
	if (py.PyErr_Occurred())
		py.PyErr_Clear();
}

PyObject *running__attr(PyObject *object, const char *name)
{
	PyObject *value = py.PyObject_GetAttrString(object, name);

	if (!value)
		running__calm();
	if (value == py.none) {
		py.Py_DecRef(value);
		return NULL;
	}
	return value;
}

const char *running__text(PyObject *object)
{
	const char *text = NULL;

	if (object && Py_TYPE(object) == py.PyUnicode_Type) {
		text = py.PyUnicode_AsUTF8AndSize(object, NULL);
		if (!text)
			running__calm(); /* lone surrogates */
	}
	return text;
}

PyObject *running__global(const char *module, const char *name)
{
	PyObject *modules = py.PyImport_GetModuleDict();
	PyObject *found = NULL;

	if (modules && Py_TYPE(modules) == py.PyDict_Type)
		found = py.PyDict_GetItemString(modules, module);
	if (found && Py_TYPE(found) == py.PyModule_Type)
		found = py.PyDict_GetItemString(py.PyModule_GetDict(found), name);
	else
		found = NULL;
	running__calm();
	return found;
}

PyObject *running__builtin(const char *module, const char *name)
{
	PyObject *found = running__global(module, name);

	if (!found || Py_TYPE(found) != py.PyCFunction_Type)
		return NULL;
	py.Py_IncRef(found);
	return found;
}

PyObject *running__own(PyObject *object, const char *name)
{
	PyObject *dict = py.PyObject_GenericGetDict(object, NULL);
	PyObject *value = NULL;

	if (dict && Py_TYPE(dict) == py.PyDict_Type) {
		value = py.PyDict_GetItemString(dict, name);
		if (value)
			py.Py_IncRef(value);
	}
	running__calm();
	if (dict)
		py.Py_DecRef(dict);
	return value;
}

struct running_targets *running__new(void)
{
	/* Built in, but not every program has loaded it; by this function no __import__ of the program is called. */
	PyObject *gc = running__global("gc", "isenabled") ? NULL
							  : py.PyImport_ImportModuleLevel("gc", NULL, NULL, NULL, 0);

	if (gc)
		py.Py_DecRef(gc);
	running__calm();
	return calloc(1, sizeof(struct running_targets));
}

void running__free(struct running_targets *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		py.Py_DecRef(t->codes[i].code);
		free(t->codes[i].name);
	}
	free(t->codes);
	map__free(&t->by_code);
	map__free(&t->known);
	refs__free(&t->held);
	free(t);
}

struct code_entry *running__find(const struct running_targets *t, const PyObject *code)
{
	size_t index;

	return map__get(&t->by_code, code, &index) ? &t->codes[index] : NULL;
}

int running__except(struct running_targets *t, PyObject *function)
{
	size_t index;

	if (map__get(&t->known, function, &index))
		return 0;
	return refs__add(&t->held, function) ? -ENOMEM : map__put(&t->known, function, 0);
}

/* Takes `name`. */
static int add_code(struct running_targets *t, PyObject *code, char *name, bool nested)
{
	if (!name)
		return -ENOMEM;
	if (t->count == t->room) {
		size_t room = t->room ? t->room * 2 : 16;
		struct code_entry *codes = realloc(t->codes, room * sizeof(*codes));

		if (!codes)
			goto no_memory;
		t->codes = codes;
		t->room = room;
	}
	if (map__put(&t->by_code, code, t->count))
		goto no_memory;
	py.Py_IncRef(code);
	t->codes[t->count++] = (struct code_entry){ .code = code, .name = name, .nested = nested };
	return 0;
no_memory:
	free(name);
	return -ENOMEM;
}

static char *nested_name(const char *outer, PyObject *code)
{
	PyObject *name = running__attr(code, "co_name");
	const char *text = running__text(name);
	char *whole = NULL;

	if (asprintf(&whole, "%s.<locals>.%s", outer, text ? text : "?") < 0)
		whole = NULL;
	if (name)
		py.Py_DecRef(name);
	return whole;
}

static int add_nested(struct running_targets *t, PyObject *code, const char *outer, int depth)
{
	PyObject *consts = running__attr(code, "co_consts");
	Py_ssize_t count = consts ? py.PyTuple_Size(consts) : 0;
	int err = 0;

	for (Py_ssize_t i = 0; i < count && !err && depth < NESTED_MAX; i++) {
		PyObject *inner = py.PyTuple_GetItem(consts, i);
		char *name;

		if (Py_TYPE(inner) != py.PyCode_Type || running__find(t, inner))
			continue;
		name = nested_name(outer, inner);
		err = add_code(t, inner, name, true);
		if (!err)
			err = add_nested(t, inner, name, depth + 1);
	}
	if (consts)
		py.Py_DecRef(consts);
	return err;
}

int running__add(struct running_targets *t, PyObject *code, const char *target, PyObject *function)
{
	struct code_entry *there = running__find(t, code);
	int err;

	if (function && running__except(t, function))
		return -ENOMEM;
	if (there) {
		there->nested = false;
		return 0;
	}
	err = add_code(t, code, strdup(target), false);
	return err ? err : add_nested(t, code, target, 0);
}

/* The head of a frame object of 3.8, where the attribute f_code is an audit event of its own and no function gives it (CPython 3.8,
 * Include/frameobject.h). */
struct frame_3_8 {
	PyObject head;
	Py_ssize_t size;
	PyObject *back, *code;
};

static PyObject *frame_code(PyObject *frame)
{
	const struct frame_3_8 *raw = (const void *)frame;

	if (py.PyFrame_GetCode)
		return py.PyFrame_GetCode(frame);
	if (Py_TYPE(raw->code) != py.PyCode_Type)
		return NULL;
	py.Py_IncRef(raw->code);
	return raw->code;
}

static PyObject *frame_back(PyObject *frame)
{
	PyObject *back = py.PyFrame_GetBack ? py.PyFrame_GetBack(frame) : running__attr(frame, "f_back");

	if (!back)
		running__calm();
	return back;
}

void running__walk(struct running_targets *t, PyObject *frame, struct found *found, bool *too_deep)
{
	bool more = true;
	long depth;

	t->stamp++;
	py.Py_IncRef(frame);
	for (depth = 0; frame && more && depth < RUNNING_DEPTH_MAX; depth++) {
		PyObject *code = frame_code(frame), *back;
		struct code_entry *entry = running__find(t, code);

		if (entry && entry->stamp != t->stamp) {
			entry->stamp = t->stamp;
			more = found->call(found, entry, py.PyFrame_GetLineNumber(frame));
		}
		back = frame_back(frame);
		py.Py_DecRef(frame);
		if (code)
			py.Py_DecRef(code);
		frame = back;
	}
	if (frame) {
		*too_deep |= more;
		py.Py_DecRef(frame);
	}
}

void report__put(struct report *r, const char *kind, const char *name, const char *target, int line, uint64_t thread)
{
	size_t at;

	if (r->groups == RUNNING_GROUPS_MAX) {
		r->left_out++;
		return;
	}
	r->groups++;
	at = msg__open(r->out, PROTO_F_RUNNING);
	msg__put_str(r->out, PROTO_F_KIND, kind);
	msg__put_str(r->out, PROTO_F_NAME, name);
	msg__put_str(r->out, PROTO_F_TARGET, target);
	msg__put_u64(r->out, PROTO_F_LINE, line > 0 ? line : 0);
	if (thread)
		msg__put_u64(r->out, PROTO_F_THREAD, thread);
	msg__close(r->out, at);
}

/* What threading knows of a thread. */
struct thread {
	struct found found;
	struct report *report; /* NULL: only whether there is one */
	bool targets_only, any;
	unsigned long ident;
	uint64_t native;
	PyObject *name; /* a reference, or NULL */
};

static void thread__ask(struct thread *th)
{
	PyObject *active = running__global("threading", "_active"), *key, *object = NULL, *native;

	th->name = NULL;
	th->native = th->ident;
	if (!active || Py_TYPE(active) != py.PyDict_Type)
		return;
	key = py.PyLong_FromUnsignedLong(th->ident);
	if (key) {
		object = py.PyDict_GetItem(active, key);
		py.Py_DecRef(key);
	}
	running__calm();
	if (!object)
		return;
	py.Py_IncRef(object);
	th->name = running__own(object, "_name");
	native = running__own(object, "_native_id");
	if (native && Py_TYPE(native) == py.PyLong_Type)
		th->native = py.PyLong_AsUnsignedLong(native);
	running__calm();
	if (native)
		py.Py_DecRef(native);
	py.Py_DecRef(object);
}

static bool thread__found(struct found *self, struct code_entry *code, int line)
{
	struct thread *th = (struct thread *)self;

	if (th->targets_only && code->nested)
		return true;
	th->any = true;
	if (!th->report)
		return false;
	if (!th->native)
		thread__ask(th);
	report__put(th->report, "thread", running__text(th->name), code->name, line, th->native);
	return true;
}

/* Looks at all threads. 1 if somebody is inside, 0, or as running__anyone. */
static int look(struct running_targets *t, struct report *report, bool targets_only, bool *too_deep)
{
	PyObject *function = running__builtin("sys", "_current_frames"), *frames, *ident, *frame;
	bool any = false;
	Py_ssize_t at = 0;

	frames = function ? py.PyObject_CallObject(function, NULL) : NULL;
	if (function)
		py.Py_DecRef(function);
	if (!frames) {
		running__calm();
		return -EPERM;
	}
	while (py.PyDict_Next(frames, &at, &ident, &frame) && (report || !any)) {
		struct thread th = { .found.call = thread__found, .report = report, .targets_only = targets_only };

		th.ident = py.PyLong_AsUnsignedLong(ident);
		if (th.ident == (unsigned long)pthread_self() || Py_TYPE(frame) != py.PyFrame_Type)
			continue;
		running__walk(t, frame, &th.found, too_deep);
		any |= th.any;
		if (th.name)
			py.Py_DecRef(th.name);
	}
	py.Py_DecRef(frames);
	return any;
}

static PyObject *call_gc(const char *name)
{
	PyObject *function = running__builtin("gc", name);
	PyObject *result = function ? py.PyObject_CallObject(function, NULL) : NULL;

	running__calm();
	if (function)
		py.Py_DecRef(function);
	return result;
}

bool running__gc_pause(void)
{
	PyObject *on, *done;
	bool was_on;

	if (py.PyGC_Disable)
		return py.PyGC_Disable();
	on = call_gc("isenabled");
	was_on = on == py.true_;
	done = was_on ? call_gc("disable") : NULL;
	if (on)
		py.Py_DecRef(on);
	if (done)
		py.Py_DecRef(done);
	return was_on;
}

void running__gc_resume(bool was_on)
{
	PyObject *done;

	if (!was_on)
		return;
	if (py.PyGC_Enable) {
		py.PyGC_Enable();
		return;
	}
	done = call_gc("enable");
	if (done)
		py.Py_DecRef(done);
}

static void put_limits(struct report *r)
{
	if (r->left_out)
		msg__putf(r->out, PROTO_F_NOTE, "%u more are inside and not listed", r->left_out);
	if (r->too_deep)
		msg__putf(r->out, PROTO_F_NOTE, "a stack is deeper than %d frames: what is below was not looked at",
			  RUNNING_DEPTH_MAX);
}

void running__report(struct running_targets *t, bool scan, struct msg_out *out)
{
	struct report r = { .targets = t, .out = out };
	bool gc = running__gc_pause();

	if (look(t, &r, false, &r.too_deep) < 0)
		msg__put_str(out, PROTO_F_NOTE,
			     "the program does not let us see the stacks of its threads (an audit hook, or "
			     "sys._current_frames was replaced)");
	if (scan)
		running__scan(&r);
	put_limits(&r);
	running__gc_resume(gc);
}

int running__anyone(struct running_targets *t)
{
	bool gc = running__gc_pause(), too_deep = false;
	int any = look(t, NULL, true, &too_deep);

	running__gc_resume(gc);
	return any == 0 && too_deep ? 1 : any; /* who has not looked everywhere does not know that nobody is there */
}

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void release_gil(uint64_t ns)
{
	struct timespec pause = { .tv_nsec = (long)ns };
	PyThreadState *state = py.PyEval_SaveThread();

	nanosleep(&pause, NULL);
	py.PyEval_RestoreThread(state);
}

int running__wait_quiescent(struct running_targets *t, uint64_t deadline_ns, struct msg_out *out)
{
	struct report r = { .targets = t, .out = out };
	uint64_t pause = PAUSE_FIRST_NS;
	int any;

	while ((any = running__anyone(t)) == 1) {
		uint64_t time = now();

		if (time >= deadline_ns)
			break;
		if (!agent__is_running())
			return -ECANCELED;
		release_gil(deadline_ns - time < pause ? deadline_ns - time : pause);
		pause = pause * 2 < PAUSE_LAST_NS ? pause * 2 : PAUSE_LAST_NS;
	}
	if (any != 1)
		return any;
	any = look(t, &r, true, &r.too_deep);
	put_limits(&r);
	return any < 0 ? any : -EBUSY;
}
