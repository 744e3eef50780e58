/*
 * blob: what pylu-cli's compiler makes and the agent carries out: one marshalled dict, made by a child of the target's own
 * interpreter, so that its code objects are that interpreter's. This file is its description, for compiler.py and patch.c.
 *
 *   format     1
 *   file       str    what code objects have as co_filename: the source's path, '@', first 8 digits of its SHA-256: two states of
 *                     one file never mix. The agent puts `source` under this name into linecache.cache.
 *   source     str    text of the whole file
 *   home       str    name of the module whose globals the body sees: that of the first change
 *   body       code or None   a module's code that binds __pylu_body, run with scratch locals and `home`'s globals. That function holds
 *                     the file's top level code (imports, helpers, constants; not the new functions). It is called with the
 *                     target objects named in `own`, in that order, and returns a dict of all names that the changes need.
 *   own        tuple of (name, index of a change)    names in the body that mean a target function itself
 *   changes    tuple of dicts:
 *
 *   A change:
 *   kind       'redefine', 'add' or 'set'
 *   target     str    as RESOLVE gave it back (canonical); for 'add' and 'set' where it is put: module.qualname
 *   code_id    int    the target's, from RESOLVE; 0 for add and set
 *   free       tuple of str   the target's free variables as they were when compiled
 *   maker      code       a module's code that binds __pylu_make, run with scratch locals and the target module's globals. The function is
 *                     called with the body's values named in `args` and returns the new function; for 'add' and 'set' the value.
 *   args       tuple of str
 *   gate       code or None   (redefine) a function's code with `free` as its free variables that does: return GATE(*a, **k)
 *   trampoline code or None   (redefine) the same, with the new function's parameters, that calls the new function ("\0pylu:impl")
 *   original   str or None    the original's source, for `show`
 *   line, last_line   int     where in `source` the new function stands
 *   notes      tuple of str
 *
 * PLACEHOLDERS. Constants of the new code that are str and start with "\0pylu:" are replaced by objects before the swap, also in
 * nested code objects:
 *   "\0pylu:name:NAME:N"   the body's value of NAME (N makes each use a constant of its own)
 *   "\0pylu:impl"          (trampoline) the new function, with the free variables that the target lacks
 *   "\0pylu:gate"          (gate) what calls the old or the new function, as the set's one switch stands
 *   "\0pylu:call"          called without arguments at the start of each call, where calls are counted
 *   "\0pylu:error"         called in an except block, where errors are counted: also for GeneratorExit, KeyboardInterrupt and so on, which
 *                         are to be told from errors by the exception that is being handled
 *
 * FREE VARIABLES. The new function's cells are the target's own, by name. Without a trampoline the new code's free variables
 * are those of the target, in the same order, and it can be put into the target itself. With one they are not: the new code needs what
 * the target lacks (`__class__` of a method that had no super(), a helper that is also a local name somewhere), or lacks what it has.
 * Then the agent makes a function of its own from the new code, whose cells are the target's where it has one of that name, else those of
 * the function that the maker returned (__class__ is already the right class there), and the target gets the trampoline's code.
 *
 * NESTED. A target `outer.<locals>.inner` is a code object among the constants of outer's code, and so is the new one after the change: outer's
 * code is exchanged. `free` is inner's; the agent gives the gate, which uses none of them, outer's names. Functions that outer has made before
 * keep the old code, and the defaults of those to come are made by outer's code as before.
 *
 * From 3.11 on the gate and the trampoline have the kind (generator, coroutine, ...) of the function in their flags, and are plain
 * functions nevertheless: what they call makes the generator. So the interpreter does not warn of a change of kind.
 */
#ifndef PYLU_BLOB_H
#define PYLU_BLOB_H

#define BLOB_FORMAT 1
#define BLOB_BODY "__pylu_body"
#define BLOB_MAKE "__pylu_make"
#define BLOB_MARK "pylu:" /* behind a NUL */

#endif
