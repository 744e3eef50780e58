/* patch_apply: a patch's change, and back: the values and the functions, all of them or none. See patch.h. */
#include "patch.h"

#include <time.h>

#include "handlers.h"
#include "look.h"
#include "running.h"

/* A change that is under way: for a forked child. */
static struct {
	struct patch *p;
	bool back;
	size_t done; /* changes whose values are put */
} moving;

static bool is_value(const struct change *c)
{
	return c->kind != CHANGE_REDEFINE;
}

/* Puts the values of the first n changes, from the last to the first when they go away. 0, or -1 with an exception and all as it was. */
static int put_values(struct patch *p, size_t n, bool back)
{
	PyObject *type, *value, *traceback;

	for (size_t k = 0; k < n; k++) {
		struct change *c = &p->changes[back ? n - 1 - k : k];

		if (is_value(c) && look__put(c->holder, c->name, back ? c->before : c->value)) {
			py.PyErr_Fetch(&type, &value, &traceback);
			while (k--) {
				c = &p->changes[back ? n - 1 - k : k];
				if (is_value(c) && look__put(c->holder, c->name, back ? c->value : c->before))
					py.PyErr_Clear();
			}
			py.PyErr_Restore(type, value, traceback);
			return -1;
		}
	}
	return 0;
}

/* The new functions find what was added: values come first, and go last. */
static int exchange(struct patch *p, bool back)
{
	PyObject *type, *value, *traceback;
	int err = back ? swap_all(p->items, p->n_items, true) : put_values(p, p->n, false);

	if (err)
		return err;
	err = back ? put_values(p, p->n, true) : swap_all(p->items, p->n_items, false);
	if (!err)
		return 0;
	py.PyErr_Fetch(&type, &value, &traceback);
	if (back ? swap_all(p->items, p->n_items, false) : put_values(p, p->n, true))
		py.PyErr_Clear();
	py.PyErr_Restore(type, value, traceback);
	return err;
}

static bool has_file(const struct patch *p, const struct patch *other)
{
	int same = p->file && other->file ? py.PyObject_RichCompareBool(p->file, other->file, Py_EQ) : 0;

	py.PyErr_Clear();
	return same > 0;
}

/* Puts the source where traceback and inspect look for it, or takes it away with the last patch of that file. */
static void tell_linecache(const struct patch *p, bool on)
{
	PyObject *module, *cache, *lines = NULL, *entry = NULL;

	for (const struct patch *q = patch__first(); q && !on; q = q->next)
		if (q != p && patch__is_on(q) && has_file(p, q))
			return;
	module = p->file && p->source ? py.PyImport_ImportModule("linecache") : NULL;
	cache = module ? py.PyObject_GetAttrString(module, "cache") : NULL;
	if (cache && on) {
		lines = py.PyObject_CallMethod(p->source, "splitlines", "i", 1);
		/* Without a time it is never looked for on the disk. */
		if (lines)
			entry = py.Py_BuildValue("(nOOO)", py.PyUnicode_GetLength(p->source), py.none, lines, p->file);
		if (entry)
			py.PyObject_SetItem(cache, p->file, entry);
	} else if (cache) {
		py.PyObject_DelItem(cache, p->file);
	}
	py.PyErr_Clear();
	py.Py_DecRef(entry);
	py.Py_DecRef(lines);
	py.Py_DecRef(cache);
	py.Py_DecRef(module);
}

static int move(struct patch *p, bool back)
{
	bool gc = running__gc_pause();
	int err;

	moving.p = p;
	moving.back = back;
	err = exchange(p, back);
	moving.p = NULL;
	running__gc_resume(gc);
	if (!err)
		tell_linecache(p, !back);
	return err;
}

int patch__apply(struct patch *p)
{
	return move(p, false);
}

int patch__take_back(struct patch *p)
{
	return move(p, true);
}

static int changed(const struct change *c, struct msg_out *answer)
{
	return fail(answer, PROTO_E_CHANGED, "'%s' was changed since this was prepared; try again", c->target);
}

/* Of a nested function's surroundings only the code is new. */
static int refresh_function(const struct change *c)
{
	PyObject *code = py__new_ref(c->item->new.attrs[0]);

	if (swap_side__read(&c->item->old, c->item->function) ||
	    (c->nested && swap_side__read(&c->item->new, c->item->function))) {
		py.Py_DecRef(code);
		return -1;
	}
	py.Py_DecRef(c->item->new.attrs[0]);
	c->item->new.attrs[0] = code;
	return 0;
}

int patch__refresh(struct patch *p, struct msg_out *answer)
{
	PyObject *now;

	for (size_t i = 0; i < p->n; i++) {
		const struct change *c = &p->changes[i];

		if (is_value(c)) {
			now = look__own(c->holder, c->name);
			py.Py_DecRef(now);
			if (now != c->before)
				return changed(c, answer);
		} else if (py.PyFunction_GetCode(c->item->function) != c->item->old.attrs[0]) {
			return changed(c, answer);
		} else if (refresh_function(c)) {
			return fail_python(answer, PROTO_E_FAILED, "what '%s' is made of cannot be read", c->target);
		}
	}
	return 0;
}

void patch__apply_after_fork(void)
{
	struct patch *p = moving.p;
	bool there;

	moving.p = NULL;
	if (!p)
		return;
	/* Without functions, or before it came to them, it goes back to where it was. */
	there = swap__after_fork();
	for (size_t i = 0; i < p->n; i++) {
		struct change *c = &p->changes[i];
		bool new = there != moving.back;

		if (is_value(c) && look__put(c->holder, c->name, new ? c->value : c->before))
			py.PyErr_Clear();
	}
	if (there && !moving.back)
		patch__applied(p, patch__clock(CLOCK_MONOTONIC));
	else if (there)
		patch__ended(p, PATCH_REVERTED, "it was being taken back when this process was forked");
}
