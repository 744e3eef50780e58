/*
 * look: what modules, classes and the interpreter's own objects have, without running a line of foreign code: no module's
 * __getattr__, no descriptor, no metaclass. It knows no targets.
 *
 * With the GIL held; the error indicator is clear afterwards, except where it says otherwise.
 */
#ifndef PYLU_LOOK_H
#define PYLU_LOOK_H

#include "py.h"

/* An attribute of an object of one of the interpreter's own types. New reference, or NULL when it has none. */
PyObject *look__attr(PyObject *o, const char *name);
/* What type itself says of a class, as "__dict__", "__mro__" or "__name__", whatever its metaclass would. New reference, or NULL. */
PyObject *look__of_type(PyObject *type, const char *name);
/* The dict of a module, a mappingproxy of that of a class; NULL for anything else. New reference. */
PyObject *look__dict(PyObject *holder);
/* The entry of a module or class itself: not inherited, not computed. New reference, or NULL when it has none. */
PyObject *look__own(PyObject *holder, PyObject *name);
/* Puts an entry there, or with NULL takes it away. 0, or -1 with an exception. */
int look__put(PyObject *holder, PyObject *name, PyObject *value);
/* Whether the object is an instance of the class `name` of module functools, or of a subclass. */
bool look__is_functools(PyObject *o, const char *name);
/* Whether the object is a str that says this. */
bool look__says(PyObject *o, const char *text);
/* An attribute that is a number, 0 where it is none. */
uint64_t look__number(PyObject *o, const char *name);
/* The name of an object's type, as UTF-8; to be freed, or NULL. */
char *look__type_name(PyObject *o);

#define LOOK_NEAREST_MAX 512
/* Writes " (nearest: 'a', 'b')" with up to three of the names, or nothing when none is near. `names` is any iterable of str, or NULL. */
void look__nearest(PyObject *names, const char *wanted, char out[LOOK_NEAREST_MAX]);

#endif
