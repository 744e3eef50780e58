/*
 * replay: runs a fuzzer on files and on the files in folders, without libFuzzer: so that the corpus is run wherever there
 * is a compiler. A crash, or a hang, is the failure; what the sanitizers see they say.
 */
#include "fuzz.h"

#include <dirent.h>
#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 20)

static unsigned ran;

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = malloc(FILE_MAX);
	size_t n = f && bytes ? fread(bytes, 1, FILE_MAX, f) : 0;
	uint8_t *exact;

	if (!f || !bytes || ferror(f)) {
		fprintf(stderr, "%s cannot be read\n", path);
		return 1;
	}
	fclose(f);
	/* Exactly as large as the input, so that the address sanitizer sees what is read behind it. */
	exact = malloc(n ? n : 1);
	if (!exact)
		abort();
	memcpy(exact, bytes, n);
	free(bytes);
	/* The last line of a crash's output. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, n);
	free(exact);
	ran++;
	return 0;
}

static int run_folder(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[PATH_MAX];
	int err = 0;

	if (!dir) {
		fprintf(stderr, "%s cannot be read\n", folder);
		return 1;
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		err |= run_file(path);
	}
	closedir(dir);
	return err;
}

int main(int argc, char **argv)
{
	struct stat st;
	int err = 0;

	setrlimit(RLIMIT_CPU, &(struct rlimit){ 100, 100 }); /* a hang is a failure */
	for (int i = 1; i < argc; i++)
		err |= !stat(argv[i], &st) && S_ISDIR(st.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
	printf("%u inputs were run\n", ran);
	return err || !ran;
}
