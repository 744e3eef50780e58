/*
 * feature_target: what is known of one process and its interpreter before anything is attached: which build, where its
 * sites are, whether they were proved, and in which namespaces and under which user it runs. Reads only.
 */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "diag.h"
#include "elf.h"
#include "feature_priv.h"
#include "interps.h"
#include "layout.h"
#include "opmap.h"
#include "prove_child.h"
#include "target.h"
#include "verdict.h"

struct looker {
	struct feature_target *out;
	const struct feature_trial *trial;
	struct target *t;
	struct layout layout;
	const struct opmap *opmap; /* NULL: the version is not known */
	bool jit;		   /* compiled traces may run */
};

/* Remembers the first thing that stands in the way. */
static void refuse(struct feature_target *out, int err, const char *why)
{
	if (out->err)
		return;
	out->err = err;
	snprintf(out->why, sizeof(out->why), "%s", why);
}

static int open_target(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "process");
	struct diag_capture said;
	int err;

	feature_check__number(c, l->out->pid);
	if (l->trial->calls[FEATURE_CALL_READ] == FEATURE_KILLED) {
		feature_check__say(c, FEATURE_UNKNOWN,
				   "not looked at: a seccomp filter kills who reads another process's memory");
		refuse(l->out, -DIAG_NO_CAPABILITY, c->text);
		return l->out->err;
	}
	diag_capture__begin(&said);
	err = target__open(l->out->pid, &l->t);
	diag_capture__end(&said);
	if (!err) {
		l->out->command = strdup(l->t->command);
		l->out->path = strdup(l->t->interp_path);
		snprintf(l->out->python, sizeof(l->out->python), "%s", l->t->version.text);
		feature_check__say(c, FEATURE_OK, "its memory and its interpreter's file can be read");
		return l->out->command && l->out->path ? 0 : -ENOMEM;
	}
	feature_check__say(c, FEATURE_NO, "%s", said.error);
	feature_check__remedy(
		c, "%s",
		err == -DIAG_NO_CAPABILITY
			? "hold the capabilities that it names; where they are held, a security module forbids it"
			: diag_remedy(err));
	refuse(l->out, err, said.error);
	return err;
}

static void check_version(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "version");

	feature_check__text(c, l->out->python);
	feature_check__say(c, FEATURE_OK, "Python %s", l->out->python);
}

static void check_user(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "user");
	const struct target *t = l->t;

	feature_check__number(c, t->uid);
	feature_check__say(c, FEATURE_OK, "%s (uid %u)", t->uid == geteuid() ? "ours" : "another one",
			   (unsigned)t->uid);
}

static void check_namespaces(struct looker *l)
{
	static const struct {
		const char *name, *kind, *other;
	} kinds[] = {
		{ "mount_namespace", "mnt", "another one: its files are opened through /proc/PID/root" },
		{ "pid_namespace", "pid", "another one: pylu-bpf goes by the number that it has in ours" },
		{ "user_namespace", "user", "another one" },
	};
	const struct feature_facts facts = { .root = "" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct feature_check *c = feature_list__add(&l->out->list, kinds[i].name);
		uint32_t ours, theirs;
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[i].kind);
		ours = feature_namespace(&facts, path);
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)l->t->pid, kinds[i].kind);
		theirs = feature_namespace(&facts, path);
		if (!ours || !theirs) {
			feature_check__say(c, FEATURE_UNKNOWN, "/proc/PID/ns/%s cannot be read", kinds[i].kind);
			continue;
		}
		feature_check__flag(c, ours == theirs);
		feature_check__say(c, FEATURE_OK, "%s", ours == theirs ? "ours" : kinds[i].other);
	}
}

