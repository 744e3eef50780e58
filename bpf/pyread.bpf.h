/*
 * pyread: reads Python objects of the running process by the offsets of its build. Every length is bounded.
 */
#ifndef PYLU_PYREAD_BPF_H
#define PYLU_PYREAD_BPF_H

#include "interp.bpf.h"

struct frame_head {
	u64 code;
	u64 previous;
};

/* 0, or negative when the frame cannot be read. */
static __always_inline int frame_head_read(const struct wire_build *b, u32 slot, u64 frame, struct frame_head *out)
{
	u64 w[3];

	if (unlikely(bpf_probe_read_user(w, sizeof(w), (void *)(frame + b->head)))) {
		proc_of(slot)->stats.unreadable++;
		return -1;
	}
	out->code = (b->head_code == 0 ? w[0] : w[1]) & b->code_mask;
	out->previous = b->head_previous == 0 ? w[0] : b->head_previous == 1 ? w[1] : w[2];
	return 0;
}

/* Copies a compact ASCII str. 1 when `out` holds all of it, else 0. */
static __noinline int str_read(const struct wire_build *b, u64 obj, char *out, u32 size)
{
	u64 length;
	u32 state, n;

	if (!b || !out || size < 2 || size > WIRE_FILE_MAX)
		return 0;
	out[0] = 0;
	if (!obj)
		return 0;
	state = read_u32(obj + b->unicode_state);
	length = read_u64(obj + b->unicode_length);
	if (!(state >> (b->unicode_compact_shift & 31) & 1) || !(state >> (b->unicode_ascii_shift & 31) & 1) ||
	    length >= size)
		return 0;
	n = (u32)length & (WIRE_FILE_MAX - 1);
	if (n >= size)
		return 0;
	if (bpf_probe_read_user(out, n, (void *)(obj + b->unicode_ascii_data)))
		return 0;
	out[n] = 0;
	return 1;
}

#define NAME_ABSENT 1			  /* no address */
#define MODULE_NAME 0x3e656c75646f6d3cULL /* "<module>" */
#define NAME_ENTRIES 128

struct dict_walk {
	const struct wire_build *b;
	u64 entries, stride, n;
	u64 found; /* the value, once it was found */
	u64 failed;
};

/* bpf_loop callback: whether one entry of a dict has the key "__name__". */
static long dict_step(u64 i, struct dict_walk *w)
{
	u64 kv[2] = {}, length;
	char name[8];

	if (i >= w->n)
		return 1;
	w->failed = 1;
	if (bpf_probe_read_user(kv, sizeof(kv), (void *)(w->entries + i * w->stride + (w->stride - 16))))
		return 1;
	w->failed = 0;
	if (!kv[0] || !kv[1])
		return 0;
	w->failed = 1;
	if (bpf_probe_read_user(&length, sizeof(length), (void *)(kv[0] + w->b->unicode_length)))
		return 1;
	w->failed = 0;
	if (length != 8)
		return 0;
	w->failed = 1;
	if (bpf_probe_read_user(name, 8, (void *)(kv[0] + w->b->unicode_ascii_data)))
		return 1;
	w->failed = 0;
	if (*(u64 *)name != 0x5f5f656d616e5f5fULL) /* "__name__" */
		return 0;
	w->found = kv[1];
	return 1;
}

/* The `__name__` of a globals dict: a module sets it first, so only the first entries are looked at; userspace looks
 * further. NAME_ABSENT when the dict has no more entries than that and it is none of them; 0 when it was not found. */
static __always_inline u64 globals_name(const struct wire_build *b, u64 globals)
{
	struct dict_walk w = { .b = b };
	u64 keys;
	s64 size;

	if (!b)
		return 0;
	keys = read_u64(globals + b->dict_keys);
	if (!keys || bpf_probe_read_user(&w.n, sizeof(w.n), (void *)(keys + b->keys_nentries)))
		return 0;
	if (b->keys_log2_index_bytes >= 0) {
		w.entries = keys + b->keys_indices + (1ULL << (read_u8(keys + b->keys_log2_index_bytes) & 63));
		w.stride = read_u8(keys + b->keys_kind) == b->keys_kind_general ? 24 : 16;
	} else {
		size = read_u64(keys + b->keys_size);
		w.entries = keys + b->keys_indices +
			    size * (size <= 0xff	 ? 1
				    : size <= 0xffff	 ? 2
				    : size <= 0xffffffff ? 4
							 : 8);
		w.stride = 24;
	}
	bpf_loop(NAME_ENTRIES, dict_step, &w, 0);
	if (w.found || w.failed)
		return w.found;
	return w.n <= NAME_ENTRIES ? NAME_ABSENT : 0;
}

