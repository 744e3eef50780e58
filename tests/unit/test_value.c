/* test_value: what is made of snapshots that lack something, of hostile ones, and what conditions are told of values. The
 * forms of all kinds of values are held against repr in test_value_live. */
#include "check.h"
#include "live_snapshot.h"
#include "valueworld.h"

#include "diag.h"

static const struct wire_limits limits = { 4, 10, 100 };

/* A world, the pieces of one of its objects, and what they are decoded to. */
struct fixture {
	struct world w;
	struct live live;
	struct value_decoder *d;
	struct redact *redact;
	bool full;
	char *text;
};

static void begin(struct fixture *x, uint8_t minor)
{
	*x = (struct fixture){ 0 };
	world_open_values(&x->w, minor);
	if (redact__new(NULL, &x->redact) || value_decoder__new(x->w.reader, &limits, x->redact, &x->d))
		abort();
}

static void end(struct fixture *x)
{
	value_decoder__free(x->d);
	redact__free(x->redact);
	live_free(&x->live);
	free(x->text);
	world_close(&x->w);
}

static void take(struct fixture *x, uint64_t obj)
{
	live_free(&x->live);
	live_take(&x->live, x->w.reader, &limits, obj);
}

/* Takes the piece that holds `addr` away, or says that it could not be read. */
static void damage(struct fixture *x, uint64_t addr, bool unreadable)
{
	uint8_t *bytes = x->live.bytes;
	struct wire_chunk chunk;
	size_t n, to = 0;

	for (size_t at = 0; at < x->live.used; at += n) {
		bool hit;

		memcpy(&chunk, bytes + at, sizeof(chunk));
		n = sizeof(chunk) + (chunk.unreadable ? 0 : (chunk.len + 7) & ~7U);
		hit = addr - chunk.addr < chunk.len;
		if (hit && !unreadable)
			continue;
		chunk.unreadable |= hit;
		memmove(bytes + to + sizeof(chunk), bytes + at + sizeof(chunk), n - sizeof(chunk));
		memcpy(bytes + to, &chunk, sizeof(chunk));
		to += hit ? sizeof(chunk) : n;
	}
	x->live.used = to;
}

static struct value *decode(struct fixture *x, uint64_t obj, int status, const char *name)
{
	struct snapshot *s;
	struct value *v;

	CHECK_EQ(snapshot__new(x->live.bytes, x->live.used, x->full, &s), 0);
	v = value__decode(x->d, s, obj, status, name);
	snapshot__free(s);
	if (!CHECK(v))
		abort();
	return v;
}

static const char *text_of(struct fixture *x, const struct value *v)
{
	size_t size;
	FILE *f;

	free(x->text);
	f = open_memstream(&x->text, &size);
	CHECK_EQ(value__text(v, f), 0);
	fclose(f);
	return x->text;
}

static const char *shown(struct fixture *x, uint64_t obj)
{
	struct value *v = decode(x, obj, WIRE_ROOT_VALUE, NULL);
	const char *text = text_of(x, v);

	value__free(v);
	return text;
}

static void statuses(void)
{
	static const struct {
		int status;
		const char *name, *text, *json;
	} cases[] = {
		{ WIRE_ROOT_VALUE, "total", "5", "5" },
		{ WIRE_ROOT_VALUE, "db_password", "<masked>", "{\"masked\": true}" },
		{ WIRE_ROOT_MASKED, NULL, "<masked>", "{\"masked\": true}" },
		{ WIRE_ROOT_UNBOUND, "x", "<unbound>", "{\"unbound\": true}" },
		{ WIRE_ROOT_MISSING, "x", "<missing>", "{\"missing\": true}" },
		{ WIRE_ROOT_UNREADABLE, "x", "<unreadable>", "{\"unreadable\": true}" },
		{ 77, "x", "<unreadable>", "{\"unreadable\": true}" },
	};
	struct fixture x;
	uint64_t obj;

	begin(&x, 12);
	obj = world_int(&x.w, 5);
	take(&x, obj);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct value *v = decode(&x, obj, cases[i].status, cases[i].name);
		json_t *json = value__json(v);
		char *text = json_dumps(json, JSON_ENCODE_ANY);

		CHECK_STR_EQ(text_of(&x, v), cases[i].text);
		CHECK_STR_EQ(text, cases[i].json);
		CHECK_EQ(value__unreadable(v), strcmp(cases[i].text, "<unreadable>") == 0);
		CHECK_EQ(value__class(v), i ? VALUE_UNKNOWN : VALUE_INT);
		CHECK_EQ(value__truth(v), i ? -1 : 1);
		free(text);
		json_decref(json);
		value__free(v);
	}
	end(&x);
}