static void check_build(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "build");
	struct feature_target *out = l->out;
	const struct elf_file *elf = l->t->elf;

	snprintf(out->build_id, sizeof(out->build_id), "%s", elf_file__build_id(elf));
	out->deleted = l->t->deleted;
	out->stripped = !elf_file__has_symtab(elf);
	out->position_independent = elf_file__position_independent(elf);
	out->bias = l->t->bias;
	feature_check__text(c, out->build_id);
	feature_check__say(c, out->build_id[0] ? FEATURE_OK : FEATURE_LIMITED, "%s%s, %s, %s%s", out->path,
			   out->deleted ? " (deleted or replaced since; read as it was)" : "",
			   out->stripped ? "stripped" : "not stripped",
			   out->position_independent ? "position-independent" : "at a fixed address",
			   out->build_id[0] ? "" : "; without a build-id it has to be proved every time");
}

static void check_layout(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "layout");
	const struct py_version *v = &l->t->version;
	const struct opmap *opmap = opmap__find(v->major, v->minor);
	unsigned corrected = 0;
	int err = layout__of_file(l->t->elf, v, &l->layout, &corrected);

	feature_check__flag(c, !err && opmap);
	if (err || !opmap) {
		feature_check__say(c, FEATURE_NO,
				   err == -DIAG_BAD_DATA
					   ? "the file has no _Py_DebugOffsets of Python %u.%u, which tell its structs"
					   : "the structs and opcodes of Python %u.%u are not known",
				   v->major, v->minor);
		feature_check__remedy(c, "%s", diag_remedy(-DIAG_UNSUPPORTED));
		refuse(l->out, -DIAG_UNSUPPORTED, c->text);
		return;
	}
	l->opmap = opmap;
	if (!layout__in_debug_offsets(v->major, v->minor))
		feature_check__say(c, FEATURE_OK, "the structs and opcodes of Python %u.%u are known", v->major,
				   v->minor);
	else if (!corrected)
		feature_check__say(c, FEATURE_OK,
				   "the structs and opcodes of Python %u.%u are known; _Py_DebugOffsets agrees",
				   v->major, v->minor);
	else
		feature_check__say(c, FEATURE_OK,
				   "the structs and opcodes of Python %u.%u are known; _Py_DebugOffsets says "
				   "%u fields otherwise, and is followed",
				   v->major, v->minor, corrected);
}

static void check_interpreters(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "interpreters");
	unsigned n, jit;
	int err = interps_count(l->t, &l->layout, &n, &jit);

	if (err || !n) {
		feature_check__say(c, FEATURE_UNKNOWN, "the list of interpreters cannot be read: %s",
				   err ? diag_strerror(err) : "it is empty");
		return;
	}
	l->jit = jit > 0;
	feature_check__number(c, n);
	if (jit)
		feature_check__say(c, FEATURE_LIMITED,
				   "%u; the JIT compiler is on: calls are counted where they end, "
				   "without times",
				   n);
	else
		feature_check__say(c, FEATURE_OK, "%u%s", n, n > 1 ? ", which are told apart" : "");
}

/* What line, debug and var do it with. */
static void check_watch(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "watch");

	if (l->jit)
		feature_check__say(
			c, FEATURE_NO,
			"compiled traces run without reading the bytecode: line, debug and var cannot see them");
	else
		feature_check__say(
			c, FEATURE_OK,
			"line, debug and var watch four places of its bytecode at a time, by debug registers");
}

static void check_sites(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "sites");
	const struct site_set *sites = &l->out->sites;
	struct diag_capture said;
	size_t stepped = 0, stepped_yields = 0;
	int err;

	diag_capture__begin(&said);
	err = site_set__find(l->t->elf, &l->layout, l->opmap, NULL, &l->out->sites);
	diag_capture__end(&said);
	if (err) {
		l->out->sites.n = 0;
		feature_check__say(c, FEATURE_NO, "%s", said.error);
		feature_check__remedy(c, "report the build-id and where the build comes from");
		refuse(l->out, err, said.error);
		return;
	}
	for (size_t i = 0; i < sites->n; i++) {
		bool yield = sites->sites[i].kind == SITE_OPCODE_YIELD;

		stepped += !sites->sites[i].emulated && !yield;
		stepped_yields += !sites->sites[i].emulated && yield;
	}
	feature_check__number(c, (long long)sites->n);
	if (!stepped && !stepped_yields)
		feature_check__say(c, FEATURE_OK, "%zu, all emulated by the kernel", sites->n);
	else
		feature_check__say(c, FEATURE_LIMITED,
				   "%zu; single-stepped, which costs more: %zu that all calls pass, "
				   "%zu that only generators pass",
				   sites->n, stepped, stepped_yields);
}

