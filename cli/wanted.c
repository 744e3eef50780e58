/* wanted: see wanted.h. */
#include "wanted.h"

#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "proto.h"

#define TOKEN_MIN 8 /* hexadecimal digits; a number is shorter, so that none is both */
#define TOKEN_MAX 32

static bool is_token(const char *word)
{
	const size_t len = strlen(word);

	return len >= TOKEN_MIN && len <= TOKEN_MAX && strspn(word, "0123456789abcdef") == len;
}

static bool is_number(const char *word)
{
	const size_t len = strlen(word);

	return len && len < TOKEN_MIN && strspn(word, "0123456789") == len;
}

int wanted__parse(const struct command *cmd, const struct peer_opts *o, char **words, size_t n, struct wanted *out)
{
	bool numbers = false;

	*out = (struct wanted){ .words = words, .n = n };
	if (!n)
		return opt__usage(cmd, "which patch? name its number or the start of its token; 'ls' lists them");
	for (size_t i = 0; i < n; i++) {
		out->all |= !strcmp(words[i], "all");
		out->tokens |= is_token(words[i]);
		numbers |= is_number(words[i]);
		if (strcmp(words[i], "all") != 0 && !is_token(words[i]) && !is_number(words[i]))
			return opt__usage(cmd,
					  "'%s' is no patch's number, nor the first %d digits or more of its token",
					  words[i], TOKEN_MIN);
	}
	if (out->all && n > 1)
		return opt__usage(cmd, "'all' names all patches: nothing else can be named beside it");
	if (numbers && (o->all || o->tree.n || o->pids.n > 1))
		return opt__usage(cmd, "a patch's number differs from process to process: name it by its token");
	return 0;
}

static bool put_tokens(const struct wanted *w, struct peers *p, struct peer *peer, struct msg_out *request)
{
	const json_t *patch;
	bool any = false;
	size_t i;

	if (!peer__ask(p, peer, PROTO_LS, &(struct msg_out){ 0 }, 0, NULL))
		return false;
	json_array_foreach(json_object_get(peer->out, "patches"), i, patch)
	{
		for (size_t k = 0; k < w->n; k++)
			if (is_token(w->words[k]) &&
			    !strncmp(answer_text(patch, "token", ""), w->words[k], strlen(w->words[k]))) {
				msg__put_u64(request, PROTO_F_ID, answer_number(patch, "id", 0));
				any = true;
			}
	}
	json_object_del(peer->out, "patches");
	return any;
}

bool wanted__put(const struct wanted *w, struct peers *p, struct peer *peer, struct msg_out *request)
{
	bool any = w->all;

	if (w->all)
		msg__put_u64(request, PROTO_F_ALL, 1);
	for (size_t i = 0; i < w->n; i++)
		if (is_number(w->words[i])) {
			msg__put_u64(request, PROTO_F_ID, strtoull(w->words[i], NULL, 10));
			any = true;
		}
	if (w->tokens)
		any |= put_tokens(w, p, peer, request);
	if (!any && !peer->failed && !peer->skipped)
		peer__skip(peer, "it has no such patch");
	return any && !peer->failed && !peer->skipped;
}
