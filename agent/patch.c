/* patch: the patches of this process, and what they do by themselves (ttl, lease, errors). See patch.h. */
#include "patch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "handlers.h"

static struct patch *patches; /* the newest first */
static uint64_t last_id;
static _Atomic unsigned applied;

uint64_t patch__clock(int clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct patch *patch__first(void)
{
	return patches;
}

bool patch__is_on(const struct patch *p)
{
	return p->state == PATCH_APPLIED || p->state == PATCH_LEASED;
}

struct patch *patch__by_token(const struct msg_in *request)
{
	struct msg_field f;

	if (!msg__find(request, PROTO_F_TOKEN, MSG_BYTES, &f) || f.len != TOKEN_SIZE)
		return NULL;
	for (struct patch *p = patches; p; p = p->next)
		if (!memcmp(p->token, f.data, TOKEN_SIZE))
			return p;
	return NULL;
}

struct patch *patch__by_id(uint64_t id)
{
	for (struct patch *p = patches; p; p = p->next)
		if (p->id && p->id == id)
			return p;
	return NULL;
}

void patch__forget(struct patch *gone)
{
	for (struct patch **at = &patches; *at; at = &(*at)->next)
		if (*at == gone) {
			*at = gone->next;
			patch__free(gone);
			return;
		}
}

/* A client that died between PREPARE and COMMIT leaves what it had prepared. */
void patch__add(struct patch *p)
{
	struct patch *oldest = NULL;
	unsigned prepared = 0;

	for (struct patch *q = patches; q; q = q->next)
		if (q->state == PATCH_PREPARED) {
			prepared++;
			oldest = q;
		}
	if (prepared >= PREPARED_MAX)
		patch__forget(oldest);
	p->next = patches;
	patches = p;
}

/* The one that was applied last is to be the first in the list: others may have been prepared after it. */
void patch__applied(struct patch *p, uint64_t now)
{
	for (struct patch **at = &patches; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	p->next = patches;
	patches = p;
	p->id = ++last_id;
	p->state = p->lease_ns ? PATCH_LEASED : PATCH_APPLIED;
	p->lease_until = p->lease_ns ? now + p->lease_ns : 0;
	p->ttl_until = p->ttl_ns ? now + p->ttl_ns : 0;
	p->applied_ns = patch__clock(CLOCK_REALTIME);
	atomic_fetch_add(&applied, 1);
}

bool patch__meet(const struct patch *p, const struct patch *q)
{
	for (size_t i = 0; i < p->n_items; i++)
		for (size_t k = 0; k < q->n_items; k++)
			if (p->items[i].function == q->items[k].function)
				return true;
	for (size_t i = 0; i < p->n; i++)
		for (size_t k = 0; k < q->n; k++)
			if (p->changes[i].holder && p->changes[i].holder == q->changes[k].holder &&
			    !py.PyUnicode_Compare(p->changes[i].name, q->changes[k].name))
				return true;
	return false;
}

uint64_t patch_on(PyObject *function)
{
	for (const struct patch *p = patches; p; p = p->next)
		for (size_t i = 0; patch__is_on(p) && i < p->n_items; i++)
			if (p->items[i].function == function)
				return p->id;
	return 0;
}

void patch__ended(struct patch *p, enum patch_state state, const char *why)
{
	p->state = state;
	p->reverted_ns = patch__clock(CLOCK_REALTIME);
	p->why = strdup(why);
	p->lease_until = p->ttl_until = 0;
	atomic_fetch_sub(&applied, 1);
	journal_add(why, p->command, p->source_hash, "taken back");
}

int patch__end(struct patch *p, enum patch_state state, const char *why, struct msg_out *answer)
{
	if (patch__take_back(p)) {
		journal_add(why, p->command, p->source_hash, "failed to be taken back");
		return fail_python(answer, PROTO_E_FAILED, "patch %llu could not be taken back, and is as it was",
				   (unsigned long long)p->id);
	}
	patch__ended(p, state, why);
	return 0;
}

void patch__trim(void)
{
	struct patch *next;
	size_t n = 0, chars = 0;

	for (struct patch *p = patches; p; p = next) {
		next = p->next;
		if (p->state != PATCH_REVERTED && p->state != PATCH_EXPIRED)
			continue;
		patch__drop_objects(p);
		chars += p->source ? (size_t)py.PyUnicode_GetLength(p->source) : 0;
		if (++n > HISTORY_MAX || chars > HISTORY_CHARS)
			patch__forget(p);
	}
	py.PyErr_Clear();
}

/* When p is to be taken back by itself, and why. */
static uint64_t due(const struct patch *p, const char **why)
{
	uint64_t at = UINT64_MAX;

	if (!patch__is_on(p) || p->stuck)
		return at;
	if (p->ttl_until) {
		at = p->ttl_until;
		*why = "its time was over";
	}
	if (p->lease_until && p->lease_until < at) {
		at = p->lease_until;
		*why = "it was not confirmed";
	}
	if (count__is_over(p->counter)) {
		at = 0;
		*why = "it raised too often";
	}
	return at;
}

uint64_t patch_next_deadline(void)
{
	uint64_t at = UINT64_MAX, one;
	const char *why;

	for (const struct patch *p = patches; p; p = p->next) {
		one = due(p, &why);
		at = one < at ? one : at;
	}
	return at;
}

/* What lies on p goes first, the newest before all. 0, or a code. */
static int end_with_above(struct patch *p, const char *why, struct msg_out *unheard)
{
	int err = 0;

	for (struct patch *q = patches; !err && q != p; q = q->next)
		if (patch__is_on(q) && patch__meet(p, q))
			err = end_with_above(q, "the patch below it was taken back", unheard);
	return err ? err : patch__end(p, PATCH_EXPIRED, why, unheard);
}

void patch_tick(void)
{
	struct msg_out unheard = { 0 };
	const char *why = "";

	for (struct patch *p = patches; p; p = p->next)
		if (due(p, &why) <= patch__clock(CLOCK_MONOTONIC) && end_with_above(p, why, &unheard))
			p->stuck = true; /* an audit hook forbids it: not tried without end */
	msg__free(&unheard);
	patch__trim();
}

unsigned patch_count(void)
{
	return atomic_load(&applied);
}

void patch_after_fork(void)
{
	struct patch *next;

	patch__apply_after_fork();
	for (struct patch *p = patches; p; p = next) {
		next = p->next;
		if (p->state == PATCH_PREPARED)
			patch__forget(p);
	}
}
