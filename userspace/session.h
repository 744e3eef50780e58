/*
 * session: one measurement, from attach to detach: the targets, the loaded programs, the names of what runs, and at the
 * end the profile. The order of calls: new, add_target..., attach, poll..., stop, profile, free.
 */
#ifndef PYLU_SESSION_H
#define PYLU_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct pattern_set;
struct profile;
struct target;

struct session;
struct redact;
struct seen_event;
struct seen_header;
struct seen_summary;

/* What is told of each call, beside what is counted. */
struct session_trace {
	uint32_t depth, items, chars; /* how far values are followed */
	uint32_t stack;		      /* callers that are told, at most */
	uint32_t rate;		      /* calls a second and process; 0: no limit */
	uint32_t count;		      /* calls; 0: no limit */
	const char *when;	      /* a condition on a call's variables at its start (see cond.h), or NULL */
	const struct redact *redact;  /* NULL: nothing is masked; must outlive the session */
	/* Gets each event, in the order in which they happened. Not 0: no more is wanted, and session__poll returns it. */
	int (*event)(const struct seen_event *event, void *ctx);
	void *ctx;
};

struct session_options {
	const char *const *patterns; /* as the user gave them; must outlive the session */
	size_t npatterns;
	bool raw;			   /* do not correct times for our own probes */
	bool tree;			   /* follow processes forked while we watch */
	const char *backend;		   /* force one, or NULL */
	const struct session_trace *trace; /* NULL: calls are counted only; must outlive the session */
};

/* What is going on, for progress. */
struct session_status {
	uint64_t hits;	  /* probe hits so far */
	size_t functions; /* matching functions seen */
	size_t processes; /* processes watched now */
	double ns_per_hit;
};

/* Loads the programs and measures the cost of a hit. 0, or a code that was reported. */
int session__new(const struct session_options *opts, struct session **out);
void session__free(struct session *s);

/* Adds a process and takes the target over, also on failure. Finds the sites; proves them on a throw-away child where
 * one can be started. 0, or a code that was reported. */
int session__add_target(struct session *s, struct target *t);

/* Adds a process of ours that has not run its program yet: `exe` will be its executable, `interp_path` the file that
 * holds the interpreter (see target_find_interpreter). It is counted from its first call. 0, or a code that was
 * reported. */
int session__add_command(struct session *s, pid_t pid, const char *exe, const char *interp_path, const char *command);

/* Attaches everything and goes live. 0, or a code that was reported (then nothing is attached). */
int session__attach(struct session *s);

/* A sentence on how the (first) target is watched, for the line that is printed when all probes are live. */
const char *session__why(const struct session *s);

/* Handles what the programs announce, for at most `timeout_ms`. Returns the number of processes still watched, or a
 * negative code (-EINTR when a signal arrived; -DIAG_NOT_PROVED when what they met in a process makes no sense: then
 * there is no result). */
int session__poll(struct session *s, int timeout_ms);

/* Stops recording and detaches. Idempotent. */
void session__stop(struct session *s);

void session__status(const struct session *s, struct session_status *out);

/* The result, after session__stop. 0, or a code that was reported (-DIAG_NOT_PROVED as above). The caller frees it. */
int session__profile(struct session *s, struct profile **out);

/* With session_options.trace: whether `count` calls were told, and their ends. */
bool session__told_all(const struct session *s);

/* The same: what stands above the events, once all is attached, and below them. What else the caller knows is left as it is.
 * The strings are the session's. */
void session__seen_header(const struct session *s, struct seen_header *out);
void session__seen_summary(struct session *s, struct seen_summary *out);

/* Calls fn with the name of every function that ran and did not match (for "did you mean"). */
void session__each_unmatched(const struct session *s, void (*fn)(const char *module, const char *qualname, void *ctx),
			     void *ctx);

/* The same with every function that is loaded in the first process that still runs. */
void session__each_loaded(const struct session *s, void (*fn)(const char *module, const char *qualname, void *ctx),
			  void *ctx);

#endif
