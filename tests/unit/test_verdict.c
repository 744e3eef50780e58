/*
 * verdict: the file of proofs, whole and damaged, in the wrong hands, too large, written by many at once, on a full and on
 * a read-only disk: what it says must have been said, and what is wrong with it must go away by itself.
 */
#include "elf.h"
#include "site.h"
#include "verdict.h"
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEPT_BYTES_MAX (64 << 10)
#define WRITERS 8
#define WRITES 10

static char cache[64], folder[80], file[96];

static struct site_set sites_at(uint64_t addr)
{
	struct site_set set = { .n = 2 };

	set.sites[0] = (struct site){ .kind = SITE_OPCODE_RESUME, .addr = addr, .frame_reg = 3, .tstate_reg = 0xff };
	set.sites[1] = (struct site){ .kind = SITE_FRAME_END, .addr = addr + 64, .frame_reg = 6, .tstate_reg = 7 };
	return set;
}

static bool known(const char *build_id)
{
	const struct site_set sites = sites_at(0x1000);

	return verdict_known(build_id, &sites);
}

static void store(const char *build_id)
{
	const struct site_set sites = sites_at(0x1000);

	verdict_store(build_id, &sites);
}

/* Nothing of the last test stays. */
static void begin(void)
{
	char new_file[128];

	snprintf(new_file, sizeof(new_file), "%s.new", file);
	chmod(folder, 0700);
	rmdir(file);
	unlink(file);
	unlink(new_file);
	unlink(folder);
	rmdir(folder);
}

static void put(const void *bytes, size_t n)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	CHECK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	close(fd);
}

static size_t get(char *bytes, size_t size)
{
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, bytes, size);

	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

static void check_private(void)
{
	struct stat st;

	if (CHECK_EQ(lstat(file, &st), 0))
		CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600 && st.st_uid == geteuid());
	if (CHECK_EQ(lstat(folder, &st), 0))
		CHECK(S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0700);
}

static void test_remembers(void)
{
	struct site_set other = sites_at(0x1008);

	begin();
	CHECK(!known("aa"));
	store("aa");
	CHECK(known("aa"));
	check_private();
	CHECK(!known("a") && !known("aaa") && !known("bb") && !known(""));
	CHECK(!verdict_known("aa", &other));
	other = sites_at(0x1000);
	other.sites[1].frame_reg = 5;
	CHECK(!verdict_known("aa", &other));
	store("bb");
	store("");
	CHECK(known("aa") && known("bb") && !known(""));
	CHECK_EQ(unlink(file), 0);
	CHECK(!known("aa"));
	store("aa");
	CHECK(known("aa"));
}

static void test_damaged(void)
{
	char whole[512], bad[512];
	size_t size;

	begin();
	store("aa");
	size = get(whole, sizeof(whole));
	CHECK(size > 20 && size < sizeof(whole));
	for (size_t i = 0; i < size; i++) {
		put(whole, i);
		CHECK(!known("aa"));
	}
	for (size_t i = 0; i < size; i++) {
		memcpy(bad, whole, size);
		bad[i] ^= (char)(1 << i % 8);
		put(bad, size);
		CHECK(!known("aa"));
	}
	srand(20240131);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof(bad); i++)
			bad[i] = (char)rand();
		put(bad, sizeof(bad));
		CHECK(!known("aa"));
		store("bb");
		CHECK(known("bb") && !known("aa"));
	}
	/* A line that was cut off must not become part of the next one. */
	put(whole, size - 3);
	store("aa");
	CHECK(known("aa"));
	check_private();
}

static void test_huge(void)
{
	begin();
	store("aa");
	CHECK_EQ(truncate(file, 1L << 40), 0);
	CHECK(!known("aa"));
	store("bb");
	CHECK(known("bb"));
	check_private();
}

static void test_not_a_file(void)
{
	char other[128], text[512];
	size_t size;

	snprintf(other, sizeof(other), "%s/other", cache);
	begin();
	store("aa");
	size = get(text, sizeof(text));
	CHECK_EQ(rename(file, other), 0);
	CHECK_EQ(symlink(other, file), 0);
	CHECK(!known("aa"));
	store("bb");
	CHECK(known("bb") && !known("aa"));
	check_private();
	CHECK_EQ(unlink(file), 0);
	CHECK_EQ(rename(other, file), 0);
	CHECK(known("aa") && !known("bb")); /* what the link led to was not written */
	CHECK_EQ(get(text, sizeof(text)), size);

	begin();
	store("aa");
	unlink(file);
	CHECK_EQ(mkdir(file, 0700), 0);
	CHECK(!known("aa"));
	store("aa");
	CHECK(!known("aa"));

	begin();
	store("aa");
	unlink(file);
	CHECK_EQ(mkfifo(file, 0600), 0);
	CHECK(!known("aa"));
	store("aa");
	CHECK(known("aa"));
	check_private();
}

