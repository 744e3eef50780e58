/* patch_commit: the requests that bring a patch into the process: PREPARE, COMMIT, CONFIRM, ABORT. See patch.h. */
#include "patch.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "handlers.h"
#include "running.h"

#define DAY_MS 86400000U

static void journal(const struct msg_in *request, const char *result)
{
	journal_add(msg__str(request, PROTO_F_WHO, "?"), msg__str(request, PROTO_F_COMMAND, "?"),
		    msg__str(request, PROTO_F_SOURCE_HASH, NULL), result);
}

/* What `running` is to look for: the old codes, which it knows by the targets' names. NULL: no memory. */
static struct running_targets *targets_of(const struct patch *p)
{
	struct running_targets *t = running__new();

	for (size_t i = 0; t && i < p->n; i++) {
		const struct change *c = &p->changes[i];

		if (c->item && running__add(t, c->code, c->target, c->nested ? NULL : c->item->function)) {
			running__free(t);
			return NULL;
		}
	}
	return t;
}

int handle_prepare(const struct msg_in *request, struct msg_out *answer)
{
	uint64_t begun = patch__clock(CLOCK_MONOTONIC);
	struct running_targets *t;
	struct patch *p;
	int err;

	if (patch__by_token(request))
		return fail(answer, PROTO_E_BAD, "a patch with this token is here already");
	if (patch_count() >= PROTO_PATCHES_MAX)
		return fail(answer, PROTO_E_REFUSED, "%d patches are applied, more there cannot be", PROTO_PATCHES_MAX);
	err = patch__make(request, &p, answer);
	if (err) {
		journal(request, "refused: it could not be prepared");
		return err;
	}
	patch__add(p);
	/* Imported now, if at all, and not when the change is made. */
	py.Py_DecRef(py.PyImport_ImportModule("linecache"));
	py.PyErr_Clear();
	patch__put_changes(p, answer, PUT_PREPARED);
	msg__put_bytes(answer, PROTO_F_TOKEN, MSG_BYTES, p->token, TOKEN_SIZE);
	msg__put_u64(answer, PROTO_F_HOLD_US, (patch__clock(CLOCK_MONOTONIC) - begun) / 1000);
	t = targets_of(p);
	if (t)
		running__report(t, p->scan, answer);
	running__free(t);
	return 0;
}

/* The sentence names the first of those that the answer lists. */
static int in_the_way(struct msg_out *answer)
{
	struct msg_in said = { .data = answer->data, .len = answer->len }, one;
	char name[256] = "somebody";
	struct msg_field f;

	if (msg__find(&said, PROTO_F_RUNNING, MSG_GROUP, &f)) {
		one = msg__group(&f);
		snprintf(name, sizeof(name), "%s %.100s in %.100s", msg__str(&one, PROTO_F_KIND, "somebody"),
			 msg__str(&one, PROTO_F_NAME, "without a name"), msg__str(&one, PROTO_F_TARGET, "a target"));
	}
	return fail(answer, PROTO_E_BUSY, "there was somebody inside all the time (%s); nothing was changed", name);
}

static int wait_quiescent(struct running_targets *t, uint64_t ms, struct msg_out *answer)
{
	int err = running__wait_quiescent(t, patch__clock(CLOCK_MONOTONIC) + ms % DAY_MS * 1000000, answer);

	if (err == -EBUSY)
		return in_the_way(answer);
	return err ? fail(answer, PROTO_E_FAILED, "it could not be found out who is inside; nothing was changed") : 0;
}

/* From here to the end of the change nobody else has the GIL, unless an audit hook gives it away. */
static int commit(struct patch *p, struct msg_out *answer)
{
	uint64_t begun = patch__clock(CLOCK_MONOTONIC);
	int err = patch__refresh(p, answer);

	if (!err && patch__apply(p)) {
		err = fail_python(answer, PROTO_E_FAILED, "the change failed half way, and all is as it was");
		journal_add(p->who, p->command, p->source_hash, "failed: all is as it was");
	}
	if (err)
		return err;
	msg__put_u64(answer, PROTO_F_HOLD_US, (patch__clock(CLOCK_MONOTONIC) - begun) / 1000);
	patch__applied(p, begun);
	msg__put_u64(answer, PROTO_F_ID, p->id);
	journal_add(p->who, p->command, p->source_hash, p->lease_ns ? "applied, to be confirmed" : "applied");
	return 0;
}

int handle_commit(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = patch__by_token(request);
	uint64_t quiescent = msg__u64(request, PROTO_F_QUIESCENT_MS, UINT64_MAX);
	struct running_targets *t;
	bool gc;
	int err;

	if (!p || p->state != PATCH_PREPARED)
		return fail(answer, PROTO_E_NO_TARGET, "nothing with this token was prepared");
	p->lease_ns = msg__u64(request, PROTO_F_LEASE_MS, 0) % DAY_MS * 1000000;
	t = targets_of(p);
	if (!t)
		return fail(answer, PROTO_E_FAILED, "out of memory");
	err = quiescent != UINT64_MAX ? wait_quiescent(t, quiescent, answer) : 0;
	/* No finaliser may give the GIL away from here on. */
	gc = running__gc_pause();
	if (!err)
		err = commit(p, answer);
	running__gc_resume(gc);
	/* Who had entered the old code is still there. */
	if (!err)
		running__report(t, p->scan, answer);
	running__free(t);
	return err;
}

int handle_confirm(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = patch__by_token(request);

	if (!p || !patch__is_on(p))
		return fail(answer, PROTO_E_NO_TARGET, "no patch with this token is applied any more");
	if (p->state == PATCH_LEASED)
		journal_add(p->who, p->command, p->source_hash, "confirmed");
	p->state = PATCH_APPLIED;
	p->lease_until = 0;
	return 0;
}

int handle_abort(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = patch__by_token(request);
	int err = 0;

	if (!p)
		return 0;
	if (p->state == PATCH_PREPARED)
		patch__forget(p);
	else if (p->state == PATCH_LEASED)
		err = patch__end(p, PATCH_REVERTED, "given up before it was confirmed", answer);
	else if (p->state == PATCH_APPLIED)
		err = fail(answer, PROTO_E_REFUSED, "it was confirmed already: revert it");
	patch__trim();
	return err;
}
