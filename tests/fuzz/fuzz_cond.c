/* fuzz_cond: a condition up to a NUL, then values for its variables, one byte each. It is compiled and evaluated. */
#include "cond.h"
#include "fuzz.h"
#include "skel.h"
#include "value.h"

#define NAMES 256

/* Values of the fuzzer's own: they need no process. */
struct value {
	uint8_t kind;
};

enum value_class value__class(const struct value *v)
{
	return v->kind % (VALUE_UNKNOWN + 1);
}

int64_t value__int(const struct value *v)
{
	return v->kind - 128;
}

double value__float(const struct value *v)
{
	return v->kind == 255 ? 1e300 : v->kind / 8.0;
}

const char *value__str(const struct value *v, size_t *len)
{
	static const char text[] = "abc\0xyz";

	*len = v->kind % sizeof(text);
	return text;
}

int value__truth(const struct value *v)
{
	return v->kind % 3 - 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	size_t n = strnlen((const char *)data, size);
	char *text = strndup((const char *)data, n);
	struct value values[NAMES];
	const struct value *pointers[NAMES] = { 0 };
	uint16_t operands[NAMES];
	const char *const *names;
	struct wire_cond wire;
	struct cond *c;
	int result;

	if (!text)
		abort();
	fuzz_begin();
	fuzz_bytes(&in, n < size ? n + 1 : n);
	if (!cond__parse(text, &c)) {
		size_t nnames = cond__operands(c, &names);

		for (size_t i = 0; i < nnames; i++) {
			fuzz_use(names[i], strlen(names[i]));
			operands[i] = (uint16_t)i;
			values[i].kind = (uint8_t)fuzz_number(&in, 1);
			pointers[i] = values[i].kind == 7 ? NULL : &values[i];
		}
		cond__compile(c, operands, &wire);
		fuzz_use(&wire, sizeof(wire));
		for (uint32_t i = 0; i < wire.nsteps; i++)
			if (wire.steps[i] < WIRE_STEP_AND && wire.steps[i] >= wire.ntests)
				abort();
		result = cond__eval(c, pointers);
		if (result < -1 || result > 1)
			abort();
		cond__free(c);
	}
	free(text);
	return 0;
}
