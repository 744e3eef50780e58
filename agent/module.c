/*
 * module: the ways into the library: Python's module `pylu_agent`, the constructor, and the function that attach calls when the library is there already.
 * All of them only start what is in agent.c.
 *
 * The file's name tells the ways apart. Python can only import it as pylu_agent.so, a link to libpylu_agent.so, the name by which it is
 * preloaded or brought in; in an import the constructor does nothing. The C library loads one file once, by whatever names.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "handlers.h"
#include "journal.h"
#include "proto.h"
#include "py.h"

#define EXPORT __attribute__((visibility("default")))
#define LOADED_NAME "libpylu_agent"
#define LOG_VARIABLE "PYLU_AGENT_LOG" /* set by the user for `pylu-cli run` */

EXPORT void pylu_agent_start_again(void);
EXPORT PyObject *PyInit_pylu_agent(void);

void pylu_agent_start_again(void)
{
	agent__launch();
}

__attribute__((constructor)) static void loaded(void)
{
	const char *log = getenv(LOG_VARIABLE), *name;
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)loaded, &info) || !info.dli_fname)
		return;
	name = strrchr(info.dli_fname, '/');
	name = name ? name + 1 : info.dli_fname;
	/* pylu-cli takes its copy away, too, unless it was killed. */
	if (!strncmp(name, PROTO_COPY_NAME, strlen(PROTO_COPY_NAME)))
		unlink(info.dli_fname);
	/* Preloading reaches every program that is started: those without an interpreter get no thread. */
	if (strncmp(name, LOADED_NAME, strlen(LOADED_NAME)) || !py__is_there())
		return;
	if (log && *log)
		journal__set_log(log);
	agent__launch();
}

/* str, bytes or a path into our log's name. */
static bool set_log(PyObject *log)
{
	PyObject *path = NULL;
	int err;

	if (!py.PyUnicode_FSConverter(log, &path))
		return false;
	err = journal__set_log(py.PyBytes_AsString(path));
	py.Py_DecRef(path);
	if (err) {
		errno = -err;
		py.PyErr_SetFromErrno(py.PyExc_OSError);
	}
	return !err;
}

static PyObject *start(PyObject *module, PyObject *args, PyObject *kwargs)
{
	static char *names[] = { "log", NULL };
	PyObject *log = py.none;

	(void)module;
	if (!py.PyArg_ParseTupleAndKeywords(args, kwargs, "|O:start", names, &log))
		return NULL;
	if (!py__in_main_interpreter())
		return py.PyErr_Format(py.PyExc_RuntimeError, "pylu_agent.start() was called in a subinterpreter; the "
							      "agent works in the main interpreter only");
	if (log != py.none && !set_log(log))
		return NULL;
	return agent__start() ? py__new_ref(py.none) : NULL;
}

static PyObject *stop(PyObject *module, PyObject *unused)
{
	unsigned patches = patch_count();

	(void)module;
	(void)unused;
	if (patches && agent__is_running())
		return py.PyErr_Format(py.PyExc_RuntimeError,
				       "the agent does not stop while patches are applied (%u); revert them first",
				       patches);
	if (!agent__stop())
		return py.PyErr_Format(py.PyExc_RuntimeError, "the agent is carrying out a request that does not end");
	return py__new_ref(py.none);
}

static PyObject *running(PyObject *module, PyObject *unused)
{
	(void)module;
	(void)unused;
	return py.PyBool_FromLong(agent__is_running());
}

/* A function of three arguments is called through the table as one of two: Python knows by the flags. */
static PyMethodDef methods[] = {
	{ "start", (PyCFunction)(void (*)(void))start, METH_VARARGS | METH_KEYWORDS,
	  "start(log=None)\n--\n\n"
	  "Start the agent: a thread that lets pylu-cli, run by the same user or by root, redefine functions of this\n"
	  "process. It sleeps until it is asked for something. Nothing happens if it runs already.\n\n"
	  "log: a file that gets a line for each request. It is made when there is the first, only for its owner to "
	  "read.\n\n"
	  "A forked child gets an agent of its own. RuntimeError: free-threaded builds, subinterpreters and versions\n"
	  "of Python that are not known are refused." },
	{ "stop", stop, METH_NOARGS,
	  "stop()\n--\n\n"
	  "Stop the agent and wait until it has ended. Nothing happens if it does not run. RuntimeError: patches are\n"
	  "applied, which only the agent can take back, or it is busy with a request that does not end." },
	{ "running", running, METH_NOARGS,
	  "running()\n--\n\n"
	  "Whether the agent of this process runs." },
	{ NULL },
};

static PyModuleDef definition = {
	.m_base = { .ob_base = { .ob_refcnt = 1 } },
	.m_name = "pylu_agent",
	.m_doc = "The agent of pylu-cli, which redefines functions in a running process.\n\n"
		 "    import pylu_agent\n"
		 "    pylu_agent.start()",
	.m_size = -1,
	.m_methods = methods,
};

/* Before anything is known of the interpreter, for which an object of ours may have the wrong layout. */
static PyObject *refuse(const char *reason)
{
	void (*set)(PyObject *, const char *) = NULL;
	PyObject **error = dlsym(RTLD_DEFAULT, "PyExc_ImportError");

	*(void **)&set = dlsym(RTLD_DEFAULT, "PyErr_SetString");
	if (set && error)
		set(*error, reason);
	return NULL;
}

PyObject *PyInit_pylu_agent(void)
{
	const char *reason, *missing;
	PyObject *module;

	if (!py__is_there())
		return NULL;
	reason = agent__refusal();
	if (reason)
		return refuse(reason);
	missing = py__load();
	if (missing)
		return refuse("pylu_agent: this interpreter lacks a function that the agent needs");
	module = py.PyModule_Create2(&definition, PY_ABI_VERSION);
	if (module && py.PyModule_AddStringConstant(module, "__version__", PYLU_VERSION))
		py__clear(&module);
	return module;
}
