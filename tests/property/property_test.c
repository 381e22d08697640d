/* What holds for the engine in any mail internet: each address gets exactly one answer, every session ends, nothing but
 * the eight verbs is said and nothing to who is exempt, nobody is found where nobody is, nothing leaks (the address
 * sanitizer looks), every gauge returns to zero.
 *
 * PROPERTY_SEED repeats a run, PROPERTY_ROUNDS is how many worlds (5); each round's seed is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <time.h>

#include "server/base/clock.h"
#include "tests/property/rig.h"

#define ROUNDS 5
#define THEN_MS INT64_C(1700000000000)

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t first_seed(void)
{
	static uint64_t drawn;
	struct timespec t;
	if (!drawn && !clock_gettime(CLOCK_REALTIME, &t))
		drawn = ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) % 1000000007;
	return number("PROPERTY_SEED", drawn);
}

/* ---- any world ---- */

static bool exempt_before(const struct rig *rig, const struct slot *s)
{
	return s->domain >= 0 && rig->internet.domain[s->domain].exempt;
}

static bool exempt_later(const struct rig *rig, const struct slot *s)
{
	for (unsigned i = 0; i < rig->internet.domains; i++)
		if (rig->granted[i] && domain_is_within(s->address.domain, rig->internet.domain[i].name))
			return true;
	return false;
}

/* Why the answer cannot be right; NULL: it may be. */
static const char *what_is_wrong(const struct rig *rig, const struct slot *s)
{
	enum reason reason = s->answer.reason;
	bool lies = s->domain >= 0 && rig->internet.domain[s->domain].lies;
	if (s->answered != 1)
		return "not answered exactly once";
	if (s->without_answer)
		return "no memory for its answer";
	if (reason <= REASON_NONE || reason >= REASONS || reason == REASON_DEADLINE)
		return "no reason that the engine may give";
	if (reason == REASON_CANCELLED && !rig->cancelled[s->caller] && !rig->drained_early)
		return "its caller waited";
	if (exempt_before(rig, s) && reason != REASON_EXEMPT && reason != REASON_CANCELLED)
		return "its domain is exempt";
	if (s->must_exempt && reason != REASON_EXEMPT && reason != REASON_CANCELLED)
		return "its domain was exempt before it was asked about";
	if (reason == REASON_EXEMPT && !exempt_before(rig, s) && !exempt_later(rig, s))
		return "its domain is not exempt";
	if (local_is_nobody(s->text) && reason == REASON_ACCEPTED && !lies)
		return "nobody is there";
	if (local_exists(s->text) && reason == REASON_MAILBOX_UNKNOWN && !lies)
		return "it exists";
	return NULL;
}

static void check_answers(const struct rig *rig, unsigned count[REASONS])
{
	for (unsigned i = 0; i < rig->slots; i++) {
		const struct slot *s = &rig->slot[i];
		const char *wrong = what_is_wrong(rig, s);
		if (wrong)
			fail_msg("%s: %s, answered %u times, from %s: %s", s->text, reason_name(s->answer.reason),
				s->answered, s->answer.evidence.mail_host, wrong);
		count[s->answer.reason]++;
	}
}

static void say_counts(const unsigned count[REASONS])
{
	for (enum reason r = 0; r < REASONS; r++)
		if (count[r])
			print_message("%s %u  ", reason_name(r), count[r]);
	print_message("\n");
}

static void random_worlds(void **state)
{
	struct rig **rig = *state;
	unsigned count[REASONS] = { 0 };
	uint64_t seed = first_seed(), rounds = number("PROPERTY_ROUNDS", ROUNDS);
	for (uint64_t i = 0; i < rounds; i++) {
		print_message("PROPERTY_SEED=%llu PROPERTY_ROUNDS=1: ", (unsigned long long)(seed + i));
		rig_new(rig, seed + i, 1 + (unsigned)((seed + i) % 3), false);
		print_message("%u shards, %u domains, %u addresses, %u callers%s\n", engine_shards((*rig)->engine),
			(*rig)->internet.domains, (*rig)->slots, (*rig)->callers,
			(*rig)->tight ? ", few descriptors" : "");
		rig_run(*rig);
		check_answers(*rig, count);
		internet_check_record(&(*rig)->internet);
		rig_free(*rig);
		*rig = NULL;
	}
	say_counts(count);
}

/* ---- the same again ---- */

/* Of a host that behaves, with all the time in the world, the truth is known. */
static const char *what_is_wrong_with_plain(const struct rig *rig, const struct slot *s)
{
	if (s->domain < 0 || !rig->internet.domain[s->domain].plain || exempt_before(rig, s))
		return NULL;
	if (local_exists(s->text) && s->answer.reason != REASON_ACCEPTED)
		return "it exists, and a random one does not";
	if (local_is_nobody(s->text) && s->answer.reason != REASON_MAILBOX_UNKNOWN)
		return "nobody is there";
	return NULL;
}

/* Two runs with one seed and one shard give the same answers. The clock stands still, so equal mail hosts are drawn in
 * the same order and no time-out ever comes: sockets cannot be hurried by a clock, so nothing in these worlds takes
 * time or depends on it, one session a host is open, and no two domains share a host. Beside the seed differ: ports,
 * the random control's name, and in which order answers of different hosts come. */
static void same_seed_same_answers(void **state)
{
	struct rig **rig = *state;
	unsigned count[REASONS] = { 0 };
	uint64_t seed = first_seed(), rounds = number("PROPERTY_ROUNDS", ROUNDS);
	for (uint64_t i = 0; i < rounds; i++) {
		print_message("PROPERTY_SEED=%llu PROPERTY_ROUNDS=1\n", (unsigned long long)(seed + i));
		clock_fake(THEN_MS);
		rig_new(&rig[0], seed + i, 1, true);
		rig_run(rig[0]);
		rig_new(&rig[1], seed + i, 1, true);
		rig_run(rig[1]);
		clock_real();
		check_answers(rig[0], count);
		assert_int_equal(rig[0]->slots, rig[1]->slots);
		for (unsigned k = 0; k < rig[0]->slots; k++) {
			const struct slot *a = &rig[0]->slot[k], *b = &rig[1]->slot[k];
			if (a->answer.reason != b->answer.reason || a->answer.catch_all != b->answer.catch_all ||
				a->answer.evidence.code != b->answer.evidence.code ||
				strcmp(a->answer.evidence.mail_host, b->answer.evidence.mail_host) != 0)
				fail_msg("%s: %s (%u from %s), then %s (%u from %s)", a->text,
					reason_name(a->answer.reason), a->answer.evidence.code,
					a->answer.evidence.mail_host, reason_name(b->answer.reason),
					b->answer.evidence.code, b->answer.evidence.mail_host);
			const char *wrong = what_is_wrong_with_plain(rig[0], a);
			if (wrong)
				fail_msg("%s: %s (%u from %s): %s", a->text, reason_name(a->answer.reason),
					a->answer.evidence.code, a->answer.evidence.mail_host, wrong);
		}
		rig_free(rig[0]);
		rig_free(rig[1]);
		rig[0] = rig[1] = NULL;
	}
	say_counts(count);
}

static struct rig *rigs[2];

static int begin(void **state)
{
	*state = rigs;
	return 0;
}

static int end(void **state)
{
	(void)state;
	clock_real();
	for (unsigned i = 0; i < 2; i++)
		rig_free(rigs[i]);
	memset(rigs, 0, sizeof rigs);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_worlds, begin, end),
		cmocka_unit_test_setup_teardown(same_seed_same_answers, begin, end),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
