/* peers: see peers.h. */
#include "peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "diag.h"
#include "link.h"
#include "proto.h"
#include "target.h"
#include "user.h"

#define YOUNG_S 1

const struct opt peer_opts_table[] = {
	{ 'p', "pid", "PID[,PID...]", "these processes", OPT_PIDS, offsetof(struct peer_opts, pids) },
	{ 0, "tree", "PID[,PID...]", "these and all their descendants that are Python", OPT_PIDS,
	  offsetof(struct peer_opts, tree) },
	{ 0, "all", NULL, "all processes that have an agent", OPT_FLAG, offsetof(struct peer_opts, all) },
	{ 0, "timeout", "SECONDS", "wait so long for an agent's answer (default: 30)", OPT_SECONDS,
	  offsetof(struct peer_opts, timeout) },
	{ 'f', "format", "FORMAT", "text or json (default: text)", OPT_CHOICE, offsetof(struct peer_opts, format),
	  report_format },
	{ 0 },
};

int peer_opts__check(const struct command *cmd, const struct peer_opts *o)
{
	if (!!o->pids.n + !!o->tree.n + o->all != 1)
		return opt__usage(cmd, "name the processes by one of -p PID, --tree PID, or --all");
	return 0;
}

const char *peer_opts__text(const struct peer_opts *o, char *buf, size_t size)
{
	const struct opt_pids *pids = o->tree.n ? &o->tree : &o->pids;
	size_t len;

	if (o->all)
		snprintf(buf, size, "--all");
	else
		snprintf(buf, size, o->tree.n ? "--tree " : "-p ");
	for (size_t i = 0; !o->all && i < pids->n; i++) {
		len = strlen(buf);
		snprintf(buf + len, size - len, "%s%d", i ? "," : "", (int)pids->pids[i]);
	}
	return buf;
}

static unsigned timeout_ms(const struct peers *p)
{
	return (unsigned)((p->opts->timeout > 0 ? p->opts->timeout : PEER_TIMEOUT) * 1000);
}

static bool known(const struct peers *p, pid_t pid)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->items[i].pid == pid)
			return true;
	return false;
}

static struct peer *append(struct peers *p, pid_t pid)
{
	struct peer *peer;

	if (p->n == p->room) {
		const size_t room = p->room ? 2 * p->room : 16;
		struct peer *bigger = realloc(p->items, room * sizeof(*bigger));

		if (!bigger)
			return NULL;
		p->items = bigger;
		p->room = room;
	}
	peer = &p->items[p->n];
	*peer = (struct peer){ .pid = pid, .out = report__process(p->report, pid) };
	if (!peer->out)
		return NULL;
	p->n++;
	return peer;
}

/* Whether it is one, and whether it is so young that its agent may not have started, or that it is about to execute something else. */
static bool is_python(pid_t pid, bool *young)
{
	struct timespec now;
	struct target *t;
	const char *why;

	*young = false;
	if (target__probe(pid, &t, &why))
		return false;
	if (!clock_gettime(CLOCK_BOOTTIME, &now))
		*young = (double)now.tv_sec - (double)t->start_time / (double)sysconf(_SC_CLK_TCK) < YOUNG_S;
	target__close(t);
	return true;
}

/* 0, or a code that was reported; *none when this is no process for us. */
static int open_link(struct peers *p, pid_t pid, bool optional, struct link **link, bool *none)
{
	bool young = false;
	int err;

	do {
		if (young)
			nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		p->report->capture.error[0] = '\0';
		err = link__open(pid, timeout_ms(p), link);
		*none = err && optional && (err == -ESRCH || !is_python(pid, &young));
	} while (err == -DIAG_NO_AGENT && optional && !*none && young);
	return err;
}

/* With `optional` one that is no Python, or has ended, is none. 0 or -ENOMEM. */
static int add(struct peers *p, pid_t pid, bool optional)
{
	struct link *link = NULL;
	struct peer *peer;
	bool none;
	int err;

	if (known(p, pid))
		return 0;
	if (p->opts->all && !link_exists(pid))
		return 0;
	err = open_link(p, pid, optional, &link, &none);
	if (none) {
		p->report->capture.error[0] = '\0';
		return 0;
	}
	peer = append(p, pid);
	if (!peer) {
		link__close(link);
		return -ENOMEM;
	}
	peer->link = link;
	peer->optional = optional;
	if (err) {
		report__failed(p->report, peer->out, err);
		peer->failed = true;
	}
	return 0;
}