/* The instruction that a frame (3.11 on) stands at. */
static __always_inline u64 frame_instr(const struct wire_build *b, u64 frame)
{
	return read_u64(frame + b->frame_instr);
}

/* Where a frame of any version stands: its instruction, to 3.10 f_lasti. */
static __always_inline u64 frame_stands(const struct wire_build *b, u64 frame)
{
	return b->frame_instr >= 0 ? frame_instr(b, frame) : (u64)(s64)(s32)read_u32(frame + b->frame_lasti);
}

/* Where the RESUME instruction at `instr` stands, by its argument: 0 at a start. The argument stays when another opcode
 * takes the place of RESUME, for a debugger's sake; that of instructions which need none is 0. */
static __always_inline s32 resume_place(const struct wire_build *b, u64 instr)
{
	return read_u8(instr + 1) & b->resume_mask;
}

/* Whether a generator's frame (to 3.10) has yielded rather than ended. */
static __always_inline int frame_yielded(const struct wire_build *b, u64 frame)
{
	if (b->frame_stacktop >= 0)
		return read_u64(frame + b->frame_stacktop) != 0;
	return read_u8(frame + b->frame_state) == (u8)b->frame_state_suspended;
}

/* Whether an object is a code object: its type is PyCode_Type. Negative when it cannot be read. */
static __always_inline int is_code(const struct wire_build *b, u32 slot, u64 code)
{
	const struct wire_proc *proc = proc_of(slot);
	u64 type;

	if (bpf_probe_read_user(&type, sizeof(type), (void *)(code + b->ob_type)))
		return -1;
	return type == (proc->code_type ? proc->code_type : b->code_type + proc->bias);
}

/* Whether a frame is one of the interpreter's own, between C and Python (3.12 on). */
static __always_inline int frame_of_c(const struct wire_build *b, u64 frame)
{
	return b->frame_owner_c >= 0 && read_u8(frame + b->frame_owner) >= b->frame_owner_c;
}

/* Whether a code object is the interpreter's own, behind a class's __init__ (3.13 on). */
static __always_inline int code_is_internal(const struct wire_build *b, u64 code)
{
	return read_u32(code + b->code_flags) & WIRE_CO_INTERNAL;
}

/* What userspace is told of a function, but for its id, into the thread's own record. */
static __noinline int code_describe(struct thread_state *thr, const struct wire_build *b, u64 frame, u64 code)
{
	struct wire_event_code *event = &thr->event;
	u64 module;

	/* What is behind a string's end belongs to its identity too. */
	__builtin_memset(event, 0, sizeof(*event));
	event->type = WIRE_EVENT_CODE;
	event->slot = thr->slot;
	event->code = code;
	event->flags = read_u32(code + b->code_flags);
	event->line = read_u32(code + b->code_firstlineno);
	event->globals = read_u64(frame + b->frame_globals);
	event->name_obj = read_u64(code + (b->code_qualname >= 0 ? b->code_qualname : b->code_name));
	event->file_obj = read_u64(code + b->code_filename);
	module = globals_name(b, event->globals);
	event->readable = module == NAME_ABSENT ? 1 : str_read(b, module, event->module, sizeof(event->module));
	event->readable |= str_read(b, event->name_obj, event->name, sizeof(event->name)) << 1;
	event->readable |= str_read(b, event->file_obj, event->file, sizeof(event->file)) << 2;
	return 0;
}

/* Sends the record. */
static __noinline int code_send(struct thread_state *thr, u32 func)
{
	u8 *state = &func_state[func & (WIRE_MAX_FUNCS - 1)];

	thr->event.func = func;
	/* Before userspace can answer: from then on the byte is its own. */
	*state |= WIRE_FUNC_ANNOUNCED;
	if (bpf_ringbuf_output(&events, &thr->event, sizeof(thr->event), 0))
		*state &= ~WIRE_FUNC_ANNOUNCED; /* no room: the next call announces it */
	return 0;
}

