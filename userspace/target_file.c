/*
 * target_file: what files alone tell of an interpreter, without a process: its version, and which file a command would
 * run. The part of target.h that needs no /proc/PID.
 *
 * Knows where dynamic loaders look for libraries; does not know processes.
 */
#include "target.h"

#include "diag.h"
#include "elf.h"

#include <capstone/capstone.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GETVERSION_CODE_MAX 512 /* bytes of Py_GetVersion that we look at; it has about 100 */
#define SCRIPT_LINE_MAX 256	/* as much of a #! line as the kernel reads */
#define SCRIPT_DEPTH_MAX 4
#define DYNAMIC_MAX 4096 /* entries of a dynamic section: each is looked at once for each library */
#define LIBPYTHONS_MAX 16

/* From <elf.h>, which says it for all machines. */
#define SECTION_DYNAMIC 6
#define TAG_NEEDED 1
#define TAG_STRTAB 5
#define TAG_RPATH 15
#define TAG_RUNPATH 29

/* A decimal number of at most 255 at *s; moves *s behind it. */
static bool take_number(const char **s, uint8_t *out)
{
	unsigned n = 0;
	const char *start = *s;

	for (; **s >= '0' && **s <= '9' && n <= 255; (*s)++)
		n = n * 10 + (unsigned)(**s - '0');
	*out = (uint8_t)n;
	return *s > start && n <= 255;
}

static bool take(const char **s, const char *literal)
{
	size_t n = strlen(literal);

	if (strncmp(*s, literal, n) != 0)
		return false;
	*s += n;
	return true;
}

/* PY_VERSION as Include/patchlevel.h writes it: "3.9.18", "3.10.0rc2", "3.10.0+" (a build from between releases). */
static bool parse_version(const char *text, struct py_version *out)
{
	struct py_version v = { 0 };
	const char *s = text;
	uint8_t serial;

	if (!take_number(&s, &v.major) || !take(&s, ".") || !take_number(&s, &v.minor) || !take(&s, ".") ||
	    !take_number(&s, &v.micro))
		return false;
	if ((take(&s, "a") || take(&s, "b") || take(&s, "rc")) && !take_number(&s, &serial))
		return false;
	snprintf(v.text, sizeof(v.text), "%.*s", (int)(s - text), text);
	take(&s, "+");
	*out = v;
	return *s == '\0';
}

/* Whether a version stands at `addr` as a string of its own. */
static bool version_at(const struct elf_file *elf, uint64_t addr, struct py_version *out)
{
	char text[sizeof(out->text)];
	size_t len = sizeof(text);
	const uint8_t *bytes = elf_file__at(elf, addr, &len);

	if (!bytes || !memchr(bytes, '\0', len))
		return false;
	memcpy(text, bytes, len);
	return parse_version(text, out);
}

/* The address that an instruction names: `lea reg, [rip + x]` in position-independent code, `mov reg, imm` in other. */
static bool names_address(const cs_insn *insn, uint64_t *addr)
{
	const cs_x86 *x86 = &insn->detail->x86;

	if (x86->op_count != 2)
		return false;
	if (insn->id == X86_INS_LEA && x86->operands[1].type == X86_OP_MEM &&
	    x86->operands[1].mem.base == X86_REG_RIP && x86->operands[1].mem.index == X86_REG_INVALID) {
		*addr = insn->address + insn->size + (uint64_t)x86->operands[1].mem.disp;
		return true;
	}
	if ((insn->id == X86_INS_MOV || insn->id == X86_INS_MOVABS) && x86->operands[1].type == X86_OP_IMM) {
		*addr = (uint64_t)x86->operands[1].imm;
		return true;
	}
	return false;
}

/* Up to 3.10 the version stands nowhere but among the arguments with which Py_GetVersion calls PyOS_snprintf
 * (Python/getversion.c). */
static bool version_from_code(const struct elf_file *elf, struct py_version *out)
{
	struct elf_symbol sym;
	const uint8_t *code;
	bool found = false;
	uint64_t at, addr;
	cs_insn *insn;
	size_t len;
	csh handle;

	if (elf_file__symbol(elf, "Py_GetVersion", &sym) != 0 || !elf_file__is_code(elf, sym.addr))
		return false;
	len = sym.size && sym.size < GETVERSION_CODE_MAX ? sym.size : GETVERSION_CODE_MAX;
	code = elf_file__at(elf, sym.addr, &len);
	if (!code || cs_open(CS_ARCH_X86, CS_MODE_64, &handle) != CS_ERR_OK)
		return false;
	cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
	insn = cs_malloc(handle);
	at = sym.addr;
	while (insn && !found && cs_disasm_iter(handle, &code, &len, &at, insn))
		found = names_address(insn, &addr) && version_at(elf, addr, out);
	if (insn)
		cs_free(insn, 1);
	cs_close(&handle);
	return found;
}

