/* reach: see reach.h. */
#include "reach.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "diag.h"
#include "inject.h"
#include "link.h"
#include "out_json_util.h"
#include "program.h"
#include "proto.h"
#include "target.h"
#include "user.h"

struct looking {
	struct report *report;
	json_t *out;
	pid_t pid;
	struct reach found;
};

static void put_check(struct looking *l, const char *name, const char *status, const char *text, const char *remedy)
{
	json_t *checks = json_object_get(l->out, "checks");

	json_array_append_new(checks,
			      json_pack("{ss ss so so}", "name", name, "status", status, "text", out_json__string(text),
					"remedy", remedy && *remedy ? out_json__string(remedy) : json_null()));
}

/* What the library reported becomes the check's text. */
static void put_failed(struct looking *l, const char *name, int err)
{
	char *error = l->report->capture.error;

	put_check(l, name, "no", *error ? error : diag_strerror(err),
		  err == -DIAG_NO_CAPABILITY ? "run pylu-cli as root" : program_remedy(err));
	*error = '\0';
	l->found.err = err;
}

/* The effective user id, which everybody may read. False: there is no such process. */
static bool read_uid(pid_t pid, uid_t *uid)
{
	char path[64], line[256];
	unsigned n;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "Uid: %*u %u", &n) == 1;
	fclose(f);
	*uid = found ? n : 0;
	return found;
}

/* Whose it is. Of a process that is not dumpable these folders belong to root: then even its own user may not look in. False: we may not. */
static bool look_at_owner(struct looking *l)
{
	char path[64], user[64], text[256];
	const uid_t us = geteuid();
	struct stat st;
	uid_t uid;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)l->pid);
	if (!read_uid(l->pid, &uid) || stat(path, &st))
		return true; /* it has ended, which is said of it when it is opened */
	json_object_set_new(l->out, "uid", json_integer(uid));
	json_object_set_new(l->out, "user", out_json__string(user_name(uid, user, sizeof(user))));
	if (us == 0) {
		snprintf(text, sizeof(text), "it is %s's, and we are root", user);
		put_check(l, "owner", "ok", text, NULL);
	} else if (us != uid) {
		snprintf(text, sizeof(text), "it is %s's: another user may not reach it", user);
		put_check(l, "owner", "no", text, "run pylu-cli as that user or as root");
	} else if (st.st_uid != uid) {
		put_check(l, "owner", "no",
			  "it is not dumpable (it changed its user id, or holds capabilities): only root may reach it",
			  "run pylu-cli as root");
	} else {
		put_check(l, "owner", "ok", "it is ours", NULL);
	}
	return us == 0 || (us == uid && st.st_uid == uid);
}

static void look_at_agent(struct looking *l, unsigned timeout_ms)
{
	struct link *link = NULL;
	struct msg_out request = { 0 };
	struct msg_in answer;
	char text[256];
	int err = link__open(l->pid, timeout_ms, &link);

	if (err == -DIAG_NO_AGENT) {
		l->report->capture.error[0] = '\0';
		put_check(l, "agent", "limited", "there is none in it",
			  "start it with `pylu-cli run`, or `pylu-cli attach`");
		return;
	}
	if (!err)
		err = link__call(link, PROTO_HELLO, &request, timeout_ms, &answer);
	if (err > 0)
		err = diag_error(-DIAG_UNSUPPORTED, "process %d: %s", (int)l->pid,
				 msg__str(&answer, PROTO_F_ERROR, "?"));
	if (err) {
		put_failed(l, "agent", err);
	} else {
		l->found.agent = true;
		answer__into(l->out, answer);
		snprintf(text, sizeof(text), "version %.64s answers; patches applied: %u",
			 answer_text(l->out, "agent", "?"), (unsigned)answer_number(l->out, "applied", 0));
		put_check(l, "agent", "ok", text, NULL);
	}
	link__close(link);
}

static void look_at_attach(struct looking *l, const struct target *t)
{
	const int err = inject_possible(t);

	if (err) {
		put_failed(l, "attach", err);
		return;
	}
	l->found.attachable = true;
	put_check(l, "attach", "ok", "`pylu-cli attach` can bring one in, from what can be seen without trying", NULL);
}

struct reach reach__examine(struct report *r, json_t *out, pid_t pid, unsigned timeout_ms)
{
	struct looking l = { .report = r, .out = out, .pid = pid };
	struct target *t = NULL;
	int err;

	json_object_set_new(out, "agent", json_null());
	json_object_set_new(out, "checks", json_array());
	if (!look_at_owner(&l)) {
		l.found.err = -EPERM;
		return l.found;
	}
	err = target__open(pid, &t);
	if (err) {
		put_failed(&l, "python", err);
		return l.found;
	}
	json_object_set_new(out, "python", json_string(t->version.text));
	json_object_set_new(out, "command", out_json__string(t->command));
	put_check(&l, "python", "ok", t->version.text, NULL);
	look_at_agent(&l, timeout_ms);
	if (!l.found.agent && !l.found.err)
		look_at_attach(&l, t);
	target__close(t);
	return l.found;
}
