/*
 * py: the interpreter as the agent sees it: one table of pointers, filled by dlsym from the interpreter that is mapped. So
 * that one binary serves every version, and nothing is undefined where there is none, no Python symbol is named in any other way
 * and Python's headers are not included: what they would say is declared here, as far as it is the same from 3.8 to 3.15.
 * tests/e2e/test_agent_py.py holds the declarations against the real headers.
 *
 * No '#' in the formats of Py_BuildValue and PyArg_Parse...: what it takes depends on the version.
 *
 * Objects are opaque. Reference counts go through Py_IncRef and Py_DecRef, which take NULL. All of it needs the GIL, except what
 * says otherwise.
 */
#ifndef PYLU_PY_H
#define PYLU_PY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef Py_PYTHON_H
typedef ssize_t Py_ssize_t;
typedef struct _object PyObject;
typedef struct _typeobject PyTypeObject;
typedef struct _ts PyThreadState;
typedef struct _is PyInterpreterState;
typedef enum { PyGILState_LOCKED, PyGILState_UNLOCKED } PyGILState_STATE;
typedef PyObject *(*PyCFunction)(PyObject *self, PyObject *args);
typedef void (*PyCapsule_Destructor)(PyObject *);
typedef struct PyMethodDef {
	const char *ml_name;
	PyCFunction ml_meth;
	int ml_flags;
	const char *ml_doc;
} PyMethodDef;
#define METH_VARARGS 0x0001
#define METH_KEYWORDS 0x0002
#define METH_NOARGS 0x0004
#define METH_O 0x0008
typedef struct {
	int slot;
	void *pfunc;
} PyType_Slot;
typedef struct {
	const char *name;
	int basicsize, itemsize;
	unsigned int flags;
	PyType_Slot *slots;
} PyType_Spec;
/* The stable ABI's head of an object. Free-threaded builds have another one, and get no agent. */
struct _object {
	Py_ssize_t ob_refcnt;
	PyTypeObject *ob_type;
};
typedef struct PyModuleDef_Base {
	PyObject ob_base;
	PyObject *(*m_init)(void);
	Py_ssize_t m_index;
	PyObject *m_copy;
} PyModuleDef_Base;
typedef struct PyModuleDef {
	PyModuleDef_Base m_base;
	const char *m_name, *m_doc;
	Py_ssize_t m_size;
	PyMethodDef *m_methods;
	void *m_slots, *m_traverse, *m_clear, *m_free;
} PyModuleDef;
#define Py_TYPE(o) ((o)->ob_type)
#define Py_LT 0
#define Py_LE 1
#define Py_EQ 2
#define Py_NE 3
#define Py_GT 4
#define Py_GE 5
#define Py_file_input 257
#define Py_eval_input 258
#define Py_tp_call 50
#define Py_tp_dealloc 52
#define Py_tp_doc 56
#define Py_tp_new 65
#define Py_tp_methods 64
#define Py_tp_traverse 71
#define Py_tp_clear 51
#define Py_tp_repr 66
#define Py_TPFLAGS_DEFAULT (1UL << 18) /* what all versions have in common */
#define Py_TPFLAGS_HAVE_GC (1UL << 14)
#define PYTHON_API_VERSION 1013
#endif
#define PY_ABI_VERSION 3 /* PyModule_Create2's, for a module of the limited API */

