/*
 * layout: where the fields that we read lie in the structs of one CPython version, and what their values mean.
 *
 * Data only. The rows in layout_table.c are made from each version's own headers by scripts/gen-layout and are not
 * edited by hand. All offsets are in bytes. A field that a version lacks is OFF_NONE; using such an offset is a bug.
 */
#ifndef PYLU_LAYOUT_H
#define PYLU_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#define OFF_NONE ((int32_t)-1)

/* X(field, what it is). Offsets of fields, sizes, bit positions. */
#define LAYOUT_FIELDS(X)                                                                                             \
	/* every object */                                                                                           \
	X(ob_type, "PyObject.ob_type")                                                                               \
	X(ob_size, "PyVarObject.ob_size")                                                                            \
	/* _PyRuntime, interpreter, thread state */                                                                  \
	X(runtime_interp_head, "_PyRuntime.interpreters.head")                                                       \
	X(interp_next, "PyInterpreterState.next")                                                                    \
	X(interp_tstate_head, "PyInterpreterState.tstate_head, 3.11 on threads.head")                                \
	X(interp_id, "PyInterpreterState.id, i64")                                                                   \
	X(interp_builtins, "PyInterpreterState.builtins: the dict of the module builtins")                           \
	X(interp_jit, "PyInterpreterState.jit (3.14 on), one byte: compiled traces may run")                         \
	X(interp_modules, "PyInterpreterState.modules, 3.12 on imports.modules: the dict sys.modules")               \
	X(tstate_next, "PyThreadState.next")                                                                         \
	X(tstate_thread_id, "PyThreadState.thread_id: pthread_self()")                                               \
	X(tstate_interp, "PyThreadState.interp")                                                                     \
	X(tstate_tracing, "PyThreadState.tracing, int: not 0 while a function that traces runs")                     \
	X(tstate_traced, "cframe (3.10, 3.11): its first byte is not 0 while what the thread runs is traced")        \
	X(interp_instrumented, "monitoring_version, 3.13 on ceval.instrumentation_version, u64 (3.12 on)")           \
	X(code_instrumented, "_co_instrumentation_version, u64 (3.12 on): another than the interpreter's until the " \
			     "code is instrumented again")                                                           \
	X(tstate_native_thread_id, "PyThreadState.native_thread_id (3.11 on): the kernel's tid")                     \
	X(tstate_exc, "PyThreadState.curexc_type, 3.12 on current_exception: not NULL while an exception is raised") \
	X(tstate_exc_value, "PyThreadState.curexc_value, 3.12 on current_exception: the exception itself, to 3.11 "  \
			    "also its arguments alone")                                                              \
	X(tstate_frame, "PyThreadState.frame (to 3.10)")                                                             \
	X(tstate_cframe, "PyThreadState.cframe (3.11, 3.12)")                                                        \
	X(tstate_current_frame, "PyThreadState.current_frame (3.13 on)")                                             \
	X(cframe_current_frame, "_PyCFrame.current_frame (3.11, 3.12)")                                              \
	/* PyFrameObject to 3.10, _PyInterpreterFrame from 3.11 */                                                   \
	X(frame_previous, "f_back; previous")                                                                        \
	X(frame_code, "f_code; f_code; f_executable")                                                                \
	X(frame_globals, "f_globals")                                                                                \
	X(frame_builtins, "f_builtins")                                                                              \
	X(frame_func, "f_func, f_funcobj (3.11 on)")                                                                 \
	X(frame_instr, "prev_instr, instr_ptr (3.11 on)")                                                            \
	X(frame_lasti, "f_lasti (to 3.10)")                                                                          \
	X(frame_stacktop, "f_stacktop (3.8, 3.9): a pointer, NULL unless the frame yielded")                         \
	X(frame_stackdepth, "f_stackdepth (3.10), int: values on the stack of a suspended generator")                \
	X(frame_stackpointer, "stackpointer (3.14 on): where the next value goes, in a suspended generator")         \
	X(frame_state, "f_state (3.10), one byte")                                                                   \
	X(frame_state_suspended,                                                                                     \
	  "value of f_state of a suspended generator (3.10), as the unsigned byte that is read")                     \
	X(frame_is_entry, "is_entry (3.11), one byte: entered from C")                                               \
	X(frame_owner, "owner (3.11 on), one byte")                                                                  \
	X(frame_owner_generator, "value of owner of generators' frames (3.11 on)")                                   \
	X(frame_owner_c, "least value of owner of the interpreter's own frames between C and Python (3.12 on)")      \
	X(frame_code_tag, "bits of the word at frame_code that are no address (3.14 on)")                            \
	X(resume_mask, "the bits of RESUME's argument that tell where it stands (3.11 on): 0 at a function's start") \
	X(resume_creates, "those of a generator expression that is still to make its generator (3.15 on)")           \
	X(usdt_calls, "1 where a build's static probes of functions fire at every call (3.15 on)")                   \
	X(frame_localsplus, "localsplus, f_localsplus")                                                              \
	/* PyCodeObject */                                                                                           \
	X(code_flags, "co_flags, int")                                                                               \
	X(code_firstlineno, "co_firstlineno, int")                                                                   \
	X(code_filename, "co_filename")                                                                              \
	X(code_name, "co_name")                                                                                      \
	X(code_qualname, "co_qualname (3.11 on)")                                                                    \
	X(code_consts, "co_consts")                                                                                  \
	X(code_bytes, "co_code_adaptive: first code unit (3.11 on)")                                                 \
	X(code_code, "co_code (to 3.10): a bytes object")                                                            \
	X(code_opcache_map, "co_opcache_map (to 3.10): NULL where the code is not hot")                              \
	X(code_opcache, "co_opcache (to 3.10): NULL as long as the map is being made")                               \
	X(code_argcount, "co_argcount, int: positional-only ones included")                                          \
	X(code_kwonlyargcount, "co_kwonlyargcount, int")                                                             \
	X(code_nlocals, "co_nlocals, int: variables that are no free ones and, to 3.10, no cells")                   \
	X(code_nlocalsplus, "co_nlocalsplus, int (3.11 on)")                                                         \
	X(code_names, "co_names: a tuple")                                                                           \
	X(code_varnames, "co_varnames (to 3.10): a tuple")                                                           \
	X(code_cellvars, "co_cellvars (to 3.10): a tuple")                                                           \
	X(code_freevars, "co_freevars (to 3.10): a tuple")                                                           \
	X(code_localsplusnames, "co_localsplusnames (3.11 on): a tuple")                                             \
	X(code_localspluskinds, "co_localspluskinds (3.11 on): bytes, one a name")                                   \
	X(code_linetable, "co_lnotab, 3.10 on co_linetable: bytes")                                                  \
	X(code_exceptiontable, "co_exceptiontable (3.11 on): bytes")                                                 \
	X(code_monitoring, "_co_monitoring (3.12 on): NULL where the code was never instrumented")                   \
	X(code_executors, "co_executors (3.13 on): NULL where nothing was compiled further")                         \
	/* what instrumented code units were before */                                                               \
	X(monitoring_lines, "_PyCoMonitoringData.lines (3.12 on)")                                                   \
	X(monitoring_opcodes, "per_instruction_opcodes (3.12 on): one byte a code unit")                             \
	X(executors_items, "_PyExecutorArray.executors (3.13 on, inline); the array begins with their number, int")  \
	X(executor_opcode, "_PyExecutorObject.vm_data.opcode, one byte (3.13 on): where ENTER_EXECUTOR stands")      \
	X(executor_oparg, "vm_data.oparg, one byte (3.13 on)")                                                       \
	/* str */                                                                                                    \
	X(unicode_length, "PyASCIIObject.length")                                                                    \
	X(unicode_state, "PyASCIIObject.state, u32")                                                                 \
	X(unicode_kind_shift, "bit position of state.kind (3 bits)")                                                 \
	X(unicode_compact_shift, "bit position of state.compact")                                                    \
	X(unicode_ascii_shift, "bit position of state.ascii")                                                        \
	X(unicode_ascii_data, "sizeof(PyASCIIObject): characters of a compact ASCII string")                         \
	X(unicode_compact_data, "sizeof(PyCompactUnicodeObject): characters of another compact string")              \
	X(unicode_any_data, "PyUnicodeObject.data.any: pointer to the characters of a string that is not compact")   \
	X(bytes_data, "PyBytesObject.ob_sval")                                                                       \
	/* containers */                                                                                             \
	X(tuple_items, "PyTupleObject.ob_item (inline)")                                                             \
	X(list_items, "PyListObject.ob_item (pointer)")                                                              \
	X(dict_used, "PyDictObject.ma_used")                                                                         \
	X(dict_keys, "PyDictObject.ma_keys")                                                                         \
	X(dict_values, "PyDictObject.ma_values")                                                                     \
	X(dict_values_items, "first value behind ma_values (0 where it is a plain array)")                           \
	X(keys_size, "PyDictKeysObject.dk_size, i64 (to 3.10)")                                                      \
	X(keys_log2_size, "dk_log2_size, one byte (3.11 on)")                                                        \
	X(keys_log2_index_bytes, "dk_log2_index_bytes, one byte (3.11 on)")                                          \
	X(keys_kind, "dk_kind, one byte (3.11 on)")                                                                  \
	X(keys_kind_general, "value of dk_kind of tables whose entries hold a hash (3.11 on): DICT_KEYS_GENERAL")    \
	X(keys_kind_split, "value of dk_kind of tables that instances share (3.11 on): DICT_KEYS_SPLIT")             \
	X(keys_nentries, "dk_nentries, i64")                                                                         \
	X(keys_indices, "dk_indices (inline); the entries follow the indices")                                       \
	/* sets: a table of entries of 16 bytes, the key first */                                                    \
	X(set_used, "PySetObject.used")                                                                              \
	X(set_mask, "PySetObject.mask: the entries of the table but one")                                            \
	X(set_table, "PySetObject.table")                                                                            \
	/* numbers and other values */                                                                               \
	X(float_value, "PyFloatObject.ob_fval")                                                                      \
	X(complex_value, "PyComplexObject.cval: two doubles")                                                        \
	X(range_start, "rangeobject.start")                                                                          \
	X(range_stop, "rangeobject.stop")                                                                            \
	X(range_step, "rangeobject.step")                                                                            \
	X(slice_start, "PySliceObject.start")                                                                        \
	X(slice_stop, "PySliceObject.stop")                                                                          \
	X(slice_step, "PySliceObject.step")                                                                          \
	X(bytearray_start, "PyByteArrayObject.ob_start: pointer to the first byte")                                  \
	X(datetime_has_tzinfo, "PyDateTime_DateTime.hastzinfo, one byte; of a date, a time, a datetime")             \
	X(datetime_data, "PyDateTime_DateTime.data: bytes; of a date, a time, a datetime")                           \
	X(timedelta_days, "PyDateTime_Delta.days, int; seconds and microseconds follow")                             \
	X(decimal_flags, "PyDecObject.dec.flags, one byte")                                                          \
	X(decimal_exp, "PyDecObject.dec.exp, i64")                                                                   \
	X(decimal_len, "PyDecObject.dec.len, i64: words of the coefficient, 19 digits each, the lowest first")       \
	X(decimal_data, "PyDecObject.dec.data: pointer to the words")                                                \
	X(exc_args, "PyBaseExceptionObject.args: a tuple")                                                           \
	/* types and callables */                                                                                    \
	X(type_name, "PyTypeObject.tp_name")                                                                         \
	X(type_dealloc, "PyTypeObject.tp_dealloc")                                                                   \
	X(type_flags, "PyTypeObject.tp_flags, u64")                                                                  \
	X(type_basicsize, "PyTypeObject.tp_basicsize")                                                               \
	X(type_itemsize, "PyTypeObject.tp_itemsize")                                                                 \
	X(type_base, "PyTypeObject.tp_base")                                                                         \
	X(type_mro, "PyTypeObject.tp_mro: a tuple")                                                                  \
	X(type_dict, "PyTypeObject.tp_dict")                                                                         \
	X(type_dictoffset, "PyTypeObject.tp_dictoffset")                                                             \
	X(type_size, "sizeof(PyHeapTypeObject)")                                                                     \
	X(heaptype_qualname, "PyHeapTypeObject.ht_qualname")                                                         \
	X(heaptype_cached_keys, "PyHeapTypeObject.ht_cached_keys")                                                   \
	/* attributes of an instance whose type has Py_TPFLAGS_MANAGED_DICT (3.11 on), relative to the instance */   \
	X(managed_dict, "word that points to its dict (3.11 on): negative")                                          \
	X(managed_values, "word that points to its values, NULL where it has a dict (3.11): negative")               \
	X(managed_values_bias, "added to the word at managed_dict, where it is odd: its values (3.12)")              \
	X(values_valid, "_dictvalues.valid (3.13), one byte: not 0 where the values behind an instance are in use")  \
	X(inline_values, "1 where values may stand right behind an instance, at type_basicsize (3.13 on)")           \
	X(values_capacity,                                                                                           \
	  "_dictvalues.capacity (3.13 on), one byte: how many values, then in which order they were set")            \
	X(func_code, "PyFunctionObject.func_code")                                                                   \
	X(func_globals, "PyFunctionObject.func_globals")                                                             \
	X(func_qualname, "PyFunctionObject.func_qualname")                                                           \
	X(func_module, "PyFunctionObject.func_module")                                                               \
	X(func_defaults, "PyFunctionObject.func_defaults: tuple or NULL")                                            \
	X(func_kwdefaults, "PyFunctionObject.func_kwdefaults: dict or NULL")                                         \
	X(func_annotate, "PyFunctionObject.func_annotate (3.14 on): a function or NULL")                             \
	X(func_closure, "PyFunctionObject.func_closure")                                                             \
	X(func_dict, "PyFunctionObject.func_dict")                                                                   \
	X(cell_ref, "PyCellObject.ob_ref")                                                                           \
	X(method_callable, "cm_callable and sm_callable of classmethod and staticmethod")                            \
	X(property_get, "propertyobject.prop_get; prop_set and prop_del follow")                                     \
	X(method_func, "PyMethodObject.im_func")                                                                     \
	X(method_self, "PyMethodObject.im_self")                                                                     \
	X(cfunction_def, "PyCFunctionObject.m_ml: a PyMethodDef, which begins with the address of its name")         \
	X(cfunction_self, "PyCFunctionObject.m_self: the module or the instance")                                    \
	/* slots of instances */                                                                                     \
	X(member_def, "PyMemberDescrObject.d_member: pointer to a PyMemberDef")                                      \
	X(member_type, "PyMemberDef.type, int")                                                                      \
	X(member_type_object, "value of PyMemberDef.type of what __slots__ makes: T_OBJECT_EX")                      \
	X(member_offset, "PyMemberDef.offset")                                                                       \
	X(module_dict, "PyModuleObject.md_dict")                                                                     \
	X(module_name, "PyModuleObject.md_name")                                                                     \
	X(long_digits, "PyLongObject.ob_digit")                                                                      \
	X(long_tag, "PyLongObject.long_value.lv_tag (3.12 on)")

