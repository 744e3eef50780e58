/*
 * wire_debug: what the BPF programs and userspace share for `trace`, `line`, `debug` and `var`: where to look, what to read
 * there, when to drop it, and the records that come of it. Fixed-width types only, as in wire.h.
 */
#ifndef PYLU_WIRE_DEBUG_H
#define PYLU_WIRE_DEBUG_H

#define WIRE_MAX_PLACES 128	  /* that a session tells apart; the watch backend has four of them live at a time */
#define WIRE_MAX_OPERANDS 512	  /* of all places together */
#define WIRE_MAX_ATTRS 3	  /* a.b.c.d */
#define WIRE_NAME_BYTES 48	  /* of a global's or an attribute's name, a multiple of 8, padded with NULs */
#define WIRE_MAX_TESTS 16	  /* comparisons in a condition */
#define WIRE_MAX_STEPS 64	  /* comparisons and connectives */
#define WIRE_TEST_BYTES 32	  /* of a str constant */
#define WIRE_SNAP_BYTES (1 << 15) /* of the chunks of an event */
#define WIRE_SNAP_PIECE (1 << 11) /* of one chunk, at most */
#define WIRE_SNAP_OBJECTS 512	  /* looked at for an event */
#define WIRE_SNAP_ROOTS 64
#define WIRE_SNAP_STACK 64 /* frames */
#define WIRE_MAX_HANDLERS 512
#define WIRE_NONE 0xffff

/* Where a value is found when an event happens. */
enum wire_operand_kind {
	WIRE_OPERAND_LOCAL,	/* localsplus[index]; where that is a cell, what it holds */
	WIRE_OPERAND_GLOBAL,	/* by name, in the frame's globals, else in its builtins */
	WIRE_OPERAND_RETURN,	/* what is about to be returned, or yielded */
	WIRE_OPERAND_EXCEPTION, /* the exception that is set */
};

struct wire_operand {
	u8 kind; /* enum wire_operand_kind */
	u8 nattrs;
	u8 masked; /* its name looks like a secret's: not read */
	u8 pad;
	u32 index;		    /* LOCAL */
	u64 hint;		    /* GLOBAL: entry in the dict that is tried first; << 32: in that of the builtins */
	char name[WIRE_NAME_BYTES]; /* GLOBAL */
	/* In instances' dicts, inline values and slots, and what is plain data in classes; no property is called. */
	char attrs[WIRE_MAX_ATTRS][WIRE_NAME_BYTES];
};

/* How far values are followed. */
struct wire_limits {
	u32 depth; /* containers in containers */
	u32 items; /* of a container */
	u32 chars; /* of a str or bytes */
};

enum wire_root_status {
	WIRE_ROOT_VALUE,
	WIRE_ROOT_UNBOUND,    /* a local that has no value now */
	WIRE_ROOT_MISSING,    /* no such global or attribute */
	WIRE_ROOT_UNREADABLE, /* memory on the way to it could not be read */
	WIRE_ROOT_MASKED,
};

/* One value of an event. */
struct wire_root {
	u64 obj;
	u16 operand; /* into operands[]; WIRE_ROOT_ARG | i: localsplus[i], an argument */
	u8 status;   /* enum wire_root_status */
	u8 pad[5];
};
#define WIRE_ROOT_ARG 0x8000
#define WIRE_ROOT_RESULT 0x7fff	     /* of a call: what it returns, yields or raises */
#define WIRE_ROOT_RAISED_TYPE 0x7ffe /* the class of what it raises, where RESULT is the arguments alone (to 3.11) */

/* A piece of the target's memory as it was at the event; `len` bytes follow, padded to 8. */
struct wire_chunk {
	u64 addr;
	u32 len;
	u32 unreadable; /* nothing follows: it could not be read */
};

struct wire_stack_entry {
	u64 code;
	u64 instr; /* as frame_instr or frame_lasti of the layout: where the frame stands */
	u64 globals;
};

enum wire_seen_kind {
	WIRE_SEEN_CALL,
	WIRE_SEEN_RETURN,
	WIRE_SEEN_RAISE,
	WIRE_SEEN_YIELD,
	WIRE_SEEN_RESUME,
	WIRE_SEEN_BEFORE, /* a line is entered */
	WIRE_SEEN_AFTER,  /* and left */
};

