/*
 * value_layout: what the BPF programs need to know of objects, from the layout of a build and its file.
 */
#include "value_layout.h"

#include "elf.h"
#include "layout.h"
#include "skel.h"

void value_layout__fill(const struct layout *l, const struct elf_file *elf, struct wire_value_layout *out)
{
	struct elf_symbol sym;

	*out = (struct wire_value_layout){
		.ob_type = l->ob_type,
		.ob_size = l->ob_size,
		.type_name = l->type_name,
		.type_flags = l->type_flags,
		.type_basicsize = l->type_basicsize,
		.type_itemsize = l->type_itemsize,
		.type_dictoffset = l->type_dictoffset,
		.type_base = l->type_base,
		.type_dict = l->type_dict,
		.type_mro = l->type_mro,
		.heaptype_cached_keys = l->heaptype_cached_keys,
		.long_digits = l->long_digits,
		.long_tag = l->long_tag,
		.float_value = l->float_value,
		.unicode_length = l->unicode_length,
		.unicode_state = l->unicode_state,
		.unicode_kind_shift = l->unicode_kind_shift,
		.unicode_compact_shift = l->unicode_compact_shift,
		.unicode_ascii_shift = l->unicode_ascii_shift,
		.unicode_ascii_data = l->unicode_ascii_data,
		.unicode_compact_data = l->unicode_compact_data,
		.unicode_any_data = l->unicode_any_data,
		.bytes_data = l->bytes_data,
		.tuple_items = l->tuple_items,
		.list_items = l->list_items,
		.dict_used = l->dict_used,
		.dict_keys = l->dict_keys,
		.dict_values = l->dict_values,
		.dict_values_items = l->dict_values_items,
		.keys_size = l->keys_size,
		.keys_log2_size = l->keys_log2_size,
		.keys_log2_index_bytes = l->keys_log2_index_bytes,
		.keys_kind = l->keys_kind,
		.keys_kind_general = l->keys_kind_general,
		.keys_nentries = l->keys_nentries,
		.keys_indices = l->keys_indices,
		.set_used = l->set_used,
		.set_mask = l->set_mask,
		.set_table = l->set_table,
		.managed_dict = l->managed_dict,
		.managed_values = l->managed_values,
		.managed_values_bias = l->managed_values_bias,
		.values_valid = l->values_valid,
		.inline_values = l->inline_values,
		.values_capacity = l->values_capacity,
		.func_qualname = l->func_qualname,
		.func_module = l->func_module,
		.method_func = l->method_func,
		.method_self = l->method_self,
		.cell_ref = l->cell_ref,
		.module_name = l->module_name,
		.bytearray_start = l->bytearray_start,
		.exc_args = l->exc_args,
		.member_def = l->member_def,
		.member_offset = l->member_offset,
		.member_type = l->member_type,
		.member_type_object = l->member_type_object,
		.frame_localsplus = l->frame_localsplus,
		.frame_globals = l->frame_globals,
		.frame_builtins = l->frame_builtins,
		.code_argcount = l->code_argcount,
		.code_kwonlyargcount = l->code_kwonlyargcount,
		.code_nlocalsplus = l->code_nlocalsplus,
		.code_nlocals = l->code_nlocals,
		.code_varnames = l->code_varnames,
		.code_localspluskinds = l->code_localspluskinds,
		.code_cellvars = l->code_cellvars,
		.code_freevars = l->code_freevars,
		.tstate_exc_value = l->tstate_exc_value,
		/* The words of variables have tags in the same versions, in the same bits (Include/internal/pycore_stackref.h). */
		.stackref_tag = l->frame_code_tag == OFF_NONE ? 0 : (uint32_t)l->frame_code_tag,
	};
	if (!elf_file__symbol(elf, "PyCell_Type", &sym))
		out->type_cell = sym.addr;
}
