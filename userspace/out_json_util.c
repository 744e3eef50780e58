/* out_json_util: see out_json_util.h. */
#include "out_json_util.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "out_util.h"

json_t *out_json__string(const char *text)
{
	char *copy = utf8_copy(text_or_empty(text));
	json_t *value = copy ? json_string(copy) : NULL;

	free(copy);
	return value;
}

json_t *out_json__integer(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *out_json__number(double value)
{
	return isfinite(value) ? json_real(value) : json_null();
}

void out_json__set(struct sink *s, json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value))
		sink__fail(s, -ENOMEM);
}

/* DEL is the one control character that jansson passes on. It can stand in strings only. */
void out_json__put(struct sink *s, const char *text)
{
	for (const char *del; (del = strchr(text, 0x7f)); text = del + 1) {
		sink__write(s, text, del - text);
		sink__puts(s, "\\u007f");
	}
	sink__puts(s, text);
}
