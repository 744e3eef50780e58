/* out_seen: finds a format of events, and owns the words that they share. Each format is in a file of its own. */
#include <string.h>

#include "out_util.h"
#include "seen.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

const struct out_seen *const out_seen_formats[] = { &out_seen_text, &out_seen_json, NULL };

static const struct {
	const char *ending;
	const struct out_seen *format;
} endings[] = {
	{ ".txt", &out_seen_text },
	{ ".json", &out_seen_json },
	{ ".jsonl", &out_seen_json },
	{ ".ndjson", &out_seen_json },
};

const char *seen_kind__word(enum seen_kind kind)
{
	static const char *const words[] = {
		[SEEN_CALL] = "parameters", [SEEN_RETURN] = "returnvalues", [SEEN_RAISE] = "raised",
		[SEEN_YIELD] = "yields",    [SEEN_RESUME] = "resumes",	    [SEEN_BEFORE] = "usevalues",
		[SEEN_AFTER] = "defvalues",
	};

	return words[kind];
}

const struct out_seen *out_seen__find(const char *name)
{
	for (size_t i = 0; out_seen_formats[i]; i++)
		if (!strcmp(out_seen_formats[i]->name, name))
			return out_seen_formats[i];
	return NULL;
}

const struct out_seen *out_seen__for_path(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (text_ends(path, endings[i].ending))
			return endings[i].format;
	return NULL;
}
