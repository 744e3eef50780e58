/*
 * usdt: reads the notes of static probes.
 *
 * Owns the list made of them; the strings stay in the file. Attaches nothing.
 *
 * What a file can make us do is bounded by its size and by NOTES_MAX: a note is looked at once, none is followed
 * anywhere but to its end, and nothing is allocated by a number that the file gives.
 */
#include "usdt.h"

#include "diag.h"
#include "elf.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* QEMU, which has a probe for each of its trace events, has some thousands. */
#define NOTES_MAX (1u << 14)
#define NOTE_TYPE 3
#define NOTE_ADDRESSES 3
#define REG_RSP 4

struct usdt_notes {
	struct usdt_note *items;
	size_t n, room;
	size_t seen; /* those that were left out, too */
};

/* A piece of an argument's text that is still to be read. */
struct text {
	const char *at, *end;
};

static bool take(struct text *t, char c)
{
	if (t->at == t->end || *t->at != c)
		return false;
	t->at++;
	return true;
}

/* A number without sign: decimal, or hexadecimal behind 0x. */
static bool take_digits(struct text *t, uint64_t *out)
{
	unsigned base = 10, digit;
	const char *first;

	if (t->end - t->at > 2 && t->at[0] == '0' && t->at[1] == 'x') {
		base = 16;
		t->at += 2;
	}
	*out = 0;
	for (first = t->at; t->at < t->end; t->at++) {
		if (*t->at >= '0' && *t->at <= '9')
			digit = (unsigned)(*t->at - '0');
		else if (base == 16 && *t->at >= 'a' && *t->at <= 'f')
			digit = (unsigned)(*t->at - 'a') + 10;
		else
			break;
		if (__builtin_mul_overflow(*out, base, out) || __builtin_add_overflow(*out, digit, out))
			return false;
	}
	return t->at > first;
}

/* Numbers with signs, added up: gcc writes the offset within an object behind the object's own. A constant of eight
 * bytes may be written without its sign. */
static bool take_sum(struct text *t, int64_t *out)
{
	uint64_t number, sum = 0;
	bool minus;

	do {
		minus = take(t, '-');
		if (!minus)
			take(t, '+');
		if (!take_digits(t, &number) || (minus && number > UINT64_C(1) << 63))
			return false;
		sum += minus ? -number : number;
	} while (t->at < t->end && (*t->at == '-' || *t->at == '+'));
	*out = (int64_t)sum;
	return true;
}

/* The names of each register, by width. */
static const char *const registers[][4] = {
	{ "rax", "eax", "ax", "al" },	   { "rcx", "ecx", "cx", "cl" },      { "rdx", "edx", "dx", "dl" },
	{ "rbx", "ebx", "bx", "bl" },	   { "rsp", "esp", "sp", "spl" },     { "rbp", "ebp", "bp", "bpl" },
	{ "rsi", "esi", "si", "sil" },	   { "rdi", "edi", "di", "dil" },     { "r8", "r8d", "r8w", "r8b" },
	{ "r9", "r9d", "r9w", "r9b" },	   { "r10", "r10d", "r10w", "r10b" }, { "r11", "r11d", "r11w", "r11b" },
	{ "r12", "r12d", "r12w", "r12b" }, { "r13", "r13d", "r13w", "r13b" }, { "r14", "r14d", "r14w", "r14b" },
	{ "r15", "r15d", "r15w", "r15b" },
};
static const char *const second_bytes[] = { "ah", "ch", "dh", "bh" };

static bool is_word(const struct text *word, const char *name)
{
	size_t len = strlen(name);

	return (size_t)(word->end - word->at) == len && memcmp(word->at, name, len) == 0;
}

enum width { WIDTH_8, WIDTH_4, WIDTH_2, WIDTH_1, WIDTH_SECOND_BYTE };

static uint8_t register_number(const struct text *word, enum width *width)
{
	*width = WIDTH_8;
	if (is_word(word, "rip"))
		return USDT_REG_RIP;
	for (uint8_t i = 0; i < 16; i++)
		for (*width = WIDTH_8; *width <= WIDTH_1; ++*width)
			if (is_word(word, registers[i][*width]))
				return i;
	*width = WIDTH_SECOND_BYTE;
	for (uint8_t i = 0; i < 4; i++)
		if (is_word(word, second_bytes[i]))
			return i;
	return USDT_REG_NONE;
}

