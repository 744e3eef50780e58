/*
 * pyobj: the reader, and what all objects have: types, strings, integers, sequences.
 *
 * Owns the cache through which a walk reads. Does not know dicts (pyobj_dict.c) nor functions (pyobj_func.c). Nothing
 * that is read is believed: a size bounds a loop only after it was bounded itself.
 */
#include "pyobj_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "target.h"

#define PAGE 4096
#define PAGES 2048 /* a walk meets objects that were made together, so most reads fall on a page that was just read */
#define TYPES 512
#define BASES_MAX 64
#define CHUNK 4096
#define WORK_OF_READ 16 /* see WORK_MAX */
#define WORK_BYTES 64

struct pyobj_cache {
	uint64_t work;	      /* that may still be done */
	uint64_t tags[PAGES]; /* page address + 1, + 2 when it could not be read as a whole; 0: free */
	struct pyobj_type types[TYPES];
	uint8_t *pages[PAGES]; /* NULL until one is read there */
};

uint64_t field_u64(const uint8_t *buf, int32_t offset)
{
	uint64_t value;

	memcpy(&value, buf + offset, sizeof(value));
	return value;
}

uint32_t field_u32(const uint8_t *buf, int32_t offset)
{
	uint32_t value;

	memcpy(&value, buf + offset, sizeof(value));
	return value;
}

size_t fields_end(const int32_t *offsets, size_t n, size_t max)
{
	size_t end = 0;

	for (size_t i = 0; i < n; i++) {
		if (offsets[i] != OFF_NONE && (size_t)offsets[i] + 8 > end)
			end = (size_t)offsets[i] + 8;
	}
	return end < max ? end : max;
}

int pyobj_reader__new_at(struct mem *m, const struct layout *lay, const struct pyobj_symbols *sym,
			 struct pyobj_reader **out)
{
	struct pyobj_reader *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return diag_error(-ENOMEM, "no memory for a reader of Python objects");
	r->mem = m;
	r->layout = *lay;
	r->lay = &r->layout;
	r->sym = *sym;
	return 0;
}

int pyobj_reader__new(const struct target *t, struct pyobj_reader **out)
{
	static const char *const symbols[KIND_COUNT] = {
#define PYOBJ_SYMBOL(kind, symbol) [KIND_##kind] = symbol,
		PYOBJ_TYPES(PYOBJ_SYMBOL)
#undef PYOBJ_SYMBOL
	};
	static const char *const objects[PYOBJ_COUNT] = {
#define PYOBJ_SYMBOL(kind, symbol) [PYOBJ_##kind] = symbol,
		PYOBJ_OBJECTS(PYOBJ_SYMBOL)
#undef PYOBJ_SYMBOL
	};
	struct layout lay;
	struct pyobj_symbols sym = { 0 };

	*out = NULL;
	if (layout__of_file(t->elf, &t->version, &lay, NULL))
		return diag_error(-DIAG_UNSUPPORTED, "process %d runs CPython %s, of which the layout is not known",
				  t->pid, t->version.text);
	if (target__symbol(t, "_PyRuntime", &sym.runtime))
		return diag_error(-DIAG_UNSUPPORTED, "%s does not export _PyRuntime", t->interp_path);
	for (int i = KIND_OTHER + 1; i < KIND_COUNT; i++) {
		if (target__symbol(t, symbols[i], &sym.types[i]))
			return diag_error(-DIAG_UNSUPPORTED, "%s does not export %s", t->interp_path, symbols[i]);
	}
	for (int i = 0; i < PYOBJ_COUNT; i++) {
		if (target__symbol(t, objects[i], &sym.objects[i]))
			sym.objects[i] = 0;
	}
	return pyobj_reader__new_at(t->mem, &lay, &sym, out);
}

void pyobj_reader__free(struct pyobj_reader *r)
{
	if (!r)
		return;
	pyobj_names__free(r->names);
	free(r->cache);
	free(r);
}

const struct layout *pyobj_reader__layout(const struct pyobj_reader *r)
{
	return r->lay;
}

int pyobj_cache__begin(struct pyobj_reader *r, uint64_t work, bool *mine)
{
	*mine = !r->cache;
	if (*mine)
		r->cache = calloc(1, sizeof(*r->cache));
	if (!r->cache)
		return -ENOMEM;
	if (*mine)
		r->cache->work = work;
	return 0;
}

