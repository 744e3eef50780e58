/*
 * out_doctor_text: the findings for people: a line for each, its remedy below it, and a sentence at the end. What comes
 * from a target is written through sink__put_shown only.
 */
#include <string.h>

#include "backend.h"
#include "feature.h"
#include "insn.h"
#include "out_doctor.h"
#include "out_util.h"

#define PLAIN "\033[0m"
#define STATUS_WIDTH 9

struct page {
	struct sink s;
	bool color;
	size_t names; /* width of the column of names */
	const char *last_remedy;
};

static void put_padded(struct page *p, const char *text, size_t width)
{
	sink__puts(&p->s, text);
	for (size_t n = strlen(text); n < width; n++)
		sink__puts(&p->s, " ");
}

static void put_colored(struct page *p, const char *code, const char *text, size_t width)
{
	if (p->color)
		sink__puts(&p->s, code);
	put_padded(p, text, width);
	if (p->color)
		sink__puts(&p->s, PLAIN);
}

static void put_status(struct page *p, enum feature_status status)
{
	static const char *const colors[FEATURE_STATUSES] = {
		[FEATURE_UNKNOWN] = "\033[36m",
		[FEATURE_OK] = "\033[32m",
		[FEATURE_LIMITED] = "\033[33m",
		[FEATURE_NO] = "\033[31m",
	};

	sink__puts(&p->s, "  ");
	put_colored(p, colors[status], feature_status_name(status), STATUS_WIDTH);
}

static void put_row(struct page *p, enum feature_status status, const char *name, const char *text)
{
	put_status(p, status);
	put_padded(p, name, p->names + 2);
	sink__put_shown(&p->s, text);
	sink__puts(&p->s, "\n");
}

/* Several checks may have one remedy: it stands below the first. */
static void put_remedy(struct page *p, const char *remedy)
{
	if (!remedy[0] || (p->last_remedy && !strcmp(p->last_remedy, remedy)))
		return;
	p->last_remedy = remedy;
	put_padded(p, "", STATUS_WIDTH + p->names + 4);
	sink__puts(&p->s, "-> ");
	sink__put_shown(&p->s, remedy);
	sink__puts(&p->s, "\n");
}

static void put_cost(struct page *p, const struct feature_host *host)
{
	char hit[32], dropped[32], stepped[32], text[256];

	if (host->cost.ns_per_hit <= 0) {
		put_row(p, FEATURE_UNKNOWN, "cost", "cannot be measured without a probe on ourselves");
		return;
	}
	format_fixed(hit, sizeof(hit), host->cost.ns_per_hit / 1000, 2);
	format_fixed(dropped, sizeof(dropped), host->cost.ns_per_dropped_hit / 1000, 2);
	format_fixed(stepped, sizeof(stepped), host->cost.ns_per_stepped_hit / 1000, 2);
	snprintf(text, sizeof(text),
		 "a hit takes %s us, %s us where the function does not match, %s us where it is single-stepped", hit,
		 dropped, stepped);
	put_row(p, FEATURE_OK, "cost", text);
}

/* The backends that are not chosen, below the one that is. */
static void put_others(struct page *p, const struct feature_target *t)
{
	for (unsigned i = 0; backends[i].name; i++) {
		const struct backend *b = &backends[i];

		if (!strcmp(b->name, t->backend))
			continue;
		put_padded(p, "", STATUS_WIDTH + p->names + 4);
		if (t->backends >> i & 1)
			sink__printf(&p->s, "%s works too, with --backend %s: %s\n", b->name, b->name, b->why);
		else
			sink__printf(&p->s, "%s does not fit: %s\n", b->name, b->why_not);
	}
}

/* `t` is NULL for the host's. */
static void put_list(struct page *p, const struct feature_list *list, const struct feature_target *t)
{
	p->last_remedy = NULL;
	for (size_t i = 0; i < list->n; i++) {
		put_row(p, list->checks[i].status, list->checks[i].name, list->checks[i].text);
		if (t && t->backend && !strcmp(list->checks[i].name, "backend"))
			put_others(p, t);
		put_remedy(p, list->checks[i].remedy);
	}
}

static void put_sites(struct page *p, const struct feature_target *t)
{
	size_t width = 0;

	for (size_t i = 0; i < t->sites.n; i++)
		if (strlen(t->sites.sites[i].what) > width)
			width = strlen(t->sites.sites[i].what);
	if (t->sites.n)
		sink__puts(&p->s, "\n  sites (addresses in the file)\n");
	for (size_t i = 0; i < t->sites.n; i++) {
		const struct site *site = &t->sites.sites[i];

		sink__puts(&p->s, "  ");
		put_padded(p, site->what, width + 2);
		sink__printf(&p->s, "%#10llx  %-14s  %s in %s", (unsigned long long)site->addr,
			     site->emulated ? "emulated" : "single-stepped",
			     site->kind == SITE_CODE_DEALLOC ? "code object" : "frame", insn_reg_name(site->frame_reg));
		if (site->tstate_reg != SITE_REG_NONE)
			sink__printf(&p->s, ", thread state in %s", insn_reg_name(site->tstate_reg));
		sink__puts(&p->s, "\n");
	}
}

static void put_target(struct page *p, const struct feature_target *t)
{
	sink__printf(&p->s, "\nprocess %d", (int)t->pid);
	if (t->command) {
		sink__puts(&p->s, ": ");
		sink__put_shown(&p->s, t->command);
	}
	sink__puts(&p->s, "\n");
	put_list(p, &t->list, t);
	put_sites(p, t);
}

static size_t widest(const struct feature_list *list, size_t width)
{
	for (size_t i = 0; i < list->n; i++)
		if (strlen(list->checks[i].name) > width)
			width = strlen(list->checks[i].name);
	return width;
}

static int write_text(const struct doctor *d, FILE *f, const struct out_options *opts)
{
	struct page p = { .s = { .f = f }, .color = opts->color };
	char summary[2 * FEATURE_TEXT_MAX];

	p.names = widest(&d->host->list, 0);
	for (size_t i = 0; i < d->ntargets; i++)
		p.names = widest(&d->targets[i]->list, p.names);
	sink__puts(&p.s, "host ");
	sink__put_shown(&p.s, d->host->name);
	sink__puts(&p.s, "\n");
	put_list(&p, &d->host->list, NULL);
	put_cost(&p, d->host);
	for (size_t i = 0; i < d->ntargets; i++)
		put_target(&p, d->targets[i]);
	doctor__summary(d, summary, sizeof(summary));
	sink__puts(&p.s, "\n");
	sink__put_shown(&p.s, summary);
	sink__puts(&p.s, "\n");
	return sink__finish(&p.s);
}

const struct doctor_format out_doctor_text = { .name = "text", .write = write_text };