/* Py_Version has PY_VERSION_HEX: major, minor, micro a byte each, then release level and serial four bits each. */
static bool version_from_symbol(const struct elf_file *elf, struct py_version *out)
{
	struct elf_symbol sym;
	const char *level;
	uint64_t hex;

	if (elf_file__symbol(elf, "Py_Version", &sym) != 0 || elf_file__word(elf, sym.addr, &hex) != 0 ||
	    hex > UINT32_MAX)
		return false;
	switch (hex >> 4 & 0xf) {
	case 0xa:
		level = "a";
		break;
	case 0xb:
		level = "b";
		break;
	case 0xc:
		level = "rc";
		break;
	case 0xf:
		level = "";
		break;
	default:
		return false;
	}
	out->major = (uint8_t)(hex >> 24);
	out->minor = (uint8_t)(hex >> 16);
	out->micro = (uint8_t)(hex >> 8);
	snprintf(out->text, sizeof(out->text), "%u.%u.%u%s", out->major, out->minor, out->micro, level);
	if (level[0])
		snprintf(out->text + strlen(out->text), 4, "%u", (unsigned)(hex & 0xf));
	return true;
}

int elf_python_version(const struct elf_file *elf, struct py_version *out)
{
	memset(out, 0, sizeof(*out));
	if (!version_from_symbol(elf, out) && !version_from_code(elf, out))
		return -DIAG_UNSUPPORTED;
	return out->major == 3 ? 0 : -DIAG_NOT_PYTHON;
}

