/*
 * requests: those that are about the agent itself, not about patches: who is there, the compiler's fallback, the end.
 */
#include <stdlib.h>

#include "agent.h"
#include "handlers.h"
#include "journal.h"
#include "limit.h"
#include "py.h"

#include <unistd.h>

#define COMPILE_MS 60000
#define COMPILER_FILE "<pylu compiler>"
#define COMPILER_FUNCTION "serve" /* bytes to bytes: agent/python/compiler.py */

/* No GIL is needed: what a busy interpreter is can be told at once. */
int handle_hello(const struct msg_in *request, struct msg_out *answer)
{
	const struct agent_facts *facts = agent__facts();
	char *log = journal__log();

	(void)request;
	msg__put_u64(answer, PROTO_F_PID, (uint64_t)getpid());
	msg__put_u64(answer, PROTO_F_VERSION_MIN, PROTO_VERSION);
	msg__put_u64(answer, PROTO_F_PY_VERSION, facts->py_version);
	msg__put_str(answer, PROTO_F_PY_TEXT, facts->py_text);
	msg__put_u64(answer, PROTO_F_PY_MAGIC, facts->py_magic);
	msg__put_str(answer, PROTO_F_AGENT_TEXT, PYLU_VERSION);
	msg__put_str(answer, PROTO_F_STATE, "ready");
	msg__put_u64(answer, PROTO_F_PATCHES, patch_count());
	msg__put_u64(answer, PROTO_F_STARTED_NS, facts->started_ns);
	msg__put_str(answer, PROTO_F_LOG_FILE, log);
	free(log);
	return 0;
}

static int compile_failed(struct msg_out *answer)
{
	if (limit__was_exceeded())
		return fail_python(answer, PROTO_E_TIME, "compiling in the target took too long");
	return fail_python(answer, PROTO_E_PYTHON, "compiling in the target failed");
}

int handle_compile(const struct msg_in *request, struct msg_out *answer)
{
	const char *script = msg__str(request, PROTO_F_SCRIPT, NULL);
	PyObject *code, *space = NULL, *ran = NULL, *function, *bytes = NULL, *args = NULL, *output = NULL;
	struct msg_field input;
	Py_ssize_t len;
	char *data;
	int status = 0;

	if (!script || !msg__find(request, PROTO_F_INPUT, MSG_BYTES, &input))
		return fail(answer, PROTO_E_BAD, "the request to compile lacks the compiler or its input");
	code = py.Py_CompileString(script, COMPILER_FILE, Py_file_input);
	if (code)
		space = py.Py_BuildValue("{sOss}", "__builtins__", py.PyEval_GetBuiltins(), "__name__",
					 "pylu_compiler");
	if (space)
		ran = limit__eval(code, space, space, COMPILE_MS);
	function = ran ? py.PyDict_GetItemString(space, COMPILER_FUNCTION) : NULL;
	if (ran && !function)
		status = fail(answer, PROTO_E_BAD, "the compiler has no function %s", COMPILER_FUNCTION);
	if (function)
		bytes = py.PyBytes_FromStringAndSize((const char *)input.data, (Py_ssize_t)input.len);
	if (bytes)
		args = py.PyTuple_Pack(1, bytes);
	if (args)
		output = limit__call(function, args, NULL, COMPILE_MS);
	if (output && !py.PyBytes_AsStringAndSize(output, &data, &len))
		msg__put_bytes(answer, PROTO_F_OUTPUT, MSG_BYTES, data, (size_t)len);
	else if (!status)
		status = compile_failed(answer);
	py.Py_DecRef(output);
	py.Py_DecRef(args);
	py.Py_DecRef(bytes);
	py.Py_DecRef(ran);
	py.Py_DecRef(space);
	py.Py_DecRef(code);
	return status;
}

int handle_detach(const struct msg_in *request, struct msg_out *answer)
{
	const char *who = msg__str(request, PROTO_F_WHO, "?");
	unsigned patches = patch_count();
	int code;

	if (patches && !msg__u64(request, PROTO_F_REVERT, 0)) {
		journal_add(who, "detach", NULL, "refused: patches are applied");
		return fail(answer, PROTO_E_REFUSED, "%u %s applied, which only the agent can take back", patches,
			    patches == 1 ? "patch is" : "patches are");
	}
	if (patches) {
		code = patch_revert_all(who, answer);
		if (code) {
			journal_add(who, "detach", NULL, "failed: a patch could not be taken back");
			return code;
		}
	}
	journal_add(who, "detach", NULL, "done");
	agent__leave();
	return 0;
}
