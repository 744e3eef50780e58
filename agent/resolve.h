/*
 * resolve: from the name of a target to the function that would be changed. Looks into __dict__s along the path and runs no foreign
 * code: no module's __getattr__, no descriptor, no metaclass.
 */
#ifndef PYLU_RESOLVE_H
#define PYLU_RESOLVE_H

#include "msg.h"
#include "py.h"

#define RESOLVE_NAME_MAX 1024
#define RESOLVE_LAYERS_MAX 32

struct resolved {
	char canonical[RESOLVE_NAME_MAX]; /* module.qualname, with @N where there are several layers */
	char module[RESOLVE_NAME_MAX];
	const char *qualname; /* in `canonical`; without @N: see qualname_len */
	const char *kind;     /* static storage: function, staticmethod, ..., or absent, value, class, module */
	PyObject *globals;    /* of the module; new reference */
	PyObject *holder;     /* the module or class that has the name itself, NULL when none has; new reference */
	PyObject *value;      /* what stands there, NULL when absent; new reference */
	PyObject *function;   /* the function inside it that would be changed, NULL when there is none; new reference */
	PyObject *layers[RESOLVE_LAYERS_MAX]; /* functions from the outermost in; new references */
	unsigned n_layers, layer;
	char name[RESOLVE_NAME_MAX]; /* in the holder */
	char class_name[256];	     /* of the innermost class around it, "" when there is none */
};

/* 0, or a code of enum proto_code with the sentence put. Free with resolve__free in either case. */
int resolve(const char *target, struct resolved *out, struct msg_out *answer);
void resolve__free(struct resolved *r);

#endif
