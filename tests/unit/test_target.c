/*
 * target: looks at copies of this very program, which pretends to hold an interpreter (it defines the symbols that one
 * is known by), at programs that hold none, and at the interpreters found here, which tell the truth about themselves.
 */
#include "diag.h"
#include "elf.h"
#include "target.h"
#include "check.h"
#include "interpreters.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the search looks for. The version is found as in CPython 3.8 to 3.10: only this function's code names it. */
const char *Py_GetVersion(void);
int _PyEval_EvalFrameDefault(int x);
extern int PyCode_Type[4];
extern int *PyExc_TypeError;

int PyCode_Type[4] = { 1, 2, 3, 4 };
int *PyExc_TypeError = &PyCode_Type[1];

static char version[250];

static void __attribute__((noinline, format(printf, 1, 2))) format_version(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(version, sizeof(version), fmt, args);
	va_end(args);
}

const char *Py_GetVersion(void)
{
	format_version("%.80s (%.80s) %.80s", "3.9.7rc1+", "main, 3.1", "\n[GCC 3.3.3]");
	return version;
}

int _PyEval_EvalFrameDefault(int x)
{
	return x + 1;
}

static char last_message[4096];

static void remember(enum diag_level level, const char *message, void *ctx)
{
	(void)ctx;
	if (level == DIAG_LEVEL_ERROR)
		snprintf(last_message, sizeof(last_message), "%s", message);
}

struct child {
	pid_t pid;
	int in, out; /* write to its stdin, read from its stdout */
};

/* Starts a program that prints a line when it is ready and ends, or does its next thing, when its stdin ends. */
static bool start(struct child *c, char *line, size_t size, const char *path, char *const argv[])
{
	int in[2], out[2];
	ssize_t n;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		abort();
	c->pid = fork();
	if (c->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(path, argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->in = in[1];
	c->out = out[0];
	n = read(c->out, line, size - 1);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return n > 0;
}

static void stop(struct child *c)
{
	close(c->in);
	close(c->out);
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
}

/* This program as a child: says where its code is, waits, and becomes another program. */
static int be_target(void)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%lx %s\n", (unsigned long)(uintptr_t)_PyEval_EvalFrameDefault,
			 Py_GetVersion());
	char byte;

	if (write(1, line, (size_t)n) != n || read(0, &byte, 1) != 1)
		return 1;
	execl("/bin/sleep", "sleep", "100", NULL);
	return 1;
}

static void test_pretender(const char *path, bool removed)
{
	char *argv[] = { (char *)path, (char *)"--target", (char *)"a\033[1m b\xc2\x9b", (char *)"", NULL };
	struct target *t;
	struct child c;
	char line[128], want[PATH_MAX + 64];
	uint64_t addr;

	if (!CHECK(start(&c, line, sizeof(line), path, argv)))
		return;
	if (removed)
		CHECK_EQ(unlink(path), 0);
	if (CHECK_EQ(target__open(c.pid, &t), 0)) {
		CHECK_EQ(t->pid, c.pid);
		CHECK_EQ(t->uid, geteuid());
		CHECK_EQ(t->deleted, removed);
		CHECK(!t->free_threaded);
		CHECK_STR_EQ(t->interp_path, path);
		CHECK_STR_EQ(t->version.text, "3.9.7rc1");
		CHECK(t->version.major == 3 && t->version.minor == 9 && t->version.micro == 7);
		snprintf(want, sizeof(want), "%s --target a?[1m b??", path);
		if (strchr(want, '\n'))
			*strchr(want, '\n') = '?';
		CHECK_STR_EQ(t->command, want);
		CHECK_EQ(access(t->open_path, R_OK), 0);
		CHECK_EQ(target__symbol(t, "_PyEval_EvalFrameDefault", &addr), 0);
		CHECK_EQ(addr, strtoul(line, NULL, 16));
		CHECK_EQ(target__symbol(t, "no_such_symbol", &addr), -ENOENT);
		CHECK(target__alive(t));
		/* An exec keeps pid and start time; the image is another. */
		CHECK_EQ(write(c.in, "x", 1), 1);
		for (int i = 0; i < 200 && target__alive(t); i++)
			usleep(10000);
		CHECK(!target__alive(t));
		CHECK_EQ(kill(c.pid, 0), 0);
		target__close(t);
	} else {
		fprintf(stderr, "%s\n", last_message);
	}
	stop(&c);
}

static bool copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	char buf[65536];
	size_t n;
	bool ok = in && out;

	while (ok && (n = fread(buf, 1, sizeof(buf), in)) > 0)
		ok = fwrite(buf, 1, n, out) == n;
	if (in)
		fclose(in);
	if (out && fclose(out) != 0)
		ok = false;
	return ok && chmod(to, 0755) == 0;
}

