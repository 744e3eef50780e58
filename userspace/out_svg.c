/*
 * out_svg: an interactive flame graph in one file that needs no network: processes at the bottom, their threads above
 * them, then the calls; a frame is as wide as the call's total time.
 *
 * Owns the widths and the file's skeleton: a still picture for viewers without scripts, and the data from which
 * out_svg.js, embedded below together with out_svg.css, draws the live one. Names come from a target and may be
 * hostile: they are written through put_xml or put_json only, and the script treats them as text.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "out.h"
#include "out_util.h"
#include "profile.h"

#define PAGE 1200 /* pixels; the script makes it as wide as the window */
#define SIDE 10
#define TOP 112
#define BOTTOM 12
#define ROW 19
#define CHAR_TENTHS 73 /* width of a character, in tenths of a pixel */
#define MAX_LEVELS 200 /* in the still picture */
#define NCOLORS 24     /* classes c0 ... in out_svg.css */
#define TITLE_COLUMNS 120

#define EMBED(symbol, file)                                            \
	__asm__(".pushsection .rodata\n"                               \
		".globl " #symbol ", " #symbol "_end\n"                \
		".hidden " #symbol ", " #symbol "_end\n" #symbol ":\n" \
		".incbin \"" file "\"\n" #symbol "_end:\n"             \
		".byte 0\n"                                            \
		".popsection\n")

EMBED(out_svg_css, "out_svg.css");
EMBED(out_svg_js, "out_svg.js");
extern const char out_svg_css[], out_svg_css_end[], out_svg_js[], out_svg_js_end[];

enum level { LEVEL_BASE, LEVEL_PROCESS, LEVEL_THREAD, LEVEL_CALL };

/* A frame of the graph. They are kept in the order of a walk from callers to callees, so a parent's index is lower. */
struct node {
	const struct prof_process *proc;
	const struct prof_thread *thread;
	const struct prof_call *call; /* NULL below LEVEL_CALL */
	size_t parent;
	int depth;
	uint32_t label;
	uint64_t width, start; /* ns */
	uint64_t filled;       /* up to where children have been placed */
};

struct flame {
	struct sink s;
	const struct profile *p;
	struct node *nodes;
	size_t n;
	struct node **sorted; /* the calls by function, file, line: equal ones share a label */
	size_t nsorted;
	double scale; /* of the still picture, pixels per nanosecond */
};

/* Writes bytes that may hold anything but are valid UTF-8 as XML text or attribute value. */
static void put_xml_bytes(struct sink *s, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr("<>&\"'", bytes[i]))
			sink__printf(s, "&#%d;", bytes[i]);
		else
			sink__write(s, bytes + i, 1);
	}
}

static void put_xml(struct sink *s, const char *text)
{
	struct glyph g;

	for (text = text_or_empty(text); (text = glyph__next(&g, text));)
		put_xml_bytes(s, g.bytes, g.len);
}

/* Inside a JSON string that itself stands in XML text. */
static void put_json(struct sink *s, const char *text)
{
	struct glyph g;

	for (text = text_or_empty(text); (text = glyph__next(&g, text));) {
		for (int i = 0; i < g.len; i++) {
			if (strchr("<>&\"'\\", g.bytes[i]))
				sink__printf(s, "\\u%04x", g.bytes[i]);
			else
				sink__write(s, g.bytes + i, 1);
		}
	}
}

static struct node *add_node(struct flame *fl, size_t parent, int depth)
{
	struct node *node = &fl->nodes[fl->n++];

	node->parent = parent;
	node->depth = depth;
	return node;
}

