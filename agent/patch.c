/* patch: the patches of this process: what is asked about them, and what they do by themselves (ttl, lease, errors). */
#include "patch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "handlers.h"
#include "running.h"

static struct patch *patches; /* the newest first */
static uint64_t last_id;
static _Atomic unsigned applied;

static uint64_t clock_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool is_on(const struct patch *p)
{
	return p->state == PATCH_APPLIED || p->state == PATCH_LEASED;
}

static void free_change(struct change *c)
{
	free(c->target);
	free(c->module);
	free(c->original);
	py__clear(&c->item.function);
	py__clear(&c->item.gate);
	swap_side__free(&c->item.old);
	swap_side__free(&c->item.new);
	py__clear(&c->holder);
	py__clear(&c->name);
	py__clear(&c->value);
	py__clear(&c->before);
}

void patch__free(struct patch *p)
{
	for (size_t i = 0; p->changes && i < p->n; i++)
		free_change(&p->changes[i]);
	free(p->changes);
	py__clear(&p->file);
	py__clear(&p->source);
	free(p->who);
	free(p->command);
	free(p->source_hash);
	free(p->why);
	for (unsigned i = 0; i < EXCEPT_MAX; i++)
		free(p->except[i]);
	free(p);
}

static int put_value(const struct change *c, bool back)
{
	if (!back)
		return py.PyObject_SetAttr(c->holder, c->name, c->value);
	return py.PyObject_SetAttr(c->holder, c->name, c->before); /* NULL deletes */
}

/* All changes of a patch; what was done is undone when one fails. */
static int exchange(struct patch *p, bool back)
{
	struct swap_item *items = calloc(p->n, sizeof(*items));
	PyObject *type, *value, *traceback;
	size_t n = 0, done = 0;
	int err = items ? 0 : -1;

	if (!items)
		py.PyErr_NoMemory();
	for (size_t i = 0; !err && i < p->n; i++)
		if (p->changes[i].kind == CHANGE_REDEFINE)
			items[n++] = p->changes[i].item;
	for (; !err && done < p->n; done++)
		if (p->changes[done].kind != CHANGE_REDEFINE && put_value(&p->changes[done], back)) {
			err = -1;
			break;
		}
	if (!err && n)
		err = swap_all(items, n, back);
	if (err) {
		py.PyErr_Fetch(&type, &value, &traceback);
		while (done--)
			if (p->changes[done].kind != CHANGE_REDEFINE && put_value(&p->changes[done], !back))
				py.PyErr_Clear();
		py.PyErr_Restore(type, value, traceback);
	}
	/* The copies were made in the array. */
	for (size_t i = 0, k = 0; items && i < p->n; i++)
		if (p->changes[i].kind == CHANGE_REDEFINE && k < n)
			p->changes[i].item = items[k++];
	free(items);
	return err;
}

/* Puts the source where traceback and inspect look for it, or takes it away. */
static void tell_linecache(const struct patch *p, bool on)
{
	PyObject *module = py.PyImport_ImportModule("linecache"), *cache = NULL, *lines = NULL, *entry = NULL;

	if (module && p->file && p->source)
		cache = py.PyObject_GetAttrString(module, "cache");
	if (cache && on) {
		lines = py.PyObject_CallMethod(p->source, "splitlines", "i", 1);
		if (lines)
			entry = py.Py_BuildValue("(nOOO)", py.PyUnicode_GetLength(p->source), py.none, lines, p->file);
		if (entry)
			py.PyObject_SetItem(cache, p->file, entry);
	} else if (cache) {
		py.PyObject_DelItem(cache, p->file);
	}
	py.PyErr_Clear();
	py.Py_DecRef(entry);
	py.Py_DecRef(lines);
	py.Py_DecRef(cache);
	py.Py_DecRef(module);
}

int patch__apply(struct patch *p)
{
	bool gc = running__gc_pause();
	int err = exchange(p, false);

	running__gc_resume(gc);
	if (!err)
		tell_linecache(p, true);
	return err;
}

int patch__take_back(struct patch *p)
{
	bool gc = running__gc_pause();
	int err = exchange(p, true);

	running__gc_resume(gc);
	return err;
}

static struct patch *by_token(const struct msg_in *request)
{
	struct msg_field f;

	if (!msg__find(request, PROTO_F_TOKEN, MSG_BYTES, &f) || f.len != TOKEN_SIZE)
		return NULL;
	for (struct patch *p = patches; p; p = p->next)
		if (!memcmp(p->token, f.data, TOKEN_SIZE))
			return p;
	return NULL;
}

