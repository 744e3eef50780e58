/*
 * value_keys: the names of the attributes whose values stand behind or beside instances, from 3.11 on. They are in a table
 * that all instances of a type share, which only grows while the type lives: it is read from the process, and kept.
 */
#include "value_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64 /* SHARED_KEYS_MAX_SIZE in Include/internal/pycore_dict.h is 30 */

void shared_names__clear(struct shared_names *shared)
{
	for (uint64_t i = 0; i < shared->count; i++)
		free(shared->names[i]);
	free(shared->names);
	memset(shared, 0, sizeof(*shared));
}

static int read_names(struct decoding *g, const struct keys_view *view, struct shared_names *shared)
{
	struct pyobj_reader *r = g->d->reader;
	char name[TYPE_NAME_MAX];

	shared->names = calloc(view->count + 1, sizeof(*shared->names));
	if (!shared->names)
		return -ENOMEM;
	shared->count = view->count;
	for (uint64_t i = 0; i < view->count; i++) {
		uint64_t key;

		if (!pyobj__read_u64(r, view->entries + i * view->entry_size + view->key, &key) && key &&
		    !pyobj__str(r, key, name, sizeof(name)))
			shared->names[i] = strdup(name);
	}
	return 0;
}

const struct shared_names *decode_shared_names(struct decoding *g, const struct value_type *type)
{
	struct shared_names *shared = type->shared;
	struct keys_view view;
	uint64_t keys;
	int err;

	if (shared->checked == type->checked)
		return shared->keys ? shared : NULL;
	err = pyobj__read_u64(g->d->reader, type->head.addr + (uint64_t)g->lay->heaptype_cached_keys, &keys);
	/* A process that is gone cannot say anything else than it did. */
	if (err == -ESRCH && shared->keys)
		return shared;
	if (err || !keys || !decode_open_keys(g, keys, true, &view))
		return NULL;
	if (view.count > NAMES_MAX)
		view.count = NAMES_MAX;
	if (keys != shared->keys || view.count != shared->count) {
		shared_names__clear(shared);
		if (read_names(g, &view, shared)) {
			g->failed = true;
			return NULL;
		}
		shared->keys = keys;
	}
	shared->checked = type->checked;
	return shared;
}
