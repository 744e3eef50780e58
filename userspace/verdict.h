/*
 * verdict: remembers which builds were proved, so that the next session need not start a trial child. One small file
 * that only its owner may read and write; checked when read, ignored when it is damaged or another's, replaced then by
 * the next proof, safe to delete. It keeps the last 128 proofs. What goes wrong with it costs time and nothing else.
 */
#ifndef PYLU_VERDICT_H
#define PYLU_VERDICT_H

#include <stdbool.h>

struct site_set;

/* Whether these sites of this build were proved on this kernel by this very pylu-bpf. Writes nothing. */
bool verdict_known(const char *build_id, const struct site_set *sites);

/* Remembers it; what cannot be written is not remembered, and that is no error. */
void verdict_store(const char *build_id, const struct site_set *sites);

#endif