/* A list of three, of which one piece after the other is missing. */
static void missing(uint8_t minor)
{
	uint64_t items[3], list, at;
	struct fixture x;

	begin(&x, minor);
	items[0] = world_int(&x.w, 1);
	items[1] = world_str(&x.w, "two");
	items[2] = world_float(&x.w, 3.5);
	list = world_list(&x.w, 3, items);
	at = field_u64(world_at(&x.w, list), x.w.lay->list_items);
	take(&x, list);
	CHECK_STR_EQ(shown(&x, list), "[1, 'two', 3.5]");
	damage(&x, items[1] + 8, true);
	CHECK_STR_EQ(shown(&x, list), "[1, <unreadable>, 3.5]");
	damage(&x, items[2], false);
	CHECK_STR_EQ(shown(&x, list), "[1, <unreadable>, <unreadable>]");
	x.full = true;
	CHECK_STR_EQ(shown(&x, list), "[1, <unreadable>, ...]");
	damage(&x, at, false);
	CHECK_STR_EQ(shown(&x, list), "[... 3 items]");
	x.full = false;
	CHECK_STR_EQ(shown(&x, list), "[<unreadable>, ... 2 more]");
	damage(&x, list, false);
	CHECK_STR_EQ(shown(&x, list), "<unreadable>");
	x.full = true;
	CHECK_STR_EQ(shown(&x, list), "...");
	/* Nothing at all, and a type that is none. */
	x.live.used = 0;
	CHECK_STR_EQ(shown(&x, 0), "<unreadable>");
	world_set(&x.w, items[0], x.w.lay->ob_type, items[2]);
	take(&x, items[0]);
	CHECK_STR_EQ(shown(&x, items[0]), "<unreadable>");
	end(&x);
}

/* A piece that is shorter than what it is of. */
static void cut(void)
{
	struct wire_chunk chunk = { 0 };
	struct fixture x;
	int32_t data;

	begin(&x, 13);
	chunk.addr = world_str(&x.w, "abcdefgh");
	data = x.w.lay->unicode_ascii_data;
	x.live.bytes = calloc(1, LIVE_BYTES);
	for (int32_t n = 0; n <= 8; n++) {
		static const char *const texts[] = { "<unreadable>", "'a'... 8 chars", "'ab'... 8 chars" };

		chunk.len = (u32)(data + n);
		memcpy(x.live.bytes, &chunk, sizeof(chunk));
		memcpy(x.live.bytes + sizeof(chunk), world_at(&x.w, chunk.addr), chunk.len);
		x.live.used = sizeof(chunk) + ((chunk.len + 7) & ~7U);
		if (n < 3)
			CHECK_STR_EQ(shown(&x, chunk.addr), texts[n]);
	}
	CHECK_STR_EQ(shown(&x, chunk.addr), "'abcdefgh'");
	end(&x);
}