/* What is told of calls. */
enum wire_tracing {
	WIRE_TRACING_NOTHING,
	WIRE_TRACING_CALLS,
	WIRE_TRACING_ENDS, /* of those that were told to have started, and no more */
};

enum wire_seen_flags {
	WIRE_SEEN_UNDECIDED = 1, /* the condition could not be decided here: userspace does it */
	WIRE_SEEN_FULL = 2,	 /* there was no room for all objects: what is not among the chunks was cut */
	WIRE_SEEN_PARTIAL = 4,	 /* the start of what ends here was not seen: no duration */
	WIRE_SEEN_STACK_CUT = 8, /* the stack is deeper */
};

/* An event. The record goes on with nroots wire_root, nstack wire_stack_entry (from the caller outwards; the first is always
 * there where there is a caller), and nbytes of chunks. Its size is a multiple of 8. */
struct wire_event_seen {
	u32 type; /* WIRE_EVENT_SEEN */
	u32 slot;
	u32 tid;
	u16 kind;   /* enum wire_seen_kind */
	u16 window; /* the line; WIRE_NONE: a call's */
	u32 func;   /* of a call: function id as in wire_event_code; 0: not decided yet */
	u32 flags;
	u64 time_ns; /* CLOCK_MONOTONIC */
	u64 duration_ns;
	u64 frame; /* address: pairs the events of one call */
	u64 code;
	u64 call;	    /* number of the call, the same in all of its events; 0: none */
	u64 instr, globals; /* as in wire_stack_entry, of the frame itself */
	u32 nroots, nstack, nbytes;
	u32 tgid;
};

/* What stands in a snapshot's objects: offsets of one build, -1 where there is none; see userspace/layout.h. */
struct wire_value_layout {
	s32 ob_type, ob_size;
	s32 type_name, type_flags, type_basicsize, type_itemsize, type_dictoffset, type_base, type_dict, type_mro,
		heaptype_cached_keys;
	s32 long_digits, long_tag;
	s32 float_value;
	s32 unicode_length, unicode_state, unicode_kind_shift, unicode_compact_shift, unicode_ascii_shift,
		unicode_ascii_data, unicode_compact_data, unicode_any_data;
	s32 bytes_data, tuple_items, list_items;
	s32 dict_used, dict_keys, dict_values, dict_values_items, keys_size, keys_log2_size, keys_log2_index_bytes,
		keys_kind, keys_kind_general, keys_nentries, keys_indices;
	s32 set_used, set_mask, set_table;
	s32 managed_dict, managed_values, managed_values_bias, values_valid, inline_values, values_capacity;
	s32 func_qualname, func_module, method_func, method_self, cell_ref, module_name, bytearray_start;
	s32 exc_args, member_def, member_offset, member_type, member_type_object;
	s32 frame_localsplus, frame_globals, frame_builtins;
	s32 code_argcount, code_kwonlyargcount, code_nlocalsplus, code_nlocals, code_varnames, code_localspluskinds,
		code_cellvars, code_freevars;
	s32 tstate_exc_value;
	u32 stackref_tag; /* bits of a word in localsplus that are no address */
	u64 type_cell;	  /* virtual address in the file; the run-time address is that plus the process's bias */
};

enum wire_test_op {
	WIRE_TEST_EQ,
	WIRE_TEST_NE,
	WIRE_TEST_LT,
	WIRE_TEST_LE,
	WIRE_TEST_GT,
	WIRE_TEST_GE,
	WIRE_TEST_IS,
	WIRE_TEST_IS_NOT,
	WIRE_TEST_TRUE, /* of the left side alone */
};

enum wire_const_kind {
	WIRE_CONST_OPERAND, /* no constant: another operand */
	WIRE_CONST_NONE,
	WIRE_CONST_BOOL,
	WIRE_CONST_INT,
	WIRE_CONST_FLOAT, /* its bits in `number` */
	WIRE_CONST_STR,	  /* ASCII of at most WIRE_TEST_BYTES bytes */
	WIRE_CONST_OTHER, /* what is not decided in the kernel */
};