static void check_table(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "dispatch_table");
	const struct site_set *sites = &l->out->sites;

	if (!strcmp(sites->backend, "usdt")) {
		feature_check__say(c, FEATURE_LIMITED, "not found; static probes serve instead");
		return;
	}
	if (!sites->ntables) {
		feature_check__say(c, FEATURE_OK, "not needed up to Python 3.10");
		return;
	}
	feature_check__number(c, (long long)sites->table);
	feature_check__say(c, FEATURE_OK, "at %#llx in the file, the only one of its shape; handlers lead on by %s",
			   (unsigned long long)sites->table, sites->dispatch);
}

/* Whether one that is not the best would see every call too. */
static bool backend_works(const struct looker *l, const struct backend *b)
{
	struct diag_capture said;
	struct site_set sites;
	int err = 0;

	if (strcmp(b->name, l->out->backend)) {
		diag_capture__begin(&said);
		err = site_set__find(l->t->elf, &l->layout, l->opmap, b->name, &sites);
		diag_capture__end(&said);
	}
	return !err && !(l->jit && !strcmp(b->name, "usdt"));
}

static void check_backend(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "backend");

	l->out->backend = l->out->sites.backend;
	for (unsigned i = 0; backends[i].name; i++)
		if (backend_works(l, &backends[i]))
			l->out->backends |= 1u << i;
	feature_check__text(c, l->out->backend);
	if (l->jit && !strcmp(l->out->backend, "usdt")) {
		feature_check__say(c, FEATURE_NO,
				   "usdt would be chosen, but the JIT compiler is on, whose code it does not see");
		refuse(l->out, -DIAG_NOT_PROVED, c->text);
		return;
	}
	feature_check__say(c, FEATURE_OK, "%s would be chosen: %s", l->out->backend,
			   backend__find(l->out->backend)->why);
}

static void check_proof(struct looker *l)
{
	struct feature_check *c = feature_list__add(&l->out->list, "proof");
	struct prove_child child;
	const char *why;

	if (verdict_known(l->out->build_id, &l->out->sites)) {
		feature_check__flag(c, true);
		feature_check__say(c, FEATURE_OK, "these sites were proved on this kernel");
		return;
	}
	feature_check__flag(c, false);
	if (!prove_child__of_target(l->t, &child, &why))
		feature_check__say(c, FEATURE_OK, "not yet: will be tried on a throw-away child of %s%s", child.name,
				   child.root ? " in its root folder" : "");
	else
		feature_check__say(c, FEATURE_LIMITED,
				   "cannot be tried on a throw-away child: %s; only the first hits are checked", why);
	prove_child__close(&child);
}

struct feature_target *feature_target__examine(pid_t pid, const struct feature_trial *trial)
{
	struct feature_target *out = calloc(1, sizeof(*out));
	struct looker l = { .out = out, .trial = trial };

	if (!out)
		return NULL;
	out->pid = pid;
	if (open_target(&l))
		return out;
	check_user(&l);
	check_namespaces(&l);
	check_version(&l);
	check_build(&l);
	check_layout(&l);
	if (l.opmap) {
		check_interpreters(&l);
		check_watch(&l);
		check_sites(&l);
	}
	if (out->sites.n) {
		check_table(&l);
		check_backend(&l);
		check_proof(&l);
	}
	target__close(l.t);
	return out;
}

void feature_target__free(struct feature_target *t)
{
	if (!t)
		return;
	free(t->command);
	free(t->path);
	free(t);
}
