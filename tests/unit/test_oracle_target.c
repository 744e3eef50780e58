/*
 * oracle_target: target and target_maps against what the bcc project's library, which is linked into tests only, says
 * of the same processes: the files that they have mapped as code, and where the interpreter's functions are.
 *
 * Variables are not compared: bcc does not follow copy relocations (test_target.c does).
 */
#include "check.h"
#include "elf.h"
#include "interpreters.h"
#include "target.h"
#include "target_maps.h"

#include <bcc/bcc_proc.h>
#include <bcc/bcc_syms.h>
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct maps_check {
	const struct mappings *maps;
	size_t i;
};

static int check_module(mod_info *module, int enter_ns, void *ctx)
{
	struct maps_check *check = ctx;
	const struct mapping *ours;
	char name[PATH_MAX + 16];

	(void)enter_ns;
	/* The kernel's vdso and a possible list of symbols in /tmp, which bcc treats as modules, are files to nobody. */
	if (module->inode == 0)
		return 0;
	if (!CHECK(check->i < check->maps->n))
		return -1;
	ours = &check->maps->items[check->i++];
	snprintf(name, sizeof(name), "%s%s", ours->path, ours->deleted ? " (deleted)" : "");
	CHECK_STR_EQ(name, module->name);
	CHECK_EQ(ours->deleted, strlen(name) > 10 && strcmp(name + strlen(name) - 10, " (deleted)") == 0);
	CHECK_EQ(ours->start, module->start_addr);
	CHECK_EQ(ours->end, module->end_addr);
	CHECK_EQ(ours->offset, module->file_offset);
	CHECK_EQ(ours->dev, module->dev_major << 32 | module->dev_minor);
	CHECK_EQ(ours->inode, module->inode);
	return 0;
}

static size_t test_maps(pid_t pid)
{
	struct maps_check check = { 0 };
	char link[64], exe[PATH_MAX];
	struct mappings maps;
	ssize_t n;
	int fd;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	n = readlink(link, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (!CHECK(n > 0) || !CHECK_EQ(mappings__read(pid, exe, false, &maps, &fd), 0))
		return 0;
	check.maps = &maps;
	CHECK_EQ(bcc_procutils_each_module((int)pid, check_module, &check), 0);
	CHECK_EQ(check.i, maps.n);
	n = (ssize_t)maps.n;
	mappings__free(&maps);
	close(fd);
	return (size_t)n;
}

/* Maps a file with that name, executable, from its second page on. */
static bool map_file(const char *dir, const char *name)
{
	char path[PATH_MAX];
	bool mapped;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	mapped = fd >= 0 && ftruncate(fd, 8192) == 0 &&
		 mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 4096) != MAP_FAILED;
	close(fd);
	return mapped;
}

/* A process with many libraries (bcc's), and files with blanks in their names and without one. */
static void test_odd_maps(void)
{
	char dir[] = "/tmp/test_oracle.XXXXXX", path[PATH_MAX], byte;
	int out[2];
	pid_t pid;

	if (!mkdtemp(dir) || pipe2(out, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		close(out[0]);
		bool mapped = map_file(dir, "with  blanks ") && map_file(dir, "gone");

		snprintf(path, sizeof(path), "%s/gone", dir);
		if (!mapped || unlink(path) < 0 || write(out[1], "1", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(out[1]);
	if (read(out[0], &byte, 1) == 1)
		CHECK(test_maps(pid) > 5);
	else
		CHECK_SKIP("odd names in maps: no file below /tmp can be mapped as code");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(out[0]);
	snprintf(path, sizeof(path), "%s/with  blanks ", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/gone", dir);
	unlink(path);
	rmdir(dir);
}

/* Symbols of functions and objects; of the file itself, not of a debug file that belongs to it. */
static struct bcc_symbol_option symbol_option = {
	.use_symbol_type = 1u << STT_FUNC | 1u << STT_OBJECT | 1u << STT_GNU_IFUNC,
};

/* Where the interpreter's functions are in a process: by our load bias, and by bcc's way from a file's addresses to a
 * process's. (Its look-up by name, bcc_symcache_resolve_name, adds a library's addresses to where its code is mapped and
 * not to where the whole file is; it is of no use here.) */
static void test_bias(pid_t pid)
{
	static const char *const names[] = { "_PyEval_EvalFrameDefault", "Py_GetVersion", "PyErr_SetString",
					     "PyObject_Malloc", "Py_BytesMain" };
	struct bcc_symbol theirs;
	struct target *t;
	void *cache;

	if (!CHECK_EQ(target__open(pid, &t), 0))
		return;
	cache = bcc_symcache_new((int)pid, &symbol_option);
	for (size_t i = 0; CHECK(cache) && i < sizeof(names) / sizeof(names[0]); i++) {
		struct elf_symbol in_file = { 0 };
		uint64_t ours = 0, global = 1;

		CHECK_EQ(target__symbol(t, names[i], &ours), 0);
		CHECK_EQ(elf_file__symbol(t->elf, names[i], &in_file), 0);
		CHECK_EQ(bcc_resolve_global_addr((int)pid, t->interp_path, in_file.addr, 0, &global), 0);
		CHECK_EQ(ours, global);
		memset(&theirs, 0, sizeof(theirs));
		if (CHECK_EQ(bcc_symcache_resolve_no_demangle(cache, ours, &theirs), 0)) {
			CHECK_EQ(theirs.offset, 0);
			CHECK_STR_EQ(theirs.name, names[i]);
			CHECK_STR_EQ(theirs.module, t->interp_path);
		}
	}
	bcc_free_symcache(cache, (int)pid);
	target__close(t);
}

static void test_process(const char *path)
{
	const char *options[] = { "-I", "-S", "-c", "import sys; print(1, flush=True); sys.stdin.read()", NULL };
	const char *argv[INTERPRETERS_ARGS + 5];
	size_t n = interpreters_command(path, argv);
	int in[2], out[2];
	char byte;
	pid_t pid;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		memcpy(argv + n, options, sizeof(options));
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	if (CHECK(read(out[0], &byte, 1) == 1)) {
		CHECK(test_maps(pid) > 1);
		if (n == 1) /* bcc does not find its way into another root */
			test_bias(pid);
	} else {
		fprintf(stderr, "  %s does not run\n", path);
	}
	close(in[1]);
	close(out[0]);
	waitpid(pid, NULL, 0);
}

static void test_processes(void)
{
	glob_t found;

	interpreters_find(&found);
	if (found.gl_pathc == 0)
		CHECK_SKIP("interpreters' processes: none was found");
	for (size_t i = 0; i < found.gl_pathc; i++)
		test_process(found.gl_pathv[i]);
	globfree(&found);
}

int main(void)
{
	test_odd_maps();
	test_processes();
	return check_done();
}