static void test_pretenders(const char *dir)
{
	char path[PATH_MAX];

	/* Blanks and what looks like an escape in names; a name that ends as the kernel marks removed files. */
	static const char *const names[] = { "plain", "with blank", "line\nfeed", "python (deleted) x" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (int removed = 0; removed < 2; removed++) {
			snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
			if (CHECK(copy_file("/proc/self/exe", path)))
				test_pretender(path, removed);
			unlink(path);
		}
}

static void expect_refusal(pid_t pid, int code, const char *words)
{
	const char *why = NULL;
	struct target *t;

	last_message[0] = '\0';
	CHECK_EQ(target__probe(pid, &t, &why), code);
	CHECK(t == NULL && why && why[0]);
	CHECK_STR_EQ(last_message, "");
	CHECK_EQ(target__open(pid, &t), code);
	CHECK(t == NULL);
	if (!CHECK(strstr(last_message, words)))
		fprintf(stderr, "'%s' is not in '%s'\n", words, last_message);
}

static void *wait_in_thread(void *tid)
{
	int *fds = tid;
	pid_t id = (pid_t)syscall(SYS_gettid);
	char byte;

	if (write(fds[1], &id, sizeof(id)) != sizeof(id) || read(fds[2], &byte, 1) < 0)
		abort();
	return NULL;
}

static void test_thread(void)
{
	int up[2], down[2], fds[3];
	pthread_t thread;
	pid_t tid = 0;

	if (pipe(up) < 0 || pipe(down) < 0)
		abort();
	fds[1] = up[1];
	fds[2] = down[0];
	pthread_create(&thread, NULL, wait_in_thread, fds);
	CHECK_EQ(read(up[0], &tid, sizeof(tid)), sizeof(tid));
	expect_refusal(tid, -ESRCH, "is a thread of process");
	CHECK_EQ(write(down[1], "x", 1), 1);
	pthread_join(thread, NULL);
}

static void test_refusals(void)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"echo ready; read x", NULL };
	struct child c;
	char line[64];
	pid_t pid;

	expect_refusal(0, -ESRCH, "there is no process 0");
	expect_refusal(-1, -ESRCH, "there is no process -1");
	expect_refusal(INT_MAX, -ESRCH, "there is no process 2147483647");
	if (CHECK(start(&c, line, sizeof(line), "/bin/sh", argv)))
		expect_refusal(c.pid, -DIAG_NOT_PYTHON, "holds no CPython interpreter");
	stop(&c);
	expect_refusal(c.pid, -ESRCH, "there is no process");
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	expect_refusal(pid, -ESRCH, "there is no process"); /* a zombie */
	waitpid(pid, NULL, 0);
	test_thread();
}

