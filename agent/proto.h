/*
 * proto: the protocol between pylu-cli and the agent: what lies in the shared memory, which messages there are, what they
 * hold, and what each side may assume. This file is the document; ring.h and msg.h implement it. No Python.h here.
 *
 * THE MEMORY. The agent makes one memfd (name PROTO_MEMFD_NAME, mode 0600, size sealed, close-on-exec, not kept over a
 * fork) and maps it. pylu-cli opens it through /proc/PID/fd: whoever the kernel lets open it may patch. The file holds a
 * struct proto_header and behind it two queues of PROTO_QUEUE_SIZE bytes, requests and answers. See queue.h for the layout
 * and the memory order.
 *
 * ONE CLIENT AT A TIME. A client holds flock(LOCK_EX) on its own open file of the memfd for as long as it talks: others
 * wait, and the kernel takes the lock back when a client dies. A new client writes a new number into `session`; the
 * agent drops what it has of an older one, answers with the same number, and from then on each record carries it.
 *
 * EITHER SIDE MAY DIE at any instruction. Nothing is acted upon before a whole message has arrived and its checksum is right;
 * a message is acted upon once. A client that dies leaves at most a committed change with a lease, which takes itself
 * back. An agent that dies takes its process along: a client waits with a time limit and looks whether the process lives.
 *
 * ONCE, OR NOT AT ALL. When a whole request has arrived, the agent stores its session and id in `taken` and then looks at `session` again: if
 * that has changed, the request is dropped. A client that will not wait any longer stores another number in `session` and
 * then looks at `taken`. Both are sequentially consistent, so: a request that is not taken then never will be (a stopped
 * process that is continued later does not carry it out); of one that is taken only an answer tells what became of it.
 *
 * NEITHER SIDE TRUSTS THE MEMORY. Each reads a word once, into its own memory, checks it there, and masks every index; its
 * own counts it keeps to itself and only publishes. What a process of the same user writes into the ring may be refused or may
 * be carried out (that user could as well send it properly), but it never crashes or blocks the target. A client that does not read
 * its answer has it wait, and nothing else; a bell that is rung for nothing is answered ever more slowly; a bell that is turned
 * back can delay what the agent does by itself, not what the program waits for. What is damaged heals with the next session.
 *
 * MESSAGES are a type and a list of fields (msg.h). Unknown fields are skipped: a newer side may send more. An unknown request
 * is answered with PROTO_ERROR and -PROTO_E_UNKNOWN. PROTO_VERSION changes only when an older side could misunderstand;
 * HELLO's answer carries the lowest version that the agent speaks.
 */
#ifndef PYLU_PROTO_H
#define PYLU_PROTO_H

#include <stdint.h>

#define PROTO_MAGIC 0x31676e69756c7970ULL /* "pyluing1" */
#define PROTO_VERSION 1
#define PROTO_MEMFD_NAME "pylu-agent"
#define PROTO_COPY_NAME "libpylu_agent-" /* how the name of a copy starts that was made to be loaded, and then to go */
#define PROTO_QUEUE_SIZE (256U << 10)	 /* bytes of each queue; a power of two */
#define PROTO_MESSAGE_MAX (16U << 20)	 /* bytes of a message; longer ones are refused by either side */
#define PROTO_SOURCE_MAX (4U << 20)	 /* bytes of a patch's source text */
#define PROTO_CHANGES_MAX 4096		 /* changes in one patch */
#define PROTO_PATCHES_MAX 4096		 /* patches that are applied at once */
#define PROTO_BODY_SECONDS 10		 /* what a patch's own module code may take */

/* Requests; the answer has the same type with PROTO_ANSWER set. The agent handles one at a time, in order.
 * Fields are named in brackets; a * may occur any number of times, a ? may be absent. */