/* What is read of an object in one piece, from its start: all its fields end there, whoever names their offsets. */
#define LAYOUT_OBJECT_BYTES 128 /* of any object, strs and dicts among them */
#define LAYOUT_CODE_BYTES 256
#define LAYOUT_TYPE_BYTES 512

struct layout {
	uint8_t major, minor, debug;
#define LAYOUT_MEMBER(field, what) int32_t field;
	LAYOUT_FIELDS(LAYOUT_MEMBER)
#undef LAYOUT_MEMBER
};

struct elf_file;
struct py_version;

/* The row of a version, of its debug builds where they differ, or NULL when it is unknown (the caller refuses). Static
 * storage. */
const struct layout *layout__find(uint8_t major, uint8_t minor, bool debug);

/* From 3.13 on: where in _Py_DebugOffsets, with which _PyRuntime begins, the value of each field stands; OFF_NONE where it
 * does not tell. NULL for versions that have none. Static storage. */
const struct layout *layout__in_debug_offsets(uint8_t major, uint8_t minor);

/*
 * The layout of the interpreter in a file: the row of its version, and from 3.13 on what the file itself says in
 * _Py_DebugOffsets (Include/internal/pycore_debug_offsets.h; 3.13: pycore_runtime.h). `corrected`, if not NULL, gets how many fields the
 * file says otherwise than the row. 0; -ENOENT when the version is not known; -DIAG_BAD_DATA when the file's
 * _Py_DebugOffsets is missing, of another version, or absurd; neither is reported.
 */
int layout__of_file(const struct elf_file *elf, const struct py_version *version, struct layout *out,
		    unsigned *corrected);

/* Whether the fields of objects lie within what is read of them. */
bool layout__fits(const struct layout *lay);

#endif
