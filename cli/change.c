/* change: see change.h. */
#include "change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "answer.h"
#include "change_text.h"
#include "diag.h"
#include "proto.h"
#include "report.h"

#define LEASE_MS 10000
#define QUIESCENT_MS 10000 /* of `--when quiescent` without a time */
#define ROUNDS_MAX 100	   /* a program that forks faster than we look is told so */

const struct opt change_opts_table[] = {
	OPT_INCLUDE(peer_opts_table, offsetof(struct change_opts, peers)),
	{ 0, "when", "WHEN", "now, or quiescent[:SECONDS]: when no target runs (default: now)", OPT_STRING,
	  offsetof(struct change_opts, when) },
	{ 0, "ttl", "TIME", "take it back by itself after this time: 45s, 10m, 1h30m", OPT_PERIOD,
	  offsetof(struct change_opts, ttl_ms) },
	{ 0, "revert-on-errors", "N", "take it back when it has raised N times", OPT_COUNT,
	  offsetof(struct change_opts, errors_max) },
	{ 0, "except", "TYPE", "exceptions that are not counted as errors; may be repeated", OPT_LIST,
	  offsetof(struct change_opts, except) },
	{ 0, "count", NULL, "count calls and errors, which costs a little with each call", OPT_FLAG,
	  offsetof(struct change_opts, count) },
	{ 0, "scan", NULL, "look through all objects for generators and functions that keep the old code", OPT_FLAG,
	  offsetof(struct change_opts, scan) },
	{ 0, "force", NULL, "change signature or kind (plain, generator, coroutine) too", OPT_FLAG,
	  offsetof(struct change_opts, force) },
	{ 0, "partial", NULL, "keep it where it can be done when a process refuses", OPT_FLAG,
	  offsetof(struct change_opts, partial) },
	{ 0, "dry-run", NULL, "prepare and show what would be done, and do not do it", OPT_FLAG,
	  offsetof(struct change_opts, dry_run) },
	{ 0 },
};

int change_opts__check(const struct command *cmd, struct change_opts *o)
{
	static const char quiescent[] = "quiescent";
	const char *more;

	if (o->when && !strncmp(o->when, quiescent, strlen(quiescent))) {
		more = o->when + strlen(quiescent);
		o->quiescent = true;
		o->quiescent_ms = QUIESCENT_MS;
		if (*more && (*more != ':' || !opt_period(more + 1, &o->quiescent_ms)))
			return opt__usage(cmd, "--when takes now, quiescent or quiescent:SECONDS, not '%s'", o->when);
	} else if (o->when && strcmp(o->when, "now") != 0) {
		return opt__usage(cmd, "--when takes now, quiescent or quiescent:SECONDS, not '%s'", o->when);
	}
	if (o->except.n && !o->errors_max && !o->count)
		return opt__usage(cmd, "--except goes with --revert-on-errors or --count");
	return peer_opts__check(cmd, &o->peers);
}

enum stage { STAGE_NONE, STAGE_PREPARED, STAGE_COMMITTED, STAGE_CONFIRMED };

/* One run of it. */
struct run {
	const struct change *c;
	struct report report;
	struct peers peers;
	uint8_t token[16];
	char token_text[33];
};

static struct msg_out request(const struct run *r)
{
	struct msg_out m = { 0 };

	msg__put_bytes(&m, PROTO_F_TOKEN, MSG_BYTES, r->token, sizeof(r->token));
	return m;
}

static void rename_member(json_t *object, const char *from, const char *to)
{
	json_t *value = json_object_get(object, from);

	if (value)
		json_object_set(object, to, value);
	json_object_del(object, from);
}