enum proto_type {
	/* Who is there? -> [PID VERSION_MIN PY_VERSION(hex, as Py_Version) PY_TEXT PY_MAGIC(pyc magic) AGENT_TEXT STATE PATCHES(count)
	 * STARTED_NS LOG_FILE?] */
	PROTO_HELLO = 1,
	/* [TARGET] -> the function that would be changed (see resolve.h for names, layers and nested ones, which have no DEFAULTS and KWDEFAULT):
	 * [TARGET(canonical, with its layer) MODULE QUALNAME KIND LAYER? CODE_ID FREE* FLAGS ARGCOUNT POSONLY KWONLY ARGNAME*
	 * DEFAULTS(count) KWDEFAULT* FILE LINE CODE_NAME CODE_QUAL? OPTIMIZE? CLASS? PATCHED_BY? NOTE*]; for a place where something
	 * can be added [TARGET MODULE QUALNAME KIND(=absent|value|class|module) NOTE*(why there is no function, nearest names)]. */
	PROTO_RESOLVE,
	/* [BLOB OPTIONS...] (see blob.h): all that can be done before anything changes: unmarshal, run the patch's own code,
	 * make the new functions, resolve and check the targets. -> [TOKEN CHANGE* NOTE* RUNNING* GIL_WAIT_US HOLD_US]
	 * Options: TOKEN(16 random bytes, the same in all processes of a tree) WHO COMMAND SOURCE_HASH TTL_MS? ERRORS_MAX? EXCEPT*
	 * COUNT? FORCE? SCAN? */
	PROTO_PREPARE,
	/* [TOKEN QUIESCENT_MS? LEASE_MS?] swaps, all or nothing -> [ID RUNNING* NOTE* GIL_WAIT_US HOLD_US]. With LEASE_MS the
	 * change takes itself back unless it is confirmed in time. */
	PROTO_COMMIT,
	/* [TOKEN] -> [] */
	PROTO_CONFIRM,
	/* [TOKEN] forgets what was prepared, or takes back what was committed and not confirmed -> [] */
	PROTO_ABORT,
	/* [] -> [PATCH*] */
	PROTO_LS,
	/* [ID] -> [PATCH FILE SOURCE CHANGE*(with ORIGINAL?, LINE, LAST_LINE)] */
	PROTO_SHOW,
	/* [ID* | TOKEN | ALL WHO COMMAND] -> [PATCH*(as they now are) NOTE*] */
	PROTO_REVERT,
	/* [MAX?] -> [ENTRY*] the journal, oldest first */
	PROTO_LOG,
	/* [SCRIPT INPUT] runs pylu-cli's compiler in the target, where no child could be started -> [OUTPUT] */
	PROTO_COMPILE,
	/* [WHO REVERT?] stops the agent; refused while patches are applied, unless REVERT -> [] */
	PROTO_DETACH,
	PROTO_ANSWER = 0x8000, /* set in an answer's type */
	PROTO_ERROR = 0xffff,  /* [ERROR CODE TRACEBACK?] instead of an answer */
};