/* Tells userspace of a function that runs for the first time under watch. */
__noinline int code_announce(struct thread_state *thr, const struct wire_build *b, u64 frame, u64 code, u32 func)
{
	if (!thr || !b)
		return 0;
	code_describe(thr, b, frame, code);
	return code_send(thr, func);
}

/* The identity of the function in the thread's record: what eval() or a template compiles over and over is one function.
 * 0 when there is none: a string is missing, or (to 3.10) the name alone does not tell functions of a line apart. */
static __noinline int code_identity(const struct thread_state *thr, const struct wire_build *b, struct identity *out)
{
	const struct wire_event_code *event = &thr->event;
	const u64 *words = (const u64 *)event->module;
	u64 h = event->flags, g = ~h;

	if (event->readable != 7 ||
	    (b->code_qualname < 0 && (*(const u64 *)event->name != MODULE_NAME || event->name[8])))
		return 0;
	for (int i = 0; i < (WIRE_NAME_MAX + WIRE_NAME_MAX + WIRE_FILE_MAX) / 8; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15ULL; /* odd numbers without a pattern in their bits */
		g = (g ^ words[i]) * 0xd6e8feb86659fd93ULL;
		h ^= h >> 32;
		g ^= g >> 29;
	}
	out->hash[0] = h;
	out->hash[1] = g;
	out->slot = thr->slot;
	out->line = event->line;
	return 1;
}

/* The next function id, or 0 when there is no more. */
static __always_inline u32 func_new(const struct wire_event_code *event)
{
	u32 func = next_func < WIRE_MAX_FUNCS ? __sync_fetch_and_add(&next_func, 1) : WIRE_MAX_FUNCS;

	if (func >= WIRE_MAX_FUNCS)
		return 0;
	func_state[func & (WIRE_MAX_FUNCS - 1)] = event->flags & WIRE_CO_INTERNAL
							  ? WIRE_FUNC_NOMATCH | WIRE_FUNC_ANNOUNCED
						  : event->flags & WIRE_CO_GENERATORS ? WIRE_FUNC_GENERATOR
										      : 0;
	return func;
}

/* Gives a code object that was not seen before its function id; 0 when it is none, or there is no room. */
__noinline u32 code_new(struct thread_state *thr, const struct wire_build *b, u64 frame, u64 code)
{
	struct identity identity;
	u32 func, *same = NULL;
	int known, unique;
	u64 key;

	if (!thr || !b)
		return 0;
	key = key_of(code, thr->slot);
	known = is_code(b, thr->slot, code);
	if (known <= 0) {
		if (known < 0)
			proc_of(thr->slot)->stats.unreadable++;
		else
			proc_of(thr->slot)->stats.bad_code++;
		return 0;
	}
	proc_inspect(b, thr->slot); /* a new interpreter, or main program, comes with new code */
	code_describe(thr, b, frame, code);
	unique = !code_identity(thr, b, &identity);
	if (!unique)
		same = bpf_map_lookup_elem(&identities, &identity);
	func = same ? *same : func_new(&thr->event);
	if (!func || bpf_map_update_elem(&codes, &key, &func, BPF_ANY)) {
		proc_of(thr->slot)->stats.lost_events++;
		return 0;
	}
	if (!same && !(thr->event.flags & WIRE_CO_INTERNAL))
		code_send(thr, func);
	if (!same && !unique)
		bpf_map_update_elem(&identities, &identity, &func, BPF_ANY);
	return func;
}

/* The function id of a frame's code object (0: none) and its state. */
static __always_inline u32 code_func(struct thread_state *thr, const struct wire_build *b, u64 frame, u64 code,
				     u8 *state)
{
	u64 key = key_of(code, thr->slot);
	u32 *known = bpf_map_lookup_elem(&codes, &key);
	u32 func = known ? *known : code_new(thr, b, frame, code);

	*state = func_state[func & (WIRE_MAX_FUNCS - 1)];
	if (unlikely(!(*state & WIRE_FUNC_ANNOUNCED)) && func)
		code_announce(thr, b, frame, code, func);
	return func;
}

#endif
