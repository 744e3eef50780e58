/* fuzz_maps: the text of /proc/PID/maps. The input: whether the executable was deleted (a byte), the text. */
#include "fuzz.h"
#include "target_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	bool deleted = fuzz_number(&in, 1) & 1;
	struct mappings maps = { 0 };
	FILE *text;

	fuzz_begin();
	/* glibc's fmemopen wants a byte at least. */
	text = in.left ? fmemopen((void *)(uintptr_t)in.at, in.left, "r") : NULL;
	if (!text)
		return 0;
	if (!mappings__parse(text, "/usr/bin/python3", deleted, &maps)) {
		for (size_t i = 0; i < maps.n; i++) {
			const struct mapping *m = &maps.items[i];

			if (m->path[0] != '/' || m->rank >= RANK_COUNT || m->tried)
				abort();
			fuzz_use(m->path, strlen(m->path));
			fuzz_used += m->start + m->end + m->offset + mapping__same_file(m, &maps.items[0]);
		}
	}
	mappings__free(&maps);
	fclose(text);
	return 0;
}