/* Fields. u: an unsigned number, s: UTF-8 text without NUL, b: bytes, g: a group of fields. */
enum proto_field {
	PROTO_F_ERROR = 1,   /* s one sentence: what failed, with the object and the cause */
	PROTO_F_CODE,	     /* u one of enum proto_code */
	PROTO_F_TRACEBACK,   /* s the Python traceback that belongs to it */
	PROTO_F_PID,	     /* u as the target itself sees it */
	PROTO_F_VERSION_MIN, /* u */
	PROTO_F_PY_VERSION,  /* u */
	PROTO_F_PY_TEXT,     /* s "3.11.2" */
	PROTO_F_PY_MAGIC,    /* u what PyImport_GetMagicNumber gives */
	PROTO_F_AGENT_TEXT,  /* s the agent's version */
	PROTO_F_STATE,	     /* s */
	PROTO_F_PATCHES,     /* u how many are applied */
	PROTO_F_STARTED_NS,  /* u CLOCK_REALTIME */
	PROTO_F_LOG_FILE,    /* s */
	PROTO_F_TARGET,	     /* s module.qualname, `@N` behind it names a layer of decorators, 0 the outermost */
	PROTO_F_MODULE,	     /* s */
	PROTO_F_QUALNAME,    /* s below the module */
	PROTO_F_KIND, /* s function, staticmethod, classmethod, getter, setter, deleter, cached_property, nested, ... */
	PROTO_F_LAYER,	    /* g one layer of decorators: KIND QUALNAME LINE; in order, the outermost first */
	PROTO_F_CODE_ID,    /* u names a code object as long as it lives: its address */
	PROTO_F_FREE,	    /* s a free variable, in the code's order */
	PROTO_F_FLAGS,	    /* u co_flags */
	PROTO_F_ARGCOUNT,   /* u co_argcount */
	PROTO_F_POSONLY,    /* u co_posonlyargcount */
	PROTO_F_KWONLY,	    /* u co_kwonlyargcount */
	PROTO_F_ARGNAME,    /* s parameters, in co_varnames' order, with *args and **kwargs */
	PROTO_F_DEFAULTS,   /* u how many positional parameters have a default */
	PROTO_F_KWDEFAULT,  /* s a keyword-only parameter that has one */
	PROTO_F_FILE,	    /* s co_filename */
	PROTO_F_LINE,	    /* u co_firstlineno */
	PROTO_F_LAST_LINE,  /* u */
	PROTO_F_CODE_NAME,  /* s co_name */
	PROTO_F_CLASS,	    /* s the name of the innermost class around it: for name mangling */
	PROTO_F_PATCHED_BY, /* u id of the patch on top of it */
	PROTO_F_NOTE,	    /* s something that the user should know, one sentence */
	PROTO_F_BLOB,	    /* b see blob.h */
	PROTO_F_TOKEN,	    /* b 16 bytes: names a patch in all processes that have it */
	PROTO_F_WHO,	 /* s "uid 1000 (alice), pid 4711": said by the client; the kernel let it in as owner or root */
	PROTO_F_COMMAND, /* s what was asked for, for the journal */
	PROTO_F_SOURCE_HASH,  /* s SHA-256 of the source, hex */
	PROTO_F_TTL_MS,	      /* u */
	PROTO_F_ERRORS_MAX,   /* u */
	PROTO_F_EXCEPT,	      /* s name of an exception type (or module.name) that is not counted as an error */
	PROTO_F_COUNT,	      /* u 1: count calls and errors */
	PROTO_F_FORCE,	      /* u 1 */
	PROTO_F_SCAN,	      /* u 1: look through all objects for generators and closures that keep the old code */
	PROTO_F_QUIESCENT_MS, /* u wait so long until no target is on a stack; absent: do not wait */
	PROTO_F_LEASE_MS,     /* u */
	PROTO_F_ID,	      /* u of a patch in this process, from 1 on, never used again */
	PROTO_F_ALL,	      /* u 1 */
	PROTO_F_REVERT,	      /* u 1 */
	PROTO_F_MAX,	      /* u */
	PROTO_F_RUNNING, /* g who is inside a target: KIND(thread, generator, coroutine, task) NAME TARGET LINE THREAD? */
	PROTO_F_NAME,	 /* s */
	PROTO_F_THREAD, /* u native thread id where it is known, else Python's ident */
	PROTO_F_CHANGE, /* g one change: CHANGE_KIND TARGET MODULE LINE? LAST_LINE? LAYER*(those around it) ORIGINAL? NOTE* */
	PROTO_F_CHANGE_KIND, /* s redefine, add, set */
	PROTO_F_ORIGINAL,    /* s the original's source text */
	PROTO_F_SOURCE,	     /* s the patch's source text */
	PROTO_F_PATCH, /* g ID TOKEN STATE(applied, leased, reverted, expired, failed) CHANGE* WHO COMMAND SOURCE_HASH APPLIED_NS
				 * REVERTED_NS? WHY? CALLS? ERRORS? ERRORS_MAX? TTL_LEFT_MS? */
	PROTO_F_APPLIED_NS,  /* u CLOCK_REALTIME */
	PROTO_F_REVERTED_NS, /* u */
	PROTO_F_WHY,	     /* s who or what took it back */
	PROTO_F_CALLS,	     /* u */
	PROTO_F_ERRORS,	     /* u */
	PROTO_F_TTL_LEFT_MS, /* u */
	PROTO_F_GIL_WAIT_US, /* u how long the agent waited for the GIL */
	PROTO_F_HOLD_US,     /* u how long it held it for the change itself */
	PROTO_F_ENTRY,	     /* s one line of the journal */
	PROTO_F_SCRIPT,	     /* s */
	PROTO_F_INPUT,	     /* b */
	PROTO_F_OUTPUT,	     /* b */
	PROTO_F_CODE_QUAL,   /* s co_qualname, before 3.11 the function's __qualname__; absent: QUALNAME */
	PROTO_F_OPTIMIZE,    /* u sys.flags.optimize */
};

enum proto_code {
	PROTO_E_FAILED = 1,  /* tried, and left everything as it was */
	PROTO_E_UNKNOWN,     /* this agent does not know the request */
	PROTO_E_BAD,	     /* the message makes no sense */
	PROTO_E_NO_TARGET,   /* there is no such module, attribute, patch */
	PROTO_E_REFUSED,     /* it would not be safe, or needs FORCE */
	PROTO_E_BUSY,	     /* quiescent: somebody was inside all the time */
	PROTO_E_CHANGED,     /* the target is not what it was when it was resolved: try again */
	PROTO_E_PYTHON,	     /* the patch's own code raised; see TRACEBACK */
	PROTO_E_TIME,	     /* the patch's own code did not end in time */
	PROTO_E_UNSUPPORTED, /* free-threaded, a subinterpreter, ... */
	PROTO_E_NO_MODULE,   /* the target's module is not loaded in this process: there is nothing to change */
};

#endif
