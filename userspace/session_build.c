/*
 * session_build: what is known of an interpreter's build, by its file: sites, offsets, and whether they were proved.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "diag.h"
#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "pattern.h"
#include "probe.h"
#include "prove.h"
#include "session_priv.h"
#include "target.h"
#include "verdict.h"
#include "value_layout.h"
#include "wire_build.h"

bool session_by_usdt(const struct session_build *build)
{
	return !strcmp(build->sites.backend, "usdt");
}

/* malloc'ed, or NULL. */
static char *why_backend(const struct site_set *sites, const char *wanted)
{
	const char *why = backend__find(sites->backend)->why;
	char *text;

	if (wanted || strcmp(sites->backend, "usdt"))
		return strdup(why);
	return asprintf(&text, "the opcode handlers of this build were not found; %s", why) < 0 ? NULL : text;
}

/* A site as the programs know it. */
static struct wire_site wire_site(const struct session *s, size_t build, const struct site *site)
{
	static const struct {
		uint8_t kind, outcome;
	} kinds[SITE_KINDS] = {
		[SITE_OPCODE_RESUME] = { WIRE_SITE_RESUME, WIRE_OUTCOME_ASK },
		[SITE_OPCODE_YIELD] = { WIRE_SITE_YIELD, WIRE_OUTCOME_ASK },
		[SITE_FRAME_END] = { WIRE_SITE_END, WIRE_OUTCOME_ASK },
		[SITE_FRAME_RETURN] = { WIRE_SITE_END, WIRE_OUTCOME_RETURNED },
		[SITE_FRAME_UNWIND] = { WIRE_SITE_END, WIRE_OUTCOME_RAISED },
		[SITE_FRAME_ENTER] = { WIRE_SITE_ENTER, WIRE_OUTCOME_ASK },
		[SITE_FRAME_LEAVE] = { WIRE_SITE_LEAVE, WIRE_OUTCOME_ASK },
		[SITE_CODE_DEALLOC] = { WIRE_SITE_DEALLOC, WIRE_OUTCOME_ASK },
		[SITE_USDT_ENTRY] = { WIRE_SITE_USDT_ENTRY, WIRE_OUTCOME_ASK },
		[SITE_USDT_RETURN] = { WIRE_SITE_USDT_RETURN, WIRE_OUTCOME_ASK },
	};

	return (struct wire_site){
		.build = (uint8_t)build,
		.kind = kinds[site->kind].kind,
		.outcome = kinds[site->kind].outcome,
		.frame_reg = site->frame_reg,
		.tstate_reg = site->tstate_reg,
		.value_reg = site->value_reg,
		.value_below = site->value_below,
		.cost_ns = (uint32_t)(site->emulated ? s->cost.ns_per_dropped_hit : s->cost.ns_per_stepped_hit),
		.addr = site->addr,
	};
}

static int set_sites(struct session *s, size_t b)
{
	struct session_build *build = &s->builds[b];

	if (s->next_site + build->sites.n > WIRE_MAX_SITES - COST_SITES)
		return diag_error(-E2BIG, "too many different Python builds at once");
	build->first_site = s->next_site;
	s->next_site += build->sites.n;
	for (size_t i = 0; i < build->sites.n; i++)
		s->skel->bss->sites[build->first_site + i] = wire_site(s, b, &build->sites.sites[i]);
	return 0;
}

/* Proves the sites of a build: known from before, or on a throw-away child where there can be one. Its index, or a code
 * that was reported. */
static int prove(struct session *s, size_t b, const struct elf_file *elf, const struct prove_source *source)
{
	struct session_build *build = &s->builds[b];
	struct pattern_set *patterns = s->patterns;
	const char *why = NULL;
	int err;

	if (verdict_known(build->build_id, &build->sites))
		return (int)b;
	err = prove_patterns(&s->patterns);
	if (!err) {
		err = prove_build(s, b, elf, source, &why);
		pattern_set__free(s->patterns);
	}
	s->patterns = patterns;
	if (err < 0)
		return err;
	if (err)
		verdict_store(build->build_id, &build->sites);
	else
		build->unproved = why;
	if (build->unproved && !strcmp(build->sites.dispatch, "tail calls"))
		return diag_error(
			-DIAG_NOT_PROVED,
			"build %s has a function for each opcode (tail calls), which is used only once it is proved, "
			"and no trial child could be started: %s",
			build->build_id, why);
	return (int)b;
}

/* Whether the sites of a build are where they were in the file in which they were found: a copy of it may have been
 * arranged otherwise. */
static bool same_places(const struct site_set *sites, const struct elf_file *elf)
{
	uint64_t offset;

	for (size_t i = 0; i < sites->n; i++)
		if (elf_file__file_offset(elf, sites->sites[i].addr, &offset) || offset != sites->sites[i].file_offset)
			return false;
	return true;
}

int session_find_build(struct session *s, const struct elf_file *elf, const struct py_version *version,
		       const char *path, const struct prove_source *source)
{
	const char *id = elf_file__build_id(elf);
	const struct opmap *opmap = opmap__find(version->major, version->minor);
	struct session_build *build = &s->builds[s->nbuilds];
	unsigned corrected;
	int err;

	for (size_t i = 0; i < s->nbuilds; i++)
		if (id[0] && !strcmp(s->builds[i].build_id, id) && same_places(&s->builds[i].sites, elf))
			return (int)i;
	err = layout__of_file(elf, version, &build->layout, &corrected);
	if (err == -DIAG_BAD_DATA)
		return diag_error(-DIAG_UNSUPPORTED, "%s (Python %s, build %s) has no _Py_DebugOffsets of its version",
				  path, version->text, id[0] ? id : "without a build-id");
	if (err || !opmap)
		return diag_error(-DIAG_UNSUPPORTED, "%s is Python %s (build %s), which is not known", path,
				  version->text, id[0] ? id : "without a build-id");
	if (corrected)
		diag_debug("%s: %u offsets are not those of other builds of Python %s", path, corrected, version->text);
	if (s->nbuilds == WIRE_MAX_BUILDS - 1)
		return diag_error(-E2BIG, "more than %d different Python builds at once", WIRE_MAX_BUILDS - 1);
	err = site_set__find(elf, &build->layout, opmap, s->opts.backend, &build->sites);
	if (err)
		return err;
	if (session_by_usdt(build) && !probe_counters_supported(s->multi))
		return diag_error(-DIAG_NO_KERNEL,
				  "this kernel cannot switch static probes on: its uprobes have no ref_ctr_offset");
	build->build_id = strdup(id);
	build->why = why_backend(&build->sites, s->opts.backend);
	if (!build->build_id || !build->why)
		return diag_error(-ENOMEM, "out of memory");
	value_layout__fill(&build->layout, elf, &s->skel->bss->value_layouts[s->nbuilds]);
	err = wire_build__fill(&s->skel->bss->builds[s->nbuilds], (uint32_t)s->nbuilds, &build->layout, opmap, elf);
	if (!err)
		err = set_sites(s, s->nbuilds);
	if (err)
		return err;
	s->nbuilds++;
	return prove(s, s->nbuilds - 1, elf, source);
}