static bool take_register(struct text *t, uint8_t *reg, enum width *width)
{
	struct text word;

	if (!take(t, '%'))
		return false;
	word.at = t->at;
	while (t->at < t->end && ((*t->at >= 'a' && *t->at <= 'z') || (*t->at >= '0' && *t->at <= '9')))
		t->at++;
	word.end = t->at;
	*reg = register_number(&word, width);
	return *reg != USDT_REG_NONE;
}

/* One that addresses are made of. */
static bool take_pointer(struct text *t, uint8_t *reg)
{
	enum width width;

	return take_register(t, reg, &width) && width == WIDTH_8;
}

/* "disp", "disp(base)", "disp(base,index)", "disp(base,index,scale)"; all but the displacement or the base may lack. */
static bool take_memory(struct text *t, struct usdt_arg *arg)
{
	uint64_t scale = 1;

	arg->kind = USDT_ARG_MEMORY;
	if (t->at < t->end && *t->at != '(' && !take_sum(t, &arg->value))
		return false;
	if (t->at == t->end)
		return true;
	if (!take(t, '('))
		return false;
	if (t->at < t->end && *t->at == '%' && !take_pointer(t, &arg->reg))
		return false;
	if (take(t, ',')) {
		if (!take_pointer(t, &arg->index) || arg->index == REG_RSP || arg->index == USDT_REG_RIP ||
		    arg->reg == USDT_REG_RIP)
			return false;
		if (take(t, ',') && !take_digits(t, &scale))
			return false;
		if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
			return false;
		arg->scale = (uint8_t)scale;
	}
	return take(t, ')') && (arg->reg != USDT_REG_NONE || arg->index != USDT_REG_NONE);
}

static bool take_arg(struct text *t, struct usdt_arg *arg)
{
	enum width width;
	uint64_t size;

	arg->is_signed = take(t, '-');
	if (!take_digits(t, &size) || !take(t, '@') || t->at == t->end)
		return false;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	arg->size = (uint8_t)size;
	if (take(t, '$')) {
		arg->kind = USDT_ARG_CONSTANT;
		return take_sum(t, &arg->value) && t->at == t->end;
	}
	if (*t->at == '%') {
		arg->kind = USDT_ARG_REGISTER;
		if (!take_register(t, &arg->reg, &width) || arg->reg == USDT_REG_RIP)
			return false;
		arg->second_byte = width == WIDTH_SECOND_BYTE;
		return t->at == t->end;
	}
	return take_memory(t, arg) && t->at == t->end;
}

/* "N@OPERAND" for each, blanks between them; N is negative for a signed one. */
static void read_args(const char *text, struct usdt_note *note)
{
	const struct usdt_arg none = { .reg = USDT_REG_NONE, .index = USDT_REG_NONE };
	struct text word;

	for (text += strspn(text, " "); *text && note->nargs < USDT_ARGS_MAX; text += strspn(text, " ")) {
		struct usdt_arg *arg = &note->args[note->nargs++];

		word.at = text;
		text += strcspn(text, " ");
		word.end = text;
		*arg = none;
		if (!take_arg(&word, arg))
			*arg = none;
	}
}

static const char *take_string(const uint8_t **at, const uint8_t *end)
{
	const uint8_t *start = *at, *nul = memchr(start, '\0', (size_t)(end - start));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return (const char *)start;
}

static struct usdt_note *add_note(struct usdt_notes *notes)
{
	struct usdt_note *grown;

	if (notes->n == notes->room) {
		notes->room = notes->room ? 2 * notes->room : 16;
		grown = reallocarray(notes->items, notes->room, sizeof(*grown));
		if (!grown)
			return NULL;
		notes->items = grown;
	}
	memset(&notes->items[notes->n], 0, sizeof(*notes->items));
	return &notes->items[notes->n];
}

/* One note's descriptor. `base` is the address of .stapsdt.base, 0 when the file has none. */
static int read_note(const struct elf_file *elf, uint64_t base, const uint8_t *desc, size_t len,
		     struct usdt_notes *notes)
{
	const uint8_t *end = desc + len;
	uint64_t words[NOTE_ADDRESSES], moved;
	struct usdt_note *note;

