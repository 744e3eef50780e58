/*
 * The profile model: finding and adding, merging, sorting, walking, and trees as deep as a program likes to recurse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "check.h"
#include "profile.h"

#define DEEP 100000
#define WIDE 20000

static void test_adding(void)
{
	struct profile *p = profile__new();
	struct prof_process *proc = profile__add_process(p, 42);
	struct prof_thread *thread = prof_process__add_thread(proc, 43, "MainThread");
	struct prof_call *a = prof_call__child(thread->root, "m.a", "m.py", 1);

	CHECK(proc->overhead_fraction < 0);
	CHECK(prof_process__add_thread(proc, 44, NULL) != thread);
	CHECK_EQ(proc->nthreads, 2);
	CHECK_STR_EQ(thread->name, "MainThread");
	CHECK_STR_EQ(proc->threads[1]->name, "");
	CHECK(a->parent == thread->root);
	CHECK(prof_call__child(thread->root, "m.a", "m.py", 1) == a);
	CHECK(prof_call__child(thread->root, "m.a", "m.py", 2) != a);
	CHECK(prof_call__child(thread->root, "m.a", "n.py", 1) != a);
	CHECK(prof_call__child(thread->root, "m.b", "m.py", 1) != a);
	CHECK(prof_call__child(a, "m.a", "m.py", 1) != a);
	CHECK_EQ(thread->root->nchildren, 4);
	for (int i = 0; i < 9; i++)
		CHECK_EQ(profile__add_pattern(p, "m.**"), 0);
	CHECK_EQ(prof_process__add_warning(proc, "w"), 0);
	CHECK_EQ(p->npatterns, 9);
	CHECK_STR_EQ(p->patterns[8], "m.**");
	CHECK_STR_EQ(proc->warnings[0], "w");
	profile__free(p);
	profile__free(NULL);
}

/* Many functions without a matching caller: each is found again, before and after sorting. */
static void test_wide(void)
{
	struct profile *p = profile__new();
	struct prof_call *root = prof_process__add_thread(profile__add_process(p, 1), 1, "t")->root;
	unsigned int wrong = 0;
	char name[32];

	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < WIDE; i++) {
			struct prof_call *call;

			snprintf(name, sizeof(name), "m.f%u", i);
			call = prof_call__child(root, name, "m.py", i);
			wrong += !call || call->line != i || strcmp(call->function, name) != 0;
			if (call)
				call->total_ns = i;
		}
		profile__sort(p);
	}
	CHECK_EQ(wrong, 0);
	CHECK_EQ(root->nchildren, WIDE);
	CHECK_EQ(root->children[0]->line, WIDE - 1);
	for (size_t i = 0; i < root->nchildren; i++)
		wrong += root->children[i]->place != i;
	CHECK_EQ(wrong, 0);
	profile__free(p);
}

static void test_merge(void)
{
	struct prof_call a = {
		.hits = 3, .complete = 2, .total_ns = 30, .complete_ns = 25, .min_ns = 10, .max_ns = 15
	};
	struct prof_call b = {
		.hits = 4, .complete = 4, .raised = 1, .total_ns = 40, .self_ns = 7, .min_ns = 5, .max_ns = 12
	};
	struct prof_call none = {
		.generator = true, .hits = 1, .running_at_end = 1, .total_ns = 100, .suspended_at_end = 2
	};
	struct prof_call sum = { 0 };

	a.log2_ns[3] = 2;
	b.log2_ns[3] = 1;
	b.log2_ns[63] = 3;
	prof_call__merge(&sum, &none);
	CHECK_EQ(sum.min_ns, 0);
	prof_call__merge(&sum, &a);
	CHECK_EQ(sum.min_ns, 10); /* what had no complete call has no minimum either */
	prof_call__merge(&sum, &b);
	prof_call__merge(&sum, &none);
	CHECK_EQ(sum.hits, 9);
	CHECK_EQ(sum.complete, 6);
	CHECK_EQ(sum.raised, 1);
	CHECK_EQ(sum.total_ns, 270);
	CHECK_EQ(sum.self_ns, 7);
	CHECK_EQ(sum.complete_ns, 25);
	CHECK_EQ(sum.min_ns, 5);
	CHECK_EQ(sum.max_ns, 15);
	CHECK_EQ(sum.running_at_end, 2);
	CHECK_EQ(sum.suspended_at_end, 4);
	CHECK_EQ(sum.log2_ns[3], 3);
	CHECK_EQ(sum.log2_ns[63], 3);
	CHECK(sum.generator);
}

static void test_sort_and_walk(void)
{
	static const char *const names[] = { "m.big", "m.low", "m.high", "m.a", "m.b", "m.b" };
	static const int depths[] = { 1, 2, 2, 1, 1, 1 };
	struct profile *p = profile__new();
	struct prof_process *proc = profile__add_process(p, 9);
	struct prof_call *root = prof_process__add_thread(proc, 12, "later")->root, *big, *call = root;
	int depth = 0, n = 0;

	prof_process__add_thread(proc, 10, "earlier");
	profile__add_process(p, 3);
	prof_call__child(root, "m.b", "m.py", 7);
	prof_call__child(root, "m.b", "m.py", 5);
	prof_call__child(root, "m.a", "m.py", 1);
	big = prof_call__child(root, "m.big", "m.py", 1);
	big->total_ns = 100;
	prof_call__child(big, "m.high", "m.py", 1)->total_ns = 10;
	prof_call__child(big, "m.low", "m.py", 1)->total_ns = 20;
	profile__sort(p);
	CHECK_EQ(p->processes[0]->pid, 3);
	CHECK_EQ(proc->threads[0]->tid, 10);
	for (; (call = prof_call__next(root, call, &depth)) && n < 6; n++) {
		CHECK_STR_EQ(call->function, names[n]);
		CHECK_EQ(depth, depths[n]);
	}
	CHECK_EQ(n, 6);
	CHECK_EQ(depth, 0);
	CHECK_EQ(root->children[2]->line, 5); /* equal time and name: by line */
	/* A walk stays below its root. */
	depth = 0;
	CHECK(prof_call__next(big->children[0], big->children[0], &depth) == NULL);
	profile__free(p);
}

/* main() limits the stack: recursion over the tree would overflow it. */
static void test_deep(void)
{
	struct profile *p = profile__new();
	struct prof_call *root = prof_process__add_thread(profile__add_process(p, 1), 1, "t")->root, *call = root;
	int depth = 0, deepest = 0;

	for (int i = 0; i < DEEP && call; i++) {
		prof_call__child(call, "m.leaf", "m.py", 2);
		call = prof_call__child(call, "m.recurse", "m.py", 1);
		call->total_ns = DEEP - i;
	}
	profile__sort(p);
	CHECK_STR_EQ(root->children[0]->function, "m.recurse");
	for (call = root; (call = prof_call__next(root, call, &depth));)
		deepest = depth > deepest ? depth : deepest;
	CHECK_EQ(deepest, DEEP);
	profile__free(p);
}

int main(void)
{
	/* The main thread's stack grows up to the limit that is in force when it grows. */
	setrlimit(RLIMIT_STACK, &(struct rlimit){ 256 << 10, RLIM_INFINITY });
	test_adding();
	test_wide();
	test_merge();
	test_sort_and_walk();
	test_deep();
	return check_done();
}
