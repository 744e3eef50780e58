/* out_doctor_json: the findings for programs. The form is described by docs/doctor.schema.json and is stable. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "feature.h"
#include "insn.h"
#include "out_doctor.h"
#include "out_json_util.h"
#include "out_util.h"

#define FORMAT_VERSION 1

static json_t *value_of(const struct feature_check *c)
{
	switch (c->type) {
	case FEATURE_FLAG:
		return json_boolean(c->number);
	case FEATURE_NUMBER:
		return json_integer(c->number);
	case FEATURE_TEXT:
		return out_json__string(c->value);
	case FEATURE_NONE:
		break;
	}
	return json_null();
}

static void append(struct sink *s, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		sink__fail(s, -ENOMEM);
}

static json_t *checks(struct sink *s, const struct feature_list *list)
{
	json_t *array = json_array();

	for (size_t i = 0; i < list->n; i++) {
		const struct feature_check *c = &list->checks[i];
		json_t *object = json_object();

		out_json__set(s, object, "name", out_json__string(c->name));
		out_json__set(s, object, "status", out_json__string(feature_status_name(c->status)));
		out_json__set(s, object, "value", value_of(c));
		out_json__set(s, object, "text", out_json__string(c->text));
		out_json__set(s, object, "remedy", c->remedy[0] ? out_json__string(c->remedy) : json_null());
		append(s, array, object);
	}
	return array;
}

static json_t *host(struct sink *s, const struct feature_host *h)
{
	json_t *object = json_object(), *cost = json_null();

	if (h->cost.ns_per_hit > 0) {
		cost = json_object();
		out_json__set(s, cost, "ns_per_hit", out_json__number(h->cost.ns_per_hit));
		out_json__set(s, cost, "ns_per_dropped_hit", out_json__number(h->cost.ns_per_dropped_hit));
		out_json__set(s, cost, "ns_per_stepped_hit", out_json__number(h->cost.ns_per_stepped_hit));
	}
	out_json__set(s, object, "name", out_json__string(h->name));
	out_json__set(s, object, "works", json_boolean(!h->err));
	out_json__set(s, object, "checks", checks(s, &h->list));
	out_json__set(s, object, "cost", cost);
	return object;
}

static json_t *build(struct sink *s, const struct feature_target *t)
{
	json_t *object;

	if (!t->path)
		return json_null();
	object = json_object();
	out_json__set(s, object, "path", out_json__string(t->path));
	out_json__set(s, object, "build_id", out_json__string(t->build_id));
	out_json__set(s, object, "deleted", json_boolean(t->deleted));
	out_json__set(s, object, "stripped", json_boolean(t->stripped));
	out_json__set(s, object, "position_independent", json_boolean(t->position_independent));
	return object;
}

/* A register by its name, null where there is none. */
static json_t *reg(uint8_t number)
{
	return number == SITE_REG_NONE ? json_null() : out_json__string(insn_reg_name(number));
}

static json_t *sites(struct sink *s, const struct feature_target *t)
{
	json_t *array = json_array();

	for (size_t i = 0; i < t->sites.n; i++) {
		const struct site *site = &t->sites.sites[i];
		json_t *object = json_object();

		out_json__set(s, object, "what", out_json__string(site->what));
		out_json__set(s, object, "address", out_json__integer(site->addr));
		out_json__set(s, object, "runtime_address", out_json__integer(site->addr + t->bias));
		out_json__set(s, object, "file_offset", out_json__integer(site->file_offset));
		out_json__set(s, object, "emulated", json_boolean(site->emulated));
		out_json__set(s, object, "object",
			      out_json__string(site->kind == SITE_CODE_DEALLOC ? "code" : "frame"));
		out_json__set(s, object, "register", reg(site->frame_reg));
		out_json__set(s, object, "thread_state_register", reg(site->tstate_reg));
		append(s, array, object);
	}
	return array;
}

static json_t *fitting(struct sink *s, const struct feature_target *t)
{
	json_t *array = json_array();

	for (unsigned i = 0; t->backend && backends[i].name; i++) {
		const struct backend *b = &backends[i];
		bool works = t->backends >> i & 1;
		json_t *object = json_object();

		out_json__set(s, object, "name", out_json__string(b->name));
		out_json__set(s, object, "works", json_boolean(works));
		out_json__set(s, object, "chosen", json_boolean(!strcmp(b->name, t->backend)));
		out_json__set(s, object, "why", out_json__string(works ? b->why : b->why_not));
		append(s, array, object);
	}
	return array;
}

static json_t *target(struct sink *s, const struct feature_target *t)
{
	json_t *object = json_object();

	out_json__set(s, object, "pid", json_integer(t->pid));
	out_json__set(s, object, "works", json_boolean(!t->err));
	out_json__set(s, object, "command", t->command ? out_json__string(t->command) : json_null());
	out_json__set(s, object, "python", t->python[0] ? out_json__string(t->python) : json_null());
	out_json__set(s, object, "build", build(s, t));
	out_json__set(s, object, "checks", checks(s, &t->list));
	out_json__set(s, object, "sites", sites(s, t));
	out_json__set(s, object, "backends", fitting(s, t));
	return object;
}

static int write_json(const struct doctor *d, FILE *f, const struct out_options *opts)
{
	json_t *object = json_object(), *targets = json_array();
	struct sink s = { .f = f };
	char summary[2 * FEATURE_TEXT_MAX], *text;

	(void)opts;
	doctor__summary(d, summary, sizeof(summary));
	for (size_t i = 0; i < d->ntargets; i++)
		append(&s, targets, target(&s, d->targets[i]));
	out_json__set(&s, object, "format", out_json__string("pylu-doctor"));
	out_json__set(&s, object, "version", json_integer(FORMAT_VERSION));
	out_json__set(&s, object, "works", json_boolean(!doctor__code(d)));
	out_json__set(&s, object, "summary", out_json__string(summary));
	out_json__set(&s, object, "host", host(&s, d->host));
	out_json__set(&s, object, "targets", targets);
	text = s.err ? NULL : json_dumps(object, OUT_JSON_FLAGS | JSON_INDENT(2));
	if (text) {
		out_json__put(&s, text);
		sink__puts(&s, "\n");
	} else {
		sink__fail(&s, -ENOMEM);
	}
	free(text);
	json_decref(object);
	return sink__finish(&s);
}

const struct doctor_format out_doctor_json = { .name = "json", .write = write_json };
