/* change_text: what pylu-cli's commands say of patches, as text; from the report's tree. */
#ifndef PYLU_CHANGE_TEXT_H
#define PYLU_CHANGE_TEXT_H

#include <jansson.h>
#include <stdbool.h>

struct report;
struct sink;

/* A change that was made, or would be; with --dry-run its diffs too. */
void change_text(const struct report *r, const json_t *process, struct sink *s);
/* The patches of a process, a table. */
void change_text_list(const struct report *r, const json_t *process, struct sink *s);
/* The same after a revert. */
void change_text_reverted(const struct report *r, const json_t *process, struct sink *s);
/* All that is known of one patch, with its diffs. */
void change_text_show(const struct report *r, const json_t *process, struct sink *s);

/* Puts "diff" into each change of the list, made of its "original" and the part of `source` that it is in, and takes the original out. False: no memory. */
bool change_diffs(const json_t *changes, const char *source, const char *file);

#endif
