/* patch_revert: REVERT, and taking all back for DETACH. See patch.h. */
#include "patch.h"

#include <string.h>

#include "handlers.h"

static bool is_named(const struct msg_in *request, const struct patch *p)
{
	struct msg_in rest = *request;
	struct msg_field f;

	while (msg__next(&rest, &f))
		if ((f.id == PROTO_F_ID && f.type == MSG_U64 && f.u64 == p->id) ||
		    (f.id == PROTO_F_ALL && f.type == MSG_U64 && f.u64) ||
		    (f.id == PROTO_F_TOKEN && f.type == MSG_BYTES && f.len == TOKEN_SIZE &&
		     !memcmp(f.data, p->token, TOKEN_SIZE)))
			return true;
	return false;
}

/* An applied patch that lies on p and is not named, or NULL. */
static const struct patch *left_above(const struct msg_in *request, const struct patch *p)
{
	for (const struct patch *q = patch__first(); q && q != p; q = q->next)
		if (patch__is_on(q) && patch__meet(p, q) && !is_named(request, q))
			return q;
	return NULL;
}

/* Whether all that is named can be taken back. 0, or a code. */
static int check_named(const struct msg_in *request, struct msg_out *answer)
{
	struct msg_in rest = *request;
	struct msg_field f;
	const struct patch *top, *named;

	while (msg__next(&rest, &f)) {
		if (f.id != PROTO_F_ID || f.type != MSG_U64)
			continue;
		named = patch__by_id(f.u64);
		if (!named)
			return fail(answer, PROTO_E_NO_TARGET, "there is no patch %llu", (unsigned long long)f.u64);
		if (!patch__is_on(named))
			return fail(answer, PROTO_E_NO_TARGET, "patch %llu is not applied any more",
				    (unsigned long long)f.u64);
	}
	for (const struct patch *p = patch__first(); p; p = p->next) {
		top = patch__is_on(p) && is_named(request, p) ? left_above(request, p) : NULL;
		if (top)
			return fail(
				answer, PROTO_E_REFUSED,
				"patch %llu lies under patch %llu, which changed the same later: name both, or that "
				"first",
				(unsigned long long)p->id, (unsigned long long)top->id);
	}
	return 0;
}

static int revert(const struct msg_in *request, const char *who, struct msg_out *answer)
{
	unsigned n = 0;
	int err = check_named(request, answer);

	for (struct patch *p = patch__first(); !err && p; p = p->next) {
		if (!patch__is_on(p) || !is_named(request, p))
			continue;
		for (size_t i = 0; i < p->n; i++)
			patch__put_moved(&p->changes[i], answer);
		err = patch__end(p, PATCH_REVERTED, who, answer);
		if (!err)
			patch__put(p, answer);
		n++;
	}
	if (!err && !n && !msg__u64(request, PROTO_F_ALL, 0))
		err = fail(answer, PROTO_E_NO_TARGET, "no such patch is applied");
	return err;
}

int handle_revert(const struct msg_in *request, struct msg_out *answer)
{
	const char *who = msg__str(request, PROTO_F_WHO, "?");
	int err = revert(request, who, answer);

	if (err)
		journal_add(who, msg__str(request, PROTO_F_COMMAND, "revert"), NULL,
			    "refused, or not all was taken back");
	patch__trim();
	return err;
}

int patch_revert_all(const char *who, struct msg_out *answer)
{
	int err = 0;

	for (struct patch *p = patch__first(); !err && p; p = p->next)
		if (patch__is_on(p))
			err = patch__end(p, PATCH_REVERTED, who, answer);
	patch__trim();
	return err;
}