static void malformed(void)
{
	struct {
		struct wire_chunk chunk;
		uint64_t bytes[2];
	} record = { { 0x1000, 16, 0 }, { 1, 2 } };
	struct snapshot *s;
	uint64_t word;

	CHECK_EQ(snapshot__new(&record, sizeof(record), false, &s), 0);
	CHECK_EQ(snapshot__read(s, 0x1008, &word, 8), 8);
	CHECK_EQ(word, 2);
	CHECK_EQ(snapshot__read(s, 0x100c, &word, 8), 4);
	CHECK_EQ(snapshot__read(s, 0x1010, &word, 8), 0);
	CHECK_EQ(snapshot__read(s, 0xfff, &word, 8), 0);
	snapshot__free(s);
	CHECK_EQ(snapshot__new(NULL, 0, false, &s), 0);
	CHECK_EQ(snapshot__state(s, 0), SNAPSHOT_ABSENT);
	snapshot__free(s);
	for (size_t n = 1; n < sizeof(record); n++)
		CHECK_EQ(snapshot__new(&record, n, false, &s), -EINVAL);
	record.chunk.len = UINT32_MAX;
	CHECK_EQ(snapshot__new(&record, sizeof(record), false, &s), -EINVAL);
	record.chunk = (struct wire_chunk){ UINT64_MAX - 4, 16, 0 };
	CHECK_EQ(snapshot__new(&record, sizeof(record), false, &s), 0);
	CHECK_EQ(snapshot__state(s, UINT64_MAX), SNAPSHOT_ABSENT);
	snapshot__free(s);
}

struct told {
	enum value_class class;
	int truth;
};

static struct told told(struct fixture *x, uint64_t obj)
{
	struct value *v;
	struct told t;

	take(x, obj);
	v = decode(x, obj, WIRE_ROOT_VALUE, NULL);
	t = (struct told){ value__class(v), value__truth(v) };
	value__free(v);
	return t;
}

#define CHECK_TOLD(obj, c, t)                      \
	do {                                       \
		struct told told_ = told(&x, obj); \
		CHECK_EQ(told_.class, c);          \
		CHECK_EQ(told_.truth, t);          \
	} while (0)

static void conditions(void)
{
	char long_text[200];
	uint64_t obj, class;
	struct value *v;
	struct fixture x;
	size_t len;

	begin(&x, 11);
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = 0;
	CHECK_TOLD(x.w.sym.objects[PYOBJ_NONE], VALUE_NONE, 0);
	CHECK_TOLD(x.w.sym.objects[PYOBJ_TRUE], VALUE_BOOL, 1);
	CHECK_TOLD(x.w.sym.objects[PYOBJ_FALSE], VALUE_BOOL, 0);
	CHECK_TOLD(world_float(&x.w, 0), VALUE_FLOAT, 0);
	CHECK_TOLD(world_str(&x.w, ""), VALUE_STR, 0);
	CHECK_TOLD(world_str(&x.w, long_text), VALUE_UNKNOWN, 1);
	CHECK_TOLD(world_list(&x.w, 0, NULL), VALUE_OTHER, 0);
	CHECK_TOLD(world_tuple(&x.w, 1, x.w.sym.objects[PYOBJ_NONE]), VALUE_OTHER, 1);
	obj = world_str(&x.w, "aé");
	obj = world_chars(&x.w, "a\xe9", 2, 1, 0);
	CHECK_TOLD(obj, VALUE_STR, 1);
	v = decode(&x, obj, WIRE_ROOT_VALUE, NULL);
	CHECK_STR_EQ(value__str(v, &len), "aé");
	CHECK_EQ(len, 3);
	value__free(v);
	/* An instance is true unless its class may say otherwise. */
	class = world_named_class(&x.w, "C", 0, 0, 32);
	CHECK_TOLD(world_instance(&x.w, class), VALUE_OTHER, 1);
	class = world_named_class(&x.w, "D", 0, 0, 32);
	world_put(&x.w, world_class_dict(&x.w, class), "__len__", x.w.sym.objects[PYOBJ_NONE]);
	CHECK_TOLD(world_instance(&x.w, class), VALUE_OTHER, -1);
	end(&x);
}