void pyobj_cache__end(struct pyobj_reader *r, bool mine)
{
	if (!mine)
		return;
	for (size_t i = 0; i < PAGES; i++)
		free(r->cache->pages[i]);
	free(r->cache);
	r->cache = NULL;
}

bool pyobj_cache__spent(const struct pyobj_reader *r)
{
	return r->cache && !r->cache->work;
}

static int spend(struct pyobj_reader *r, uint64_t work)
{
	if (!r->cache)
		return 0;
	r->cache->work -= work < r->cache->work ? work : r->cache->work;
	return r->cache->work ? 0 : -E2BIG;
}

static int read_target(struct pyobj_reader *r, uint64_t addr, void *buf, size_t len)
{
	int err = spend(r, WORK_OF_READ);

	return err ? err : mem__read(r->mem, addr, buf, len);
}

/* The cached page that holds `addr`, or NULL when it can only be read in part. */
static const uint8_t *cached_page(struct pyobj_reader *r, uint64_t addr)
{
	uint64_t page = addr & ~(uint64_t)(PAGE - 1);
	size_t i = page / PAGE % PAGES;

	if (!r->cache->pages[i] && !(r->cache->pages[i] = malloc(PAGE)))
		return NULL;
	if ((r->cache->tags[i] & ~(uint64_t)(PAGE - 1)) != page || !r->cache->tags[i])
		r->cache->tags[i] = page + (read_target(r, page, r->cache->pages[i], PAGE) ? 2 : 1);
	return r->cache->tags[i] & 1 ? r->cache->pages[i] : NULL;
}

int pyobj__read(struct pyobj_reader *r, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;
	int err = spend(r, 1 + len / WORK_BYTES);

	if (err)
		return err;
	if (addr + len < addr)
		return -EFAULT;
	if (!r->cache || len > PAGE)
		return read_target(r, addr, buf, len);
	while (len) {
		const uint8_t *page = cached_page(r, addr);
		size_t n = PAGE - addr % PAGE;

		if (!page)
			return read_target(r, addr, to, len);
		if (n > len)
			n = len;
		memcpy(to, page + addr % PAGE, n);
		to += n, addr += n, len -= n;
	}
	return 0;
}

int pyobj__read_u64(struct pyobj_reader *r, uint64_t addr, uint64_t *out)
{
	return pyobj__read(r, addr, out, sizeof(*out));
}

/* The kind that the subclass bits tell, or KIND_OTHER. */
static enum pyobj_kind kind_by_flags(uint64_t flags)
{
	static const struct {
		uint32_t flag;
		enum pyobj_kind kind;
	} bits[] = {
		{ TPFLAGS_TYPE_SUBCLASS, KIND_TYPE }, { TPFLAGS_UNICODE_SUBCLASS, KIND_STR },
		{ TPFLAGS_DICT_SUBCLASS, KIND_DICT }, { TPFLAGS_TUPLE_SUBCLASS, KIND_TUPLE },
		{ TPFLAGS_LIST_SUBCLASS, KIND_LIST }, { TPFLAGS_LONG_SUBCLASS, KIND_INT },
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		if (flags & bits[i].flag)
			return bits[i].kind;
	}
	return KIND_OTHER;
}

static enum pyobj_kind kind_by_addr(const struct pyobj_reader *r, uint64_t type)
{
	for (int i = KIND_OTHER + 1; i < KIND_COUNT; i++) {
		if (r->sym.types[i] == type)
			return (enum pyobj_kind)i;
	}
	return KIND_OTHER;
}

static enum pyobj_kind kind_of(struct pyobj_reader *r, const struct pyobj_type *type)
{
	enum pyobj_kind kind = kind_by_flags(type->flags);
	uint64_t at = type->addr, base = type->base;

	for (int i = 0; kind == KIND_OTHER && at && i < BASES_MAX; i++) {
		kind = kind_by_addr(r, at);
		at = base;
		if (at && pyobj__read_u64(r, at + r->lay->type_base, &base))
			break;
	}
	return kind;
}