static void test_wrong_hands(void)
{
	char other[128];

	for (int mode = 0601; mode < 0700; mode += 7) {
		if (!(mode & 077))
			continue;
		begin();
		store("aa");
		chmod(file, (mode_t)mode);
		CHECK(!known("aa"));
		store("bb");
		CHECK(known("bb") && !known("aa"));
		check_private();
	}
	begin();
	store("aa");
	chmod(folder, 0777);
	CHECK(!known("aa"));
	store("bb");
	chmod(folder, 0700);
	CHECK(known("aa") && !known("bb"));

	snprintf(other, sizeof(other), "%s/other", cache);
	CHECK_EQ(rename(folder, other), 0);
	CHECK_EQ(symlink(other, folder), 0);
	CHECK(!known("aa"));
	unlink(folder);
	CHECK_EQ(rename(other, folder), 0);
	CHECK(known("aa"));
	if (geteuid() != 0) {
		CHECK_SKIP("only root can give the file to another user");
		return;
	}
	CHECK_EQ(chown(file, 65534, 65534), 0);
	CHECK(!known("aa"));
	store("aa");
	CHECK(known("aa"));
	check_private();
	CHECK_EQ(chown(folder, 65534, 65534), 0);
	CHECK(!known("aa"));
	store("bb");
	CHECK_EQ(chown(folder, geteuid(), getegid()), 0);
	CHECK(!known("bb"));
}

static void test_growth(void)
{
	struct stat st;
	char id[32];

	begin();
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%08x", (unsigned)i);
		store(id);
		store(id);
	}
	CHECK(known("000003e7") && known("00000380") && !known("00000000"));
	if (CHECK_EQ(stat(file, &st), 0))
		CHECK(st.st_size <= KEPT_BYTES_MAX);
}

static void test_many_writers(void)
{
	char id[32];
	int status;

	begin();
	for (int w = 0; w < WRITERS; w++)
		if (fork() == 0) {
			for (int i = 0; i < WRITES; i++) {
				snprintf(id, sizeof(id), "%04x%04x", (unsigned)w, (unsigned)i);
				store(id);
				if (!known(id))
					_exit(1);
			}
			_exit(0);
		}
	for (int w = 0; w < WRITERS; w++)
		CHECK(wait(&status) > 0 && status == 0);
	for (int w = 0; w < WRITERS; w++)
		for (int i = 0; i < WRITES; i++) {
			snprintf(id, sizeof(id), "%04x%04x", (unsigned)w, (unsigned)i);
			CHECK(known(id));
		}
	check_private();
}

/* In a child, because a mount namespace cannot be left. */
static int on_bad_disks(void)
{
	char filler[128], block[4096] = "";
	int fd;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", cache, "tmpfs", 0, "size=16k"))
		return CHECK_SKIPPED_STATUS;
	store("aa");
	CHECK(known("aa"));
	snprintf(filler, sizeof(filler), "%s/filler", cache);
	fd = open(filler, O_WRONLY | O_CREAT, 0600);
	while (write(fd, block, sizeof(block)) > 0)
		;
	CHECK_EQ(errno, ENOSPC);
	close(fd);
	store("bb");
	CHECK(known("aa") && !known("bb"));
	unlink(filler);
	store("bb");
	CHECK(known("aa") && known("bb"));
	CHECK_EQ(mount(NULL, cache, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	store("cc");
	CHECK(known("aa") && known("bb") && !known("cc"));
	return check_failed ? 1 : 0;
}

static void test_bad_disks(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(on_bad_disks());
	if (!CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status)))
		return;
	if (WEXITSTATUS(status) == CHECK_SKIPPED_STATUS)
		CHECK_SKIP("no disk of our own can be mounted here");
	else
		CHECK_EQ(WEXITSTATUS(status), 0);
}

static void test_no_folder(void)
{
	setenv("XDG_CACHE_HOME", "/proc/no/such/folder", 1);
	store("aa");
	CHECK(!known("aa"));
	setenv("XDG_CACHE_HOME", cache, 1);
}

int main(void)
{
	struct elf_file *self;
	bool told;

	if (elf_file__open("/proc/self/exe", &self))
		return 1;
	told = elf_file__build_id(self)[0];
	elf_file__close(self);
	if (!told) {
		CHECK_SKIP("this toolchain gives no build-ids, without which nothing is remembered");
		return check_done();
	}
	snprintf(cache, sizeof(cache), "/tmp/pylu-verdict-XXXXXX");
	if (!mkdtemp(cache))
		return 1;
	snprintf(folder, sizeof(folder), "%s/pylu", cache);
	snprintf(file, sizeof(file), "%s/proved", folder);
	setenv("XDG_CACHE_HOME", cache, 1);
	test_remembers();
	test_damaged();
	test_huge();
	test_not_a_file();
	test_wrong_hands();
	test_growth();
	test_many_writers();
	test_bad_disks();
	test_no_folder();
	begin();
	rmdir(cache);
	return check_done();
}
