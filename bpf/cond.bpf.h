/*
 * cond: decides the session's condition, as far as that can be done in the kernel; userspace (cond.c there) decides the
 * rest by the same rules.
 *
 * Those are Python's, for None, bool, int, float, str, and the truth of containers, whose classes are the builtin ones: what
 * a class of the program makes of `==` is not known here. Where Python raises an exception, a comparison is false: with a
 * variable that does not exist or has no value now, and of values that have no order.
 */
#ifndef PYLU_COND_BPF_H
#define PYLU_COND_BPF_H

#include "operand.bpf.h"

enum cond_truth {
	COND_FALSE,
	COND_TRUE,
	COND_UNDECIDED,
};

enum cond_class {
	COND_OBJECT, /* what it equals is not known */
	COND_NONE,
	COND_INT,   /* that fits into 64 bits; bool too */
	COND_BIG,   /* another int: `number` is its sign */
	COND_FLOAT, /* `number`: its bits */
	COND_STR,   /* compact ASCII */
	COND_TEXT,  /* with other characters */
	COND_OTHER, /* a builtin container: it equals nothing of the above */
};

#define TEXT_WORDS (WIRE_TEST_BYTES / 8)

struct cond_value {
	u64 obj; /* 0: a constant */
	s64 number;
	u64 len;	      /* of a str; of a container its size */
	u64 text[TEXT_WORDS]; /* the first characters of a str, NULs behind them */
	u32 class;
	u32 is_bool;
};

/* An int of up to 63 bits is in three digits of 30 bits, the lowest first. */
static __always_inline void cond_int(const struct wire_value_layout *v, struct cond_value *out)
{
	u32 digits[3] = {}, negative;
	s64 size;
	u64 n;

	if (v->long_tag >= 0) {
		n = read_u64(out->obj + v->long_tag);
		negative = (n & 3) == 2;
		n >>= 3;
	} else {
		size = read_u64(out->obj + v->ob_size);
		negative = size < 0;
		n = negative ? -size : size;
	}
	out->class = COND_INT;
	out->number = 0;
	if (!n)
		return;
	if (n <= 3 && bpf_probe_read_user(digits, n * 4 & 15, (void *)(out->obj + v->long_digits))) {
		out->class = COND_OBJECT;
		return;
	}
	if (n > 3 || digits[2] >= 8) {
		out->class = COND_BIG;
		out->number = negative ? -1 : 1;
		return;
	}
	out->number = (s64)((u64)digits[2] << 60 | (u64)digits[1] << 30 | digits[0]);
	if (negative)
		out->number = -out->number;
}

static __always_inline void cond_str(const struct wire_value_layout *v, struct cond_value *out)
{
	u32 state = read_u32(out->obj + v->unicode_state), n;

	if (!(state >> (v->unicode_compact_shift & 31) & 1))
		return; /* of an old kind: it may be anything */
	if (!(state >> (v->unicode_ascii_shift & 31) & 1)) {
		out->class = COND_TEXT;
		return;
	}
	out->len = read_u64(out->obj + v->unicode_length);
	n = out->len > WIRE_TEST_BYTES ? WIRE_TEST_BYTES : out->len;
	if (n && bpf_probe_read_user(out->text, n, (void *)(out->obj + v->unicode_ascii_data)))
		return;
	out->class = COND_STR;
}

/* What there is to know of an object. */
__noinline int cond_load(const struct wire_value_layout *v, struct cond_value *out)
{
	u64 type, flags;
	u32 kind;

	if (!v || !out)
		return 0;
	type = read_u64(out->obj + v->ob_type);
	if (bpf_probe_read_user(&flags, sizeof(flags), (void *)(type + v->type_flags)) || flags & TPFLAGS_HEAPTYPE)
		return 0;
	kind = type_kind_flagged(flags);
	if (kind == KIND_UNKNOWN)
		kind = type_kind_named(read_u64(type + v->type_name));
	switch (kind) {
	case KIND_INT:
		out->is_bool = read_u64(type + v->type_base) != 0 &&
			       read_u64(read_u64(type + v->type_base) + v->type_flags) & TPFLAGS_LONG;
		cond_int(v, out);
		break;
	case KIND_STR:
		cond_str(v, out);
		break;
	case KIND_FLOAT:
		out->class = COND_FLOAT;
		out->number = read_u64(out->obj + v->float_value);
		break;
	case KIND_NONE:
		out->class = COND_NONE;
		break;
	case KIND_LIST:
	case KIND_TUPLE:
	case KIND_BYTES:
	case KIND_BYTEARRAY:
		out->class = COND_OTHER;
		out->len = read_u64(out->obj + v->ob_size);
		break;
	case KIND_DICT:
		out->class = COND_OTHER;
		out->len = read_u64(out->obj + v->dict_used);
		break;
	case KIND_SET:
		out->class = COND_OTHER;
		out->len = read_u64(out->obj + v->set_used);
		break;
	}
	return 0;
}

