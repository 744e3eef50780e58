/*
 * py: finds the interpreter that is mapped and fills the table. It does not know what the agent does with it.
 *
 * The interpreter is in the executable or in a libpython. One that was loaded with RTLD_LOCAL (a plugin of a server, a program that
 * embeds Python) is invisible to a plain dlsym: it is looked for among the loaded objects.
 */
#include "py.h"

#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

struct py py;

/* Where symbols come from: RTLD_DEFAULT is NULL, so that the flag says whether there is one. */
static struct {
	bool found;
	void *handle;
	int (*is_initialized)(void);
	const char *(*version)(void);
} interp;

static int seen(struct dl_phdr_info *info, size_t size, void *data)
{
	const char *name = strrchr(info->dlpi_name, '/');
	void *handle;

	(void)size;
	(void)data;
	if (!name || !strstr(name, "python"))
		return 0;
	/* Only what is there already: nothing is loaded, nothing of it runs. The handle is kept, which keeps the object. */
	handle = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
	if (!handle)
		return 0;
	if (!dlsym(handle, "Py_IsInitialized")) {
		dlclose(handle);
		return 0;
	}
	interp.handle = handle;
	interp.found = true;
	return 1;
}

bool py__is_there(void)
{
	if (interp.is_initialized)
		return true;
	if (!interp.found && dlsym(RTLD_DEFAULT, "Py_IsInitialized"))
		interp.found = true;
	if (!interp.found)
		dl_iterate_phdr(seen, NULL);
	if (!interp.found)
		return false;
	*(void **)&interp.version = dlsym(interp.handle, "Py_GetVersion");
	*(void **)&interp.is_initialized = dlsym(interp.handle, "Py_IsInitialized");
	return true;
}

bool py__initialized(void)
{
	return interp.is_initialized && interp.is_initialized();
}

const char *py__version_text(void)
{
	return interp.version ? interp.version() : "";
}

uint32_t py__version(void)
{
	const char *text = py__version_text();
	char *end;
	unsigned long major, minor;

	major = strtoul(text, &end, 10);
	if (*end != '.')
		return 0;
	minor = strtoul(end + 1, &end, 10);
	return (uint32_t)(major << 24 | (minor & 0xff) << 16);
}

const char *py__load(void)
{
	static bool done;
	struct py t = { 0 };
	void *symbol;

	if (done)
		return NULL;
#define NEED(name)                                   \
	do {                                         \
		symbol = dlsym(interp.handle, name); \
		if (!symbol)                         \
			return name;                 \
	} while (0)
#define X(result, name, args) \
	NEED(#name);          \
	memcpy(&t.name, &symbol, sizeof(symbol));
	PY_FUNCTIONS(X)
#undef X
#define X(result, name, args)                 \
	symbol = dlsym(interp.handle, #name); \
	memcpy(&t.name, &symbol, sizeof(symbol));
	PY_OPTIONAL(X)
#undef X
#define X(name)      \
	NEED(#name); \
	t.name = symbol;
	PY_TYPES(X)
#undef X
#define X(name)                        \
	NEED(#name);                   \
	t.name = *(PyObject **)symbol; \
	if (!t.name)                   \
		return #name;
	PY_EXCEPTIONS(X)
#undef X
	NEED("_Py_NoneStruct");
	t.none = symbol;
	NEED("_Py_TrueStruct");
	t.true_ = symbol;
	NEED("_Py_FalseStruct");
	t.false_ = symbol;
#undef NEED
	py = t;
	done = true;
	return NULL;
}

bool py__in_main_interpreter(void)
{
	PyInterpreterState *(*get)(void) = py.PyInterpreterState_Get ? py.PyInterpreterState_Get
								     : py._PyInterpreterState_Get;

	return get && get() == py.PyInterpreterState_Main();
}

char *py__text(PyObject *object, size_t max)
{
	PyObject *text = object ? py.PyObject_Str(object) : NULL;
	PyObject *bytes = text ? py.PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
	Py_ssize_t len = 0;
	size_t n, at = 0;
	char *data, *copy = NULL;

	if (bytes && !py.PyBytes_AsStringAndSize(bytes, &data, &len)) {
		n = (size_t)len;
		if (n > max) {
			n = max;
			while (n && ((unsigned char)data[n] & 0xc0) == 0x80) /* no half character */
				n--;
		}
		copy = malloc(n * 3 + 1);
		for (size_t i = 0; copy && i < n; i++) {
			if (data[i])
				copy[at++] = data[i];
			else
				at = (size_t)(stpcpy(copy + at, "\xef\xbf\xbd") - copy);
		}
		if (copy)
			copy[at] = '\0';
	}
	py.Py_DecRef(bytes);
	py.Py_DecRef(text);
	py.PyErr_Clear();
	return copy;
}