/* Functions that all versions from 3.8 to 3.15 have: without one of them there is no agent. */
#define PY_FUNCTIONS(X)                                                                                    \
	/* life and threads */                                                                             \
	X(int, Py_IsInitialized, (void))	       /* no GIL */                                        \
	X(const char *, Py_GetVersion, (void))	       /* no GIL */                                        \
	X(PyGILState_STATE, PyGILState_Ensure, (void)) /* no GIL */                                        \
	X(void, PyGILState_Release, (PyGILState_STATE))                                                    \
	X(PyThreadState *, PyGILState_GetThisThreadState, (void)) /* no GIL */                             \
	X(PyThreadState *, PyEval_SaveThread, (void))                                                      \
	X(void, PyEval_RestoreThread, (PyThreadState *)) /* no GIL */                                      \
	X(PyThreadState *, PyThreadState_Get, (void))                                                      \
	X(int, PyThreadState_SetAsyncExc, (unsigned long, PyObject *))                                     \
	X(PyInterpreterState *, PyInterpreterState_Main, (void)) /* no GIL */                              \
	X(unsigned long, PyThread_get_thread_ident, (void))	 /* no GIL */                              \
	X(int, Py_AddPendingCall, (int (*)(void *), void *))	 /* no GIL */                              \
	X(int, Py_MakePendingCalls, (void))                                                                \
	X(int, PyErr_CheckSignals, (void))                                                                 \
	/* references and memory */                                                                        \
	X(void, Py_IncRef, (PyObject *))                                                                   \
	X(void, Py_DecRef, (PyObject *))                                                                   \
	X(void *, PyMem_Malloc, (size_t))                                                                  \
	X(void, PyMem_Free, (void *))                                                                      \
	X(Py_ssize_t, PyGC_Collect, (void))                                                                \
	X(void, PyObject_GC_UnTrack, (void *))                                                             \
	X(void, PyObject_GC_Track, (void *))                                                               \
	X(void, PyObject_GC_Del, (void *))                                                                 \
	X(void, PyObject_Free, (void *))                                                                   \
	/* objects */                                                                                      \
	X(PyObject *, PyObject_GetAttr, (PyObject *, PyObject *))                                          \
	X(PyObject *, PyObject_GetAttrString, (PyObject *, const char *))                                  \
	X(int, PyObject_HasAttrString, (PyObject *, const char *))                                         \
	X(int, PyObject_SetAttr, (PyObject *, PyObject *, PyObject *))                                     \
	X(int, PyObject_SetAttrString, (PyObject *, const char *, PyObject *))                             \
	X(PyObject *, PyObject_GenericGetAttr, (PyObject *, PyObject *))                                   \
	X(int, PyObject_GenericSetAttr, (PyObject *, PyObject *, PyObject *))                              \
	X(PyObject *, PyObject_GenericGetDict, (PyObject *, void *))                                       \
	X(PyObject *, PyObject_GetItem, (PyObject *, PyObject *))                                          \
	X(int, PyObject_SetItem, (PyObject *, PyObject *, PyObject *))                                     \
	X(int, PyObject_DelItem, (PyObject *, PyObject *))                                                 \
	X(Py_ssize_t, PyObject_Size, (PyObject *))                                                         \
	X(PyObject *, PyObject_Call, (PyObject *, PyObject *, PyObject *))                                 \
	X(PyObject *, PyObject_CallObject, (PyObject *, PyObject *))                                       \
	X(PyObject *, PyObject_CallFunction, (PyObject *, const char *, ...))                              \
	X(PyObject *, PyObject_CallMethod, (PyObject *, const char *, const char *, ...))                  \
	X(PyObject *, PyObject_CallFunctionObjArgs, (PyObject *, ...))                                     \
	X(PyObject *, PyObject_CallMethodObjArgs, (PyObject *, PyObject *, ...))                           \
	X(PyObject *, PyObject_Repr, (PyObject *))                                                         \
	X(PyObject *, PyObject_Str, (PyObject *))                                                          \
	X(PyObject *, PyObject_Type, (PyObject *))                                                         \
	X(PyObject *, PyObject_Dir, (PyObject *))                                                          \
	X(PyObject *, PyObject_GetIter, (PyObject *))                                                      \
	X(PyObject *, PyIter_Next, (PyObject *))                                                           \
	X(PyObject *, PyObject_RichCompare, (PyObject *, PyObject *, int))                                 \
	X(int, PyObject_RichCompareBool, (PyObject *, PyObject *, int))                                    \
	X(Py_ssize_t, PyObject_Hash, (PyObject *))                                                         \
	X(int, PyObject_IsTrue, (PyObject *))                                                              \
	X(int, PyObject_IsInstance, (PyObject *, PyObject *))                                              \
	X(int, PyObject_IsSubclass, (PyObject *, PyObject *))                                              \
	X(int, PyCallable_Check, (PyObject *))                                                             \
	X(int, PyType_IsSubtype, (PyTypeObject *, PyTypeObject *))                                         \
	X(unsigned long, PyType_GetFlags, (PyTypeObject *))                                                \
	X(PyObject *, PyType_FromSpec, (PyType_Spec *))                                                    \
	X(PyObject *, PyType_GenericAlloc, (PyTypeObject *, Py_ssize_t))                                   \
	X(int, PyType_Ready, (PyTypeObject *))                                                             \
	X(void, PyType_Modified, (PyTypeObject *))                                                         \
	/* dicts */                                                                                        \
	X(PyObject *, PyDict_New, (void))                                                                  \
	X(PyObject *, PyDict_GetItem, (PyObject *, PyObject *))                                            \
	X(PyObject *, PyDict_GetItemWithError, (PyObject *, PyObject *))                                   \
	X(PyObject *, PyDict_GetItemString, (PyObject *, const char *))                                    \
	X(int, PyDict_SetItem, (PyObject *, PyObject *, PyObject *))                                       \
	X(int, PyDict_SetItemString, (PyObject *, const char *, PyObject *))                               \
	X(int, PyDict_DelItem, (PyObject *, PyObject *))                                                   \
	X(int, PyDict_DelItemString, (PyObject *, const char *))                                           \
	X(int, PyDict_Contains, (PyObject *, PyObject *))                                                  \
	X(int, PyDict_Next, (PyObject *, Py_ssize_t *, PyObject **, PyObject **))                          \
	X(PyObject *, PyDict_Copy, (PyObject *))                                                           \
	X(int, PyDict_Update, (PyObject *, PyObject *))                                                    \
	X(PyObject *, PyDict_Keys, (PyObject *))                                                           \
	X(PyObject *, PyDict_Values, (PyObject *))                                                         \
	X(PyObject *, PyDict_Items, (PyObject *))                                                          \
	X(Py_ssize_t, PyDict_Size, (PyObject *))                                                           \
	X(void, PyDict_Clear, (PyObject *))                                                                \
	/* lists, tuples, sets, slices, mappings, sequences */                                             \
	X(PyObject *, PyList_New, (Py_ssize_t))                                                            \
	X(int, PyList_Append, (PyObject *, PyObject *))                                                    \
	X(PyObject *, PyList_GetItem, (PyObject *, Py_ssize_t))                                            \
	X(int, PyList_SetItem, (PyObject *, Py_ssize_t, PyObject *))                                       \
	X(Py_ssize_t, PyList_Size, (PyObject *))                                                           \
	X(PyObject *, PyList_AsTuple, (PyObject *))                                                        \
	X(int, PyList_Sort, (PyObject *))                                                                  \
	X(PyObject *, PyTuple_New, (Py_ssize_t))                                                           \
	X(PyObject *, PyTuple_Pack, (Py_ssize_t, ...))                                                     \
	X(PyObject *, PyTuple_GetItem, (PyObject *, Py_ssize_t))                                           \
	X(int, PyTuple_SetItem, (PyObject *, Py_ssize_t, PyObject *))                                      \
	X(PyObject *, PyTuple_GetSlice, (PyObject *, Py_ssize_t, Py_ssize_t))                              \
	X(Py_ssize_t, PyTuple_Size, (PyObject *))                                                          \
	X(PyObject *, PySet_New, (PyObject *))                                                             \
	X(PyObject *, PyFrozenSet_New, (PyObject *))                                                       \
	X(int, PySet_Add, (PyObject *, PyObject *))                                                        \
	X(int, PySet_Contains, (PyObject *, PyObject *))                                                   \
	X(Py_ssize_t, PySet_Size, (PyObject *))                                                            \
	X(PyObject *, PySequence_List, (PyObject *))                                                       \
	X(PyObject *, PySequence_Tuple, (PyObject *))                                                      \
	X(PyObject *, PySequence_GetItem, (PyObject *, Py_ssize_t))                                        \
	X(Py_ssize_t, PySequence_Size, (PyObject *))                                                       \
	X(int, PySequence_Contains, (PyObject *, PyObject *))                                              \
	X(int, PyMapping_Check, (PyObject *))                                                              \
	X(PyObject *, PyMapping_GetItemString, (PyObject *, const char *))                                 \
	X(PyObject *, PyDictProxy_New, (PyObject *))                                                       \
	/* texts and bytes */                                                                              \
	X(PyObject *, PyUnicode_FromString, (const char *))                                                \
	X(PyObject *, PyUnicode_FromStringAndSize, (const char *, Py_ssize_t))                             \
	X(PyObject *, PyUnicode_FromFormat, (const char *, ...))                                           \
	X(PyObject *, PyUnicode_InternFromString, (const char *))                                          \
	X(PyObject *, PyUnicode_AsUTF8String, (PyObject *))                                                \
	X(PyObject *, PyUnicode_AsEncodedString, (PyObject *, const char *, const char *))                 \
	X(PyObject *, PyUnicode_DecodeUTF8, (const char *, Py_ssize_t, const char *))                      \
	X(PyObject *, PyUnicode_DecodeFSDefault, (const char *))                                           \
	X(PyObject *, PyUnicode_EncodeFSDefault, (PyObject *))                                             \
	X(int, PyUnicode_FSConverter, (PyObject *, void *))                                                \
	X(PyObject *, PyUnicode_Concat, (PyObject *, PyObject *))                                          \
	X(PyObject *, PyUnicode_Join, (PyObject *, PyObject *))                                            \
	X(PyObject *, PyUnicode_Split, (PyObject *, PyObject *, Py_ssize_t))                               \
	X(PyObject *, PyUnicode_Substring, (PyObject *, Py_ssize_t, Py_ssize_t))                           \
	X(Py_ssize_t, PyUnicode_GetLength, (PyObject *))                                                   \
	X(int, PyUnicode_Compare, (PyObject *, PyObject *))                                                \
	X(int, PyUnicode_CompareWithASCIIString, (PyObject *, const char *))                               \
	X(Py_ssize_t, PyUnicode_Tailmatch, (PyObject *, PyObject *, Py_ssize_t, Py_ssize_t, int))          \
	X(PyObject *, PyBytes_FromStringAndSize, (const char *, Py_ssize_t))                               \
	X(int, PyBytes_AsStringAndSize, (PyObject *, char **, Py_ssize_t *))                               \
	X(char *, PyBytes_AsString, (PyObject *))                                                          \
	X(Py_ssize_t, PyBytes_Size, (PyObject *))                                                          \
	/* numbers */                                                                                      \
	X(PyObject *, PyBool_FromLong, (long))                                                             \
	X(PyObject *, PyLong_FromLong, (long))                                                             \
	X(PyObject *, PyLong_FromLongLong, (long long))                                                    \
	X(PyObject *, PyLong_FromUnsignedLong, (unsigned long))                                            \
	X(PyObject *, PyLong_FromUnsignedLongLong, (unsigned long long))                                   \
	X(PyObject *, PyLong_FromSsize_t, (Py_ssize_t))                                                    \
	X(PyObject *, PyLong_FromVoidPtr, (void *))                                                        \
	X(long, PyLong_AsLong, (PyObject *))                                                               \
	X(long long, PyLong_AsLongLong, (PyObject *))                                                      \
	X(unsigned long, PyLong_AsUnsignedLong, (PyObject *))                                              \
	X(unsigned long long, PyLong_AsUnsignedLongLong, (PyObject *))                                     \
	X(unsigned long, PyLong_AsUnsignedLongMask, (PyObject *))                                          \
	X(Py_ssize_t, PyLong_AsSsize_t, (PyObject *))                                                      \
	X(void *, PyLong_AsVoidPtr, (PyObject *))                                                          \
	X(PyObject *, PyFloat_FromDouble, (double))                                                        \
	X(double, PyFloat_AsDouble, (PyObject *))                                                          \
	X(PyObject *, PyNumber_Add, (PyObject *, PyObject *))                                              \
	/* functions, methods, modules, capsules, weak references */                                       \
	X(PyObject *, PyCFunction_NewEx, (PyMethodDef *, PyObject *, PyObject *))                          \
	X(PyObject *, PyFunction_New, (PyObject *, PyObject *))                                            \
	X(PyObject *, PyFunction_GetCode, (PyObject *))	   /* borrowed */                                  \
	X(PyObject *, PyFunction_GetGlobals, (PyObject *)) /* borrowed */                                  \
	X(PyObject *, PyFunction_GetClosure, (PyObject *)) /* borrowed, or NULL without an error */        \
	X(int, PyFunction_SetClosure, (PyObject *, PyObject *))                                            \
	X(PyObject *, PyFunction_GetDefaults, (PyObject *)) /* borrowed, or NULL without an error */       \
	X(PyObject *, PyMethod_New, (PyObject *, PyObject *))                                              \
	X(PyObject *, PyMethod_Function, (PyObject *))                                                     \
	X(PyObject *, PyMethod_Self, (PyObject *))                                                         \
	X(PyObject *, PyStaticMethod_New, (PyObject *))                                                    \
	X(PyObject *, PyClassMethod_New, (PyObject *))                                                     \
	X(PyObject *, PyCell_New, (PyObject *))                                                            \
	X(PyObject *, PyCell_Get, (PyObject *))                                                            \
	X(int, PyCell_Set, (PyObject *, PyObject *))                                                       \
	X(PyObject *, PyModule_Create2, (PyModuleDef *, int))                                              \
	X(PyObject *, PyModule_GetDict, (PyObject *)) /* borrowed */                                       \
	X(PyObject *, PyModule_GetNameObject, (PyObject *))                                                \
	X(PyObject *, PyModule_NewObject, (PyObject *))                                                    \
	X(int, PyModule_AddObject, (PyObject *, const char *, PyObject *))                                 \
	X(int, PyModule_AddIntConstant, (PyObject *, const char *, long))                                  \
	X(int, PyModule_AddStringConstant, (PyObject *, const char *, const char *))                       \
	X(PyObject *, PyCapsule_New, (void *, const char *, PyCapsule_Destructor))                         \
	X(void *, PyCapsule_GetPointer, (PyObject *, const char *))                                        \
	X(PyObject *, PyWeakref_NewRef, (PyObject *, PyObject *))                                          \
	X(int, PyArg_ParseTuple, (PyObject *, const char *, ...))                                          \
	X(int, PyArg_ParseTupleAndKeywords, (PyObject *, PyObject *, const char *, char **, ...))          \
	X(PyObject *, Py_BuildValue, (const char *, ...))                                                  \
	/* imports, evaluation, compilation, sys */                                                        \
	X(PyObject *, PyImport_ImportModule, (const char *))                                               \
	X(PyObject *, PyImport_ImportModuleLevel, (const char *, PyObject *, PyObject *, PyObject *, int)) \
	X(PyObject *, PyImport_Import, (PyObject *))                                                       \
	X(PyObject *, PyImport_AddModule, (const char *)) /* borrowed */                                   \
	X(PyObject *, PyImport_GetModule, (PyObject *))                                                    \
	X(PyObject *, PyImport_GetModuleDict, (void)) /* borrowed */                                       \
	X(long, PyImport_GetMagicNumber, (void))                                                           \
	X(PyObject *, PyEval_EvalCode, (PyObject *, PyObject *, PyObject *))                               \
	X(PyObject *, PyEval_GetBuiltins, (void)) /* borrowed */                                           \
	X(PyObject *, Py_CompileString, (const char *, const char *, int))                                 \
	X(PyObject *, PySys_GetObject, (const char *)) /* borrowed, or NULL without an error */            \
	X(int, PySys_SetObject, (const char *, PyObject *))                                                \
	X(int, PySys_Audit, (const char *, const char *, ...))                                             \
	/* errors */                                                                                       \
	X(PyObject *, PyErr_Occurred, (void)) /* borrowed */                                               \
	X(void, PyErr_Clear, (void))                                                                       \
	X(void, PyErr_Fetch, (PyObject **, PyObject **, PyObject **))                                      \
	X(void, PyErr_Restore, (PyObject *, PyObject *, PyObject *))                                       \
	X(void, PyErr_NormalizeException, (PyObject **, PyObject **, PyObject **))                         \
	X(int, PyErr_ExceptionMatches, (PyObject *))                                                       \
	X(int, PyErr_GivenExceptionMatches, (PyObject *, PyObject *))                                      \
	X(void, PyErr_GetExcInfo, (PyObject **, PyObject **, PyObject **))                                 \
	X(void, PyErr_SetNone, (PyObject *))                                                               \
	X(void, PyErr_SetString, (PyObject *, const char *))                                               \
	X(void, PyErr_SetObject, (PyObject *, PyObject *))                                                 \
	X(PyObject *, PyErr_Format, (PyObject *, const char *, ...))                                       \
	X(PyObject *, PyErr_NoMemory, (void))                                                              \
	X(PyObject *, PyErr_SetFromErrno, (PyObject *))                                                    \
	X(PyObject *, PyErr_SetFromErrnoWithFilenameObject, (PyObject *, PyObject *))                      \
	X(PyObject *, PyErr_NewException, (const char *, PyObject *, PyObject *))                          \
	X(void, PyErr_WriteUnraisable, (PyObject *))                                                       \
	X(int, PyException_SetTraceback, (PyObject *, PyObject *))                                         \
	X(PyObject *, PyException_GetTraceback, (PyObject *))

