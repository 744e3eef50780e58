/* wire_values: what the BPF programs need to know of a build's objects, from its layout and its file. */
#ifndef PYLU_WIRE_VALUES_H
#define PYLU_WIRE_VALUES_H

struct elf_file;
struct layout;
struct wire_value_layout;

void wire_value_layout__fill(struct wire_value_layout *out, const struct layout *l, const struct elf_file *elf);

#endif
