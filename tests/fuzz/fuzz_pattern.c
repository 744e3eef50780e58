/* fuzz_pattern: texts, each up to a NUL: a module, a qualified name, then patterns, which are matched against that function. */
#include "fuzz.h"
#include "pattern.h"

#define PATTERNS 8

/* The next text, which ends at a NUL or at the input's end; to be freed. */
static char *take_text(struct fuzz_input *in)
{
	size_t n = strnlen((const char *)in->at, in->left);
	char *text = strndup((const char *)in->at, n);

	if (!text)
		abort();
	fuzz_bytes(in, n < in->left ? n + 1 : n);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	char *module = take_text(&in), *qualname = take_text(&in), *patterns[PATTERNS];
	struct pattern_set *set;
	size_t n = 0;

	fuzz_begin();
	while (in.left && n < PATTERNS)
		patterns[n++] = take_text(&in);
	if (!pattern_set__parse((const char *const *)patterns, n, &set)) {
		bool match = pattern_set__match(set, module, qualname);

		if (match != !pattern_set__distance(set, module, qualname))
			abort();
		pattern_set__free(set);
	}
	while (n)
		free(patterns[--n]);
	free(module);
	free(qualname);
	return 0;
}