static struct patch *by_id(uint64_t id)
{
	for (struct patch *p = patches; p; p = p->next)
		if (p->id && p->id == id)
			return p;
	return NULL;
}

static void forget(struct patch *gone)
{
	for (struct patch **at = &patches; *at; at = &(*at)->next)
		if (*at == gone) {
			*at = gone->next;
			patch__free(gone);
			return;
		}
}

static void put_changes(const struct patch *p, struct msg_out *m, bool originals)
{
	static const char *const kinds[] = { "redefine", "add", "set" };

	for (size_t i = 0; i < p->n; i++) {
		const struct change *c = &p->changes[i];
		size_t at = msg__open(m, PROTO_F_CHANGE);

		msg__put_str(m, PROTO_F_CHANGE_KIND, kinds[c->kind]);
		msg__put_str(m, PROTO_F_TARGET, c->target);
		msg__put_str(m, PROTO_F_MODULE, c->module);
		msg__put_u64(m, PROTO_F_LINE, c->line);
		msg__put_u64(m, PROTO_F_LAST_LINE, c->last_line);
		if (originals)
			msg__put_str(m, PROTO_F_ORIGINAL, c->original);
		msg__close(m, at);
	}
}

static void put_patch(const struct patch *p, struct msg_out *m)
{
	static const char *const states[] = { "prepared", "leased", "applied", "reverted", "expired" };
	uint64_t now = clock_of(CLOCK_MONOTONIC);
	size_t at = msg__open(m, PROTO_F_PATCH);

	msg__put_u64(m, PROTO_F_ID, p->id);
	msg__put_bytes(m, PROTO_F_TOKEN, MSG_BYTES, p->token, TOKEN_SIZE);
	msg__put_str(m, PROTO_F_STATE, states[p->state]);
	put_changes(p, m, false);
	msg__put_str(m, PROTO_F_WHO, p->who);
	msg__put_str(m, PROTO_F_COMMAND, p->command);
	msg__put_str(m, PROTO_F_SOURCE_HASH, p->source_hash);
	msg__put_u64(m, PROTO_F_APPLIED_NS, p->applied_ns);
	if (p->reverted_ns)
		msg__put_u64(m, PROTO_F_REVERTED_NS, p->reverted_ns);
	msg__put_str(m, PROTO_F_WHY, p->why);
	if (p->counting) {
		msg__put_u64(m, PROTO_F_CALLS, atomic_load(&p->calls));
		msg__put_u64(m, PROTO_F_ERRORS, atomic_load(&p->errors));
	}
	if (p->errors_max)
		msg__put_u64(m, PROTO_F_ERRORS_MAX, p->errors_max);
	if (is_on(p) && p->ttl_until)
		msg__put_u64(m, PROTO_F_TTL_LEFT_MS, p->ttl_until > now ? (p->ttl_until - now) / 1000000 : 0);
	msg__close(m, at);
}

/* The functions of a patch as running looks for them: with the code that they have now. */
static struct running_targets *targets_of(const struct patch *p)
{
	struct running_targets *t = running__new();

	for (size_t i = 0; t && i < p->n; i++) {
		const struct change *c = &p->changes[i];

		if (c->kind == CHANGE_REDEFINE && running__add(t, c->item.old.attrs[0], c->target, c->item.function)) {
			running__free(t);
			return NULL;
		}
	}
	return t;
}