static void integers(uint8_t minor)
{
	const struct layout *lay;
	uint64_t obj;
	struct value *v;
	struct fixture x;

	begin(&x, minor);
	lay = x.w.lay;
	obj = world_alloc(&x.w, 64);
	world_set(&x.w, obj, lay->ob_type, x.w.sym.types[KIND_INT]);
	world_set(&x.w, obj, lay->long_tag == OFF_NONE ? lay->ob_size : lay->long_tag,
		  lay->long_tag == OFF_NONE ? (uint64_t)-3 : 3 << 3 | 2);
	world_set32(&x.w, obj, lay->long_digits, 0x3fffffff);
	world_set32(&x.w, obj, lay->long_digits + 4, 0x3fffffff);
	world_set32(&x.w, obj, lay->long_digits + 8, 7);
	take(&x, obj);
	v = decode(&x, obj, WIRE_ROOT_VALUE, NULL);
	CHECK_EQ(value__class(v), VALUE_INT);
	CHECK_EQ(value__int(v), -INT64_MAX);
	CHECK_STR_EQ(text_of(&x, v), "-9223372036854775807");
	value__free(v);
	world_set32(&x.w, obj, lay->long_digits + 8, 8);
	take(&x, obj);
	v = decode(&x, obj, WIRE_ROOT_VALUE, NULL);
	CHECK_EQ(value__class(v), VALUE_OTHER);
	CHECK_STR_EQ(text_of(&x, v), "-10376293541461622783");
	value__free(v);
	/* No digit has more than 30 bits. */
	world_set32(&x.w, obj, lay->long_digits + 8, 1u << 30);
	take(&x, obj);
	CHECK_STR_EQ(shown(&x, obj), "<unreadable>");
	end(&x);
}

/* Another class comes to stand where one was. */
static void reused(void)
{
	uint64_t class, other, obj;
	struct fixture x;

	begin(&x, 10);
	class = world_named_class(&x.w, "Old", 0, 0, 32);
	other = world_named_class(&x.w, "New", 0, 0, 32);
	obj = world_instance(&x.w, class);
	take(&x, obj);
	CHECK_STR_EQ(shown(&x, obj), "<m.Old object>");
	CHECK_STR_EQ(shown(&x, obj), "<m.Old object>");
	memcpy(world_at(&x.w, class), world_at(&x.w, other), (size_t)x.w.lay->type_size);
	CHECK_STR_EQ(shown(&x, obj), "<m.New object>");
	end(&x);
}

/* A name that cannot be read might be a secret's. */
static void unknown_keys(void)
{
	uint64_t dict, key;
	struct fixture x;

	begin(&x, 9);
	dict = world_dict(&x.w, 3, 1);
	key = world_str(&x.w, "user");
	world_add_entry(&x.w, world_dict_keys(&x.w, dict), key, world_int(&x.w, 5));
	world_set(&x.w, dict, x.w.lay->dict_used, 1);
	take(&x, dict);
	CHECK_STR_EQ(shown(&x, dict), "{'user': 5}");
	damage(&x, key, true);
	CHECK_STR_EQ(shown(&x, dict), "{<unreadable>: <masked>}");
	x.full = true;
	damage(&x, world_dict_keys(&x.w, dict), false);
	CHECK_STR_EQ(shown(&x, dict), "{... 1 item}");
	end(&x);
}

/* Lists that hold the same list ten times over, level by level: more than anything could show. */
static void explosion(void)
{
	struct wire_limits deep = { 1000, 1000, 100 };
	uint64_t items[10], list;
	struct fixture x;
	const char *text;

	begin(&x, 14);
	value_decoder__free(x.d);
	CHECK_EQ(value_decoder__new(x.w.reader, &deep, NULL, &x.d), 0);
	list = world_list(&x.w, 0, NULL);
	for (int level = 0; level < 60; level++) {
		for (int i = 0; i < 10; i++)
			items[i] = list;
		list = world_list(&x.w, 10, items);
	}
	live_take(&x.live, x.w.reader, &deep, list);
	text = shown(&x, list);
	CHECK(strlen(text) > 1000 && strlen(text) < 1000000);
	CHECK(strstr(text, "..."));
	end(&x);
}

int main(void)
{
	check_processor_seconds(20);
	statuses();
	for (uint8_t minor = 8; minor <= 15; minor++) {
		missing(minor);
		integers(minor);
	}
	cut();
	malformed();
	conditions();
	reused();
	unknown_keys();
	explosion();
	return check_done();
}
