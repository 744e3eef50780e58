/*
 * wire: what the BPF programs and userspace share: configuration, records, keys and values of the maps. One definition
 * for both sides; fixed-width types only. Included with the u8..u64 names already defined.
 */
#ifndef PYLU_WIRE_H
#define PYLU_WIRE_H

#define WIRE_MAX_SITES 64
#define WIRE_MAX_BUILDS 8
#define WIRE_MAX_PROCS 4096 /* slot 0 is our own process: the measurement of the cost per hit */
#define WIRE_MAX_FUNCS (1 << 20)
#define WIRE_MAX_IDENTITIES (1 << 18) /* functions whose recompiled forms are known to be the same */
#define WIRE_MAX_FRAMES (1 << 18)     /* the maps below take memory as they fill, at most some 40 and 120 MB */
#define WIRE_MAX_NODES (1 << 18)
#define WIRE_MAX_THREADS (1 << 14) /* later ones share the counters of earlier ones */
#define WIRE_UNSTARTED_SAMPLE 16   /* of the ends of frames without a record one is looked at */
#define WIRE_MAX_INTERPS 1024	   /* interpreters of a process that are looked through */
#define WIRE_MAX_WALK 1024	   /* frames that a search for the nearest matching caller looks at */
#define WIRE_MAX_PREATTACH 512	   /* frames of a stack that was there before us */
#define WIRE_LOG2_BUCKETS 40	   /* the last one is open-ended: 2^39 ns are nine minutes */

/* CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR of co_flags, Include/code.h */
#define WIRE_CO_GENERATORS 0x2a0

/* CO_NO_MONITORING_EVENTS of co_flags (3.13 on): the interpreter's own, behind a class's __init__; no function */
#define WIRE_CO_INTERNAL 0x2000000

#define WIRE_REG_NONE 0xff /* registers are numbered as the processor does: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp ... */

enum wire_outcome {
	WIRE_OUTCOME_ASK, /* the thread state tells whether an exception is set */
	WIRE_OUTCOME_RETURNED,
	WIRE_OUTCOME_RAISED,
};

enum wire_site_kind {
	WIRE_SITE_RESUME, /* 3.11 on, RESUME and its forms: a frame starts, or a generator's goes on */
	WIRE_SITE_YIELD,
	WIRE_SITE_END,
	WIRE_SITE_ENTER,       /* to 3.10: a frame starts, or a generator's goes on */
	WIRE_SITE_LEAVE,       /* to 3.10: a frame yields or ends */
	WIRE_SITE_DEALLOC,     /* a code object is freed */
	WIRE_SITE_USDT_ENTRY,  /* 3.15 on: a frame starts, a generator's goes on, or one makes its generator */
	WIRE_SITE_USDT_RETURN, /* a frame yields or ends */
};

/* One probed instruction; its index is the probe's cookie. */
struct wire_site {
	u8 build;      /* index into builds[] */
	u8 frame_reg;  /* register that holds the frame (code object: at its deallocation) */
	u8 tstate_reg; /* register that holds the thread state, or WIRE_REG_NONE */
	u8 kind;       /* enum wire_site_kind */
	u8 outcome;    /* enum wire_outcome: what is known of a frame that ends here */
	u8 value_reg; /* YIELD: register that holds what is yielded, or below what it points to it lies; or WIRE_REG_NONE */
	u8 value_below;
	u8 pad;
	u32 cost_ns; /* what a hit takes away from a function's time, if it is dropped */
	u32 pad2;
	u64 addr; /* virtual address in the file: the run-time address less this is the load bias */
};

/* Offsets of one interpreter build; see userspace/layout.h for what each is. -1: this version has none. */
struct wire_build {
	s32 head;	   /* offset in the frame of three words that hold both of the next two */
	u32 head_code;	   /* which of the three is the code object */
	u32 head_previous; /* which is the caller's frame */
	u64 code_mask;	   /* bits of the code object's word that are its address */
	s32 frame_globals, frame_instr, frame_owner, frame_owner_c, frame_lasti, frame_stacktop, frame_state,
		frame_state_suspended;
	s32 tstate_interp, tstate_tracing, tstate_traced, interp_instrumented;
	s32 code_opcache_map, code_opcache, code_instrumented, code_linetable;
	s32 code_flags, code_firstlineno, code_filename, code_name, code_qualname;
	s32 unicode_length, unicode_state, unicode_compact_shift, unicode_ascii_shift;
	s32 unicode_ascii_data;
	s32 dict_keys, keys_size, keys_log2_index_bytes, keys_kind, keys_kind_general, keys_nentries, keys_indices;
	s32 tstate_exc, tstate_current_frame, tstate_next, interp_tstate_head;
	s32 tstate_thread_id, tstate_frame, tstate_cframe, cframe_current_frame;
	s32 ob_type;
	s32 resume_mask;    /* bits of RESUME's argument that tell where it stands */
	s32 resume_creates; /* those of a generator expression before it makes its generator */
	s32 frame_builtins, frame_owner_generator, code_bytes;
	s32 runtime_interp_head, interp_next, interp_id, interp_builtins, interp_jit;
	u32 index; /* its own, in builds[] */
	s32 code_consts, code_code, frame_stackdepth, frame_stackpointer;
	s32 op_yield_value;						 /* to 3.10 */
	s32 op_return_const, op_return_const_monitored, op_extended_arg; /* opcodes; -1: this version has none */
	u32 yields_live; /* suspensions are seen: generators that start now can be timed */
	u64 code_type;	 /* virtual address of PyCode_Type */
	u64 runtime;	 /* of _PyRuntime */
};

