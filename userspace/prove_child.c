/* prove_child: see prove_child.h. */
#include "prove_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "diag.h"
#include "elf.h"
#include "target.h"

#define APART (CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC)
#define ENVIRON_VALUE_MAX 4000

#ifndef MFD_EXEC /* Linux 6.3 */
#define MFD_EXEC 0x10U
#endif

/* The file of runner/runner.c, and the loader that it names: a buffer that another path may be written over. */
__asm__(".pushsection .rodata\n"
	".globl prove_runner, prove_runner_end\n"
	".hidden prove_runner, prove_runner_end\n"
	"prove_runner:\n"
	".incbin \"runner.elf\"\n"
	"prove_runner_end:\n"
	".popsection\n");
extern const char prove_runner[], prove_runner_end[];

#define RUNNER_LOADER "/lib64/ld-linux-x86-64.so.2"
#define RUNNER_LOADER_ROOM 256

/* The value of a variable in a target's environment, malloc'ed, or NULL. */
static char *environ_value(pid_t pid, const char *name)
{
	size_t n = strlen(name), size = 0;
	char path[64], *line = NULL, *value = NULL;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return NULL;
	while (!value && getdelim(&line, &size, 0, f) > 0)
		if (!strncmp(line, name, n) && line[n] == '=' && strlen(line) < ENVIRON_VALUE_MAX)
			value = strdup(line + n + 1);
	free(line);
	fclose(f);
	return value;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Finds a target's root, and its name for the interpreter's file there. A root that is ours, in our mount namespace, is
 * not changed to: that needs a capability. */
static int find_root(const struct target *t, struct prove_child *out)
{
	char root[64], name[PATH_MAX], ns[64];
	const char *path = t->interp_path;
	ssize_t n;

	snprintf(root, sizeof(root), "/proc/%d/root", (int)t->pid);
	snprintf(ns, sizeof(ns), "/proc/%d/ns/mnt", (int)t->pid);
	n = readlink(root, name, sizeof(name) - 1);
	if (n < 0)
		return -errno;
	name[n] = '\0';
	if (n > 1 && !strncmp(path, name, (size_t)n) && path[n] == '/')
		path += n;
	else if (n > 1 && same_file(ns, "/proc/self/ns/mnt"))
		root[0] = '\0'; /* it changed its root after it was started: its interpreter lies outside */
	else if (n > 1)
		return -ENOENT;
	if (root[0] && (!same_file(root, "/") || !same_file(ns, "/proc/self/ns/mnt"))) {
		out->root = strdup(root);
		out->mounts = strdup(ns);
		if (!out->root || !out->mounts)
			return -ENOMEM;
	}
	out->name = strdup(path);
	return out->name ? 0 : -ENOMEM;
}

/* The runner as a file in memory, with the loader that `elf` (NULL: none is known) names. A descriptor, or -errno. */
static int open_runner(const struct elf_file *elf)
{
	size_t size = (size_t)(prove_runner_end - prove_runner), done = 0;
	const char *room = memmem(prove_runner, size, RUNNER_LOADER, sizeof(RUNNER_LOADER));
	char loader[RUNNER_LOADER_ROOM] = RUNNER_LOADER;
	struct elf_section s;
	int fd;

	for (size_t i = 0; elf && i < elf_file__section_count(elf); i++)
		if (!elf_file__section(elf, i, &s) && !strcmp(s.name, ".interp") && s.data && s.size &&
		    s.size <= sizeof(loader) && !s.data[s.size - 1]) {
			memset(loader, 0, sizeof(loader));
			memcpy(loader, s.data, s.size);
		}
	if (!room)
		return -ENOENT;
	fd = memfd_create("pylu-runner", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("pylu-runner", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	while (done < size) {
		ssize_t n = write(fd, prove_runner + done, size - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done == size && pwrite(fd, loader, sizeof(loader), room - prove_runner) == sizeof(loader) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return fd;
	close(fd);
	return -EIO;
}

/* Whether the file at `path` is the one that is loaded. */
static bool is_build(const char *path, const struct elf_file *loaded)
{
	struct elf_file *elf;
	bool same;

	if (elf_file__probe(path, &elf))
		return false;
	same = elf_file__same(elf, loaded);
	elf_file__close(elf);
	return same;
}

/* The libpython is named by its path in the child's root, where that leads to it and the loader would not take it for
 * two. Else the child inherits it, and needs a /proc in which it sees itself. */
static int set_preload(const char *path, bool by_path, struct prove_child *out)
{
	if (by_path && !strpbrk(out->name, " :")) {
		out->preload = strdup(out->name);
		return out->preload ? 0 : -ENOMEM;
	}
	out->library = open(path, O_RDONLY | O_CLOEXEC);
	if (out->library < 0)
		return -errno;
	if (asprintf(&out->preload, "/proc/self/fd/%d", out->library) >= 0)
		return 0;
	out->preload = NULL;
	return -ENOMEM;
}

/* The program that runs a target's libpython. A descriptor, or -errno. */
static int prepare_runner(const struct target *t, struct prove_child *out)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s", out->root ? out->root : "", out->name);
	int err = set_preload(t->open_path, n < PATH_MAX && is_build(path, t->elf), out);

	return err ? err : open_runner(t->exe);
}

/* By the name alone: what another program would do with the script cannot be known. */
static bool is_python(const char *path)
{
	const char *base = strrchr(path, '/');

	return !strncmp(base ? base + 1 : path, "python", 6);
}

int prove_child__of_target(const struct target *t, struct prove_child *out, const char **why)
{
	char exe[64];
	int err;

	*out = (struct prove_child){ .program = -1, .library = -1, .uid = t->uid, .gid = t->gid };
	if (t->in_exe && !is_python(t->interp_path)) {
		*why = "the interpreter is part of a program that is more than Python";
		return -ENOENT;
	}
	err = find_root(t, out);
	if (err) {
		*why = "the interpreter's file lies outside the process's root";
		return -ENOENT;
	}
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)t->pid);
	out->program = t->in_exe ? open(exe, O_PATH | O_CLOEXEC) : prepare_runner(t, out);
	if (out->program < 0) {
		*why = "the interpreter's file cannot be opened";
		return -ENOENT;
	}
	out->library_path = environ_value(t->pid, "LD_LIBRARY_PATH");
	return 0;
}

int prove_child__of_command(const char *exe, const char *interp_path, struct prove_child *out, const char **why)
{
	const char *library_path = getenv("LD_LIBRARY_PATH"), *base;
	struct elf_file *elf = NULL;

	*out = (struct prove_child){ .program = -1, .library = -1, .uid = geteuid(), .gid = getegid() };
	*why = "the interpreter's file cannot be opened";
	out->name = realpath(interp_path, NULL);
	if (!out->name)
		return -ENOENT;
	base = strrchr(out->name, '/') + 1;
	if (is_python(out->name)) {
		out->program = open(out->name, O_PATH | O_CLOEXEC);
	} else if (!strncmp(base, "libpython", 9)) {
		/* The command may be a script; then its loader is most likely the usual one. */
		if (elf_file__probe(exe, &elf))
			elf = NULL;
		out->program = set_preload(out->name, true, out) ? -1 : open_runner(elf);
		elf_file__close(elf);
	} else {
		*why = "the interpreter is part of a program that is more than Python";
	}
	out->library_path = library_path ? strdup(library_path) : NULL;
	return out->program < 0 ? -ENOENT : 0;
}

void prove_child__close(struct prove_child *child)
{
	if (child->program >= 0)
		close(child->program);
	if (child->library >= 0)
		close(child->library);
	free(child->preload);
	free(child->library_path);
	free(child->name);
	free(child->root);
	free(child->mounts);
}

/* A copy of a target's mounts with a /proc of the child's own, and no way back for what is mounted there. False when that
 * cannot be. */
static bool copy_mounts(const struct prove_child *child)
{
	int ns = open(child->mounts, O_RDONLY | O_CLOEXEC), root = open(child->root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return ns >= 0 && root >= 0 && !setns(ns, CLONE_NEWNS) && !fchdir(root) && !unshare(CLONE_NEWNS) &&
	       !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) && !chroot(".") &&
	       !mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static bool enter_root(const struct prove_child *child)
{
	if (!child->root)
		return !chdir("/");
	if (child->library >= 0)
		return copy_mounts(child);
	return !chdir(child->root) && !chroot(".");
}

static void drop_privileges(const struct prove_child *child)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	const struct rlimit cpu = { 30, 30 }, nothing = { 0, 0 };

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &nothing);
	setrlimit(RLIMIT_FSIZE, &nothing);
	if (!enter_root(child))
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(child->gid, child->gid, child->gid) ||
			       setresuid(child->uid, child->uid, child->uid)))
		_exit(126);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(126);
	syscall(SYS_capset, &head, none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void __attribute__((noreturn)) run(const struct prove_child *child, const char *script, int in, int out)
{
	char library_path[ENVIRON_VALUE_MAX + 32], preload[PATH_MAX + 16];
	char *const argv[] = { child->name, "-I", "-S", "-B", "-c", (char *)script, NULL };
	char *env[4] = { "LANG=C" };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), nenv = 1;

	if (child->library_path) {
		snprintf(library_path, sizeof(library_path), "LD_LIBRARY_PATH=%s", child->library_path);
		env[nenv++] = library_path;
	}
	if (child->preload) {
		snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", child->preload);
		env[nenv++] = preload;
	}
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (null >= 0 && dup2(null, 2) < 0) ||
	    (child->library >= 0 && fcntl(child->library, F_SETFD, 0)))
		_exit(126);
	signal(SIGINT, SIG_IGN);  /* a Ctrl-C in the terminal is for us */
	signal(SIGXFSZ, SIG_IGN); /* to write a file is an error, and not the end */
	drop_privileges(child);
	execveat(child->program, "", argv, env, AT_EMPTY_PATH);
	_exit(127);
}

pid_t prove_child__start(const struct prove_child *child, const char *script, int in, int out)
{
	/* What a container keeps in its root runs there as that user; but nothing keeps it off the host's processes and
	 * network, unless we do. */
	long pid = syscall(SYS_clone, APART | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid < 0 && !child->root)
		pid = fork();
	if (pid == 0)
		run(child, script, in, out);
	return pid < 0 ? -errno : (pid_t)pid;
}