/* Functions that some of them lack: NULL there. */
#define PY_OPTIONAL(X)                                                                              \
	X(PyInterpreterState *, PyInterpreterState_Get, (void))	 /* from 3.9 on */                  \
	X(PyInterpreterState *, _PyInterpreterState_Get, (void)) /* to 3.8 (and some later) */      \
	X(int, PyGC_Enable, (void))				 /* from 3.10 on */                 \
	X(int, PyGC_Disable, (void))				 /* from 3.10 on */                 \
	X(int, PyGC_IsEnabled, (void))				 /* from 3.10 on */                 \
	X(PyObject *, PyFrame_GetBack, (PyObject *))		 /* from 3.9 on */                  \
	X(PyObject *, PyFrame_GetCode, (PyObject *))		 /* from 3.9 on */                  \
	X(int, PyFrame_GetLineNumber, (PyObject *))                                                 \
	X(PyObject *, PyGen_GetCode, (PyObject *))	/* from 3.12 on */                          \
	X(const char *, PyUnicode_AsUTF8, (PyObject *)) /* limited from 3.13 on, exported by all */ \
	X(const char *, PyUnicode_AsUTF8AndSize,                                                    \
	  (PyObject *, Py_ssize_t *))			/* limited from 3.10 on, exported by all */ \
	X(PyObject *, PyErr_GetRaisedException, (void)) /* from 3.12 on */                          \
	X(void, PyErr_SetRaisedException, (PyObject *)) /* from 3.12 on */

