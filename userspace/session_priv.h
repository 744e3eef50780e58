/* session_priv: what session.c, session_names.c and session_collect.c share. */
#ifndef PYLU_SESSION_PRIV_H
#define PYLU_SESSION_PRIV_H

#include <time.h>

#include "clock_ns.h"
#include "cost.h"
#include "layout.h"
#include "session.h"
#include "site.h"
#include "skel.h"

struct elf_file;
struct prove_source;
struct py_version;
struct pyobj_reader;
struct ring_buffer;
struct seen_decoder;
struct trace;

/* A function that ran under watch, by its id in the programs. */
struct session_func {
	uint32_t slot;
	bool known; /* announced: the names below are set */
	bool matched;
	bool generator;
	uint32_t line;
	char *module, *qualname, *file; /* owned */
};

struct session_thread {
	uint32_t slot;
	pid_t tid;
	uint32_t index; /* into thread_ours[] */
	unsigned tries; /* at Python's name */
	char *name;	/* owned; NULL: only the kernel's name is known */
	char *comm;	/* owned */
};

struct session_build {
	char *build_id;
	struct layout layout;
	struct site_set sites;
	char *why;
	size_t first_site; /* in the programs' sites[] */
	bool wants_yields; /* a generator matches: its suspensions are to be seen */
	bool yields_attached;
	const char *unproved; /* why no throw-away child could be started (static storage), or NULL */
};

struct session_proc {
	uint32_t slot;
	uint32_t parent_slot; /* of the process that forked it; 0: none that we watch */
	pid_t pid;
	size_t build;
	struct target *target;	      /* owned; NULL when the process was gone before it could be opened */
	struct pyobj_reader *reader;  /* owned; NULL likewise */
	struct seen_decoder *decoder; /* owned; NULL until something is told of its calls */
	char *command;
	char *python;
	char *open_path; /* of the interpreter's file, as target.h says */
	bool trial;	 /* the child of a proof: in no result */
	bool interp;	 /* a second interpreter of a process that is known, with this id */
	int64_t interp_id;
	bool bad_names; /* see session_check.c */
	unsigned codes_checked;
	bool ended;
	uint64_t ended_ns;		   /* when that was noticed; 0: it lives */
	uint64_t cpu_start_ns, cpu_end_ns; /* processor time; 0 unknown */
};

/* A code object of Python up to 3.10 whose qualified name was not found at its first call: what it is a part of may not
 * have been there yet. Undecided until then, its calls are counted. */
struct session_pending {
	struct wire_event_code event;
	uint64_t since_ns;
};

/* The module's name that was read last, by the address of its globals. */
struct session_module {
	uint32_t slot;
	uint64_t globals, read_ns;
	char name[256];
};

struct session {
	struct session_options opts;
	struct pattern_set *patterns;
	struct pylu *skel;
	struct ring_buffer *ring;
	struct cost cost;
	bool multi;
	bool limited; /* the probes are in the watched processes only */

	struct session_build builds[WIRE_MAX_BUILDS];
	size_t nbuilds;
	size_t next_site;
	struct session_proc **procs;
	size_t nprocs;
	struct session_func *funcs; /* by id */
	size_t nfuncs;
	size_t nmatched; /* functions that match, those of trials left out */
	struct session_module last_module;
	struct session_pending *pending; /* code objects whose names are asked for again */
	size_t npending;
	struct session_thread *threads;
	size_t nthreads;
	struct probe_links **links;
	size_t nlinks;
	struct trace *trace; /* owned by session_trace.c; NULL: calls are counted only */

	bool stopped;
	struct timespec started;   /* CLOCK_REALTIME */
	uint64_t live_ns, stop_ns; /* CLOCK_MONOTONIC */
	uint64_t last_check_ns;
};

/* session_names.c */
void session_on_code(struct session *s, const struct wire_event_code *event);
/* Asks again for names that were not found; at the end, for the last time. */
void session_retry_names(struct session *s, bool last);
void session_on_thread(struct session *s, const struct wire_event_thread *event);
void session_name_threads(struct session *s);
void session_names_free(struct session *s);
struct session_func *session_func(struct session *s, uint32_t id);
/* Whether a code object still is the one that was announced: the programs forget it when it is freed. */
bool session_code_lives(const struct session *s, const struct wire_event_code *event);

