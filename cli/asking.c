/* asking: see asking.h. */
#include "asking.h"

#include "answer.h"
#include "diag.h"

static void ask(const struct asking *a, struct peers *p)
{
	size_t asked = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct peer *peer = &p->items[i];
		struct msg_out m = { 0 };

		if (!peer->failed && (!a->fill || a->fill(p, peer, a->ctx, &m)) &&
		    peer__ask(p, peer, a->type, &m, 0, NULL) && a->done)
			a->done(peer, a->ctx);
		asked += !peer->skipped;
		msg__free(&m);
	}
	if (!asked)
		report__error(p->report->root, 1, answer_text(p->items[0].out, "skipped", ""), NULL, NULL);
}

int asking__run(const struct asking *a)
{
	struct peers peers = { 0 };
	struct report report;
	int status, err = report__open(&report, a->cmd->name);

	if (!err && peers__open(&peers, &report, a->opts))
		ask(a, &peers);
	peers__close(&peers);
	status = err ? diag_exit_status(err) : report__write(&report, a->opts->format, a->text);
	report__close(&report);
	return status;
}