/* Types; in the table is the type object's address. */
#define PY_TYPES(X)            \
	X(PyType_Type)         \
	X(PyBaseObject_Type)   \
	X(PyBool_Type)         \
	X(PyLong_Type)         \
	X(PyFloat_Type)        \
	X(PyUnicode_Type)      \
	X(PyBytes_Type)        \
	X(PyTuple_Type)        \
	X(PyList_Type)         \
	X(PyDict_Type)         \
	X(PySet_Type)          \
	X(PyFrozenSet_Type)    \
	X(PyModule_Type)       \
	X(PyCFunction_Type)    \
	X(PyFunction_Type)     \
	X(PyMethod_Type)       \
	X(PyStaticMethod_Type) \
	X(PyClassMethod_Type)  \
	X(PyProperty_Type)     \
	X(PyCode_Type)         \
	X(PyCell_Type)         \
	X(PyFrame_Type)        \
	X(PyGen_Type)          \
	X(PyCoro_Type)         \
	X(PyAsyncGen_Type)     \
	X(PyGetSetDescr_Type)  \
	X(PyMemberDescr_Type)  \
	X(PyMethodDescr_Type)  \
	X(PyWrapperDescr_Type) \
	X(PyDictProxy_Type)    \
	X(PyTraceBack_Type)