static bool is_executable(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* Finds `name` along a colon-separated list of folders. `origin` replaces $ORIGIN; entries with other variables of the
 * loader are passed over. */
static bool find_along(const char *folders, const char *origin, const char *name, char path[PATH_MAX])
{
	const char *folder, *end;
	size_t skip;
	int n;

	for (folder = folders; folder && *folder; folder = *end ? end + 1 : end) {
		end = folder + strcspn(folder, ":");
		skip = strncmp(folder, "$ORIGIN", 7) == 0 ? 7 : strncmp(folder, "${ORIGIN}", 9) == 0 ? 9 : 0;
		if (end == folder || memchr(folder + skip, '$', (size_t)(end - folder) - skip))
			continue;
		n = snprintf(path, PATH_MAX, "%s%.*s/%s", skip ? origin : "", (int)(end - folder - (long)skip),
			     folder + skip, name);
		if (n > 0 && n < PATH_MAX && access(path, R_OK) == 0)
			return true;
	}
	return false;
}

/* The dynamic section's strings with this tag, one after the other: *i is where to look next, 0 at first. */
static const char *dynamic_string(const struct elf_file *elf, uint64_t tag, size_t *i)
{
	struct elf_section s = { 0 };
	uint64_t entry[2], strings = 0;
	const uint8_t *text;
	size_t len, n;

	for (size_t k = 0; k < elf_file__section_count(elf); k++)
		if (elf_file__section(elf, k, &s) == 0 && s.type == SECTION_DYNAMIC && s.data)
			break;
	if (s.type != SECTION_DYNAMIC || !s.data)
		return NULL;
	n = s.size / sizeof(entry) < DYNAMIC_MAX ? s.size / sizeof(entry) : DYNAMIC_MAX;
	for (size_t k = 0; k < n; k++) {
		memcpy(entry, s.data + k * sizeof(entry), sizeof(entry));
		if (entry[0] == TAG_STRTAB)
			strings = entry[1];
	}
	for (; *i < n; (*i)++) {
		memcpy(entry, s.data + *i * sizeof(entry), sizeof(entry));
		if (entry[0] != tag)
			continue;
		(*i)++;
		len = PATH_MAX;
		text = elf_file__at(elf, strings + entry[1], &len);
		return text && memchr(text, '\0', len) ? (const char *)text : NULL;
	}
	return NULL;
}

/* The order is the dynamic loader's, ld.so(8), but for its cache, of which the default folders hold all but the rare. */
static bool find_library(const struct elf_file *elf, const char *origin, const char *name, char path[PATH_MAX])
{
	static const char defaults[] =
		"/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu:/lib64:/usr/lib64:/lib:/usr/lib:"
		"/usr/local/lib/x86_64-linux-gnu:/usr/local/lib:/usr/local/lib64";
	size_t at_runpath = 0, at_rpath = 0;
	const char *runpath = dynamic_string(elf, TAG_RUNPATH, &at_runpath);
	const char *rpath = runpath ? NULL : dynamic_string(elf, TAG_RPATH, &at_rpath);

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
	return find_along(rpath, origin, name, path) || find_along(getenv("LD_LIBRARY_PATH"), origin, name, path) ||
	       find_along(runpath, origin, name, path) || find_along(defaults, origin, name, path);
}

static bool holds_interpreter(const struct elf_file *elf)
{
	struct elf_symbol sym;

	return elf_file__symbol(elf, "_PyEval_EvalFrameDefault", &sym) == 0 && elf_file__is_code(elf, sym.addr);
}

/* `path` itself, or the libpython that it is linked with. */
static bool find_in_program(const char *path, char found[PATH_MAX])
{
	char origin[PATH_MAX], candidate[PATH_MAX];
	struct elf_file *elf, *library;
	unsigned tried = 0;
	const char *name;
	bool ok = false;
	size_t i = 0;

	if (elf_file__probe(path, &elf) != 0)
		return false;
	/* $ORIGIN is the folder of the file itself, not of a link to it. */
	if (!realpath(path, origin))
		goto out;
	if (holds_interpreter(elf)) {
		ok = snprintf(found, PATH_MAX, "%s", path) < PATH_MAX;
		goto out;
	}
	*strrchr(origin, '/') = '\0';
	while (!ok && (name = dynamic_string(elf, TAG_NEEDED, &i))) {
		if (!strstr(name, "libpython"))
			continue;
		if (tried++ == LIBPYTHONS_MAX)
			break;
		if (!find_library(elf, origin, name, candidate) || elf_file__probe(candidate, &library) != 0)
			continue;
		ok = holds_interpreter(library);
		if (ok)
			memcpy(found, candidate, PATH_MAX);
		elf_file__close(library);
	}
out:
	elf_file__close(elf);
	return ok;
}

/* A command as execvp finds it. */
static bool find_command(const char *name, char path[PATH_MAX])
{
	const char *folders = getenv("PATH"), *end;
	int n;

	if (strchr(name, '/'))
		return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX && is_executable(path);
	for (; folders; folders = *end ? end + 1 : NULL) {
		end = folders + strcspn(folders, ":");
		n = snprintf(path, PATH_MAX, "%.*s%s%s", (int)(end - folders), folders, end > folders ? "/" : "./",
			     name);
		if (n > 0 && n < PATH_MAX && is_executable(path))
			return true;
	}
	return false;
}

/* The program that a script's first line names, as the kernel and env(1) take it. False where `path` is no script. */
static bool script_program(const char *path, char program[SCRIPT_LINE_MAX])
{
	char line[SCRIPT_LINE_MAX + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, line, SCRIPT_LINE_MAX);
	char *word, *rest;
	bool env = false;

	if (fd >= 0)
		close(fd);
	if (n < 2 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	for (word = strtok_r(line + 2, " \t\r", &rest); word; word = strtok_r(NULL, " \t\r", &rest)) {
		/* env's own options and assignments stand before the program's name. */
		if (env && (word[0] == '-' || strchr(word, '=')))
			continue;
		if (env ||
		    (strcmp(word, "env") != 0 && (strlen(word) < 4 || strcmp(word + strlen(word) - 4, "/env") != 0)))
			break;
		env = true;
	}
	if (!word)
		return false;
	snprintf(program, SCRIPT_LINE_MAX, "%s", word);
	return true;
}

int target_find_interpreter(const char *path, char **out)
{
	char file[PATH_MAX], program[SCRIPT_LINE_MAX], found[PATH_MAX];

	*out = NULL;
	if (!find_command(path, file))
		return -DIAG_NOT_PYTHON;
	for (int depth = 0; depth < SCRIPT_DEPTH_MAX && script_program(file, program); depth++)
		if (!find_command(program, file))
			return -DIAG_NOT_PYTHON;
	if (!find_in_program(file, found))
		return -DIAG_NOT_PYTHON;
	*out = strdup(found);
	return *out ? 0 : -DIAG_NOT_PYTHON;
}
