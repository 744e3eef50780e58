/* answer: see answer.h. */
#include "answer.h"

#include <stdio.h>
#include <string.h>

#include "msg.h"
#include "out_json_util.h"
#include "proto.h"

#define DEPTH_MAX 8 /* as msg__check has it */

struct member {
	uint16_t id;
	const char *name;
	bool list;
};

static const struct member members[] = {
	{ PROTO_F_PID, "inner_pid" },
	{ PROTO_F_VERSION_MIN, "version_min" },
	{ PROTO_F_PY_VERSION, "py_version" },
	{ PROTO_F_PY_TEXT, "python" },
	{ PROTO_F_AGENT_TEXT, "agent" },
	{ PROTO_F_STATE, "state" },
	{ PROTO_F_PATCHES, "applied" },
	{ PROTO_F_STARTED_NS, "started_ns" },
	{ PROTO_F_LOG_FILE, "log_file" },
	{ PROTO_F_TARGET, "target" },
	{ PROTO_F_MODULE, "module" },
	{ PROTO_F_QUALNAME, "qualname" },
	{ PROTO_F_KIND, "kind" },
	{ PROTO_F_LAYER, "layers", true },
	{ PROTO_F_FILE, "file" },
	{ PROTO_F_LINE, "line" },
	{ PROTO_F_LAST_LINE, "last_line" },
	{ PROTO_F_NOTE, "notes", true },
	{ PROTO_F_TOKEN, "token" },
	{ PROTO_F_WHO, "who" },
	{ PROTO_F_COMMAND, "command" },
	{ PROTO_F_SOURCE_HASH, "source_hash" },
	{ PROTO_F_ERRORS_MAX, "errors_max" },
	{ PROTO_F_ID, "id" },
	{ PROTO_F_RUNNING, "running", true },
	{ PROTO_F_NAME, "name" },
	{ PROTO_F_THREAD, "thread" },
	{ PROTO_F_CHANGE, "changes", true },
	{ PROTO_F_CHANGE_KIND, "change" },
	{ PROTO_F_ORIGINAL, "original" },
	{ PROTO_F_SOURCE, "source" },
	{ PROTO_F_PATCH, "patches", true },
	{ PROTO_F_APPLIED_NS, "applied_ns" },
	{ PROTO_F_REVERTED_NS, "reverted_ns" },
	{ PROTO_F_WHY, "why" },
	{ PROTO_F_CALLS, "calls" },
	{ PROTO_F_ERRORS, "errors" },
	{ PROTO_F_TTL_LEFT_MS, "ttl_left_ms" },
	{ PROTO_F_GIL_WAIT_US, "gil_wait_us" },
	{ PROTO_F_HOLD_US, "hold_us" },
	{ PROTO_F_ENTRY, "entries", true },
};

static json_t *hex(const uint8_t *data, size_t len)
{
	char text[2 * 64 + 1] = "";

	for (size_t i = 0; i < len && i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", data[i]);
	return json_string(text);
}

static bool fill(json_t *object, struct msg_in m, int depth);

static json_t *value_of(const struct msg_field *f, int depth)
{
	json_t *object;

	switch (f->type) {
	case MSG_U64:
		return out_json__integer(f->u64);
	case MSG_STR:
		return out_json__string((const char *)f->data);
	case MSG_BYTES:
		return hex(f->data, f->len);
	case MSG_GROUP:
		object = json_object();
		if (fill(object, msg__group(f), depth + 1))
			return object;
		json_decref(object);
		break;
	}
	return NULL;
}

static bool append(json_t *object, const char *name, json_t *value)
{
	json_t *list = json_object_get(object, name);

	if (!list) {
		list = json_array();
		if (json_object_set_new(object, name, list)) {
			json_decref(value);
			return false;
		}
	}
	return !json_array_append_new(list, value);
}

void answer_add_notes(json_t *object, const json_t *notes)
{
	json_t *note, *had;
	size_t i, k;

	json_array_foreach(notes, i, note)
	{
		bool known = false;

		json_array_foreach(json_object_get(object, "notes"), k, had) known |= json_equal(had, note);
		if (!known)
			append(object, "notes", json_incref(note));
	}
}

/* The same note may come with several answers. */
static bool put_note(json_t *object, json_t *note)
{
	json_t *notes = json_pack("[o]", note);

	answer_add_notes(object, notes);
	json_decref(notes);
	return notes != NULL;
}

void answer_add_note(json_t *object, const char *note)
{
	put_note(object, json_string(note));
}

static bool put(json_t *object, const struct member *member, json_t *value)
{
	if (member->id == PROTO_F_NOTE)
		return put_note(object, value);
	return member->list ? append(object, member->name, value) : !json_object_set_new(object, member->name, value);
}

static bool fill(json_t *object, struct msg_in m, int depth)
{
	const size_t n = sizeof(members) / sizeof(members[0]);
	struct msg_field f;

	if (depth > DEPTH_MAX)
		return true;
	while (msg__next(&m, &f)) {
		size_t i = 0;

		while (i < n && members[i].id != f.id)
			i++;
		if (i < n && !put(object, &members[i], value_of(&f, depth)))
			return false;
	}
	return true;
}

bool answer__into(json_t *object, struct msg_in m)
{
	return fill(object, m, 0);
}

const char *answer_text(const json_t *object, const char *name, const char *absent)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : absent;
}

uint64_t answer_number(const json_t *object, const char *name, uint64_t absent)
{
	const json_t *value = json_object_get(object, name);

	return json_is_integer(value) ? (uint64_t)json_integer_value(value) : absent;
}
