/*
 * pyobj_priv: what pyobj's own files, value_type.c, which reads types as they do, and the unit tests share. Not for anybody
 * else.
 */
#ifndef PYLU_PYOBJ_PRIV_H
#define PYLU_PYOBJ_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addrmap.h"
#include "layout.h"
#include "mem.h"
#include "pyobj.h"

/* X(kind, exported type object). */
#define PYOBJ_TYPES(X)                                                       \
	X(TYPE, "PyType_Type")                                               \
	X(STR, "PyUnicode_Type")                                             \
	X(DICT, "PyDict_Type")                                               \
	X(LIST, "PyList_Type")                                               \
	X(TUPLE, "PyTuple_Type")                                             \
	X(INT, "PyLong_Type")                                                \
	X(MODULE, "PyModule_Type")                                           \
	X(FUNCTION, "PyFunction_Type")                                       \
	X(CODE, "PyCode_Type")                                               \
	X(CELL, "PyCell_Type")                                               \
	X(CLASSMETHOD, "PyClassMethod_Type")                                 \
	X(STATICMETHOD, "PyStaticMethod_Type")                               \
	X(PROPERTY, "PyProperty_Type")                                       \
	X(BYTES, "PyBytes_Type")                                             \
	/* common in class and module dicts, and never lead to a function */ \
	X(CFUNCTION, "PyCFunction_Type")                                     \
	X(METHOD_DESCR, "PyMethodDescr_Type")                                \
	X(MEMBER_DESCR, "PyMemberDescr_Type")                                \
	X(GETSET_DESCR, "PyGetSetDescr_Type")                                \
	X(WRAPPER_DESCR, "PyWrapperDescr_Type")

enum pyobj_kind {
	KIND_OTHER,
#define PYOBJ_KIND(kind, symbol) KIND_##kind,
	PYOBJ_TYPES(PYOBJ_KIND)
#undef PYOBJ_KIND
		KIND_COUNT,
};

/* X(kind, exported object): what a walk for functions need not know, and a decoder of values does. */
#define PYOBJ_OBJECTS(X)                               \
	X(NONE, "_Py_NoneStruct")                      \
	X(TRUE, "_Py_TrueStruct")                      \
	X(FALSE, "_Py_FalseStruct")                    \
	X(ELLIPSIS, "_Py_EllipsisObject")              \
	X(NOT_IMPLEMENTED, "_Py_NotImplementedStruct") \
	X(BOOL, "PyBool_Type")                         \
	X(FLOAT, "PyFloat_Type")                       \
	X(COMPLEX, "PyComplex_Type")                   \
	X(BYTES, "PyBytes_Type")                       \
	X(BYTEARRAY, "PyByteArray_Type")               \
	X(SET, "PySet_Type")                           \
	X(FROZENSET, "PyFrozenSet_Type")               \
	X(RANGE, "PyRange_Type")                       \
	X(SLICE, "PySlice_Type")                       \
	X(METHOD, "PyMethod_Type")                     \
	X(OBJECT, "PyBaseObject_Type")

enum pyobj_object {
#define PYOBJ_OBJECT(kind, symbol) PYOBJ_##kind,
	PYOBJ_OBJECTS(PYOBJ_OBJECT)
#undef PYOBJ_OBJECT
		PYOBJ_COUNT,
};

/* Bits of tp_flags, the same in all versions with a layout (Include/object.h). */
#define TPFLAGS_INLINE_VALUES (1u << 2)
#define TPFLAGS_MANAGED_DICT (1u << 4)
#define TPFLAGS_HEAPTYPE (1u << 9)
#define TPFLAGS_HAVE_GC (1u << 14)
#define TPFLAGS_LONG_SUBCLASS (1u << 24)
#define TPFLAGS_LIST_SUBCLASS (1u << 25)
#define TPFLAGS_TUPLE_SUBCLASS (1u << 26)
#define TPFLAGS_UNICODE_SUBCLASS (1u << 28)
#define TPFLAGS_DICT_SUBCLASS (1u << 29)
#define TPFLAGS_EXCEPTION_SUBCLASS (1u << 30)
#define TPFLAGS_TYPE_SUBCLASS (1u << 31)

/* Bits of co_flags (Include/cpython/code.h). A code object that has neither is the body of a module or a class. */
#define CO_OPTIMIZED 0x1u
#define CO_NEWLOCALS 0x2u

#define DICT_ENTRIES_MAX 1000000
#define TUPLE_ITEMS_MAX 1000000

/* What one question may cost, in cached reads: a reading of the target's memory counts for 16 of them, and each 64 bytes
 * for one more. All loops are bounded, but damaged memory may put one into another: a million modules that all have the
 * same dict with a million entries. 28,000 functions cost 2 million. */
