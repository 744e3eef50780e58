/*
 * addrmap: open addressing with linear probing, at most half full. Owns its slots, knows nothing of what the keys mean.
 */
#include "addrmap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define FIRST_SLOTS 64

struct addrmap_slot {
	uint64_t key; /* 0: free */
	uint32_t value;
};

void addrmap__clear(struct addrmap *map)
{
	free(map->slots);
	*map = (struct addrmap){ 0 };
}

/* The keys are a target's to choose: with a secret in the hash it cannot choose them so that all fall on one slot. */
static uint64_t secret(void)
{
	static uint64_t value;

	if (!value && getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
		value = 1; /* early at boot: no worse than without */
	return value;
}

/* Spreads all bits of a key over all bits of the result (the finaliser of SplitMix64). */
static uint64_t mix(uint64_t key)
{
	key = (key ^ key >> 30) * 0xbf58476d1ce4e5b9u;
	key = (key ^ key >> 27) * 0x94d049bb133111ebu;
	return key ^ key >> 31;
}

/* The slot that holds `key`, or the free one where it belongs. */
static struct addrmap_slot *find(const struct addrmap *map, uint64_t key)
{
	size_t i = mix(key + secret()) & (map->nslots - 1);

	while (map->slots[i].key && map->slots[i].key != key)
		i = (i + 1) & (map->nslots - 1);
	return &map->slots[i];
}

static int grow(struct addrmap *map)
{
	struct addrmap bigger = { .nslots = map->nslots ? 2 * map->nslots : FIRST_SLOTS, .used = map->used };

	bigger.slots = calloc(bigger.nslots, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->nslots; i++) {
		if (map->slots[i].key)
			*find(&bigger, map->slots[i].key) = map->slots[i];
	}
	free(map->slots);
	*map = bigger;
	return 0;
}

/* The slot of `key`, added where it was missing (*added), or NULL with *err set. */
static struct addrmap_slot *claim(struct addrmap *map, uint64_t key, int *added, int *err)
{
	struct addrmap_slot *slot;

	*err = key ? 0 : -EINVAL;
	if (!*err && 2 * (map->used + 1) > map->nslots)
		*err = grow(map);
	if (*err)
		return NULL;
	slot = find(map, key);
	*added = !slot->key;
	if (*added) {
		slot->key = key;
		map->used++;
	}
	return slot;
}

int addrmap__add(struct addrmap *map, uint64_t key, uint32_t *value)
{
	int added, err;
	struct addrmap_slot *slot = claim(map, key, &added, &err);

	if (!slot)
		return err;
	if (added)
		slot->value = value ? *value : 0;
	else if (value)
		*value = slot->value;
	return added;
}

int addrmap__set(struct addrmap *map, uint64_t key, uint32_t value)
{
	int added, err;
	struct addrmap_slot *slot = claim(map, key, &added, &err);

	if (slot)
		slot->value = value;
	return err;
}

int addrmap__get(const struct addrmap *map, uint64_t key, uint32_t *value)
{
	const struct addrmap_slot *slot = key && map->nslots ? find(map, key) : NULL;

	if (!slot || !slot->key)
		return -ENOENT;
	*value = slot->value;
	return 0;
}
