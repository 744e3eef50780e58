/*
 * seen_decode: from a record of the BPF programs to an event with names, lines and values. What the record cannot hold is
 * read from the process: code objects, names of types, of modules and of threads. Nothing in a record is trusted.
 */
#ifndef PYLU_SEEN_DECODE_H
#define PYLU_SEEN_DECODE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "seen.h"

struct pycode;
struct pyobj_reader;
struct redact;
struct wire_limits;
struct wire_root;

/* Decodes the events of one process, or one interpreter; keeps what it learns of its code and types. */
struct seen_decoder;

struct seen_source {
	struct pyobj_reader *reader; /* must outlive the decoder */
	pid_t pid;
	int64_t interp_id; /* -1 where the process has one interpreter */
	const struct wire_limits *limits;
	const struct redact *redact; /* NULL: nothing is masked */
	int64_t realtime_ns;	     /* CLOCK_REALTIME less CLOCK_MONOTONIC */
	/* The name of the variable that is operand `index` of the session; NULL where there are none. */
	const char *(*operand_name)(uint16_t index, void *ctx);
	void *ctx;
};

/* 0, or a code that was reported. */
int seen_decoder__new(const struct seen_source *source, struct seen_decoder **out);
void seen_decoder__free(struct seen_decoder *d);

/* Whether `size` bytes are a record as the programs send them. */
bool seen_record__valid(const void *record, size_t size);

/* The roots of a valid record: the values of the event that is made of it, in the same order, unless it tells of an end. */
const struct wire_root *seen_record__roots(const void *record);

/* Decodes a valid record. What is in *out is the decoder's until the next event. out->line of a place, and out->source, are
 * the caller's to fill in; out->undecided says whether the condition is still to be decided. 0 or -ENOMEM, reported. */
int seen_decoder__decode(struct seen_decoder *d, const void *record, struct seen_event *out);

/* The code object at an address, as far as it can be read; NULL where it cannot. The decoder's, until the next call. */
const struct pycode *seen_decoder__code(struct seen_decoder *d, uint64_t code, uint64_t globals);

#endif