#define WORK_MAX (UINT64_C(1) << 27)
#define WORK_SMALL_MAX (WORK_MAX / 16) /* what is asked about one module or thread, and therefore often */

/* What we keep of a type. */
struct pyobj_type {
	uint64_t addr;
	enum pyobj_kind kind; /* of its instances, by the nearest base that we know */
	uint64_t flags, base, dict;
	int64_t basicsize, itemsize, dictoffset;
};

/* Addresses of the interpreter's exported objects. */
struct pyobj_symbols {
	uint64_t runtime;
	uint64_t types[KIND_COUNT];
	uint64_t objects[PYOBJ_COUNT]; /* 0: not exported */
};

struct pyobj_cache;
struct pyobj_names;

struct pyobj_reader {
	struct mem *mem; /* the target's */
	struct layout layout;
	const struct layout *lay; /* the same */
	struct pyobj_symbols sym;
	struct pyobj_cache *cache; /* only while a walk is under way: pages and types as they were when it met them */
	struct pyobj_names *names; /* pyobj_func.c's: answers of pyobj__qualname; NULL until asked */
};

/* A reader without a target. Nothing is copied from `m`, which must outlive it. 0, or -ENOMEM reported. */
int pyobj_reader__new_at(struct mem *m, const struct layout *lay, const struct pyobj_symbols *sym,
			 struct pyobj_reader **out);

/* From here to the end every page is read once, and no more than `work` is done. May be nested: the outermost bound
 * counts. */
int pyobj_cache__begin(struct pyobj_reader *r, uint64_t work, bool *mine);
void pyobj_cache__end(struct pyobj_reader *r, bool mine);
/* Whether the bound was reached: nothing can be read any more. */
bool pyobj_cache__spent(const struct pyobj_reader *r);

/* mem__read, through the cache while there is one; -E2BIG behind its bound. */
int pyobj__read(struct pyobj_reader *r, uint64_t addr, void *buf, size_t len);
int pyobj__read_u64(struct pyobj_reader *r, uint64_t addr, uint64_t *out);

/* Fields of a struct that was read into `buf`. Not for OFF_NONE. */
uint64_t field_u64(const uint8_t *buf, int32_t offset);
uint32_t field_u32(const uint8_t *buf, int32_t offset);

/* How many bytes from its start hold these 8-byte fields of a struct, OFF_NONE ones left out; at most `max`. */
size_t fields_end(const int32_t *offsets, size_t n, size_t max);

/* The type of an object, or the type at `type`. 0, -EINVAL when it is no type, or mem__read's codes. */
int pyobj__type(struct pyobj_reader *r, uint64_t obj, struct pyobj_type *out);
int pyobj_type__read(struct pyobj_reader *r, uint64_t type, struct pyobj_type *out);

/* Whether `obj` is the str `text` (ASCII). Anything unreadable is not. */
bool pyobj__str_is(struct pyobj_reader *r, uint64_t obj, const char *text);

/* An int of at most 60 bits. 0, -EINVAL, -ERANGE, or mem__read's codes. */
int pyobj__int(struct pyobj_reader *r, uint64_t obj, int64_t *out);

/* Calls fn for each item of a tuple or list: at most `max` of them. fn returning non-zero stops, and is returned. */
int pyobj__items_each(struct pyobj_reader *r, uint64_t obj, size_t max, int (*fn)(uint64_t item, void *ctx), void *ctx);

/* pyobj__dict_each for the attributes in an instance's dict or inline values; none is no error. */
int pyobj__attrs_each(struct pyobj_reader *r, uint64_t obj, const struct pyobj_type *type,
		      int (*fn)(uint64_t key, uint64_t value, void *ctx), void *ctx);

/* Calls fn for each entry of each interpreter's sys.modules. 0, what fn returned, or mem__read's codes. */
int pyobj__modules_each(struct pyobj_reader *r, int (*fn)(uint64_t name, uint64_t module, void *ctx), void *ctx);

/* The namespace of what stands in sys.modules, or 0 when it has none. */
uint64_t pyobj__module_dict(struct pyobj_reader *r, uint64_t module);

/* What a walk tells of a code object. The strings live during the call only. */
struct walk_func {
	struct pyfunc func;
	bool listed; /* its module is in sys.modules */
	bool body;   /* of a class or a module: no function */
};

/* Walks all modules (globals 0), or only what belongs to the module with this namespace. 0, what fn returned, or a
 * negative code, not reported. */
int pyobj_walk(struct pyobj_reader *r, uint64_t globals, int (*fn)(const struct walk_func *f, void *ctx), void *ctx);

/* Keeps a code object's name for pyobj__qualname. 0 or -ENOMEM. */
int pyobj_names__keep(struct pyobj_reader *r, const struct walk_func *f);
void pyobj_names__free(struct pyobj_names *names);

#endif
