/*
 * value_number: numbers in the form that Python's repr gives them. Knows nothing of objects.
 *
 * Sources: Python/pystrtod.c (format_float_short with 'r'), Objects/longobject.c.
 */
#include "value_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 17 /* always enough for a double */

static bool is_same(double value, const char *digits, size_t n, int power)
{
	char text[DOUBLE_TEXT];

	snprintf(text, sizeof(text), "%.*se%d", (int)n, digits, power - (int)n + 1);
	return strtod(text, NULL) == value;
}

/* The next number of as many digits. False: that has one more. */
static bool count_up(char *digits, size_t n)
{
	while (n && digits[n - 1] == '9')
		digits[--n] = '0';
	if (n)
		digits[n - 1]++;
	return n != 0;
}

/* The fewest significant digits that give the same double again, without point and without zeros at the end, and the
 * power of ten of the first one. Next to a power of two, whose neighbour below is nearer than the one above, the nearest
 * number of so many digits may be another double's while the one above it is ours. printf's point is the locale's. */
static size_t shortest(double value, char digits[DIGITS_MAX + 1], int *power)
{
	size_t n;

	for (n = 1; n <= DIGITS_MAX; n++) {
		char text[DOUBLE_TEXT];

		snprintf(text, sizeof(text), "%.*e", (int)n - 1, value);
		digits[0] = text[0];
		memcpy(digits + 1, strchr(text, 'e') - (n - 1), n - 1);
		*power = atoi(strchr(text, 'e') + 1);
		if (is_same(value, digits, n, *power) || (count_up(digits, n) && is_same(value, digits, n, *power)))
			break;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = 0;
	return n;
}

/* Both leave room for a sign before `to`. */
static void with_exponent(char *to, const char *digits, size_t n, int power)
{
	snprintf(to, DOUBLE_TEXT - 1, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1, power < 0 ? '-' : '+',
		 abs(power));
}

static void without_exponent(char *to, const char *digits, size_t n, int power, bool whole)
{
	if (power < 0) {
		snprintf(to, DOUBLE_TEXT - 1, "0.%.*s%s", -power - 1, "0000", digits);
	} else if ((size_t)power + 1 < n) {
		snprintf(to, DOUBLE_TEXT - 1, "%.*s.%s", power + 1, digits, digits + power + 1);
	} else {
		snprintf(to, DOUBLE_TEXT - 1, "%s%.*s%s", digits, (int)((size_t)power + 1 - n), "0000000000000000",
			 whole ? ".0" : "");
	}
}

void format_double(char buf[DOUBLE_TEXT], double value, bool whole)
{
	char digits[DIGITS_MAX + 1];
	int power;
	size_t n;

	if (!isfinite(value)) {
		strcpy(buf, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
		return;
	}
	if (signbit(value))
		*buf++ = '-';
	n = shortest(fabs(value), digits, &power);
	if (power < -4 || power >= 16)
		with_exponent(buf, digits, n, power);
	else
		without_exponent(buf, digits, n, power, whole);
}

#define BILLION 1000000000u

const char *format_digits(char *buf, size_t size, uint32_t *digits, size_t n)
{
	char *at = buf + size;

	if (!size)
		return NULL;
	*--at = 0;
	do {
		uint64_t rest = 0;

		while (n && !digits[n - 1])
			n--;
		for (size_t i = n; i--;) {
			rest = rest << 30 | digits[i];
			digits[i] = (uint32_t)(rest / BILLION);
			rest %= BILLION;
		}
		while (n && !digits[n - 1])
			n--;
		/* Nine of them, but no zeros before the first. */
		for (int i = 0; i < 9 && (n || rest || (!i && !*at)); i++) {
			if (at == buf)
				return NULL;
			*--at = (char)('0' + rest % 10);
			rest /= 10;
		}
	} while (n);
	return at;
}