static bool prepare(struct run *r, struct peer *peer)
{
	const struct change_opts *o = r->c->opts;
	struct msg_out m = request(r);
	bool ok;

	peer_put_who(&m, r->c->argc, r->c->argv);
	if (o->ttl_ms)
		msg__put_u64(&m, PROTO_F_TTL_MS, o->ttl_ms);
	if (o->errors_max)
		msg__put_u64(&m, PROTO_F_ERRORS_MAX, o->errors_max);
	for (size_t i = 0; i < o->except.n; i++)
		msg__put_str(&m, PROTO_F_EXCEPT, o->except.items[i]);
	if (o->count)
		msg__put_u64(&m, PROTO_F_COUNT, 1);
	if (o->force)
		msg__put_u64(&m, PROTO_F_FORCE, 1);
	if (o->scan)
		msg__put_u64(&m, PROTO_F_SCAN, 1);
	ok = r->c->make(&r->peers, peer, r->c->ctx, &m) &&
	     peer__ask(&r->peers, peer, PROTO_PREPARE, &m, 1000 * PROTO_BODY_SECONDS, NULL);
	msg__free(&m);
	if (!ok)
		return false;
	peer->stage = STAGE_PREPARED;
	if (r->c->prepared)
		r->c->prepared(peer, r->c->ctx);
	return !peer->failed;
}

static bool commit(struct run *r, struct peer *peer)
{
	const struct change_opts *o = r->c->opts;
	struct msg_out m = request(r);
	bool ok;

	/* Who is inside is said as it is at the change itself. */
	json_object_del(peer->out, "running");
	rename_member(peer->out, "gil_wait_us", "prepare_gil_wait_us");
	rename_member(peer->out, "hold_us", "prepare_hold_us");
	if (o->quiescent)
		msg__put_u64(&m, PROTO_F_QUIESCENT_MS, o->quiescent_ms);
	/* The first one's lease has to last until the last one is confirmed. */
	msg__put_u64(&m, PROTO_F_LEASE_MS, LEASE_MS + r->peers.n * (o->quiescent ? o->quiescent_ms : 0));
	ok = peer__ask(&r->peers, peer, PROTO_COMMIT, &m, o->quiescent ? o->quiescent_ms : 0, NULL);
	msg__free(&m);
	if (ok)
		peer->stage = STAGE_COMMITTED;
	return ok;
}

/* Takes back everywhere what is prepared or committed; what went wrong there is the lease's business. */
static void abort_all(struct run *r)
{
	for (size_t i = 0; i < r->peers.n; i++) {
		struct peer *peer = &r->peers.items[i];
		struct msg_out m = request(r);

		if (peer->link && peer->stage == STAGE_CONFIRMED) {
			peer_put_who(&m, r->c->argc, r->c->argv);
			peer__tell(&r->peers, peer, PROTO_REVERT, &m);
		} else if (peer->link && peer->stage != STAGE_NONE) {
			peer__tell(&r->peers, peer, PROTO_ABORT, &m);
		}
		peer->stage = STAGE_NONE;
		msg__free(&m);
	}
}

/* One step for all that have come so far and take part. False when it is to be given up. */
static bool each(struct run *r, enum stage from, bool (*step)(struct run *r, struct peer *peer))
{
	bool ok = true;

	for (size_t i = 0; i < r->peers.n; i++) {
		struct peer *peer = &r->peers.items[i];

		if (peer->failed)
			ok = false;
		else if (!peer->skipped && (enum stage)peer->stage == from)
			ok &= step(r, peer) || peer->skipped;
		if (report__has_error(r->report.root))
			return false;
		/* All that refuse are named; but nothing more is changed. */
		if (!ok && !r->c->opts->partial && from != STAGE_NONE)
			break;
	}
	return ok || r->c->opts->partial;
}

/* A child forked meanwhile has what its parent had: then there is nothing to do but to say so. */
static bool inherited(struct run *r, struct peer *peer)
{
	const json_t *list, *patch;
	bool found = false;
	size_t i;

	if (peer->failed || !peer__ask(&r->peers, peer, PROTO_LS, &(struct msg_out){ 0 }, 0, NULL))
		return false;
	list = json_object_get(peer->out, "patches");
	json_array_foreach(list, i, patch)
	{
		const char *state = answer_text(patch, "state", "");

		if (strcmp(answer_text(patch, "token", ""), r->token_text) != 0 ||
		    (strcmp(state, "applied") != 0 && strcmp(state, "leased") != 0))
			continue;
		json_object_set(peer->out, "id", json_object_get(patch, "id"));
		json_object_set(peer->out, "changes", json_object_get(patch, "changes"));
		json_object_set_new(peer->out, "inherited", json_true());
		peer->stage = STAGE_COMMITTED;
		found = true;
		break;
	}
	json_object_del(peer->out, "patches");
	return found;
}

