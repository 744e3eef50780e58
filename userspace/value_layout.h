/* value_layout: what the BPF programs need to know of the objects of a build. */
#ifndef PYLU_VALUE_LAYOUT_H
#define PYLU_VALUE_LAYOUT_H

struct elf_file;
struct layout;
struct wire_value_layout;

/* From the layout of a build and its file. What the version lacks is OFF_NONE; without PyCell_Type in the file, cells are
 * not looked into. */
void value_layout__fill(const struct layout *l, const struct elf_file *elf, struct wire_value_layout *out);

#endif
