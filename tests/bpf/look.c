/*
 * look: prints what the BPF side copies of a process's objects when that process asks for it (see look.bpf.c), for
 * tests/e2e/test_snap.py to compare with the objects themselves.
 *
 *     bpf_look PID
 *
 * On stdin first what is wanted, one a line, then "go"; it says "ready", and ends when stdin is closed:
 *     limits DEPTH ITEMS CHARS          the first ones, the second, ...
 *     stack FRAMES
 *     rate EVENTS                       in a second; 0: no limit
 *     count EVENTS                      in all
 *     masked                            the next operand looks like a secret
 *     local INDEX [ATTRIBUTE...]        an operand
 *     global NAME [ATTRIBUTE...]
 *     cond                              a condition, of the tests and steps that follow
 *     test OP LEFT KIND VALUE           VALUE: an operand, an int, a float's bits or a str in hex; "-" none
 *     constant KIND VALUE
 *     step N                            enum wire_step
 * For each event one line: WHENCE CALL NANOSECONDS ROOTS STACK FLAGS and the record from its roots on, in hex. At the end:
 * "end LOST SENT SUPPRESSED".
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <poll.h>

#include "elf.h"
#include "layout.h"
#include "opmap.h"
#include "probe.h"
#include "skel.h"
#include "target.h"
#include "value_layout.h"
#include "wire_build.h"

#include "look.skel.h"

#define LOOK_SLOT 1

static struct look *skel;
static struct layout layout;

static int fail(const char *what)
{
	fprintf(stderr, "bpf_look: %s\n", what);
	return 1;
}

/* A file that the process has mapped, by the start of its name: as we can open it. */
static int mapped(pid_t pid, const char *name, char *path, size_t size)
{
	char line[4096], maps[64], file[4096];
	FILE *f;

	snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)pid);
	f = fopen(maps, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %*s %*s %*s %4095s", file) != 1 || !strrchr(file, '/') ||
		    strncmp(strrchr(file, '/') + 1, name, strlen(name)))
			continue;
		snprintf(path, size, "/proc/%d/root%s", (int)pid, file);
		fclose(f);
		return 0;
	}
	if (f)
		fclose(f);
	return -ENOENT;
}

/* Up to glibc 2.33 libpthread has the function too, and comes first where it is linked. */
static struct probe_links *attach(pid_t pid)
{
	static const char *const names[] = { "libpthread-2", "libc-2", "libc.so" };
	struct probe_links *links = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !links; i++) {
		struct probe_point point = { 0 };
		struct elf_file *elf;
		struct elf_symbol sym;
		char path[4200];

		if (mapped(pid, names[i], path, sizeof(path)) || elf_file__open(path, &elf))
			continue;
		if (elf_file__symbol(elf, "lseek64", &sym) ||
		    elf_file__file_offset(elf, sym.addr, &point.file_offset) ||
		    probe_links__attach(path, pid, skel->progs.on_probe, &point, 1, false, &links))
			links = NULL;
		elf_file__close(elf);
	}
	return links;
}

static int fill(pid_t pid)
{
	struct target *t;
	unsigned corrected;

	if (target__open(pid, &t))
		return -EINVAL;
	if (layout__of_file(t->elf, &t->version, &layout, &corrected))
		return -EINVAL;
	if (wire_build__fill(&skel->bss->builds[0], 0, &layout, opmap__find(t->version.major, t->version.minor),
			     t->elf))
		return -EINVAL;
	value_layout__fill(&layout, t->elf, &skel->bss->value_layouts[0]);
	skel->bss->procs[LOOK_SLOT].bias = t->bias;
	/* PyFrameObject.f_frame, behind the head and f_back (Include/internal/pycore_frame.h, 3.11 on) */
	skel->bss->frame_object = layout.frame_func == OFF_NONE ? -1 : 24;
	target__close(t);
	return 0;
}

/* An operand, its kind and name or index off the line already. */
static void operand(char *at, bool *masked)
{
	struct wire_operand *op = &skel->bss->operands[skel->bss->noperands++];
	char *word;

	op->masked = *masked;
	*masked = false;
	while ((word = strtok_r(NULL, " \n", &at)) && op->nattrs < WIRE_MAX_ATTRS)
		snprintf(op->attrs[op->nattrs++], WIRE_NAME_BYTES, "%s", word);
}

