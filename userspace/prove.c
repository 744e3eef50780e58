/*
 * prove: see prove.h. The proof is an ordinary session on the child; nothing of the measuring is written twice.
 */
#include "prove.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "pattern.h"
#include "profile.h"
#include "prove_script.h"
#include "session_priv.h"
#include "target.h"

#define START_MS 5000 /* for the child's interpreter to start, on a loaded machine */
#define RUN_MS 20000

struct child {
	pid_t pid;
	int in, out; /* our ends of its standard input and output */
};

static void drop_privileges(const struct prove_child *child)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	const struct rlimit cpu = { 30, 30 }, core = { 0, 0 };

	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	if (child->root && (chroot(child->root) || chdir("/")))
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) || setresgid(child->gid, child->gid, child->gid) ||
			       setresuid(child->uid, child->uid, child->uid)))
		_exit(126);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(126);
	syscall(SYS_capset, &head, none);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void run_child(const struct prove_child *child, int in, int out)
{
	char library_path[4200];
	char *env[3] = { "LANG=C", NULL, NULL };
	char *const argv[] = { (char *)child->exe, "-I", "-S", "-c", (char *)prove_script, NULL };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (child->library_path) {
		snprintf(library_path, sizeof(library_path), "LD_LIBRARY_PATH=%s", child->library_path);
		env[1] = library_path;
	}
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (null >= 0 && dup2(null, 2) < 0))
		_exit(126);
	signal(SIGINT, SIG_IGN); /* a Ctrl-C in the terminal is for us */
	drop_privileges(child);
	execve(child->exe, argv, env);
	_exit(127);
}

static int start(const struct prove_child *options, struct child *child)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };

	child->pid = -1;
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		goto fail;
	child->pid = fork();
	if (child->pid < 0)
		goto fail;
	if (child->pid == 0)
		run_child(options, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	child->in = in[1];
	child->out = out[0];
	return 0;
fail:
	for (int i = 0; i < 2; i++) {
		if (in[i] >= 0)
			close(in[i]);
		if (out[i] >= 0)
			close(out[i]);
	}
	return diag_error(-errno, "cannot start a child for the proof: %s", strerror(errno));
}

static void finish(struct child *child)
{
	close(child->in);
	close(child->out);
	kill(child->pid, SIGKILL);
	while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Waits for one character of the child, handling the session's events meanwhile. */
static bool await(const struct child *child, char want, int ms, struct session *s)
{
	struct pollfd fd = { .fd = child->out, .events = POLLIN };
	char c;

	for (int waited = 0; waited < ms; waited += 20) {
		if (s)
			session__poll(s, 0);
		if (poll(&fd, 1, 20) > 0)
			return read(child->out, &c, 1) == 1 && c == want;
	}
	return false;
}

struct counted {
	uint64_t hits, raised, wrong_caller;
};

static int check(const struct profile *p)
{
	struct counted counted[sizeof(prove_expected) / sizeof(prove_expected[0])] = { { 0 } };

	for (size_t i = 0; i < p->nprocesses; i++)
		for (size_t t = 0; t < p->processes[i]->nthreads; t++) {
			const struct prof_call *root = p->processes[i]->threads[t]->root, *call = root;
			int depth = 0;

			while ((call = prof_call__next(root, call, &depth)))
				for (size_t e = 0; e < sizeof(counted) / sizeof(counted[0]); e++) {
					const char *caller = prove_expected[e].caller;

					if (strcmp(call->function, prove_expected[e].name))
						continue;
					counted[e].hits += call->hits;
					counted[e].raised += call->raised;
					if (caller &&
					    (!call->parent->function || strcmp(call->parent->function, caller)))
						counted[e].wrong_caller += call->hits;
				}
		}
	for (size_t e = 0; e < sizeof(counted) / sizeof(counted[0]); e++) {
		const struct prove_expected *want = &prove_expected[e];

		if (counted[e].hits != want->hits || counted[e].raised != want->raised || counted[e].wrong_caller)
			return diag_error(
				-DIAG_NOT_PROVED,
				"on a trial of this interpreter, %s was counted %llu times (%llu raised, %llu "
				"from a wrong caller), but ran %llu times (%llu raised)",
				want->name, (unsigned long long)counted[e].hits, (unsigned long long)counted[e].raised,
				(unsigned long long)counted[e].wrong_caller, (unsigned long long)want->hits,
				(unsigned long long)want->raised);
	}
	return 1;
}

static int measure(struct session *s, size_t build, struct child *child)
{
	struct profile *p = NULL;
	uint32_t slot = 0;
	int err = session_prove_begin(s, build, child->pid, &slot), late;

	if (err)
		return err < 0 ? err : 0;
	if (write(child->in, "g", 1) != 1)
		err = diag_error(-errno, "the trial child ended early");
	if (!err && !await(child, 'd', RUN_MS, s))
		err = diag_error(-DIAG_NOT_PROVED, "the trial child did not finish");
	late = session_prove_end(s, build, slot, &p);
	if (!err)
		err = late ? late : check(p);
	profile__free(p);
	return err;
}

int prove_patterns(struct pattern_set **out)
{
	static const char *const everything[] = { "__main__.**" };

	return pattern_set__parse(everything, 1, out);
}

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
		if (!strncmp(line, name, n) && line[n] == '=' && strlen(line) < 4000)
			value = strdup(line + n + 1);
	free(line);
	fclose(f);
	return value;
}

/* The text of a link below /proc/PID. False where it cannot be read. */
static bool read_link(pid_t pid, const char *name, char text[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/%s", (int)pid, name);
	n = readlink(link, text, PATH_MAX - 1);
	text[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* A path that the kernel showed us, as a process names it whose root folder is shown to us as `root`: in a chroot that
 * shares our mounts, paths are shown with the folder in front. */
static const char *below_root(const char *path, const char *root)
{
	size_t n = strlen(root);

	return n > 1 && !strncmp(path, root, n) && path[n] == '/' ? path + n : path;
}

int prove_child_of(const struct target *t, struct prove_child *out)
{
	char root[64], root_text[PATH_MAX], exe[PATH_MAX];
	struct stat theirs, ours;
	const char *base;

	*out = (struct prove_child){ .uid = t->uid, .gid = t->uid };
	if (!read_link(t->pid, "exe", exe))
		return -ENOENT;
	base = strrchr(exe, '/');
	if (!base || strncmp(base, "/python", 7))
		return -ENOENT;
	snprintf(root, sizeof(root), "/proc/%d", (int)t->pid);
	if (!stat(root, &theirs))
		out->gid = theirs.st_gid;
	snprintf(root, sizeof(root), "/proc/%d/root", (int)t->pid);
	if (!stat(root, &theirs) && !stat("/", &ours) && (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino))
		out->root = strdup(root);
	out->exe = strdup(out->root && read_link(t->pid, "root", root_text) ? below_root(exe, root_text) : exe);
	out->library_path = environ_value(t->pid, "LD_LIBRARY_PATH");
	return out->exe ? 0 : -ENOENT;
}

void prove_child__free(struct prove_child *child)
{
	free((char *)child->exe);
	free((char *)child->root);
	free((char *)child->library_path);
}

int prove_build(struct session *s, size_t build, const struct prove_child *options)
{
	struct child child = { .pid = -1, .in = -1, .out = -1 };
	int err = start(options, &child);

	if (err)
		return err;
	if (await(&child, 'r', START_MS, NULL)) {
		err = measure(s, build, &child);
	} else {
		diag_debug("no trial child of %s could be started", options->exe);
		err = 0;
	}
	finish(&child);
	return err;
}