/* Until nothing new is found. */
static bool follow_forks(struct run *r)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		const size_t before = r->peers.n;

		if (!peers__add_new(&r->peers))
			return true;
		for (size_t i = before; i < r->peers.n; i++)
			inherited(r, &r->peers.items[i]);
		if (!each(r, STAGE_NONE, prepare) || !each(r, STAGE_PREPARED, commit))
			return false;
	}
	report__error(r->report.root, 1, "processes are forked faster than they can be changed", NULL, NULL);
	return r->c->opts->partial;
}

static bool confirm(struct run *r, struct peer *peer)
{
	struct msg_out m = request(r);
	const bool ok = peer__ask(&r->peers, peer, PROTO_CONFIRM, &m, 0, NULL);

	msg__free(&m);
	if (ok)
		peer->stage = STAGE_CONFIRMED;
	return ok;
}

static bool all_steps(struct run *r)
{
	const bool dry = r->c->opts->dry_run;
	size_t part = 0;

	if (!each(r, STAGE_NONE, prepare))
		return false;
	for (size_t i = 0; i < r->peers.n; i++)
		part += r->peers.items[i].stage == STAGE_PREPARED;
	if (!part) {
		if (!peers__failed(&r->peers))
			report__error(r->report.root, 1, "there is no process left to change", NULL, NULL);
		return false;
	}
	return dry || (each(r, STAGE_PREPARED, commit) && follow_forks(r) && each(r, STAGE_COMMITTED, confirm));
}

/* How it is taken back: by the process's own number, or by the token where several have it. */
static void put_take_back(struct run *r, const struct peer *changed, size_t n)
{
	char names[1024];

	if (!n)
		return;
	if (n == 1 && r->peers.n == 1)
		json_object_set_new(r->report.root, "take_back",
				    json_sprintf("pylu-cli revert -p %d %d", (int)changed->pid,
						 (int)answer_number(changed->out, "id", 0)));
	else
		json_object_set_new(r->report.root, "take_back",
				    json_sprintf("pylu-cli revert %s %.8s",
						 peer_opts__text(&r->c->opts->peers, names, sizeof(names)),
						 r->token_text));
}

/* What became of each. */
static void conclude(struct run *r, bool ok)
{
	const struct peer *last = NULL;
	size_t changed = 0;

	json_object_set_new(r->report.root, "token", json_string(r->token_text));
	json_object_set_new(r->report.root, "dry_run", json_boolean(r->c->opts->dry_run));
	for (size_t i = 0; i < r->peers.n; i++) {
		const struct peer *peer = &r->peers.items[i];
		const bool done = ok && !peer->failed && peer->stage == STAGE_CONFIRMED;
		const char *outcome = peer->skipped					     ? "skipped"
				      : done						     ? "changed"
				      : ok && !peer->failed && peer->stage == STAGE_PREPARED ? "prepared"
											     : "unchanged";

		json_object_set_new(peer->out, "outcome", json_string(outcome));
		changed += done;
		last = done ? peer : last;
	}
	put_take_back(r, last, changed);
}

int change__run(const struct change *c)
{
	struct run r = { .c = c };
	int status, err = report__open(&r.report, c->argv[0]);
	bool ok = false;

	if (!err && getrandom(r.token, sizeof(r.token), 0) != sizeof(r.token))
		report__failed(&r.report, r.report.root, -errno);
	for (size_t i = 0; i < sizeof(r.token); i++)
		snprintf(r.token_text + 2 * i, 3, "%02x", r.token[i]);
	if (!err && !report__has_error(r.report.root) && peers__open(&r.peers, &r.report, &c->opts->peers)) {
		ok = all_steps(&r);
		conclude(&r, ok);
		if (!ok || c->opts->dry_run)
			abort_all(&r);
	}
	peers__close(&r.peers);
	status = err ? diag_exit_status(err) : report__write(&r.report, c->opts->peers.format, change_text);
	report__close(&r.report);
	return status;
}