struct wire_test {
	u16 left;  /* operand */
	u16 right; /* operand, where const_kind says so */
	u8 op, const_kind;
	u16 len; /* of a str */
	s64 number;
	char text[WIRE_TEST_BYTES];
};

enum wire_step { /* tests are 0..WIRE_MAX_TESTS-1 */
		 WIRE_STEP_AND = 0x80,
		 WIRE_STEP_OR,
		 WIRE_STEP_NOT,
};

/* A condition in postfix order. Three-valued: what cannot be decided in the kernel is sent and decided by userspace. */
struct wire_cond {
	u32 nsteps; /* 0: always true */
	u32 ntests;
	u8 steps[WIRE_MAX_STEPS];
	struct wire_test tests[WIRE_MAX_TESTS];
};

/* What is known of a function whose calls are told. Key: function id. */
struct wire_trace_func {
	u64 masked;   /* bits of its arguments: not read */
	u32 operands; /* those of the condition, the first one in operands[]; WIRE_NONE: not known */
	u32 noperands;
};
#define WIRE_MAX_TRACE_FUNCS (1 << 16)

#define WIRE_MAX_WATCHED 4	 /* debug registers of a processor */
#define WIRE_MAX_WINDOWS 512	 /* lines of a session */
#define WIRE_MAX_MARKS (1 << 14) /* frames between two places */
#define WIRE_MAX_WATCHERS (1 << 12)

/* A code unit whose execution is an event. */
struct wire_place {
	u64 addr; /* of the byte that is watched: the unit's second */
	u64 code;
};

/* A place that is watched now. */
struct wire_watched {
	u64 addr; /* 0: none */
	u32 place;
	u32 pad;
};

/* What it means that a frame comes from one place to another. */
struct wire_place_step {
	u16 leaves; /* window + 1, or 0 */
	u16 enters;
	u16 flags; /* enum wire_step_flags */
	u16 pad;
};

enum wire_step_flags {
	WIRE_STEP_PAUSES = 1, /* a generator yields within the line */
	WIRE_STEP_RESUMES = 2,
	WIRE_STEP_ENDS = 8,   /* the frame returns: a line that is entered is left at once */
	WIRE_STEP_UNSURE = 4, /* nothing may be reported of it */
};

/* A line. First and number of what is read when it is entered and when it is left, in window_operands[]. */
struct wire_window {
	u16 before, nbefore;
	u16 after, nafter;
	u64 hits;  /* times that it was entered */
	u64 timed; /* times that it was seen to be left again */
	u64 total_ns, min_ns, max_ns;
};

/* An instruction of an opcode handler at which a code unit is executed; its index is the probe's cookie. See
 * userspace/site_handlers.h. */
struct wire_handler {
	u8 instr_reg; /* it and instr_by: the address of the unit */
	u8 op;
	u8 counted, repeats, misses;
	u8 pad[3];
	s32 instr_by;
	u32 counter_below;
	u32 cost_ns;
};

/* What a place was seen last with at a handler. */
struct wire_place_last {
	u16 counter;
	u8 op;
	u8 repeats; /* it runs again, unless this opcode stays there and the counter stays below */
	u8 misses;  /* or its basic form does, unless the counter stays the same */
	u8 pad;
};

/* Calls of a function before it was decided whether it is wanted, once many waited to be looked at. */
struct wire_trace_early {
	u64 told, untold;
};

/* What the session asks for, whatever the command. */
struct wire_seen_config {
	struct wire_limits limits;
	u32 rate;  /* events per second and process; 0: no limit */
	u32 stack; /* frames to show above the function: 1 the caller only, at most WIRE_SNAP_STACK */
	u32 pad;
	u64 count; /* events until nothing more is sent; 0: no limit */
};

/* Counted for the session. */
struct wire_seen_stats {
	u64 hits;	/* events before the condition and the limits */
	u64 unmatched;	/* the condition was false */
	u64 suppressed; /* the rate limit */
	u64 lost;	/* no room in the ring buffer, or no scratch memory */
	u64 sent;
	u64 unsure; /* hits of which it cannot be told whether a line is entered or left */
	u64 strays; /* hits of a watchpoint that are no execution of its place: something else read that memory */
};

#endif
