/*
 * profile: the one in-memory result that every output format reads. Pure data: no BPF, no process, no printing.
 *
 * Times are nanoseconds on CLOCK_MONOTONIC. A call tree holds the functions that matched; a call's parent is the
 * nearest matching caller on the stack.
 */
#ifndef PYLU_PROFILE_H
#define PYLU_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PROFILE_LOG2_BUCKETS 64

struct prof_call {
	char *function; /* module.qualname */
	char *file;	/* as the code object names it; "" when unknown */
	uint32_t line;	/* first line, 0 when unknown */
	bool generator; /* generator, coroutine or async generator */

	uint64_t hits;		   /* calls that started while we watched; for a generator: its first resumption */
	uint64_t complete;	   /* of those and only those: started and ended while we watched */
	uint64_t raised;	   /* calls that ended by an exception */
	uint64_t running_at_start; /* calls that were already running when we attached; not in hits */
	uint64_t running_at_end;   /* calls still running when we stopped (whenever they started) */
	uint64_t
		untimed; /* of the hits: generators that started before their suspensions were seen, or any calls of a process
			   * with the JIT on; in no time */
	uint64_t suspended_at_end; /* generators started, neither ended nor running when we stopped */

	uint64_t total_ns;    /* time observed inside, callees included; a generator's suspended time is not in it */
	uint64_t self_ns;     /* total_ns less the part spent in matching callees */
	uint64_t complete_ns; /* the part of total_ns that belongs to complete calls: mean = complete_ns / complete */
	uint64_t elapsed_ns; /* generators: sum over complete ones of the time from start to end, suspension included */
	uint64_t min_ns, max_ns;		/* over complete calls; 0 when there is none */
	uint64_t log2_ns[PROFILE_LOG2_BUCKETS]; /* complete calls with 2^i <= ns < 2^(i+1); bucket 0 also holds 0 ns */

	struct prof_call *parent;    /* NULL for a root */
	struct prof_call **children; /* owned */
	size_t nchildren;
	size_t place;		   /* among the parent's children; kept by prof_call__child and profile__sort */
	struct prof_call **lookup; /* profile.c's own: finds a child by its key when there are many */
	size_t nlookup;
};

struct prof_thread {
	pid_t tid;
	char *name;		/* Python's name of the thread, else the kernel's */
	struct prof_call *root; /* owned; carries no data of its own but its children */
};

struct prof_process {
	pid_t pid;
	char *command;
	char *python;		  /* "3.12.1" */
	char *build_id;		  /* hex, "" when the file has none */
	char *backend;		  /* "opcode", "frame" */
	char *why;		  /* one sentence: why that backend */
	bool raw;		  /* times were not corrected for our own probes */
	bool jit;		  /* compiled traces may have run: calls were counted, not timed */
	int64_t interpreter;	  /* its id where the process has several, each an entry of its own; -1: it has one */
	bool ended;		  /* the process ended or changed its image while we watched */
	uint64_t hits_total;	  /* probe hits in this process, those of functions that do not match included */
	double ns_per_hit;	  /* measured on this host at start */
	double overhead_fraction; /* hits_total * ns_per_hit / processor time the process used meanwhile; <0 unknown */
	struct {
		uint64_t events;	 /* calls that are missing from the tree */
		uint64_t stack_overflow; /* calls whose caller was too far up the stack to be found: shown as roots */
		uint64_t unreadable;	 /* events of which memory could not be read */
	} lost;
	char **warnings; /* sentences for the header */
	size_t nwarnings;
	struct prof_thread **threads; /* owned */
	size_t nthreads;
};

struct profile {
	char *host;
	struct timespec started; /* CLOCK_REALTIME when the probes went live */
	uint64_t duration_ns;
	char **patterns; /* as given */
	size_t npatterns;
	struct prof_process **processes; /* owned */
	size_t nprocesses;
};

/* All of these return NULL or -ENOMEM when memory runs out; strings are copied. A string member that was never set is
 * NULL (what is put there must be malloc'ed: profile__free frees it), and formats show it as empty. */
struct profile *profile__new(void);
void profile__free(struct profile *p);
int profile__add_pattern(struct profile *p, const char *pattern);
struct prof_process *profile__add_process(struct profile *p, pid_t pid);
int prof_process__add_warning(struct prof_process *proc, const char *sentence);
/* Not for a thread that is there already: it is not looked for, there may be tens of thousands. */
struct prof_thread *prof_process__add_thread(struct prof_process *proc, pid_t tid, const char *name);
/* Finds the child of `parent` with this function, file and line, or adds it. */
struct prof_call *prof_call__child(struct prof_call *parent, const char *function, const char *file, uint32_t line);
/* Adds the counts, times and histogram of `from` to `to` (min and max combined); children are left alone. */
void prof_call__merge(struct prof_call *to, const struct prof_call *from);
/* Walks the tree below `root` from callers to callees without recursion: the call after `call`, or NULL at the end.
 * Start with call = root and *depth = 0; root's children have depth 1. */
struct prof_call *prof_call__next(const struct prof_call *root, const struct prof_call *call, int *depth);
/* Sorts every children list by total time, descending, then by name; processes and threads by id. */
void profile__sort(struct profile *p);

#endif
