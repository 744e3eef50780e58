/* compile_resolved: RESOLVE's answer in the compiler's words. */
#include "compile.h"

#include "msg.h"
#include "proto.h"

static const struct word {
	uint16_t id, type;
	bool list;
	const char *name;
} words[] = {
	{ PROTO_F_TARGET, MSG_STR, false, "target" },
	{ PROTO_F_MODULE, MSG_STR, false, "module" },
	{ PROTO_F_QUALNAME, MSG_STR, false, "qualname" },
	{ PROTO_F_KIND, MSG_STR, false, "kind" },
	{ PROTO_F_LAYER, MSG_GROUP, true, "layers" },
	{ PROTO_F_CODE_ID, MSG_U64, false, "code_id" },
	{ PROTO_F_FREE, MSG_STR, true, "free" },
	{ PROTO_F_FLAGS, MSG_U64, false, "flags" },
	{ PROTO_F_ARGCOUNT, MSG_U64, false, "argcount" },
	{ PROTO_F_POSONLY, MSG_U64, false, "posonly" },
	{ PROTO_F_KWONLY, MSG_U64, false, "kwonly" },
	{ PROTO_F_ARGNAME, MSG_STR, true, "argnames" },
	{ PROTO_F_DEFAULTS, MSG_U64, false, "defaults" },
	{ PROTO_F_KWDEFAULT, MSG_STR, true, "kwdefaults" },
	{ PROTO_F_FILE, MSG_STR, false, "file" },
	{ PROTO_F_LINE, MSG_U64, false, "line" },
	{ PROTO_F_LAST_LINE, MSG_U64, false, "last_line" },
	{ PROTO_F_CODE_NAME, MSG_STR, false, "code_name" },
	{ PROTO_F_CODE_QUAL, MSG_STR, false, "code_qual" },
	{ PROTO_F_OPTIMIZE, MSG_U64, false, "optimize" },
	{ PROTO_F_CLASS, MSG_STR, false, "class" },
	{ PROTO_F_PATCHED_BY, MSG_U64, false, "patched_by" },
	{ PROTO_F_NOTE, MSG_STR, true, "notes" },
};

static json_t *fields(struct msg_in m);

static json_t *value_of(const struct msg_field *f)
{
	if (f->type == MSG_U64)
		return json_integer((json_int_t)f->u64);
	return f->type == MSG_STR ? json_stringn((const char *)f->data, f->len) : fields(msg__group(f));
}

static int add(json_t *object, const struct word *w, const struct msg_field *f)
{
	json_t *list;

	if (!w->list)
		return json_object_set_new(object, w->name, value_of(f));
	list = json_object_get(object, w->name);
	if (!list) {
		list = json_array();
		if (json_object_set_new(object, w->name, list))
			return -1;
	}
	return json_array_append_new(list, value_of(f));
}

/* Groups are nested no deeper than msg__check() allows. */
static json_t *fields(struct msg_in m)
{
	json_t *object = json_object();
	struct msg_field f;

	while (object && msg__next(&m, &f))
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (words[i].id == f.id && words[i].type == f.type && add(object, &words[i], &f)) {
				json_decref(object);
				return NULL;
			}
	return object;
}

json_t *compile__resolved(const struct msg_in *answer)
{
	return fields(*answer);
}