int pyobj_type__read(struct pyobj_reader *r, uint64_t type, struct pyobj_type *out)
{
	const struct layout *lay = r->lay;
	struct pyobj_type *kept = r->cache ? &r->cache->types[type / 16 % TYPES] : NULL;
	const int32_t fields[] = { lay->ob_type,   lay->type_flags, lay->type_basicsize, lay->type_itemsize,
				   lay->type_base, lay->type_dict,  lay->type_dictoffset };
	uint8_t buf[LAYOUT_TYPE_BYTES];
	uint64_t meta, meta_flags;
	int err;

	if (kept && type && kept->addr == type) {
		*out = *kept;
		return 0;
	}
	err = pyobj__read(r, type, buf, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(buf)));
	if (err)
		return err;
	meta = field_u64(buf, lay->ob_type);
	if (meta != r->sym.types[KIND_TYPE]) {
		err = pyobj__read_u64(r, meta + (uint64_t)lay->type_flags, &meta_flags);
		if (err)
			return err;
		if (!(meta_flags & TPFLAGS_TYPE_SUBCLASS))
			return -EINVAL;
	}
	*out = (struct pyobj_type){
		.addr = type,
		.flags = field_u64(buf, lay->type_flags),
		.base = field_u64(buf, lay->type_base),
		.dict = field_u64(buf, lay->type_dict),
		.basicsize = (int64_t)field_u64(buf, lay->type_basicsize),
		.itemsize = (int64_t)field_u64(buf, lay->type_itemsize),
		.dictoffset = (int64_t)field_u64(buf, lay->type_dictoffset),
	};
	out->kind = kind_of(r, out);
	if (kept)
		*kept = *out;
	return 0;
}

int pyobj__type(struct pyobj_reader *r, uint64_t obj, struct pyobj_type *out)
{
	uint64_t type;
	int err = pyobj__read_u64(r, obj + (uint64_t)r->lay->ob_type, &type);

	return err ? err : pyobj_type__read(r, type, out);
}

/* Where a str's characters are and what they are. */
struct str_view {
	uint64_t data, length;
	unsigned kind; /* bytes a character: 1, 2, 4 */
};

static int open_str(struct pyobj_reader *r, uint64_t obj, struct str_view *view)
{
	const struct layout *lay = r->lay;
	const int32_t fields[] = { lay->ob_type, lay->unicode_length, lay->unicode_state };
	struct pyobj_type type;
	uint8_t head[LAYOUT_OBJECT_BYTES];
	uint32_t state;
	bool ascii;
	int err = pyobj__read(r, obj, head, fields_end(fields, sizeof(fields) / sizeof(fields[0]), sizeof(head)));

	if (err)
		return err;
	if (field_u64(head, lay->ob_type) != r->sym.types[KIND_STR]) {
		err = pyobj_type__read(r, field_u64(head, lay->ob_type), &type);
		if (err || type.kind != KIND_STR)
			return err ? err : -EINVAL;
	}
	state = field_u32(head, lay->unicode_state);
	view->length = field_u64(head, lay->unicode_length);
	view->kind = state >> lay->unicode_kind_shift & 7;
	ascii = state >> lay->unicode_ascii_shift & 1;
	/* Kind 0 is a string of 3.11 and older that was not made ready: no identifier or file name is one. */
	if (view->length > INT64_MAX || (view->kind != 1 && view->kind != 2 && view->kind != 4))
		return -EINVAL;
	if (!(state >> lay->unicode_compact_shift & 1))
		return pyobj__read_u64(r, obj + (uint64_t)lay->unicode_any_data, &view->data);
	view->data = obj + (uint64_t)(ascii ? lay->unicode_ascii_data : lay->unicode_compact_data);
	return 0;
}