/* How two values stand to each other. */
enum cond_order {
	ORDER_LESS,
	ORDER_EQUAL,
	ORDER_GREATER,
	ORDER_SAME,	 /* they are equal, and have no order */
	ORDER_NONE,	 /* they are not equal, and have no order */
	ORDER_DIFFERENT, /* they are not equal, in which order is not known */
	ORDER_UNKNOWN,
};

static __always_inline int order_ints(s64 a, s64 b)
{
	return a < b ? ORDER_LESS : a > b ? ORDER_GREATER : ORDER_EQUAL;
}

#define DOUBLE_SIGN (1ULL << 63)
#define DOUBLE_INF (0x7ffULL << 52)
#define DOUBLE_2_63 (0x43eULL << 52) /* 2.0**63 */
#define DOUBLE_1 (0x3ffULL << 52)

/* Of two doubles that are no NaN: sign and magnitude are ordered as their bits are. */
static __always_inline int order_doubles(u64 a, u64 b)
{
	s64 x = a & DOUBLE_SIGN ? -(s64)(a & ~DOUBLE_SIGN) : (s64)a,
	    y = b & DOUBLE_SIGN ? -(s64)(b & ~DOUBLE_SIGN) : (s64)b;

	return order_ints(x, y);
}

/* Of an int and a double that is no NaN, exactly: there is no floating point here. */
static __always_inline int order_int_double(s64 n, u64 bits)
{
	u64 magnitude = bits & ~DOUBLE_SIGN, mantissa, whole, part = 0;
	u32 negative = bits >> 63, exponent;
	int order;

	if (magnitude >= DOUBLE_2_63) {
		if (!negative)
			return ORDER_LESS;
		return magnitude == DOUBLE_2_63 && n == (s64)DOUBLE_SIGN ? ORDER_EQUAL : ORDER_GREATER;
	}
	if (magnitude < DOUBLE_1) {
		whole = 0;
		part = magnitude;
	} else {
		exponent = (magnitude >> 52) - 1023; /* 0..62 */
		mantissa = (magnitude & ((1ULL << 52) - 1)) | 1ULL << 52;
		if (exponent >= 52) {
			whole = mantissa << ((exponent - 52) & 63);
		} else {
			whole = mantissa >> ((52 - exponent) & 63);
			part = mantissa & ((1ULL << ((52 - exponent) & 63)) - 1);
		}
	}
	order = order_ints(n, negative ? -(s64)whole : (s64)whole);
	if (order != ORDER_EQUAL || !part)
		return order;
	return negative ? ORDER_GREATER : ORDER_LESS;
}

static __always_inline int order_turned(int order)
{
	return order <= ORDER_GREATER ? ORDER_GREATER - order : order;
}

static __always_inline int is_nan(const struct cond_value *a)
{
	return a->class == COND_FLOAT && ((u64)a->number & ~DOUBLE_SIGN) > DOUBLE_INF;
}

/* Of numbers of which one at least is too large for 64 bits. */
static __always_inline int order_big(const struct cond_value *a, const struct cond_value *b)
{
	const struct cond_value *other = a->class == COND_BIG ? b : a;
	u64 magnitude = (u64)other->number & ~DOUBLE_SIGN;
	int order;

	if (other->class == COND_BIG && a->number != b->number)
		return order_ints(a->number, b->number);
	if (other->class == COND_BIG)
		return a->obj == b->obj ? ORDER_EQUAL : ORDER_UNKNOWN;
	if (other->class == COND_INT && other->number == (s64)DOUBLE_SIGN)
		return ORDER_UNKNOWN; /* the one that has 64 bits and more than 63 */
	if (other->class == COND_FLOAT && magnitude >= DOUBLE_2_63 && magnitude < DOUBLE_INF)
		return ORDER_UNKNOWN;
	if (other->class == COND_FLOAT && magnitude == DOUBLE_INF)
		order = other->number < 0 ? ORDER_GREATER : ORDER_LESS;
	else
		order = (a->class == COND_BIG ? a : b)->number < 0 ? ORDER_LESS : ORDER_GREATER;
	return a->class == COND_BIG ? order : order_turned(order);
}

