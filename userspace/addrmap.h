/*
 * addrmap: a hash map from addresses (or any 64-bit keys but 0) to numbers. Grows, never shrinks, forgets nothing.
 */
#ifndef PYLU_ADDRMAP_H
#define PYLU_ADDRMAP_H

#include <stddef.h>
#include <stdint.h>

struct addrmap {
	struct addrmap_slot *slots; /* owned */
	size_t nslots;		    /* 0 or a power of two */
	size_t used;
};

/* A map is empty when it is all zeros. */
void addrmap__clear(struct addrmap *map);

/* 1 when `key` was added with `value`, 0 when it was there (*value then becomes the value that it has; `value` may be
 * NULL, which adds 0), -ENOMEM, -EINVAL for key 0. */
int addrmap__add(struct addrmap *map, uint64_t key, uint32_t *value);

/* Adds the key or replaces its value. 0, -ENOMEM, -EINVAL. */
int addrmap__set(struct addrmap *map, uint64_t key, uint32_t value);

/* 0, or -ENOENT. */
int addrmap__get(const struct addrmap *map, uint64_t key, uint32_t *value);

#endif