/* Writes one character as UTF-8; its length, or 0 when it does not fit into `room`. */
static size_t put_utf8(uint32_t c, char *to, size_t room)
{
	size_t n;

	/* A NUL would end the C string early; surrogates and what lies above Unicode cannot be encoded. */
	if (!c || (c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
		c = 0xfffd;
	n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	if (n > room)
		return 0;
	if (n == 1) {
		to[0] = (char)c;
		return 1;
	}
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		to[i] = (char)(0x80 | (c & 0x3f));
	to[0] = (char)((0xf00 >> n & 0xff) | c);
	return n;
}

static uint32_t char_at(const uint8_t *chars, unsigned kind, size_t i)
{
	if (kind == 1)
		return chars[i];
	if (kind == 2)
		return (uint32_t)chars[2 * i] | (uint32_t)chars[2 * i + 1] << 8;
	return field_u32(chars, (int32_t)(4 * i));
}

int pyobj__str(struct pyobj_reader *r, uint64_t obj, char *buf, size_t size)
{
	struct str_view view;
	uint8_t chunk[1024];
	size_t used = 0, left;
	int err;

	if (!size)
		return -EINVAL;
	buf[0] = 0;
	err = open_str(r, obj, &view);
	if (err)
		return err;
	/* Each character takes at least one byte of the result, so that no more of them can matter. */
	for (left = view.length < size ? view.length : size; left;) {
		size_t n = left < sizeof(chunk) / 4 ? left : sizeof(chunk) / 4;

		err = pyobj__read(r, view.data, chunk, n * view.kind);
		if (err)
			break;
		for (size_t i = 0; i < n; i++) {
			size_t put = put_utf8(char_at(chunk, view.kind, i), buf + used, size - 1 - used);

			used += put;
			if (!put)
				goto out;
		}
		view.data += n * view.kind;
		left -= n;
	}
out:
	buf[err ? 0 : used] = 0;
	return err;
}

bool pyobj__str_is(struct pyobj_reader *r, uint64_t obj, const char *text)
{
	struct str_view view;
	size_t len = strlen(text);
	char chars[64];

	if (len > sizeof(chars) || open_str(r, obj, &view) || view.length != len || view.kind != 1)
		return false;
	return !pyobj__read(r, view.data, chars, len) && !memcmp(chars, text, len);
}

int pyobj__int(struct pyobj_reader *r, uint64_t obj, int64_t *out)
{
	const struct layout *lay = r->lay;
	struct pyobj_type type;
	uint64_t word, digits = 0;
	int64_t size;
	int err = pyobj__type(r, obj, &type);

	if (err || type.kind != KIND_INT)
		return err ? err : -EINVAL;
	err = pyobj__read_u64(r, obj + (uint64_t)(lay->long_tag == OFF_NONE ? lay->ob_size : lay->long_tag), &word);
	if (err)
		return err;
	/* From 3.12 on lv_tag: digits << 3 | 0 positive, 1 zero, 2 negative. Before, ob_size with the number's sign. */
	if (lay->long_tag == OFF_NONE)
		size = (int64_t)word;
	else
		size = (word & 3) == 1 ? 0 : (word & 3) == 2 ? -(int64_t)(word >> 3) : (int64_t)(word >> 3);
	if (size < -2 || size > 2)
		return -ERANGE;
	for (int64_t i = 0; i < (size < 0 ? -size : size); i++) {
		uint32_t digit;

		err = pyobj__read(r, obj + (uint64_t)lay->long_digits + 4 * (uint64_t)i, &digit, sizeof(digit));
		if (err)
			return err;
		digits |= (uint64_t)(digit & 0x3fffffff) << 30 * i;
	}
	*out = size < 0 ? -(int64_t)digits : (int64_t)digits;
	return 0;
}

int pyobj__items_each(struct pyobj_reader *r, uint64_t obj, size_t max, int (*fn)(uint64_t item, void *ctx), void *ctx)
{
	struct pyobj_type type;
	uint64_t at, left, items[CHUNK / 8];
	int err = pyobj__type(r, obj, &type);

	if (err || (type.kind != KIND_TUPLE && type.kind != KIND_LIST))
		return err ? err : -EINVAL;
	err = pyobj__read_u64(r, obj + (uint64_t)r->lay->ob_size, &left);
	if (err)
		return err;
	if (left > INT64_MAX)
		return -EINVAL;
	at = obj + (uint64_t)r->lay->tuple_items;
	if (type.kind == KIND_LIST)
		err = pyobj__read_u64(r, obj + (uint64_t)r->lay->list_items, &at);
	if (left > max)
		left = max;
	while (left && !err) {
		size_t n = left < CHUNK / 8 ? left : CHUNK / 8;

		err = pyobj__read(r, at, items, n * 8);
		for (size_t i = 0; i < n && !err; i++)
			err = items[i] ? fn(items[i], ctx) : 0;
		at += n * 8;
		left -= n;
	}
	return err;
}