static __always_inline int order_strs(const struct cond_value *a, const struct cond_value *b)
{
	if (a->class != b->class)
		return ORDER_DIFFERENT; /* only one has characters that are not ASCII */
	if (a->class == COND_TEXT)
		return a->obj == b->obj ? ORDER_EQUAL : ORDER_UNKNOWN;
	for (u32 i = 0; i < TEXT_WORDS; i++)
		if (a->text[i] != b->text[i])
			return __builtin_bswap64(a->text[i]) < __builtin_bswap64(b->text[i]) ? ORDER_LESS
											     : ORDER_GREATER;
	if (a->len <= WIRE_TEST_BYTES || b->len <= WIRE_TEST_BYTES)
		return a->len < b->len ? ORDER_LESS : a->len > b->len ? ORDER_GREATER : ORDER_EQUAL;
	if (a->obj == b->obj)
		return ORDER_EQUAL;
	return a->len == b->len ? ORDER_UNKNOWN : ORDER_DIFFERENT;
}

static __always_inline int is_number(const struct cond_value *a)
{
	return a->class == COND_INT || a->class == COND_BIG || a->class == COND_FLOAT;
}

static __always_inline int is_str(const struct cond_value *a)
{
	return a->class == COND_STR || a->class == COND_TEXT;
}

/* enum cond_order. */
__noinline int cond_order(const struct cond_value *a, const struct cond_value *b)
{
	if (!a || !b)
		return ORDER_UNKNOWN;
	if (a->class == COND_OBJECT || b->class == COND_OBJECT || (a->class == COND_OTHER && b->class == COND_OTHER))
		return ORDER_UNKNOWN;
	if (a->class == COND_NONE && b->class == COND_NONE)
		return ORDER_SAME;
	if (is_str(a) && is_str(b))
		return order_strs(a, b);
	if (!is_number(a) || !is_number(b) || is_nan(a) || is_nan(b))
		return ORDER_NONE;
	if (a->class == COND_BIG || b->class == COND_BIG)
		return order_big(a, b);
	if (a->class == COND_INT)
		return b->class == COND_INT ? order_ints(a->number, b->number) : order_int_double(a->number, b->number);
	return b->class == COND_INT ? order_turned(order_int_double(b->number, a->number))
				    : order_doubles(a->number, b->number);
}

/* enum cond_truth of a comparison by its order. */
static __always_inline int order_truth(u32 op, int order)
{
	if (order == ORDER_UNKNOWN)
		return COND_UNDECIDED;
	switch (op) {
	case WIRE_TEST_EQ:
		return order == ORDER_EQUAL || order == ORDER_SAME;
	case WIRE_TEST_NE:
		return order != ORDER_EQUAL && order != ORDER_SAME;
	}
	if (order == ORDER_DIFFERENT)
		return COND_UNDECIDED;
	switch (op) {
	case WIRE_TEST_LT:
		return order == ORDER_LESS;
	case WIRE_TEST_LE:
		return order <= ORDER_EQUAL;
	case WIRE_TEST_GT:
		return order == ORDER_GREATER;
	case WIRE_TEST_GE:
		return order == ORDER_EQUAL || order == ORDER_GREATER;
	}
	return COND_UNDECIDED;
}

/* enum cond_truth of a value alone. */
static __always_inline int value_truth(const struct cond_value *a)
{
	switch (a->class) {
	case COND_NONE:
		return COND_FALSE;
	case COND_INT:
		return a->number != 0;
	case COND_FLOAT:
		return ((u64)a->number & ~DOUBLE_SIGN) != 0;
	case COND_STR:
	case COND_OTHER:
		return a->len != 0;
	case COND_BIG:
	case COND_TEXT:
		return COND_TRUE;
	}
	return COND_UNDECIDED;
}

/* Whether an object is a constant of which there is one. */
static __always_inline int is_constant(const struct cond_value *a, const struct wire_test *t)
{
	switch (t->const_kind) {
	case WIRE_CONST_NONE:
		return a->class == COND_NONE;
	case WIRE_CONST_BOOL:
		return a->class == COND_INT && a->is_bool && a->number == t->number;
	}
	return COND_UNDECIDED;
}