static void add_thread(struct flame *fl, size_t parent, const struct prof_process *proc,
		       const struct prof_thread *thread)
{
	size_t last = fl->n; /* index of the node of the call before, at first of the thread */
	struct node *node = add_node(fl, parent, LEVEL_THREAD);
	const struct prof_call *call = thread->root;
	int depth = 0;

	node->proc = proc;
	node->thread = thread;
	while ((call = prof_call__next(thread->root, call, &depth))) {
		while (fl->nodes[last].depth >= LEVEL_THREAD + depth)
			last = fl->nodes[last].parent;
		node = add_node(fl, last, LEVEL_THREAD + depth);
		node->call = call;
		last = node - fl->nodes;
		fl->sorted[fl->nsorted++] = node;
	}
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* A frame is as wide as its time, or as its callees where these add up to more: threads and processes have no time of
 * their own, and rounding must not push a callee out of its caller. */
static void set_widths(struct flame *fl)
{
	for (size_t i = fl->n; i-- > 0;) {
		struct node *node = &fl->nodes[i], *parent = &fl->nodes[node->parent];

		if (node->call && node->call->total_ns > node->width)
			node->width = node->call->total_ns;
		if (i)
			parent->width = add_saturating(parent->width, node->width);
	}
	for (size_t i = 1; i < fl->n; i++) {
		struct node *node = &fl->nodes[i], *parent = &fl->nodes[node->parent];

		node->start = node->filled = parent->filled;
		parent->filled = add_saturating(parent->filled, node->width);
	}
}

static size_t count_nodes(const struct profile *p)
{
	size_t n = 1;

	for (size_t i = 0; i < p->nprocesses; i++) {
		n++;
		for (size_t j = 0; j < p->processes[i]->nthreads; j++) {
			const struct prof_call *root = p->processes[i]->threads[j]->root, *call;
			int depth = 0;

			for (call = root; call; call = prof_call__next(root, call, &depth))
				n++;
		}
	}
	return n;
}

static int compare_labels(const void *left, const void *right)
{
	const struct prof_call *a = (*(struct node *const *)left)->call, *b = (*(struct node *const *)right)->call;
	int order = strcmp(a->function, b->function);

	if (!order)
		order = strcmp(a->file, b->file);
	return order ? order : (a->line > b->line) - (a->line < b->line);
}

static int build(struct flame *fl, const struct profile *p)
{
	size_t n = count_nodes(p);

	fl->p = p;
	fl->nodes = calloc(n, sizeof(*fl->nodes));
	fl->sorted = calloc(n, sizeof(*fl->sorted));
	if (!fl->nodes || !fl->sorted)
		return -ENOMEM;
	add_node(fl, 0, LEVEL_BASE);
	for (size_t i = 0; i < p->nprocesses; i++) {
		size_t index = fl->n;

		add_node(fl, 0, LEVEL_PROCESS)->proc = p->processes[i];
		for (size_t j = 0; j < p->processes[i]->nthreads; j++)
			add_thread(fl, index, p->processes[i], p->processes[i]->threads[j]);
	}
	qsort(fl->sorted, fl->nsorted, sizeof(*fl->sorted), compare_labels);
	set_widths(fl);
	if (fl->nodes[0].width)
		fl->scale = (PAGE - 2 * SIDE) / (double)fl->nodes[0].width;
	return 0;
}

/* By the last two parts of the file's path, so that a module keeps its colour wherever it is installed. */
static unsigned int color_of(const struct prof_call *call)
{
	const char *from = *call->file ? call->file : call->function;
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	int slashes = 0;

	for (size_t i = strlen(from); i-- > 0 && slashes < 2;) {
		hash = (hash ^ (unsigned char)from[i]) * 0x100000001b3;
		slashes += from[i] == '/';
	}
	return (hash ^ hash >> 32) % NCOLORS;
}

/* The title and, for the totals, the sums over all processes. */
static void put_head(struct flame *fl)
{
	struct prof_process sum = { 0 };
	char started[64], seconds[32];
	struct sink *s = &fl->s;
	size_t warnings = 0;

	for (size_t i = 0; i < fl->p->nprocesses; i++) {
		const struct prof_process *proc = fl->p->processes[i];

		sum.hits_total += proc->hits_total;
		sum.lost.events += proc->lost.events;
		sum.lost.stack_overflow += proc->lost.stack_overflow;
		sum.lost.unreadable += proc->lost.unreadable;
		warnings += proc->nwarnings;
	}
	format_time(started, sizeof(started), &fl->p->started);
	format_fixed(seconds, sizeof(seconds), fl->p->duration_ns / 1e9, 3);
	sink__printf(s, "<text class=\"sub\" x=\"%d\" y=\"46\">on ", SIDE);
	put_xml(s, fl->p->host);
	sink__printf(s, ", from %s, for %s s; width: total time of the calls, threads added up</text>\n", started,
		     seconds);
	/* What makes one doubt comes first, where a narrow window does not cut it off. */
	sink__printf(s, "<text class=\"sub\" x=\"%d\" y=\"63\">", SIDE);
	sink__puts(s, process_lost_something(&sum) ? "<tspan class=\"bad\">lost: " : "<tspan>lost: ");
	sink__put_lost(s, &sum);
	sink__puts(s, "</tspan>; ");
	if (warnings)
		sink__printf(s, "<tspan class=\"bad\">warnings: %zu (hover over the process)</tspan>; ", warnings);
	sink__printf(s, "processes: %zu; probe hits: %" PRIu64, fl->p->nprocesses, sum.hits_total);
	sink__puts(s, "</text>\n");
}

static void put_title(struct flame *fl)
{
	size_t room = TITLE_COLUMNS;
	struct sink *s = &fl->s;

	for (size_t i = 0; i < fl->p->npatterns; i++) {
		const char *text = fl->p->patterns[i];
		struct glyph g;

		if (i)
			sink__puts(s, ", ");
		while ((text = glyph__next(&g, text))) {
			if (g.columns > room) {
				sink__puts(s, "\xe2\x80\xa6");
				return;
			}
			room -= g.columns;
			put_xml_bytes(s, g.bytes, g.len);
		}
	}
}

typedef void (*put_fn)(struct sink *s, const char *text);

/* What a frame is called, in the escaping of `put`. */
static void put_name(struct sink *s, const struct node *node, put_fn put)
{
	if (node->call) {
		put(s, node->call->function);
	} else if (node->thread) {
		const char *name = text_or_empty(node->thread->name);

		put(s, *name ? name : "thread");
		if (!*name || !thread_name_is_unique(node->proc, node->thread))
			sink__printf(s, " [%d]", node->thread->tid);
	} else if (node->proc) {
		sink__printf(s, "%d ", node->proc->pid);
		put(s, node->proc->command);
	} else {
		sink__puts(s, "all");
	}
}

/* What stands below the name when one hovers. */
static void put_place(struct sink *s, const struct node *node, put_fn put)
{
	const struct prof_process *proc = node->proc;

	if (node->call) {
		put(s, *node->call->file ? node->call->file : "file unknown");
		if (node->call->line)
			sink__printf(s, ":%u", node->call->line);
	} else if (node->thread) {
		sink__printf(s, "thread %d of process %d", node->thread->tid, proc->pid);
	} else if (proc) {
		sink__puts(s, "Python ");
		put(s, proc->python);
		sink__puts(s, ", backend ");
		put(s, proc->backend);
		sink__puts(s, proc->raw ? ", raw times; " : "; ");
		sink__put_cost(s, proc);
		sink__puts(s, "; lost: ");
		sink__put_lost(s, proc);
		sink__puts(s, proc->ended ? "; it ended while we watched" : "");
		for (size_t i = 0; i < proc->nwarnings; i++) {
			sink__puts(s, "; warning: ");
			put(s, proc->warnings[i]);
		}
	} else {
		sink__puts(s, "every process and thread that was watched");
	}
}

static void put_label(struct flame *fl, const struct node *node, bool first)
{
	static const char *const classes[] = { "b", "p", "t" };
	struct sink *s = &fl->s;

	sink__puts(s, first ? "\n[\"" : ",\n[\"");
	put_name(s, node, put_json);
	sink__puts(s, "\",\"");
	put_place(s, node, put_json);
	if (node->call)
		sink__printf(s, "\",\"c%u\"]", color_of(node->call));
	else
		sink__printf(s, "\",\"%s\"]", classes[node->depth]);
}

/* Numbers the labels and writes them in that order: those of processes and threads, then each function once. */
static void put_labels(struct flame *fl)
{
	uint32_t label = 0;

	for (size_t i = 0; i < fl->n; i++) {
		if (fl->nodes[i].call)
			continue;
		fl->nodes[i].label = label++;
		put_label(fl, &fl->nodes[i], i == 0);
	}
	for (size_t i = 0; i < fl->nsorted; i++) {
		if (!i || compare_labels(&fl->sorted[i - 1], &fl->sorted[i])) {
			put_label(fl, fl->sorted[i], false);
			label++;
		}
		fl->sorted[i]->label = label - 1;
	}
}

/* The order is that of NUMBERS in out_svg.js. */
static void put_numbers(struct sink *s, const struct prof_call *call)
{
	const uint64_t numbers[] = {
		call->total_ns,	      call->self_ns,	      call->hits,
		call->complete,	      call->complete_ns,      call->min_ns,
		call->max_ns,	      call->raised,	      call->running_at_start,
		call->running_at_end, call->suspended_at_end, call->generator ? call->elapsed_ns : 0,
	};
	size_t n = sizeof(numbers) / sizeof(numbers[0]);

	while (n && !numbers[n - 1])
		n--;
	for (size_t i = 0; i < n; i++)
		sink__printf(s, ",%" PRIu64, numbers[i]);
}

static void put_data(struct flame *fl)
{
	struct sink *s = &fl->s;

	sink__puts(s, "<metadata class=\"data\">{\"labels\":[");
	put_labels(fl);
	sink__puts(s, "],\n\"nodes\":[");
	for (size_t i = 0; i < fl->n && !s->err; i++) {
		const struct node *node = &fl->nodes[i];

		sink__printf(s, "%s[%d,%u,%" PRIu64, i ? ",\n" : "\n", node->depth, node->label, node->width);
		if (node->call)
			put_numbers(s, node->call);
		sink__puts(s, "]");
	}
	sink__puts(s, "]}</metadata>\n");
}

/* As much of a call's name as fits, its end rather than its start. */
static void put_fitting(struct sink *s, const char *name, double width)
{
	size_t room = width > 6 ? (width - 6) * 10 / CHAR_TENTHS : 0, columns = shown_columns(name);
	bool cut = columns > room;
	struct glyph g;

	if (cut && room < 3)
		return;
	if (cut)
		sink__puts(s, "\xe2\x80\xa6");
	while ((name = glyph__next(&g, name))) {
		if (!cut || columns < room)
			put_xml_bytes(s, g.bytes, g.len);
		columns -= g.columns;
	}
}

static void put_frame(struct flame *fl, const struct node *node, int height, double x, double width)
{
	static const char *const classes[] = { "b", "p", "t" };
	int y = height - BOTTOM - (node->depth + 1) * ROW;
	char left[32], text_left[32], wide[32];
	struct sink *s = &fl->s;

	format_fixed(left, sizeof(left), SIDE + x, 2);
	format_fixed(text_left, sizeof(text_left), SIDE + x + 4, 2);
	format_fixed(wide, sizeof(wide), width > 1 ? width - 0.6 : 0.4, 2);
	sink__puts(s, "<g class=\"frame\"><title>");
	put_name(s, node, put_xml);
	sink__puts(s, ", ");
	put_place(s, node, put_xml);
	sink__puts(s, "</title><rect class=\"");
	if (node->call)
		sink__printf(s, "c%u", color_of(node->call));
	else
		sink__puts(s, classes[node->depth]);
	sink__printf(s, "\" x=\"%s\" y=\"%d\" width=\"%s\" height=\"%d\"/>", left, y, wide, ROW - 1);
	if (node->call && width > 30) {
		sink__printf(s, "<text x=\"%s\" y=\"%d\">", text_left, y + 13);
		put_fitting(s, node->call->function, width);
		sink__puts(s, "</text>");
	} else if (width > 30) { /* an inner svg cuts off what does not fit */
		sink__printf(s, "<svg x=\"%s\" y=\"%d\" width=\"%s\" height=\"%d\"><text x=\"4\" y=\"13\">", left, y,
			     wide, ROW);
		put_name(s, node, put_xml);
		sink__puts(s, "</text></svg>");
	}
	sink__puts(s, "</g>\n");
}

/* Its width in the still picture, in pixels; 0 when it is not drawn. A callee is no wider than its caller, so that
 * nothing floats. */
static double drawn_width(const struct flame *fl, const struct node *node)
{
	double width = node->depth ? node->width * fl->scale : PAGE - 2 * SIDE;

	return width >= 1 && node->depth < MAX_LEVELS ? width : 0;
}

static int drawn_height(const struct flame *fl)
{
	int levels = 1;

	for (size_t i = 0; i < fl->n; i++) {
		if (drawn_width(fl, &fl->nodes[i]) > 0 && fl->nodes[i].depth + 1 > levels)
			levels = fl->nodes[i].depth + 1;
	}
	return TOP + levels * ROW + BOTTOM;
}

static void put_frames(struct flame *fl, int height)
{
	sink__puts(&fl->s, "<g class=\"frames\" role=\"group\" aria-label=\"Flame graph. Arrow keys move, Enter zooms, "
			   "Escape resets.\">\n");
	for (size_t i = 0; i < fl->n && !fl->s.err; i++) {
		const struct node *node = &fl->nodes[i];
		double width = drawn_width(fl, node);

		if (width > 0)
			put_frame(fl, node, height, node->start * fl->scale, width);
	}
	sink__puts(&fl->s, "</g>\n");
}

static void put_svg(struct flame *fl)
{
	int height = drawn_height(fl);
	struct sink *s = &fl->s;

	sink__printf(s,
		     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		     "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"pylu\" width=\"%d\" height=\"%d\" viewBox=\"0 "
		     "0 %d %d\">\n",
		     PAGE, height, PAGE, height);
	sink__puts(s, "<title>Python calls: ");
	put_title(fl);
	sink__puts(s, "</title>\n<style><![CDATA[\n");
	sink__write(s, out_svg_css, out_svg_css_end - out_svg_css);
	sink__puts(s, "]]></style>\n<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n");
	put_frames(fl, height);
	sink__printf(s, "<g class=\"head\"><rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n", PAGE, TOP - 5);
	sink__printf(s, "<line class=\"line\" x1=\"0\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", TOP - 5, PAGE, TOP - 5);
	sink__printf(s, "<text class=\"title\" x=\"%d\" y=\"26\">Python calls: ", SIDE);
	put_title(fl);
	sink__puts(s, "</text>\n");
	put_head(fl);
	if (!fl->nodes[0].width)
		sink__printf(s,
			     "<text x=\"%d\" y=\"%d\">No call of a function that matches took any time while we "
			     "watched.</text>\n",
			     SIDE, TOP - 18);
	sink__puts(s, "</g>\n");
	put_data(fl);
	sink__puts(s, "<script><![CDATA[\n");
	sink__write(s, out_svg_js, out_svg_js_end - out_svg_js);
	sink__puts(s, "]]></script>\n</svg>\n");
}

static int write_svg(const struct profile *p, FILE *f, const struct out_options *opts)
{
	struct flame fl = { .s.f = f };
	int err;

	(void)opts;
	err = build(&fl, p);
	if (err)
		sink__fail(&fl.s, err);
	else
		put_svg(&fl);
	free(fl.sorted);
	free(fl.nodes);
	return sink__finish(&fl.s);
}

const struct out_format out_svg = {
	.name = "svg",
	.summary = "an interactive flame graph, one file for a browser",
	.write = write_svg,
};