int handle_prepare(const struct msg_in *request, struct msg_out *answer)
{
	struct running_targets *t;
	struct patch *p;
	int err;

	if (by_token(request))
		return fail(answer, PROTO_E_BAD, "a patch with this token is here already");
	err = patch__make(request, &p, answer);
	if (err) {
		journal_add(msg__str(request, PROTO_F_WHO, "?"), msg__str(request, PROTO_F_COMMAND, "?"),
			    msg__str(request, PROTO_F_SOURCE_HASH, NULL), "refused: it could not be prepared");
		return err;
	}
	p->next = patches;
	patches = p;
	p->scan = msg__u64(request, PROTO_F_SCAN, 0);
	put_changes(p, answer, false);
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

int handle_commit(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = by_token(request);
	uint64_t quiescent = msg__u64(request, PROTO_F_QUIESCENT_MS, UINT64_MAX);
	uint64_t lease = msg__u64(request, PROTO_F_LEASE_MS, 0) % 86400000, begun;
	struct running_targets *t;
	int err = 0;

	if (!p || p->state != PATCH_PREPARED)
		return fail(answer, PROTO_E_NO_TARGET, "nothing with this token was prepared");
	for (size_t i = 0; i < p->n; i++)
		if (p->changes[i].kind == CHANGE_REDEFINE &&
		    py.PyFunction_GetCode(p->changes[i].item.function) != p->changes[i].item.old.attrs[0])
			return fail(answer, PROTO_E_CHANGED, "'%s' was changed since this was prepared; try again",
				    p->changes[i].target);
	t = targets_of(p);
	if (t && quiescent != UINT64_MAX)
		err = running__wait_quiescent(t, clock_of(CLOCK_MONOTONIC) + quiescent % 86400000 * 1000000, answer);
	if (t && !err)
		running__report(t, p->scan, answer);
	running__free(t);
	if (err == -EBUSY)
		return in_the_way(answer);
	if (err)
		return fail(answer, PROTO_E_FAILED, "it could not be found out who is inside; nothing was changed");
	begun = clock_of(CLOCK_MONOTONIC);
	if (patch__apply(p)) {
		journal_add(p->who, p->command, p->source_hash, "failed: all is as it was");
		return fail_python(answer, PROTO_E_FAILED, "the change failed half way, and all is as it was");
	}
	msg__put_u64(answer, PROTO_F_HOLD_US, (clock_of(CLOCK_MONOTONIC) - begun) / 1000);
	p->id = ++last_id;
	p->state = lease ? PATCH_LEASED : PATCH_APPLIED;
	p->lease_until = lease ? begun + lease * 1000000 : 0;
	p->ttl_until = p->ttl_ns ? begun + p->ttl_ns : 0;
	p->applied_ns = clock_of(CLOCK_REALTIME);
	atomic_fetch_add(&applied, 1);
	msg__put_u64(answer, PROTO_F_ID, p->id);
	journal_add(p->who, p->command, p->source_hash, lease ? "applied, to be confirmed" : "applied");
	return 0;
}

int handle_confirm(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = by_token(request);

	if (!p || !is_on(p))
		return fail(answer, PROTO_E_NO_TARGET, "no patch with this token is applied any more");
	if (p->state == PATCH_LEASED)
		journal_add(p->who, p->command, p->source_hash, "confirmed");
	p->state = PATCH_APPLIED;
	p->lease_until = 0;
	return 0;
}

/* The applied patch that lies on one of p's functions, above it; NULL when p is on top everywhere. */
static const struct patch *above(const struct patch *p)
{
	for (const struct patch *q = patches; q && q != p; q = q->next) {
		if (!is_on(q))
			continue;
		for (size_t i = 0; i < p->n; i++)
			for (size_t k = 0; k < q->n; k++)
				if (p->changes[i].kind == CHANGE_REDEFINE && q->changes[k].kind == CHANGE_REDEFINE &&
				    p->changes[i].item.function == q->changes[k].item.function)
					return q;
	}
	return NULL;
}

/* 0, or a code with the sentence put. */
static int take_back(struct patch *p, enum patch_state state, const char *why, struct msg_out *answer)
{
	if (patch__take_back(p)) {
		journal_add(why, p->command, p->source_hash, "failed to be taken back");
		return fail_python(answer, PROTO_E_FAILED, "patch %llu could not be taken back",
				   (unsigned long long)p->id);
	}
	p->state = state;
	p->reverted_ns = clock_of(CLOCK_REALTIME);
	p->why = strdup(why);
	p->lease_until = p->ttl_until = 0;
	atomic_fetch_sub(&applied, 1);
	journal_add(why, p->command, p->source_hash, "taken back");
	return 0;
}

int handle_abort(const struct msg_in *request, struct msg_out *answer)
{
	struct patch *p = by_token(request);
	int err = 0;

	if (!p)
		return 0;
	if (p->state == PATCH_PREPARED)
		forget(p);
	else if (p->state == PATCH_LEASED)
		err = take_back(p, PATCH_REVERTED, "given up before it was confirmed", answer);
	else if (p->state == PATCH_APPLIED)
		err = fail(answer, PROTO_E_REFUSED, "it was confirmed already: revert it");
	return err;
}

int handle_ls(const struct msg_in *request, struct msg_out *answer)
{
	(void)request;
	for (uint64_t id = 1; id <= last_id; id++) {
		const struct patch *p = by_id(id);

		if (p)
			put_patch(p, answer);
	}
	return 0;
}

int handle_show(const struct msg_in *request, struct msg_out *answer)
{
	const struct patch *p = by_id(msg__u64(request, PROTO_F_ID, 0));
	char *file, *source;

	if (!p)
		p = by_token(request);
	if (!p)
		return fail(answer, PROTO_E_NO_TARGET, "there is no patch %llu",
			    (unsigned long long)msg__u64(request, PROTO_F_ID, 0));
	put_patch(p, answer);
	file = p->file ? py__text(p->file, 4096) : NULL;
	source = p->source ? py__text(p->source, PROTO_SOURCE_MAX) : NULL;
	msg__put_str(answer, PROTO_F_FILE, file);
	msg__put_str(answer, PROTO_F_SOURCE, source);
	free(source);
	free(file);
	put_changes(p, answer, true);
	return 0;
}

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

/* Whether all that is named can be taken back. 0, or a code. */
static int check_named(const struct msg_in *request, struct msg_out *answer)
{
	struct msg_in rest = *request;
	struct msg_field f;
	const struct patch *top;

	while (msg__next(&rest, &f))
		if (f.id == PROTO_F_ID && f.type == MSG_U64 && (!by_id(f.u64) || !is_on(by_id(f.u64))))
			return fail(answer, PROTO_E_NO_TARGET, "%s patch %llu%s", by_id(f.u64) ? "" : "there is no",
				    (unsigned long long)f.u64, by_id(f.u64) ? " is not applied any more" : "");
	for (const struct patch *p = patches; p; p = p->next) {
		top = is_on(p) && is_named(request, p) ? above(p) : NULL;
		if (top && !is_named(request, top))
			return fail(answer, PROTO_E_REFUSED,
				    "patch %llu lies under patch %llu, which changed the same function later: name "
				    "both, or that first",
				    (unsigned long long)p->id, (unsigned long long)top->id);
	}
	return 0;
}

int handle_revert(const struct msg_in *request, struct msg_out *answer)
{
	const char *who = msg__str(request, PROTO_F_WHO, "?");
	unsigned n = 0;
	int err = check_named(request, answer);

	for (struct patch *p = patches; !err && p; p = p->next) {
		if (!is_on(p) || !is_named(request, p))
			continue;
		err = take_back(p, PATCH_REVERTED, who, answer);
		if (!err)
			put_patch(p, answer);
		n++;
	}
	if (!err && !n && !msg__u64(request, PROTO_F_ALL, 0))
		err = fail(answer, PROTO_E_NO_TARGET, "no such patch is applied");
	return err;
}

int patch_revert_all(const char *who, struct msg_out *answer)
{
	int err = 0;

	for (struct patch *p = patches; !err && p; p = p->next)
		if (is_on(p))
			err = take_back(p, PATCH_REVERTED, who, answer);
	return err;
}

/* When p is to be taken back by itself, and why. */
static uint64_t due(const struct patch *p, const char **why)
{
	uint64_t at = UINT64_MAX;

	if (!is_on(p))
		return at;
	if (p->ttl_until) {
		at = p->ttl_until;
		*why = "its time was over";
	}
	if (p->lease_until && p->lease_until < at) {
		at = p->lease_until;
		*why = "it was not confirmed";
	}
	if (p->errors_max && atomic_load(&p->errors) >= p->errors_max) {
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

void patch_tick(void)
{
	struct msg_out unheard = { 0 };
	const char *why = "";

	for (struct patch *p = patches; p; p = p->next) {
		if (due(p, &why) > clock_of(CLOCK_MONOTONIC))
			continue;
		/* What lies above has to go first; it is newer, so it comes earlier in the list only when it is due too. */
		for (struct patch *q = patches; q != p; q = q->next)
			if (is_on(q) && above(p) == q)
				take_back(q, PATCH_EXPIRED, "the patch below it was taken back", &unheard);
		if (take_back(p, PATCH_EXPIRED, why, &unheard)) {
			/* An audit hook forbids it: not tried without end. */
			p->ttl_until = p->lease_until = p->errors_max = 0;
		}
	}
	msg__free(&unheard);
}

unsigned patch_count(void)
{
	return atomic_load(&applied);
}

void patch_after_fork(void)
{
	for (struct patch *p = patches, *next; p; p = next) {
		next = p->next;
		if (p->state == PATCH_PREPARED)
			forget(p);
	}
}
