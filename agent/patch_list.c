/* patch_list: what is told of patches: LS and SHOW, and the parts of other answers. See patch.h. */
#include "patch.h"

#include <stdlib.h>
#include <time.h>

#include "handlers.h"
#include "look.h"

void patch__put_moved(const struct change *c, struct msg_out *m)
{
	struct msg_out unheard = { 0 };
	struct resolved r;
	PyObject *now;

	if (c->item) {
		if (resolve(c->target, &r, &unheard) || r.function != c->item->function)
			msg__putf(m, PROTO_F_NOTE,
				  "'%s' is no longer the function that was changed (its module was loaded again, or "
				  "something else was put there): the patch is in the one that was there before",
				  c->target);
		else if (py.PyFunction_GetCode(r.function) != c->item->new.attrs[0] && !patch_on(r.function))
			msg__putf(m, PROTO_F_NOTE, "something else changed the code of '%s' meanwhile", c->target);
		resolve__free(&r);
		msg__free(&unheard);
	} else if (c->holder) {
		now = look__own(c->holder, c->name);
		if (now != c->value)
			msg__putf(m, PROTO_F_NOTE, "'%s' was %s meanwhile", c->target,
				  now ? "set to something else" : "deleted");
		py.Py_DecRef(now);
	}
}

void patch__put_changes(const struct patch *p, struct msg_out *m, enum put_what what)
{
	static const char *const kinds[] = { "redefine", "add", "set" };

	for (size_t i = 0; i < p->n; i++) {
		const struct change *c = &p->changes[i];
		struct msg_in said = { .data = c->said.data, .len = c->said.len };
		size_t at = msg__open(m, PROTO_F_CHANGE);
		struct msg_field f;

		msg__put_str(m, PROTO_F_CHANGE_KIND, kinds[c->kind]);
		msg__put_str(m, PROTO_F_TARGET, c->target);
		msg__put_str(m, PROTO_F_MODULE, c->module);
		msg__put_u64(m, PROTO_F_LINE, c->line);
		msg__put_u64(m, PROTO_F_LAST_LINE, c->last_line);
		while (what == PUT_PREPARED && msg__next(&said, &f)) {
			if (f.type == MSG_STR)
				msg__put_str(m, f.id, (const char *)f.data);
			else
				msg__put_bytes(m, f.id, f.type, f.data, f.len);
		}
		if (what != PUT_PREPARED && patch__is_on(p))
			patch__put_moved(c, m);
		if (what == PUT_SHOW)
			msg__put_str(m, PROTO_F_ORIGINAL, c->original);
		msg__close(m, at);
	}
}

void patch__put(const struct patch *p, struct msg_out *m)
{
	static const char *const states[] = { "prepared", "leased", "applied", "reverted", "expired" };
	uint64_t now = patch__clock(CLOCK_MONOTONIC);
	size_t at = msg__open(m, PROTO_F_PATCH);

	msg__put_u64(m, PROTO_F_ID, p->id);
	msg__put_bytes(m, PROTO_F_TOKEN, MSG_BYTES, p->token, TOKEN_SIZE);
	msg__put_str(m, PROTO_F_STATE, states[p->state]);
	patch__put_changes(p, m, PUT_LIST);
	msg__put_str(m, PROTO_F_WHO, p->who);
	msg__put_str(m, PROTO_F_COMMAND, p->command);
	msg__put_str(m, PROTO_F_SOURCE_HASH, p->source_hash);
	msg__put_u64(m, PROTO_F_APPLIED_NS, p->applied_ns);
	if (p->reverted_ns)
		msg__put_u64(m, PROTO_F_REVERTED_NS, p->reverted_ns);
	msg__put_str(m, PROTO_F_WHY, p->why);
	if (p->counting) {
		msg__put_u64(m, PROTO_F_CALLS, count__calls(p->counter));
		msg__put_u64(m, PROTO_F_ERRORS, count__errors(p->counter));
	}
	if (count__errors_max(p->counter))
		msg__put_u64(m, PROTO_F_ERRORS_MAX, count__errors_max(p->counter));
	if (patch__is_on(p) && p->ttl_until)
		msg__put_u64(m, PROTO_F_TTL_LEFT_MS, p->ttl_until > now ? (p->ttl_until - now) / 1000000 : 0);
	msg__close(m, at);
}

/* The oldest first. */
static void put_from(const struct patch *p, struct msg_out *m)
{
	const struct patch **all;
	size_t n = 0;

	for (const struct patch *q = p; q; q = q->next)
		n += q->id != 0;
	all = n ? malloc(n * sizeof(*all)) : NULL;
	if (n && !all) {
		m->failed = true;
		return;
	}
	n = 0;
	for (const struct patch *q = p; q; q = q->next)
		if (q->id)
			all[n++] = q;
	while (n--)
		patch__put(all[n], m);
	free(all);
}

int handle_ls(const struct msg_in *request, struct msg_out *answer)
{
	(void)request;
	put_from(patch__first(), answer);
	return 0;
}

int handle_show(const struct msg_in *request, struct msg_out *answer)
{
	uint64_t id = msg__u64(request, PROTO_F_ID, 0);
	const struct patch *p = id ? patch__by_id(id) : patch__by_token(request);
	char *file, *source;

	if (!p)
		return fail(answer, PROTO_E_NO_TARGET, "there is no patch %llu", (unsigned long long)id);
	patch__put(p, answer);
	file = p->file ? py__text(p->file, 4096) : NULL;
	source = p->source ? py__text(p->source, PROTO_SOURCE_MAX) : NULL;
	msg__put_str(answer, PROTO_F_FILE, file);
	msg__put_str(answer, PROTO_F_SOURCE, source);
	free(source);
	free(file);
	patch__put_changes(p, answer, PUT_SHOW);
	return 0;
}
