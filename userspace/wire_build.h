/* wire_build: a build's offsets and addresses in the form that the BPF programs read. */
#ifndef PYLU_WIRE_BUILD_H
#define PYLU_WIRE_BUILD_H

#include "skel.h"

struct elf_file;
struct layout;
struct opmap;

/* `index` is that of `b` among the programs' builds. 0, or -DIAG_NO_SITE, reported: the file does not export what is needed. */
int wire_build__fill(struct wire_build *b, uint32_t index, const struct layout *layout, const struct opmap *opmap,
		     const struct elf_file *elf);

#endif