static int add_member(pid_t pid, void *ctx)
{
	return add(ctx, pid, true);
}

static int add_all(struct peers *p)
{
	int err = 0;

	if (p->opts->all)
		return target_for_each_pid(add_member, p);
	for (size_t i = 0; i < p->opts->tree.n && !err; i++)
		err = target_for_each_descendant(p->opts->tree.pids[i], add_member, p);
	return err;
}

bool peers__open(struct peers *p, struct report *r, const struct peer_opts *o)
{
	int err = 0;

	*p = (struct peers){ .report = r, .opts = o };
	for (size_t i = 0; i < o->pids.n && !err; i++)
		err = add(p, o->pids.pids[i], false);
	for (size_t i = 0; i < o->tree.n && !err; i++)
		err = add(p, o->tree.pids[i], false);
	if (!err)
		err = add_all(p);
	if (err)
		report__failed(r, r->root, err);
	else if (!p->n)
		report__error(r->root, 1, "no process that you may look at has an agent",
			      "`pylu-cli ps` lists Python processes; `attach` and `run` bring an agent into one.",
			      NULL);
	return !err && p->n;
}

size_t peers__add_new(struct peers *p)
{
	const size_t before = p->n;
	const int err = add_all(p);

	if (err)
		report__failed(p->report, p->report->root, err);
	return p->n - before;
}

bool peers__failed(const struct peers *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->items[i].failed)
			return true;
	return false;
}

void peers__close(struct peers *p)
{
	for (size_t i = 0; i < p->n; i++)
		link__close(p->items[i].link);
	free(p->items);
}

static int status_of(int code)
{
	return code == PROTO_E_UNKNOWN || code == PROTO_E_UNSUPPORTED ? 3 : 1;
}

void peer__skip(struct peer *peer, const char *why)
{
	json_object_set_new(peer->out, "skipped", json_string(why));
	peer->skipped = true;
}

void peer__fail(struct peer *peer, int status, const char *why)
{
	report__error(peer->out, status, why, NULL, NULL);
	peer->failed = true;
}

/* The agent's own words: it cannot know by which number we know its process. */
static void refused(struct peer *peer, const struct msg_in *answer)
{
	char text[4096];

	snprintf(text, sizeof(text), "process %d: %s", (int)peer->pid,
		 msg__str(answer, PROTO_F_ERROR, "the agent refused, and did not say why"));
	report__error(peer->out, status_of((int)msg__u64(answer, PROTO_F_CODE, PROTO_E_FAILED)), text, NULL,
		      msg__str(answer, PROTO_F_TRACEBACK, NULL));
	answer__into(peer->out, *answer); /* who was in the way, notes */
	peer->failed = true;
}

int peer__call(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request, uint64_t extra_ms,
	       struct msg_in *answer)
{
	return link__call(peer->link, type, request, timeout_ms(p) + (unsigned)extra_ms, answer);
}

bool peer__ask(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request, uint64_t extra_ms,
	       struct msg_in *answer)
{
	struct msg_in said;
	int err;

	err = peer__call(p, peer, type, request, extra_ms, &said);
	if (err == -DIAG_GONE && peer->optional) {
		p->report->capture.error[0] = '\0';
		peer__skip(peer, "it ended meanwhile");
	} else if (err < 0) {
		report__failed(p->report, peer->out, err);
		peer->failed = true;
	} else if (err > 0) {
		refused(peer, &said);
	} else if (!answer__into(peer->out, said)) {
		peer__fail(peer, 1, "out of memory");
	}
	if (answer)
		*answer = said;
	return !peer->failed && !peer->skipped;
}

int peer__tell(struct peers *p, struct peer *peer, uint16_t type, struct msg_out *request)
{
	struct msg_in said;
	const int err = peer__call(p, peer, type, request, 0, &said);

	p->report->capture.error[0] = '\0';
	return err;
}

void peer_put_who(struct msg_out *m, int argc, char **argv)
{
	char who[256], command[4096] = "";

	msg__put_str(m, PROTO_F_WHO, user_who(who, sizeof(who)));
	for (int i = 0; i < argc; i++) {
		const size_t len = strlen(command);

		snprintf(command + len, sizeof(command) - len, "%s%s", i ? " " : "", argv[i]);
	}
	msg__put_str(m, PROTO_F_COMMAND, command);
}
