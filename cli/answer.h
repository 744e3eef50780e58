/* answer: what an agent says, as a tree of json: the form in which pylu-cli's commands keep all that they show. */
#ifndef PYLU_ANSWER_H
#define PYLU_ANSWER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct msg_in;

/* Sets a member of `object` for each field of the message that is known, by proto.h's names in lower case; those that may occur
 * several times are arrays. What is no field ends it. False when memory ran out. */
bool answer__into(json_t *object, struct msg_in m);

/* Puts notes, an array or NULL, behind those that `object` has; each once. */
void answer_add_notes(json_t *object, const json_t *notes);

void answer_add_note(json_t *object, const char *note);

/* Members, for those who show them. The text or number of an absent one is `absent`; an absent list is empty. */
const char *answer_text(const json_t *object, const char *name, const char *absent);
uint64_t answer_number(const json_t *object, const char *name, uint64_t absent);

#endif
