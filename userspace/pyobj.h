/*
 * pyobj: reads Python objects in a target through mem, by a layout. Everything read may be garbage or change under us:
 * sizes and pointers are bounded, types are checked by their type object's address, loops are limited.
 */
#ifndef PYLU_PYOBJ_H
#define PYLU_PYOBJ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct layout;
struct mem;
struct target;

struct pyobj_reader;

/* A reader for a target of known version; `t` must outlive it. 0, or a negative code that was reported
 * (-DIAG_UNSUPPORTED: no layout for that version). */
int pyobj_reader__new(const struct target *t, struct pyobj_reader **out);
void pyobj_reader__free(struct pyobj_reader *r);
const struct layout *pyobj_reader__layout(const struct pyobj_reader *r);

/* A str as UTF-8 (lone surrogates as U+FFFD, cut at a character where `size` is too small, always terminated).
 * 0, or -EINVAL when it is no str, or mem__read's codes. Not reported. */
int pyobj__str(struct pyobj_reader *r, uint64_t obj, char *buf, size_t size);

/* Calls fn for each (key, value) of a dict in its order (a split table: in the order of its shared keys). At most
 * 1,000,000 entries.
 * fn returning non-zero stops, and that is returned. -EINVAL when it is no dict. */
int pyobj__dict_each(struct pyobj_reader *r, uint64_t dict, int (*fn)(uint64_t key, uint64_t value, void *ctx),
		     void *ctx);

/* The value of a str key in a dict: 0, -ENOENT, or as above. */
int pyobj__dict_get(struct pyobj_reader *r, uint64_t dict, const char *key, uint64_t *value);

/* The value of an instance's attribute, from its instance dict or inline values only (no descriptors, no class).
 * 0, -ENOENT ... */
int pyobj__attr(struct pyobj_reader *r, uint64_t obj, const char *name, uint64_t *value);

struct pyfunc {
	const char *module;   /* the `__name__` of the function's globals */
	const char *qualname; /* also up to 3.10, and for functions nested in others */
	const char *file;
	uint32_t line;
	uint32_t flags; /* co_flags */
	uint64_t code;	/* address of the code object */
};

/*
 * All functions that can be reached now: from sys.modules, through module dicts, classes (nested ones too) and their
 * bases, static and class methods, properties, closures, defaults, attributes of functions (`__wrapped__`), small
 * containers and instances up to a few steps away, and the code objects among the constants of code objects. Each code
 * object once; only those whose module is in sys.modules; `<module>` and class bodies are not functions. Not found is
 * what only data further away, a large container or a running frame holds. Strings live during the call of fn only.
 * fn returning non-zero stops, and that is returned. Else 0 or a code that was reported.
 */
int pyobj_each_function(struct pyobj_reader *r, int (*fn)(const struct pyfunc *f, void *ctx), void *ctx);

/* The qualified name of one code object by the same search, limited to the module whose globals dict is `globals`
 * (for versions whose code objects have none). Answers are kept; a code object that is not found makes the module be
 * read anew, at most once a second. 0, or -ENOENT. */
int pyobj__qualname(struct pyobj_reader *r, uint64_t globals, uint64_t code, char *buf, size_t size);

/* Lets the next question for a qualified name read every module anew, however short ago it was read. */
void pyobj_names__expire(struct pyobj_reader *r);

/* Python's name of a thread ("MainThread", "Thread-5 (work)") from threading._active, or -ENOENT. */
int pyobj__thread_name(struct pyobj_reader *r, pid_t tid, char *buf, size_t size);

#endif
