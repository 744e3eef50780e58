/* wire_values: see wire_values.h. */
#include "wire_values.h"

#include "elf.h"
#include "layout.h"
#include "skel.h"

/* Fields that have the same name in both. */
#define SAME(X)                  \
	X(ob_type)               \
	X(ob_size)               \
	X(type_flags)            \
	X(type_basicsize)        \
	X(type_itemsize)         \
	X(type_dictoffset)       \
	X(type_base)             \
	X(type_dict)             \
	X(type_mro)              \
	X(type_size)             \
	X(heaptype_cached_keys)  \
	X(long_digits)           \
	X(long_tag)              \
	X(unicode_length)        \
	X(unicode_state)         \
	X(unicode_kind_shift)    \
	X(unicode_compact_shift) \
	X(unicode_ascii_shift)   \
	X(unicode_ascii_data)    \
	X(unicode_compact_data)  \
	X(unicode_any_data)      \
	X(bytes_data)            \
	X(tuple_items)           \
	X(list_items)            \
	X(dict_used)             \
	X(dict_keys)             \
	X(dict_values)           \
	X(dict_values_items)     \
	X(keys_size)             \
	X(keys_log2_size)        \
	X(keys_log2_index_bytes) \
	X(keys_kind)             \
	X(keys_kind_general)     \
	X(keys_kind_split)       \
	X(keys_nentries)         \
	X(keys_indices)          \
	X(set_used)              \
	X(set_mask)              \
	X(set_table)             \
	X(managed_dict)          \
	X(managed_values)        \
	X(managed_values_bias)   \
	X(values_valid)          \
	X(inline_values)         \
	X(func_qualname)         \
	X(func_module)           \
	X(method_func)           \
	X(method_self)           \
	X(cell_ref)              \
	X(module_dict)           \
	X(module_name)           \
	X(exc_args)              \
	X(member_offset)         \
	X(member_type)           \
	X(member_type_object)    \
	X(frame_localsplus)      \
	X(frame_globals)         \
	X(frame_builtins)        \
	X(code_argcount)         \
	X(code_kwonlyargcount)   \
	X(code_flags)            \
	X(code_nlocalsplus)      \
	X(code_nlocals)          \
	X(code_cellvars)         \
	X(code_freevars)         \
	X(tstate_exc_value)

/* 0 where the file does not export it. */
static uint64_t address(const struct elf_file *elf, const char *name)
{
	struct elf_symbol sym;

	return elf_file__symbol(elf, name, &sym) ? 0 : sym.addr;
}

void wire_value_layout__fill(struct wire_value_layout *out, const struct layout *l, const struct elf_file *elf)
{
	*out = (struct wire_value_layout){
#define COPY(field) .field = l->field,
		SAME(COPY)
#undef COPY
			.stackref_tag = l->frame_code_tag == OFF_NONE ? 0 : (uint32_t)l->frame_code_tag,
		.type_set = address(elf, "PySet_Type"),
		.type_frozenset = address(elf, "PyFrozenSet_Type"),
		.type_cell = address(elf, "PyCell_Type"),
		.type_function = address(elf, "PyFunction_Type"),
		.type_method = address(elf, "PyMethod_Type"),
		.type_module = address(elf, "PyModule_Type"),
		.type_member = address(elf, "PyMemberDescr_Type"),
	};
}