	if (len < sizeof(words) || notes->seen++ == NOTES_MAX)
		return -DIAG_BAD_DATA;
	note = add_note(notes);
	if (!note)
		return -ENOMEM;
	memcpy(words, desc, sizeof(words));
	desc += sizeof(words);
	note->provider = take_string(&desc, end);
	note->name = note->provider ? take_string(&desc, end) : NULL;
	note->text = note->name ? take_string(&desc, end) : NULL;
	if (!note->text)
		return -DIAG_BAD_DATA;
	moved = base && words[1] ? base - words[1] : 0;
	note->pc = words[0] + moved;
	note->semaphore = words[2] ? words[2] + moved : 0;
	if (!elf_file__is_code(elf, note->pc) || elf_file__file_offset(elf, note->pc, &note->pc_offset))
		return 0;
	if (note->semaphore && (elf_file__is_code(elf, note->semaphore) ||
				elf_file__file_offset(elf, note->semaphore, &note->semaphore_offset)))
		return 0;
	read_args(note->text, note);
	notes->n++;
	return 0;
}

static size_t round_up4(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

/* The format of notes: elf(5), "Notes (Nhdr)". Here their parts are always padded to 4 bytes. */
static int read_section(const struct elf_file *elf, uint64_t base, const struct elf_section *s,
			struct usdt_notes *notes)
{
	static const char owner[] = "stapsdt";
	size_t at = 0, name, desc;
	Elf64_Nhdr nh;
	int err = 0;

	while (!err && at < s->size) {
		if (s->size - at < sizeof(nh))
			return -DIAG_BAD_DATA;
		memcpy(&nh, s->data + at, sizeof(nh));
		name = at + sizeof(nh);
		desc = name + round_up4(nh.n_namesz); /* 32-bit numbers, and a size below 2^34: no overflow */
		at = desc + round_up4(nh.n_descsz);
		if (desc + nh.n_descsz > s->size)
			return -DIAG_BAD_DATA;
		if (nh.n_type == NOTE_TYPE && nh.n_namesz == sizeof(owner) &&
		    memcmp(s->data + name, owner, sizeof(owner)) == 0)
			err = read_note(elf, base, s->data + desc, nh.n_descsz, notes);
	}
	return err;
}

/* The first of that name: a linker makes one of all. */
static bool find_section(const struct elf_file *elf, const char *name, struct elf_section *out)
{
	for (size_t i = 0; i < elf_file__section_count(elf); i++)
		if (elf_file__section(elf, i, out) == 0 && strcmp(out->name, name) == 0)
			return true;
	return false;
}

int usdt_notes__read(const struct elf_file *elf, struct usdt_notes **out)
{
	struct usdt_notes *notes = calloc(1, sizeof(*notes));
	struct elf_section section, base = { 0 };
	int err = 0;

	*out = NULL;
	if (!notes)
		return -ENOMEM;
	if (!find_section(elf, ".stapsdt.base", &base))
		base.addr = 0;
	if (find_section(elf, ".note.stapsdt", &section))
		err = section.type == SHT_NOTE && section.data ? read_section(elf, base.addr, &section, notes)
							       : -DIAG_BAD_DATA;
	if (err)
		usdt_notes__free(notes);
	else
		*out = notes;
	return err;
}

void usdt_notes__free(struct usdt_notes *notes)
{
	if (!notes)
		return;
	free(notes->items);
	free(notes);
}

size_t usdt_notes__count(const struct usdt_notes *notes)
{
	return notes->n;
}

const struct usdt_note *usdt_notes__get(const struct usdt_notes *notes, size_t i)
{
	return &notes->items[i];
}

const struct usdt_note *usdt_notes__find(const struct usdt_notes *notes, const char *provider, const char *name,
					 size_t i)
{
	for (size_t k = 0; k < notes->n; k++) {
		const struct usdt_note *note = &notes->items[k];

		if (strcmp(note->provider, provider) == 0 && strcmp(note->name, name) == 0 && i-- == 0)
			return note;
	}
	return NULL;
}