static void constant(struct wire_test *t, const char *words)
{
	char value[256] = "";
	unsigned kind;

	if (sscanf(words, "%u %255s", &kind, value) < 1)
		return;
	t->const_kind = (uint8_t)kind;
	if (kind == WIRE_CONST_OPERAND)
		t->right = (uint16_t)atoi(value);
	else if (kind == WIRE_CONST_STR)
		for (; t->len < WIRE_TEST_BYTES; t->len++) {
			if (sscanf(value + 2 * t->len, "%2hhx", (unsigned char *)&t->text[t->len]) != 1)
				break;
		}
	else
		t->number = kind == WIRE_CONST_FLOAT ? (int64_t)strtoull(value, NULL, 16) : strtoll(value, NULL, 10);
}

static void test(struct wire_cond *c, const char *line)
{
	struct wire_test *t = &c->tests[c->ntests++];
	unsigned op, left;
	int words = 0;

	if (sscanf(line, "test %u %u %n", &op, &left, &words) < 2)
		return;
	t->op = (uint8_t)op;
	t->left = (uint16_t)left;
	constant(t, line + words);
}

static int configure(void)
{
	struct wire_seen_config *config = &skel->bss->seen_config;
	struct wire_limits *limits = skel->bss->limits;
	struct wire_cond *cond = NULL;
	char line[1024], *at, *word;
	unsigned n, nconds = 0, nconstants = 0;
	bool masked = false;

	while (fgets(line, sizeof(line), stdin) && strcmp(line, "go\n")) {
		if (sscanf(line, "limits %u %u %u", &limits->depth, &limits->items, &limits->chars) == 3) {
			limits++;
			continue;
		}
		if (sscanf(line, "stack %u", &config->stack) == 1 || sscanf(line, "rate %u", &config->rate) == 1 ||
		    sscanf(line, "count %" SCNu64, &config->count) == 1)
			continue;
		if (!strncmp(line, "constant ", 9)) {
			constant(&skel->bss->constants[nconstants++], line + 9);
		} else if (!strncmp(line, "test ", 5) && cond) {
			test(cond, line);
		} else if (sscanf(line, "step %u", &n) == 1 && cond) {
			cond->steps[cond->nsteps++] = (uint8_t)n;
		} else if (!strcmp(line, "cond\n")) {
			cond = &skel->bss->conds[nconds++];
		} else if (!strcmp(line, "masked\n")) {
			masked = true;
		} else if ((word = strtok_r(line, " \n", &at)) && skel->bss->noperands < WIRE_MAX_OPERANDS) {
			struct wire_operand *op = &skel->bss->operands[skel->bss->noperands];

			op->kind = strcmp(word, "global") ? WIRE_OPERAND_LOCAL : WIRE_OPERAND_GLOBAL;
			word = strtok_r(NULL, " \n", &at);
			if (!word)
				return -EINVAL;
			if (op->kind == WIRE_OPERAND_GLOBAL)
				snprintf(op->name, sizeof(op->name), "%s", word);
			else
				op->index = (uint32_t)atoi(word);
			operand(at, &masked);
		}
	}
	return 0;
}

static int print(void *ctx, void *data, size_t size)
{
	const struct wire_event_seen *e = data;
	const unsigned char *bytes = data;

	(void)ctx;
	printf("%u %llu %llu %u %u %u ", e->func, (unsigned long long)e->call, (unsigned long long)e->duration_ns,
	       e->nroots, e->nstack, e->flags);
	if (size < sizeof(*e) || e->nroots * sizeof(struct wire_root) + e->nstack * sizeof(struct wire_stack_entry) +
						 e->nbytes + sizeof(*e) !=
					 size)
		printf("bad");
	for (size_t i = sizeof(*e); i < size; i++)
		printf("%02x", bytes[i]);
	printf("\n");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	struct probe_links *links;
	struct ring_buffer *ring;
	pid_t pid = argc == 2 ? (pid_t)atoi(argv[1]) : 0;

	skel = look__open();
	if (!pid || !skel)
		return fail("usage: bpf_look PID");
	if (look__load(skel))
		return fail("the programs do not load");
	setvbuf(stdin, NULL, _IONBF, 0);
	if (fill(pid) || configure())
		return fail("the process is none that can be read");
	links = attach(pid);
	ring = ring_buffer__new(bpf_map__fd(skel->maps.seen_events), print, NULL, NULL);
	if (!links || !ring)
		return fail("cannot attach to lseek64 of the process's libc");
	puts("ready");
	fflush(stdout);
	/* What is sent before stdin is closed is printed before the end. */
	while (!poll(&input, 1, 0))
		ring_buffer__poll(ring, 20);
	ring_buffer__consume(ring);
	printf("end %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", skel->bss->seen_stats.lost, skel->bss->seen_stats.sent,
	       skel->bss->seen_stats.suppressed);
	ring_buffer__free(ring);
	probe_links__free(links);
	look__destroy(skel);
	return 0;
}