/* What went wrong or was odd, counted for each process. */
struct wire_stats {
	u64 lost_events;    /* calls that are missing: no room in a map */
	u64 stack_overflow; /* the nearest matching caller was too far up */
	u64 unreadable;	    /* memory of the target could not be read */
	u64 bad_code;	    /* a frame's code object is no code object: the sites or registers are wrong */
	u64 repeated;	    /* a start of a frame that was open already: eval-breaker and monitoring re-run RESUME */
	u64 unclosed;	    /* a start where another function's frame was still open: an end was missed */
	u64 reopened;	    /* suspended generators that were found running: throw() */
	u64 unstarted;	    /* of a sample: ends of calls that must have started while we watched, unseen */
};

/* What is per process, or per interpreter where a process has several: the main one has the process's first slot. */
struct wire_proc {
	u32 tgid;
	u32 launched; /* we started it: it may exec until the interpreter runs */
	u32 home;     /* the process's first slot */
	u8 several;   /* it has, or had, more than one interpreter */
	u8 jit;	      /* compiled traces may run, which hide starts and yields, but no ends */
	u8 pad[2];
	u64 code_type; /* run-time address of PyCode_Type, 0: by the build's and the bias */
	u64 runtime;   /* the same of _PyRuntime */
	u64 bias;      /* run-time address less virtual address in the file, from the last hit */
	u64 hits;      /* probe hits */
	u64 open;      /* frames that have a record and have not ended */
	struct wire_stats stats;
};

enum wire_func_state {
	WIRE_FUNC_MATCH = 1,	 /* userspace decided: wanted */
	WIRE_FUNC_NOMATCH = 2,	 /* userspace decided: not wanted; neither: counted until it has decided */
	WIRE_FUNC_GENERATOR = 4, /* generator, coroutine or async generator */
	WIRE_FUNC_ANNOUNCED = 8,
};

enum wire_frame_state {
	WIRE_FRAME_CLOSED,
	WIRE_FRAME_ACTIVE,
	WIRE_FRAME_SUSPENDED,
};

/* An open frame of a matching function. Key: address | slot << 48. Stays after its end, closed: addresses recur. */
struct wire_frame {
	u64 code;
	u32 parent;	/* node id of the nearest matching caller at the start, or the thread's */
	u32 cur_parent; /* the same at the last resumption (generators) */
	u32 func;
	u32 node;     /* own node id, 0 until it is needed */
	u32 tid;      /* thread in which it last ran */
	u8 state;     /* enum wire_frame_state */
	u8 preattach; /* its start was not seen */
	u8 generator;
	u8 untimed;	 /* a generator that started before suspensions were seen, or any call under the JIT */
	u64 start_instr; /* generators, 3.11 on: the RESUME at which it started; 0 when that was not seen */
	u64 start_ns;
	u64 resume_ns; /* start of the slice that runs, or of the only one */
	u64 active_ns; /* sum of the slices before, corrected */
	u64 ours0;     /* the cost of all of the thread's hits up to resume_ns */
	u64 call;      /* its number, where userspace was told of its start; else 0 */
};

/* A place in the call tree. Roots of threads: parent = WIRE_NODE_THREAD | slot, func = tid. */
#define WIRE_NODE_THREAD 0x80000000u
struct wire_node_key {
	u32 parent; /* node id */
	u32 func;
};

struct wire_node {
	u32 id; /* > 0 */
	u32 pad;
	u64 complete; /* calls whose start and end were seen */
	u64 raised;   /* calls that ended by an exception, partly seen ones included */
	u64 complete_ns;
	u64 elapsed_ns; /* generators */
	u64 min_ns, max_ns;
	u64 partial; /* ended calls whose start was not seen */
	u64 partial_ns;
	u64 untimed; /* ended calls that could not be timed */
	u64 dropped; /* generators that vanished while they were suspended */
	u64 dropped_ns;
	u64 log2_ns[WIRE_LOG2_BUCKETS];
};

enum wire_event_type {
	WIRE_EVENT_CODE = 1,
	WIRE_EVENT_THREAD,
	WIRE_EVENT_FORK,
	WIRE_EVENT_EXEC,
	WIRE_EVENT_INTERP,
	WIRE_EVENT_SEEN, /* see wire_debug.h */
};

#define WIRE_NAME_MAX 128
#define WIRE_FILE_MAX 256

/* A code object that is run for the first time under watch. Strings are UTF-8 or, where the string is wider than one
 * byte a character, empty: userspace reads those itself. */
struct wire_event_code {
	u32 type;
	u32 slot;
	u32 func;
	u32 flags; /* co_flags */
	u32 line;
	u32 readable; /* bit 0 module (empty: the globals have none), 1 name, 2 file: read at the event, and whole */
	u64 code;
	u64 globals;
	u64 name_obj, file_obj; /* str objects: co_qualname (to 3.10 co_name), co_filename */
	char module[WIRE_NAME_MAX];
	char name[WIRE_NAME_MAX];
	char file[WIRE_FILE_MAX];
};

struct wire_event_thread {
	u32 type;
	u32 slot;
	u32 tid;
	u32 index; /* into thread_ours[]; WIRE_MAX_THREADS: counted where the thread was announced first */
};

struct wire_event_proc { /* fork: a new process in `slot`; exec: the process of `slot` runs another program */
	u32 type;
	u32 slot;
	u32 pid;
	u32 parent_slot;
	u64 interp; /* interp: a second interpreter of the process in `parent_slot` has this id */
};

/* An interpreter of a process with several. Key: address of its builtins | first slot of the process << 48. */
struct wire_interp {
	u64 addr;
	u64 id;
	u32 slot;
	u32 pad;
};

#endif
