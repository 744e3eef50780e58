/* out_doctor: see out_doctor.h. */
#include "out_doctor.h"

#include <stdio.h>
#include <string.h>

#include "diag.h"
#include "feature.h"

const struct doctor_format *const out_doctor_formats[] = { &out_doctor_text, &out_doctor_json, NULL };

const struct doctor_format *out_doctor__find(const char *name)
{
	for (size_t i = 0; out_doctor_formats[i]; i++)
		if (!name || !strcmp(out_doctor_formats[i]->name, name))
			return out_doctor_formats[i];
	return NULL;
}

int doctor__code(const struct doctor *d)
{
	int code = d->host->err;

	for (size_t i = 0; i < d->ntargets; i++)
		if (diag_exit_status(d->targets[i]->err) > diag_exit_status(code))
			code = d->targets[i]->err;
	return code;
}

static void append(char *buf, size_t size, const char *a, const char *b)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s%s", a, b);
}

/* The names of the checks with this status, so that the end of a long list sends the eye back to them; but not that of
 * the one whose text was said. */
static void append_names(char *buf, size_t size, const char **lead, const struct feature_list *list,
			 enum feature_status status, const char *said)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->checks[i].status == status && strcmp(list->checks[i].text, said)) {
			append(buf, size, *lead, list->checks[i].name);
			*lead = ", ";
		}
}

void doctor__summary(const struct doctor *d, char *buf, size_t size)
{
	const char *limits = ", with limits: ", *reasons = "; see ";
	const struct feature_target *failed = NULL;
	size_t works = 0;

	for (size_t i = 0; i < d->ntargets; i++) {
		works += !d->targets[i]->err;
		if (d->targets[i]->err && !failed)
			failed = d->targets[i];
	}
	snprintf(buf, size, "Profiling works here");
	if (d->host->err) {
		snprintf(buf, size, "Profiling does not work here: ");
		append(buf, size, d->host->why, "");
		append_names(buf, size, &reasons, &d->host->list, FEATURE_NO, d->host->why);
	} else if (failed && d->ntargets == 1) {
		snprintf(buf, size, "Profiling works here, but not this process: ");
		append(buf, size, failed->why, "");
	} else if (failed) {
		snprintf(buf, size, "Profiling works here, with %zu of the %zu processes", works, d->ntargets);
	} else {
		append_names(buf, size, &limits, &d->host->list, FEATURE_LIMITED, "");
		if (d->ntargets == 1)
			append_names(buf, size, &limits, &d->targets[0]->list, FEATURE_LIMITED, "");
	}
	append(buf, size, ".", "");
}