/* Without capabilities we may not look at a process of root's. */
static void test_no_permission(void)
{
	pid_t pid, parent = getpid();
	int status = -1;

	if (geteuid() != 0) {
		CHECK_SKIP("a process of another user: needs root to become somebody else");
		return;
	}
	pid = fork();
	if (pid == 0) {
		check_passed = check_failed = 0;
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		expect_refusal(parent, -DIAG_NO_CAPABILITY, "CAP_SYS_PTRACE");
		_exit(check_failed ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int note_pid(pid_t pid, void *ctx)
{
	pid_t *last = ctx;

	CHECK(pid > last[0]);
	last[0] = pid;
	if (pid == getpid())
		last[1] = 1;
	return pid == last[2] ? 99 : 0;
}

static void test_each_pid(void)
{
	pid_t seen[3] = { 0, 0, -1 };

	CHECK_EQ(target_for_each_pid(note_pid, seen), 0);
	CHECK_EQ(seen[1], 1);
	seen[0] = 0;
	seen[2] = getpid();
	CHECK_EQ(target_for_each_pid(note_pid, seen), 99);
}

static void write_script(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path, 0755) < 0)
		abort();
}

static void expect_found(const char *path, const char *want)
{
	char *found = NULL;

	CHECK_EQ(target_find_interpreter(path, &found), want ? 0 : -DIAG_NOT_PYTHON);
	if (want)
		CHECK_STR_EQ(found, want);
	else
		CHECK(found == NULL);
	free(found);
}

/* Scripts, chains of them, env; "interp" is a copy of this program, which passes for an interpreter. */
static void test_find_interpreter(const char *dir)
{
	char interp[PATH_MAX], script[PATH_MAX], text[PATH_MAX + 64], path[PATH_MAX + 64];
	const char *old_path = getenv("PATH");

	snprintf(interp, sizeof(interp), "%s/interp", dir);
	if (!CHECK(copy_file("/proc/self/exe", interp)))
		return;
	snprintf(path, sizeof(path), "%s:/nonexistent::/bin:/usr/bin", dir);
	setenv("PATH", path, 1);
	expect_found(interp, interp);
	expect_found("interp", interp);
	expect_found("/bin/sh", NULL);
	expect_found("/nonexistent", NULL);
	expect_found("no-such-command-here", NULL);
	expect_found(dir, NULL);
	expect_found("", NULL);

	static const char *const lines[] = {
		"#!%s\n", "#! %s -x\n", "#!/usr/bin/env interp\n", "#!/usr/bin/env -S A=b interp -u\n",
		"#!%s",	  "#!%s\r\n"
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(script, sizeof(script), "%s/s%zu", dir, i);
		snprintf(text, sizeof(text), lines[i], interp);
		write_script(script, text);
		expect_found(script, interp);
		unlink(script);
	}
	/* Each runs the one before it: four steps are followed, the kernel's limit, not five. */
	for (int i = 0; i < 5; i++) {
		if (i == 0)
			snprintf(text, sizeof(text), "#!%s\n", interp);
		else
			snprintf(text, sizeof(text), "#!%s/c%d\n", dir, i - 1);
		snprintf(script, sizeof(script), "%s/c%d", dir, i);
		write_script(script, text);
		expect_found(script, i < 4 ? interp : NULL);
	}
	for (int i = 0; i < 5; i++) {
		snprintf(script, sizeof(script), "%s/c%d", dir, i);
		unlink(script);
	}
	snprintf(script, sizeof(script), "%s/loop", dir);
	snprintf(text, sizeof(text), "#!%s\n", script);
	write_script(script, text);
	expect_found(script, NULL);
	write_script(script, "#!\n");
	expect_found(script, NULL);
	write_script(script, "#!/usr/bin/env\n");
	expect_found(script, NULL);
	write_script(script, "print(1)\n");
	expect_found(script, NULL);
	unlink(script);
	unlink(interp);
	if (old_path)
		setenv("PATH", old_path, 1);
}

/* Prints where its code type is and what version it thinks it is, then maps its own interpreter a second time, as
 * executable, and lower than the loaded one: that mapping must not be taken for it. */
static const char asks[] =
	"import sys, mmap\n"
	"files = {line.split()[-1] for line in open('/proc/self/maps') if ' r-xp ' in line and '/' in line}\n"
	"names = {f.rsplit('/', 1)[1]: f for f in files}\n"
	"mine = [names[n] for n in names if n.startswith('libpython')] or [sys.executable]\n"
	"g = open(mine[0], 'rb')\n"
	"m = mmap.mmap(g.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_EXEC)\n"
	"print(id(type((lambda: 0).__code__)), sys.version.split()[0].rstrip('+'), flush=True)\n"
	"sys.stdin.read()\n";

static void test_interpreter(const char *path)
{
	const char *options[] = { "-I", "-S", "-c", asks, NULL }, *argv[INTERPRETERS_ARGS + 5];
	size_t n = interpreters_command(path, argv);
	char line[128], text[64], real[2][PATH_MAX];
	unsigned long addr;
	uint64_t symbol;
	struct target *t;
	struct child c;
	char *found = NULL;

	memcpy(argv + n, options, sizeof(options));
	if (!CHECK(start(&c, line, sizeof(line), argv[0], (char *const *)argv)) ||
	    !CHECK_EQ(sscanf(line, "%lu %63s", &addr, text), 2))
		return;
	if (CHECK_EQ(target__open(c.pid, &t), 0)) {
		CHECK_EQ(target__symbol(t, "PyCode_Type", &symbol), 0);
		CHECK_EQ(symbol, addr);
		CHECK_STR_EQ(t->version.text, text);
		CHECK(elf_file__build_id(t->elf)[0] != '\0');
		CHECK(target__alive(t));
		if (n == 1) { /* in our own root */
			CHECK_EQ(target_find_interpreter(path, &found), 0);
			if (CHECK(found && realpath(found, real[0]) && realpath(t->interp_path, real[1])))
				CHECK_STR_EQ(real[0], real[1]);
		}
		free(found);
		stop(&c);
		CHECK(!target__alive(t));
		target__close(t);
		return;
	}
	fprintf(stderr, "%s: %s\n", path, last_message);
	stop(&c);
}

static void test_interpreters(void)
{
	glob_t found;

	interpreters_find(&found);
	if (found.gl_pathc == 0)
		CHECK_SKIP("interpreters: none was found");
	for (size_t i = 0; i < found.gl_pathc; i++)
		test_interpreter(found.gl_pathv[i]);
	globfree(&found);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/test_target.XXXXXX";

	if (argc > 1 && strcmp(argv[1], "--target") == 0)
		return be_target();
	signal(SIGPIPE, SIG_IGN);
	diag_set_callback(remember, NULL);
	if (!mkdtemp(dir))
		abort();
	test_pretenders(dir);
	test_find_interpreter(dir);
	CHECK_EQ(rmdir(dir), 0);
	test_refusals();
	test_no_permission();
	test_each_pid();
	test_interpreters();
	return check_done();
}
