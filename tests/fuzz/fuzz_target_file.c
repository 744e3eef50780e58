/*
 * fuzz_target_file: a file that a user may want to run: a program, linked with a libpython or not, or a script. Its version
 * is read, and the interpreter that it would run is looked for: in a folder that holds only itself, by several names.
 */
#include "elf.h"
#include "fuzz.h"
#include "target.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static char folder[PATH_MAX], file[PATH_MAX + 16];

static void remove_folder(void)
{
	static const char *const names[] = { "program", "python3", "libpython3.9.so.1.0" };
	char path[PATH_MAX + 32];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	rmdir(folder);
}

static void make_folder(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX + 32];

	snprintf(folder, sizeof(folder), "%s/pylu-fuzz-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(folder))
		abort();
	atexit(remove_folder);
	snprintf(file, sizeof(file), "%s/program", folder);
	snprintf(path, sizeof(path), "%s/python3", folder);
	if (symlink("program", path))
		abort();
	snprintf(path, sizeof(path), "%s/libpython3.9.so.1.0", folder);
	if (symlink("program", path))
		abort();
	setenv("PATH", folder, 1);
	unsetenv("LD_LIBRARY_PATH");
}

static void write_file(const uint8_t *data, size_t size)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct py_version version;
	struct elf_file *elf;
	char *found;

	fuzz_begin();
	if (!folder[0])
		make_folder();
	write_file(data, size);
	if (!elf_file__probe(file, &elf)) {
		elf_python_version(elf, &version);
		fuzz_use(version.text, strlen(version.text));
		elf_file__close(elf);
	}
	if (!target_find_interpreter(file, &found)) {
		fuzz_use(found, strlen(found));
		free(found);
	}
	return 0;
}
