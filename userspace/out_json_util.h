/* out_json_util: what the json outputs share: values that jansson takes, made from ours, and the writing of its text. */
#ifndef PYLU_OUT_JSON_UTIL_H
#define PYLU_OUT_JSON_UTIL_H

#include <jansson.h>
#include <stdint.h>

struct sink;

/* ASCII only, so that no control character beyond ASCII can reach a terminal; 15 digits come back as they went. */
#define OUT_JSON_FLAGS (JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15))

/* New values; NULL when memory ran out, which out_json__set notices. */
json_t *out_json__string(const char *text); /* NULL as ""; bytes that are no UTF-8 become U+FFFD */
json_t *out_json__integer(uint64_t n);	    /* at most INT64_MAX: 292 years of nanoseconds are enough */
json_t *out_json__number(double value);	    /* null where it is not finite */

/* Sets a field; the value is taken over. A NULL value is an error, remembered. */
void out_json__set(struct sink *s, json_t *object, const char *name, json_t *value);

/* Writes what jansson dumped. */
void out_json__put(struct sink *s, const char *text);

#endif