/* Names a function that had no name; known unless memory ran out. */
void session_func_name(struct session_func *func, const char *module, const char *qualname, const char *file);
/* Whether a code object waits for its name: it may turn out to match or not. */
bool session_func_pending(const struct session *s, uint32_t id);

/* session_trace.c */
/* 0, or a code that was reported. */
int session_trace_new(struct session *s);
/* From now on calls are told. */
void session_trace_begin(struct session *s);
/* Decides about what is loaded now, so that nothing need be decided at the first calls. After the session went live. */
void session_trace_preload(struct session *s);
/* Tells the programs what they need to know of a function that matches, before they know that it does. */
void session_trace_function(struct session *s, struct session_proc *proc, uint32_t id, uint64_t code, uint64_t globals);
/* Waits until there is something to read, for at most `timeout_ms`. 0, or a negative errno. */
int session_trace_wait(struct session *s, int timeout_ms);
/* Hands on what was told. 0 when nothing is left for now, 1 when there is more, what the receiver returned, or a code that
 * was reported. `last`: nothing more comes. */
int session_trace_read(struct session *s, bool last);
/* Warns of what hid calls from the programs. */
void session_trace_warn(const struct session *s);
void session_trace_free(struct session *s);

/* session_check.c */
/* Looks at a code object that was announced just now. */
void session_check_code(const struct session *s, struct session_proc *proc, const struct wire_event_code *event);
/* Whether a process that is to be watched, or that the programs have watched so far, compiles traces that hide all from its
 * backend. 0, or a code that was reported. */
int session_check_target(const struct session *s, const struct session_proc *proc);
int session_check_jit(const struct session *s, const struct session_proc *proc);
/* Whether what the programs met so far makes sense. 0, or a code that was reported. */
int session_check(const struct session *s);

/* session_collect.c */
/* The profile of one process, or with 0 of all but trials. 0, or a code that was reported. */
int session_collect(struct session *s, uint32_t slot, struct profile **out);

/* session_build.c */
/* The build of an interpreter's file: known, or found and proved now, on a child of where it comes from. Its index, or a
 * code that was reported. */
int session_find_build(struct session *s, const struct elf_file *elf, const struct py_version *version,
		       const char *path, const struct prove_source *source);

/* Whether it is seen by static probes. */
bool session_by_usdt(const struct session_build *build);

/* session_attach.c */
/* Takes links over until session_detach. 0, or -ENOMEM, reported: then they are taken out at once. */
int session_keep_links(struct session *s, struct probe_links *links);
int session_attach_sites(struct session *s, const struct session_proc *proc, pid_t pid, bool yields);
int session_attach_yields(struct session *s, size_t build);
int session_attach_all(struct session *s);
void session_detach(struct session *s);

/* session_proc.c */
struct session_proc *session_proc(const struct session *s, uint32_t slot);
/* Processor time is counted from now on. */
void session_start_clocks(struct session *s);
/* Looks at each process: ended, processor time. */
void session_check_procs(struct session *s);
/* Opens a process that was only announced: forked, or started by us. */
void session_proc_open(struct session_proc *proc);
void session_proc_end(struct session_proc *proc);
void session_proc_free(struct session_proc *proc);
bool session_is_trial(const struct session *s, uint32_t slot);
void session_on_fork(struct session *s, const struct wire_event_proc *event);
void session_on_interp(struct session *s, const struct wire_event_proc *event);
/* Watches the child of a proof, alone, if it runs the interpreter in `elf`. 0, or a code that was reported; 1 when it
 * cannot be looked at or runs another; *why says why not then, as in prove.h. */
int session_prove_begin(struct session *s, size_t build, const struct elf_file *elf, pid_t pid, uint32_t *slot,
			const char **why);
int session_prove_end(struct session *s, size_t build, uint32_t slot, struct profile **out);

#endif
