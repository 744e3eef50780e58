/*
 * resolve: from the name of a target to the function that would be changed, and back into an answer. Looks into __dict__s along the path and runs
 * no foreign code (look.h). It changes nothing.
 *
 * LAYERS. What stands at a name may wrap a function: staticmethod, property, partial, an lru_cache, a decorator's function. Each function
 * on the way in is a layer, 0 the outermost. A decorator's function is seen through by its __wrapped__, else by its closure, if a
 * cell leads to a function whose __qualname__ is the target's. The innermost is taken unless `@N` says otherwise.
 */
#ifndef PYLU_RESOLVE_H
#define PYLU_RESOLVE_H

#include "msg.h"
#include "py.h"

#define RESOLVE_NAME_MAX 1024
#define RESOLVE_LAYERS_MAX 32

struct resolved {
	char canonical
		[RESOLVE_NAME_MAX]; /* module.qualname without @N; of the module that the function is in, where it was imported from there */
	char module[RESOLVE_NAME_MAX];
	const char *qualname; /* in `canonical` */
	const char *kind;     /* static storage: function, staticmethod, ..., nested, or absent, value, class, module */
	PyObject *globals;    /* the function's, else the module's; new reference */
	PyObject *holder;     /* the module or class that has the name itself, NULL when none has; new reference */
	PyObject *value;      /* what stands there, NULL when absent; new reference */
	PyObject *function;   /* the function that would be changed, NULL when there is none; new reference */
	PyObject *
		code; /* its code; of a nested target that function's code, which is a constant inside it; new reference */
	PyObject *cache;		      /* the lru_cache or cached_property around it, or NULL; new reference */
	PyObject *layers[RESOLVE_LAYERS_MAX]; /* functions from the outermost in; new references */
	unsigned n_layers, layer;
	char name[RESOLVE_NAME_MAX]; /* in the holder */
	char class_name[256];	     /* of the innermost class around it, "" when there is none */
	char path
		[RESOLVE_NAME_MAX]; /* below the module, of what stands in the holder: 'Shop.price' of 'Shop.price.setter' */
};

/* 0, or a code of enum proto_code with the sentence put. Free with resolve__free in either case. */
int resolve(const char *target, struct resolved *out, struct msg_out *answer);
void resolve__free(struct resolved *r);

/* resolve_layers.c: follows what wraps what from `first` to the innermost function. Adds to layers, kind and cache. */
void resolve__unwrap(struct resolved *r, PyObject *first);
/* resolve_nested.c: goes on inside r's function, along names of functions and classes that are separated by `.` and `<locals>`. Sets code. 0 or a code. */
int resolve__nested(struct resolved *r, char *path, struct msg_out *answer);

/* Puts a NOTE for each thing that the user should know of it before it is changed: which of the layers it is, what is kept. */
void resolve__put_notes(const struct resolved *r, struct msg_out *out);
/* Puts the LAYER groups of the layers around it. */
void resolve__put_layers(const struct resolved *r, struct msg_out *out);

#endif
