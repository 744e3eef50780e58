/*
 * Options: what numbers are taken, tables in tables, and the options that the commands on events share. What is refused
 * prints its message.
 */
#include <stdlib.h>

#include "check.h"
#include "diag.h"
#include "opt.h"
#include "seen_opts.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct config {
	uint32_t before, count, few, rate;
	struct seen_opts seen;
	bool flag;
};

static const struct opt inner[] = {
	{ 'c', "count", "N", "", OPT_COUNT, offsetof(struct config, count) - offsetof(struct config, before) },
	{ 0 },
};

static const struct opt numbers[] = {
	OPT_INCLUDE(inner, offsetof(struct config, before)),
	{ 0, "few", "N", "", OPT_COUNT, offsetof(struct config, few), .most = 10 },
	{ 0, "rate", "N/s", "", OPT_RATE, offsetof(struct config, rate) },
	{ 'x', "flag", NULL, "", OPT_FLAG, offsetof(struct config, flag) },
	{ 0 },
};

static const struct opt all[] = {
	OPT_INCLUDE(seen_opts_session, offsetof(struct config, seen)),
	OPT_INCLUDE(seen_opts_events, offsetof(struct config, seen)),
	OPT_INCLUDE(seen_opts_places, offsetof(struct config, seen)),
	{ 'x', "flag", NULL, "", OPT_FLAG, offsetof(struct config, flag) },
	{ 0 },
};

static const struct command number_command = { .name = "numbers", .opts = numbers };
static const struct command seen_command = { .name = "seen", .opts = all };

/* Two words of a command line, the second may be NULL. */
static int parse(const struct command *cmd, struct config *config, char *one, char *other)
{
	char *argv[] = { "command", one, other, NULL };
	int first;

	return opt__parse(cmd, other ? 3 : 2, argv, config, &first);
}

static void test_numbers(void)
{
	static const struct {
		char *option, *text;
		int64_t want; /* -1: refused */
	} cases[] = {
		{ "--count", "1", 1 },
		{ "-c", "4294967295", 4294967295 },
		{ "--count", "007", 7 },
		{ "--count", "0", -1 },
		{ "--count", "4294967296", -1 },
		{ "--count", "18446744073709551617", -1 },
		{ "--count", "1,000", -1 },
		{ "--count", "1_000", -1 },
		{ "--count", "1e3", -1 },
		{ "--count", "-1", -1 },
		{ "--count", "+1", -1 },
		{ "--count", " 1", -1 },
		{ "--count", "1 ", -1 },
		{ "--count", "", -1 },
		{ "--few", "10", 10 },
		{ "--few", "11", -1 },
		{ "--rate", "100/s", 100 },
		{ "--rate", "100", 100 },
		{ "--rate", "0", 0 },
		{ "--rate", "0/s", 0 },
		{ "--rate", "/s", -1 },
		{ "--rate", "100/m", -1 },
		{ "--rate", "100/", -1 },
		{ "--rate", "1,000/s", -1 },
		{ "--rate", "4294967296/s", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config = { 0 };
		int status = parse(&number_command, &config, cases[i].option, cases[i].text);
		bool ok = status == (cases[i].want < 0 ? 2 : 0);

		if (!CHECK(ok))
			fprintf(stderr, "%s '%s': %d\n", cases[i].option, cases[i].text, status);
		if (cases[i].want >= 0)
			CHECK_EQ(config.count + config.few + config.rate, cases[i].want);
		CHECK_EQ(config.before, 0);
	}
}

static void test_periods(void)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: no period */
	} cases[] = {
		{ "45s", 45000 },
		{ "45", 45000 },
		{ "10m", 600000 },
		{ "1h30m", 5400000 },
		{ "2d", 172800000 },
		{ "365d", 31536000000 },
		{ "1d1h1m1s", 90061000 },
		{ "0", -1 },
		{ "", -1 },
		{ "m", -1 },
		{ "10x", -1 },
		{ "30m1h", -1 },
		{ "1m1m", -1 },
		{ "1h30", -1 },
		{ "-5s", -1 },
		{ "1.5h", -1 },
		{ "366d", -1 },
		{ "4294967296s", -1 },
		{ "10m ", -1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms;
		bool ok = opt_period(cases[i].text, &ms);

		if (!CHECK_EQ(ok ? (int64_t)ms : -1, cases[i].want))
			fprintf(stderr, "'%s'\n", cases[i].text);
	}
}

static void test_shared(void)
{
	struct config config = { .seen = SEEN_OPTS_DEFAULTS };

	CHECK_EQ(seen_opts__check(&seen_command, &config.seen, 1), 2);
	CHECK_EQ(config.seen.rate, 1000);
	CHECK_EQ(parse(&seen_command, &config, "-p4510", "-n5"), 0);
	CHECK_EQ(parse(&seen_command, &config, "--when=n > 3", "-x"), 0);
	CHECK_EQ(parse(&seen_command, &config, "--depth", "10"), 0);
	CHECK_EQ(config.seen.depth, 10);
	CHECK_EQ(parse(&seen_command, &config, "--depth", "11"), 2);
	CHECK_EQ(parse(&seen_command, &config, "-f", "json"), 0);
	CHECK_EQ(parse(&seen_command, &config, "-f", "svg"), 2);
	CHECK_EQ(parse(&seen_command, &config, "--stack", "--all"), 0);
	CHECK_EQ(config.seen.pids.pids[0], 4510);
	CHECK_EQ(config.seen.count, 5);
	CHECK_STR_EQ(config.seen.when, "n > 3");
	CHECK_STR_EQ(config.seen.format, "json");
	CHECK(config.flag && config.seen.stack && config.seen.all && !config.seen.no_redact);
	CHECK_EQ(seen_opts__check(&seen_command, &config.seen, 1), 0);
	CHECK_EQ(parse(&seen_command, &config, "-p4511", NULL), 0);
	CHECK_EQ(seen_opts__check(&seen_command, &config.seen, 1), 2);
	CHECK_EQ(seen_opts__check(&seen_command, &config.seen, 0), 0);
	CHECK_EQ(parse(&seen_command, &config, "--no-redact", "--redact-file=x"), 0);
	CHECK_EQ(seen_opts__check(&seen_command, &config.seen, 0), 2);
}

int main(void)
{
	test_numbers();
	test_periods();
	test_shared();
	return check_done();
}
