/* wire_build: see wire_build.h. */
#include "wire_build.h"

#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"

static int32_t opcode(const struct opmap *opmap, const char *name)
{
	int op = opmap__number(opmap, name);

	return op < 0 ? -1 : op;
}

static void fill_offsets(struct wire_build *b, const struct layout *l, const struct opmap *opmap)
{
	int32_t low = l->frame_code < l->frame_previous ? l->frame_code : l->frame_previous;

	*b = (struct wire_build){
		.head = low,
		.head_code = (uint32_t)(l->frame_code - low) / 8,
		.head_previous = (uint32_t)(l->frame_previous - low) / 8,
		.code_mask = l->frame_code_tag == OFF_NONE ? ~0ULL : ~(uint64_t)l->frame_code_tag,
		.op_return_const = opcode(opmap, "RETURN_CONST"),
		.op_return_const_monitored = opcode(opmap, "INSTRUMENTED_RETURN_CONST"),
		.op_extended_arg = opcode(opmap, "EXTENDED_ARG"),
		.frame_globals = l->frame_globals,
		.frame_owner = l->frame_owner,
		.frame_owner_c = l->frame_owner_c,
		.frame_instr = l->frame_instr,
		.frame_lasti = l->frame_lasti,
		.code_opcache_map = l->code_opcache_map,
		.code_opcache = l->code_opcache,
		.tstate_interp = l->tstate_interp,
		.tstate_tracing = l->tstate_tracing,
		.tstate_traced = l->tstate_traced,
		.interp_instrumented = l->interp_instrumented,
		.code_instrumented = l->code_instrumented,
		.code_linetable = l->code_linetable,
		.frame_stacktop = l->frame_stacktop,
		.frame_state = l->frame_state,
		.frame_state_suspended = l->frame_state_suspended,
		.resume_mask = l->resume_mask,
		.resume_creates = l->resume_creates,
		.frame_builtins = l->frame_builtins,
		.frame_owner_generator = l->frame_owner_generator,
		.code_bytes = l->code_bytes,
		.runtime_interp_head = l->runtime_interp_head,
		.interp_next = l->interp_next,
		.interp_id = l->interp_id,
		.interp_builtins = l->interp_builtins,
		.interp_jit = l->interp_jit,
		.interp_tstate_head = l->interp_tstate_head,
		.tstate_next = l->tstate_next,
		.tstate_current_frame = l->tstate_current_frame,
		.code_consts = l->code_consts,
		.code_code = l->code_code,
		.frame_stackdepth = l->frame_stackdepth,
		.frame_stackpointer = l->frame_stackpointer,
		.op_yield_value = opcode(opmap, "YIELD_VALUE"),
		.code_flags = l->code_flags,
		.code_firstlineno = l->code_firstlineno,
		.code_filename = l->code_filename,
		.code_name = l->code_name,
		.code_qualname = l->code_qualname,
		.unicode_length = l->unicode_length,
		.unicode_state = l->unicode_state,
		.unicode_compact_shift = l->unicode_compact_shift,
		.unicode_ascii_shift = l->unicode_ascii_shift,
		.unicode_ascii_data = l->unicode_ascii_data,
		.dict_keys = l->dict_keys,
		.keys_size = l->keys_size,
		.keys_log2_index_bytes = l->keys_log2_index_bytes,
		.keys_kind = l->keys_kind,
		.keys_kind_general = l->keys_kind_general,
		.keys_nentries = l->keys_nentries,
		.keys_indices = l->keys_indices,
		.tstate_exc = l->tstate_exc,
		.tstate_thread_id = l->tstate_thread_id,
		.tstate_frame = l->tstate_frame,
		.tstate_cframe = l->tstate_cframe,
		.cframe_current_frame = l->cframe_current_frame,
		.ob_type = l->ob_type,
	};
}

/* The addresses of the interpreter's own objects. 0, or a code that was reported. */
static int fill_addresses(struct wire_build *b, const struct elf_file *elf)
{
	struct elf_symbol sym;

	if (elf_file__symbol(elf, "PyCode_Type", &sym))
		return diag_error(-DIAG_NO_SITE, "PyCode_Type is not exported by build %s", elf_file__build_id(elf));
	b->code_type = sym.addr;
	if (elf_file__symbol(elf, "_PyRuntime", &sym))
		return diag_error(-DIAG_NO_SITE, "_PyRuntime is not exported by build %s", elf_file__build_id(elf));
	b->runtime = sym.addr;
	return 0;
}

int wire_build__fill(struct wire_build *b, uint32_t index, const struct layout *layout, const struct opmap *opmap,
		     const struct elf_file *elf)
{
	fill_offsets(b, layout, opmap);
	b->index = index;
	return fill_addresses(b, elf);
}
