/*
 * running: who is inside the functions that are about to change, or keeps their old code: stacks of threads, suspended generators
 * and coroutines, functions made earlier, caches. It only looks; what is done about it is the patch's (swap.c).
 *
 * Everything here is called on the agent's thread with the GIL held and the error indicator clear, and leaves both so. No code
 * written in Python is run: foreign objects are told apart by their exact type before anything is asked of them, and asked
 * only by C functions of the interpreter. What cannot be had is left out and said in a note; nothing raises. The one exception is a
 * Python audit hook of the program, which the interpreter itself calls: sys._current_frames and gc.get_objects raise one event
 * each before they do their work; from 3.8 to 3.11 the code of each generator is another event.
 *
 * The agent's own thread is never reported.
 */
#ifndef PYLU_RUNNING_H
#define PYLU_RUNNING_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"
#include "py.h"

#define RUNNING_DEPTH_MAX 100000 /* frames of one stack that are looked at; a note says so when there are more */
#define RUNNING_GROUPS_MAX 500	 /* RUNNING groups in one report; a note counts the others */

/* Code objects and the names to call them by. */
struct running_targets;

/* An empty set, to be freed by running__free. NULL: no memory. */
struct running_targets *running__new(void);
/* NULL is fine. Gives the references back: needs the GIL like all the others. */
void running__free(struct running_targets *t);

/* Adds a target's code, and the code objects nested in it: these are reported as `target`.<locals>.name and do not count
 * for running__anyone. A code that is there already keeps its name, but becomes a target if it was a nested one. `function`, or NULL, is
 * the object that is changed: a scan does not report it. 0 or -ENOMEM. Holds references on both. */
int running__add(struct running_targets *t, PyObject *code, const char *target, PyObject *function);
/* One more function object that a scan does not report: copies that the agent itself has made. 0 or -ENOMEM. */
int running__except(struct running_targets *t, PyObject *function);

/* Puts one RUNNING group for each thread and each code of the set on its stack: KIND "thread", the thread's NAME where threading knows it, TARGET,
 * LINE (of the innermost such frame), THREAD. With `scan` also what a look through all objects finds: generators, async generators and coroutines that
 * are suspended or not started, under the name of the asyncio task or greenlet that they belong to, and NOTEs that count other functions with the
 * code, filled lru_caches and cached_propertys over one. A scan takes about 60 us of the GIL per 1,000 objects. */
void running__report(struct running_targets *t, bool scan, struct msg_out *out);

/* Puts a NOTE if `object` is an lru_cache that holds values or a cached_property: what was computed stays. `target` is the function behind it. A scan
 * finds these itself; this is for objects that one has at hand. */
void running__note_cache(PyObject *object, const char *target, struct msg_out *out);

/* Whether a target (not a nested code) is on the stack of a thread. 0, 1, or -EPERM when an audit hook forbids to look, -ENOMEM. */
int running__anyone(struct running_targets *t);

/* Waits until no target is on the stack of any thread; the GIL is released meanwhile, with pauses that grow from 1 to 20 ms. Looks at least once, also when
 * `deadline_ns` (CLOCK_MONOTONIC) is over. 0: nobody is inside now; that holds until the GIL is released, which the garbage collector does too
 * when it runs finalizers: see running__gc_pause. Else -EBUSY, with RUNNING groups for those who are in the way; -ECANCELED
 * when the agent is being ended; or as running__anyone. */
int running__wait_quiescent(struct running_targets *t, uint64_t deadline_ns, struct msg_out *out);

/* Switches the garbage collector off until running__gc_resume gets what this returned, so that nothing between the two runs foreign
 * finalizers because of an allocation. */
bool running__gc_pause(void);
void running__gc_resume(bool was_on);

#endif
