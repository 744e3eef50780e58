/*
 * libelf_static: what Debian 13's static libelf lacks. Compiled only where a static link of libelf fails without it.
 *
 * elfutils 0.192 moved its tree helpers into an internal library that goes into libelf.so and not into libelf.a
 * (sourceware bug 32293, mended in 0.193), so that no program can be linked with the archive. These are the helpers
 * that it asks for, over tsearch(3). The tree's struct is libelf's; its first word is the tree's root. A build with
 * thread safety keeps a lock behind it, which is left alone: libelf is used from one thread here.
 */
#include <search.h>
#include <stddef.h>

struct elf_tree {
	void *root;
};

typedef int (*compare_fn)(const void *, const void *);

void eu_search_tree_init(struct elf_tree *tree);
void eu_search_tree_fini(struct elf_tree *tree, void (*free_node)(void *));
void *eu_tsearch(const void *key, struct elf_tree *tree, compare_fn compare);
void *eu_tdelete(const void *key, struct elf_tree *tree, compare_fn compare);

void eu_search_tree_init(struct elf_tree *tree)
{
	tree->root = NULL;
}

void eu_search_tree_fini(struct elf_tree *tree, void (*free_node)(void *))
{
	tdestroy(tree->root, free_node);
	tree->root = NULL;
}

void *eu_tsearch(const void *key, struct elf_tree *tree, compare_fn compare)
{
	return tsearch(key, &tree->root, compare);
}

void *eu_tdelete(const void *key, struct elf_tree *tree, compare_fn compare)
{
	return tdelete(key, &tree->root, compare);
}