static __always_inline void constant_load(const struct wire_test *t, struct cond_value *out)
{
	out->number = t->number;
	switch (t->const_kind) {
	case WIRE_CONST_NONE:
		out->class = COND_NONE;
		break;
	case WIRE_CONST_BOOL:
	case WIRE_CONST_INT:
		out->class = COND_INT;
		break;
	case WIRE_CONST_FLOAT:
		out->class = COND_FLOAT;
		break;
	case WIRE_CONST_STR:
		out->class = COND_STR;
		out->len = t->len;
		for (u32 i = 0; i < TEXT_WORDS; i++)
			out->text[i] = ((const u64 *)t->text)[i];
		break;
	}
}

/* Whose variables the condition is about. */
struct cond_frame {
	u64 frame;
	/* What the tests and connectives up to now left, two bits each, the last lowest. In memory, and not to be held in a
	 * register: the verifier would follow all that it can be. */
	volatile u64 stack;
	u32 slot;
	u32 first; /* what the condition calls operand 0, in operands[] */
};

/* The value of an operand. Negative: it has none; 0: it cannot be told. */
static __always_inline int side_load(const struct wire_value_layout *v, const struct cond_frame *f, u32 operand,
				     struct cond_value *out)
{
	struct operand_query q = { .frame = f->frame, .slot = f->slot, .operand = f->first + operand };

	switch (operand_read(v, &q)) {
	case WIRE_ROOT_VALUE:
		out->obj = q.obj;
		cond_load(v, out);
		return 1;
	case WIRE_ROOT_UNBOUND:
	case WIRE_ROOT_MISSING:
		return -1;
	}
	return 0;
}

/* enum cond_truth of one test. */
__noinline int cond_test(const struct wire_value_layout *v, const struct cond_frame *f, u32 test)
{
	const struct wire_test *t = &cond.tests[test & (WIRE_MAX_TESTS - 1)];
	struct cond_value left = {}, right = {};
	int known;

	if (!v || !f)
		return COND_UNDECIDED;
	known = side_load(v, f, t->left, &left);
	if (known > 0 && t->op != WIRE_TEST_TRUE && t->const_kind == WIRE_CONST_OPERAND)
		known = side_load(v, f, t->right, &right);
	if (known <= 0)
		return known < 0 ? COND_FALSE : COND_UNDECIDED;
	switch (t->op) {
	case WIRE_TEST_TRUE:
		return value_truth(&left);
	case WIRE_TEST_IS:
	case WIRE_TEST_IS_NOT:
		known = t->const_kind == WIRE_CONST_OPERAND ? left.obj == right.obj : is_constant(&left, t);
		return known == COND_UNDECIDED ? known : known ^ (t->op == WIRE_TEST_IS_NOT);
	}
	if (t->const_kind != WIRE_CONST_OPERAND)
		constant_load(t, &right);
	return order_truth(t->op, cond_order(&left, &right));
}

/* The condition, which is in postfix order. */
__noinline int cond_eval(const struct wire_value_layout *v, struct cond_frame *f)
{
	u32 step, a, b;
	u64 stack;

	if (!v || !f)
		return COND_UNDECIDED;
	for (u32 i = 0; i < WIRE_MAX_STEPS && i < cond.nsteps; i++) {
		step = cond.steps[i];
		stack = f->stack;
		a = stack & 3;
		b = stack >> 2 & 3;
		if (step == WIRE_STEP_AND)
			stack = stack >> 4 << 2 | (!a || !b ? COND_FALSE : (a | b) & COND_UNDECIDED ?: COND_TRUE);
		else if (step == WIRE_STEP_OR)
			stack = stack >> 4 << 2 |
				(a == COND_TRUE || b == COND_TRUE ? COND_TRUE : (a | b) & COND_UNDECIDED);
		else if (step == WIRE_STEP_NOT)
			stack = stack >> 2 << 2 | (a == COND_UNDECIDED ? a : !a);
		else
			stack = stack << 2 | (cond_test(v, f, step) & 3);
		f->stack = stack;
	}
	return f->stack & 3;
}

/* enum cond_truth of the condition for what `frame` has in its variables now. */
static __always_inline int seen_cond_of(const struct wire_value_layout *v, u32 slot, u64 frame, u32 first)
{
	struct cond_frame f = { .frame = frame, .slot = slot, .first = first };

	return cond.nsteps ? cond_eval(v, &f) : COND_TRUE;
}

static __always_inline int seen_cond(const struct wire_value_layout *v, u32 slot, u64 frame)
{
	return seen_cond_of(v, slot, frame, 0);
}

#endif
