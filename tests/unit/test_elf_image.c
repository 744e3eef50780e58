/*
 * test_elf_image: what elf_image makes is taken for an interpreter, whole: else the fuzzers would damage what is never
 * looked at. And so the search for sites is tested where there is no interpreter at all.
 */
#include "check.h"
#include "elf.h"
#include "elf_image.h"
#include "layout.h"
#include "opmap.h"
#include "site.h"
#include "target.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* "kind:frame register" of all sites, in their order. */
static const char *describe(const struct site_set *set)
{
	static const char *const kinds[SITE_KINDS] = {
		[SITE_OPCODE_RESUME] = "resume", [SITE_OPCODE_YIELD] = "yield",	  [SITE_FRAME_END] = "end",
		[SITE_FRAME_RETURN] = "return",	 [SITE_FRAME_UNWIND] = "unwind",  [SITE_FRAME_ENTER] = "enter",
		[SITE_FRAME_LEAVE] = "leave",	 [SITE_CODE_DEALLOC] = "dealloc",
	};
	static char text[512];
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < set->n && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s:%u", i ? " " : "",
					 kinds[set->sites[i].kind], set->sites[i].frame_reg);
	return text;
}

static const char *expected(uint8_t minor)
{
	switch (minor) {
	case 8:
	case 9:
	case 10:
		return "enter:3 leave:3 dealloc:7";
	case 11: /* RESUME, RESUME_QUICK */
		return "resume:3 resume:3 yield:3 return:3 unwind:3 dealloc:7";
	case 12: /* RESUME, INSTRUMENTED_RESUME */
		return "resume:3 resume:3 yield:3 yield:3 end:6 dealloc:7";
	default: /* RESUME_CHECK too */
		return "resume:3 resume:3 resume:3 yield:3 yield:3 end:6 dealloc:7";
	}
}

static void test_image(const struct elf_image *image, const char *path)
{
	struct py_version version;
	struct elf_file *elf;
	struct site_set set;

	if (!CHECK_EQ(elf_file__open(path, &elf), 0))
		return;
	CHECK_STR_EQ(elf_file__build_id(elf), "b11d000000000001");
	CHECK_EQ(elf_python_version(elf, &version), 0);
	CHECK_EQ(version.minor, image->minor);
	if (CHECK_EQ(
		    site_set__find(elf, layout__find(3, image->minor, false), opmap__find(3, image->minor), NULL, &set),
		    0)) {
		CHECK_STR_EQ(describe(&set), expected(image->minor));
		for (size_t i = 0; i < set.n; i++)
			CHECK(set.sites[i].emulated);
	}
	elf_file__close(elf);
}

int main(void)
{
	static uint8_t bytes[ELF_IMAGE_MAX];
	char path[64];
	int fd = memfd_create("test_elf_image", MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	for (uint8_t minor = 8; minor <= 13; minor++)
		for (unsigned kind = 0; kind < 16; kind++) {
			struct elf_image image = { .minor = minor,
						   .fixed = kind & 1,
						   .stripped = kind & 2,
						   .endbr = kind & 4,
						   .jumps = kind & 8 };
			size_t n = elf_image__make(&image, bytes);

			if (ftruncate(fd, 0) || pwrite(fd, bytes, n, 0) != (ssize_t)n)
				abort();
			test_image(&image, path);
		}
	close(fd);
	return check_done();
}