/* Exceptions; the table has the objects. */
#define PY_EXCEPTIONS(X)           \
	X(PyExc_BaseException)     \
	X(PyExc_Exception)         \
	X(PyExc_ArithmeticError)   \
	X(PyExc_AssertionError)    \
	X(PyExc_AttributeError)    \
	X(PyExc_ImportError)       \
	X(PyExc_IndexError)        \
	X(PyExc_KeyError)          \
	X(PyExc_KeyboardInterrupt) \
	X(PyExc_LookupError)       \
	X(PyExc_MemoryError)       \
	X(PyExc_NameError)         \
	X(PyExc_OSError)           \
	X(PyExc_OverflowError)     \
	X(PyExc_RecursionError)    \
	X(PyExc_RuntimeError)      \
	X(PyExc_StopIteration)     \
	X(PyExc_SyntaxError)       \
	X(PyExc_SystemError)       \
	X(PyExc_SystemExit)        \
	X(PyExc_TimeoutError)      \
	X(PyExc_TypeError)         \
	X(PyExc_UnicodeError)      \
	X(PyExc_ValueError)

struct py {
#define X(result, name, args) result(*name) args;
	PY_FUNCTIONS(X)
	PY_OPTIONAL(X)
#undef X
#define X(name) PyTypeObject *name;
	PY_TYPES(X)
#undef X
#define X(name) PyObject *name;
	PY_EXCEPTIONS(X)
#undef X
	PyObject *none, *true_, *false_; /* borrowed for ever */
};

extern struct py py;

/* Whether there is an interpreter in this process, initialised or not. Fills nothing. Any thread. */
bool py__is_there(void);
/* Fills the table; once it has succeeded it does nothing. Needs no GIL. NULL, or a name that this interpreter lacks. The exceptions are
 * there only after Py_IsInitialized, so that the caller waits for that (py__initialized). */
const char *py__load(void);
/* Whether Py_IsInitialized says so; needs only py__is_there. Any thread. */
bool py__initialized(void);
/* As sys.version says it, "3.11.2 (main, ...", also before Py_IsInitialized; needs only py__is_there. No GIL. */
const char *py__version_text(void);
/* From this text, major and minor only: 0x030b0000. */
uint32_t py__version(void);
/* Whether the calling thread's current interpreter is the main one. */
bool py__in_main_interpreter(void);

/* What str() gives, as UTF-8 (what has no UTF-8 as a backslash escape, NUL as U+FFFD), cut at `max` bytes. To be freed; NULL where there is no memory
 * or str() raised: the error indicator is clear afterwards. */
char *py__text(PyObject *object, size_t max);

/* Whether the object is an instance of the type or of a subclass: what the Py..._Check macros say. NULL is not. */
static inline bool py__is(PyObject *o, PyTypeObject *type)
{
	return o && (Py_TYPE(o) == type || py.PyType_IsSubtype(Py_TYPE(o), type));
}

/* Gives a reference back and clears the variable first, so that a finaliser does not see it. */
static inline void py__clear(PyObject **o)
{
	PyObject *old = *o;

	*o = NULL;
	py.Py_DecRef(old);
}

static inline PyObject *py__new_ref(PyObject *o)
{
	py.Py_IncRef(o);
	return o;
}

#endif
